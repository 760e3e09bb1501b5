"""The network and the machine as the system bus tells of them: when it is worth looking at a connection again.

Source: org.freedesktop.NetworkManager (StateChanged, and PropertiesChanged of State, Connectivity and
PrimaryConnection), org.freedesktop.login1.Manager (PrepareForSleep). Without a system bus, or without these services
on it, nothing is ever told: connections are found lost by their silence, and made again with backoff.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from .bus import PROPERTIES, Connection, Match, RemoteError, Signal, Variant
from .errors import BusLost, Timeout

log = logging.getLogger(__name__)

NETWORK_MANAGER = "org.freedesktop.NetworkManager"
LOGIND = "org.freedesktop.login1"

# NMState: from NM_STATE_CONNECTED_LOCAL on, something can be reached.
CONNECTED = 50
# NMConnectivityState: NM_CONNECTIVITY_FULL.
FULL = 4
# Several signals come of one change: the first is told at once, those within so many seconds together.
WINDOW = 1.0

# up: whether the network may work now; else it went away.
Changed = Callable[[bool], None]


class Network:
    """Tells ``changed`` of the network's changes and the machine's waking up while ``run`` does.

    address: the bus, by default the system's. listening: set once nothing is missed any more.
    """

    def __init__(self, changed: Changed, address: str | None = None) -> None:
        self.listening = asyncio.Event()
        self._changed = changed
        self._address = address
        self._window: asyncio.TimerHandle | None = None
        self._later: bool | None = None

    async def run(self) -> None:
        """Listen until the bus goes away; returns at once where there is none."""
        try:
            connection = await Connection.open(self._address, system=True)
        except BusLost as error:
            log.debug("Changes of the network are not heard of: %s", error)
            return
        try:
            await self._listen(connection)
            await connection.lost()
        except (BusLost, RemoteError, Timeout) as error:
            log.debug("Changes of the network are not heard of any more: %s", error)
        finally:
            if self._window is not None:
                self._window.cancel()
            await connection.close()

    async def _listen(self, connection: Connection) -> None:
        for callback, match in (
            (self._state, Match(NETWORK_MANAGER, interface=NETWORK_MANAGER, member="StateChanged")),
            (self._properties, Match(NETWORK_MANAGER, None, PROPERTIES, "PropertiesChanged", NETWORK_MANAGER)),
            (self._sleep, Match(LOGIND, interface=f"{LOGIND}.Manager", member="PrepareForSleep")),
        ):
            await connection.subscribe(callback, match)
        self.listening.set()
        log.debug("Changes of the network are heard of")

    def _state(self, signal: Signal) -> None:
        if signal.signature == "u":
            self._tell(signal.body[0] >= CONNECTED)

    def _properties(self, signal: Signal) -> None:
        if signal.signature == "sa{sv}as" and (up := _works(signal.body[1])) is not None:
            self._tell(up)

    def _sleep(self, signal: Signal) -> None:
        """The machine goes to sleep, or has woken up: whatever was connected may be gone."""
        if signal.body == [False]:
            self._tell(True)

    def _tell(self, up: bool) -> None:
        log.debug("The network %s", "changed" if up else "went away")
        if self._window is not None:
            self._later = up
            return
        self._window = asyncio.get_running_loop().call_later(WINDOW, self._closed)
        self._changed(up)

    def _closed(self) -> None:
        self._window = None
        later, self._later = self._later, None
        if later is not None:
            self._tell(later)


def _works(properties: Mapping[str, Variant]) -> bool | None:
    """What changed properties of NetworkManager say of the network; None: nothing."""
    if "State" in properties:
        return bool(properties["State"].value >= CONNECTED)
    if "PrimaryConnection" in properties:
        return bool(properties["PrimaryConnection"].value != "/")
    if "Connectivity" in properties and properties["Connectivity"].value == FULL:
        return True
    return None

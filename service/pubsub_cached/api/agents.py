"""``im.pubsubcache1.AnalyserAgent``: the interface of clients that parse and match, called from here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..analysers.agent import Outcome, Reply
from ..bus import Owners, RemoteError
from ..errors import STANDARD, BusLost, LimitExceeded, Timeout

if TYPE_CHECKING:
    from ..bus import Connection

AGENT = "im.pubsubcache1.AnalyserAgent"

_OUTCOMES: dict[str, Outcome] = {
    f"{STANDARD}UnknownObject": "missing",
    f"{STANDARD}UnknownInterface": "missing",
    f"{STANDARD}UnknownMethod": "missing",
    f"{STANDARD}ServiceUnknown": "gone",
    f"{STANDARD}NameHasNoOwner": "gone",
    f"{STANDARD}NoReply": "gone",
    f"{STANDARD}Disconnected": "gone",
}


class Peers:
    """The other programs on the bus; see ``analysers.agent.Peers``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._owners = Owners(connection)

    async def call(self, destination: str, path: str, member: str, body: Sequence[str], seconds: float) -> Reply:
        """Call a method of ``AnalyserAgent`` that takes strings and returns one."""
        signature = "s" * len(body)
        try:
            found = await self._connection.call(
                destination, path, AGENT, member, signature, body, timeout=seconds, fds=False
            )
        except Timeout:
            return Reply("late", f"It did not answer within {seconds:g} s.")
        except RemoteError as error:
            return Reply(_OUTCOMES.get(error.name, "failed"), f"{error.name}: {error.message}")
        except LimitExceeded as error:
            return Reply("failed", error.message)
        except BusLost:
            return Reply("gone", "There is no bus any more.")
        if len(found) != 1 or not isinstance(found[0], str):
            return Reply("failed", f"{member} has to return one string.")
        return Reply("answered", found[0])

    def release(self, destination: str, path: str, reason: str) -> None:
        """Tell an agent that it is not called any more."""
        self._connection.call_no_reply(destination, path, AGENT, "Release", "s", [reason])

    async def start(self, name: str, seconds: float) -> Reply:
        """Have the bus start what owns a well-known name, unless it runs."""
        try:
            # dbus-daemon refuses to start what no file describes, even if it runs.
            if await self._owners.has_owner(name):
                return Reply("answered")
            await self._connection.call_bus("StartServiceByName", "su", [name, 0], timeout=seconds)
        except Timeout:
            return Reply("late", f"It did not start within {seconds:g} s.")
        except RemoteError as error:
            return Reply("gone", f"The bus can't start it: {error.message}")
        except BusLost:
            return Reply("gone", "There is no bus any more.")
        return Reply("answered")

    async def gone(self, name: str, callback: Callable[[str], None]) -> None:
        """Call back once, when a unique name leaves the bus."""
        await self._owners.watch(name, callback)

    async def follow(self, name: str, callback: Callable[[bool], None]) -> Callable[[], None]:
        """Call back whenever a well-known name gets an owner or loses it."""
        return (await self._owners.follow(name, callback)).cancel

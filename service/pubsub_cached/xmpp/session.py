"""The session behind the port: an account's stream over slixmpp, what it announces and what comes in."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Sequence, Set
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from .. import errors, jid
from . import blocking, events, stanzas
from .asking import Asking
from .caps import Capabilities
from .port import BounceEvent, Endpoint, Listener, PasswordSource, RosterEvent, SessionState
from .roster import Roster, differing

if TYPE_CHECKING:
    from .client import Client
    from .connection import Connection

log = logging.getLogger(__name__)

PING_TIMEOUT = 30.0
# After a change of the network a stream is rather dead than slow.
QUICK_PING_TIMEOUT = 10.0
FEATURES_TIMEOUT = 10.0

_T = TypeVar("_T")


def connect(endpoint: Endpoint, password: PasswordSource, listener: Listener) -> Session:
    """Make the session of an account, still offline (port.Connector)."""
    return Session(endpoint, password, listener)


def load() -> None:
    """Import what a connection needs. It takes long, so it is for a thread."""
    from . import connection

    del connection


class Session(Asking):
    """One account's session (port.Session)."""

    def __init__(self, endpoint: Endpoint, password: PasswordSource, listener: Listener) -> None:
        super().__init__(endpoint.jid)
        self._domain = jid.domain(endpoint.jid)
        self._listener = listener
        self._roster = Roster(self._account)
        self._capabilities = Capabilities()
        self._features: tuple[str, ...] = ()
        self._gate = events.Gate(self._account, lambda: self._roster.entries, listener.solicited)
        self._endpoint, self._password = endpoint, password
        # Made when it is first wanted: an account that is only read from its copy needs no slixmpp, which takes as long
        # to import as all else that the first answer waits for.
        self._connection: Connection | None = None
        self._client: Client | None = None
        self._announced = ""
        # The request for whom the account blocks, until it is answered: no resumption brings one that was lost.
        self._blocklist = ""
        # Contacts whose entries changed while there was no session.
        self._moved: list[str] = []
        self._said: tuple[str, str, str] = ("offline", "", "")

    # What is known

    @property
    def contacts(self) -> Set[str]:
        """Bare JIDs whose presence the account receives."""
        return self._roster.contacts

    def groups(self, contact: str) -> frozenset[str]:
        """The groups in which a contact stands."""
        return self._roster.entries.get(contact, frozenset())

    @property
    def server_features(self) -> tuple[str, ...]:
        """Features of the account's server and PEP service, sorted; as of the last session."""
        return self._features

    # Connecting

    def connect(self) -> None:
        """Connect and stay connected until ``close``."""
        if self._connection is None:
            from .connection import Connection

            self._connection = Connection(self._endpoint, self._password, self)
        self._connection.open()

    async def close(self) -> None:
        """End the stream and stay offline."""
        if self._connection is None:
            return
        await self._connection.close()
        if not self._connection.wanted:
            self.state("offline")

    def network_changed(self, up: bool) -> None:
        """Look at once after the stream; ``up`` connects at once where a session is waiting."""
        if self._connection is not None:
            self._connection.network_changed(up)

    def set_interests(self, nodes: frozenset[str]) -> None:
        """Announce PEP nodes with ``+notify``; a changed set goes out at once."""
        if nodes == self._capabilities.interests:
            return
        self._capabilities.announce(nodes)
        if self._online:
            self._announce()

    # The connection's subscriber

    def state(self, state: SessionState, error: str = "", message: str = "") -> None:
        """Tell the listener, once."""
        if (state, error, message) != self._said:
            self._said = (state, error, message)
            self._listener.session_changed(state, error, message)

    def attached(self, client: Client) -> None:
        """Requests can be written, but none but our own preparations are."""
        self._client = client
        self._requests.open(client.request, client.boundjid.full)

    async def prepare(self) -> None:
        """Roster and features, before anything can arrive because of our presence."""
        domain, account, roster = await asyncio.gather(
            _tolerate(self._features_of(self._domain), errors.StanzaError, errors.Timeout),
            _tolerate(self._features_of(self._account), errors.StanzaError, errors.Timeout),
            _tolerate(
                self._requests.ask("get", self._account, self._roster.request(), subject="the roster"),
                errors.StanzaError,
            ),
        )
        self._features = tuple(sorted((domain or frozenset()) | (account or frozenset())))
        before = self._roster.entries
        self._roster.replace(roster)
        # Of a first roster nothing is known that could have changed.
        self._moved = differing(before, self._roster.entries) if before else []

    def up(self, resumed: bool) -> None:
        """Online: presence first, then the listener."""
        self._online = True
        # A resumed session has its presence, unless what it announced has changed meanwhile.
        if not resumed or self._capabilities.hash != self._announced:
            self._announce()
        if not resumed or self._blocklist:
            self._ask_for_blocklist()
        self.state("online")
        self._listener.session_started(resumed)
        moved, self._moved = self._moved, []
        self._tell_moved(moved)

    def detached(self) -> None:
        """Requests fail now; the listener learns that the session is down."""
        was, self._online = self._online, False
        if self._client is not None and self._client.unwritten:
            # What was announced last may be among it, and no resumption brings it.
            self._announced = ""
        self._client = None
        self._requests.close()
        if was:
            self._listener.session_ended()
        if self._connection is not None and not self._connection.wanted:
            # Not only once the server has closed its side, which may take seconds.
            self.state("offline")

    async def alive(self, quick: bool) -> None:
        """Ask the server for a sign of life (XEP-0199); an error is one."""
        timeout = QUICK_PING_TIMEOUT if quick else PING_TIMEOUT
        with contextlib.suppress(errors.StanzaError):
            await self._requests.ask("get", self._domain, ET.Element(stanzas.PING + "ping"), timeout=timeout)

    def message(self, xml: ET.Element) -> None:
        """Hand on what is let in. What comes before the session is online is covered by its start."""
        if self._online:
            self._queries.message(xml)
            for event in events.read(xml, self._gate):
                self._listener.event(event)

    def iq(self, xml: ET.Element) -> bool:
        """Replies, roster pushes and questions about ourselves."""
        client = self._client
        kind = xml.get("type")
        if kind in ("result", "error"):
            if self._blocklist and xml.get("id") == self._blocklist:
                self._blocklist = ""
                return True
            return self._requests.answered(xml)
        if client is None:
            return False
        if kind == "set":
            return self._roster_push(client, xml) or self._block_push(client, xml)
        query = xml.find(stanzas.DISCO_INFO + "query")
        if kind == "get" and query is not None:
            info = self._capabilities.answer(query.get("node", ""))
            if info is not None:
                client.answer(xml, info)
                return True
        return False

    def _roster_push(self, client: Client, xml: ET.Element) -> bool:
        before = self._roster.pushed(xml)
        if before is None:
            return False
        client.answer(xml)
        if self._online:
            if None in before.values():
                # Some servers learned our interests from a presence that came before they would listen.
                self._announce()
            self._tell_moved(sorted(before))
        return True

    def _ask_for_blocklist(self) -> None:
        """Be told of changes; nobody waits for the list itself."""
        # Whether the server knows of it may not have been said in time; one that does not answers with an error.
        if self._client is not None:
            self._blocklist = uuid4().hex
            self._client.request("get", self._account, self._blocklist, blocking.request())

    def _block_push(self, client: Client, xml: ET.Element) -> bool:
        written = blocking.pushed(xml, self._account)
        if written is None:
            return False
        client.answer(xml)
        if self._online:
            for service in blocking.concerned(written, self._roster.contacts):
                self._listener.event(BounceEvent(service=service, node=""))
        return True

    def _tell_moved(self, contacts: Sequence[str]) -> None:
        for contact in contacts:
            self._listener.event(RosterEvent(service=contact, node=""))

    def _announce(self) -> None:
        if self._client is not None:
            self._client.announce(self._capabilities.presence())
            self._announced = self._capabilities.hash

    async def _features_of(self, service: str) -> frozenset[str]:
        request = stanzas.disco_request(stanzas.DISCO_INFO, "")
        iq = await self._requests.ask("get", service, request, timeout=FEATURES_TIMEOUT)
        return stanzas.read_disco_info(iq, service, "").features


async def _tolerate(request: Awaitable[_T], *tolerated: type[errors.PubSubCachedError]) -> _T | None:
    """The result, or None when the server gives none."""
    try:
        return await request
    except tolerated as problem:
        log.warning("%s", problem.message)
        return None

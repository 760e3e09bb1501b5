"""The world of the fake: accounts, services, and the one queue through which everything passes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVarTuple

import msgspec

from ...errors import StanzaError
from ...jid import bare, domain, normalise
from ..port import Endpoint, Event, Listener, PasswordSource, RosterEvent
from .access import refusal
from .door import Call
from .profile import PROSODY, Profile
from .service import Service
from .session import FakeSession

A = TypeVarTuple("A")

# Turns of the loop without anything to deliver after which the code under test is taken to be done.
_QUIET = 25
# Seconds between two looks at threads.
_A_MOMENT = 0.001


class Request(msgspec.Struct, frozen=True):
    """A request that a session made; ``kind`` is the name of the port's method."""

    jid: str
    kind: str
    service: str
    node: str
    args: dict[str, Any]


class Account:
    """An account of the world, with its PEP service.

    available: whether it is online somewhere else, which some servers ask before they push its last items.
    reachable: whether its server can be connected to. refused: why it can't log in, or "".
    """

    def __init__(self, world: World, jid: str, password: str, profile: Profile) -> None:
        self.jid = jid
        self.password = password
        self.pep = Service(world, jid, profile.pep or profile, owner=jid)
        self.sessions: list[FakeSession] = []
        self.available = False
        self.reachable = True
        self.refused = ""
        self.sees: set[str] = set()
        self.groups: dict[str, frozenset[str]] = {}
        self.stored: list[Event] = []

    @property
    def online(self) -> bool:
        """Whether presence of the account is out."""
        return self.available or any(session.stream == "up" for session in self.sessions)


class World:
    """Everything there is.

    reconnect: sessions connect again by themselves after a loss; else tests say when and how.
    real_timeouts: requests that are never answered wait for their timeout in real time.
    clock: by which items get too old, ms; time stands still unless a test says otherwise.
    burst: everything queued is delivered in one turn of the loop, as when many stanzas arrive in one read: code
        that waits for a reply then runs only after the events that followed it.
    """

    def __init__(self, *, reconnect: bool = False, real_timeouts: bool = False, burst: bool = False) -> None:
        self.reconnect = reconnect
        self.real_timeouts = real_timeouts
        self.burst = burst
        self.accounts: dict[str, Account] = {}
        self.services: dict[str, Service] = {}
        self.requests: list[Request] = []
        self.clock: Callable[[], int] = lambda: 0
        # Whether threads are at work that code under test waits for; set by whoever has some.
        self.at_work: Callable[[], bool] = lambda: False
        self._queue: deque[Callable[[], object]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    # What a test makes

    def account(self, jid: str, *, password: str = "secret", pep: Profile = PROSODY) -> Account:
        """Make an account; ``pep`` is the profile of its server. Raises ValueError where there is one."""
        jid = bare(jid)
        if jid in self.accounts:
            raise ValueError(f"there is an account {jid} already")
        self.accounts[jid] = account = Account(self, jid, password, pep)
        self.services[jid] = account.pep
        return account

    def service(
        self,
        jid: str,
        *,
        profile: Profile = PROSODY,
        reply_limit: int | None = None,
        reply_limit_kills: bool = False,
    ) -> Service:
        """Make a service at a domain. Raises ValueError where there is one."""
        jid = normalise(jid)
        if jid in self.services:
            raise ValueError(f"there is a service {jid} already")
        self.services[jid] = service = Service(
            self, jid, profile, reply_limit=reply_limit, reply_limit_kills=reply_limit_kills
        )
        return service

    def befriend(self, one: str, other: str, *, groups: Iterable[str] = (), mutual: bool = True) -> None:
        """``one`` receives the presence of ``other`` (``to``), and unless not mutual the reverse (``both``).

        groups: those of the roster in which each has the other.
        """
        first, second = self.account_of(one), self.account_of(other)
        first.sees.add(second.jid)
        second.groups[first.jid] = frozenset(groups)
        if mutual:
            second.sees.add(first.jid)
            first.groups[second.jid] = frozenset(groups)
        self._push_roster(first, second, gained=True)
        self._push_roster(second, first, gained=mutual)

    def unfriend(self, one: str, other: str) -> None:
        """Neither receives the other's presence any more."""
        first, second = self.account_of(one), self.account_of(other)
        for account, contact in ((first, second), (second, first)):
            account.sees.discard(contact.jid)
            account.groups.pop(contact.jid, None)
            self._push_roster(account, contact)

    # What a test does to connections

    def connector(self, endpoint: Endpoint, password: PasswordSource, listener: Listener) -> FakeSession:
        """A session that is still offline (``port.Connector``)."""
        session = FakeSession(self, endpoint, password, listener)
        if account := self.accounts.get(session.jid):
            account.sessions.append(session)
        return session

    def cut(self, jid: str) -> None:
        """The connection is lost; events are kept for ``resume``."""
        for session in self._sessions(jid):
            session.cut()

    def resume(self, jid: str) -> bool:
        """The stream is resumed and what was missed is replayed; False where it had to be a new session."""
        resumed = [session.resume() for session in self._sessions(jid)]
        return all(resumed)

    def restore(self, jid: str) -> None:
        """A new session begins; events missed meanwhile are lost, last items are pushed."""
        for session in self._sessions(jid):
            session.restore()

    def kill(self, jid: str) -> None:
        """The client's process died: its sessions are gone, and nobody is told."""
        for session in self._sessions(jid):
            session.kill()

    def refuse(self, jid: str, reason: str = "the password is wrong") -> None:
        """Later attempts to log in fail; "" accepts them again."""
        self.account_of(jid).refused = reason

    def inject(self, jid: str, event: Event) -> None:
        """Send an event to an account's sessions as it is, whoever it is from and whatever a service would do."""
        for session in self._sessions(jid):
            session.push(event, let_in=True)

    # What a test asks

    def count(self, kind: str = "", service: str = "", node: str | None = None) -> int:
        """How many requests were made, of a kind, to a service, about a node."""
        return sum(
            1
            for request in self.requests
            if kind in ("", request.kind) and service in ("", request.service) and node in (None, request.node)
        )

    @property
    def queued(self) -> int:
        """How much is under way that nobody has noticed yet."""
        return len(self._queue)

    async def settle(self) -> None:
        """Return once nothing is queued and the code under test has stopped reacting.

        Requests that a service holds stay held. Threads that code waits for are seen by ``at_work`` alone.
        """
        quiet = 0
        while quiet < _QUIET:
            self._wake()
            busy = self.at_work()
            await asyncio.sleep(_A_MOMENT if busy else 0)
            quiet = 0 if self._queue or busy else quiet + 1

    # What services and sessions use

    def enqueue(self, action: Callable[[*A], object], *arguments: *A) -> None:
        """Have something happen after all that is queued, on the running loop."""
        self._queue.append(partial(action, *arguments))
        self._wake()

    def log(self, jid: str, kind: str, service: str, node: str, arguments: dict[str, Any]) -> Request:
        """Note a request."""
        request = Request(jid, kind, service, node, arguments)
        self.requests.append(request)
        return request

    def route(self, call: Call) -> None:
        """Bring a request to its service, or the error of the server on the way."""
        if service := self.services.get(call.request.service):
            service.receive(call)
            return
        hosts = {domain(jid): account.pep.profile for jid, account in self.accounts.items()}
        host = hosts.get(domain(call.request.service))
        condition = host.unknown_user if host else self.account_of(call.request.jid).pep.profile.remote_error
        self.enqueue(call.fail, StanzaError(condition))

    def never(self, call: Call) -> None:
        """A request that gets no answer: its caller times out, at once unless time is real."""
        if not self.real_timeouts:
            self.enqueue(call.expire)

    def send(self, jid: str, event: Event, *, interest: str = "") -> None:
        """Send an event to an account's sessions; with ``interest`` to those that announced that PEP node."""
        account = self.accounts.get(jid)
        if account is None:
            return
        profile = self.services[event.service].profile
        arrived = False
        for session in account.sessions:
            if interest and interest not in session.announced:
                continue
            for _ in range(2 if profile.twice else 1):
                arrived |= session.push(event)
        if not arrived and not interest:
            self.store_missed(jid, [event])

    def store_missed(self, jid: str, events: Iterable[Event]) -> None:
        """Keep for the next session those events whose services send them as normal messages; lose the others."""
        for event in events:
            service = self.services.get(event.service)
            if service and service.profile.normal:
                self.accounts[jid].stored.append(msgspec.structs.replace(event, delayed=True))

    def greet(self, session: FakeSession) -> None:
        """A session became available: stored messages and last items come."""
        account = self.account_of(session.jid)
        stored, account.stored = account.stored, []
        for event in stored:
            session.push(event)
        self.push_last(session, session.announced)
        for service in list(self.services.values()):
            if service.profile.presence_pushes_subscribed and not service.owner:
                self._push_subscribed(service, session)

    def push_last(self, session: FakeSession, nodes: Iterable[str], owners: Iterable[str] = ()) -> None:
        """Push the last items of these PEP nodes, own and of contacts unless ``owners`` are named (XEP-0163 4.3.4)."""
        for jid in owners or [session.jid, *sorted(self.contacts(session.jid))]:
            account = self.accounts[jid]
            if account.pep.profile.presence_needs_contact and not account.online:
                continue
            for name in sorted(nodes):
                node = account.pep.nodes.get(name)
                item = node.last() if node else None
                if node and item and node.send_last == "on_sub_and_presence" and not refusal(self, node, session.jid):
                    session.push(account.pep.published(node, item))

    def account_of(self, jid: str) -> Account:
        """An account; raises LookupError."""
        try:
            return self.accounts[bare(jid)]
        except KeyError:
            raise LookupError(f"there is no account {bare(jid)}") from None

    def contacts(self, jid: str) -> set[str]:
        """Those whose presence an account receives."""
        account = self.accounts.get(jid)
        return account.sees if account else set()

    def roster(self, jid: str) -> dict[str, frozenset[str]]:
        """The groups of the contacts whose presence an account receives."""
        return {contact: self.groups(jid, contact) for contact in self.contacts(jid)}

    def sees(self, jid: str, owner: str) -> bool:
        """Whether an account is another one, or receives its presence."""
        return jid == owner or owner in self.contacts(jid)

    def groups(self, owner: str, jid: str) -> frozenset[str]:
        """The groups in which an account has a contact."""
        account = self.accounts.get(owner)
        return account.groups.get(jid, frozenset()) if account else frozenset()

    def _push_roster(self, account: Account, contact: Account, *, gained: bool = False) -> None:
        """A roster push; what a new contact's presence brings follows it."""
        for session in account.sessions:
            session.push(RosterEvent(service=contact.jid, node=""), let_in=True)
            if gained and session.stream == "up":
                self.push_last(session, session.announced, [contact.jid])

    def _push_subscribed(self, service: Service, session: FakeSession) -> None:
        """ejabberd: presence brings the last item of subscribed nodes, looking live."""
        for node in service.nodes.values():
            item = node.last()
            if item and node.send_last == "on_sub_and_presence" and node.subscribed(session.jid):
                session.push(service.published(node, item))

    def _sessions(self, jid: str) -> list[FakeSession]:
        sessions = [session for session in self.account_of(jid).sessions if session.wanted]
        if not sessions:
            raise LookupError(f"{bare(jid)} has no session that was asked to connect")
        return sessions

    def _wake(self) -> None:
        if not self._queue or self._loop is not None:
            return
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # Built before the loop runs; the first thing queued on it, or settle, starts delivery.
        self._loop.call_soon(self._step)

    def _step(self) -> None:
        self._loop = None
        try:
            for _ in range(len(self._queue) if self.burst else min(1, len(self._queue))):
                self._queue.popleft()()
        finally:
            self._wake()

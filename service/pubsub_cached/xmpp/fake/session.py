"""A session of the fake: the port on one side, an account of the world on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Concatenate, Literal, ParamSpec, TypeVar

from ...errors import AuthenticationFailed, NoAnswer, Offline
from ...jid import bare, normalise
from ..port import Endpoint, Event, Listener, PasswordSource, RosterEvent, SessionState
from ..roster import differing
from .asking import Asking
from .door import Call

if TYPE_CHECKING:
    from .service import Service
    from .world import World

P = ParamSpec("P")
T = TypeVar("T")


class FakeSession(Asking):
    """One account's session (``port.Session``).

    wanted: whether the client asked to be connected, and did not close since.
    The stream has two ends: ``stream`` is what the server thinks of it and changes at once when a
    test says so; what the client thinks follows when the world's queue gets there.
    """

    def __init__(self, world: World, endpoint: Endpoint, password: PasswordSource, listener: Listener) -> None:
        self.world = world
        self.jid = bare(endpoint.jid)
        self.listener = listener
        self.stream: Literal["none", "up", "cut"] = "none"
        self.wanted = False
        self.announced: frozenset[str] = frozenset()
        self.state: SessionState = "offline"
        self._password = password
        self._online = False
        self._dead = False
        self._features: tuple[str, ...] = ()
        self._interests: frozenset[str] = frozenset()
        self._roster: dict[str, frozenset[str]] = {}
        self._missed: list[tuple[Event, bool]] = []
        self._calls: set[Call] = set()

    # The port

    @property
    def online(self) -> bool:
        """Whether requests can be made now."""
        return self._online

    @property
    def contacts(self) -> Set[str]:
        """Bare JIDs whose presence the account receives."""
        return self._roster.keys()

    def groups(self, contact: str) -> frozenset[str]:
        """The groups in which a contact stands."""
        return self._roster.get(contact, frozenset())

    @property
    def server_features(self) -> tuple[str, ...]:
        """Features of the account's PEP service, sorted, as of the last session; none while there was none."""
        return self._features

    def connect(self) -> None:
        """Connect; after a loss only the test, or ``World(reconnect=True)``, connects again."""
        if self.wanted and self.state in ("connecting", "online"):
            return
        self.wanted = True
        self.world.enqueue(self._attempt)

    async def close(self) -> None:
        """End the stream, of which the listener knows at once; returns once the server has closed its side."""
        self.wanted = False
        self._hang_up()
        self._drop()
        self._change("offline")
        ended = asyncio.get_running_loop().create_future()
        self.world.enqueue(self._end, ended)
        await ended

    def network_changed(self, up: bool) -> None:
        """Connect at once where a session is waiting; the fake's streams never hang unheard."""
        if up and self.wanted and self.state == "waiting":
            self.world.enqueue(self._attempt)

    def set_interests(self, nodes: frozenset[str]) -> None:
        """Announce ``+notify`` for PEP nodes; new ones bring their last items."""
        self._interests = frozenset(nodes)
        if self._online:
            self.world.enqueue(self._announce)

    # The server's end of the stream

    def push(self, event: Event, *, let_in: bool = False) -> bool:
        """Send an event down the stream, or keep it for resumption; False when there is no stream.

        let_in: the client does not ask whether the service was solicited.
        """
        if self.stream == "up":
            self.world.enqueue(self._deliver, event, let_in)
        elif self.stream == "cut":
            self._missed.append((event, let_in))
        return self.stream != "none"

    def cut(self) -> None:
        """The connection is lost; the server keeps the stream for resumption."""
        if self.stream == "up":
            self.stream = "cut"
            self.world.enqueue(self._lose)

    def resume(self) -> bool:
        """Resume the stream and replay what was missed; False, and a new session, where too much was."""
        self.cut()
        account = self.world.account_of(self.jid)
        limit = account.pep.profile.resume_limit
        if self.stream != "cut" or (limit is not None and len(self._missed) > limit):
            self.restore()
            return False
        self.stream = "up"
        self.world.enqueue(self._change, "connecting")
        self.world.enqueue(self._start, True)
        missed, self._missed = self._missed, []
        for event, let_in in missed:
            self.world.enqueue(self._deliver, event, let_in)
        return True

    def restore(self) -> None:
        """Connect with a new session; what was missed is lost, unless it was stored."""
        self.cut()
        account = self.world.account_of(self.jid)
        account.reachable = True
        if account.refused:
            self.world.enqueue(self._attempt)
        else:
            self._establish()

    def kill(self) -> None:
        """The client's process is gone: its listener hears nothing any more."""
        self.wanted = self._online = False
        self._dead = True
        self._hang_up()

    def _hang_up(self) -> None:
        """No stream any more; of what was kept for resumption only stored messages remain."""
        missed, self._missed = self._missed, []
        self.stream = "none"
        self.world.store_missed(self.jid, [event for event, _ in missed if not isinstance(event, RosterEvent)])

    # The client's end of the stream

    def _attempt(self) -> None:
        if not self.wanted or self.stream == "up":
            return
        self._change("connecting")
        account = self.world.accounts.get(self.jid)
        reason = "there is no such account" if account is None else account.refused
        try:
            password = self._password()
        except AuthenticationFailed as error:
            self._fail(error)
            return
        if account is not None and not reason and password != account.password:
            reason = "the password is wrong"
        if reason:
            self._fail(AuthenticationFailed(f"The server refused {self.jid}: {reason}."))
        elif account is not None and not account.reachable:
            self._change("waiting", Offline.dbus_name, f"The server of {self.jid} cannot be reached.")
        else:
            self._establish()

    def _fail(self, error: AuthenticationFailed) -> None:
        self.wanted = False
        self._change("failed", error.dbus_name, error.message)

    def _establish(self) -> None:
        """The server accepted a new session: presence is sent, and last items come."""
        self._hang_up()
        self.stream = "up"
        self.announced = self._interests
        self.world.enqueue(self._change, "connecting")
        self.world.enqueue(self._start, False)
        self.world.greet(self)

    def _start(self, resumed: bool) -> None:
        if self._dead:
            return
        self._online = True
        before = self._roster
        if not resumed:
            self._roster = self.world.roster(self.jid)
            self._features = tuple(sorted(self.world.account_of(self.jid).pep.profile.advertised))
        self._change("online")
        self.listener.session_started(resumed)
        self._tell_moved(before if before else self._roster)
        if self._interests != self.announced:
            self._announce()

    def _announce(self) -> None:
        new = self._interests - self.announced
        if self.stream == "up":
            self.announced = self._interests
            self.world.push_last(self, new)

    def _lose(self) -> None:
        self._drop()
        self._change("waiting", Offline.dbus_name, f"The connection of {self.jid} was lost.")
        if self.world.reconnect:
            self.world.enqueue(self._attempt)

    def _end(self, ended: asyncio.Future[None]) -> None:
        if not ended.done():
            ended.set_result(None)

    def _drop(self) -> None:
        """The client notices that the stream is down: requests under way fail."""
        if not self._online:
            return
        self._online = False
        for call in list(self._calls):
            call.fail(Offline(f"The connection of {self.jid} was lost before {call.request.service} answered."))
        self.listener.session_ended()

    def _deliver(self, event: Event, let_in: bool) -> None:
        if isinstance(event, RosterEvent):
            before, self._roster = self._roster, self.world.roster(self.jid)
            self._tell_moved(before)
        elif self._online and (let_in or self._solicited(event.service)):
            self.listener.event(event)

    def _tell_moved(self, before: dict[str, frozenset[str]]) -> None:
        for contact in differing(before, self._roster) if self._online else ():
            self.listener.event(RosterEvent(service=contact, node=""))

    def _change(self, state: SessionState, error: str = "", message: str = "") -> None:
        if state != self.state and not self._dead:
            self.state = state
            self.listener.session_changed(state, error, message)

    def _solicited(self, service: str) -> bool:
        """Whether events of this service were solicited."""
        return service == self.jid or service in self.contacts or self.listener.solicited(service)

    async def _ask(
        self,
        kind: str,
        service: str,
        node: str,
        timeout: float,
        answer: Callable[Concatenate[Service, str, str, P], T],
        *args: P.args,
        **arguments: P.kwargs,
    ) -> T:
        if not self._online:
            raise Offline(f"{self.jid} is not connected.")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        request = self.world.log(self.jid, kind, normalise(service), node, arguments)
        call = Call(request, lambda asked: answer(asked, self.jid, node, *args, **arguments), future, timeout)
        self._calls.add(call)
        self.world.enqueue(self.world.route, call)
        try:
            async with asyncio.timeout(timeout if self.world.real_timeouts else None):
                return await future
        except TimeoutError:
            raise NoAnswer(f"{service} did not answer within {timeout:g} seconds.") from None
        finally:
            self._calls.discard(call)

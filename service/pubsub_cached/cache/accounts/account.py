"""One account: its session, and what follows that."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ... import errors, object_path
from ...store.rows import AccountRow
from ...xmpp.port import Event, Session, SessionState

if TYPE_CHECKING:
    from .accounts import Accounts

log = logging.getLogger(__name__)

# How long a call waits for a session that is only just beginning, s; a keyring may be waiting for a person.
BEGINNING = 10.0
# Of all accounts in one row: one that is removed and added again begins with another than it had.
_EPOCHS = itertools.count(1)


class Follower(Protocol):
    """What follows an account's session; every call comes on the loop's thread, in the stream's order."""

    def session_started(self, account: Account, resumed: bool) -> None:
        """The stream is up; the account is online only after ``account.set_ready``."""

    def session_ended(self, account: Account) -> None:
        """The stream is down."""

    def event(self, account: Account, event: Event) -> None:
        """A notification that was let in."""

    def solicited(self, account: Account, service: str) -> bool:
        """Whether the account has asked for events of this service."""

    async def waits(self, account: Account) -> None:
        """Another daemon runs the account, and may have written; called again and again."""

    async def taken(self, account: Account) -> None:
        """The account is run by this daemon from now on, perhaps after another one; may be called again."""

    def left(self, account: Account) -> None:
        """The account is not run by this daemon any more."""


class Account:
    """One account and its session (a Listener of it, ``xmpp.port``)."""

    def __init__(self, row: AccountRow, follower: Follower) -> None:
        self.jid = row.jid
        self.path = object_path.of_name("account", row.jid)
        self.row = row
        self.state: SessionState = "offline"
        self.error = ""
        self.error_message = ""
        # Rises with each session that does not continue the one before it.
        self.epoch = 0
        # Whether what was live in an earlier session has been demoted.
        self.ready = False
        # Whether the first attempt since the start, or since somebody had it connect, is yet to end.
        self._beginning = False
        self._turn = asyncio.Event()
        self.on_change: list[Callable[[], object]] = []
        self.session: Session
        # Whether there is a secret is being found out.
        self.looking: asyncio.Task[None] | None = None
        # Why the account is not run here, as where another daemon does, as a sentence; "" where it is.
        self.waits = ""
        # It is to be run here as soon as that is possible.
        self.taking: asyncio.Task[None] | None = None
        # Whether it may connect by itself: a client ended the session otherwise.
        self.wanted = True
        # It is about to be removed, or was: it connects no more.
        self.removed = False
        self._enabling = asyncio.Lock()
        self._follower = follower
        self._accounts: Accounts

    def attach(self, session: Session, accounts: Accounts) -> None:
        """Give the account its session, made with the account as its listener."""
        self.session, self._accounts = session, accounts
        session.set_interests(self.interests)

    @property
    def interests(self) -> frozenset[str]:
        """The PEP nodes that its presence asks for."""
        return self._accounts.interests

    @property
    def enabled(self) -> bool:
        """Whether it connects by itself, and may be connected."""
        return self.row.enabled

    @property
    def origin(self) -> str:
        """``config`` or ``bus``."""
        return self.row.origin

    @property
    def online(self) -> bool:
        """Whether services can be asked, and what is called live is."""
        return self.ready and self.session.online and not self.waits

    def set_ready(self) -> None:
        """What was live in an earlier session has been demoted."""
        self.ready = True
        self._turned()
        self._tell_online()

    def require_session(self) -> Session:
        """The session, for a request. Raises Offline."""
        if not self.online:
            said = f": {self.error_message}" if self.error_message else "."
            raise errors.Offline(f"{self.jid} is {self.state}{said}")
        return self.session

    async def session_when_ready(self, seconds: float = BEGINNING) -> Session:
        """The session; one that is only just beginning is waited for, so long at most. Raises Offline.

        So the call that had the daemon started is not refused for coming first.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._beginning or (self.session.online and not self.ready and not self.waits):
                    await self._turn.wait()
        return self.require_session()

    async def session_within(self, seconds: float) -> tuple[Session, float]:
        """The session as ``session_when_ready`` gives it, and what that leaves of so many seconds."""
        clock = asyncio.get_running_loop().time
        asked = clock()
        session = await self.session_when_ready()
        return session, seconds - round(clock() - asked, 1)

    async def session_at_last(self) -> Session:
        """The session, however long it takes until there is one."""
        while not self.online:
            await self._turn.wait()
        return self.session

    def begin(self) -> None:
        """The session is about to begin, or is being begun."""
        self._beginning = not self.session.online

    def not_begun(self) -> None:
        """There is nothing to wait for: the attempt failed, or was not made."""
        self._beginning = False
        if self.state == "connecting":
            self._tell("offline", "", "")
        self._turned()

    async def connect(self) -> None:
        """Connect and stay connected until ``disconnect`` or a restart.

        Raises NotSupported, Conflict, and NoSuchAccount while it is being removed.
        """
        if self.removed:
            raise self.gone()
        if not self.enabled:
            raise errors.NotSupported(f"{self.jid} is disabled; set its property Enabled first.")
        self.wanted = True
        if self.waits:
            raise errors.Conflict(f"{self.waits} Once that has ended, the account connects by itself.")
        self.look_no_more()
        self.begin()
        self._accounts.start_session(self)

    async def disconnect(self) -> None:
        """End the session and make no other until ``connect`` or a restart."""
        self.wanted = False
        self.look_no_more()
        self.not_begun()
        await self.session.close()

    async def set_password(self, secret: str) -> None:
        """Keep the password where secrets are kept, and connect with it."""
        await self._accounts.keep_secret(self, secret)
        self.look_no_more()
        # Whoever disconnects it while the session ends comes later, and counts.
        self.wanted = True
        await self.session.close()
        if self.enabled and self.wanted and not self.waits:
            self.begin()
            self._accounts.start_session(self)

    async def set_enabled(self, enabled: bool) -> None:
        """Enable and connect, or disable and disconnect, for good. NotSupported for the configuration's."""
        if self.origin == "config":
            raise errors.NotSupported(f"{self.jid} is in the configuration file; set its key 'enabled' there.")
        async with self._enabling:
            # In the order of the calls: the last one counts.
            if self.removed:
                raise self.gone()
            if enabled == self.enabled:
                return
            self.row = await self._accounts.enable(self.jid, enabled)
            self._changed()
            if enabled:
                self.wanted = True
                self._accounts.connect_with_secret(self)
            else:
                await self.disconnect()
                await self._accounts.let_go(self)

    def gone(self) -> errors.NoSuchAccount:
        """What is told to whoever does something to an account that is removed meanwhile."""
        return errors.NoSuchAccount(
            f"{self.jid} was removed meanwhile; 'pubsub-cachectl account add {self.jid}' adds it."
        )

    def look_no_more(self) -> None:
        """What was decided since counts, not what is found out about the secret."""
        if self.looking is not None:
            self.looking.cancel()
            self.looking = None

    async def remove(self, keep_cache: bool) -> None:
        """Forget the account and its secret, and what is cached of it unless ``keep_cache``."""
        if self.origin == "config":
            raise errors.NotSupported(f"{self.jid} is in the configuration file; take it out there.")
        async with self._enabling:
            # Of two at once the second has nothing to remove, or what was added under the same name since.
            if self.removed:
                raise self.gone()
            await self._accounts.remove(self, keep_cache)

    def written_down(self, row: AccountRow) -> None:
        """What another daemon wrote down of the account."""
        before, self.row = self.row, row
        self._accounts.written_down()
        if row.enabled != before.enabled:
            self._changed()

    def wait(self, reason: str) -> None:
        """The account is not run here, or not yet again; reason: as a sentence."""
        self.waits = ""
        self.session_changed("waiting", errors.Conflict.dbus_name, reason)
        self.waits = reason

    def go_on(self) -> None:
        """The account is run here again."""
        if self.waits:
            self.waits = ""
            self.session_changed("offline", "", "")

    def session_changed(self, state: SessionState, error: str, message: str) -> None:
        """See ``port.Listener``."""
        # Whoever hears that it is online reads at once, and has to be answered by the service: told once that is true.
        # While another daemon runs the account it is what a session says that is being closed.
        if state != "online" and not self.waits:
            self._tell(state, error, message)

    def _tell(self, state: SessionState, error: str, message: str) -> None:
        if (state, error, message) == (self.state, self.error, self.error_message):
            return
        log.info("account %s: %s%s", self.jid, state, f" ({message})" if message else "")
        self.state, self.error, self.error_message = state, error, message
        if state in ("offline", "waiting", "failed"):
            self.not_begun()
        self._changed()

    def _tell_online(self) -> None:
        if self.online:
            self._tell("online", "", "")

    def session_started(self, resumed: bool) -> None:
        """See ``port.Listener``."""
        if not resumed:
            self.epoch = next(_EPOCHS)
            self.ready = False
        self._beginning = False
        self._follower.session_started(self, resumed)
        self._turned()
        self._tell_online()

    def session_ended(self) -> None:
        """See ``port.Listener``."""
        # Whoever waits for the session learns that there is none.
        self._turned()
        self._follower.session_ended(self)

    def event(self, event: Event) -> None:
        """See ``port.Listener``."""
        self._follower.event(self, event)

    def solicited(self, service: str) -> bool:
        """See ``port.Listener``."""
        return self._follower.solicited(self, service)

    def _turned(self) -> None:
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()

    def _changed(self) -> None:
        for callback in self.on_change:
            callback()

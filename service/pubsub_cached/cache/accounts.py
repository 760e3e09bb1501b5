"""Accounts: whose session is up, and whom an empty string means."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec

from .. import config, errors, jid
from ..address import Address
from ..secrets import Secrets
from ..store import accounts as account_store
from ..store.rows import AccountRow
from ..store.store import Store
from ..threads import in_thread
from ..xmpp.port import Connector, Endpoint, Event, Session, SessionState
from .options import AccountOptions

log = logging.getLogger(__name__)

ROOT = "/im/pubsubcache1/account"

# How long a call waits for a session that is only just beginning, s; a keyring may be waiting for a person.
BEGINNING = 10.0


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


class Account:
    """One account and its session (a Listener of it, ``xmpp.port``)."""

    def __init__(self, row: AccountRow, interests: frozenset[str], follower: Follower) -> None:
        self.jid = row.jid
        self.path = f"{ROOT}/{_escape(row.jid)}"
        self.row = row
        self.enabled = row.enabled
        self.interests = interests
        self.state: SessionState = "offline"
        self.error = ""
        self.error_message = ""
        # Rises with each session that does not continue the one before it.
        self.epoch = 0
        # Whether what was live in an earlier session has been demoted.
        self._ready = False
        # Whether the first attempt since the start, or since somebody had it connect, is yet to end.
        self._beginning = False
        self._turn = asyncio.Event()
        self.on_change: list[Callable[[Account, tuple[str, ...]], None]] = []
        self.session: Session
        # Whether there is a secret is being found out.
        self.looking: asyncio.Task[None] | None = None
        self._follower = follower
        self._accounts: Accounts

    def attach(self, session: Session, accounts: Accounts) -> None:
        """Give the account its session, made with the account as its listener."""
        self.session, self._accounts = session, accounts
        session.set_interests(self.interests)

    @property
    def origin(self) -> str:
        """``config`` or ``bus``."""
        return self.row.origin

    @property
    def online(self) -> bool:
        """Whether services can be asked, and what is called live is."""
        return self._ready and self.session.online

    def set_ready(self) -> None:
        """What was live in an earlier session has been demoted."""
        self._ready = True
        self._turned()

    @property
    def server_features(self) -> list[str]:
        """Features of the account's server; empty while there is no session."""
        return list(self.session.server_features)

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
                while self._beginning or (self.session.online and not self._ready):
                    await self._turn.wait()
        return self.require_session()

    def begin(self) -> None:
        """The session is about to begin, or is being begun."""
        self._beginning = not self.session.online

    def not_begun(self) -> None:
        """There is nothing to wait for: the attempt failed, or was not made."""
        self._beginning = False
        self._turned()

    async def connect(self) -> None:
        """Connect and stay connected until ``disconnect`` or a restart."""
        if not self.enabled:
            raise errors.NotSupported(f"{self.jid} is disabled; set its property Enabled first.")
        self.look_no_more()
        self.begin()
        self.session.connect()

    async def disconnect(self) -> None:
        """End the session and make no other until ``connect`` or a restart."""
        self.look_no_more()
        self.not_begun()
        await self.session.close()

    async def set_password(self, secret: str) -> None:
        """Keep the password where secrets are kept, and connect with it."""
        self.look_no_more()
        await self._accounts.keep_secret(self, secret)
        await self.session.close()
        if self.enabled:
            self.begin()
            self.session.connect()

    async def set_enabled(self, enabled: bool) -> None:
        """Enable and connect, or disable and disconnect, for good. NotSupported for the configuration's."""
        if self.origin == "config":
            raise errors.NotSupported(f"{self.jid} is in the configuration file; set its key 'enabled' there.")
        if enabled == self.enabled:
            return
        self.row = await self._accounts.enable(self.row, enabled)
        self.enabled = enabled
        self._changed("Enabled")
        if enabled:
            self._accounts.connect_with_secret(self)
        else:
            await self.disconnect()

    def look_no_more(self) -> None:
        """What was decided since counts, not what is found out about the secret."""
        if self.looking is not None:
            self.looking.cancel()
            self.looking = None

    async def remove(self, keep_cache: bool) -> None:
        """Forget the account and its secret, and what is cached of it unless ``keep_cache``."""
        if self.origin == "config":
            raise errors.NotSupported(f"{self.jid} is in the configuration file; take it out there.")
        await self._accounts.remove(self, keep_cache)

    def session_changed(self, state: SessionState, error: str, message: str) -> None:
        """See ``port.Listener``."""
        if (state, error, message) == (self.state, self.error, self.error_message):
            return
        log.info("account %s: %s%s", self.jid, state, f" ({message})" if message else "")
        self.state, self.error, self.error_message = state, error, message
        if state in ("offline", "waiting", "failed"):
            self.not_begun()
        self._changed("State", "Error", "ErrorMessage", "ServerFeatures")

    def session_started(self, resumed: bool) -> None:
        """See ``port.Listener``."""
        if not resumed:
            self.epoch += 1
            self._ready = False
        self._beginning = False
        self._follower.session_started(self, resumed)

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

    def set_interests(self, interests: frozenset[str]) -> None:
        """Other PEP nodes are wanted."""
        self.interests = interests
        self.session.set_interests(interests)

    def _turned(self) -> None:
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()

    def _changed(self, *names: str) -> None:
        for callback in self.on_change:
            callback(self, names)


class Accounts:
    """All accounts, those of the configuration first."""

    def __init__(
        self, store: Store, connector: Connector, secrets: Secrets, configured: tuple[config.Account, ...]
    ) -> None:
        self.on_added: list[Callable[[Account], None]] = []
        self.on_removed: list[Callable[[Account], None]] = []
        self._store = store
        self._connector = connector
        self._secrets = secrets
        self._configured = {account.jid: account for account in configured}
        self._accounts: dict[str, Account] = {}
        self._adding: set[str] = set()
        self._interests: frozenset[str] = frozenset()
        self._follower: Follower

    async def load(self, follower: Follower, interests: frozenset[str]) -> None:
        """Make every account of the configuration and the database; none connects yet."""
        self._follower, self._interests = follower, interests
        for account in self._configured.values():
            await self._store.write(
                account_store.ensure,
                account.jid,
                origin="config",
                enabled=account.enabled,
                host=account.host,
                port=account.port,
                tls=account.tls,
                ca_file=account.ca_file,
            )
        for row in await self._store.read(account_store.all):
            if row.origin == "bus" or row.jid in self._configured:
                self._make(row)
            else:
                # Taken out of the configuration; its cache waits for its return.
                await self._store.write(account_store.remove, row.jid, True)

    def begin(self) -> None:
        """``connect`` is to come: calls that need a session wait for it."""
        for account in self.list():
            if account.enabled:
                account.begin()

    async def connect(self) -> None:
        """Connect every enabled account that has a secret, or is configured to have one."""
        for account in self.list():
            if account.enabled:
                self.connect_with_secret(account)

    def connect_with_secret(self, account: Account) -> None:
        """Connect; an account added over the bus without a secret stays offline.

        Nobody waits for it: a keyring may ask a person first.
        """
        account.begin()
        if account.origin == "bus":
            account.looking = asyncio.create_task(self._look_for_secret(account), name=f"password of {account.jid}")
        else:
            account.session.connect()

    async def _look_for_secret(self, account: Account) -> None:
        try:
            if await in_thread(partial(self._secrets.lookup, account.jid), "stored password") is not None:
                account.session.connect()
            else:
                account.not_begun()
        except errors.PubSubCachedError as error:
            account.session_changed("failed", errors.AuthenticationFailed.dbus_name, error.message)

    def list(self) -> list[Account]:
        """All accounts, in a stable order."""
        return [*self._accounts.values()]

    def get(self, name: str) -> Account:
        """The account of a bare JID. Raises InvalidJid, NoSuchAccount."""
        bare = jid.bare(name)
        if bare not in self._accounts:
            known = ", ".join(self._accounts) or "none"
            raise errors.NoSuchAccount(f"There is no account '{name}'; there is: {known}. Add one with AddAccount.")
        return self._accounts[bare]

    def resolve(self, account: str, service: str, node: str) -> Address:
        """The address that a caller's three strings mean.

        Raises InvalidJid, NoSuchAccount, AmbiguousAccount.
        """
        found = self.get(account) if account else self._only()
        return Address(found.jid, jid.normalise(service) if service else found.jid, node)

    async def add(self, name: str, options: AccountOptions) -> Account:
        """A new account, kept in the database. Raises InvalidJid, AccountExists, InvalidArgs."""
        bare = jid.normalise(name)
        if "/" in bare or "@" not in bare:
            raise errors.InvalidJid(f"'{name}' is no account; write it as user@domain.")
        if bare in self._accounts or bare in self._adding:
            raise errors.AccountExists(f"There is an account {bare} already; remove it first or set its password.")
        if options.tls == "none" and not config.is_loopback(options.host or jid.domain(bare)):
            raise errors.InvalidArgs("The option 'tls' is 'none', which is for a loopback host only; use 'starttls'.")
        self._adding.add(bare)
        try:
            row = await self._store.write(account_store.ensure, bare, **msgspec.structs.asdict(options))
        finally:
            self._adding.discard(bare)
        account = self._make(row)
        for callback in self.on_added:
            callback(account)
        if account.enabled:
            self.connect_with_secret(account)
        return account

    async def enable(self, row: AccountRow, enabled: bool) -> AccountRow:
        """Write down whether the account connects."""
        values = msgspec.structs.asdict(row) | {"enabled": enabled}
        del values["id"]
        return await self._store.write(account_store.ensure, **values)

    async def remove(self, account: Account, keep_cache: bool) -> None:
        """End the session and forget the account."""
        account.look_no_more()
        await account.session.close()
        await in_thread(partial(self._secrets.remove, account.jid), "stored password")
        await self._store.write(account_store.remove, account.jid, keep_cache)
        if self._accounts.pop(account.jid, None) is None:
            return
        for callback in self.on_removed:
            callback(account)

    async def keep_secret(self, account: Account, secret: str) -> None:
        """Store an account's password. NotSupported where the configuration names another source."""
        configured = self._configured.get(account.jid)
        if configured is not None and (configured.password_file or configured.password_command):
            raise errors.NotSupported(
                f"The configuration file says where the password of {account.jid} comes from; change it there."
            )
        await in_thread(partial(self._secrets.store, account.jid, secret), "stored password")

    @property
    def interests(self) -> frozenset[str]:
        """The PEP nodes that the analysers want."""
        return self._interests

    def set_interests(self, interests: frozenset[str]) -> None:
        """The analysers want other PEP nodes."""
        self._interests = interests
        for account in self.list():
            account.set_interests(interests)

    async def close(self) -> None:
        """End every session."""
        self._secrets.close()
        for account in self.list():
            account.look_no_more()
        await asyncio.gather(*(account.session.close() for account in self.list()))

    def _make(self, row: AccountRow) -> Account:
        account = Account(row, self._interests, self._follower)
        source = self._secrets.source(self._configured.get(row.jid, row.jid))
        account.attach(self._connector(_endpoint(row), source, account), self)
        self._accounts[row.jid] = account
        return account

    def _only(self) -> Account:
        enabled = [account for account in self._accounts.values() if account.enabled]
        if not enabled:
            raise errors.NoSuchAccount("There is no enabled account; add one with AddAccount or in config.toml.")
        if len(enabled) > 1:
            names = ", ".join(account.jid for account in enabled)
            raise errors.AmbiguousAccount(f"Several accounts are enabled, so name one of them: {names}.")
        return enabled[0]


def _endpoint(row: AccountRow) -> Endpoint:
    tls: Any = row.tls
    return Endpoint(row.jid, row.host, row.port, tls, row.ca_file, row.resource)


def _escape(text: str) -> str:
    """An element of an object path, as ``sd_bus_path_encode`` writes it."""
    from ..bus.paths import encode

    return encode(text)

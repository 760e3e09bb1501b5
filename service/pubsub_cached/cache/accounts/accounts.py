"""Accounts: whose session is up, and whom an empty string means."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from ... import config, errors, jid
from ...address import Address
from ...counting import are, listed
from ...secrets import Secrets
from ...store.accounts import accounts as account_store
from ...store.accounts import outbox as outbox_store
from ...store.database import AccountInUse
from ...store.rows import AccountRow
from ...store.store import Store, Transaction
from ...tasks import Tasks, end
from ...threads import in_thread
from ...xmpp.port import Connector, Endpoint
from ..options import AccountOptions
from .account import Account, Follower
from .holding import Holding

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

# Seconds between two looks at the accounts that other daemons have added to the database or removed from it.
LOOKED_AGAIN = 2.0
# Seconds that another daemon has to let go what it took as it was disabled; between two tries to write of it meanwhile.
LETTING_GO = 5.0
TRIED_AGAIN = 0.05
# Characters of a node's name; services take fewer.
NODE_AT_MOST = 16_384


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
        # How often an account came, went, was enabled or disabled; and who looks for those that do so elsewhere.
        self._changes = 0
        self._looking = Tasks()
        # The PEP nodes that the analysers want.
        self.interests: frozenset[str] = frozenset()
        self._follower: Follower
        self._connecting = False
        self._holding = Holding(store, self._configured)
        self._holding.accounts = self.list
        self._holding.connect = self._connect_taken
        self._holding.forget = self._forget

    async def find(self) -> list[tuple[AccountRow, str]]:
        """See ``Holding``."""
        return await self._holding.find()

    def make(self, found: list[tuple[AccountRow, str]], follower: Follower, interests: frozenset[str]) -> None:
        """Make the accounts that were found; none connects yet."""
        self._follower, self.interests = follower, interests
        self._holding.follower = follower
        for row, refused in found:
            account = self._make(row)
            if refused:
                account.wait(refused)

    def start(self) -> None:
        """Begin to wait for the accounts that other daemons run."""
        for account in self.list():
            if account.waits:
                self._holding.take(account)
        if self._store.shared:
            self._looking.begin(self._look_again(), "accounts of other daemons")

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOKED_AGAIN)
            try:
                await self._look()
            except errors.PubSubCachedError as error:
                log.debug("Whether there are other accounts can't be told yet: %s", error)

    async def _look(self) -> None:
        """Have the accounts that another daemon added, no more those that one removed, and know what one disabled."""
        changes = self._changes
        rows = await self._holding.stored()
        if changes != self._changes or self._adding:
            # What came or went here meanwhile may be missing.
            return
        went = [account for account in self.list() if self._went(account, rows)]
        for account in went:
            log.info("account %s: removed by another daemon", account.jid)
            self._forget(account)
        for row in rows.values():
            known = self._accounts.get(row.jid)
            if known is None:
                log.info("account %s: added by another daemon", row.jid)
                self._holding.take(self._came(row))
            elif row.enabled != known.enabled and not self._holding.runs(known):
                known.written_down(row)
                if known.enabled and known.wanted:
                    self._holding.take(known)
        for account in went:
            await account.session.close()
            await self._holding.removed(account)

    def _went(self, account: Account, rows: dict[str, AccountRow]) -> bool:
        """Whether another daemon removed an account; it may have added one of the same name since."""
        row = rows.get(account.jid)
        there = row is not None and row.id == account.row.id
        return not there and account.origin == "bus" and not self._holding.runs(account)

    def begin(self) -> None:
        """``connect`` is to come: calls that need a session wait for it, and nobody is told to connect by hand."""
        for account in self.list():
            if account.enabled and not account.waits:
                account.begin()
                account.session_changed("connecting", "", "")

    def connect(self) -> None:
        """Connect every enabled account that has a secret, or is configured to, and was not disconnected yet."""
        self._connecting = True
        for account in self.list():
            if account.enabled and account.wanted and not account.waits:
                self.connect_with_secret(account)

    def start_session(self, account: Account) -> None:
        """Connect an account that is run here; another is taken first. One that was removed meanwhile is left alone."""
        if account.removed:
            account.not_begun()
        elif self._holding.runs(account):
            account.session.connect()
        else:
            self._holding.take(account)

    async def let_go(self, account: Account) -> None:
        """Run an account no longer, so that another daemon may."""
        await self._holding.let_go(account)

    def _connect_taken(self, account: Account) -> None:
        if self._connecting and account.wanted and (account.looking is None or account.looking.done()):
            self.connect_with_secret(account)

    def connect_with_secret(self, account: Account) -> None:
        """Connect; an account added over the bus without a secret stays offline.

        Nobody waits for it: a keyring may ask a person first.
        """
        account.begin()
        if account.origin == "bus":
            account.looking = asyncio.create_task(self._look_for_secret(account), name=f"password of {account.jid}")
        else:
            self.start_session(account)

    async def _look_for_secret(self, account: Account) -> None:
        try:
            if await in_thread(partial(self._secrets.lookup, account.jid), "stored password") is not None:
                self.start_session(account)
            else:
                account.not_begun()
                # Another daemon may have one.
                await self.let_go(account)
        except errors.PubSubCachedError as error:
            account.session_changed("failed", errors.AuthenticationFailed.dbus_name, error.message)

    def list(self) -> list[Account]:
        """All accounts, in a stable order."""
        return [*self._accounts.values()]

    def get(self, name: str) -> Account:
        """The account of a bare JID. Raises InvalidJid, NoSuchAccount."""
        bare = jid.bare(name)
        if bare not in self._accounts:
            known = f"; there {are(len(self._accounts))} {listed(self._accounts, 'and')}" if self._accounts else ""
            raise errors.NoSuchAccount(
                f"There is no account '{name}'{known}. Add one with 'pubsub-cachectl account add JID'."
            )
        return self._accounts[bare]

    def online(self, name: str) -> bool:
        """Whether services can be asked for the account of a bare JID; not for one that is no more."""
        account = self._accounts.get(name)
        return account is not None and account.online

    def resolve(self, account: str, service: str, node: str) -> Address:
        """The address that a caller's three strings mean.

        Raises InvalidJid, NoSuchAccount, AmbiguousAccount, and InvalidArgs for a name that no request could carry.
        """
        if len(node) > NODE_AT_MOST:
            raise errors.InvalidArgs(f"The node '{node}' has {len(node)} characters, and {NODE_AT_MOST} is the most.")
        found = self.get(account) if account else self._only()
        return Address(found.jid, jid.normalise(service) if service else found.jid, node)

    def meant(self, name: str) -> str:
        """The account that a name in a list means, "" the only one. Raises InvalidJid; for "" what ``resolve`` does."""
        return jid.bare(name) if name else self._only().jid

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
        account = self._came(row)
        if account.enabled:
            self.connect_with_secret(account)
        return account

    def _came(self, row: AccountRow) -> Account:
        """One more account."""
        account = self._make(row)
        self._holding.show(account.row for account in self.list())
        for callback in self.on_added:
            callback(account)
        return account

    async def enable(self, jid: str, enabled: bool) -> AccountRow:
        """Write down whether an account connects. Raises NoSuchAccount, AccountInUse."""
        row = await self._write(account_store.enable, jid, enabled)
        self.written_down()
        return row

    def written_down(self) -> None:
        """Of an account something else is known now: whoever read that before knows less."""
        self._changes += 1

    async def remove(self, account: Account, keep_cache: bool) -> None:
        """End the session and forget the account. Raises AccountInUse."""
        await self._write(account_store.own, account.jid)
        account.removed = True
        try:
            account.look_no_more()
            await account.session.close()
            await in_thread(partial(self._secrets.remove, account.jid), "stored password")
            await self._write(_remove, account.jid, keep_cache)
        except BaseException as error:
            account.removed = False
            if isinstance(error, errors.PubSubCachedError) and account.enabled and account.wanted:
                # It stays, and was connected until now.
                self.connect_with_secret(account)
            raise
        self._forget(account)
        await self._holding.removed(account)

    async def _write(
        self, fn: Callable[Concatenate[Transaction, str, P], T], jid: str, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Write of an account. Raises AccountInUse.

        Who waits for one takes it as it is disabled, to let it go once that is read.
        """
        deadline = time.monotonic() + LETTING_GO
        while True:
            try:
                return await self._store.write(fn, jid, *args, **kwargs)
            except AccountInUse:
                row = await self._store.read(account_store.find, jid)
                if row is None or row.enabled or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(TRIED_AGAIN)

    def _forget(self, account: Account) -> None:
        if self._accounts.get(account.jid) is not account:
            return
        # Whatever a client is about to do to it comes too late.
        account.removed = True
        del self._accounts[account.jid]
        self._changes += 1
        self._holding.show(account.row for account in self.list())
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
        if account.removed:
            # A keyring may have asked a person first, and meanwhile the account went.
            await in_thread(partial(self._secrets.remove, account.jid), "stored password")
            raise account.gone()

    def set_interests(self, interests: frozenset[str]) -> None:
        """The analysers want other PEP nodes."""
        self.interests = interests
        for account in self.list():
            account.session.set_interests(interests)

    async def close(self) -> None:
        """End every session."""
        self._secrets.close()
        await end(self._looking)
        for account in self.list():
            account.look_no_more()
            if account.taking is not None:
                account.taking.cancel()
        await asyncio.gather(*(account.session.close() for account in self.list()))

    def _make(self, row: AccountRow) -> Account:
        account = Account(row, self._follower)
        source = self._secrets.source(self._configured.get(row.jid, row.jid))
        account.attach(self._connector(_endpoint(row), source, account), self)
        self._accounts[row.jid] = account
        self._changes += 1
        return account

    def _only(self) -> Account:
        enabled = [account for account in self._accounts.values() if account.enabled]
        if not enabled:
            how = "enable" if self._accounts else "add"
            raise errors.NoSuchAccount(
                f"There is no enabled account; {how} one with 'pubsub-cachectl account {how} JID', or in config.toml."
            )
        if len(enabled) > 1:
            names = listed(account.jid for account in enabled)
            raise errors.AmbiguousAccount(f"Several accounts are enabled, so name one of them: {names}.")
        return enabled[0]


def _remove(tx: Transaction, account: str, keep_cache: bool) -> None:
    """Forget an account; what waits to be sent is no cache, and not sent once there is one of that name again."""
    outbox_store.remove_all(tx, account)
    account_store.remove(tx, account, keep_cache)


def _endpoint(row: AccountRow) -> Endpoint:
    tls: Any = row.tls
    return Endpoint(row.jid, row.host, row.port, tls, row.ca_file, row.resource)

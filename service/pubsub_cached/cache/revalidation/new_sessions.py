"""New sessions: what was live before has to be looked at, by a push or by a synchronisation.

Nodes in use go first, then those read lately; where many are left, they are spread over a while, so that a server that
comes back is not asked by everybody for everything at once. Source: the coherence model, "Continuity".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from ... import errors
from ...address import Address, drop_account
from ...pace import Pace
from ...store.accounts import accounts as account_store
from ...store.accounts import nodes as node_store
from ...store.accounts import schedule
from ...store.accounts.schedule import Entry
from ...store.rows import KEPT
from ...store.store import Store, Transaction
from ...xmpp.port import Event
from ..accounts.account import Account
from ..changes import Changes
from ..jitter import Jitter
from ..nodes.negatives import Negatives
from ..parsing.parsing import Parsing
from ..sync.pushes import Pushes, expected
from ..sync.sync import Sync
from ..sync.unsubscribing import Unsubscribing
from .silence import Silence

log = logging.getLogger(__name__)

# A last item comes with the presence, or it does not; ms.
PUSHED_WITHIN = 10_000
# So many nodes, and those read lately, are validated when a session begins; the rest within a while, ms.
AT_ONCE = 50
LATELY = 24 * 3_600_000
SPREAD = 60_000
# Seconds until it is tried again to note a new session, where the database fails.
AGAIN = 1.0
# What the states of nodes are that a new session has validated; what is polled has its own time.
_VALIDATED = KEPT - {"polled"}


class NewSessions:
    """Has everything validated that a session which has just begun knows nothing of."""

    def __init__(
        self,
        store: Store,
        parsing: Parsing,
        sync: Sync,
        unsubscribing: Unsubscribing,
        changes: Changes,
        negatives: Negatives,
        pushes: Pushes,
        silence: Silence,
        clock: Callable[[], int],
        jitter: Jitter,
    ) -> None:
        self._store = store
        self._parsing = parsing
        self._sync = sync
        self._unsubscribing = unsubscribing
        self._changes = changes
        self._negatives = negatives
        self._pushes = pushes
        self._silence = silence
        self._clock = clock
        self._jitter = jitter
        # Nodes whose last item should come with the presence.
        self._awaited: set[Address] = set()
        # Compares what is kept with the roster; set by whoever applies events.
        self.roster_came: Callable[[Account], Awaitable[None]]

    async def daemon_started(self) -> None:
        """Nothing is live in a daemon that has just started."""
        await self._store.write(node_store.demote, None, "restart")

    async def taken(self, account: Account) -> None:
        """Nothing of an account is live that another daemon followed until now."""
        await self._tell(await self._store.write(node_store.demote, account.jid, "restart"))

    def forget_account(self, account: Account) -> None:
        """What was heard of an account's nodes, and is awaited, is none of a new session's, or of nobody's."""
        self._silence.new_session(account)
        drop_account(account.jid, self._awaited)

    def event(self, account: Account, event: Event) -> None:
        """An event came, which may be a push."""
        address = Address(account.jid, event.service, event.node)
        if self._pushes.event(account, event) and address in self._awaited:
            self._awaited.discard(address)
            self._sync.in_background(address)

    def await_no_more(self, address: Address) -> None:
        """The node is synchronised though nothing came of it."""
        self._awaited.discard(address)

    async def began(self, account: Account) -> bool:
        """Nothing is live until it is validated; False for a session that is not the last one any more."""
        self._sync.subscriptions.forget(account.jid)
        self._negatives.clear_account(account.jid)
        self.forget_account(account)
        if not await self._noted(account, self._demote, "the new session of %s can't be used yet: %s"):
            return False
        account.set_ready()
        await self._noted(account, self._validate_all, "what is kept of %s can't be validated yet: %s")
        return True

    async def _noted(self, account: Account, note: Callable[[Account], Awaitable[None]], problem: str) -> bool:
        """Do what writes, as often as it takes; False for a session that is not the last one any more."""
        epoch = account.epoch
        while account.epoch == epoch and not account.waits:
            try:
                await note(account)
                return account.epoch == epoch
            except errors.PubSubCachedError as error:
                # A full disk does not last for ever, and until then nothing is live.
                log.warning(problem, account.jid, error)
                await asyncio.sleep(AGAIN)
        return False

    async def _demote(self, account: Account) -> None:
        """Call stale what was live in an earlier session, and doubt what a former contact let the account read."""
        epoch = account.epoch
        await self.roster_came(account)
        if account.epoch == epoch:
            # Else the next session does that, and may have validated them by now.
            await self._tell(await self._store.write(node_store.demote, account.jid, "session"))

    async def _validate_all(self, account: Account) -> None:
        """Begin, or plan, what a new session has to look at."""
        entries = await self._entries(account.jid)
        later: list[tuple[int, int]] = []
        now, begun, pace = self._clock(), 0, Pace()
        for number, entry in enumerate(entries):
            wait = self._wait(account, entry, number, now)
            if wait == 0 and begun < AT_ONCE:
                self._sync.in_background(entry.address)
                begun += 1
            else:
                later.append((entry.id, now + wait))
            await pace.kept()
        if later:
            await self._store.write(_postpone, account.jid, later)
        await self._unsubscribing.session_began(account.jid)

    async def _entries(self, account: str) -> list[Entry]:
        """An account's nodes that are to be validated in a new session, those read last first."""
        pace, entries = Pace(), list[Entry]()
        while page := await self._store.read(
            schedule.of_account, account, _VALIDATED, entries[-1].id if entries else 0
        ):
            entries += page
            await pace.kept()
        entries.sort(key=lambda entry: -(entry.last_read or 0))
        return entries

    async def _tell(self, demoted: Sequence[Address]) -> None:
        """Tell of each what it is by then: of many it takes a while."""
        pace = Pace()
        for address in demoted:
            try:
                node = await self._store.read(node_store.find, address)
                state = node.state if node is not None else ""
            except errors.PubSubCachedError:
                # It was made stale, and nothing later can be known.
                state = "stale"
            if state:
                self._changes.node(address, state)
            await pace.kept()

    def _wait(self, account: Account, entry: Entry, number: int, now: int) -> int:
        """How long a node's validation waits after a session began, ms. number: of its place among those in use."""
        if expected(account, entry.address) and self._parsing.kind(entry.analyser) == "last":
            if entry.item_count and self._pushes.came(account, entry.address) is None:
                self._awaited.add(entry.address)
                return self._jitter.within(PUSHED_WITHIN)
            return 0
        if number < AT_ONCE or (entry.last_read is not None and now - entry.last_read < LATELY):
            return 0
        return max(1, self._jitter.within(SPREAD, share=1.0))


def _postpone(tx: Transaction, account: str, times: list[tuple[int, int]]) -> None:
    """Look at nodes of an account later, by their rows' ids."""
    account_store.own(tx, account)
    node_store.postpone(tx, times)

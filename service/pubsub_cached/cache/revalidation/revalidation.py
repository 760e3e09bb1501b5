"""Validation in due time: after a new session, of what is polled, failed, silent or was not audited for long.

Nodes in use go first, then those read lately; where many are left, they are spread over a while, so that a server that
comes back is not asked by everybody for everything at once. Source: the coherence model, "Continuity" and "Revalidation
ladder".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from ... import errors
from ...address import Address
from ...pace import Pace
from ...store.accounts import accounts as account_store
from ...store.accounts import nodes as node_store
from ...store.accounts import schedule
from ...store.accounts.schedule import Entry
from ...store.rows import KEPT, NodeRow
from ...store.store import Store, Transaction
from ...xmpp.port import Event
from ..accounts.account import Account
from ..accounts.accounts import Accounts
from ..changes import Changes
from ..jitter import Jitter
from ..nodes.negatives import Negatives
from ..parsing.parsing import Parsing
from ..sync.pushes import Pushes, expected
from ..sync.rounds import SILENCE_MS
from ..sync.sync import Sync
from ..sync.unsubscribing import Unsubscribing
from ..upkeep.removal import Removal
from .backlog import Backlog
from .silence import Silence

log = logging.getLogger(__name__)

# The longest sleep, so that a clock that was set is noticed.
LONGEST_SLEEP = 600.0
# The shortest: of many nodes one is due every few milliseconds.
LEAST_SLEEP = 1.0
# So often everything that is due is looked at, though it was handed on before; ms.
ANEW = 60_000
# The wait after a look that failed, ms.
FAILED = 30_000
# What was written while the last look was under way may be due since before it, ms.
OVERLAP = 1000
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


class Revalidation:
    """Decides when a node is synchronised without anybody asking."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        parsing: Parsing,
        sync: Sync,
        unsubscribing: Unsubscribing,
        removal: Removal,
        changes: Changes,
        negatives: Negatives,
        pushes: Pushes,
        silence: Silence,
        *,
        clock: Callable[[], int],
        jitter: Jitter,
        audit_ms: int,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._parsing = parsing
        self._sync = sync
        self._unsubscribing = unsubscribing
        self._removal = removal
        self._changes = changes
        self._negatives = negatives
        self._pushes = pushes
        self._silence = silence
        self._clock = clock
        self._jitter = jitter
        self._audit_ms = audit_ms
        # Nodes whose last item should come with the presence.
        self._awaited: set[Address] = set()
        self._backlog = Backlog(self._validate)
        self._wake = asyncio.Event()
        # What was due until then was handed on, and when everything was looked at; ms, 0 to look at everything.
        self._handed_on = self._looked = 0
        # Until when nothing else is known to be due, ms.
        self._asleep = 0
        self._timer: asyncio.Task[None] | None = None
        self._starting: set[asyncio.Task[None]] = set()
        self._looking = asyncio.Lock()

    def start(self) -> None:
        """Begin to watch the time."""
        self._timer = asyncio.create_task(self._run(), name="revalidation")

    async def close(self) -> None:
        """Stop."""
        tasks = [*self._starting, *([self._timer] if self._timer else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._backlog.close()

    def wake(self) -> None:
        """Look at once at what is due."""
        self._looked = 0
        self._wake.set()

    def due(self, at: int) -> None:
        """Something is due at this time (ms), which may be before all that was known to be, or was handed on."""
        self._handed_on = min(self._handed_on, at)
        if at < self._asleep:
            self._asleep = at
            seconds = max(LEAST_SLEEP, (at - self._clock()) / 1000)
            asyncio.get_running_loop().call_later(seconds, self._wake.set)

    async def settled(self) -> None:
        """Wait until every new session was taken note of, and what was found due is begun."""
        if self._starting:
            await asyncio.wait(self._starting)
        async with self._looking:
            return

    async def validated(self) -> None:
        """Wait until all that was found due is done."""
        await self._backlog.settled()

    def event(self, account: Account, event: Event) -> None:
        """An event came; see ``accounts.Follower``."""
        address = Address(account.jid, event.service, event.node)
        self._silence.heard(address)
        if self._pushes.event(account, event) and address in self._awaited:
            self._awaited.discard(address)
            self._sync.in_background(address)

    async def daemon_started(self) -> None:
        """Nothing is live in a daemon that has just started."""
        await self._store.write(node_store.demote, None, "restart")

    async def taken(self, account: Account) -> None:
        """Nothing of an account is live that another daemon followed until now."""
        await self._tell(await self._store.write(node_store.demote, account.jid, "restart"))

    def session_started(self, account: Account, resumed: bool) -> None:
        """A stream is up: after a resumption all goes on, else everything live is validated."""
        if resumed:
            self._silence.resumed(account)
            self.wake()
            return
        task = asyncio.create_task(self._new_session(account), name=f"new session of {account.jid}")
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    def forget_account(self, account: Account) -> None:
        """What was heard of an account's nodes, and is awaited, is none of a new session's, or of nobody's."""
        self._silence.new_session(account)
        self._awaited = {address for address in self._awaited if address.account != account.jid}

    async def _new_session(self, account: Account) -> None:
        self._sync.subscriptions.forget(account.jid)
        self._negatives.clear_account(account.jid)
        self.forget_account(account)
        if not await self._demoted(account):
            return
        account.set_ready()
        epoch = account.epoch
        while account.epoch == epoch:
            try:
                await self._validate_all(account)
                break
            except errors.PubSubCachedError as error:
                log.warning("what is kept of %s can't be validated yet: %s", account.jid, error)
                await asyncio.sleep(AGAIN)
        self.wake()

    async def _validate_all(self, account: Account) -> None:
        """Begin, or plan, what a new session has to look at."""
        entries = await self._entries(account.jid)
        later: list[tuple[int, int]] = []
        now, begun = self._clock(), 0
        for number, entry in enumerate(entries):
            wait = self._wait(account, entry, number, now)
            if wait == 0 and begun < AT_ONCE:
                self._sync.in_background(entry.address)
                begun += 1
            else:
                later.append((entry.id, now + wait))
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
        entries.sort(key=_read_last)
        return entries

    async def _demoted(self, account: Account) -> bool:
        """Call stale what was live in an earlier session; False for a session that is not the last one any more."""
        epoch = account.epoch
        while account.epoch == epoch and not account.waits:
            try:
                demoted = await self._store.write(node_store.demote, account.jid, "session")
            except errors.PubSubCachedError as error:
                # A full disk does not last for ever, and until then nothing is live.
                log.warning("the new session of %s can't be used yet: %s", account.jid, error)
                await asyncio.sleep(AGAIN)
                continue
            await self._tell(demoted)
            return account.epoch == epoch
        return False

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

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            now = self._clock()
            # What becomes due while that is under way may not be seen by it.
            self._asleep = now + int(LONGEST_SLEEP * 1000)
            until: int | None = now + FAILED
            try:
                until = await self._look(now)
            except Exception:
                # A full disk does not last for ever.
                log.exception("what is due could not be looked after")
                self._looked = 0
            if until is not None:
                self._asleep = min(self._asleep, until)
            await self._sleep(until)

    async def _look(self, now: int) -> int | None:
        """Hand on what is due; when there is something to do next, ms, or None."""
        # With thousands of nodes each of these takes a while.
        pace = Pace()
        async with self._looking:
            online = {account.jid: account for account in self._accounts.list() if account.online}
            for entry in await self._due(now):
                if entry.address.account in online:
                    self._backlog.add(entry.address)
            await pace.kept()
            asked = await self._silence.look(online, now)
            await pace.kept()
            await self._removal.tidy(now)
            again = self._unsubscribing.look(online, now)
            due = await self._store.read(schedule.next_due, now)
            return min((at for at in (asked, again, due) if at is not None), default=None)

    async def _due(self, now: int) -> list[Entry]:
        """What has become due, those read last first; now and then what was due before as well, lest one be missed."""
        if not self._looked <= self._handed_on <= now < self._looked + ANEW:
            self._looked, self._handed_on = now, 0
        pace, entries = Pace(), list[Entry]()
        since = max(0, self._handed_on - OVERLAP), 0
        self._handed_on = now
        while page := await self._store.read(schedule.due, since, now, KEPT):
            entries += page
            since = page[-1].next_sync or 0, page[-1].id
            await pace.kept()
        entries.sort(key=_read_last)
        return entries

    async def _validate(self, address: Address) -> asyncio.Task[NodeRow] | None:
        """Begin to synchronise a node that is still due; the task, None where it is not or can't be."""
        now = self._clock()
        if not self._accounts.online(address.account):
            # It stays due, and the next session finds it.
            return None
        node = await self._store.read(node_store.find, address)
        if node is None or node.state not in KEPT or node.next_sync is None or node.next_sync > now:
            return None
        if await self._spoke(node, now):
            return None
        self._awaited.discard(address)
        return self._sync.in_background(address)

    async def _spoke(self, node: NodeRow, now: int) -> bool:
        """Whether a live node was heard of lately, so that its turn comes later."""
        heard = self._silence.last_heard(node.address)
        if node.state != "live" or not now - SILENCE_MS // 2 < heard:
            return False
        return await self._store.write(_heard, node.id, now, self._jitter.within(SILENCE_MS // 2), self._audit_ms)

    async def _sleep(self, until: int | None) -> None:
        seconds = LONGEST_SLEEP if until is None else (until - self._clock()) / 1000
        try:
            async with asyncio.timeout(min(max(seconds, LEAST_SLEEP), LONGEST_SLEEP)):
                await self._wake.wait()
        except TimeoutError:
            return


def _postpone(tx: Transaction, account: str, times: list[tuple[int, int]]) -> None:
    """Look at nodes of an account later, by their rows' ids."""
    account_store.own(tx, account)
    node_store.postpone(tx, times)


def _read_last(entry: Entry) -> int:
    """Sorts those first that were read last."""
    return -(entry.last_read or 0)


def _heard(tx: Transaction, node_id: int, now: int, wait: int, audit_ms: int) -> bool:
    """Look at a live node later; False where it is to be compared as a whole before that."""
    node = node_store.by_id(tx.connection, node_id)
    if node is None or node.state != "live" or node.whole_at is None or not now < node.whole_at + audit_ms:
        return False
    node_store.update(tx, node_id, next_sync=min(now + wait, node.whole_at + audit_ms))
    return True

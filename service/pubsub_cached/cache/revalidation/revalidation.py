"""Validation in due time: after a new session, of what is polled, failed, silent or was not audited for long.

Source: the coherence model, "Continuity" and "Revalidation ladder".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from ...address import Address
from ...pace import Pace
from ...store.accounts import nodes as node_store
from ...store.accounts import schedule
from ...store.accounts.schedule import Entry
from ...store.rows import KEPT, NodeRow
from ...store.store import Store, Transaction
from ...tasks import Tasks, end
from ...xmpp.port import Event
from ..accounts.account import Account
from ..accounts.accounts import Accounts
from ..jitter import RETRY_LONGEST, Jitter
from ..sync.rounds import DESCRIBED_MS, SILENCE_MS
from ..sync.sync import Sync
from ..sync.unsubscribing import Unsubscribing
from ..upkeep.removal import Removal
from .backlog import Backlog
from .new_sessions import NewSessions
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
# No node is planned to be looked at later than after this, ms.
FURTHEST = max(SILENCE_MS, RETRY_LONGEST)
# What was written while the last look was under way may be due since before it, ms.
OVERLAP = 1000


class Revalidation:
    """Decides when a node is synchronised without anybody asking."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        sync: Sync,
        unsubscribing: Unsubscribing,
        removal: Removal,
        silence: Silence,
        sessions: NewSessions,
        clock: Callable[[], int],
        jitter: Jitter,
        *,
        audit_ms: int,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._sync = sync
        self._unsubscribing = unsubscribing
        self._removal = removal
        self._silence = silence
        self._sessions = sessions
        self._clock = clock
        self._jitter = jitter
        self._audit_ms = audit_ms
        self._backlog = Backlog(self._validate)
        self._wake = asyncio.Event()
        # What was due until then was handed on, and when everything was looked at; ms, 0 to look at everything.
        self._handed_on = self._looked = 0
        # Until when nothing else is known to be due, ms.
        self._asleep = 0
        self._timer = Tasks()
        self._starting = Tasks()
        self._looking = asyncio.Lock()

    def start(self) -> None:
        """Begin to watch the time."""
        self._timer.begin(self._run(), "revalidation")

    async def close(self) -> None:
        """Stop."""
        await end(self._starting | self._timer)
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
        await self._starting.settled()
        async with self._looking:
            return

    async def validated(self) -> None:
        """Wait until all that was found due is done."""
        await self._backlog.settled()

    def event(self, account: Account, event: Event) -> None:
        """An event came; see ``account.Follower``."""
        self._silence.heard(Address(account.jid, event.service, event.node))
        self._sessions.event(account, event)

    def session_started(self, account: Account, resumed: bool) -> None:
        """A stream is up: after a resumption all goes on, else everything live is validated."""
        if resumed:
            self._silence.resumed(account)
            self.wake()
            return
        self._starting.begin(self._new_session(account), f"new session of {account.jid}")

    async def _new_session(self, account: Account) -> None:
        if await self._sessions.began(account):
            self.wake()

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
            await self._plan_anew(now)
            self._looked, self._handed_on = now, 0
        pace, entries = Pace(), list[Entry]()
        since = max(0, self._handed_on - OVERLAP), 0
        self._handed_on = now
        while page := await self._store.read(schedule.due, since, now):
            entries += page
            since = page[-1].next_sync or 0, page[-1].id
            await pace.kept()
        entries.sort(key=lambda entry: -(entry.last_read or 0))
        return entries

    async def _plan_anew(self, now: int) -> None:
        """What is planned later than anything can be was planned before the clock was set back, and is due."""
        latest = now + FURTHEST
        if entries := await self._store.read(schedule.later_than, latest):
            await self._store.write(_hasten, [entry.id for entry in entries], latest, now)

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
        self._sessions.await_no_more(address)
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


def _heard(tx: Transaction, node_id: int, now: int, wait: int, audit_ms: int) -> bool:
    """Look at a live node later; False where it is to be compared as a whole, or described anew, before that."""
    node = node_store.by_id(tx.connection, node_id)
    if node is None or node.state != "live":
        return False
    last = ((node.whole_at, audit_ms), (node.described_at, DESCRIBED_MS))
    ends = [at + lasts for at, lasts in last if at is not None and 0 <= now - at < lasts]
    if len(ends) < len(last):
        return False
    node_store.update(tx, node_id, next_sync=min(now + wait, *ends))
    return True


def _hasten(tx: Transaction, node_ids: Sequence[int], latest: int, now: int) -> None:
    """Look now at those of the nodes that are planned for later than ``latest``."""
    for node_id in node_ids:
        node = node_store.by_id(tx.connection, node_id)
        if node is not None and node.next_sync is not None and node.next_sync > latest:
            node_store.update(tx, node_id, next_sync=now)

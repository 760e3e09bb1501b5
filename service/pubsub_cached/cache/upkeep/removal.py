"""Local removal: what is dropped here is not deleted there.

Purge, Reset and eviction never say that an item was removed; they lower the completeness and make older
revisions incomplete. Source: dbus-api.md, "Local removal is not deletion".
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import ExitStack

from ... import errors
from ...address import Address
from ...counting import counted, were
from ...pace import Pace
from ...store.accounts import discarded, schedule
from ...store.accounts import nodes as node_store
from ...store.items import items as item_store
from ...store.rows import KEPT, NodeRow
from ...store.store import Store, Transaction
from ...store.upkeep import maintenance
from ...tasks import Tasks, end
from ..changes import Changes
from ..jobs import Job, Jobs
from ..nodes.all_nodes import all_nodes, fitting
from ..nodes.transitions import DISCOVERED
from ..options import PurgeFilter
from ..parsing.parsing import Parsing
from ..room import Room
from ..sync.sync import Sync
from ..sync.unsubscribing import Unsubscribing

log = logging.getLogger(__name__)

# Denied and gone nodes are erased after this long, ms.
GRACE = 7 * 24 * 3_600_000
# A client that was away for longer reads the node again, ms.
TOMBSTONES_LAST = 30 * 24 * 3_600_000
# Nodes that are kept on demand are let go when nobody has read them for this long, ms.
UNREAD = 30 * 24 * 3_600_000
# Nodes whose older half is evicted before the size is looked at again, and how many items at once: whoever else writes
# has a turn in between.
SHRUNK_AT_ONCE = 20
EVICTED_AT_ONCE = 500


async def drop_discarded(store: Store) -> None:
    """Drop what is for nobody any more, in parts: whoever else writes has a turn in between."""
    while await store.write(item_store.drop_discarded):
        pass


class Removal:
    """Drops items, and forgets nodes."""

    def __init__(
        self,
        store: Store,
        parsing: Parsing,
        sync: Sync,
        unsubscribing: Unsubscribing,
        changes: Changes,
        jobs: Jobs,
        room: Room,
    ) -> None:
        self._store = store
        self._parsing = parsing
        self._sync = sync
        self._unsubscribing = unsubscribing
        self._changes = changes
        self._jobs = jobs
        self._room = room
        # Of what was discarded.
        self._dropping = Tasks()
        # Called with a node whose row was removed, and once that was told.
        self.on_forgotten: list[Callable[[Address], object]] = []
        self.on_told: list[Callable[[Address], object]] = []

    def purge(self, chosen: PurgeFilter, sender: str = "", token: str = "") -> Job:
        """A job that drops the items of the chosen nodes. Raises InvalidArgs for an empty filter, InvalidJid."""
        if chosen == PurgeFilter(forget=chosen.forget):
            raise errors.InvalidArgs("The filter is empty and would mean everything; for that there is Reset.")
        fits = fitting(chosen)

        async def work(job: Job) -> str:
            rows = [row async for row in all_nodes(self._store, run=not chosen.accounts) if fits(row)]
            dropped = done = 0
            for part in item_store.parts(rows):
                dropped += await self._drop(part, chosen)
                if chosen.forget:
                    await self._forget_each(part)
                done += len(part)
                job.progress(done, len(rows))
            return f"{counted(dropped, 'item')} of {counted(len(rows), 'node')} {were(dropped)} dropped."

        return self._jobs.start("purge", work, sender, token)

    def reset(self, sender: str = "", token: str = "") -> Job:
        """A job that forgets all nodes and items; accounts and analysers stay."""

        async def work(job: Job) -> str:
            rows = [row async for row in all_nodes(self._store, run=True)]
            pace = Pace()
            for number, row in enumerate(rows, 1):
                await self._forsake(row)
                job.progress(number, len(rows))
                await pace.kept()
            job.settle()
            self._sync.all_disturbed()
            removed = await self._changes.after(self._store.write(maintenance.reset), self._all_removed)
            self.discarded()
            for row in removed:
                # What was kept, or followed anew, since its turn above; and what could not be given up then.
                self._left(row)
            await self._changes.told()
            return f"{counted(len(removed), 'node')} {were(len(removed))} forgotten."

        return self._jobs.start("reset", work, sender, token)

    def _all_removed(self, rows: list[NodeRow]) -> None:
        filled = {row.address for row in rows if row.item_count}

        def tell(address: Address) -> None:
            if address in filled:
                # It is to be read again.
                self._changes.node(address, "updated")
            self._tell_forgotten(address)

        for row in rows:
            self._forget_all_of(row.address)
        self._changes.in_turns([row.address for row in rows], tell)

    async def tidy(self, now: int) -> None:
        """What is done from time to time: what was discarded, hidden nodes, old tombstones, the total size."""
        if await self._store.read(discarded.stand_in) is not None:
            # It was left by an earlier daemon or by another one, or there was no room on the disk.
            self.discarded()
        pace = Pace()
        await self.erase_hidden(now - GRACE)
        await pace.kept()
        await self._let_go_unread(now - UNREAD)
        await self._store.write(maintenance.expire_tombstones, now - TOMBSTONES_LAST)
        await self._shrink()

    async def _shrink(self) -> None:
        """Evict from the oldest end, of the nodes nobody has read for longest, until all fits again."""
        if not self._room.is_due:
            return
        said = False
        while (size := await self._room.taken()) > self._room.total:
            if self._dropping.under_way:
                # Which may be enough.
                await self.dropped()
                continue
            if not said:
                log.warning(
                    "the database has %d bytes, 'total-size' is %d: old items that nobody reads go",
                    size,
                    self._room.total,
                )
                said = True
            evicted = 0
            for entry in await self._store.read_all(schedule.largest_unread, SHRUNK_AT_ONCE):
                evicted += await self._halve(entry)
            if not evicted:
                return

    async def _halve(self, entry: schedule.Entry) -> int:
        """Evict the older half of a node, in parts; how many items went."""
        half = entry.item_count // 2
        evicted = 0
        for left in range(entry.item_count, half, -EVICTED_AT_ONCE):
            keep = max(half, left - EVICTED_AT_ONCE)
            if count := await self._store.write(item_store.evict, entry.id, keep):
                self._changes.node(entry.address, "updated")
            evicted += count
        return evicted

    async def erase_hidden(self, before: int) -> None:
        """Erase what was denied, and forget what was gone, since before this time (ms)."""
        for entry in await self._store.read(schedule.hidden_before, before):
            tell = functools.partial(self._erased, entry)
            await self._changes.after(self._store.write(_erase, entry.id, entry.state, before), tell)

    def _erased(self, entry: schedule.Entry, done: bool) -> None:
        if done and entry.state == "gone":
            self._forgotten(entry.address)
        elif done:
            self._changes.node(entry.address, "updated")

    async def _let_go_unread(self, before: int) -> None:
        """Keep no longer what is kept on demand and nobody has read since this time; the next read keeps it again."""
        analysers = self._parsing.all_on_demand()
        for entry in await self._store.read(schedule.unread_since, analysers, before):
            row = await self._store.read(node_store.find, entry.address)
            if row is None or self._sync.running(entry.address) or not self._sync.can_unsubscribe(row):
                # Another time: it would be subscribed to again, or for ever.
                continue
            self._sync.disturbed(entry.address)
            if await self._store.write(_let_go, entry.id, before, self._parsing.on_demand):
                self._changes.node(entry.address, "discovered")
                # Unless somebody has read it by then, and it is kept.
                self._unsubscribing.begin(entry.address)

    def discarded(self) -> None:
        """Nodes were discarded: begin to drop what was in them, which nobody waits for."""
        if not self._dropping.under_way:
            self._dropping.begin(self._drop_parts(), "drop what was discarded")

    async def _drop_parts(self) -> None:
        try:
            await drop_discarded(self._store)
        except errors.PubSubCachedError as error:
            log.warning("What was discarded can't be dropped yet: %s", error)

    async def dropped(self) -> None:
        """Wait until nothing is being dropped that was discarded."""
        await self._dropping.settled()

    async def close(self) -> None:
        """Stop; the next start goes on."""
        await end(self._dropping)

    async def _drop(self, rows: list[NodeRow], chosen: PurgeFilter) -> int:
        """Drop the items that were chosen; their number."""
        for row in rows:
            self._sync.disturbed(row.address)

        def tell(dropped: list[int]) -> None:
            for row, count in zip(rows, dropped, strict=True):
                if count:
                    self._changes.node(row.address, "updated")

        drop = functools.partial(
            item_store.drop_of_each, created_before=chosen.created_before, modified_before=chosen.modified_before
        )
        dropped = await self._changes.after(self._store.write(drop, [row.id for row in rows]), tell)
        return sum(dropped)

    async def _forget_each(self, rows: list[NodeRow]) -> None:
        """A synchronisation under way would subscribe again, and what a service sends to whoever does make it known."""
        with ExitStack() as declined:
            for row in rows:
                declined.enter_context(self._sync.declining(row.address, forgets=True))
            # No service is to be asked, so that nobody waits.
            gone = await self._forget([row.address for row in rows], followed=False)
        for row in rows:
            if row.address not in gone:
                with self._sync.declining(row.address, forgets=True):
                    await self._forsake(row)
                    await self._forget([row.address])

    async def _forget(self, addresses: list[Address], *, followed: bool = True) -> set[Address]:
        """Remove rows; those that went. A synchronisation under way ends in vain, and one asked for now begins anew.

        followed: those as well of which the daemon has a subscription.
        """

        def tell(removed: list[NodeRow]) -> None:
            # What else there was somebody else has removed, and told that.
            for last in removed:
                self._forgotten(last.address)
                self._left(last)

        removed = await self._changes.after(self._store.write(_forget, addresses, followed), tell)
        return {row.address for row in removed}

    def _left(self, row: NodeRow) -> None:
        """A row went, and may have left a subscription: one that ``_forsake`` did not end, or that was made since."""
        if row.own_subscription:
            self._unsubscribing.begin(row.address)

    def _forgotten(self, address: Address) -> None:
        self._forget_all_of(address)
        self._tell_forgotten(address)

    def _forget_all_of(self, address: Address) -> None:
        self._sync.forgotten(address)
        for callback in self.on_forgotten:
            callback(address)

    def _tell_forgotten(self, address: Address) -> None:
        self._changes.node(address, "removed")
        for callback in self.on_told:
            callback(address)

    async def _forsake(self, row: NodeRow) -> None:
        """Give up the subscription to a node whose row is about to go."""
        claims = self._sync.subscriptions.acts.claims(row.address)
        # It may have been subscribed to since the row was read.
        now = await self._store.read(node_store.find, row.address)
        await self._unsubscribing.forsake(now or row, claims)


def _forget(tx: Transaction, addresses: list[Address], followed: bool) -> list[NodeRow]:
    """Forget nodes as they are now, which may be known anew; their rows as they were last."""
    found = (node_store.find(tx.connection, address) for address in addresses)
    going = [row for row in found if row is not None and (followed or not row.own_subscription)]
    return [last for row in going if (last := node_store.forget(tx, row.id)) is not None]


def _erase(tx: Transaction, node_id: int, state: str, before: int) -> bool:
    """Forget a node that is gone, or drop what is hidden of one that is denied, unless it is so no more."""
    row = node_store.by_id(tx.connection, node_id)
    if row is None or row.state != state or row.gone_at is None or row.gone_at >= before:
        return False
    if state == "gone":
        node_store.forget(tx, node_id)
    else:
        item_store.drop(tx, node_id)
    return True


def _let_go(tx: Transaction, node_id: int, before: int, on_demand: Callable[[str], bool]) -> bool:
    """Drop a node's copy, unless somebody has read it meanwhile, or it is kept for good by now."""
    row = node_store.by_id(tx.connection, node_id)
    if row is None or row.state not in KEPT or row.last_read is None or row.last_read >= before:
        return False
    if row.pinned or not on_demand(row.analyser):
        return False
    item_store.drop(tx, node_id)
    node_store.update(tx, node_id, **DISCOVERED, last_read=None)
    return True

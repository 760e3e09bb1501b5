"""Nodes matched again, and their items parsed again from the stored XML; the network is not needed for either."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence

import msgspec

from ... import errors
from ...address import Address
from ...analysers import matching
from ...analysers.registry import Matched, Registry
from ...counting import counted, were
from ...pace import Pace
from ...store.accounts import nodes as node_store
from ...store.items import items as item_store
from ...store.items import parsing as stored_items
from ...store.rows import KEPT, NodeRow
from ...store.store import Store, Transaction
from ...tasks import TasksByKey, end
from ...xmpp.port import Item
from ..changes import Changes
from ..jobs import Job, Jobs
from ..nodes.all_nodes import all_nodes, fitting
from ..nodes.nodes import Nodes
from ..nodes.transitions import DISCOVERED, EXCLUDED, Written, all_parsed, analysis, asks, subject
from ..options import ReanalyseFilter
from ..parsing.agents import Agents
from ..parsing.parsing import Parsing
from ..sync.sync import Sync

log = logging.getLogger(__name__)

PAGE = 50
# First and longest wait (s) until it is tried again to see to a node, where the database fails.
AGAIN = 5.0
AGAIN_LONGEST = 60.0


class Reanalysis:
    """Has the analysers that there are now say of known nodes what they are."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        nodes: Nodes,
        parsing: Parsing,
        agents: Agents,
        sync: Sync,
        changes: Changes,
        jobs: Jobs,
    ) -> None:
        self._store = store
        self._registry = registry
        self._nodes = nodes
        self._parsing = parsing
        self._agents = agents
        self._sync = sync
        self._changes = changes
        self._jobs = jobs
        self._asking: TasksByKey[Address] = TasksByKey()
        # Nodes that were to be asked about while they were.
        self._asked_again: set[Address] = set()
        self._closed = False
        self._parsing_again: TasksByKey[Address] = TasksByKey()
        # Nodes of which something was stored since that has begun.
        self._once_more: set[Address] = set()

    def job(self, chosen: ReanalyseFilter, sender: str = "", token: str = "") -> Job:
        """A job that matches the chosen nodes again and parses their items again. Raises InvalidJid."""
        fits = fitting(chosen)

        async def work(job: Job) -> str:
            rows = [row async for row in all_nodes(self._store, run=True) if fits(row)]
            items = 0
            for number, row in enumerate(rows, 1):
                again = await self.match(row)
                items += await self.parse(again or row, chosen.created_before, chosen.modified_before)
                job.progress(number, len(rows))
            nodes = f"{counted(len(rows), 'node')} {were(len(rows))} matched"
            return f"{nodes} and {counted(items, 'item')} parsed again."

        return self._jobs.start("reanalyse", work, sender, token)

    async def adopt(self, names: Collection[str]) -> None:
        """Match the nodes that no analyser has, and those for which the agent of one of these was not there.

        A node whose analyser is not registered any more counts as one without, but stays as it is when nothing else
        matches: its analyser may come back.
        """
        came = [definition for name in names if (definition := self._registry.get(name)) is not None]
        async for row in self._unmatched([definition.name for definition in came if definition.asks]):
            if self._registry.get(row.analyser) is None:
                # Whatever else there is was tried before.
                if not any(matching.examine(each, subject(row))[0] for each in came):
                    continue
                if (again := await self.match(row)) is not None:
                    await self.parse(again)
            else:
                self.ask(row.address)

    async def catch_up(self, name: str) -> None:
        """Parse what an earlier version of an analyser parsed; its agent does so by itself."""
        definition = self._registry.get(name)
        if definition is None:
            return
        for node_id in await self._store.read(stored_items.behind, name, definition.version):
            row = await self._store.read(node_store.by_id, node_id)
            if row is None or row.analyser != name:
                continue
            again = await self.match_again(row)
            moved = again is not None and (again.type, again.subtype) != (row.type, row.subtype)
            if again is not None and (moved or not definition.deferred):
                await self.parse(again)
        if self._registry.may_hang(name):
            await self._parse_waiting(name)

    async def match_again(self, row: NodeRow) -> NodeRow | None:
        """See ``match``; for a new version of its analyser, so that what is another's by now stays until Reanalyse."""
        matched = self._registry.match(subject(row))
        return await self.match(row) if matched.analyser == row.analyser else row

    async def _parse_waiting(self, name: str) -> None:
        """Parse what came while a function was suspended."""
        rows = await self._store.read_all(stored_items.unparsed, name)
        for start in range(0, len(rows), PAGE):
            items = await self._store.read(stored_items.these, rows[start : start + PAGE])
            for node_id, of in itertools.groupby(items, key=lambda item: item.node_id):
                row = await self._store.read(node_store.by_id, node_id)
                if row is None or row.analyser != name:
                    continue
                try:
                    _, suspended = await self._parse_rows(row, [item.row for item in of])
                except errors.NoSuchNode:
                    continue
                if suspended:
                    return

    def ask(self, address: Address) -> None:
        """Have the agent of a node's analyser say what it is; nobody waits for that."""
        if self._closed:
            # It is written down only now what the node is.
            return
        asking = self._asking.get(address)
        # One that has just ended may not be noted yet, and what it wrote is what somebody else has just undone.
        if asking is None or asking.done():
            self._asking.begin(address, self._insist(address, self._ask, "matched"), f"match {address}")
        else:
            self._asked_again.add(address)

    def parse_again(self, address: Address) -> None:
        """Have a node's items parsed that were stored as what it was before; nobody waits for that."""
        if address in self._parsing_again:
            self._once_more.add(address)
            return
        work = self._insist(address, self._parse_again, "parsed again")
        task = self._parsing_again.begin(address, work, f"parse {address}")
        task.add_done_callback(functools.partial(self._parsed_again, address))

    def _parsed_again(self, address: Address, task: asyncio.Task[None]) -> None:
        if address in self._once_more:
            self._once_more.discard(address)
            if not task.cancelled():
                self.parse_again(address)

    async def _parse_again(self, address: Address) -> None:
        if (row := await self._nodes.find(address)) is not None:
            await self.parse(row)

    async def _insist(self, address: Address, work: Callable[[Address], Awaitable[None]], done: str) -> None:
        """Work on a node until what comes of it is stored; nobody else would begin with it again."""
        delay = AGAIN
        while True:
            try:
                return await work(address)
            except errors.PubSubCachedError as error:
                log.warning("%s could not be %s yet: %s", address, done, error.message)
            except Exception:
                return log.exception("%s could not be %s", address, done)
            await asyncio.sleep(delay)
            delay = min(delay * 2, AGAIN_LONGEST)

    async def settled(self) -> None:
        """Wait until nothing is parsed again that nobody waits for."""
        await self._parsing_again.settled()

    async def close(self) -> None:
        """Ask and parse no more."""
        self._closed = True
        await end([*self._asking.values(), *self._parsing_again.values()])

    async def match(self, row: NodeRow) -> NodeRow | None:
        """Match a node by what is stored of it; the row as it is then, None when there is none any more.

        Where an agent has to be asked, the node is kept or not as it was until the agent has answered.
        """
        now: NodeRow | None = row
        while now is not None:
            matched = self._registry.match(subject(now))
            after = await self._decided(now, matched, kept=asks(matched))
            if after is not None:
                return after
            # Something else is known of it by now.
            now = await self._nodes.find(row.address)
        return None

    async def _ask(self, address: Address) -> None:
        try:
            while (row := await self._nodes.find(address)) is not None:
                self._asked_again.discard(address)
                stored = subject(row)
                matched = await self._agents.match(stored, self._registry.match(stored))
                if matched is None:
                    if address in self._asked_again:
                        # Its agent may be another one by now, or be called again.
                        continue
                    return
                after = await self._decided(row, matched)
                if after is None:
                    # Something else is known of it than what the agent was asked about, or it is another's by now.
                    continue
                if after.item_count and (after.type, after.subtype) != (row.type, row.subtype):
                    self.parse_again(address)
                return
        finally:
            self._asked_again.discard(address)

    async def _decided(self, known: NodeRow, matched: Matched, *, kept: bool = False) -> NodeRow | None:
        """Write down what a node is; None where it is not ``known`` as that any more.

        kept: whether it is kept stays as it is, whatever the analysis says, until its agent is asked, which is next.
        """

        def tell(written: Written) -> None:
            self._nodes.told(written)
            if written is None:
                return
            before, after = written
            if kept:
                self.ask(after.address)
            if after.state == "syncing" and before is not None and before.state != "syncing":
                # A look at the node that is under way would not keep it.
                self._sync.begin_anew(after.address)

        written = await self._changes.after(self._store.write(_apply, known, matched, kept), tell)
        return written[1] if written is not None else None

    async def parse(self, row: NodeRow, created_before: int | None = None, modified_before: int | None = None) -> int:
        """Parse a node's items again; how many. Those for an agent are handed to it, all of them."""
        definition = self._registry.get(row.analyser)
        try:
            if definition is not None and definition.deferred:
                # The node is told once it is parsed.
                await self._store.write(node_store.ask_to_parse, row.id)
                self._agents.changed_nodes()
                return 0
            # What was parsed before this, and is not committed yet, is among them.
            await self._store.write(lambda tx: None)
            # What says whether there is content is the content.
            rows = await self._store.read_all(stored_items.of_node, row.id, created_before, modified_before)
            by = self._parsing.by(row)
            count, suspended = await self._parse_rows(row, rows)
            whole = created_before is None and modified_before is None
            if suspended:
                # What is left is parsed once the parser is active again, which it may be by now.
                await self._store.write(node_store.ask_to_parse, row.id)
                if self._parsing.by(row) != by:
                    self.parse_again(row.address)
            elif whole and definition is not None and self._registry.get(row.analyser) == definition:
                await self._nodes.decide(row.address, all_parsed(row, definition.version))
        except errors.NoSuchNode:
            log.debug("%s was forgotten while it was parsed again", row.address)
            return 0
        return count

    async def _parse_rows(self, row: NodeRow, rows: Sequence[int]) -> tuple[int, bool]:
        """How many items were parsed, and whether the others are left as they were, for their parser is suspended."""
        start, count, suspended = 0, 0, False
        while start < len(rows) and not suspended:
            pace, parsed, version = Pace(), [], self._registry.version
            for stored in await self._store.read(stored_items.these, rows[start : start + PAGE]):
                item = Item(stored.id, stored.payload, stored.namespace, stored.publisher)
                made = await self._parsing.one(row.address, row, item)
                by = self._parsing.suspended(row.analyser, item.namespace, made)
                if suspended := by is not None and by == row.analyser:
                    break
                if by is not None:
                    # What it takes over on nodes of others says nothing of these.
                    continue
                if not self._parsing.by(row).missing:
                    # It may be of an earlier version, or another analyser's.
                    made = msgspec.structs.replace(made, deferred=False)
                parsed.append((stored.hash, made))
                await pace.kept()
            if self._registry.version != version:
                # Another parser may have made something of them since.
                suspended = False
                continue
            of = row.analyser, row.type, row.subtype
            await self._changes.items_after(row.address, self._store.write(stored_items.write, row.id, parsed, *of))
            count += len(parsed)
            start += PAGE
        return count, suspended

    async def _unmatched(self, asked: Collection[str]) -> AsyncIterator[NodeRow]:
        """Nodes that no analyser has which is registered, and those that agents of these may have to say of."""
        registered = [definition.name for definition in self._registry.definitions()]
        after = 0
        while page := await self._store.read(node_store.unmatched, registered, asked, after, PAGE):
            for row in page:
                yield row
            after = page[-1].id
            await asyncio.sleep(0)


def _apply(tx: Transaction, known: NodeRow, matched: Matched, kept: bool) -> Written:
    """Write down what a node is; one that nobody keeps any more loses its copy.

    Nothing where something else is known of it than what was matched, or it was given another analyser since.
    """
    row = node_store.find(tx.connection, known.address)
    if row is None or subject(row) != subject(known) or row.analyser != known.analyser:
        return None
    keep = row.state in KEPT if kept else matched.to_sync and (not matched.demand or row.last_read is not None)
    columns = analysis(row, matched, kept)
    if matched.analyser != row.analyser:
        columns["analyser_version"] = 0
    if matched.excluded:
        item_store.drop(tx, row.id)
        columns |= EXCLUDED
    elif row.pinned or keep:
        if row.state in ("discovered", "excluded"):
            columns |= {"state": "syncing", "reason": ""}
    elif row.state in KEPT or row.state == "excluded":
        item_store.drop(tx, row.id)
        columns |= DISCOVERED
    return row, node_store.update(tx, row.id, **columns)

"""Agents at work: stored items go to the process or coroutine that parses them, and what it makes of them comes back.

Nobody waits for it: items are stored and readable before, and those that nothing was made of yet are found in
the store, so that none is forgotten when an agent, or the daemon, ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from ... import errors
from ...analysers.agent import Peers
from ...analysers.definition import Subtype, Type
from ...analysers.item import ItemContext
from ...analysers.registry import Matched, Registry, Subject
from ...store.accounts import nodes as node_store
from ...store.items import parsing as stored_items
from ...store.items.parsing import Stored
from ...store.rows import NodeRow, StoredItem
from ...store.store import Store
from ...tasks import Tasks
from ..changes import Changes
from ..nodes import transitions
from ..nodes.nodes import Nodes
from .agent import Agent, document
from .coroutine import Coroutine
from .deferred import AT_ONCE, Failed, Unanswered, noted
from .parsing import Parsing, stored

log = logging.getLogger(__name__)

BATCH = 16
# Seconds until it is tried again where the database could not be read or written.
AGAIN = 5.0


class _Worker:
    """Goes through the items of one analyser, once it has ``begun``.

    skip: rows whose call was not answered, and the hash of what they had; left with that until it is resumed. Another
    one then, as calls may be under way. late: how many calls for a row with this hash were not answered.
    """

    def __init__(self, parser: Agent | Coroutine) -> None:
        self.parser = parser
        self.skip: dict[int, str] = {}
        self.late: Counter[tuple[int, str]] = Counter()
        self.begun = asyncio.Event()
        self.woken = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def resume(self) -> None:
        """Leave none out any more."""
        self.skip = {}
        self.late = Counter()

    def once_more(self) -> None:
        """Ask again what was asked once: one that goes on answering is never resumed."""
        for (row, hash_), calls in self.late.items():
            if calls == 1 and self.skip.get(row) == hash_:
                del self.skip[row]


class Agents:
    """The agents, and the parsers that are coroutines, of all analysers that have one."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        nodes: Nodes,
        parsing: Parsing,
        changes: Changes,
        peers: Peers | None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._nodes = nodes
        self._parsing = parsing
        self._changes = changes
        self._peers = peers
        self._workers: dict[str, _Worker] = {}
        self._held: Counter[str] = Counter()
        # Matches a node again before an analyser's new version parses it.
        self._match_again: Callable[[NodeRow], Awaitable[NodeRow | None]]
        self._tasks = Tasks()

    def start(self, match_again: Callable[[NodeRow], Awaitable[NodeRow | None]]) -> None:
        """Follow the registry and what is stored. match_again: a node that is about to be parsed again."""
        self._match_again = match_again
        self._registry.on_change.append(self.changed)
        self._changes.on_items.append(lambda *_: self.changed_nodes())
        self._changes.on_node.append(lambda *_: self.changed_nodes())
        for entry in self._registry.entries():
            self.changed(entry.name, True)

    async def close(self) -> None:
        """Stop; what was not parsed is found again."""
        for name in list(self._workers):
            self.changed(name, False)
        await self._tasks.settled()

    def changed(self, name: str, registered: bool) -> None:
        """An analyser came, went, or has another owner: its agent is a new one."""
        if (worker := self._workers.pop(name, None)) is not None:
            worker.parser.close()
            # Whoever waits for it learns that there is no answer.
            worker.begun.set()
            if worker.task is not None:
                worker.task.cancel()
        definition = self._registry.get(name) if registered else None
        if definition is None:
            return
        if definition.callbacks:
            if self._peers is None:
                return
            worker = _Worker(Agent(name, self._registry, self._peers, lambda: self._again(name)))
        elif definition.deferred:
            worker = _Worker(Coroutine(name, self._registry, lambda: self._again(name)))
        else:
            return
        self._workers[name] = worker
        worker.woken.set()
        self._begin(name)
        worker.task = self._tasks.begin(self._work(worker), f"agent {name}")

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Call no agent of this name before whoever registers it has had the reply that follows this."""
        self._held[name] += 1
        try:
            yield
        finally:
            self._held[name] -= 1
            # The reply is sent in the round of the loop that comes next, and a call at the earliest in the one after.
            asyncio.get_running_loop().call_soon(self._begin, name)

    def _begin(self, name: str) -> None:
        if not self._held[name]:
            del self._held[name]
            if (worker := self._workers.get(name)) is not None:
                worker.begun.set()

    def changed_nodes(self) -> None:
        """Something may wait to be parsed."""
        for worker in self._workers.values():
            worker.woken.set()

    def resume(self, name: str) -> None:
        """Call a suspended agent again; one that is not suspended is left alone."""
        entry = self._registry.entry(name)
        if (worker := self._workers.get(name)) is not None and entry is not None and entry.state != "active":
            worker.parser.resume()

    async def match(self, subject: Subject, matched: Matched) -> Matched | None:
        """What the agent makes of an analysis; None when there is no answer. Without an agent, the analysis."""
        definition = matched.definition
        if definition is None or not definition.asks:
            return matched
        worker = self._workers.get(definition.name)
        if worker is None or not isinstance(worker.parser, Agent):
            return None
        analysis = {
            "name": definition.name,
            "type": matched.type,
            "subtype": matched.subtype,
            "to-sync": matched.to_sync,
            "namespace": subject.namespace or "",
            "node-type": subject.node_type or "",
            "config": subject.config,
        }
        await worker.begun.wait()
        text = msgspec.json.encode(analysis).decode()
        try:
            answer = document(await worker.parser.call("Match", *subject.address, text), definition.name)
            changed = msgspec.convert(answer, _Analysis)
        except Unanswered:
            return None
        except (Failed, msgspec.ValidationError) as error:
            log.warning("%s: %s", subject.address, error)
            return msgspec.structs.replace(matched, to_sync=False)
        given = {name: value for name, value in msgspec.structs.asdict(changed).items() if value is not None}
        return msgspec.structs.replace(matched, **given)

    def _again(self, name: str) -> None:
        if (worker := self._workers.get(name)) is not None:
            worker.resume()
            worker.woken.set()

    async def _work(self, worker: _Worker) -> None:
        await worker.begun.wait()
        while True:
            await worker.woken.wait()
            worker.woken.clear()
            try:
                await worker.parser.watch()
                await self._parse_what_waits(worker)
            except errors.PubSubCachedError as error:
                log.warning("items of the analyser '%s' could not be parsed: %s", worker.parser.name, error.message)
                asyncio.get_running_loop().call_later(AGAIN, worker.woken.set)
            except Exception:
                log.exception("items of the analyser '%s' could not be parsed", worker.parser.name)

    async def _parse_what_waits(self, worker: _Worker) -> None:
        definition = self._registry.get(worker.parser.name)
        if definition is not None and definition.deferred:
            await self._count(worker, definition.version)
            await self._drain(worker, definition.version)

    async def _count(self, worker: _Worker, version: int) -> None:
        entry = self._registry.entry(worker.parser.name)
        if entry is not None:
            entry.pending = await self._store.read(stored_items.pending, entry.name, version)

    async def _drain(self, worker: _Worker, version: int) -> None:
        name, parser = worker.parser.name, worker.parser
        worker.once_more()
        for node_id in await self._store.read(stored_items.behind, name, version) if parser.usable else ():
            node = await self._store.read(node_store.by_id, node_id)
            if node is not None and node.analyser == name:
                # Its type, and with that its items', may be another one by now.
                node = await self._match_again(node)
            if node is None or node.analyser != name:
                continue
            rows, skip = await self._store.read(stored_items.of_node, node_id), worker.skip
            for start in range(0, len(rows), BATCH):
                if parser.usable:
                    await self._parse_all(worker, rows[start : start + BATCH], again=True)
            # If it was resumed meanwhile, some were left out.
            if parser.usable and worker.skip is skip:
                await self._nodes.decide(node.address, transitions.all_parsed(node, version))
                self._parsed(name, len(rows))
        while parser.usable:
            rows = await self._store.read(stored_items.unparsed, name, worker.skip, BATCH)
            if not rows:
                break
            # Whatever is not parsed by this is not tried again now.
            self._parsed(name, await self._parse_all(worker, rows, again=False))
        await self._count(worker, version)

    def _parsed(self, name: str, count: int) -> None:
        """So many less are pending; they are counted anew at the end only, for there may be many."""
        if (entry := self._registry.entry(name)) is not None:
            entry.pending = max(0, entry.pending - count)

    async def _parse_all(self, worker: _Worker, rows: Sequence[int], *, again: bool) -> int:
        """A few at a time; of how many something was made.

        again: what can't be parsed now loses what an earlier version made of it.
        """
        items = await self._store.read(stored_items.these, rows)
        queue = iter(items)
        parsed: dict[int, list[tuple[str, StoredItem]]] = {}

        async def run() -> None:
            for item in queue:
                if not worker.parser.usable:
                    return
                made = await self._parse(worker, item, again=again)
                if made is not None:
                    parsed.setdefault(item.node_id, []).append((item.hash, made))

        await asyncio.gather(*(run() for _ in range(AT_ONCE)))
        addresses = {item.node_id: item.address for item in items}
        types = {item.node_id: (item.type, item.subtype) for item in items}
        for node_id, made in parsed.items():
            try:
                of = types[node_id]
                written = self._store.write(stored_items.write, node_id, made, worker.parser.name, *of)
                await self._changes.items_after(addresses[node_id], written)
            except errors.NoSuchNode:
                continue
        return sum(map(len, parsed.values()))

    async def _parse(self, worker: _Worker, item: Stored, *, again: bool) -> StoredItem | None:
        skip, late = worker.skip, worker.late
        context = ItemContext(
            item.address, item.id, item.payload, item.namespace, item.publisher, item.type, item.subtype
        )
        made = await self._parsing.parsed(worker.parser.name, context)
        if made.errors or not made.deferred:
            # Another analyser's, which takes what has this namespace over.
            skip[item.row] = item.hash
            if again and self._parsing.suspended(worker.parser.name, item.namespace, made) is not None:
                return None
            return stored(context, msgspec.structs.replace(made, deferred=False))
        try:
            parsed = await worker.parser.parse(context, made)
        except Unanswered as unanswered:
            if not unanswered.tried:
                return None
            skip[item.row] = item.hash
            late[item.row, item.hash] += 1
            return stored(context, msgspec.structs.replace(made, deferred=False)) if again else None
        return stored(context, noted(worker.parser.name, parsed))


class _Analysis(msgspec.Struct, rename="kebab"):
    """What an agent may change."""

    type: Type | None = None
    subtype: Subtype | None = None
    to_sync: bool | None = None

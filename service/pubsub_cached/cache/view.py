"""A view: a query whose first items its owner holds, kept what a fresh search would find.

What is committed says which items it touched (``store.touched``); of these alone the database is asked whether they
are members and where they stand (``window``). What the owner holds (``Holding``) is then brought to what the window
is, in steps: what left, what changed or moved, what is new. Records are read when they are told, so what is told is
never older than the reason for telling it, and how much waits is bounded by the window.

A reading may see commits that nothing was said of yet. That does no harm: what they touched is looked at again when
it is said, and everything else is as the reading shows it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Literal, Protocol

from .. import errors
from ..address import Address
from ..records import ItemRecord
from ..store.touched import Touched
from .window import Entry, Holding, Place, Window

log = logging.getLogger(__name__)

ViewState = Literal["stopped", "starting", "running"]

# Items of one signal, and their bytes: as a reply.
BATCH = 100
BATCH_BYTES = 900_000
# The first change is told at once, those of the next so many seconds together.
PAUSE_SECONDS = 0.1
# With more items touched than this the owner begins anew.
PENDING_AT_MOST = 2000
# Waits after a reading that failed, seconds.
RETRY_FIRST = 1.0
RETRY_LONGEST = 60.0


class Source(Protocol):
    """The members of a query in their order. All may raise Timeout and DatabaseError."""

    async def following(self, place: Place | None, limit: int) -> tuple[list[Entry], bool]:
        """Members after a place, None for the first ones, and whether there are more."""

    async def among(self, touched: Touched, limit: int) -> list[Entry] | None:
        """Those of the items that are members, of a node as a whole the first ``limit``; None: begin anew."""

    async def records(self, rows: Sequence[int]) -> dict[str, ItemRecord]:
        """Items by key, as far as they are there to be shown."""

    async def range(self, offset: int, count: int) -> list[ItemRecord]:
        """Members from a position on, each with its ``index``."""

    async def count(self) -> int:
        """How many members there are."""

    def concerns(self, address: Address) -> bool:
        """Whether an item of this node may be a member at all."""


class Listener(Protocol):
    """The owner of a view, at the other end of the bus."""

    def added(self, items: list[ItemRecord]) -> None: ...
    def changed(self, items: list[ItemRecord]) -> None: ...
    def removed(self, keys: list[str]) -> None: ...
    def ready(self, total: int) -> None: ...
    def reset(self) -> None: ...

    async def attentive(self) -> None:
        """Return once the owner has read enough of what it was sent to be sent more."""


class View:
    """One query, kept; ``listener`` hears of it from ``start`` on."""

    def __init__(self, path: str, owner: str, source: Source, size: int) -> None:
        self.path = path
        self.owner = owner
        self.state: ViewState = "stopped"
        self.listener: Listener
        self._source = source
        self._size = size
        self._window = Window(size)
        self._holding = Holding()
        self._changed: set[str] = set()
        self._touched = Touched()
        self._woken = asyncio.Event()
        self._counted: int | None = None
        self._started = False
        self._turn = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Find the first items and begin to tell; does nothing when it has been begun. Raises Timeout."""
        if self.state != "stopped":
            return
        self.state = "starting"
        self._turn += 1
        turn = self._turn
        self._touched = Touched()
        self._woken.clear()
        try:
            window = await self._first()
        except BaseException:
            if turn == self._turn:
                self.stop()
            raise
        if turn == self._turn:
            self._window = window
            self._task = asyncio.create_task(self._run(), name=f"view {self.path}")

    def stop(self) -> None:
        """Tell nothing any more."""
        self.state = "stopped"
        self._turn += 1
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def range(self, offset: int, count: int) -> list[ItemRecord]:
        """Members from a position on, each with its ``index``; whether it was started or not. Raises Timeout."""
        return await self._source.range(offset, count)

    async def total(self) -> int:
        """How many members there are. Raises Timeout."""
        if self._counted is None or self.state == "stopped":
            if self.state == "running" and self._window.complete and not self._touched:
                self._counted = len(self._window)
            else:
                self._counted = await self._source.count()
        return self._counted

    def touch(self, touched: Touched) -> None:
        """Something was committed."""
        if self.state == "stopped":
            return
        for node_id, node in touched.nodes.items():
            if self._source.concerns(node.address):
                self._touched.merge(node_id, node)
        self._touched.everything |= touched.everything
        if self._touched:
            self._counted = None
            self._woken.set()

    # The task

    async def _first(self) -> Window:
        window = Window(self._size)
        window.extend(*await self._source.following(None, self._size))
        return window

    async def _run(self) -> None:
        if self._started:
            # What the owner made of what it was told before is its own matter.
            self._forget()
        self._started = True
        wait = RETRY_FIRST
        ready = False
        while True:
            try:
                if not ready:
                    await self._tell()
                    self.listener.ready(await self.total())
                    self.state, ready = "running", True
                await self._woken.wait()
                await self._update()
                wait = RETRY_FIRST
            except errors.PubSubCachedError as error:
                log.warning("%s could not be brought up to date and tries again: %s", self.path, error.message)
                self._touched.all()
                self._woken.set()
                await asyncio.sleep(wait)
                wait = min(wait * 2, RETRY_LONGEST)
                continue
            await asyncio.sleep(PAUSE_SECONDS)

    async def _update(self) -> None:
        touched, self._touched = self._touched, Touched()
        self._woken.clear()
        at = touched.keys()
        self._changed.update(key for key in at if key in self._window)
        if touched.everything or touched.count > PENDING_AT_MOST:
            self._window = await self._first()
            if touched.count > PENDING_AT_MOST and self._differs():
                await self._anew()
                return
        else:
            await self._look(touched, at)
        await self._tell()

    async def _look(self, touched: Touched, at: set[str]) -> None:
        whole = {node_id for node_id, node in touched.nodes.items() if node.whole}
        at.update(self._window.of_nodes(whole))
        found = await self._source.among(touched, self._size)
        if found is None:
            self._window = await self._first()
            return
        self._window.look(at, found)
        while lacking := self._window.lacking:
            self._window.extend(*await self._source.following(self._window.bound, lacking))

    def _differs(self) -> bool:
        keys = self._window.keys
        return keys != self._holding.keys or not self._changed.isdisjoint(keys)

    async def _anew(self) -> None:
        self._forget()
        await self._tell()
        self.listener.ready(await self.total())

    def _forget(self) -> None:
        self.listener.reset()
        self._holding = Holding()
        self._changed.clear()

    # Telling

    async def _tell(self) -> None:
        """Bring what the owner holds to what the window is."""
        while True:
            await self.listener.attentive()
            if self._touched.count > PENDING_AT_MOST or not await self._batch():
                return

    async def _batch(self) -> bool:
        """Tell one signal; False when there is nothing to tell."""
        wanted = self._window.keys
        if gone := self._holding.remove(frozenset(wanted), BATCH):
            self._changed.difference_update(gone)
            self.listener.removed(gone)
            return True
        held = frozenset(self._holding.keys)
        self._changed &= held
        if changes := self._holding.changes(wanted, self._changed):
            await self._send(self.listener.changed, wanted, changes[:BATCH], changes)
            return True
        new = [key for key in wanted if key not in held]
        if new:
            await self._send(self.listener.added, wanted, new[:BATCH], ())
        return bool(new)

    async def _send(
        self,
        tell: Callable[[list[ItemRecord]], None],
        wanted: Sequence[str],
        keys: Sequence[str],
        waiting: Collection[str],
    ) -> None:
        found = await self._source.records([self._window.row(key) for key in keys])
        for key in keys:
            if key not in found:
                # Gone since, which will be said in a moment.
                self._window.drop(key)
        sent = [key for key in keys if key in found]
        sent = sent[: _fitting([found[key] for key in sent])]
        self._changed.difference_update(sent)
        placed = self._holding.put(wanted, frozenset(sent), frozenset(waiting))
        for key, index in placed:
            found[key]["index"] = index
        if placed:
            tell([found[key] for key, _ in placed])


def _fitting(items: list[ItemRecord]) -> int:
    """How many of the items fit into one signal; at least one."""
    size = 0
    for number, item in enumerate(items):
        size += len(item.get("payload", "").encode()) + len(item.get("data", "").encode()) + 1000
        if size > BATCH_BYTES and number:
            return number
    return len(items)

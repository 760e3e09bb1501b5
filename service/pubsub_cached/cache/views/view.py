"""A view: a query whose first items its owner holds, kept what a fresh search would find.

What is committed says which items it touched (``store.touched``); of these alone the database is asked whether they
are members and where they stand (``window``). What the owner holds is then brought to what the window is
(``telling``), so that how much waits is bounded by the window.

A reading may see commits that nothing was said of yet. That does no harm: what they touched is looked at again when
it is said, and everything else is as the reading shows it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Literal, Protocol

from ... import errors
from ...address import Address
from ...pace import Pace
from ...records import ItemRecord
from ...store.search.members import Member, Place
from ...store.touched import Touched
from .telling import Listener, Records, Telling
from .window import Window

log = logging.getLogger(__name__)

ViewState = Literal["stopped", "starting", "running"]

# The first change is told at once, those of the next so many seconds together.
PAUSE_SECONDS = 0.1
# With more items touched than this the owner begins anew.
PENDING_AT_MOST = 2000
# So many of them are looked at before everybody else has their turn.
AT_ONCE = 256
# As far as this the members are counted before the owner is told that the window is all there.
COUNTED_AT_MOST = 20_000
# Waits after a reading that failed, seconds.
RETRY_FIRST = 1.0
RETRY_LONGEST = 60.0


class Source(Records, Protocol):
    """The members of a query in their order. All may raise Timeout and DatabaseError.

    independent: an item's place depends on nothing but the item. Otherwise there is nothing ``following`` but the
    first, and places are not to be compared with those that ``among`` gives.
    """

    independent: bool

    async def following(self, place: Place | None, limit: int) -> tuple[list[Member], bool]:
        """Members after a place, None for the first ones, and whether there are more."""

    async def among(self, touched: Touched, limit: int) -> list[Member] | None:
        """Those of the items that are members, of a node as a whole the first ``limit``.

        None: any change may make others members, so begin anew.
        """

    async def range(self, offset: int, count: int) -> list[ItemRecord]:
        """Members from a position on, each with its ``index``."""

    async def count(self, most: int | None = None) -> int:
        """How many members there are, as far as ``most``."""

    def concerns(self, address: Address) -> bool:
        """Whether an item of this node may be a member at all."""


class View:
    """One query, kept; ``listener`` hears of it from ``start`` on."""

    def __init__(
        self, path: str, owner: str, source: Source, size: int, *, json: bool, pause: float, turn: asyncio.Semaphore
    ) -> None:
        """size: of the window. json: how the owner wants to be told. pause: between two readings, in seconds.

        turn: had for each search that is made again.
        """
        self.path = path
        self.owner = owner
        self.json = json
        self.state: ViewState = "stopped"
        self.listener: Listener
        self._source = source
        self._size = size
        self._pause = pause
        self._may_read = turn
        self._window = Window(size)
        self._telling = Telling()
        self._touched = Touched()
        self._woken = asyncio.Event()
        self._told = asyncio.Event()
        self._behind = False
        self._counted: int | None = None
        self._commit = 0
        self._owes_ready = False
        self._started = False
        self._turn = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> Awaitable[None]:
        """Find the first items and begin to tell; does nothing when it has been begun. Raises Timeout.

        It counts as begun once this returns, so that what is said of it from then on comes after it.
        """
        if self.state != "stopped":
            return asyncio.sleep(0)
        self.state = "starting"
        self._turn += 1
        # What is being counted may be from before it was stopped, and nothing was said of commits since.
        self._commit += 1
        self._touched = Touched()
        self._woken.clear()
        self._told.clear()
        return self._begin(self._turn)

    async def _begin(self, turn: int) -> None:
        try:
            window = await self._first()
        except BaseException:
            if turn == self._turn:
                self.stop()
            raise
        if turn == self._turn:
            self._window = window
            self._behind = bool(self._touched)
            self._counted = None
            self._task = asyncio.create_task(self._run(), name=f"view {self.path}")

    def stop(self) -> None:
        """Tell nothing any more."""
        self.state = "stopped"
        self._turn += 1
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def resize(self, size: int) -> None:
        """Have a window of another size; what comes into it or leaves it is told, and that it was told."""
        self._size = size
        if self.state != "stopped":
            self._told.clear()
            self._woken.set()

    async def range(self, offset: int, count: int) -> list[ItemRecord]:
        """Members from a position on, each with its ``index``; whether it was started or not. Raises Timeout."""
        return await self._source.range(offset, count)

    async def total(self) -> int:
        """How many members there are; at least so many when they take too long to count.

        Raises Timeout when stopped.
        """
        if self._task is not None and self._window.complete and not self._behind:
            return len(self._window)
        if self._counted is None or self._task is None:
            commit = self._commit
            counted = await self._count(None)
            if commit != self._commit:
                return counted
            self._counted = counted
        return self._counted

    async def _count(self, most: int | None) -> int:
        try:
            return await self._source.count(most)
        except errors.Timeout:
            if self._task is None:
                raise
            return len(self._window) + 1

    def touch(self, touched: Touched) -> None:
        """Something was committed."""
        if self.state == "stopped":
            return
        for node_id, node in touched.nodes.items():
            if self._source.concerns(node.address):
                self._touched.merge(node_id, node)
        if touched.everything:
            self._touched.all(rewritten=touched.rewritten)
        if self._touched:
            self._fall_behind()

    def look_again(self, source: Source) -> None:
        """Other items are members from now on; what that changes is told."""
        self._source = source
        self._touched.all()
        self._fall_behind()

    def _fall_behind(self) -> None:
        self._behind = True
        self._commit += 1
        self._counted = None
        self._told.clear()
        self._woken.set()

    async def settled(self) -> None:
        """Wait until everything that was committed is told, in a view that was started."""
        await self._told.wait()

    # The task

    async def _first(self) -> Window:
        window = Window(self._size)
        window.extend(*await self._source.following(None, self._size))
        return window

    async def _run(self) -> None:
        if self._started:
            # What the owner made of what it was told before is its own matter.
            self._forget()
        self._started = self._owes_ready = True
        wait = RETRY_FIRST
        while True:
            try:
                if await self._tell() and self._owes_ready:
                    await self._say_ready()
                if not self._woken.is_set():
                    self._told.set()
                await asyncio.sleep(self._pause)
                await self._woken.wait()
                await self._update()
                self._behind = bool(self._touched)
                wait = RETRY_FIRST
            except Exception as error:
                if isinstance(error, errors.PubSubCachedError):
                    log.warning("%s could not be brought up to date and tries again: %s", self.path, error.message)
                else:
                    log.exception("%s could not be brought up to date and tries again", self.path)
                self._touched.all()
                self._woken.set()
                await asyncio.sleep(wait)
                wait = min(wait * 2, RETRY_LONGEST)

    async def _update(self) -> None:
        """Bring the window to what is stored."""
        touched, self._touched = self._touched, Touched()
        self._woken.clear()
        if touched.rewritten:
            self._telling.changed_all()
        pace, parts = Pace(), list[tuple[Touched, set[str]]]()
        for part in touched.parts(AT_ONCE):
            parts.append((part, part.keys()))
            self._telling.changed |= parts[-1][1]
            await pace.kept()
        if self._window.size != self._size:
            self._window.resize(self._size)
            self._owes_ready = True
        many = touched.count > PENDING_AT_MOST
        if not many and not touched.everything:
            # The window may be of another size, and nothing touched.
            for part, at in parts or [(touched, set[str]())]:
                if await self._look(part, at):
                    return
                await pace.kept()
            while lacking := self._window.lacking:
                async with self._may_read:
                    self._window.extend(*await self._source.following(self._window.bound, lacking))
            return
        await self._read_anew()
        if many and self._telling.differs(self._window):
            self._forget()

    async def _look(self, touched: Touched, at: set[str]) -> bool:
        """Look at a part of what was touched; True where the window was read anew instead, with all that was."""
        whole = {node_id for node_id, node in touched.nodes.items() if node.whole}
        at.update(self._window.of_nodes(whole))
        # One more than fit of a node, so that a window which they fill is known not to be all.
        found = await self._source.among(touched, self._window.size + 1)
        if found is not None and self._source.independent:
            self._window.look(at, found)
            return False
        anew = found != [] or self._window.lacking > 0 or any(key in self._window for key in at)
        if anew:
            await self._read_anew()
        return anew

    async def _read_anew(self) -> None:
        async with self._may_read:
            window = await self._first()
        # It may have been resized since this began.
        self._owes_ready |= window.size != self._window.size
        self._window = window

    def _forget(self) -> None:
        self._telling.forget()
        self._owes_ready = True
        self.listener.reset()

    async def _say_ready(self) -> None:
        total = len(self._window) if self._window.complete else await self._count(COUNTED_AT_MOST)
        self._owes_ready = False
        self.state = "running"
        self.listener.ready(total)

    async def _tell(self) -> bool:
        """Bring what the owner holds to what the window is; False when so much waits that it begins anew instead."""
        pace = Pace()
        while self._touched.count <= PENDING_AT_MOST:
            await self.listener.attentive()
            if not await self._telling.batch(self._window, self._source, self.listener):
                return True
            await pace.kept()
        return False

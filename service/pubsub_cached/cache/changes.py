"""What changed, told to everyone: ids and never payloads, a burst as one signal.

The first change of a node goes out at once, those of the next 50 ms together.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from ..address import Address
from ..pace import SLICE
from ..store.rows import Delta

WINDOW_SECONDS = 0.05
IDS_AT_MOST = 500

ItemsCallback = Callable[[Address, list[str], list[str], int], None]
NodeCallback = Callable[[Address, str], None]

T = TypeVar("T")


class _Burst:
    """Changes of one node that wait for the end of the window."""

    def __init__(self) -> None:
        self.changed: dict[str, None] = {}
        self.removed: dict[str, None] = {}
        self.revision = 0

    def add(self, delta: Delta) -> None:
        for id_ in delta.removed:
            self.changed.pop(id_, None)
            self.removed[id_] = None
        for id_ in delta.changed:
            self.removed.pop(id_, None)
            self.changed[id_] = None
        self.revision = max(self.revision, delta.revision)


class Changes:
    """Collects committed changes and tells them to the callbacks."""

    def __init__(self) -> None:
        self.on_items: list[ItemsCallback] = []
        self.on_node: list[NodeCallback] = []
        self._bursts: dict[Address, _Burst] = {}
        # What waits for its turn to be told, before anything else of its node.
        self._later: dict[Address, Callable[[Address], None]] = {}
        self._told = asyncio.Event()
        self._told.set()
        self._closed = False
        self._quiet = asyncio.Event()
        self._quiet.set()

    def items(self, address: Address, delta: Delta) -> None:
        """Items were committed; nothing is told of an empty delta."""
        if not delta.changed and not delta.removed:
            return
        self._catch_up(address)
        burst = self._bursts.get(address)
        if burst is not None:
            burst.add(delta)
            return
        self._tell(address, delta.changed, delta.removed, delta.revision)
        if not self._closed:
            self._open(address)

    async def after(self, written: asyncio.Future[T], tell: Callable[[T], None]) -> T:
        """Wait for a write; ``tell`` gets what it committed, even if nobody waits for it any more."""
        written.add_done_callback(functools.partial(_told, tell))
        return await asyncio.shield(written)

    async def items_after(self, address: Address, written: asyncio.Future[Delta]) -> Delta:
        """Wait for a write, and tell what it did to the items of a node; see ``after``."""
        return await self.after(written, functools.partial(self.items, address))

    def node(self, address: Address, change: str) -> None:
        """The node was added, removed, updated or has the state ``change``; after what its items did."""
        self.flush(address)
        for callback in self.on_node:
            callback(address, change)

    def in_turns(self, addresses: Iterable[Address], tell: Callable[[Address], None]) -> None:
        """Tell something of very many nodes, a few at a time, but of each before anything else is told of it."""
        for address in addresses:
            self._catch_up(address)
            self._later[address] = tell
        self._told.clear()
        self._take_turn()

    async def told(self) -> None:
        """Wait until all was told that is told in turns."""
        await self._told.wait()

    def flush(self, address: Address) -> None:
        """Tell what waits for this node now; order towards a node's own signals is kept by it."""
        self._catch_up(address)
        burst = self._bursts.get(address)
        if burst is not None and (burst.changed or burst.removed):
            self._bursts[address] = _Burst()
            self._tell(address, list(burst.changed), list(burst.removed), burst.revision)

    async def settled(self) -> None:
        """Wait until nothing waits to be told."""
        await self._told.wait()
        await self._quiet.wait()

    def close(self) -> None:
        """Tell all that waits; what is committed from now on is told at once."""
        self._closed = True
        for address in [*self._later, *self._bursts]:
            self.flush(address)
        self._bursts.clear()
        self._quiet.set()

    def _catch_up(self, address: Address) -> None:
        if (tell := self._later.pop(address, None)) is not None:
            tell(address)

    def _take_turn(self) -> None:
        until = time.monotonic() + SLICE
        try:
            while self._later and (self._closed or time.monotonic() < until):
                self._catch_up(next(iter(self._later)))
        finally:
            if self._later:
                asyncio.get_running_loop().call_soon(self._take_turn)
            else:
                self._told.set()

    def _open(self, address: Address) -> None:
        self._bursts[address] = _Burst()
        self._quiet.clear()
        asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._close, address)

    def _close(self, address: Address) -> None:
        burst = self._bursts.pop(address, None)
        if burst is None:
            return
        if burst.changed or burst.removed:
            self._tell(address, list(burst.changed), list(burst.removed), burst.revision)
            self._open(address)
        elif not self._bursts:
            self._quiet.set()

    def _tell(self, address: Address, changed: list[str], removed: list[str], revision: int) -> None:
        if len(changed) + len(removed) > IDS_AT_MOST:
            for on_node in self.on_node:
                on_node(address, "updated")
            return
        for on_items in self.on_items:
            on_items(address, changed, removed, revision)


def _told(tell: Callable[[T], None], written: asyncio.Future[T]) -> None:
    if not written.cancelled() and written.exception() is None:
        tell(written.result())

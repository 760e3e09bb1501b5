"""Pages as they are sent: what was made of a page comes again for as long as nothing of its node has changed.

Nothing is served from here that the database would not say: each answer is decided by the node's row as it is, and
takes a page only if the node's items are in that very moment what they were when it was read. A page of a search is
taken only if nothing at all was committed since.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, NamedTuple, Protocol

import msgspec

from ...address import Address
from ...records import InfoRecord, ItemRecord
from ...replies import weight
from ...store.rows import ItemsSlice, NodeRow
from ...store.versions import Versions
from ..options import LIMIT_AT_MOST, REPLY_BYTES, ReadOptions, SearchOptions
from .shelf import Shelf

BYTES_AT_MOST = 16 * 1024 * 1024
# Of these, as many as are the process's own memory.
OWN_BYTES_AT_MOST = 4 * 1024 * 1024
PAGES_AT_MOST = 64
# Of these, as many as hold a descriptor.
DESCRIPTORS_AT_MOST = 8
# What was not asked for again in this time goes.
IDLE_SECONDS = 60.0


class Made(Protocol):
    """What records became; ``size`` in bytes. has_descriptor: it holds one, kept on the shelf."""

    has_descriptor: bool

    @property
    def size(self) -> int: ...

    def keep(self, shelf: Shelf) -> bool:
        """Have it stay; False where there is no room."""


Options = ReadOptions | SearchOptions
Answer = tuple[list[ItemRecord], str, InfoRecord]
MadeAnswer = tuple[Made, str, InfoRecord]


class Form(NamedTuple):
    """What a reply makes of records, without the keys that were not asked for.

    name: tells forms apart. bulk: there may be so many that they are made on a thread.
    """

    name: str
    make: Callable[[list[ItemRecord], Options], Made]
    bulk: bool = False


class _Page(msgspec.Struct):
    """found: the page, with what was made of its items in their place. stamp: another once it may be another."""

    stamp: object
    found: Any
    made: Made
    idle: bool = False


class Pages:
    """Pages that were made lately, bounded in number, bytes and time."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._pages: OrderedDict[Hashable, _Page] = OrderedDict()
        self._shelf = Shelf(DESCRIPTORS_AT_MOST)
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._descriptors = 0
        self._own_size = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._pages)

    def wanted(self, address: Address, options: ReadOptions, form: Form) -> WantedItems:
        """A read that is to be answered in a form."""
        return WantedItems(self, self._versions, address, options, form)

    def find(self, key: Hashable, stamp: object) -> Any:
        """The page, None if it may not be any more what it was. stamp: of this moment."""
        page = self._pages.get(key)
        if page is None:
            return None
        if page.stamp != stamp:
            self._drop(key)
            return None
        page.idle = False
        self._pages.move_to_end(key)
        return page.found

    def holds(self, key: Hashable) -> bool:
        """Whether it may be worth a look."""
        return key in self._pages

    def keep(self, key: Hashable, stamp: object, found: Any, made: Made) -> None:
        """Have a page come again, unless it is so large that others would have no room."""
        self._drop(key)
        if made.size > BYTES_AT_MOST // 2 or self._closed:
            return
        self._make_room(made)
        while self._pages and (self.size + made.size > BYTES_AT_MOST or len(self._pages) >= PAGES_AT_MOST):
            self._drop(next(iter(self._pages)))
        if not made.keep(self._shelf):
            # One that was dropped is being sent in this moment.
            return
        kept = msgspec.structs.replace(found, items=made)
        self._pages[key] = _Page(stamp, kept, made)
        self._count(made, 1)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep)

    def _make_room(self, made: Made) -> None:
        """Drop the oldest of its kind that can't stay beside it: with a descriptor, or in the process's own memory."""
        while (
            self._descriptors >= DESCRIPTORS_AT_MOST
            if made.has_descriptor
            else self._own_size and self._own_size + made.size > OWN_BYTES_AT_MOST
        ):
            kind = made.has_descriptor
            self._drop(next(key for key, page in self._pages.items() if page.made.has_descriptor is kind))

    def _count(self, made: Made, sign: int) -> None:
        self.size += sign * made.size
        if made.has_descriptor:
            self._descriptors += sign
        else:
            self._own_size += sign * made.size

    def close(self) -> None:
        """Forget all, and keep nothing any more."""
        self._closed = True
        for key in list(self._pages):
            self._drop(key)
        self._shelf.close()
        if self._timer is not None:
            self._timer.cancel()

    def _drop(self, key: Hashable) -> None:
        if (page := self._pages.pop(key, None)) is not None:
            self._count(page.made, -1)

    def _sweep(self) -> None:
        for key, page in list(self._pages.items()):
            if page.idle:
                self._drop(key)
            page.idle = True
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep) if self._pages else None


class Wanted:
    """One read in a form: what may answer it at once, and what becomes of it else. key: tells reads of a form apart."""

    def __init__(self, pages: Pages, key: Hashable, options: Options, form: Form) -> None:
        self._pages = pages
        self._options = options
        self._form = form
        self._key = (form.name, key, options)
        self._served: tuple[object, Any] | None = None

    @property
    def is_held(self) -> bool:
        """Whether there is a page that may answer it."""
        return self._pages.holds(self._key)

    def find(self, stamp: object) -> Any:
        """See ``Pages.find``."""
        return self._pages.find(self._key, stamp)

    def served(self, stamp: object, found: Any) -> None:
        """The answer is this page of the database."""
        self._served = stamp, found

    def made(self, items: Any) -> Made:
        """What the answer's items become, or became before; any thread."""
        return self._form.make(items, self._options) if isinstance(items, list) else items

    def is_bulk(self, items: Any) -> bool:
        """Whether to make it of the items would keep the loop from others."""
        if not self._form.bulk or not isinstance(items, list):
            return False
        return len(items) > LIMIT_AT_MOST or sum(map(weight, items)) > REPLY_BYTES

    def keep(self, made: Made) -> None:
        """Have it come again where that is right."""
        if self._served is None:
            return
        stamp, found = self._served
        if isinstance(found.items, list) and found.items:
            self._pages.keep(self._key, stamp, found, made)


class WantedItems(Wanted):
    """A read of a node's items."""

    def __init__(self, pages: Pages, versions: Versions, address: Address, options: ReadOptions, form: Form) -> None:
        super().__init__(pages, address, options, form)
        self._versions = versions
        self._version = versions.of(address)

    def find_of(self, node: NodeRow) -> ItemsSlice | None:
        """The page that answers it, of a row that was read just now."""
        found: ItemsSlice | None = self.find((self._versions.of(node.address), node.id, node.revision))
        return found

    def served_of(self, node: NodeRow, found: ItemsSlice) -> None:
        """The answer is this page of the database."""
        if self._version is not None:
            self.served((self._version, node.id, node.revision), found)


def answered(answer: Answer | Awaitable[Answer], wanted: Wanted) -> MadeAnswer | Awaitable[MadeAnswer]:
    """An answer in the form that was wanted."""
    if isinstance(answer, tuple):
        items, cursor, info = answer
        made = wanted.made(items)
        wanted.keep(made)
        return made, cursor, info
    return _later(answer, wanted)


async def _later(answer: Awaitable[Answer], wanted: Wanted) -> MadeAnswer:
    items, cursor, info = await answer
    made = await asyncio.to_thread(wanted.made, items) if wanted.is_bulk(items) else wanted.made(items)
    wanted.keep(made)
    return made, cursor, info

"""Places in a node's items: from the options or the cursor of a call, to the cursor of the next.

The cache and a service may have the same items in different orders: where a service leaves what is published again in
its place, the cache has it among the newest. So a walk stays with whom it began, but for two ways. From the service it
goes on in the cache where that has, up to the same place, what was given so far and nothing else; past the end of a
window it goes on at the service, and is not given again what the window holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from ..address import Address
from ..records import ItemRecord
from ..store.given import Given
from ..store.rows import ItemsQuery
from . import cursor as cursors
from .options import ReadOptions

# So many of the last items tell the place at a service: each may be removed, or become the newest, meanwhile.
ANCHORS = 3
# No walk has given so many.
_MOST = 2**32


class Place(msgspec.Struct, frozen=True):
    """Where a page begins: what a cursor says, or an option.

    purpose: what a cursor is bound to. position: the store's own. after: item ids, those that were given last, or that
    of an option. since: the revision of the page before, where that was the store's. ids: those still wanted. walks:
    whether the page before was the service's. past_window: all that a window held was given before. given: all that was
    given, where it is known.
    """

    purpose: str
    position: tuple[Any, ...] | None = None
    after: tuple[str, ...] = ()
    since: int = 0
    ids: tuple[str, ...] | None = None
    walks: bool = False
    past_window: bool = False
    given: Given | None = None

    @classmethod
    @lru_cache(maxsize=16)
    def of(cls, address: Address, options: ReadOptions) -> Place:
        """The place that the options name; those of the last reads are kept. Raises InvalidCursor."""
        order = ",".join(f"{key} {descending:d}" for key, descending in options.order)
        purpose = "\0".join(("GetItems", *address, order))
        if not options.cursor:
            # After "" everything follows, as before "" everything stands.
            after = (options.after,) if options.after else ()
            begins = not (after or options.ids is not None or options.before is not None or options.index)
            return cls(purpose, after=after, ids=options.ids, given=Given() if begins else None)
        decoded = cursors.decode(purpose, options.cursor)
        match decoded:
            case ["db", list(position), str(last), int(since)]:
                return cls(purpose, tuple(position), (last,), since)
            case ["end", list(position), str(last)]:
                return cls(purpose, tuple(position), (last,), past_window=True)
            case ["past", list(ids)] if ids:
                return cls(purpose, after=tuple(map(str, ids)), walks=True, past_window=True)
            case ["service", list(ids), int(count), int(total)] if ids and 0 <= count < _MOST:
                given = Given(count, total) if count else None
                return cls(purpose, after=tuple(map(str, ids)), walks=True, given=given)
            case ["ids", list(rest)]:
                return cls(purpose, ids=tuple(map(str, rest)))
        raise cursors.invalid(options.cursor)

    @property
    def at_service(self) -> bool:
        """Whether only the service can go on."""
        return self.walks and self.given is None

    def query(self, options: ReadOptions) -> ItemsQuery:
        """The same place for the database."""
        last = self.after[-1] if self.after else ""
        more = self.position is not None and not self.past_window
        return ItemsQuery(
            order=options.order,
            limit=options.limit,
            ids=self.ids,
            after=last or None if self.position is None else None,
            before=options.before,
            index=options.index,
            position=self.position,
            last=last if more else "",
            since=self.since,
            given=self.given if self.walks else None,
            fields=options.fields,
            max_bytes=options.max_bytes,
        )

    def rest(self, items: list[ItemRecord]) -> str:
        """A cursor for those of the ids that a reply had no room for."""
        given = {item["id"] for item in items}
        return self.cursor(["ids", [id_ for id_ in self.ids or () if id_ not in given]])

    def behind(self, ids: Sequence[str], *, past_window: bool) -> str:
        """A cursor for the page after these items, which the service gave. past_window: and the cache others before."""
        after = [*(self.after if self.walks else ()), *ids][-ANCHORS:]
        if past_window:
            return self.cursor(["past", after])
        given = Given() if self.given is None else self.given.and_also(ids)
        return self.cursor(["service", after, given.count, given.sum])

    def cursor(self, position: list[object]) -> str:
        """A cursor for the page after ``position``."""
        return cursors.encode(self.purpose, position)

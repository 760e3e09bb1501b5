"""Places in a node's items: from the options or the cursor of a call, to the cursor of the next."""

from __future__ import annotations

from typing import Any

import msgspec

from ..address import Address
from ..records import ItemRecord
from ..store.rows import ItemsQuery
from . import cursor as cursors
from .options import ReadOptions


class Place(msgspec.Struct, frozen=True):
    """Where a page begins: what a cursor says, or an option.

    purpose: what a cursor is bound to. position: the store's own. after: an item id. ids: those still wanted.
    at_service: all pages before were the service's, so that of what the cache holds nothing was given.
    """

    purpose: str
    position: tuple[Any, ...] | None = None
    after: str | None = None
    ids: tuple[str, ...] | None = None
    at_service: bool = False

    @classmethod
    def of(cls, address: Address, options: ReadOptions) -> Place:
        """The place that the options name. Raises InvalidCursor."""
        order = ",".join(f"{key} {descending:d}" for key, descending in options.order)
        purpose = "\0".join(("GetItems", *address, order))
        if not options.cursor:
            # After "" everything follows, as before "" everything stands.
            after = options.after or None
            return cls(purpose, after=after, ids=options.ids, at_service=after is None and options.ids is None)
        decoded = cursors.decode(purpose, options.cursor)
        match decoded:
            case ["db", list(position), str(last)]:
                return cls(purpose, tuple(position), last)
            case ["id", str(last)]:
                return cls(purpose, after=last)
            case ["service", str(last)]:
                return cls(purpose, after=last, at_service=True)
            case ["ids", list(rest)]:
                return cls(purpose, ids=tuple(map(str, rest)))
        raise cursors.invalid(options.cursor)

    def query(self, options: ReadOptions) -> ItemsQuery:
        """The same place for the database."""
        return ItemsQuery(
            order=options.order,
            limit=options.limit,
            ids=self.ids,
            after=self.after if self.position is None else None,
            before=options.before,
            index=options.index,
            position=self.position,
            fields=options.fields,
            max_bytes=options.max_bytes,
        )

    def rest(self, items: list[ItemRecord]) -> str:
        """A cursor for those of the ids that a reply had no room for."""
        given = {item["id"] for item in items}
        return self.cursor(["ids", [id_ for id_ in self.ids or () if id_ not in given]])

    def behind(self, last: str) -> str:
        """A cursor for the page after an item of the service's."""
        return self.cursor(["service" if self.at_service else "id", last])

    def cursor(self, position: list[object]) -> str:
        """A cursor for the page after ``position``."""
        return cursors.encode(self.purpose, position)

"""Searching all items: which fit, in what order, and as records.

Two steps: the rows in their order, then the records of these rows. So sorting never carries payloads, and the first
step alone serves an export. Who calls sets the time limit (``aside``).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, literal, null, select
from sqlalchemy.types import NullType, TypeEngine

from ...address import Address
from ...errors import InvalidCursor
from ...records import ItemRecord
from ...replies import weight
from .. import dialect
from ..database import TooMuch
from ..dialect import Key
from ..items.records import FIELDS, of_rows, uri_before_id
from ..models import Account, Item, Node
from ..rows import NEWEST_FIRST
from ..statement import Prepared, Row, Slot, Values, bound, each
from ..transaction import committed_revision
from ..words import Snippets
from . import drive, scope
from . import ranked as ranks
from .drive import Drive
from .query import Order, Query
from .scope import Part, Shown
from .shape import Matching, Shape, shaped

__all__ = ["Found", "Matching", "Search", "find", "records", "row_ids"]

Place = tuple[Any, ...]

BEST_FIRST: Order = (("rank", True),)
_ROWS_AT_ONCE = 64
_FARTHEST = 2**63
# So many characters are looked through for snippets, and texts may have so many bytes, while everybody waits.
_BRIEF_TEXT = 64_000
_BRIEF_BYTES = 1_000_000
# So many records are read first while everybody waits, for they may be large; then more at once, if they are not.
FIRST_ROWS = 8
_MORE = 4


class Search(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What to look for, and how much of it.

    order: empty for the best first when there are words, else the newest. place: what a ``Found`` gave, for the same
    matching and order; since: its revision. fields: the keys wanted, None for all. max_bytes: the records end before
    they would pass this, but there is one at least; 0 for no limit. briefly: everybody waits for it, so it
    raises TooMuch unless little has to be looked at.
    """

    matching: Matching
    order: Order = ()
    limit: int = 50
    place: Place | None = None
    since: int = 0
    fields: frozenset[str] | None = None
    max_bytes: int = 0
    briefly: bool = False


class Found(msgspec.Struct):
    """Records in order, and how many; place: where it goes on, None at the end.

    ranked: how many of the items that fit were put into the order by rank, None when all were.
    """

    items: list[ItemRecord]
    count: int
    place: Place | None
    ranked: int | None
    revision: int
    parts: list[Part]


class Ordered(msgspec.Struct):
    """Rows in order, each with its place. more: whether there are others after them."""

    rows: list[tuple[int, Place]]
    more: bool
    ranked: int | None = None


def find(conn: Connection, search: Search) -> Found:
    """A page of what fits.

    Raises InvalidCursor for a place of another order, and of items that were dropped and came again; and TooMuch.
    """
    ordered = by_rank(conn, search) if is_ranked(search) else by_keys(conn, search)
    parts = scope.parts(conn, search.matching.query, search.matching.shown, briefly=search.briefly)
    first = FIRST_ROWS if search.briefly else _ROWS_AT_ONCE
    items, count = page(conn, search, [row for row, _ in ordered.rows], first)
    # Of a window what stood there may just have been evicted.
    if search.place is not None and all(part.completeness == "full" for part in parts):
        _refuse_old(conn, search, ordered)
    more = ordered.more or count < len(ordered.rows)
    place = ordered.rows[count - 1][1] if more else None
    return Found(items, len(items), place, ordered.ranked, committed_revision(conn), parts)


def row_ids(conn: Connection, search: Search) -> tuple[array[int], int | None]:
    """The rows of everything that fits, in order, and ``ranked``; limit and place are not looked at."""
    if is_ranked(search):
        entries, _, cut = ranks.ranked(conn, search.matching, search.order or BEST_FIRST, None)
        return array("q", (entry.row for entry in entries)), ranks.AT_MOST if cut else None
    shape, values = _shape(conn, search)
    found = _rows(shape, _chosen(conn, search, shape, values), without_rank(search.order))
    return array("q", (row for (row,) in found.each_row(conn, values))), None


def rows_from(conn: Connection, search: Search, offset: int) -> list[int]:
    """The rows from a position on, in order."""
    if is_ranked(search):
        entries, *_ = ranks.ranked(conn, search.matching, search.order or BEST_FIRST, None)
        return [entry.row for entry in entries[offset : offset + search.limit]]
    shape, values = _shape(conn, search)
    chosen = _chosen(conn, search, shape, values)
    found = _rows(shape, chosen, without_rank(search.order), values.slot(search.limit), values.slot(offset))
    return [row for (row,) in found.all(conn, values)]


def records(conn: Connection, search: Search, rows: Sequence[int]) -> dict[int, ItemRecord]:
    """The records of these rows, without those that are gone or may not be shown any more."""
    fields = search.fields
    with_text = bool(search.matching.words.wanted) and _wants(fields, "snippet")
    values = Values()
    statement = _records(fields, search.matching.shown, values.slots(rows), with_text)
    found = statement.all(conn, values)
    snippet = Snippets(search.matching.words) if with_text else None
    if search.briefly and sum(len(row[4] or "") for row in found) > _BRIEF_TEXT:
        raise TooMuch
    return {row[0]: _record(row, fields, snippet) for row in found}


def by_keys(conn: Connection, search: Search) -> Ordered:
    """A page by what the database can sort by."""
    shape, values = _shape(conn, search)
    chosen = _chosen(conn, search, shape, values)
    place: tuple[Slot | None, ...] | None = None
    if search.place is not None:
        place = tuple(None if value is None else values.slot(value) for value in _checked(search.place))
    most = values.slot(search.limit + 1)
    found = _page(shape, chosen, without_rank(search.order), place, most)
    rows = [(row[0], row[1:]) for row in found.all(conn, values)]
    return Ordered(rows[: search.limit], len(rows) > search.limit)


def _refuse_old(conn: Connection, search: Search, found: Ordered) -> None:
    """Raise InvalidCursor for a place before all items of the nodes that are searched, stored since it was given."""
    key, descending = without_rank(search.order)[0]
    if is_ranked(search) or key not in ("created", "modified") or (found.rows and descending):
        return
    if search.briefly:
        raise TooMuch
    asked = search.matching.query
    # All of them: what fitted may not do so any more, as what was unread has been read.
    named = Query(accounts=asked.accounts, services=asked.services, nodes=asked.nodes)
    everything = Search(matching=Matching(query=named, shown=search.matching.shown))
    shape, values = _shape(conn, everything)
    chosen = _chosen(conn, everything, shape, values)
    place = values.slot(_checked(search.place or ())[0])
    # What was only published again since was there before.
    older = (_there(shape, chosen, time, place) for time in dict.fromkeys((key, "created")))
    if any(found.value(conn, values) for found in older) or not _there(shape, chosen).value(conn, values):
        return
    # Else the service removed what was there.
    if scope.floor(conn, named, search.matching.shown) > search.since:
        raise InvalidCursor("What the cursor goes on in was dropped meanwhile, and came again; begin again without it.")


@lru_cache(maxsize=64)
def _there(shape: Shape, chosen: Drive, key: str = "", place: Slot | None = None) -> Prepared:
    """Whether there is anything; place: that is as far as this place by the key."""
    found = drive.statement(shape, chosen, literal(1))
    if place is not None:
        [(column, _)] = drive.spread(key, False, chosen, ())
        found = found.where(column <= bound(place))
    return Prepared(found.limit(1))


def by_rank(conn: Connection, search: Search) -> Ordered:
    """A page of what is ranked.

    Its places begin with the last row that was there at the first page: what arrives later changes nothing after it.
    """
    newest: int | None = None
    place: Place = ()
    if search.place is not None:
        newest, place = _checked(search.place)[0], search.place[1:]
        if not isinstance(newest, int):
            raise _other_order()
    order = search.order or BEST_FIRST
    entries, directions, cut = ranks.ranked(conn, search.matching, order, newest, briefly=search.briefly)
    if search.place is not None:
        if len(place) != len(directions):
            raise _other_order()
        entries = [entry for entry in entries if ranks.is_beyond(entry.values, place, directions)]
    elif entries:
        newest = max(entry.row for entry in entries)
    rows = [(entry.row, (newest, *entry.values)) for entry in entries[: search.limit]]
    return Ordered(rows, len(entries) > search.limit, ranks.AT_MOST if cut else None)


def is_ranked(search: Search) -> bool:
    """Whether the order has a rank, and there is something to rank by."""
    return bool(search.matching.words.wanted) and any(key == "rank" for key, _ in search.order or BEST_FIRST)


def _shape(conn: Connection, search: Search) -> tuple[Shape, Values]:
    values = Values()
    return shaped(dialect.of(conn), search.matching, values), values


def _chosen(conn: Connection, search: Search, shape: Shape, values: Values) -> Drive:
    """What leads to the items, in an order without rank."""
    if search.briefly:
        return drive.briefly(conn, shape, values, search.matching.words)
    # Only ``modified`` has an index that leads through everything.
    wanted = bool(search.matching.words.wanted) and without_rank(search.order)[0][0] != "modified"
    return drive.choose(conn, shape, values, "words" if wanted else "order")


def without_rank(order: Order) -> Order:
    """An order in so far as it is no rank."""
    return tuple(one for one in order if one[0] != "rank") or NEWEST_FIRST


@lru_cache(maxsize=64)
def _rows(shape: Shape, chosen: Drive, order: Order, most: Slot | None = None, offset: Slot | None = None) -> Prepared:
    """The rows of all that fits, in order."""
    found = in_order(drive.statement(shape, chosen, Item.id), drive.keys(order, chosen, shape.where))
    if most is not None:
        found = found.limit(bound(most))
    return Prepared(found if offset is None else found.offset(bound(offset)))


@lru_cache(maxsize=64)
def _page(shape: Shape, chosen: Drive, order: Order, place: tuple[Slot | None, ...] | None, most: Slot) -> Prepared:
    """Rows after a place, each with its own. Raises InvalidCursor for a place of another order."""
    keys = drive.keys(order, chosen, shape.where)
    found = drive.statement(shape, chosen, Item.id, *(key for key, _ in keys))
    if place is not None:
        kinds = [column["type"] for column in found.column_descriptions[1:]]
        if len(place) != len(kinds) or not all(map(_may_stand, place, kinds)):
            raise _other_order()
        found = found.where(drive.beyond(keys, place))
    return Prepared(in_order(found, keys).limit(bound(most)))


def _may_stand(slot: Slot | None, kind: TypeEngine[Any]) -> bool:
    """Whether a value of a place is one of a column, of which some hold any."""
    return isinstance(kind, NullType) or (slot is not None and slot.kind is kind.python_type)


def in_order(found: Select[Any], keys: list[Key]) -> Select[Any]:
    return found.order_by(*(key.desc() if descending else key.asc() for key, descending in keys))


def _checked(place: Place) -> Place:
    """A place that has been outside since it was given; how long it has to be whoever has the order knows."""
    fitting = all(
        value is None or isinstance(value, str | float) or (type(value) is int and -_FARTHEST <= value < _FARTHEST)
        for value in place
    )
    if not place or not fitting:
        raise _other_order()
    return tuple(place)


def _other_order() -> InvalidCursor:
    return InvalidCursor("The cursor is of another order; begin again without it.")


# Records


def page(
    conn: Connection, search: Search, rows: Sequence[int], first: int = _ROWS_AT_ONCE
) -> tuple[list[ItemRecord], int]:
    """Records of the first rows, as many as may be, and how many rows these are.

    Without those that are gone or may not be shown any more. first: so many are read before it is known how large
    they are.
    """
    items: list[ItemRecord] = []
    size = looked = 0
    for some in _parts(rows, first):
        found = records(conn, search, some)
        for row in some:
            if (record := found.get(row)) is not None:
                size += weight(record)
                if search.max_bytes and size > search.max_bytes and items:
                    return items, looked
                if search.briefly and size > _BRIEF_BYTES:
                    raise TooMuch
                items.append(record)
            looked += 1
    return items, looked


def _parts(rows: Sequence[int], count: int) -> Iterator[Sequence[int]]:
    start = 0
    while start < len(rows):
        yield rows[start : start + count]
        start += count
        count = min(count * _MORE, _ROWS_AT_ONCE)


def _record(row: Row, fields: frozenset[str] | None, snippet: Snippets | None) -> ItemRecord:
    address = Address(*row[1:4])
    uri = uri_before_id(address) if _wants(fields, "uri") else ""
    id_ = row[5]
    (record,) = of_rows([row[5:]], uri)
    if not _wants(fields, "id"):
        del record["id"]
    if _wants(fields, "key"):
        record["key"] = address.key(id_)
    for name, value in zip(("account", "service", "node"), address, strict=True):
        if _wants(fields, name):
            record[name] = value  # type: ignore[literal-required]
    if snippet is not None and row[4]:
        record["snippet"] = snippet(row[4])
    return record


def _wants(fields: Iterable[str] | None, key: str) -> bool:
    return fields is None or key in fields


@lru_cache(maxsize=256)
def _records(fields: frozenset[str] | None, nodes: Shown, rows: tuple[Slot, ...], with_text: bool) -> Prepared:
    """Row, address, text, and the columns of ``of_rows``, of these rows; of what is not wanted NULL."""
    wanted = (column if _wants(fields, name) else null().label(f"no_{name}") for name, column in FIELDS.items())
    text = Item.text if with_text else null().label("no_text")
    return Prepared(
        select(Item.id, Account.jid, Node.service, Node.node, text, Item.item_id, null().label("place"), *wanted)
        .join(Node, Node.id == Item.node_id)
        .join(Account, Account.id == Node.account_id)
        .where(Item.id.in_(each(rows)), *scope.shown(nodes))
    )

"""Pages of items as records: one statement a shape of query, run through the driver."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import msgspec
from sqlalchemy import BindParameter, ColumnElement, Connection, bindparam, func, null, select

from ...address import Address
from ...errors import InvalidCursor, NoSuchItem
from ...replies import fitting
from ..accounts import nodes
from ..given import Given
from ..models import Item
from ..rows import ItemsQuery, ItemsSlice, NodeRow
from ..statement import Prepared, Row, filled, several
from .records import FIELDS, KEYS, of_rows, uri_before_id

# Further in than this the index of a page is not counted.
COUNTED_AT_MOST = 5000

_FARTHEST = 2**63

# A node's row, or None, and the daemon's revision of the same moment.
RowHeld = tuple[NodeRow | None, int]

# So many items are read at once when they are large.
_LARGE_AT_ONCE = 8
# As many bytes as a record has beside what may be long, and more.
_LIGHT = 1500


class Shape(msgspec.Struct, frozen=True):
    """What of a query decides the statement.

    bound: only rows beyond a place. ids: how many are named, a power of two, or 0 when the node is read in order.
    """

    key: str
    descending: bool = False
    bound: bool = False
    offset: bool = False
    ids: int = 0
    fields: frozenset[str] | None = None


def read_items(
    conn: Connection, address: Address, query: ItemsQuery, held: RowHeld | None = None
) -> tuple[NodeRow | None, int, ItemsSlice | None]:
    """The node's row, the daemon's revision and the items, all of one moment.

    The node is None when it has no row; the slice is None then, and when ``after`` or ``before``
    is no item of it. held: row and revision, where they are known.
    """
    node, revision = held or nodes.find_with_revision(conn, address)
    if node is None:
        return None, revision, None
    try:
        return node, revision, page(conn, node, query)
    except NoSuchItem:
        return node, revision, None


def page(conn: Connection, node: NodeRow, query: ItemsQuery) -> ItemsSlice:
    """A slice of the node's items.

    Raises NoSuchItem for an ``after`` or ``before`` that is not there, where it is not what was ``given`` that stands
    before the slice, and for a position of items that were dropped and came again, elsewhere.
    """
    key, descending = query.order[0]
    if query.ids is not None:
        return _named(conn, node, query, key, descending)
    if query.before is not None:
        return _preceding(conn, node, query, key, descending)
    place = _position(query, key)
    if query.after:
        place = _place(conn, node, key, query.after)
        if query.given is not None and not _all_given(conn, node, key, descending, place, query.given):
            raise NoSuchItem(f"Others stand before '{query.after}' in {node.address} than were given.")
    offset = query.index or 0
    shape = Shape(key, descending, place is not None, offset > 0, fields=query.fields)
    values = {"node": node.id, "place": place, "most": query.limit + 1, "offset": offset}
    rows, _ = statement(shape).until(conn, _Bound(query.max_bytes), **values)
    if query.last and key != "id" and not (rows and descending):
        _refuse_old(conn, node, key, query, place)
    found = _slice(node, rows, query)
    if found.items:
        found.index = offset if place is None else _index(conn, node, key, descending, rows[0][1])
    return found


def _named(conn: Connection, node: NodeRow, query: ItemsQuery, key: str, descending: bool) -> ItemsSlice:
    """Those of the ids that are there, in the query's order."""
    ids = tuple(dict.fromkeys(query.ids or ()))
    if not ids:
        return ItemsSlice([])
    place = _position(query, key)

    def chosen(rows: list[Row]) -> list[Row]:
        if place is not None:
            rows = [row for row in rows if (row[1] < place if descending else row[1] > place)]
        rows.sort(key=lambda row: row[1], reverse=descending)
        return rows[: query.limit + 1]

    named = filled(ids)
    shape = Shape(key, ids=len(named), fields=query.fields)
    return _slice(node, _first(conn, node, query, shape, chosen, **_numbered(named)), query)


def _preceding(conn: Connection, node: NodeRow, query: ItemsQuery, key: str, descending: bool) -> ItemsSlice:
    """The items just before one, or the last page."""
    place = _place(conn, node, key, query.before) if query.before else None
    shape = Shape(key, not descending, place is not None, fields=query.fields)
    rows = _first(conn, node, query, shape, lambda rows: rows[::-1], place=place, most=query.limit)
    found = _slice(node, rows, query)
    if rows:
        found.index = _index(conn, node, key, descending, rows[0][1])
        if found.position is None and place is not None:
            found.position = (rows[-1][1],)
    return found


class _Bound:
    """Whether rows have texts of more bytes than they may have together, called with some after the other."""

    def __init__(self, most: int) -> None:
        self._left = most or sys.maxsize

    def __call__(self, rows: list[Row]) -> bool:
        self._left -= sum([len(row[2] or "") + len(row[3] or "") for row in rows])
        return self._left < 0


def _first(
    conn: Connection,
    node: NodeRow,
    query: ItemsQuery,
    shape: Shape,
    chosen: Callable[[list[Row]], list[Row]],
    **values: object,
) -> list[Row]:
    """The first rows of those that are ``chosen``, in their order: all, or more than may have a text together."""
    rows, is_all = statement(shape).until(conn, _Bound(query.max_bytes), node=node.id, **values)
    if is_all:
        return chosen(rows)
    # They come in another order than they are wanted in, and are too large to be read first and chosen then.
    without_texts = msgspec.structs.replace(shape, fields=frozenset())
    ids = [row[0] for row in chosen(statement(without_texts).all(conn, node=node.id, **values))]
    enough, rows = _Bound(query.max_bytes), []
    for start in range(0, len(ids), _LARGE_AT_ONCE):
        some = ids[start : start + _LARGE_AT_ONCE]
        named = filled(some)
        one = statement(Shape(shape.key, ids=len(named), fields=query.fields))
        found = {row[0]: row for row in one.all(conn, node=node.id, **_numbered(named))}
        rows += [found[id_] for id_ in some]
        if enough(rows[start:]):
            break
    return rows


def _numbered(ids: Sequence[str]) -> dict[str, str]:
    return {f"id_{number}": id_ for number, id_ in enumerate(ids, 1)}


def _slice(node: NodeRow, rows: list[Row], query: ItemsQuery) -> ItemsSlice:
    """Records of the rows that the slice may hold; where it goes on if there are more."""
    more = len(rows) > query.limit
    held = rows[: query.limit] if more else rows
    if not held:
        return ItemsSlice([])
    fields = query.fields
    with_uri = fields is None or "uri" in fields
    items = of_rows(held, uri_before_id(node.address) if with_uri else "")
    if query.max_bytes and not _are_light(held, query.max_bytes):
        count = fitting(items, query.max_bytes)
        more |= count < len(items)
        held, items = held[:count], items[:count]
    place = (held[-1][1],)
    return ItemsSlice(items, None, place if more else None, held[0][0], held[-1][0], place)


def _are_light(rows: list[Row], most: int) -> bool:
    """Whether their records are sure to have at most so many bytes: as a rule, so that they need not be weighed."""
    # A character has at most four bytes, and in a URI twelve.
    texts = [
        4 * len(id_) + len(payload or "") + len(data or "") + len(errors or "") + len(namespace or "")
        for id_, _, payload, data, _, _, errors, _, _, _, namespace, _, _ in rows
    ]
    return 4 * sum(texts) + _LIGHT * len(rows) <= most


def _position(query: ItemsQuery, key: str) -> Any:
    """The place that an earlier slice gave, which has been outside since."""
    if query.position is None:
        return None
    match key, *query.position:
        case "id", str(place):
            return place
        case (("created" | "modified"), int(place)) if -_FARTHEST <= place < _FARTHEST:
            return place
    raise InvalidCursor("The position is none of this order; begin again without a cursor.")


def _place(conn: Connection, node: NodeRow, key: str, item_id: str | None) -> Any:
    place = _PLACES[key].value(conn, node=node.id, item=item_id)
    if place is None:
        raise NoSuchItem(f"There is no item '{item_id}' in {node.address} to page from.")
    return place


def _refuse_old(conn: Connection, node: NodeRow, key: str, query: ItemsQuery, place: int) -> None:
    """Raise NoSuchItem for a place that is before all there are, if they were stored since it was given."""
    if node.floor <= query.since:
        # Nothing was dropped: the service removed what was there.
        return
    firsts = [first.value(conn, node=node.id) for first in (_FIRST[key], _FIRST["created"])]
    # What was only published again since was there before.
    if any(first is None or first <= place for first in firsts):
        return
    # Of a window what stood there may just have been evicted.
    if node.completeness == "full" or _PLACES["id"].value(conn, node=node.id, item=query.last) is not None:
        raise NoSuchItem(f"The items of {node.address} were dropped meanwhile, and came again.")


def _all_given(conn: Connection, node: NodeRow, key: str, descending: bool, place: Any, given: Given) -> bool:
    """Whether the items as far as a place are those that were given."""
    rows = _as_far_as(key, descending).all(conn, node=node.id, place=place, most=given.count + 1)
    return Given().and_also(row[0] for row in rows) == given


def _index(conn: Connection, node: NodeRow, key: str, descending: bool, place: Any) -> int | None:
    """How many items come before ``place``, unless they are too many to count."""
    count: int = _counting(key, descending).value(conn, node=node.id, place=place)
    return count if count < COUNTED_AT_MOST else None


_PLACES = {
    key: Prepared(select(column).where(Item.node_id == bindparam("node"), Item.item_id == bindparam("item")))
    for key, column in KEYS.items()
}


_FIRST = {
    key: Prepared(select(func.min(column)).where(Item.node_id == bindparam("node"))) for key, column in KEYS.items()
}


def _beyond(key: str, descending: bool) -> ColumnElement[bool]:
    column = KEYS[key]
    place: BindParameter[Any] = bindparam("place")
    return column < place if descending else column > place


@lru_cache(maxsize=128)
def statement(shape: Shape) -> Prepared:
    """Id, place and columns of the items of a node in an order; of what is not wanted NULL."""
    column = KEYS[shape.key]
    wanted = (
        field if shape.fields is None or name in shape.fields else null().label(f"no_{name}")
        for name, field in FIELDS.items()
    )
    query = select(Item.item_id, column.label("place"), *wanted).where(Item.node_id == bindparam("node"))
    if shape.bound:
        query = query.where(_beyond(shape.key, shape.descending))
    if shape.ids:
        # Not ordered here: that would have the planner walk the whole node in its order, looking for them.
        return Prepared(query.where(Item.item_id.in_(several("id", shape.ids))))
    query = query.order_by(column.desc() if shape.descending else column.asc()).limit(bindparam("most"))
    if shape.offset:
        query = query.offset(bindparam("offset"))
    return Prepared(query)


@cache
def _as_far_as(key: str, descending: bool) -> Prepared:
    column = KEYS[key]
    place: BindParameter[Any] = bindparam("place")
    here = column >= place if descending else column <= place
    return Prepared(select(Item.item_id).where(Item.node_id == bindparam("node"), here).limit(bindparam("most")))


@cache
def _counting(key: str, descending: bool) -> Prepared:
    before = (
        select(Item.node_id)
        .where(Item.node_id == bindparam("node"), _beyond(key, not descending))
        .limit(COUNTED_AT_MOST)
        .subquery()
    )
    return Prepared(select(func.count()).select_from(before))

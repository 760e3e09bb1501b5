"""Which items a search finds, and where each stands: asked of a few named items, or of the order from a place on.

For those who hold the first items of a search and follow what changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, Select, func, select

from ...address import Address
from ...records import ItemRecord
from ..dialect import Dialect, Key
from ..models import Account, Item, Node
from ..statement import Prepared, Several, Slot, Values, bound, each
from . import drive, scope, search
from .drive import Drive
from .query import Order
from .ranked import is_beyond
from .search import Search
from .shape import Shape, is_all_of_nodes, shaped

# So many items are asked for in one statement.
_AT_ONCE = 512

_IDENTITIES = Several(
    lambda rows: (
        select(Item.id, Item.node_id, Account.jid, Node.service, Node.node, Item.item_id)
        .join(Node, Node.id == Item.node_id)
        .join(Account, Account.id == Node.account_id)
        .where(Item.id.in_(rows))
    )
)

Row = Sequence[Any]


# Views hold a place and a member for each of their items. Neither is ever in a cycle, so nobody has to look for that.


class Place(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Where an item stands; comes before those it is less than. values: what it is sorted by, the last its own."""

    values: tuple[Any, ...]
    directions: Sequence[bool]

    def __lt__(self, other: Place) -> bool:
        return is_beyond(other.values, self.values, self.directions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and not self < other and not other < self

    def __hash__(self) -> int:
        return hash(self.values)

    def __repr__(self) -> str:
        return f"Place{self.values}"


class Member(msgspec.Struct, frozen=True, gc=False):
    """An item that a search finds: its key, its place, its row and its node's."""

    key: str
    place: Place
    row: int
    node: int


class Members:
    """What a search finds; its limit and place are not looked at."""

    def __init__(self, wanted: Search, dialect: Dialect) -> None:
        # What is named leads to itself.
        self._search = replace(wanted, limit=1, place=None)
        self._fields = None if wanted.fields is None else wanted.fields | {"key"}
        self._order = search.without_rank(wanted.order)
        self._directions = _directions(wanted, Drive(dialect, "few"))
        self._taken = Values()
        self._shape = shaped(dialect, wanted.matching, self._taken)

    @property
    def ranked(self) -> bool:
        """Whether they are ordered by rank: of many not all are looked at, so each depends on the others."""
        return search.is_ranked(self._search)

    def following(self, conn: Connection, place: Place | None, limit: int) -> tuple[list[Member], bool, bool]:
        """The members after a place (None: the first), whether there are more, and whether all were looked at."""
        if self.ranked:
            found = search.by_rank(conn, replace(self._search, limit=limit))
            # A page by rank remembers the row that was the last when it was begun.
            rows = [(row, values[1:]) for row, values in found.rows]
        else:
            found = search.by_keys(conn, replace(self._search, limit=limit, place=place.values if place else None))
            rows = found.rows
        identified = _identified(conn, [row for row, _ in rows])
        members = [
            Member(identified[row][1], Place(values, self._directions), row, identified[row][0]) for row, values in rows
        ]
        return members, found.more, found.ranked is None

    def among(self, conn: Connection, node: int, address: Address, ids: Collection[str]) -> list[Member]:
        """Those of a node's items that are members; by rank their places say nothing."""
        wanted = list(ids)
        found: list[Row] = []
        for start in range(0, len(wanted), _AT_ONCE):
            values = Values(self._taken.taken)
            named = values.slots(wanted[start : start + _AT_ONCE])
            found += _named(self._shape, self._order, values.slot(node), named).all(conn, values)
        return self._members(node, address, found)

    def of_node(self, conn: Connection, node: int, address: Address, limit: int) -> list[Member]:
        """The first members of a node; by rank any of them, and their places say nothing."""
        values = Values(self._taken.taken)
        statement = _whole(self._shape, self._order, values.slot(node), values.slot(limit))
        return self._members(node, address, statement.all(conn, values))

    def records(self, conn: Connection, rows: Sequence[int], max_bytes: int) -> tuple[dict[str, ItemRecord], int]:
        """The records of the first rows by key, as far as they are there to be shown, and how many rows these are."""
        wanted = replace(self._search, fields=self._fields, max_bytes=max_bytes)
        found, looked = search.page(conn, wanted, rows, search.FIRST_ROWS)
        return {record["key"]: record for record in found}, looked

    def range(self, conn: Connection, offset: int, count: int, max_bytes: int) -> list[ItemRecord]:
        """Records from a position on, each with its ``index``."""
        wanted = replace(self._search, limit=count, fields=self._fields, max_bytes=max_bytes)
        rows = search.rows_from(conn, wanted, offset)
        items, _ = search.page(conn, wanted, rows)
        for index, item in enumerate(items, offset):
            item["index"] = index
        return items

    def count(self, conn: Connection, most: int | None = None) -> int:
        """How many there are, as far as ``most``."""
        matching = self._search.matching
        if is_all_of_nodes(matching):
            return scope.count(conn, matching.query, matching.shown)
        values = Values(self._taken.taken)
        chosen = drive.choose(conn, self._shape, values, "words" if matching.words.wanted else "order")
        bounded = None if most is None else values.slot(most)
        return int(_count(self._shape, chosen, bounded).value(conn, values))

    def _members(self, node: int, address: Address, rows: Iterable[Row]) -> list[Member]:
        return [
            Member(address.key(id_), Place(tuple(values), self._directions), row, node) for row, id_, *values in rows
        ]


@lru_cache(maxsize=64)
def _named(shape: Shape, order: Order, node: Slot, ids: tuple[Slot, ...]) -> Prepared:
    """Of a node's items those with an id: row, id and what to sort by."""
    found, _ = _one_by_one(shape, order, node)
    return Prepared(found.where(Item.item_id.in_(each(ids))))


@lru_cache(maxsize=32)
def _whole(shape: Shape, order: Order, node: Slot, most: Slot) -> Prepared:
    """The same of the first items of a node."""
    return Prepared(search.in_order(*_one_by_one(shape, order, node)).limit(bound(most)))


def _one_by_one(shape: Shape, order: Order, node: Slot) -> tuple[Select[Any], list[Key]]:
    few = Drive(shape.dialect, "few")
    keys = drive.keys(order, few, shape.where)
    found = drive.statement(shape, few, Item.id, Item.item_id, *(key for key, _ in keys))
    return found.where(Item.node_id == bound(node)), keys


@lru_cache(maxsize=32)
def _count(shape: Shape, chosen: Drive, most: Slot | None) -> Prepared:
    found = drive.statement(shape, chosen, Item.id)
    few = (found if most is None else found.limit(bound(most))).subquery()
    return Prepared(select(func.count()).select_from(few))


def _directions(wanted: Search, few: Drive) -> list[bool]:
    """Whether each value of a place descends."""
    order = wanted.order or search.BEST_FIRST if search.is_ranked(wanted) else search.without_rank(wanted.order)
    found: list[bool] = []
    for key, descending in order:
        if key == "rank":
            found.append(descending)
        else:
            found += [each for _, each in drive.spread(key, descending, few, wanted.matching.query.where)]
    return [*found, order[-1][1]]


def _identified(conn: Connection, rows: Sequence[int]) -> dict[int, tuple[int, str]]:
    """Of each row its node's row and its key."""
    found: dict[int, tuple[int, str]] = {}
    for row, node, *address, id_ in _IDENTITIES.all(conn, rows):
        found[row] = (node, Address(*address).key(id_))
    return found

"""How a search goes through the items: by whatever leads to few of them, else in the order that is asked for.

A planner guesses when it has no statistics, which SQLite's never has, and a wrong guess costs a walk through
everything. So what may lead is counted, up to a bound, the least wins, and the indexes of all others are kept out of
the statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    FromClause,
    Select,
    and_,
    false,
    func,
    literal,
    or_,
    select,
)

from ...data_path import Path
from .. import indexes
from ..database import TooMuch
from ..dialect import Dialect, Key, Matches, Truth, Value, among
from ..items.records import KEYS
from ..models import Item, Node
from ..statement import Prepared, Slot, Values, bound, each
from ..words import Words
from . import criteria, scope
from .query import Clause, Condition, Order
from .shape import Shape

# What leads to more items than this does not lead.
FEW = 5000
_NODES = 500
# What may be looked at while everybody waits: so many items, for a question with so many values and words.
BRIEF = 128
_VALUES = 64
_WORDS = 4


class Drive(msgspec.Struct, frozen=True):
    """What leads: ``words``, ``path``, ``nodes``, ``ids``, the ``order``, or ``few`` items, looked at one by one."""

    dialect: Dialect
    by: str
    path: Path | None = None
    nodes: tuple[Slot, ...] = ()

    @property
    def in_order(self) -> bool:
        """Whether an index may give the order."""
        return self.by == "order" or (self.by == "nodes" and len(self.nodes) == 1)


def choose(conn: Connection, shape: Shape, values: Values, otherwise: str) -> Drive:
    """The best way to the items; ``otherwise`` when nothing leads to few."""
    database = shape.dialect
    if shape.ids:
        return Drive(database, "ids")
    fallback = Drive(database, otherwise)
    ways: list[tuple[int, Drive]] = []
    most = values.slot(FEW + 1)
    if shape.named and (nodes := scope.few(conn, shape.named, values, shape.shown, _NODES)) is not None:
        way = Drive(database, "nodes", nodes=values.slots(nodes[0]))
        ways.append((nodes[1], way))
        if otherwise == "order" and way.in_order:
            # However many items a single node has, its index has them in the order, and those of no other node.
            fallback = way
    leading = [clause for clause in shape.where if isinstance(clause, Condition)]
    indexed = indexes.among(conn, (clause.path for clause in leading))
    for clause in leading:
        if criteria.drives(clause, indexed):
            way = Drive(database, "path", clause.path)
            ways.append((_fitting(way, clause, most).value(conn, values), way))
    if shape.words.wanted and (ways or otherwise != "words"):
        way = Drive(database, "words")
        ways.append((_fitting(way, shape.words, most).value(conn, values), way))
    least, best = min(ways, key=lambda way: way[0], default=(FEW + 1, fallback))
    return best if least <= FEW else fallback


def briefly(conn: Connection, shape: Shape, values: Values, words: Words) -> Drive:
    """The way to the items where it is sure to be short, to find it too. Raises TooMuch where it is not.

    words: those of the shape.
    """
    database = shape.dialect
    leading = [
        clause for clause in shape.where if isinstance(clause, Condition) and clause.operator in criteria.INDEXED
    ]
    # Other clauses may take long for a single item, and a name may be that of many nodes.
    if len(leading) < len(shape.where) or shape.symbols or shape.unwanted_symbols or not shape.named.by_account:
        raise TooMuch
    if len(values.taken) > _VALUES or len(words.wanted) > _WORDS:
        raise TooMuch
    most = values.slot(BRIEF + 1)
    if not words:
        indexed = indexes.among(conn, (clause.path for clause in leading))
        for clause in leading:
            way = Drive(database, "path", clause.path)
            if criteria.drives(clause, indexed) and _fitting(way, clause, most).value(conn, values) <= BRIEF:
                return way
    # Each word by itself, for what comes of several at once, or of a beginning, is bounded by nothing.
    if not all(term.is_plain for term in (*words.wanted, *words.unwanted)):
        raise TooMuch
    way = Drive(database, "words")
    for term in words.wanted:
        alone = database.matches(Words((term,)), values)
        if _fitting(way, alone, most).value(conn, values) <= BRIEF:
            return way
    raise TooMuch


@lru_cache(maxsize=64)
def _fitting(way: Drive, by: Condition | Matches, most: Slot) -> Prepared:
    """How many items there are on a way."""
    database, found = way.dialect, select(literal(1))
    if isinstance(by, Condition):
        found = found.select_from(Item).where(criteria.narrowed(database, by))
    else:
        found = found.select_from(database.text_source()).where(*database.matching(by))
    return Prepared(select(func.count()).select_from(found.limit(bound(most)).subquery()))


def statement(shape: Shape, drive: Drive, *columns: Value) -> Select[Any]:
    """The columns, of ``Item`` and ``Node``, of all items that fit, in no order."""
    database = shape.dialect
    node_id: Value = Item.node_id if drive.by == "ids" else database.unindexed(Item.node_id)
    source: FromClause = Item.__table__
    conditions: list[Truth] = []
    if drive.by == "words":
        source = database.text_source().join(source, Item.id == database.text_row())
        conditions += database.matching(shape.words)
    elif drive.by == "few":
        conditions += database.holding_each(shape.words)
    else:
        conditions += database.holding(shape.words)
    if drive.by == "nodes":
        conditions.append(among(Item.node_id, drive.nodes))
    source = source.join(Node.__table__, Node.id == node_id)
    conditions += [*scope.shown(shape.shown), *scope.are(shape.named)]
    conditions += [database.contains(Item.text, symbol) for symbol in shape.symbols]
    conditions += [~database.contains(Item.text, symbol) for symbol in shape.unwanted_symbols]
    conditions += _attributes(shape)
    conditions += [
        criteria.narrowed(database, clause)
        for clause in shape.where
        if isinstance(clause, Condition) and criteria.drives(clause, () if drive.path is None else (drive.path,))
    ]
    conditions += [criteria.truth(database, clause) for clause in shape.where]
    return select(*columns).select_from(source).where(*conditions)


def _attributes(shape: Shape) -> list[Truth]:
    """What has to hold of an item's own columns."""
    wanted_of: list[tuple[Value, tuple[Slot, ...]]] = [
        (Item.type, shape.types),
        (Item.subtype, shape.subtypes),
        (Item.item_id, shape.ids),
    ]
    conditions: list[Truth] = [column.in_(each(slots)) for column, slots in wanted_of if slots]
    for flag, wanted in shape.flags:
        every = " " + Item.flags + " "
        held = Item.seen.is_(True) if flag is None else shape.dialect.contains(every, flag)
        conditions.append(held if wanted else ~held)
    return conditions


# Orders


def keys(order: Order, drive: Drive, where: tuple[Clause, ...]) -> list[Key]:
    """What to sort by, down to the item itself."""
    found = [one for key, descending in order for one in spread(key, descending, drive, where)]
    return [*found, (Item.id if drive.in_order else drive.dialect.unindexed(Item.id), order[-1][1])]


def spread(key: str | Path, descending: bool, drive: Drive, where: tuple[Clause, ...]) -> list[Key]:
    """One key of an order. What has nothing at a path comes last, whichever the direction."""
    if not isinstance(key, Path):
        column = KEYS[key]
        return [(column if drive.in_order else drive.dialect.unindexed(column), descending)]
    return drive.dialect.sort_keys(key.steps, descending, _is_there(key, where))


def row_of(drive: Drive) -> Value:
    """The item's row, for the order in which items were stored."""
    return drive.dialect.text_row() if drive.by == "words" else drive.dialect.unindexed(Item.id)


def _is_there(path: Path, where: tuple[Clause, ...]) -> bool:
    """Whether every item that fits has something at the path."""
    return any(
        isinstance(clause, Condition)
        and clause.path == path
        and clause.operator in criteria.INDEXED
        and None not in (clause.value if isinstance(clause.value, tuple) else (clause.value,))
        for clause in where
    )


def beyond(keys: Sequence[Key], place: Sequence[Slot | None]) -> Truth:
    """What comes after a place: later by the first key, or the same by that and later by the second, and so on."""
    (key, descending), slot = keys[0], place[0]
    value = None if slot is None else bound(slot)
    later: Truth = false() if value is None else key < value if descending else key > value
    if len(keys) == 1:
        return later
    same = key.is_(None) if value is None else key == value
    rest = or_(later, and_(same, beyond(keys[1:], place[1:])))
    if value is None:
        return rest
    # Says nothing new, but an index begins there.
    return and_(key <= value if descending else key >= value, rest)

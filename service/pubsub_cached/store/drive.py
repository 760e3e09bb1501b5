"""How a search goes through the items: by whatever leads to few of them, else in the order that is asked for.

A planner guesses when it has no statistics, which SQLite's never has, and a wrong guess costs a walk through
everything. So what may lead is counted, up to a bound, the least wins, and the indexes of all others are kept out of
the statement.
"""

from __future__ import annotations

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

from . import criteria, dialect, indexes, scope
from .dialect import Dialect, Key, Truth, Value
from .models import Item, Node
from .path import Path
from .query import Clause, Condition, Order, Query
from .scope import Shown
from .words import Words

# What leads to more items than this does not lead.
FEW = 5000
_NODES = 500

_COLUMNS = {"created": Item.created, "modified": Item.modified, "id": Item.item_id}


class Matching(msgspec.Struct, frozen=True, kw_only=True):
    """What an item has to be. shown: its node."""

    words: Words = Words()
    query: Query = Query()
    shown: Shown


class Drive(msgspec.Struct, frozen=True):
    """What leads: ``words``, ``path``, ``nodes``, ``ids``, or the ``order``."""

    dialect: Dialect
    by: str
    path: Path | None = None
    nodes: tuple[int, ...] = ()

    @property
    def in_order(self) -> bool:
        """Whether an index may give the order."""
        return self.by == "order" or (self.by == "nodes" and len(self.nodes) == 1)


def is_all_of_nodes(matching: Matching) -> bool:
    """Whether every item of the nodes in its scope fits."""
    query = matching.query
    return not (matching.words or query.types or query.subtypes or query.ids or query.flags or query.where)


def choose(conn: Connection, matching: Matching, otherwise: str) -> Drive:
    """The best way to the items; ``otherwise`` when nothing leads to few."""
    database = dialect.of(conn)
    query = matching.query
    if query.ids:
        return Drive(database, "ids")
    ways: list[tuple[int, Drive]] = []
    if scope.constrained(query) and (nodes := scope.few(conn, query, matching.shown, _NODES)) is not None:
        ways.append((nodes[1], Drive(database, "nodes", nodes=tuple(nodes[0]))))
    leading = [clause for clause in query.where if isinstance(clause, Condition)]
    indexed = indexes.among(conn, (clause.path for clause in leading))
    for clause in leading:
        if criteria.drives(clause, indexed):
            found = select(literal(1)).select_from(Item).where(criteria.narrowed(database, clause))
            ways.append((_count(conn, found), Drive(database, "path", clause.path)))
    if matching.words.wanted and (ways or otherwise != "words"):
        found = select(literal(1)).select_from(database.text_source()).where(*database.matching(matching.words))
        ways.append((_count(conn, found), Drive(database, "words")))
    least, best = min(ways, key=lambda way: way[0], default=(FEW + 1, Drive(database, otherwise)))
    return best if least <= FEW else Drive(database, otherwise)


def _count(conn: Connection, found: Select[Any]) -> int:
    few = found.limit(FEW + 1).subquery()
    return int(conn.scalar(select(func.count()).select_from(few)) or 0)


def statement(matching: Matching, drive: Drive, *columns: Value) -> Select[Any]:
    """The columns, of ``Item`` and ``Node``, of all items that fit, in no order."""
    query, database = matching.query, drive.dialect
    node_id: Value = Item.node_id if drive.by == "ids" else database.unindexed(Item.node_id)
    source: FromClause = Item.__table__
    conditions: list[Truth] = []
    if drive.by == "words":
        source = database.text_source().join(source, Item.id == database.text_row())
        conditions += database.matching(matching.words)
    else:
        conditions += database.holding(matching.words)
    if drive.by == "nodes":
        conditions.append(Item.node_id == drive.nodes[0] if len(drive.nodes) == 1 else Item.node_id.in_(drive.nodes))
    source = source.join(Node.__table__, Node.id == node_id)
    conditions += [*scope.shown(matching.shown), *scope.named(query)]
    conditions += [database.contains(Item.text, symbol) for symbol in matching.words.symbols]
    conditions += [~database.contains(Item.text, symbol) for symbol in matching.words.unwanted_symbols]
    conditions += _attributes(query, database)
    conditions += [
        criteria.narrowed(database, clause)
        for clause in query.where
        if isinstance(clause, Condition) and criteria.drives(clause, () if drive.path is None else (drive.path,))
    ]
    conditions += [criteria.truth(database, clause) for clause in query.where]
    return select(*columns).select_from(source).where(*conditions)


def _attributes(query: Query, database: Dialect) -> list[Truth]:
    """What has to hold of an item's own columns."""
    conditions: list[Truth] = []
    if query.types:
        conditions.append(Item.type.in_(query.types))
    if query.subtypes:
        conditions.append(Item.subtype.in_([subtype or "" for subtype in query.subtypes]))
    if query.ids:
        conditions.append(Item.item_id.in_(query.ids))
    for flag, wanted in query.flags:
        every = " " + Item.flags + " "
        held = Item.seen.is_(True) if flag == "read" else database.contains(every, f" {flag} ")
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
        column = _COLUMNS[key]
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


def beyond(keys: list[Key], place: tuple[Any, ...]) -> Truth:
    """What comes after a place: later by the first key, or the same by that and later by the second, and so on."""
    (key, descending), value = keys[0], place[0]
    later: Truth = false() if value is None else key < value if descending else key > value
    if len(keys) == 1:
        return later
    same = key.is_(None) if value is None else key == value
    rest = or_(later, and_(same, beyond(keys[1:], place[1:])))
    if value is None:
        return rest
    # Says nothing new, but an index begins there.
    return and_(key <= value if descending else key >= value, rest)

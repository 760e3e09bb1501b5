"""The order by rank: how well a text fits is told by the text, so the texts are read and sorted here.

Of many that fit only those stored last are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection

from .. import dialect
from ..dialect import Key
from ..models import Item
from ..statement import Prepared, Slot, Values, bound
from ..words import Ranking
from . import drive
from .drive import Drive
from .query import Order
from .shape import Matching, Shape, shaped

# So many of the items that fit are ranked, those stored last.
AT_MOST = 1000


class Entry(NamedTuple):
    """An item and what it is sorted by."""

    row: int
    values: tuple[Any, ...]


def ranked(
    conn: Connection, matching: Matching, order: Order, newest: int | None, *, briefly: bool = False
) -> tuple[list[Entry], list[bool], bool]:
    """Items in order; whether each value descends; and whether there were more than could be ranked.

    order: has ``rank``, best first when it descends. newest: only items up to this row, None for all. briefly: as in
    ``Search``.
    """
    values = Values()
    shape = shaped(dialect.of(conn), matching, values)
    if briefly:
        chosen = drive.briefly(conn, shape, values, matching.words)
    else:
        chosen = drive.choose(conn, shape, values, "words")
    most, last = values.slot(AT_MOST + 1), None if newest is None else values.slot(newest)
    statement, parts = _candidates(shape, chosen, order, most, last)
    rows = statement.all(conn, values)
    rank = Ranking(matching.words)
    entries = [
        Entry(found[0], (*(rank(found[1]) if at is None else found[at] for at, _ in parts), found[0]))
        for found in rows[:AT_MOST]
    ]
    directions = [descending for _, descending in parts]
    directions.append(directions[-1])
    for number in reversed(range(len(directions))):
        entries.sort(key=lambda entry, at=number: comparable(entry.values[at]), reverse=directions[number])  # type: ignore[misc]
    return entries, directions, len(rows) > AT_MOST


@lru_cache(maxsize=64)
def _candidates(
    shape: Shape, chosen: Drive, order: Order, most: Slot, last: Slot | None
) -> tuple[Prepared, list[tuple[int | None, bool]]]:
    """The items that are to be ranked, and of each value of the order its column, None for the rank, and direction."""
    columns: list[Key] = []
    parts: list[tuple[int | None, bool]] = []
    for key, descending in order:
        if key == "rank":
            parts.append((None, descending))
            continue
        for one in drive.spread(key, descending, chosen, shape.where):
            parts.append((len(columns) + 2, one[1]))
            columns.append(one)
    row = drive.row_of(chosen)
    statement = drive.statement(shape, chosen, Item.id, Item.text, *(column for column, _ in columns))
    if last is not None:
        statement = statement.where(row <= bound(last))
    return Prepared(statement.order_by(row.desc()).limit(bound(most))), parts


def is_beyond(values: tuple[Any, ...], place: tuple[Any, ...], directions: Sequence[bool]) -> bool:
    """Whether values come after a place in the order."""
    for mine, its, descending in zip(values, place, directions, strict=True):
        if mine != its:
            return (comparable(mine) < comparable(its)) is descending
    return False


def comparable(value: Any) -> tuple[int, Any]:
    """A value as the database orders it: nothing, numbers, strings."""
    if value is None:
        return (0, 0)
    return (2, value) if isinstance(value, str) else (1, value)

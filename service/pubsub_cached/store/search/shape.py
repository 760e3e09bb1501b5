"""What of a search decides its statements: everything but its values, for which slots stand.

Searches of one shape, such as one for another word, have the same statements, which are built once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from ..dialect import Dialect, Matches
from ..statement import Slot, Values
from ..words import Words
from . import scope
from .query import AnyOf, Clause, Condition, Not, Query
from .scope import Named, Shown


class Matching(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an item has to be. shown: its node."""

    words: Words = Words()
    query: Query = Query()
    shown: Shown


def is_all_of_nodes(matching: Matching) -> bool:
    """Whether every item of the nodes in its scope fits."""
    query = matching.query
    return not (matching.words or query.types or query.subtypes or query.ids or query.flags or query.where)


class Shape(msgspec.Struct, frozen=True, gc=False):
    """A ``Matching`` without its values.

    flags: as in ``Query``, None for ``read``. where: its values are slots, and constants of JSON.
    """

    dialect: Dialect
    shown: Shown
    words: Matches
    symbols: tuple[Slot, ...]
    unwanted_symbols: tuple[Slot, ...]
    named: Named
    types: tuple[Slot, ...]
    subtypes: tuple[Slot, ...]
    ids: tuple[Slot, ...]
    flags: tuple[tuple[Slot | None, bool], ...]
    where: tuple[Clause, ...]


def shaped(dialect: Dialect, matching: Matching, values: Values) -> Shape:
    """The shape of a matching, whose values are added to ``values``."""
    query = matching.query
    return Shape(
        dialect,
        matching.shown,
        dialect.matches(matching.words, values),
        tuple(values.slot(symbol) for symbol in matching.words.symbols),
        tuple(values.slot(symbol) for symbol in matching.words.unwanted_symbols),
        scope.named(query, values),
        values.slots(query.types),
        values.slots([subtype or "" for subtype in query.subtypes]),
        values.slots(query.ids),
        tuple((None if flag == "read" else values.slot(f" {flag} "), wanted) for flag, wanted in query.flags),
        tuple(_clause(clause, values) for clause in query.where),
    )


def _clause(clause: Clause, values: Values) -> Clause:
    if isinstance(clause, AnyOf):
        return AnyOf(tuple(_clause(one, values) for one in clause.clauses))
    if isinstance(clause, Not):
        return Not(_clause(clause.clause, values))
    return replace(clause, value=_value(clause, values))


def _value(clause: Condition, values: Values) -> Any:
    """What stands for the value of a clause; a list in which the order says nothing comes by kinds."""
    if not isinstance(clause.value, tuple):
        return _scalar(clause.value, values)
    if clause.operator == "between":
        return tuple(_scalar(one, values) for one in clause.value)
    given: list[Any] = [_whole(one) for one in clause.value]
    alike: Iterator[list[Any]] = ([one for one in given if type(one) is kind] for kind in (str, int, float))
    constants = [constant for constant in (None, False, True) if any(one is constant for one in given)]
    return (*(slot for some in alike for slot in values.slots(some)), *constants)


def _scalar(value: Any, values: Values) -> Any:
    return value if value is None or isinstance(value, bool) else values.slot(_whole(value))


def _whole(value: Any) -> Any:
    """A whole number is compared exactly, however it was written."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    return value

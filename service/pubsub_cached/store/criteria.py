"""Clauses of a query as conditions of SQL. Every value of the query is a bound parameter, and so are its paths.

A condition is true, false, or unknown where a path is missing; unknown counts as false, inside of ``not`` too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from sqlalchemy import and_, false, func, not_, or_

from . import sqlite as database
from .models import Item
from .path import Path
from .query import AnyOf, Clause, Condition, Not, Scalar
from .sqlite import Holds, Truth, Value

Compare = Callable[[Value, Any], Truth]

NUMBERS = ("integer", "real")

# An index on a path is of use for these.
INDEXED = frozenset({"=", "<", "<=", ">", ">=", "between", "in"})

_COMPARED: dict[str, Compare] = {
    "<": lambda value, most: value < most,
    "<=": lambda value, most: value <= most,
    ">": lambda value, least: value > least,
    ">=": lambda value, least: value >= least,
    "between": lambda value, ends: value.between(*ends),
    "like": database.like,
    "ilike": database.ilike,
}
# The operators that say that another one fails; like that one, they fail where the path is missing.
_OPPOSITE = {
    "!=": "=",
    "not-in": "in",
    "not-like": "like",
    "not-ilike": "ilike",
    "disjoint": "overlap",
    "idisjoint": "ioverlap",
}


def truth(clause: Clause, indexed: Collection[Path] = ()) -> Truth:
    """The condition that an item meets when the clause holds. indexed: paths that have an index."""
    if isinstance(clause, AnyOf):
        return or_(*(truth(one, indexed) for one in clause.clauses))
    if isinstance(clause, Not):
        return negated(truth(clause.clause, indexed))
    if clause.operator == "exists" and not clause.value:
        return negated(database.holds(Item.data, clause.path, _exists))
    return database.holds(Item.data, clause.path, _test(clause), fixed=clause.path in indexed)


def negated(condition: Truth) -> Truth:
    """True unless the condition is."""
    return not_(func.coalesce(condition, false()))


def drives(clause: Clause, indexed: Collection[Path]) -> bool:
    """Whether an index leads to the items for which the clause holds."""
    if not isinstance(clause, Condition) or clause.operator not in INDEXED or clause.path not in indexed:
        return False
    # What true and null are in an index is not what they are in JSON.
    given = clause.value if clause.operator == "in" else (clause.value,)
    return not any(one is None or isinstance(one, bool) for one in given)


def narrowed(clause: Condition) -> Truth:
    """What an index on the clause's path can tell of it, which may be more than the clause lets through."""
    value = database.value_of(Item.data, clause.path.steps, fixed=True)
    if clause.operator == "=":
        return _among(value, [clause.value])
    if clause.operator == "in":
        return value.in_(clause.value)
    return _COMPARED[clause.operator](value, clause.value)


def _test(clause: Condition) -> Holds:
    if clause.operator == "exists":
        return _exists
    positive = _OPPOSITE.get(clause.operator)
    if positive is None:
        return _positive(clause.operator, clause.value)
    fails = _positive(positive, clause.value)
    return lambda value, kind: and_(kind.is_not(None), negated(fails(value, kind)))


def _positive(operator: str, given: Any) -> Holds:
    if operator == "=":
        return lambda value, kind: _equal(value, kind, (given,))
    if operator == "in":
        return lambda value, kind: _equal(value, kind, given)
    if operator == "overlap":
        return lambda value, kind: database.any_element(value, kind, lambda v, k: _equal(v, k, given))
    if operator == "ioverlap":
        return lambda value, kind: database.any_element(value, kind, lambda v, k: _equal_lowered(v, k, given))
    compare = _COMPARED[operator]
    text = isinstance(given[0] if isinstance(given, tuple) else given, str)
    return lambda value, kind: and_(compare(value, given), kind == "text" if text else kind.in_(NUMBERS))


def _exists(value: Value, kind: Value) -> Truth:
    return kind.is_not(None)


def _equal(value: Value, kind: Value, given: Iterable[Scalar]) -> Truth:
    """One of these values: a number equals no string, and true is no 1."""
    texts = [one for one in given if isinstance(one, str)]
    numbers = [one for one in given if isinstance(one, int | float) and not isinstance(one, bool)]
    words = [{None: "null", True: "true", False: "false"}[one] for one in given if one is None or isinstance(one, bool)]
    ways: list[Truth] = []
    if texts:
        ways.append(and_(_among(value, texts), kind == "text"))
    if numbers:
        ways.append(and_(_among(value, numbers), kind.in_(NUMBERS)))
    if words:
        ways.append(kind.in_(words))
    return or_(false(), *ways) if len(ways) != 1 else ways[0]


def _equal_lowered(value: Value, kind: Value, given: Iterable[Scalar]) -> Truth:
    lowered = [one.lower() for one in given if isinstance(one, str)]
    others = [one for one in given if not isinstance(one, str)]
    return or_(false(), database.lowered(value).in_(lowered), _equal(value, kind, others))


def _among(value: Value, given: list[Any]) -> Truth:
    return value == given[0] if len(given) == 1 else value.in_(given)

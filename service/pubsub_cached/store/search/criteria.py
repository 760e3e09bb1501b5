"""Clauses of a ``Shape`` as conditions of SQL. Every value is a bound parameter, and so are the paths.

A condition is true, false, or unknown where a path is missing; unknown counts as false, inside of ``not`` too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Text, and_, false, func, not_, or_

from ...data_path import Path, Star
from ..dialect import COMPARED, Dialect, Spot, Test, Truth, Value, among, small
from ..statement import Slot, bound, made
from .query import AnyOf, Clause, Condition, Not

Given = Slot | bool | None
"""What a clause compares with: a string or a number, for which a slot stands, or a constant."""

# An index on a path is of use for these.
INDEXED = frozenset({"=", "<", "<=", ">", ">=", "between", "in"})

# The operators that say that another one fails; like that one, they fail where the path is missing.
_OPPOSITE = {
    "!=": "=",
    "not-in": "in",
    "not-like": "like",
    "not-ilike": "ilike",
    "disjoint": "overlap",
    "idisjoint": "ioverlap",
}


def truth(dialect: Dialect, clause: Clause) -> Truth:
    """The condition that an item meets when the clause holds."""
    if isinstance(clause, AnyOf):
        return or_(*(truth(dialect, one) for one in clause.clauses))
    if isinstance(clause, Not):
        return negated(truth(dialect, clause.clause))
    if clause.operator == "exists" and not clause.value:
        return negated(_holds(dialect, None, clause.path, _exists))
    return _holds(dialect, None, clause.path, _test(dialect, clause))


def negated(condition: Truth) -> Truth:
    """True unless the condition is."""
    return not_(func.coalesce(condition, false()))


def drives(clause: Condition, indexed: Collection[Path]) -> bool:
    """Whether an index leads to the items for which the clause holds."""
    if clause.operator not in INDEXED or clause.path not in indexed:
        return False
    # What true and null are in an index is not what they are in JSON.
    given = clause.value if clause.operator == "in" else (clause.value,)
    return not any(one is None or isinstance(one, bool) for one in given)


def narrowed(dialect: Dialect, clause: Condition) -> Truth:
    """What an index on the clause's path can tell of it, which may be more than the clause lets through."""
    return dialect.narrowed(clause.path.steps, clause.operator, clause.value)


def _holds(dialect: Dialect, document: Value | None, path: Path, test: Test) -> Truth:
    """Whether ``test`` holds at the path, or, where that has ``[*]``, at any of the places it leads to."""
    if path.single:
        return test(dialect.at(document, path.steps))
    star = path.steps.index(Star.ANY)
    rest = Path(path.steps[star + 1 :])

    def inside(spot: Spot) -> Truth:
        return test(spot) if not rest.steps else _holds(dialect, spot.document, rest, test)

    return dialect.any_element(document, path.steps[:star], inside)


def _test(dialect: Dialect, clause: Condition) -> Test:
    if clause.operator == "exists":
        return _exists
    positive = _OPPOSITE.get(clause.operator)
    if positive is None:
        return _positive(dialect, clause.operator, clause.value)
    fails = _positive(dialect, positive, clause.value)
    return lambda spot: and_(spot.is_there, negated(fails(spot)))


def _positive(dialect: Dialect, operator: str, given: Any) -> Test:
    match operator:
        case "=":
            return lambda spot: _equal(spot, (given,))
        case "in":
            return lambda spot: _equal(spot, given)
        case "overlap":
            return lambda spot: _overlap(dialect, spot, lambda one: _equal(one, given))
        case "ioverlap":
            return lambda spot: _overlap(dialect, spot, lambda one: _equal_lowered(dialect, one, given))
        case "like":
            return lambda spot: and_(dialect.like(spot.text, given), spot.is_text)
        case "ilike":
            return lambda spot: and_(dialect.ilike(spot.text, given), spot.is_text)
        case "between":
            least, most = given
            return lambda spot: and_(_compared(spot, ">=", least), _compared(spot, "<=", most))
    return lambda spot: _compared(spot, operator, given)


def _exists(spot: Spot) -> Truth:
    return spot.is_there


def _overlap(dialect: Dialect, spot: Spot, test: Test) -> Truth:
    """For an element of a list, or for a value that is none; no list and no object equals anything."""
    return or_(test(spot), dialect.any_element(spot.document, (), test))


def _compared(spot: Spot, operator: str, given: Slot) -> Truth:
    if given.kind is not str:
        return and_(spot.number_is(operator, given), spot.is_number)
    return and_(COMPARED[operator](spot.text, bound(given)), spot.is_text)


def _equal(spot: Spot, given: Sequence[Given]) -> Truth:
    """One of these values: a number equals no string, and true is no 1."""
    texts = _texts(given)
    numbers = [one for one in given if isinstance(one, Slot) and one.kind is not str]
    constants = [one for one in given if not isinstance(one, Slot)]
    ways: list[Truth] = []
    if texts:
        ways.append(and_(among(spot.text, texts), spot.is_text))
    if numbers:
        ways.append(and_(spot.number_among(numbers), spot.is_number))
    if constants:
        ways.append(spot.is_constant(constants))
    return or_(false(), *ways)


def _equal_lowered(dialect: Dialect, spot: Spot, given: Sequence[Given]) -> Truth:
    texts = _texts(given)
    others = [one for one in given if one not in texts]
    lowered = and_(dialect.lowered(spot.text).in_([made(small, Text, one) for one in texts]), spot.is_text)
    return or_(false(), lowered, _equal(spot, others))


def _texts(given: Sequence[Given]) -> list[Slot]:
    return [one for one in given if isinstance(one, Slot) and one.kind is str]

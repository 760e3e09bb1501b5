"""Clauses of a query evaluated in Python, by the words of the contract and without any database."""

from __future__ import annotations

import re
from typing import Any

from pubsub_cached import data_path as paths

MISSING = object()
NEGATIVE = {
    "!=": "=",
    "not-in": "in",
    "not-like": "like",
    "not-ilike": "ilike",
    "disjoint": "overlap",
    "idisjoint": "ioverlap",
}


def holds(clause: Any, data: Any) -> bool:
    """Whether a clause, as JSON, holds of parsed data."""
    if isinstance(clause, dict):
        if "any" in clause:
            return any(holds(one, data) for one in clause["any"])
        return not holds(clause["not"], data)
    path, operator, value = clause
    there = [one for one in places(paths.parse(path).steps, data) if one is not MISSING]
    if operator == "exists":
        return bool(there) is value
    return any(compared(operator, one, value) for one in there)


def places(steps: tuple[Any, ...], value: Any) -> list[Any]:
    """What a path leads to."""
    if not steps:
        return [value]
    step, *rest = steps
    if step is paths.Star.ANY:
        elements = value if isinstance(value, list) else []
    elif isinstance(step, int):
        elements = value[step : step + 1] if isinstance(value, list) else []
    else:
        elements = [value[step]] if isinstance(value, dict) and step in value else []
    return [place for element in elements for place in places(tuple(rest), element)]


def compared(operator: str, found: Any, value: Any) -> bool:
    """One operator on what is there."""
    if operator in NEGATIVE:
        return not compared(NEGATIVE[operator], found, value)
    match operator:
        case "=":
            return equal(found, value)
        case "in":
            return any(equal(found, one) for one in value)
        case "<" | "<=" | ">" | ">=":
            ordered = {"<": found_is(found, value, -1), ">": found_is(found, value, 1)}
            return ordered[operator[0]] or (len(operator) == 2 and equal(found, value))
        case "between":
            return compared(">=", found, value[0]) and compared("<=", found, value[1])
        case "like":
            return isinstance(found, str) and re.fullmatch(regex(value), found, re.DOTALL) is not None
        case "ilike":
            small, pattern = lowered(found, True), regex(lowered(value, True))
            return isinstance(found, str) and re.fullmatch(pattern, small, re.DOTALL) is not None
        case "overlap" | "ioverlap":
            elements = found if isinstance(found, list) else [] if isinstance(found, dict) else [found]
            lower = operator == "ioverlap"
            return any(equal(lowered(one, lower), lowered(other, lower)) for one in elements for other in value)
    raise AssertionError(operator)


def lowered(value: Any, lower: bool) -> Any:
    """A string one character after the other: what a capital becomes does not depend on what stands beside it."""
    return "".join(map(str.lower, value)).replace("ς", "\u03c3") if lower and isinstance(value, str) else value


def equal(found: Any, value: Any) -> bool:
    """As JSON: a number equals no string, and true is no 1."""
    if isinstance(found, bool) or isinstance(value, bool) or found is None or value is None:
        return found is value
    if isinstance(found, str) or isinstance(value, str):
        return type(found) is type(value) and found == value
    return isinstance(found, int | float) and isinstance(value, int | float) and found == value


def found_is(found: Any, value: Any, sign: int) -> bool:
    """Whether what was found is less (-1) or more (1); of the same kind only."""
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (found, value))
    if not numbers and not (isinstance(found, str) and isinstance(value, str)):
        return False
    return (found > value) - (found < value) == sign  # type: ignore[operator]


def regex(pattern: str) -> str:
    parts = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            parts.append(re.escape(next(characters)))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return "".join(parts)

"""What is wrong with a value that msgspec refuses, by the key where it stands."""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import msgspec

# What was given may have such words as well; the library's come last.
_PLACED = re.compile(r"(.*) - at `\$\.?([^`]*)`", re.DOTALL)
_WRONG = re.compile(r"Expected `(\w+)`(.*?)(?:, got `(\w+)`)?", re.DOTALL)
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "a boolean (true or false)",
    "array": "a list",
    "object": "a table",
}


class _Place(NamedTuple):
    """What belongs at a key, what it is for, and what was given there."""

    type: Any
    description: str
    given: Any


def explain(error: msgspec.ValidationError, shape: type[msgspec.Struct], given: object) -> tuple[str, str]:
    """The key and the reason in a message such as "Expected `int`, got `str` - at `$.cache.total-size`".

    shape: what was given had to be. The reason has what was given where a number or a boolean belongs; a text or a list
    may be a secret.
    """
    placed = _PLACED.fullmatch(str(error))
    reason, key = placed.groups() if placed else (str(error), "")
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", reason, re.DOTALL)
    missing = re.fullmatch(r"Object missing required field `(.*)`", reason, re.DOTALL)
    if missing:
        key = _join(key, missing[1])
    place = _at(shape, given, key)
    if missing:
        return key, f"missing{place.description}"
    if unknown:
        known = ", ".join(field.encode_name for field in msgspec.structs.fields(place.type))
        return _join(key, unknown[1]), f"unknown key; there are {known}"
    if reason.startswith("Invalid enum value"):
        return key, f"{reason.removeprefix('Invalid enum value ')} is none of {', '.join(get_args(place.type))}"
    if wrong := _WRONG.fullmatch(reason):
        expected, bounds, got = wrong.groups()
        told = _told(place.given) if expected in ("int", "float", "bool") else _TYPES.get(got, got)
        if not told and place.given in ("", []):
            told = "empty"
        is_ = f"it is {told} and " if told else ""
        return key, f"{is_}has to be {_TYPES.get(expected, expected)}{bounds}{place.description}"
    return key, reason[:1].lower() + reason[1:]


def _at(shape: Any, given: Any, key: str) -> _Place:
    """What belongs at a key such as "account[0].port", and was given there."""
    text = ""
    for part in re.findall(r"[^.\[\]]+", key):
        shape, text = _inside(shape, part), ""
        if get_origin(shape) is Annotated:
            shape, *metas = get_args(shape)
            text = "".join(meta.description or "" for meta in metas).rstrip(".")
        try:
            given = given[int(part) if isinstance(given, list | tuple) else part]
        except (LookupError, TypeError, ValueError):
            given = None
    return _Place(shape, f": {text[:1].lower()}{text[1:]}" if text else "", given)


def _inside(shape: Any, part: str) -> Any:
    """The type of a field, or of each element."""
    if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
        return next((field.type for field in msgspec.structs.fields(shape) if field.encode_name == part), None)
    return next(iter(get_args(shape)), None)


def _told(given: object) -> str | None:
    """A number, a boolean or a short text, as it was written."""
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, str):
        return f"'{given}'" if len(given) <= 100 else None
    return str(given) if isinstance(given, int | float) else None


def _join(table: str, key: str) -> str:
    return f"{table}.{key}" if table else key

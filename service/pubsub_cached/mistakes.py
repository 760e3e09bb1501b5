"""What is wrong with a value that msgspec refuses, by the key where it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

# What was given may have such words as well; the library's come last.
_PLACED = re.compile(r"(.*) - at `\$\.?([^`]*)`", re.DOTALL)


def explain(error: msgspec.ValidationError, choices: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """The key and the reason in a message such as "Expected `int`, got `str` - at `$.cache.total-size`".

    choices: what the keys of that name may have, or each of a list there, where it is not just anything.
    """
    placed = _PLACED.fullmatch(str(error))
    reason, key = placed.groups() if placed else (str(error), "")
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", reason, re.DOTALL)
    missing = re.fullmatch(r"Object missing required field `(.*)`", reason, re.DOTALL)
    if unknown:
        return _join(key, unknown[1]), "unknown key"
    if missing:
        return _join(key, missing[1]), "missing"
    if reason.startswith("Invalid enum value"):
        value = reason.removeprefix("Invalid enum value ")
        return key, f"{value} is none of {', '.join(choices[key.rpartition('.')[2].partition('[')[0]])}"
    return key, reason[:1].lower() + reason[1:]


def _join(table: str, key: str) -> str:
    return f"{table}.{key}" if table else key

"""Paths into the parsed data of an item: ``start``, ``locations[0].geoloc``, ``tags[*]``, ``["a.b"].c``."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import msgspec

STEPS_AT_MOST = 32
STARS_AT_MOST = 4


class Star(Enum):
    """``[*]``: any element of a list."""

    ANY = "*"


Step = str | int | Star

_STEP = re.compile(
    r'(?:(?P<dot>\.)?(?P<name>[^.\[\]"\\\x00-\x1f]+))'
    r'|\[(?:(?P<index>\d{1,9})|(?P<any>\*)|(?P<key>"(?:[^"\\]|\\.)+"))\]'
)
# What the database has no way to write inside a path.
_UNWRITABLE = re.compile(r'["\\\x00-\x1f]')


class Path(NamedTuple):
    """Steps from the object down: keys, indexes, or any element."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "".join(
            f"[{step.value}]" if isinstance(step, Star) else f"[{step}]" if isinstance(step, int) else _written(step)
            for step in self.steps
        ).lstrip(".")

    @property
    def single(self) -> bool:
        """Whether it leads to one place at most."""
        return Star.ANY not in self.steps


def _written(key: str) -> str:
    if re.search(r"[.\[\]]", key):
        return f"[{msgspec.json.encode(key).decode()}]"
    return f".{key}"


@lru_cache(maxsize=1024)
def parse(text: str) -> Path:
    """The path that is written so. Raises ValueError, which says what is wrong."""
    steps: list[Step] = []
    place = 0
    while place < len(text):
        found = _STEP.match(text, place)
        if found is None or (found["name"] and bool(found["dot"]) == (place == 0)):
            raise ValueError(f"'{text}' is no path at character {place + 1}")
        if found["name"]:
            steps.append(found["name"])
        elif found["key"]:
            steps.append(_key(text, found["key"]))
        else:
            steps.append(Star.ANY if found["any"] else int(found["index"]))
        place = found.end()
    if not steps:
        raise ValueError("a path is empty")
    if len(steps) > STEPS_AT_MOST:
        raise ValueError(f"a path has {len(steps)} steps, and {STEPS_AT_MOST} is the most")
    if steps.count(Star.ANY) > STARS_AT_MOST:
        raise ValueError(f"'{text}' has [*] {steps.count(Star.ANY)} times, and {STARS_AT_MOST} is the most")
    return Path(tuple(steps))


def parse_single(text: str) -> Path:
    """A path that leads to one place at most, as an index has to. Raises ValueError."""
    path = parse(text)
    if not path.single:
        raise ValueError(f"'{text}' leads to many places, and an index holds one of each item")
    return path


def _key(text: str, written: str) -> str:
    try:
        key = msgspec.json.decode(written, type=str)
    except msgspec.DecodeError:
        raise ValueError(f"'{text}' has {written}, which is no JSON string") from None
    if _UNWRITABLE.search(key):
        raise ValueError(f"'{text}' has a key with a quote, a backslash or a control character, which nothing finds")
    return key

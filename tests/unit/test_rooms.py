"""The tree shows the architecture: data flows one way, between the large rooms and within them."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest

import pubsub_cached

HOME = Path(pubsub_cached.__file__).parent

# What each of the large rooms knows of the others.
KNOWS = {
    "analysers": set(),
    "api": {"analysers", "bus", "cache", "xmpp"},
    "bus": set(),
    "cache": {"analysers", "store", "xmpp"},
    "cli": {"bus"},
    "store": set(),
    "xmpp": set(),
}


def imported(*files: Path) -> set[tuple[str, ...]]:
    """What modules import of the project, as parts of names: ``("cache", "sync", "fetch", "Fetch")``."""
    found = set()
    for file in files:
        package = file.relative_to(HOME).parts[:-1]
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = package[: len(package) - node.level + 1]
                module = (*base, *(node.module or "").split(".")) if node.module else base
                found |= {(*module, alias.name) for alias in node.names}
    return found


def rooms_of(large: str) -> list[str]:
    """The rooms within a large one, in the order of its docstring."""
    described = inspect.getdoc(import_module(f"pubsub_cached.{large}")) or ""
    return next(line for line in described.splitlines() if line.startswith("    ")).split()


def directories(place: Path) -> set[str]:
    return {init.parent.name for init in place.glob("*/__init__.py")}


def test_every_large_room_says_what_it_knows() -> None:
    assert set(KNOWS) == directories(HOME)


@pytest.mark.parametrize("large", KNOWS)
def test_data_flows_one_way(large: str) -> None:
    """``api → cache → store | xmpp``, with ``analysers`` beside the cache and ``bus`` at the edge."""
    assert {name[0] for name in imported(*(HOME / large).rglob("*.py"))} & set(KNOWS) - {large} <= KNOWS[large]


@pytest.mark.parametrize("large", ["cache", "store"])
def test_the_docstring_has_every_room(large: str) -> None:
    assert sorted(rooms_of(large)) == sorted(directories(HOME / large) - {"sqlite", "postgresql"})


@pytest.mark.parametrize(("large", "room"), [(large, room) for large in ("cache", "store") for room in rooms_of(large)])
def test_a_room_imports_only_those_before_it(large: str, room: str) -> None:
    rooms = rooms_of(large)
    after = set(rooms[rooms.index(room) + 1 :])
    assert not {name for name in imported(*(HOME / large / room).glob("*.py")) if name[0] == large and name[1] in after}


@pytest.mark.parametrize(("large", "last"), [("cache", "house"), ("store", "store")])
def test_what_serves_all_rooms_imports_none(large: str, last: str) -> None:
    """``last`` is what puts them together."""
    beside = [file for file in (HOME / large).glob("*.py") if file.stem != last]
    assert not {name for name in imported(*beside) if name[0] == large and name[1] in rooms_of(large)}

"""Searches that differ in nothing but their values: one statement serves them all, and finds each its own."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from pubsub_cached.store import dialect, indexes
from pubsub_cached.store.search import search
from pubsub_cached.store.search.search import Search
from pubsub_cached.store.search.shape import Shape, shaped
from pubsub_cached.store.statement import Prepared, Values
from tests.support.stored import publish

from .conftest import Database
from .searching import ids, parsed, served, sought


def statements(db: Database, wanted: Search) -> list[str]:
    """What the database is asked, without the values."""

    def asked(conn: Connection) -> list[str]:
        Prepared.heard[conn] = ran = []
        try:
            search.find(conn, wanted)
        finally:
            del Prepared.heard[conn]
        return [statement for statement, _ in ran]

    return db.read(asked)


def shape(db: Database, wanted: Search) -> tuple[Shape, list[object]]:
    values = Values()
    return db.read(lambda conn: shaped(dialect.of(conn), wanted.matching, values)), values.taken


@pytest.fixture
def full(db: Database) -> Database:
    node = served(db)
    data = [
        {"title": f"word{number}", "start": f"2026-{number:02}", "n": number, "tags": [f"t{number}", "all"]}
        for number in range(1, 10)
    ]
    db.write(publish, node.id, [parsed(f"i{one['n']}", one) for one in data])
    db.write(indexes.ensure, ["start"])
    return db


def where(*clause: Any) -> dict[str, Any]:
    return {"where": [list(clause)]}


@pytest.mark.parametrize(
    ("text", "wanted", "order"),
    [
        ("word#", None, ""),
        ("word# -all", None, ""),
        ('"word#"*', None, "modified desc"),
        ("", where("start", "=", "2026-0#"), ""),
        ("", where("start", "between", ["2026-0#", "2026-0#"]), "data.n"),
        ("", where("title", "like", "%#"), ""),
        ("", where("title", "ilike", "WORD#"), ""),
        ("", where("tags", "overlap", ["t#", "never"]), ""),
        ("", where("tags", "ioverlap", ["T#"]), ""),
        ("", {"where": [{"any": [["title", "=", "word#"], {"not": ["title", "exists", True]}]}]}, ""),
        ("", {"ids": ["i#"]}, ""),
        ("word#", {"nodes": ["blog"], "services": ["", "pubsub.example.org"]}, ""),
    ],
)
def test_another_value_is_no_other_statement(full: Database, text: str, wanted: Any, order: str) -> None:
    def number(value: Any, n: int) -> Any:
        if isinstance(value, str):
            return value.replace("#", str(n))
        if isinstance(value, list):
            return [number(one, n) for one in value]
        return {key: number(one, n) for key, one in value.items()} if isinstance(value, dict) else value

    asked = [sought(number(text, n), number(wanted, n), order) for n in (3, 7)]
    (first, _), (second, _) = (shape(full, one) for one in asked)
    assert first == second
    once = statements(full, asked[0])
    built = search._page.cache_info().misses
    # The nodes are not looked at again where nothing changed.
    assert set(statements(full, asked[1])) <= set(once)
    assert search._page.cache_info().misses == built
    if text or "services" not in (wanted or {}):
        expected = [["i3"], ["i7"]] if text != "word# -all" else [[], []]
        assert [ids(full, number(text, n), number(wanted, n), order) for n in (3, 7)] == expected


def test_every_number_is_of_the_kind_that_it_has(full: Database) -> None:
    wanted = [where("n", "=", value) for value in (3, 3.0, 3.5, "3", True, None)]
    assert [ids(full, wanted=one) for one in wanted] == [["i3"], ["i3"], [], [], [], []]
    shapes = [shape(full, sought(wanted=one))[0] for one in wanted]
    assert shapes[0] == shapes[1]
    assert len(set(shapes)) == 5


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 100])
def test_lists_of_like_lengths_share_a_statement(full: Database, count: int) -> None:
    numbers = range(1, count + 1)
    for wanted in ({"ids": [f"i{number}" for number in numbers]}, where("title", "in", [f"word{n}" for n in numbers])):
        assert ids(full, wanted=wanted) == [f"i{number}" for number in reversed(numbers) if number < 10]
    named = shape(full, sought(wanted={"ids": [f"i{number}" for number in numbers]}))[0].ids
    assert len(named) == 1 << (count - 1).bit_length()


HOSTILE = "x' OR 1=1 --"


@pytest.mark.parametrize(
    "wanted",
    [
        {"accounts": [HOSTILE]},
        {"services": [HOSTILE]},
        {"nodes": [HOSTILE]},
        {"types": [HOSTILE]},
        {"subtypes": [HOSTILE, None]},
        {"ids": [HOSTILE]},
        where("start", "=", HOSTILE),
        where("start", "<", HOSTILE),
        where("title", "between", [HOSTILE, HOSTILE]),
        where("title", "in", [HOSTILE, 815815]),
        where("title", "not-like", HOSTILE),
        where("title[*]", "ilike", HOSTILE),
        where("tags", "ioverlap", [HOSTILE]),
        where(f'["{HOSTILE}"].a', "=", 815815),
    ],
)
def test_nothing_that_is_typed_is_part_of_a_statement(full: Database, wanted: Any) -> None:
    asked = sought(f"815815 🎉{HOSTILE} -815815", wanted, f'data["{HOSTILE}"]')
    told = " ".join(statements(full, asked))
    assert "item" in told
    assert HOSTILE not in told
    assert "815815" not in told

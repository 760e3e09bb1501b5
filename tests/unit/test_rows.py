"""Every row of the tables of what the cache promises and of what services do has a test that names it.

A test names a row in a line of its docstring that begins with ``TABLE: ROW``, the words of the table before its bars.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

# What the cache promises, shown over the fake.
PROMISES = {
    "coherence, Ladder": (
        "0 stream resumed",
        "1 last item pushed at presence (PEP)",
        "2 MAM on the node, `after` the last known archive id",
        "3 newest k + RSM count",
        "4 ids by disco#items, as a set",
        "5 mark and sweep",
    ),
    "coherence, Serving": (
        "unknown, discovered, first syncing, not synchronised, completeness none",
        "live",
        "later syncing",
        "polled within its ttl",
        "polled expired, stale",
        "unreachable",
        "denied, gone",
        "excluded",
    ),
    "coherence, Silent removals": (
        "retract without notify",
        "eviction by `max_items`",
        "`item_expire`",
    ),
    "coherence, Negative answers": (
        "absent node 5 min → 1 h",
        "denied 15 min → 24 h",
        "unreachable per domain 30 s → 1 h",
        "own PEP at most 1 min",
        "any event of the node",
        "an own publish",
        "a roster change",
        "a subscription change",
        "the user's force",
    ),
}
# What services do, shown at real ones, and of the fake that stands for them.
FACTS = {
    "server-facts, Reading": ("order", "`max_items=k`", "explicit ids", "RSM", "disco#items ids"),
    "server-facts, Events": (
        "publish, overwrite",
        "evicted by max_items",
        "one publish evicts several",
        "retract without notify",
        "retract with notify",
        "purge",
        "delete",
        "configuration",
        "access → whitelist",
        "node deleted and made again",
    ),
}
# What the fixtures need of real servers.
FIXTURES = {
    "server-facts, As test fixtures": (
        "packages",
        "cold start with config, certificate, users",
        "as root",
    )
}


def rows(tables: dict[str, tuple[str, ...]]) -> list[str]:
    return [f"{table}: {row}" for table, names in tables.items() for row in names]


def named(directory: str) -> set[str]:
    """The lines in which tests below a directory name rows."""
    return {row for file in sorted((TESTS / directory).rglob("test_*.py")) for row in _named(file)}


def _named(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            for line in (ast.get_docstring(node) or "").splitlines():
                if line.startswith(("coherence, ", "server-facts, ")):
                    yield line


@pytest.fixture(scope="module")
def over_the_fake() -> set[str]:
    return named("unit")


@pytest.fixture(scope="module")
def at_servers() -> set[str]:
    return named("servers")


@pytest.mark.parametrize("row", rows(PROMISES) + rows(FACTS))
def test_a_row_is_shown_over_the_fake(over_the_fake: set[str], row: str) -> None:
    assert any(line.startswith(row) for line in over_the_fake)


@pytest.mark.parametrize("row", rows(FACTS) + rows(FIXTURES))
def test_a_row_is_shown_at_real_servers(at_servers: set[str], row: str) -> None:
    assert any(line.startswith(row) for line in at_servers)


def test_no_test_names_a_row_that_is_in_no_table(over_the_fake: set[str], at_servers: set[str]) -> None:
    known = tuple(rows(PROMISES | FACTS | FIXTURES))
    assert [line for line in over_the_fake | at_servers if not line.startswith(known)] == []

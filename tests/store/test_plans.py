"""Bounded reads stay bounded: every one of them goes by an index and sorts nothing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import Executable, Select

from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.items import batch, changes, flags, pages, parsing
from pubsub_cached.store.search import members, scope
from pubsub_cached.store.search.scope import Named, Shown
from pubsub_cached.store.statement import Prepared, Slot
from pubsub_cached.store.upkeep import maintenance

from .conftest import Database

pytestmark = pytest.mark.sqlite


def plan(db: Database, prepared: Prepared) -> list[str]:
    sql = prepared.sql(db.connection)
    return [row[-1] for row in db.rows("EXPLAIN QUERY PLAN " + sql, *[None] * sql.count("?"))]


INDEXES = {"created": "ix_item_node_id_created", "modified": "ix_item_node_id_modified"}
UNIQUE = "sqlite_autoindex_item_1"
TWO = (Slot(0, str), Slot(1, str))
SEVERAL = [
    nodes._SEEN,
    flags._SOME,
    flags._CLEAR,
    flags._THERE,
    batch._SOME,
    batch._DELETE,
    batch._UNBURY,
    members._IDENTITIES,
]
SHAPES = list(itertools.product(["created", "modified", "id"], [False, True], [False, True], [False, True]))


@pytest.mark.parametrize(("key", "descending", "bound", "offset"), SHAPES)
def test_a_page_of_each_order(db: Database, key: str, descending: bool, bound: bool, offset: bool) -> None:
    steps = plan(db, pages.statement(pages.Shape(key, descending, bound, offset)))
    column = {"id": "item_id"}.get(key, key)
    condition = f" AND {column}{'<' if descending else '>'}?" if bound else ""
    assert steps == [f"SEARCH item USING INDEX {INDEXES.get(key, UNIQUE)} (node_id=?{condition})"]


@pytest.mark.parametrize(("key", "descending"), list(itertools.product(["created", "modified", "id"], [False, True])))
def test_the_index_of_a_page_is_counted_in_the_index_alone(db: Database, key: str, descending: bool) -> None:
    steps = plan(db, pages._counting(key, descending))
    assert f"SEARCH item USING COVERING INDEX {INDEXES.get(key, UNIQUE)}" in " ".join(steps)
    assert not any("item USING INDEX" in step or "TEMP" in step for step in steps)


def test_named_items(db: Database) -> None:
    steps = plan(db, pages.statement(pages.Shape("modified", ids=3)))
    assert steps == [f"SEARCH item USING INDEX {UNIQUE} (node_id=? AND item_id=?)"]


@pytest.mark.parametrize(
    "prepared",
    [
        *(nodes._BY_ADDRESS, nodes._BY_ID, changes._CHANGED, changes._REMOVED),
        *(each.form(count) for each in SEVERAL for count in (1, 2)),
    ],
)
def test_nothing_is_scanned_or_sorted(db: Database, prepared: Prepared) -> None:
    steps = plan(db, prepared)
    assert steps
    assert all(step.startswith("SEARCH") for step in steps), steps


def test_unread_is_counted_in_its_index(db: Database) -> None:
    for count in (1, 64):
        assert plan(db, nodes._SEEN.form(count)) == [
            "SEARCH item USING COVERING INDEX ix_item_seen (node_id=? AND seen=?)"
        ]


def steps_of(db: Database, statement: Executable) -> list[str]:
    sql = str(statement.compile(dialect=db.connection.dialect))
    return [row[-1] for row in db.rows("EXPLAIN QUERY PLAN " + sql, *["x"] * sql.count("?"))]


@pytest.mark.parametrize(
    "statement",
    [parsing.unparsed_statement("x", {}).limit(16), parsing.pending_statement("x", 1)],
    ids=["rows", "count"],
)
def test_what_waits_for_an_agent_is_found_in_its_index(db: Database, statement: Select[Any]) -> None:
    steps = steps_of(db, statement)
    assert steps[0] == "SEARCH item USING INDEX ix_item_unparsed (node_id=?)"
    assert not any("SCAN" in step or "TEMP" in step for step in steps)


def test_removals_that_are_old_are_found_by_their_age(db: Database) -> None:
    """There may be hundreds of thousands that are not, and they are looked for all the time."""
    steps = steps_of(db, maintenance._EXPIRED)
    assert steps[0] == "SEARCH tombstone USING INDEX ix_tombstone_removed_at (removed_at<?)"
    assert not any("node_id" in step or "TEMP" in step for step in steps)


KEPT = Shown(("live", "stale"))


@pytest.mark.parametrize(
    ("named", "conditions"),
    [(Named(nodes=TWO), {"node=?"}), (Named(services=TWO, nodes=TWO), {"service=?", "node=?"})],
    ids=["names", "names and services"],
)
def test_nodes_are_found_by_their_names(db: Database, named: Named, conditions: set[str]) -> None:
    """Contacts have nodes of the same name, so that a service has to lead as well where there is one."""
    (step, *_) = plan(db, scope._few(KEPT, named, Slot(2, int)))
    assert step.startswith("SEARCH node USING INDEX")
    assert conditions <= set(step.partition("(")[2].rstrip(")").split(" AND "))


def test_how_fresh_all_nodes_are_is_found_where_their_groups_begin(db: Database) -> None:
    steps = plan(db, scope._all(KEPT))
    looks = [step for step in steps if " node " in step]
    group = "account_id=? AND state=? AND completeness=?"
    assert len(looks) == 5
    assert all(step.startswith(f"SEARCH node USING COVERING INDEX ix_node_shown ({group}") for step in looks)


@pytest.mark.parametrize("prepared", [scope._grouped(KEPT, Named()), scope._looked_at(KEPT)], ids=["told", "counted"])
def test_nodes_are_looked_at_in_the_index_alone(db: Database, prepared: Prepared) -> None:
    steps = plan(db, prepared)
    assert "SEARCH node USING COVERING INDEX ix_node_shown (account_id=? AND state=?)" in steps
    assert not any("TEMP" in step for step in steps)

"""What leads to the items, the indexes on paths, and searches that take long."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, text

from pubsub_cached.address import Address
from pubsub_cached.data_path import parse
from pubsub_cached.errors import DatabaseError, Timeout
from pubsub_cached.store import aside, dialect, indexes
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.search import drive, explain, scope, search
from pubsub_cached.store.search.query import Query
from pubsub_cached.store.search.scope import Shown
from pubsub_cached.store.search.search import Search
from pubsub_cached.store.statement import Prepared
from pubsub_cached.store.store import Store
from tests.support.stored import publish

from .conftest import Database
from .searching import ids, parsed, served, sought, titled


def plan(db: Database, wanted: Search) -> tuple[str, list[str]]:
    """What leads, and the steps to the rows in their order."""

    def steps(conn: Connection) -> tuple[str, list[str]]:
        shape, values = search._shape(conn, wanted)
        chosen = search._chosen(conn, wanted, shape, values)
        Prepared.heard[conn] = ran = []
        try:
            search.by_keys(conn, replace(wanted, limit=50))
        finally:
            del Prepared.heard[conn]
        statement, given = ran[-1]
        return chosen.by, [line.strip() for line in dialect.of(conn).plan(conn, statement, explain.arguments(given))]

    return db.read(steps)


@pytest.fixture
def full(db: Database) -> Database:
    node = served(db)
    data = [
        {"title": f"word{number % 3} word", "start": f"2026-{number % 12 + 1:02}", "n": number} for number in range(60)
    ]
    db.write(publish, node.id, [parsed(str(number), one) for number, one in enumerate(data)])
    return db


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("=", "2026-05"),
        ("<", "2026-05"),
        (">=", "2026-05"),
        ("between", ["2026-05", "2026-06"]),
        ("in", ["2026-05", 1]),
    ],
)
def test_an_index_on_a_path_leads(full: Database, operator: str, value: Any) -> None:
    wanted = {"where": [["start", operator, value], ["n", "<", 50]]}
    expected = ids(full, wanted=wanted)
    assert expected
    assert plan(full, sought(wanted=wanted))[0] == "order"
    full.write(indexes.ensure, ["start"])
    by, steps = plan(full, sought(wanted=wanted))
    assert by == "path"
    assert ids(full, wanted=wanted) == expected
    if full.dialect.NAME == "postgresql":
        # Of sixty items the planner rather reads all.
        return
    assert any(f"SEARCH item USING INDEX {indexes.name(parse('start'))} (<expr>" in step for step in steps)
    assert not any(step.startswith("SCAN item") for step in steps)
    assert ids(full, wanted=wanted) == expected


@pytest.mark.sqlite
def test_the_order_of_all_items_needs_no_sorting(full: Database) -> None:
    by, steps = plan(full, sought())
    assert by == "order"
    assert any("ix_item_modified_id_type_node_id" in step for step in steps)
    assert not any("TEMP B-TREE" in step for step in steps)
    assert plan(full, sought(wanted={"nodes": ["blog"]}))[1][-1].startswith(
        "SEARCH item USING COVERING INDEX ix_item_node_id_modified"
    )


def test_the_least_leads(full: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    other = served(full, "other")
    titled(full, other, only="word rare")
    assert plan(full, sought("rare", {"nodes": ["blog", "other"]}, "modified desc"))[0] == "words"
    assert plan(full, sought("word", {"nodes": ["other"]}, "modified desc"))[0] == "nodes"
    assert plan(full, sought("", {"ids": ["only"]}))[0] == "ids"
    monkeypatch.setattr(drive, "FEW", 5)
    by, steps = plan(full, sought("word", order="modified desc"))
    assert by == "order"
    assert "USE TEMP B-TREE FOR ORDER BY" not in steps
    for wanted in (sought("word", order="modified desc"), sought("word", {"nodes": ["blog"]}), sought("word0 word")):
        by_few = full.read(search.row_ids, wanted)
        with monkeypatch.context() as patch:
            patch.setattr(drive, "FEW", 5000)
            assert full.read(search.row_ids, wanted) == by_few


def test_a_single_node_leads_however_large_it_is(full: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    titled(full, served(full, "other"), newer="word newer")
    wanted = [
        sought(text, {"nodes": ["blog"]}, order)
        for text in ("", "word1")
        for order in ("modified desc", "created", "id desc")
    ]
    expected = [full.read(search.row_ids, one) for one in wanted]
    monkeypatch.setattr(drive, "FEW", 5)
    assert [full.read(search.row_ids, one) for one in wanted] == expected
    for one in wanted[:4]:
        assert plan(full, one)[0] == "nodes"
    if full.dialect.NAME == "sqlite":
        assert plan(full, wanted[0])[1][-1].startswith("SEARCH item USING COVERING INDEX ix_item_node_id_modified")


@pytest.mark.postgresql
async def test_a_plan_is_made_for_the_values_however_often_a_statement_was_run(store: Store) -> None:
    for _ in range(12):
        await store.read_aside(search.find, sought("rare"))
    asked = (
        "SELECT sum(custom_plans), sum(generic_plans) FROM pg_prepared_statements WHERE statement LIKE '%%item_text%%'"
    )
    ((custom, generic),) = await store.read_aside(lambda conn: conn.exec_driver_sql(asked).all())
    assert custom > 0
    assert generic == 0


def test_indexes_come_and_go_with_what_is_asked_for(full: Database) -> None:
    before = indexed(full)
    full.write(indexes.ensure, ["start", "a.b[0]", "start"])
    full.write(indexes.ensure, ["start"])
    assert indexed(full) == before | {indexes.name(parse("start")), indexes.name(parse("a.b[0]"))}
    full.write(indexes.keep, ["n"])
    assert indexed(full) == before | {indexes.name(parse("n"))}
    full.write(indexes.keep, [])
    assert indexed(full) == before


@pytest.mark.parametrize("written", ["", "a[*]", "a..b", '["a\\"b"]'])
def test_what_can_have_no_index(full: Database, written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        full.write(indexes.ensure, ["start", written])
    assert indexes.name(parse("start")) not in indexed(full)


def test_a_path_is_written_into_a_statement_safely(full: Database) -> None:
    hostile = "it's '); DROP TABLE item; --"
    node = served(full, "hostile")
    full.write(publish, node.id, [parsed("h", {hostile: "x"})])
    full.write(indexes.ensure, [hostile])
    assert plan(full, sought(wanted={"where": [[hostile, "=", "x"]]}))[0] == "path"
    assert ids(full, wanted={"where": [[hostile, "=", "x"]]}) == ["h"]


def indexed(db: Database) -> set[str]:
    return db.read(db.dialect.path_indexes, indexes.PREFIX)


# Searches that take long


COUNTING = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


def endless(conn: Connection) -> None:
    conn.execute(text(COUNTING))


async def test_a_search_that_takes_long_is_cut_off(store: Store) -> None:
    with pytest.raises(Timeout, match=r"longer than 0.05 s and was cut off; ask for fewer"):
        await store._aside.run(endless, 0.05)
    # The connection goes on.
    assert (await store.read_aside(search.find, sought())).items == []


async def test_a_read_that_takes_long_is_told_as_the_database_s_failure(store: Store) -> None:
    """A Timeout says that a service did not answer, and that it may have done what it was asked."""
    with pytest.raises(DatabaseError, match=r"longer than 0.05 s and was cut off; the database is busy"):
        await store._near.run(endless, 0.05)


async def test_nobody_waits_for_a_database_that_is_frozen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not hear that a read is to end."""
    monkeypatch.setattr(aside, "_CUT_OFF_SECONDS", 0.0)
    frozen = threading.Event()
    # One of them finds no thread.
    reads = [store._near.run(lambda _: frozen.wait(20), 0.05) for _ in range(aside.THREADS + 1)]
    told = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(each, DatabaseError) and "was cut off" in each.message for each in told), told
    frozen.set()
    assert await store.read(nodes.run) == []


async def test_slow_searches_leave_reads_alone(store: Store) -> None:
    slow = [asyncio.create_task(store.read_all(endless)) for _ in range(aside.THREADS + 2)]
    await asyncio.sleep(0)
    assert await store.read(nodes.run) == []
    assert await store.read(nodes.run) == []
    await store.write(lambda tx: tx.next_revision())
    for task in slow:
        task.cancel()
    assert all(isinstance(told, asyncio.CancelledError) for told in await asyncio.gather(*slow, return_exceptions=True))
    assert (await store.read_aside(search.find, sought())).items == []


async def test_who_waits_no_more_ends_the_statement(store: Store) -> None:
    begun = threading.Event()

    def work(conn: Connection) -> None:
        begun.set()
        endless(conn)

    task = asyncio.create_task(store.read_all(work))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(asyncio.to_thread(store._aside._executor.shutdown), 20)


async def test_closing_ends_what_runs(url: str) -> None:
    store = Store.open(url)
    running = asyncio.create_task(store.read_all(endless))
    await asyncio.sleep(0)
    await asyncio.wait_for(store.close(), 20)
    with pytest.raises(DatabaseError, match="closed"):
        await running
    with pytest.raises(DatabaseError, match="closed"):
        await store.read_aside(search.find, sought())


async def test_a_search_sees_one_moment_and_can_not_write(store: Store) -> None:
    with pytest.raises(DatabaseError, match=r"read-?only"):
        await store.read_aside(lambda conn: conn.execute(text("DELETE FROM node")))


async def test_the_nodes_of_a_search_are_looked_at_again_once_something_changed(store: Store, address: Address) -> None:
    shown = Shown(("live", "polled"))

    async def states() -> list[str]:
        return [part.state for part in await store.read(scope.parts, Query(), shown)]

    def asked(conn: Connection) -> int:
        Prepared.heard[conn] = ran = []
        try:
            scope.parts(conn, Query(), shown)
        finally:
            del Prepared.heard[conn]
        return len(ran)

    assert await states() == []
    node = await store.write(nodes.ensure, address)
    for state in ("live", "polled"):
        await store.write(nodes.update, node.id, state=state, completeness="full")
        assert await states() == [state]
    # What is told of a polled node changes without a revision.
    await store.write(nodes.update, node.id, next_sync=5)
    (part,) = await store.read(scope.parts, Query(), shown)
    assert part.next_sync == 5
    assert await store.read(asked) == 0
    await store.write(nodes.forget, node.id)
    assert await states() == []

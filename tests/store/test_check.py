"""What can be wrong in a database is found and put right, and a sound one is left alone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from pubsub_cached.address import Address
from pubsub_cached.store.accounts import accounts, nodes
from pubsub_cached.store.items import flags, items
from pubsub_cached.store.rows import NodeRow
from pubsub_cached.store.store import Store
from pubsub_cached.store.upkeep import check, maintenance
from tests.support.stored import publish, retract

from .conftest import ACCOUNT, Database
from .content import item, listed


@pytest.fixture
def node(db: Database) -> NodeRow:
    """A node with a history: items new, changed, removed, dropped and marked."""
    row = db.node()
    texts = [item(str(n), f"text {n}", data=f'{{"title":"Words of {n}"}}') for n in range(8)]
    db.write(publish, row.id, texts)
    db.write(publish, row.id, [item("1", "another text")])
    db.write(retract, row.id, ["2", "3"])
    db.write(flags.set_flags, row.address, ["4"], ["read"])
    db.write(items.evict, row.id, 5)
    return db.again(row)


def wrong(db: Database) -> dict[str, object]:
    """All that is found."""
    looked = {
        "damage": db.read(check.damage),
        "orphans": db.read(check.orphans),
        "counters": db.read(check.counters_behind),
        "counts": db.read(check.miscounted),
        "text": db.write(check.text_index_wrong),
    }
    return {name: found for name, found in looked.items() if found}


def break_it(db: Database, *statements: str) -> None:
    """Do what no function of the store does."""
    if db.dialect.NAME == "postgresql":
        db.superuser("BEGIN", "SET LOCAL session_replication_role = replica", *statements, "COMMIT")
        return
    driver = db.connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.execute("PRAGMA foreign_keys=OFF")
    for statement in statements:
        driver.execute(statement)
    driver.execute("PRAGMA foreign_keys=ON")


def test_nothing_is_wrong_after_an_ordinary_life(db: Database, node: NodeRow) -> None:
    assert wrong(db) == {}
    db.write(nodes.forget, node.id)
    assert wrong(db) == {}
    db.write(maintenance.reset)
    assert wrong(db) == {}


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("UPDATE item SET node_id = 4711 WHERE item_id = '1'", 1),
        ("INSERT INTO tombstone (node_id, item_id, revision, removed_at) VALUES (4711, 'x', 1, 1)", 1),
        ("UPDATE node SET account_id = 4711 WHERE node = 'node-1'", 1),
    ],
    ids=["item", "tombstone", "node"],
)
def test_rows_that_belong_to_nothing_go(db: Database, node: NodeRow, statement: str, rows: int) -> None:
    db.node()
    break_it(db, statement)

    assert wrong(db)["orphans"] == rows
    assert db.write(check.remove_orphans) == rows
    db.write(check.recount)

    assert wrong(db) == {}
    assert db.read(nodes.find, node.address) is not None


@pytest.mark.parametrize("column", ["item_count = 99", "revision = 1"])
def test_counts_and_revisions_of_nodes_are_put_right(db: Database, node: NodeRow, column: str) -> None:
    break_it(db, f"UPDATE node SET {column}")

    (found,) = db.read(check.miscounted)
    assert (found.address, found.item_count) == (node.address, len(listed(db, node)))
    assert db.write(check.recount) == [node.address]

    assert wrong(db) == {}
    again = db.again(node)
    assert again.item_count == len(listed(db, node))
    assert again.revision > node.revision


def test_counters_go_on_after_what_was_given(db: Database, node: NodeRow) -> None:
    break_it(db, "UPDATE counter SET value = 5")

    assert wrong(db)["counters"] is True
    db.write(check.advance_counters)

    assert wrong(db) == {}
    assert db.write(publish, node.id, [item("new")]).revision > node.revision
    assert listed(db, node)[-1] == "new"


def test_counter_that_has_to_be_advanced_for_a_node_is(db: Database, node: NodeRow) -> None:
    break_it(db, "UPDATE counter SET value = 5 WHERE name = 'revision'", "UPDATE node SET revision = 1")

    db.write(check.recount)

    assert wrong(db) == {}


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM item_text_data WHERE id > 10",
        "INSERT INTO item_text (item_text, rowid, text) SELECT 'delete', id, text FROM item WHERE item_id = '5'",
        "INSERT INTO item_text (rowid, text) VALUES (4711, 'nowhere')",
    ],
    ids=["lost", "missing", "too much"],
)
def test_full_text_index_is_compared_and_made_anew(db: Database, node: NodeRow, statement: str) -> None:
    break_it(db, statement)

    assert wrong(db)["text"] is True
    db.write(check.rebuild_text_index)

    assert wrong(db) == {}
    found = db.rows("SELECT rowid FROM item_text WHERE item_text MATCH 'words'")
    assert len(found) == len(db.rows("SELECT id FROM item WHERE text <> ''"))


@pytest.mark.postgresql
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM item_text",
        "DELETE FROM item_text WHERE id = (SELECT id FROM item WHERE item_id = '5')",
        "UPDATE item_text SET words = ' other '",
    ],
    ids=["lost", "missing", "different"],
)
def test_words_of_items_are_compared_and_made_anew(db: Database, node: NodeRow, statement: str) -> None:
    break_it(db, statement)

    assert wrong(db)["text"] is True
    db.write(check.rebuild_text_index)

    assert wrong(db) == {}
    found = db.rows("SELECT id FROM item_text WHERE lexemes @@ 'words'")
    assert len(found) == len(db.rows("SELECT id FROM item WHERE text <> ''"))


@pytest.mark.sqlite
def test_damaged_index_is_made_anew(db: Database, node: NodeRow) -> None:
    break_it(
        db,
        "PRAGMA writable_schema=ON",
        # Takes the rows out of the index and leaves them in the table.
        "UPDATE sqlite_master SET sql = replace(sql, '(node_id, revision)', '(node_id, revision) WHERE 0') "
        "WHERE name = 'ix_item_node_id_revision'",
        "PRAGMA writable_schema=RESET",
        "REINDEX ix_item_node_id_revision",
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_master SET sql = replace(sql, ' WHERE 0', '') WHERE name = 'ix_item_node_id_revision'",
        "PRAGMA writable_schema=RESET",
    )

    assert any("ix_item_node_id_revision" in line for line in db.read(check.damage))
    db.write(check.rebuild_indexes)

    assert wrong(db) == {}


# Statistics and compaction


def test_statistics_count_and_measure(db: Database, node: NodeRow) -> None:
    found = db.read(maintenance.statistics)

    assert {name: found[name] for name in ("accounts", "nodes", "items", "tombstones", "flags")} == {
        "accounts": 1,
        "nodes": 1,
        "items": len(listed(db, node)),
        "tombstones": 2,
        "flags": 1,
    }
    assert found["newest"] == db.now
    assert found["revision"] == node.revision
    assert found["bytes"] > 0
    if db.dialect.NAME == "postgresql":
        assert "free" not in found
        return
    assert found["bytes"] <= db.path.stat().st_size + db.path.with_name(db.path.name + "-wal").stat().st_size
    assert found["free"] > 0


async def test_compaction_gives_room_back_and_loses_nothing(store: Store, path: Path, address: Address) -> None:
    kept = await store.write(nodes.ensure, address)
    other = await store.write(nodes.ensure, address._replace(node="other"))
    await store.write(publish, kept.id, [item("a")])
    await store.write(publish, other.id, [item(str(n), "x" * 20_000) for n in range(50)])
    await store.write(nodes.forget, other.id)

    given = await store.maintain(store.dialect.compact)

    assert given > 900_000
    assert path.stat().st_size < 400_000
    assert (await store.write(publish, kept.id, [item("b")])).changed == ["b"]
    assert nodes.must(await store.read(nodes.find, address)).item_count == 2


async def test_what_is_written_meanwhile_waits_and_keeps_its_order(store: Store) -> None:
    order: list[str] = []

    def note(name: str) -> Callable[[object], None]:
        return lambda _: order.append(name)

    await asyncio.gather(
        store.write(note("before")),
        store.maintain(note("alone")),
        store.write(note("after")),
        store.write(note("last")),
    )

    assert order == ["before", "alone", "after", "last"]


async def test_maintenance_runs_outside_of_a_transaction(store: Store) -> None:
    inside = store.write(lambda tx: accounts.find(tx.connection, ACCOUNT))
    alone = store.maintain(
        lambda driver: driver.info.transaction_status if store.dialect.NAME == "postgresql" else driver.in_transaction
    )

    assert await inside is not None
    assert not await alone

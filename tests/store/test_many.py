"""Many items at once: they go in and out by few statements, and the index of the texts knows each of them."""

from __future__ import annotations

import pytest

from pubsub_cached.store.items import batch, items
from pubsub_cached.store.rows import NodeRow

from .conftest import Database
from .content import item, listed
from .searching import ids, parsed, served
from .test_search_text import check_index

ROWS = batch._ROWS_AT_ONCE


def names(count: int) -> list[str]:
    return [f"i{number:03}" for number in range(count)]


def found(db: Database) -> list[str]:
    """What a search for the word that every item has finds."""
    return sorted(ids(db, "common", limit=1000))


def fill(db: Database, node: NodeRow, wanted: list[str]) -> None:
    given = [parsed(id_, {"title": f"common {id_}"}) for id_ in wanted]
    db.write(lambda tx: items.replace(tx, node.id, given, full=True, moves=True))


@pytest.mark.parametrize("count", [ROWS - 1, ROWS, ROWS + 1, 3 * ROWS, 3 * ROWS + 2])
def test_all_of_them_are_stored_in_order_and_found(db: Database, count: int) -> None:
    node = served(db)
    fill(db, node, names(count))
    assert listed(db, node) == names(count)
    assert found(db) == names(count)
    check_index(db)


@pytest.mark.parametrize("count", [1, ROWS, 600])
def test_all_of_them_are_removed_and_found_no_more(db: Database, count: int) -> None:
    node = served(db)
    fill(db, node, [*names(count), "stays"])
    fill(db, node, ["stays"])
    assert listed(db, node) == ["stays"]
    assert found(db) == ["stays"]
    check_index(db)


def test_one_that_can_not_be_stored_leaves_none_of_them(db: Database) -> None:
    node = served(db)
    given = [item(id_) for id_ in names(ROWS - 1)]
    with pytest.raises(UnicodeEncodeError):
        db.write(lambda tx: items.replace(tx, node.id, [*given, item("wrong", type="\ud800")], full=True, moves=True))
    assert listed(db, node) == []


@pytest.mark.sqlite
def test_they_go_in_and_out_by_few_statements(db: Database) -> None:
    # Each is told once more for every row that its trigger is run for.
    node, ran = served(db), set[str]()
    driver = db.connection.connection.driver_connection
    assert driver is not None
    driver.set_trace_callback(ran.add)
    fill(db, node, names(10 * ROWS))
    fill(db, node, [])
    driver.set_trace_callback(None)
    assert len([sql for sql in ran if sql.startswith("INSERT INTO item (")]) == 10
    assert len([sql for sql in ran if sql.startswith("DELETE FROM item ")]) == 1

"""Many items at once: they go in and out by few statements, and the index of the texts knows each of them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable

import pytest

from pubsub_cached.store.items import batch, items, pages
from pubsub_cached.store.rows import ItemsQuery, NodeRow

from .conftest import Database
from .content import item, listed, slice_of
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


READS: dict[str, Callable[[Database, NodeRow, list[str]], object]] = {
    "by id": lambda db, node, wanted: db.read(slice_of, node.id, ItemsQuery(ids=tuple(wanted))).items,
    "search": lambda db, node, wanted: ids(db, wanted={"ids": wanted}),
    "write": lambda db, node, wanted: db.write(batch.held, node.id, wanted),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_statement_that_names_many_is_made_as_one_that_names_few(
    db: Database, read: Callable[[Database, NodeRow, list[str]], object]
) -> None:
    """The first of its kind made a parameter for each name, which took longer than all else that a read by ids does."""
    node, ran = served(db), Counter[str]()
    fill(db, node, names(1))

    def parameters(count: int) -> int:
        ran.clear()
        sys.setprofile(lambda frame, kind, _: ran.update([frame.f_code.co_name]) if kind == "call" else None)
        try:
            assert read(db, node, names(count))
        finally:
            sys.setprofile(None)
        return ran["visit_bindparam"]

    pages.statement.cache_clear()
    batch._SOME._prepared.clear()
    # What is made once for any number.
    parameters(1)
    assert parameters(500) == parameters(3) > 0

"""Members of a search: where each stands, and that a few of them cost the same among few as among many."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from pubsub_cached.store import words
from pubsub_cached.store.items import items
from pubsub_cached.store.rows import KEPT, NodeRow, StoredItem
from pubsub_cached.store.search import search
from pubsub_cached.store.search.members import Member, Members
from pubsub_cached.store.search.query import parse, parse_order
from pubsub_cached.store.search.scope import Shown
from pubsub_cached.store.search.search import Matching, Search
from tests.support.stored import publish

from .conftest import Database

DATA: tuple[dict[str, Any], ...] = (
    {"title": "red apple", "start": "2026-11-01"},
    {"title": "red apple", "start": 5},
    {"title": "plum", "start": 5.5},
    {"title": "apple apple"},
    {"title": "Äpfel", "start": ""},
    {"title": "apple", "start": None},
    {"title": "an apple", "start": True},
    {"title": "😀 apple", "start": "ä"},
)

# Text, query, order.
SEARCHES = (
    ("", "", ""),
    ("", "", "created"),
    ("", "", "id desc"),
    ("", "", "data.start"),
    ("", "", "data.start desc, id"),
    ("", "", "data.title, data.start desc"),
    ("", '{"where":[["start",">=",""]]}', "data.start desc"),
    ("apple", "", "modified"),
    ("apple -red", "", "id"),
    ("😀", "", ""),
    ("-plum", "", "data.title desc"),
)
RANKED = (("apple", "", ""), ("apple", "", "rank, id desc"), ("apple", "", "data.title desc, rank desc, created"))


def wanted(text: str = "", query: str = "", order: str = "") -> Search:
    matching = Matching(words=words.parse(text), query=parse(query), shown=Shown(tuple(KEPT)))
    return Search(matching=matching, order=parse_order(order) if order else ())


def fill(db: Database, count: int, data: Callable[[int], dict[str, Any]]) -> NodeRow:
    """A node that is shown, with items of this data."""
    node = db.node(state="live", completeness="full")
    stored = [
        StoredItem(f"item-{number}", payload=f"<p>{number}</p>", data=msgspec.json.encode(data(number)).decode())
        for number in range(count)
    ]
    db.write(publish, node.id, stored)
    return node


def keys(members: list[Member]) -> list[str]:
    return [member.key for member in members]


@pytest.fixture
def fruit(db: Database) -> list[NodeRow]:
    """Two nodes with the same items."""
    return [fill(db, 2 * len(DATA), lambda number: DATA[number % len(DATA)]) for _ in range(2)]


@pytest.mark.parametrize(("text", "query", "order"), [*SEARCHES, *RANKED])
def test_members_stand_as_the_search_orders_them(
    db: Database, fruit: list[NodeRow], text: str, query: str, order: str
) -> None:
    members = Members(wanted(text, query, order), db.dialect)
    found, more, all_of_them = db.read(members.following, None, 100)
    assert not more
    assert all_of_them
    fresh = db.read(search.find, msgspec.structs.replace(wanted(text, query, order), limit=100))
    assert keys(found) == [item["key"] for item in fresh.items]
    assert all(earlier.place < later.place and not later.place < earlier.place for earlier, later in pairwise(found))
    assert db.read(members.count) == len(found) > 0


@pytest.mark.parametrize(("text", "query", "order"), SEARCHES)
def test_named_items_stand_where_they_stand_in_the_whole(
    db: Database, fruit: list[NodeRow], text: str, query: str, order: str
) -> None:
    members = Members(wanted(text, query, order), db.dialect)
    whole = {member.key: member for member in db.read(members.following, None, 100)[0]}
    ids = [f"item-{number}" for number in range(2 * len(DATA))]
    named = [member for node in fruit for member in db.read(members.among, node.id, node.address, [*ids, "none"])]
    assert {member.key: member for member in named} == whole
    first = [member for node in fruit for member in db.read(members.of_node, node.id, node.address, 2 * len(DATA))]
    assert {member.key: member for member in first} == whole


@pytest.mark.parametrize(("text", "query", "order"), SEARCHES)
def test_what_follows_a_member_goes_on_there(
    db: Database, fruit: list[NodeRow], text: str, query: str, order: str
) -> None:
    members = Members(wanted(text, query, order), db.dialect)
    whole = keys(db.read(members.following, None, 100)[0])
    step, more, _ = db.read(members.following, None, 3)
    walked = keys(step)
    while more:
        step, more, _ = db.read(members.following, step[-1].place, 3)
        walked += keys(step)
    assert walked == whole


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 3),
        ('{"types":["blog"]}', 2),
        ('{"subtypes":[null]}', 2),
        ('{"ids":["a","c","none"]}', 2),
        ('{"flags":["starred"]}', 1),
        ('{"nodes":["none"]}', 0),
    ],
)
def test_those_are_counted_that_fit(db: Database, query: str, count: int) -> None:
    node = db.node(state="live", completeness="full")
    blog = [StoredItem(id_, payload="<p/>", type="blog", subtype=subtype) for id_, subtype in (("a", ""), ("b", "x"))]
    db.write(publish, node.id, [*blog, StoredItem("c", payload="<p/>")])
    db.write(items.set_flags, node.address, ["b"], ["starred"], [])
    db.write(publish, db.node(state="denied", completeness="full").id, [StoredItem("hidden", payload="<p/>")])
    members = Members(wanted(query=query), db.dialect)
    assert db.read(members.count) == count


def test_by_rank_it_is_said_that_not_all_were_looked_at(db: Database) -> None:
    fill(db, 1001, lambda number: {"title": "apple"})
    members = Members(wanted("apple"), db.dialect)
    assert members.ranked
    found, more, all_of_them = db.read(members.following, None, 5)
    assert len(found) == 5
    assert more
    assert not all_of_them


def test_nothing_of_a_hidden_node_is_a_member(db: Database) -> None:
    node = fill(db, 3, lambda number: {"title": "apple"})
    hidden = fill(db, 3, lambda number: {"title": "apple"})
    members = Members(wanted("apple", order="id"), db.dialect)
    before = db.read(members.following, None, 10)[0]
    db.write(lambda tx: tx.connection.exec_driver_sql(f"UPDATE node SET state = 'denied' WHERE id = {hidden.id}"))
    assert db.read(members.among, hidden.id, hidden.address, ["item-0"]) == []
    assert db.read(members.of_node, hidden.id, hidden.address, 5) == []
    assert db.read(members.records, [member.row for member in before], 10**6)[0].keys() == {
        node.address.key(f"item-{number}") for number in range(3)
    }


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("text", "query", "order"),
    [
        ("", "", ""),
        ("apple", "", "modified"),
        ("apple -pear", '{"where":[["title","ilike","%app%"]],"flags":["-read"],"types":[""]}', "data.title, id"),
    ],
)
def test_looking_at_one_item_costs_the_same_among_many(db: Database, text: str, query: str, order: str) -> None:
    """Counted in steps of the database's own machine, of which there is a handful more the deeper an index is."""
    members = Members(wanted(text, query, order), db.dialect)
    few = fill(db, 50, lambda number: {"title": f"apple {number}"})
    db.read(members.among, few.id, few.address, ["item-7"])
    cost_of_few = steps(db, lambda: db.read(members.among, few.id, few.address, ["item-7"]))
    many = fill(db, 5000, lambda number: {"title": f"apple {number}"})
    cost_of_many = steps(db, lambda: db.read(members.among, many.id, many.address, ["item-7"]))
    assert len(db.read(members.among, many.id, many.address, ["item-7"])) == 1
    assert cost_of_many <= 4 * cost_of_few


def steps(db: Database, work: Callable[[], object]) -> int:
    """How many steps of SQLite's machine something takes."""
    driver = db.connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    count = 0

    def counted() -> int:
        nonlocal count
        count += 1
        return 0

    driver.set_progress_handler(counted, 1)
    try:
        work()
    finally:
        driver.set_progress_handler(None, 0)
    return count


def test_garbage_is_not_looked_for_in_members(db: Database) -> None:
    """Views hold them by the ten thousand."""
    fill(db, 3, lambda number: {"title": f"apple {number}"})
    found, *_ = db.read(Members(wanted("apple", order="modified"), db.dialect).following, None, 3)
    gc.collect()
    assert [gc.is_tracked(part) for each in found for part in (each, each.place, each.place.values)] == [False] * 9

"""Reading pages of items."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.address import Address
from pubsub_cached.errors import InvalidCursor, NoSuchItem
from pubsub_cached.records import ITEM
from pubsub_cached.replies import weight
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.given import Given
from pubsub_cached.store.items import items, pages
from pubsub_cached.store.items.pages import read_items
from pubsub_cached.store.rows import ItemsQuery, ItemsSlice, NodeRow, Order, StoredItem
from pubsub_cached.store.transaction import committed_revision
from tests.support.stored import publish, retract

from .conftest import Database
from .content import item, slice_of

OLDEST_FIRST = (("modified", False),)


@pytest.fixture
def node(db: Database) -> NodeRow:
    node = db.node()
    db.write(publish, node.id, [item(id_) for id_ in "abcdefg"])
    return db.again(node)


def page(db: Database, node: NodeRow, **query: object) -> ItemsSlice:
    return db.read(slice_of, node.id, ItemsQuery(**query))  # type: ignore[arg-type]


def fetched_anew(db: Database, node: NodeRow, item_ids: str) -> None:
    db.write(items.drop, node.id)
    db.write(publish, node.id, [item(id_) for id_ in item_ids])
    db.write(nodes.update, node.id, completeness="full")


def ids(found: ItemsSlice) -> str:
    return "".join(record["id"] for record in found.items)


def test_the_newest_come_first(db: Database, node: NodeRow) -> None:
    found = page(db, node, limit=3)
    assert (ids(found), found.index, found.first, found.last) == ("gfe", 0, "g", "e")
    assert found.position is not None
    everything = page(db, node, limit=7)
    assert (ids(everything), everything.position) == ("gfedcba", None)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ((("modified", False),), "acdefgb"),
        ((("created", True), ("id", False)), "gfedcba"),
        ((("created", False),), "abcdefg"),
        ((("id", True),), "gfedcba"),
        ((("id", False), ("modified", True)), "abcdefg"),
    ],
)
def test_orders(db: Database, node: NodeRow, order: tuple[tuple[str, bool], ...], expected: str) -> None:
    db.write(publish, node.id, [item("b", "new")])
    assert ids(page(db, node, order=order)) == expected
    first = page(db, node, order=order, limit=4)
    second = page(db, node, order=order, limit=4, position=first.position)
    assert ids(first) + ids(second) == expected
    assert (first.index, second.index, second.position) == (0, 4, None)


def test_after_and_before_follow_the_order(db: Database, node: NodeRow) -> None:
    after = page(db, node, after="e", limit=2)
    assert (ids(after), after.index) == ("dc", 3)
    before = page(db, node, before="c", limit=2)
    assert (ids(before), before.index) == ("ed", 2)
    assert ids(page(db, node, before="c", limit=10)) == "gfed"
    assert ids(page(db, node, after="e", limit=2, order=OLDEST_FIRST)) == "fg"
    assert ids(page(db, node, before="e", limit=2, order=OLDEST_FIRST)) == "cd"


def test_before_nothing_is_the_last_page(db: Database, node: NodeRow) -> None:
    last = page(db, node, before="", limit=3)
    assert (ids(last), last.index, last.position) == ("cba", 4, None)


def test_a_page_before_an_item_goes_on_with_that_item(db: Database, node: NodeRow) -> None:
    before = page(db, node, before="c", limit=2)
    assert ids(page(db, node, position=before.position)) == "cba"


def test_after_the_last_there_is_nothing(db: Database, node: NodeRow) -> None:
    found = page(db, node, after="a")
    assert (found.items, found.index, found.position, found.first) == ([], None, None, "")
    assert page(db, node, before="g").items == []


@pytest.mark.parametrize("query", [{"after": "x"}, {"before": "x"}])
def test_an_unknown_item_is_no_place(db: Database, node: NodeRow, query: dict[str, str]) -> None:
    with pytest.raises(NoSuchItem, match="'x'"):
        page(db, node, **query)
    found = db.read(read_items, node.address, ItemsQuery(**query))  # type: ignore[arg-type]
    assert found == (node, db.read(committed_revision), None)


@pytest.mark.parametrize(("key", "position"), [("modified", ("a",)), ("id", (1,)), ("created", (2**64,)), ("id", ())])
def test_a_position_of_another_order(db: Database, node: NodeRow, key: str, position: tuple[int | str, ...]) -> None:
    for ids_ in (None, ("a",)):
        with pytest.raises(InvalidCursor):
            page(db, node, order=((key, True),), position=position, ids=ids_)


@pytest.mark.parametrize("completeness", ["full", "window"])
def test_what_was_dropped_ends_a_walk_unless_it_came_again_elsewhere(
    db: Database, node: NodeRow, completeness: str
) -> None:
    first, since = page(db, node, limit=3), db.read(committed_revision)
    db.write(items.drop, node.id)
    db.write(nodes.update, node.id, completeness=completeness)
    further = {"position": first.position, "last": first.last, "since": since}
    assert page(db, node, **further).items == []
    db.write(publish, node.id, [item(id_) for id_ in "abcdefg"])
    with pytest.raises(NoSuchItem, match="came again"):
        page(db, node, **further)


def test_a_walk_ends_where_the_rest_was_evicted(db: Database, node: NodeRow) -> None:
    first, since = page(db, node, limit=3), db.read(committed_revision)
    db.write(items.evict, node.id, 3)
    further = {"position": first.position, "last": first.last, "since": since}
    assert page(db, node, **further).items == []
    db.write(publish, node.id, [item("e", "new")])
    assert page(db, node, **further).items == []


def test_a_walk_by_id_goes_on_though_all_was_dropped_and_the_rest_came_again(db: Database, node: NodeRow) -> None:
    by_id = {"order": (("id", False),)}
    first, since = page(db, node, limit=3, **by_id), db.read(committed_revision)
    db.write(items.drop, node.id)
    db.write(publish, node.id, [item(id_) for id_ in "defg"])
    assert ids(page(db, node, position=first.position, last=first.last, since=since, **by_id)) == "defg"


def test_a_walk_ends_where_the_service_removed_the_rest(db: Database, node: NodeRow) -> None:
    db.write(items.evict, node.id, 6)
    first, since = page(db, node, limit=3), db.read(committed_revision)
    assert (ids(first), since) == ("gfe", db.again(node).floor)
    db.write(retract, node.id, list("bcde"))
    db.write(publish, node.id, [item("e", "another")])
    assert page(db, node, position=first.position, last=first.last, since=since).items == []


def test_a_walk_is_refused_where_all_was_dropped_and_its_last_item_alone_did_not_come_again(
    db: Database, node: NodeRow
) -> None:
    first, since = page(db, node, limit=3), db.read(committed_revision)
    fetched_anew(db, node, "abcdfg")
    with pytest.raises(NoSuchItem, match="came again"):
        page(db, node, position=first.position, last=first.last, since=since)


def test_a_walk_through_a_window_ends_where_its_last_item_was_evicted_too(db: Database, node: NodeRow) -> None:
    db.write(nodes.update, node.id, completeness="window")
    first, since = page(db, node, limit=3), db.read(committed_revision)
    db.write(items.evict, node.id, 2)
    assert page(db, node, position=first.position, last=first.last, since=since).items == []


def test_a_page_after_an_item_goes_on_where_what_was_given_stands_before_it(db: Database, node: NodeRow) -> None:
    gone = page(db, node, limit=3)
    given_ = Given().and_also(record["id"] for record in gone.items)
    assert ids(page(db, node, after="e", given=given_)) == "dcba"
    ascending = Given().and_also("abc")
    assert ids(page(db, node, after="c", given=ascending, order=OLDEST_FIRST)) == "defg"
    for other in (Given().and_also("gf"), Given().and_also("gfed"), Given().and_also("gfx")):
        with pytest.raises(NoSuchItem, match="Others stand before 'e'"):
            page(db, node, after="e", given=other)
    # One that has come meanwhile stands before it too.
    db.write(publish, node.id, [item("h")])
    with pytest.raises(NoSuchItem, match="Others stand before 'e'"):
        page(db, node, after="e", given=given_)


def test_a_page_is_of_one_node_whatever_others_hold_under_the_same_ids(db: Database) -> None:
    before, node, after = [db.node(completeness="full") for _ in range(3)]
    db.write(publish, before.id, [item(id_, "other") for id_ in "gfedcba"])
    for id_ in "abcdefg":
        db.write(publish, node.id, [item(id_)])
        db.write(publish, after.id, [item(id_, "other")])
    whole = page(db, node)
    assert [(record["id"], record["payload"]) for record in whole.items] == [
        (id_, f"<entry>{id_}</entry>") for id_ in "gfedcba"
    ]
    for query in ({"after": "e"}, {"index": 3}, {"position": page(db, node, limit=3).position}, {"before": ""}):
        found = page(db, node, limit=4, **query)
        assert (found.items, found.index) == (whole.items[3:], 3)
    assert page(db, node, before="d", limit=2).items == whole.items[1:3]
    assert page(db, node, ids=("b", "e")).items == [whole.items[2], whole.items[5]]
    assert ids(page(db, node, after="e", given=Given().and_also("gfe"))) == "dcba"
    first, since = page(db, node, limit=3), db.read(committed_revision)
    fetched_anew(db, node, "abcdefg")
    with pytest.raises(NoSuchItem, match="came again"):
        page(db, node, position=first.position, last=first.last, since=since)


def test_by_index(db: Database, node: NodeRow) -> None:
    found = page(db, node, index=5, limit=5)
    assert (ids(found), found.index, found.position) == ("ba", 5, None)
    assert ids(page(db, node, index=0, limit=2)) == "gf"
    assert page(db, node, index=7).items == []


@pytest.mark.sqlite
def test_an_index_that_would_take_long_to_count_is_not_told(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item(str(number)) for number in range(pages.COUNTED_AT_MOST + 2)])
    assert page(db, node, before="", limit=3).index == pages.COUNTED_AT_MOST - 1
    assert page(db, node, before="", limit=1).index is None
    assert page(db, node, index=pages.COUNTED_AT_MOST + 1, limit=1).index == pages.COUNTED_AT_MOST + 1


def test_named_items_in_the_order_without_those_that_are_missing(db: Database, node: NodeRow) -> None:
    found = page(db, node, ids=("a", "x", "f", "a"))
    assert (ids(found), found.index, found.position) == ("fa", None, None)
    first = page(db, node, ids=("a", "b", "c"), limit=2)
    assert ids(page(db, node, ids=("a", "b", "c"), position=first.position)) == "a"
    assert page(db, node, ids=()).items == []


def test_a_page_ends_before_it_has_too_many_bytes(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [StoredItem("h", "é" * 10, data='{"t": 1}', errors=("No.",))])
    size = [weight(record) for record in page(db, node).items]
    found = page(db, node, max_bytes=sum(size[:3]))
    assert ids(found) == "hgf"
    assert ids(page(db, node, position=found.position, max_bytes=10**6)) == "edcba"
    assert ids(page(db, node, max_bytes=1)) == "h"
    assert ids(page(db, node, max_bytes=sum(size[:2]) - 1)) == "h"
    (alone,) = page(db, node, limit=1, fields=frozenset({"data"})).items
    assert alone == {"id": "h", "data": '{"t": 1}'}
    assert ids(page(db, node, max_bytes=weight(alone) + weight({"id": "g"}), fields=frozenset({"data"}))) == "hg"


def test_a_record_holds_what_is_known(db: Database) -> None:
    node = db.node()
    db.write(
        publish,
        node.id,
        [StoredItem("a b/é", "<x/>", "urn:x", "bob@example.org", '{"t": 1}', "blog", "microblog", ("no date",))],
    )
    (record,) = page(db, node).items
    assert record == {
        "id": "a b/é",
        "payload": "<x/>",
        "data": '{"t": 1}',
        "type": "blog",
        "subtype": "microblog",
        "errors": ["no date"],
        "publisher": "bob@example.org",
        "created": db.now,
        "modified": db.now,
        "namespace": "urn:x",
        "flags": [],
        "revision": node.revision + 1,
        "uri": node.address.uri("a b/é"),
    }


def test_a_record_has_no_key_for_what_is_not_known(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [StoredItem("z")])
    assert page(db, node, limit=1).items[0].keys() == {"id", "created", "modified", "flags", "revision", "uri"}


@pytest.mark.parametrize(
    "field", sorted(ITEM.keys() - {"pending", "key", "account", "service", "node", "snippet", "index"})
)
def test_fields_trim_to_what_is_wanted_and_the_id(db: Database, field: str) -> None:
    node = db.node()
    db.write(publish, node.id, [StoredItem("a", "<x/>", "urn:x", "bob@example.org", "{}", "t", "s", ("e",))])
    everything = page(db, node).items[0]
    (record,) = page(db, node, fields=frozenset({field})).items
    assert record == {key: value for key, value in everything.items() if key in (field, "id")}


def test_a_node_without_a_row(db: Database) -> None:
    found = db.read(read_items, Address("alice@example.org", "example.org", "none"), ItemsQuery())
    assert found == (None, db.read(committed_revision), None)


def test_node_revision_and_items_come_together(db: Database, node: NodeRow) -> None:
    row, revision, found = db.read(read_items, node.address, ItemsQuery(limit=1))
    assert row == node
    assert revision == node.revision
    assert found is not None
    assert ids(found) == "g"


@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=12),
    arrivals=st.lists(st.integers(0, 3), max_size=12),
    count=st.integers(0, 15),
    key=st.sampled_from(["modified", "created", "id"]),
    descending=st.booleans(),
)
def test_paging_shows_everything_once_while_items_arrive(
    shared: Database, sizes: list[int], arrivals: list[int], count: int, key: str, descending: bool
) -> None:
    node = shared.node()
    known = [f"m{number:02}" for number in range(count)]
    shared.write(publish, node.id, [item(id_) for id_ in known])
    coming = iter([f"{'az'[number % 2]}{number:02}" for number in range(100)])
    seen: list[str] = []
    position = None
    while True:
        size = sizes[len(seen) % len(sizes)]
        found = page(shared, node, limit=size, order=((key, descending),), position=position)
        seen += [record["id"] for record in found.items]
        position = found.position
        if position is None:
            break
        arriving = [next(coming) for _ in range(arrivals.pop() if arrivals else 0)]
        shared.write(publish, node.id, [item(id_) for id_ in arriving])
    assert len(set(seen)) == len(seen)
    assert [id_ for id_ in seen if id_ in known] == (known[::-1] if descending else known)


ASKED = [
    {},
    {"before": ""},
    {"before": "i30"},
    {"after": "i30"},
    {"ids": tuple(f"i{number}" for number in range(59, 0, -2))},
]


def test_few_statements_are_kept_for_any_number_of_ids(db: Database, node: NodeRow) -> None:
    pages.statement.cache_clear()
    for count in range(1, 101):
        assert ids(page(db, node, ids=tuple("abcdefg"[-count:]) + tuple(f"no{number}" for number in range(count - 7))))
    assert pages.statement.cache_info().currsize <= 8


@pytest.mark.parametrize("asked", ASKED, ids=str)
@pytest.mark.parametrize("order", [(("modified", True),), (("id", False),)], ids=str)
def test_pages_of_large_items_together_are_the_whole(db: Database, asked: dict[str, Any], order: Order) -> None:
    """Not all that were asked for are read before it is known how many of them fit."""
    node = db.node()
    # Light and heavy ones, and some that would not fit with any other.
    sizes = [(number * 37) % 11 * 300 + (20_000 if number % 13 == 0 else 0) for number in range(60)]
    db.write(publish, node.id, [item(f"i{number}", "x" * size) for number, size in enumerate(sizes)])
    node = db.again(node)
    whole = page(db, node, order=order, limit=40, **asked)
    for most in (1, 5_000, 30_000):
        found = page(db, node, order=order, limit=40, max_bytes=most, **asked)
        walked = [*found.items]
        named = {"ids": asked["ids"]} if "ids" in asked else {}
        while found.position is not None and len(walked) < len(whole.items):
            assert sum(map(weight, found.items)) <= most or len(found.items) == 1
            found = page(db, node, order=order, limit=40, max_bytes=most, position=found.position, **named)
            walked += found.items
        assert walked[: len(whole.items)] == whole.items

"""The order of what is found, and pages of it while items arrive and go."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pubsub_cached.errors import InvalidCursor
from pubsub_cached.replies import weight
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.items import items
from pubsub_cached.store.rows import NodeRow
from pubsub_cached.store.search import ranked, search
from tests.support.stored import publish, retract

from .conftest import Database
from .searching import found, ids, left_out, outside, parsed, served, sought, titled

ORDERS = [
    "",
    "modified",
    "modified desc",
    "created desc",
    "id",
    "id desc",
    "rank desc",
    "rank, id",
    "data.n, id desc",
    "data.n desc",
    "data.s, data.n desc",
    "data.s desc, rank desc, created",
]
VALUES = st.sampled_from([None, 1, 2, 2.5, "1", "b", "é", True, [1], {"x": 1}])
ITEMS = st.lists(
    st.fixed_dictionaries({"title": st.sampled_from(["gtk", "gtk gtk qt", "qt"])}, optional={"n": VALUES, "s": VALUES}),
    max_size=9,
)


def everything(db: Database, limit: int, meanwhile: Any = lambda: None, **asked: Any) -> list[str]:
    """All ids, page by page."""
    got: list[str] = []
    page = found(db, limit=limit, **asked)
    while True:
        got += [item["id"] for item in page.items]
        if page.place is None:
            return got
        assert page.items
        meanwhile()
        page = found(db, limit=limit, place=outside(page.place), **asked)


@given(ITEMS, st.sampled_from(ORDERS), st.sampled_from(["", "gtk", "qt -gtk", "-qt"]), st.integers(1, 4))
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_together_are_the_whole(shared: Database, contents: list[Any], order: str, text: str, limit: int) -> None:
    if left_out(shared, contents, order, text):
        return
    one, two = served(shared, "one"), served(shared, "two")
    for number, data in enumerate(contents):
        shared.write(publish, (one, two)[number % 2].id, [parsed(str(number), data)])
    try:
        whole = ids(shared, text, order=order)
        assert everything(shared, limit, text=text, order=order) == whole
        expected = [number for number, data in enumerate(contents) if fits(data["title"], text)]
        assert sorted(map(int, whole)) == expected
    finally:
        shared.write(nodes.forget, one.id)
        shared.write(nodes.forget, two.id)


def fits(title: str, text: str) -> bool:
    return all((word.lstrip("-") in title.split()) is not word.startswith("-") for word in text.split())


@pytest.mark.parametrize("order", ["", "modified desc", "rank desc", "rank desc, created", "id desc", "data.n desc"])
@pytest.mark.parametrize("text", ["", "gtk"])
def test_items_that_arrive_change_nothing_on_the_pages_to_come(db: Database, order: str, text: str) -> None:
    node = served(db)
    titles = ["gtk", "gtk and more", "gtk gtk", "a long text with gtk in it"]
    put(db, node, {f"{number:02}": titles[number % 4] for number in range(20)})
    before = ids(db, text, order=order)
    fresh = iter(range(100, 200))

    def meanwhile() -> None:
        # Better than all, newer than all, and gone.
        put(db, node, {f"{next(fresh)}": "gtk gtk gtk gtk"})
        db.write(retract, node.id, [f"{next(fresh) - 1}"])
        put(db, node, {f"{next(fresh)}": "gtk"})

    got = everything(db, 3, meanwhile, text=text, order=order)
    assert [id_ for id_ in got if len(id_) == 2] == before
    if (text and "rank" in order) or order in ("", "modified desc", "rank desc"):
        assert got == before


def test_an_item_that_is_removed_is_left_out_and_nothing_else(db: Database) -> None:
    node = served(db)
    put(db, node, {f"{number:02}": "gtk" for number in range(12)})
    for order in ("modified desc", "rank desc"):
        whole = ids(db, "gtk", order=order)
        gone = whole[3:6]

        def meanwhile(gone: list[str] = gone) -> None:
            db.write(retract, node.id, gone)

        assert everything(db, 3, meanwhile, text="gtk", order=order) == whole[:3] + whole[6:]


def test_a_walk_through_a_window_ends_where_the_rest_was_evicted(db: Database) -> None:
    node, whole = served(db, completeness="window"), served(db, "whole")
    titled(db, node, a="gtk", b="gtk", c="gtk")
    page = found(db, limit=2)
    titled(db, node, d="gtk", e="gtk")
    titled(db, whole, f="gtk")
    db.write(items.evict, node.id, 2)
    assert found(db, limit=2, place=outside(page.place), since=page.revision).items == []


def test_what_has_nothing_at_a_path_comes_last(db: Database) -> None:
    node = served(db)
    data = {"b": {"n": 2}, "null": {"n": None}, "a": {"n": 1}, "none": {}, "text": {"n": "x"}}
    db.write(publish, node.id, [parsed(id_, one) for id_, one in data.items()])
    assert ids(db, order="data.n, created") == ["a", "b", "text", "null", "none"]
    assert ids(db, order="data.n desc, created") == ["text", "b", "a", "null", "none"]
    assert ids(db, wanted={"where": [["n", "<", 5]]}, order="data.n desc") == ["b", "a"]
    assert ids(db, wanted={"where": [["n", "in", [1, None]]]}, order="data.n") == ["a", "null"]
    # A clause of another path, or one of several, says nothing of what is there.
    db.write(publish, node.id, [parsed("a", {"n": 1, "m": 1}), parsed("other", {"m": 1})])
    assert ids(db, wanted={"where": [["m", "=", 1]]}, order="data.n") == ["a", "other"]
    either = {"where": [{"any": [["n", "=", 1], ["m", "=", 1]]}]}
    assert ids(db, wanted=either, order="data.n") == ["a", "other"]


def test_a_comma_in_quotes_is_part_of_a_path(db: Database) -> None:
    db.write(publish, served(db).id, [parsed(str(n), {"a,b": n % 2}) for n in range(4)])
    assert ids(db, order='data["a,b"] desc, id') == ["1", "3", "0", "2"]


def test_of_many_those_stored_last_are_ranked_and_the_answer_says_so(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranked, "AT_MOST", 10)
    node = served(db)
    put(db, node, {"old and good": "gtk gtk gtk"} | {f"{number:02}": "a gtk" for number in range(10)})
    page = found(db, "gtk", limit=4)
    assert page.ranked == 10
    got = everything(db, 4, lambda: put(db, node, {str(random.random()): "gtk"}), text="gtk")
    assert sorted(got) == [f"{number:02}" for number in range(10)]
    assert found(db, "gtk", {"ids": [f"{number:02}" for number in range(10)]}).ranked is None
    assert "old and good" in ids(db, "gtk", order="modified desc")
    rows, bound = db.read(search.row_ids, sought("gtk"))
    assert (len(rows), bound) == (10, 10)


@pytest.mark.parametrize(
    ("text", "order"),
    [("", ""), ("", "created"), ("gtk", ""), ("gtk", "id"), ("gtk", "rank, id"), ("gtk", "rank desc, id desc")],
)
def test_the_whole_and_any_part_of_it_stand_in_the_order_of_the_search(db: Database, text: str, order: str) -> None:
    titled(db, served(db), d="gtk qt", b="gtk gtk", e="gtk", a="gtk gtk gtk", c="qt")
    whole = ids(db, text, order=order)
    asked = sought(text, order=order, limit=2)
    rows, bound = db.read(search.row_ids, asked)
    items, looked = db.read(search.page, asked, rows)
    assert ([item["id"] for item in items], looked, bound) == (whole, len(whole), None)
    for offset in range(len(whole) + 1):
        assert db.read(search.rows_from, asked, offset) == [*rows[offset : offset + 2]]


def test_a_page_ends_before_it_is_too_large(db: Database) -> None:
    node = served(db)
    db.write(publish, node.id, [parsed(str(number), {"title": "é" * 500}) for number in range(10)])
    (size,) = {weight(item) for item in found(db).items}
    page = found(db, max_bytes=2 * size)
    assert len(page.items) == 2
    assert page.place is not None
    assert len(found(db, max_bytes=2 * size - 1).items) == 1
    assert everything(db, 100, max_bytes=1) == [str(number) for number in reversed(range(10))]


@pytest.mark.parametrize(
    "place",
    [(), (1,), (1, 2, 3, 4, 5), ("x", []), (2**63, 1), (None,), ({}, 1), (True, 1), ("x", 1), (1, None), ("x", 1, "y")],
)
@pytest.mark.parametrize(("text", "order"), [("", "modified"), ("gtk", ""), ("gtk", "rank, id")])
def test_a_place_of_another_order_is_refused(db: Database, place: Any, text: str, order: str) -> None:
    titled(db, served(db), a="gtk")
    with pytest.raises(InvalidCursor, match="begin again"):
        found(db, text, order=order, place=place)


@pytest.mark.parametrize("order", ["created desc", "id", "data.title", "data.title desc, rank, modified"])
@pytest.mark.parametrize("text", ["", "gtk"])
def test_a_place_with_a_value_of_another_kind_is_refused_or_goes_on(db: Database, text: str, order: str) -> None:
    titled(db, served(db), a="gtk", b="gtk", c="gtk")
    place = found(db, text, order=order, limit=1).place
    assert place is not None
    for number in range(len(place)):
        for value in ("x", 1, 1.5, None):
            with contextlib.suppress(InvalidCursor):
                found(db, text, order=order, place=(*place[:number], value, *place[number + 1 :]))


def put(db: Database, node: NodeRow, titles: dict[str, str]) -> None:
    db.write(publish, node.id, [parsed(id_, {"title": title, "n": len(id_)}) for id_, title in titles.items()])

"""What a record weighs, and how many fit into a reply."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.bus.marshalling import Written
from pubsub_cached.records import ITEM, NODE
from pubsub_cached.replies import fitting, weight

TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)
VALUES: dict[str, st.SearchStrategy[Any]] = {"s": TEXTS, "as": st.lists(TEXTS, max_size=4), "b": st.booleans()}


def records(table: dict[str, str]) -> st.SearchStrategy[dict[str, Any]]:
    """Records with any of the keys."""
    values = {key: VALUES.get(signature, st.integers(0, 2**31)) for key, signature in table.items()}
    return st.fixed_dictionaries({}, optional=values)


@given(st.lists(records(ITEM), max_size=4))
def test_an_item_is_no_lighter_than_on_the_bus(items: list[dict[str, Any]]) -> None:
    # Before an array and a record stands a length, at a multiple of 8.
    assert Written(items, ITEM).size <= sum(8 + weight(item) for item in items) + 4


@given(st.lists(records(NODE), max_size=4))
def test_a_node_is_no_lighter_than_on_the_bus(nodes: list[dict[str, Any]]) -> None:
    assert Written(nodes, NODE).size <= sum(8 + weight(node) for node in nodes) + 4


def test_as_many_fit_as_have_room_and_one_at_least() -> None:
    one = {"id": "é"}
    assert weight(one) == 34
    assert [fitting([one] * 3, most) for most in (1, 34, 67, 68, 101, 102, 200)] == [1, 1, 1, 2, 2, 3, 3]
    assert fitting([], 1) == 0

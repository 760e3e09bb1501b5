"""Places in an order."""

from __future__ import annotations

import itertools
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.store.items.order import arrange
from pubsub_cached.store.transaction import STRIDE

PLACES = st.lists(st.none() | st.integers(-50, 50), max_size=12)


def fresh(places: list[int | None]) -> itertools.count[int]:
    return itertools.count(1000, STRIDE)


@given(PLACES)
def test_places_ascend(places: list[int | None]) -> None:
    arranged = arrange(places, fresh(places).__next__)
    assert len(arranged) == len(places)
    assert all(low < high for low, high in pairwise(arranged))


@given(PLACES.map(lambda places: [None if place is None else place * STRIDE for place in places]))
def test_what_stands_above_all_before_it_stays_and_all_else_goes_up(places: list[int | None]) -> None:
    arranged = arrange(places, itertools.count(1000 * STRIDE, STRIDE).__next__)
    for number, (old, new) in enumerate(zip(places, arranged, strict=True)):
        before = [place for place in places[:number] if place is not None]
        if old is not None:
            assert (new == old) is all(place < old for place in before)
            assert new >= old


def test_what_was_not_published_again_stays_though_most_was() -> None:
    assert arrange([8, 9, 5, 6, 7], iter([10, 11, 12]).__next__) == [8, 9, 10, 11, 12]


def test_what_is_in_order_stays() -> None:
    assert arrange([1, 2, 3], iter(()).__next__) == [1, 2, 3]


def test_new_ones_go_to_the_end_between_or_before() -> None:
    assert arrange([5, None], iter([9]).__next__) == [5, 9]
    assert arrange([5, None, 9], iter(()).__next__) == [5, 7, 9]
    assert arrange([None, None, 5], iter(()).__next__) == [5 - 2 * STRIDE, 5 - STRIDE, 5]


def test_without_room_all_that_follow_move_to_the_end() -> None:
    assert arrange([1, None, 2, 3], iter([10, 11, 12]).__next__) == [1, 10, 11, 12]

"""The window of a view and what its owner holds, as plain lists."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.cache.views.telling import Change, Holding, Telling
from pubsub_cached.cache.views.window import Window
from pubsub_cached.records import ItemRecord
from pubsub_cached.store.search.members import Member, Place


def member(key: str, place: int) -> Member:
    return Member(key, Place((place,), [False]), 0, 0)


def members(*pairs: tuple[str, int]) -> list[Member]:
    return [member(*pair) for pair in pairs]


class World:
    """All members there are, and a window that follows them."""

    def __init__(self, size: int, places: dict[str, int]) -> None:
        self.places = dict(places)
        self.window = Window(size)
        self.size = size
        self.read = 0
        self.window.extend(*self.following(None, size))

    def following(self, bound: Place | None, limit: int) -> tuple[list[Member], bool]:
        found = sorted((member(*pair) for pair in self.places.items()), key=lambda one: one.place.values)
        found = [one for one in found if bound is None or bound < one.place]
        return found[:limit], len(found) > limit

    def change(self, changes: dict[str, int | None]) -> None:
        for key, place in changes.items():
            if place is None:
                self.places.pop(key, None)
            else:
                self.places[key] = place
        self.window.look(changes, [member(key, self.places[key]) for key in changes if key in self.places])
        while lacking := self.window.lacking:
            self.read += 1
            self.window.extend(*self.following(self.window.bound, lacking))

    def resize(self, size: int) -> None:
        self.size = size
        self.window.resize(size)
        self.change({})

    @property
    def first(self) -> list[str]:
        return [one.key for one in self.following(None, self.size)[0]]


CHANGES = st.lists(
    st.dictionaries(st.sampled_from("abcdefghij"), st.none() | st.integers(0, 9), min_size=1, max_size=4), max_size=15
)


@given(size=st.integers(1, 5), changes=CHANGES)
def test_the_window_is_what_comes_first(size: int, changes: list[dict[str, int | None]]) -> None:
    places = {key: 10 * number for number, key in enumerate("abcdefg")}
    world = World(size, places)
    for number, change in enumerate(changes):
        # No two stand at the same place.
        world.change({key: None if at is None else at * 1000 + number * 20 + ord(key) for key, at in change.items()})
        assert world.window.keys == world.first
        assert not world.window.complete or len(world.places) <= size


@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=6), changes=CHANGES)
def test_a_window_of_another_size_is_what_comes_first(sizes: list[int], changes: list[dict[str, int | None]]) -> None:
    world = World(sizes[0], {key: 10 * number for number, key in enumerate("abcdefg")})
    for size, change in zip(sizes[1:], [*changes, *[{}] * len(sizes)], strict=False):
        world.resize(size)
        assert world.window.keys == world.first
        world.change({key: None if at is None else at * 1000 + ord(key) for key, at in change.items()})
        assert world.window.keys == world.first
        assert not world.window.complete or len(world.places) <= size


def test_what_comes_after_the_window_reads_nothing() -> None:
    world = World(2, {"a": 1, "b": 2, "c": 3})
    world.change({"d": 4, "c": 9})
    world.change({"b": 0})
    assert world.window.keys == ["b", "a"]
    assert world.read == 0


def test_what_leaves_the_window_lets_the_next_in() -> None:
    world = World(2, {"a": 1, "b": 2, "c": 3})
    world.change({"a": None})
    assert world.window.keys == ["b", "c"]
    assert world.read == 1


def test_a_window_that_more_join_than_fit_is_not_all() -> None:
    window = Window(2)
    window.extend([], False)
    assert window.complete
    window.look(["a", "b", "c"], members(("a", 1), ("b", 2), ("c", 3)))
    assert window.keys == ["a", "b"]
    assert not window.complete
    assert window.lacking == 0


def test_what_was_seen_before_it_was_told_is_not_there_twice() -> None:
    window = Window(3)
    window.extend(members(("a", 1), ("b", 2)), True)
    # A reading after ``bound`` meets an item that moved there since it was looked at.
    window.extend(members(("a", 7)), False)
    assert window.keys == ["b", "a"]


def test_what_is_gone_leaves_alone_what_has_its_place_by_now() -> None:
    """SQLite gives the row of an item that is gone to another one, and a row is where items are told apart by."""
    window = Window(3)
    window.extend(members(("gone", 1), ("b", 2)), False)
    window.look(["new"], members(("new", 1)))
    window.look(["gone"], [])
    assert window.keys == ["new", "b"]
    assert [key in window for key in ("gone", "new")] == [False, True]


# Places


def test_places_are_ordered_as_the_database_orders() -> None:
    values = [(None,), (0,), (1.5,), (2,), ("",), ("a",), ("b",), ("ä",)]
    ascending = [Place(one, [False]) for one in values]
    assert sorted([*ascending[4:], *ascending[:4]]) == ascending
    descending = [Place(one, [True]) for one in reversed(values)]
    assert sorted([*descending[4:], *descending[:4]]) == descending


def test_a_later_value_decides_where_earlier_ones_are_the_same() -> None:
    directions = [False, True]
    assert Place(("a", 2), directions) < Place(("a", 1), directions) < Place(("b", 9), directions)


# What the owner holds

LISTS = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


def apply(keys: list[str], told: Sequence[tuple[str, int]]) -> list[str]:
    for key, index in told:
        keys = [held for held in keys if held != key]
        assert index <= len(keys)
        keys.insert(index, key)
    return keys


@given(before=LISTS, wanted=LISTS, changed=st.frozensets(st.sampled_from("abcdefgh")), most=st.integers(1, 8))
def test_the_owner_ends_up_with_what_is_wanted(
    before: list[str], wanted: list[str], changed: frozenset[str], most: int
) -> None:
    holding = Holding()
    holding.keys = [*before]
    mirror = [*before]
    while gone := holding.remove(frozenset(wanted), most):
        mirror = [key for key in mirror if key not in gone]
    left = set(changed)
    for _ in range(100):
        changes = holding.changes(wanted, left)
        if not changes:
            break
        told = holding.put(wanted, frozenset(changes[:most]), frozenset(changes))
        left.difference_update(changes[:most])
        mirror = apply(mirror, told)
    while new := [key for key in wanted if key not in holding.keys]:
        told = holding.put(wanted, frozenset(new[:most]), ())
        assert [wanted.index(key) for key, _ in told] == [index for _, index in told]
        mirror = apply(mirror, told)
    assert mirror == holding.keys == wanted


@given(wanted=LISTS, changed=st.frozensets(st.sampled_from("abcdefgh")))
def test_what_did_not_move_is_told_once_and_where_it_is(wanted: list[str], changed: frozenset[str]) -> None:
    holding = Holding()
    holding.keys = [*wanted]
    changes = holding.changes(wanted, changed)
    assert changes == [key for key in wanted if key in changed]
    assert holding.put(wanted, frozenset(changes), frozenset(changes)) == [(key, wanted.index(key)) for key in changes]


def test_only_what_changed_is_told_to_have_moved() -> None:
    holding = Holding()
    holding.keys = ["m", "a", "b", "c"]
    wanted = ["a", "b", "c", "m"]
    assert holding.changes(wanted, {"m"}) == ["m"]
    assert holding.put(wanted, {"m"}, {"m"}) == [("m", 3)]


class Gone:
    """Has no record of any item, and hears what is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    async def records(self, rows: Sequence[int], max_bytes: int) -> tuple[dict[str, ItemRecord], int]:
        return {}, len(rows)

    def items(self, change: Change, items: list[ItemRecord]) -> None:
        self.told.append(items)

    def removed(self, keys: list[str]) -> None:
        self.told.append(keys)

    def ready(self, total: int) -> None:
        self.told.append(total)

    def reset(self) -> None:
        self.told.append(None)

    async def attentive(self) -> None:
        pass


async def test_of_what_went_before_it_was_read_nothing_is_told() -> None:
    window, telling, gone = World(3, {"a": 1, "b": 2}).window, Telling(), Gone()
    assert await telling.batch(window, gone, gone)
    assert not await telling.batch(window, gone, gone)
    assert (window.keys, gone.told) == ([], [])

"""The end of a mark and sweep."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.store.items import items
from pubsub_cached.store.items.changes import since
from pubsub_cached.store.rows import Delta, NodeRow, StoredItem
from pubsub_cached.store.transaction import STRIDE, Transaction
from tests.support.stored import publish, retract

from .conftest import Database
from .content import contents, item, listed, revisions, tombstones


def replace(
    db: Database,
    node: NodeRow,
    ids: Sequence[str | StoredItem],
    *,
    kept: Sequence[str] = (),
    later: Sequence[str] = (),
    there: Sequence[str] = (),
    full: bool = True,
    moves: bool | None = True,
    keep: int | None = None,
) -> Delta:
    given = [item(id_) if isinstance(id_, str) else id_ for id_ in ids]
    return db.write(
        lambda tx: items.replace(
            tx, node.id, given, kept=kept, later=later, there=there, full=full, moves=moves, keep=keep
        )
    )


@pytest.fixture
def node(db: Database) -> NodeRow:
    node = db.node(completeness="full")
    replace(db, node, "abcd")
    return db.again(node)


def places(db: Database, node: NodeRow) -> dict[str, int]:
    """Every id and its place by publication."""
    return dict(db.rows("SELECT item_id, modified FROM item WHERE node_id = ?", node.id))


def test_the_first_synchronisation_stores_in_order(db: Database) -> None:
    node = db.node()
    delta = replace(db, node, "cab")
    assert delta.changed == ["c", "a", "b"]
    assert listed(db, node, "modified") == listed(db, node, "created") == ["c", "a", "b"]
    assert db.again(node).item_count == 3


def test_an_unchanged_node_is_not_touched(db: Database, node: NodeRow) -> None:
    before = db.rows("SELECT * FROM item")
    counters = db.rows("SELECT * FROM counter")
    assert replace(db, node, "abcd") == Delta()
    assert db.again(node) == node
    assert db.rows("SELECT * FROM item") == before
    assert db.rows("SELECT * FROM counter") == counters


def test_rows_that_are_as_they_were_keep_their_revision(db: Database, node: NodeRow) -> None:
    before = revisions(db, node)
    delta = replace(db, node, ["a", item("c", "new"), "d", "e"])
    assert (delta.removed, delta.changed) == (["b"], ["c", "e"])
    after = revisions(db, node)
    assert {id_: after[id_] for id_ in "ad"} == {id_: before[id_] for id_ in "ad"}
    numbers = [*tombstones(db, node).values(), after["c"], after["e"]]
    assert sorted(numbers) == list(range(node.revision + 1, node.revision + 4))
    assert delta.revision == db.again(node).revision == node.revision + 3
    assert db.again(node).item_count == 4


def test_everything_that_a_full_reply_lacks_is_removed(db: Database, node: NodeRow) -> None:
    delta = replace(db, node, [])
    assert delta.removed == ["a", "b", "c", "d"]
    assert tombstones(db, node).keys() == set("abcd")
    assert contents(db, node) == {}


def test_a_window_removes_only_inside_what_it_covers(db: Database, node: NodeRow) -> None:
    delta = replace(db, node, "bde", full=False)
    assert delta.removed == ["c"]
    assert listed(db, node) == ["a", "b", "d", "e"]


def test_a_window_that_meets_nothing_known_leaves_no_gap(db: Database, node: NodeRow) -> None:
    delta = replace(db, node, "xyz", full=False)
    assert (delta.changed, delta.removed) == (["x", "y", "z"], [])
    assert listed(db, node) == ["x", "y", "z"]
    assert tombstones(db, node) == {}
    after = db.again(node)
    assert (after.item_count, after.completeness) == (3, "window")
    assert not db.read(since, node.address, node.revision).complete


def test_what_may_not_be_served_stays_so_where_a_window_meets_nothing_known(db: Database) -> None:
    node = db.node()
    replace(db, node, "abcd")
    replace(db, node, "xyz", full=False)
    assert db.again(node).completeness == "none"


def test_a_window_of_the_newest_by_creation_removes_no_older_item_that_was_overwritten(db: Database) -> None:
    """ejabberd keeps an overwritten item in its place, so that it may lie behind the window and still be there."""
    node = db.node(completeness="window")
    replace(db, node, "abcd", full=False)
    db.write(lambda tx: publish(tx, node.id, [item("a", "again")]))
    before = db.again(node)
    delta = replace(db, node, "bcde", full=False)
    assert (delta.removed, delta.changed) == ([], ["e"])
    assert set(contents(db, node)) == set("bcde")
    assert tombstones(db, node) == {}
    assert not db.read(lambda conn: since(conn, node.address, before.revision)).complete


def test_a_window_that_begins_with_what_was_published_again_removes_nothing_before_that(
    db: Database, node: NodeRow
) -> None:
    db.write(publish, node.id, [item("a", "again")])
    delta = replace(db, node, [item("a", "again"), "e"], full=False)
    assert (delta.changed, delta.removed) == (["e"], [])
    assert listed(db, node) == ["a", "e"]
    assert tombstones(db, node) == {}


def test_a_window_removes_nothing_that_is_said_to_be_there(db: Database) -> None:
    node = db.node(completeness="window")
    replace(db, node, "cde", full=False)
    db.write(publish, node.id, [item("a", "again"), item("b", "again")])
    before = db.again(node)
    delta = replace(db, node, "cde", there="a", full=False)
    assert delta.removed == ["b"]
    assert set(contents(db, node)) == set("cde")
    assert not db.read(lambda conn: since(conn, node.address, before.revision)).complete


@pytest.mark.parametrize("moves", [False, None])
def test_a_window_reaches_no_further_for_what_was_fetched_by_its_id(db: Database, moves: bool | None) -> None:
    node = db.node(completeness="window")
    replace(db, node, "cde", full=False)
    db.write(publish, node.id, [item("a", "again")])
    delta = replace(db, node, [item("a", "again"), "c", "e"], there="a", full=False, moves=moves)
    assert (delta.changed, delta.removed) == ([], ["d"])
    assert listed(db, node) == list("cea")


@pytest.mark.parametrize("moves", [False, None])
def test_what_left_a_window_while_it_was_fetched_by_its_id_made_room_for_nothing(
    db: Database, node: NodeRow, moves: bool | None
) -> None:
    db.write(items.evict, node.id, 3)
    assert not replace(db, node, "acd", there="a", full=False, moves=moves)
    assert listed(db, node) == list("bcd")


def test_what_was_missed_before_something_was_published_again_has_made_room_for_nothing(
    db: Database, node: NodeRow
) -> None:
    delta = replace(db, node, "xd", full=False)
    assert (delta.changed, delta.removed) == (["x"], [])
    assert listed(db, node) == list("abcxd")


def test_an_empty_window_says_nothing(db: Database, node: NodeRow) -> None:
    assert not replace(db, node, [], full=False)
    assert db.again(node) == node


def test_a_kept_row_stays_as_it_is_and_comes_last(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [item("b", "by event"), item("x")])
    before = revisions(db, node)
    delta = replace(db, node, [*"abcd", "e"], kept=["b", "x"])
    assert delta.changed == ["e"]
    assert contents(db, node)["b"] == "<entry>by event</entry>"
    assert listed(db, node) == ["a", "c", "d", "e", "b", "x"]
    assert listed(db, node, "created") == ["a", "b", "c", "d", "e", "x"]
    assert revisions(db, node) == before | {"e": delta.revision}


def test_a_kept_tombstone_beats_a_page_that_comes_later(db: Database, node: NodeRow) -> None:
    db.write(retract, node.id, ["b", "d"])
    assert not replace(db, node, "abcd", kept=["b", "d"])
    assert listed(db, node) == ["a", "c"]
    assert tombstones(db, node).keys() == {"b", "d"}


@pytest.mark.parametrize("moves", [True, False])
def test_what_was_retracted_while_a_window_was_fetched_makes_no_room_of_others(
    db: Database, node: NodeRow, moves: bool
) -> None:
    db.write(retract, node.id, ["b"])
    assert not replace(db, node, "abcd", kept="b", full=False, moves=moves, keep=4)
    assert listed(db, node) == ["a", "c", "d"]


def test_a_kept_row_is_not_swept(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [item("x")])
    before = places(db, node)
    assert replace(db, node, "abc", kept=["x"]).removed == ["d"]
    assert listed(db, node) == ["a", "b", "c", "x"]
    assert places(db, node)["x"] == before["x"]


@pytest.mark.parametrize("moves", [True, False])
def test_a_kept_row_that_was_not_published_again_stays_between_those_beside_it(
    db: Database, node: NodeRow, moves: bool
) -> None:
    replace(db, node, "abcxd", kept="c", moves=moves)
    assert listed(db, node) == listed(db, node, "created") == list("abcxd")
    replace(db, node, "abcydz", kept="x", moves=moves)
    assert listed(db, node) == listed(db, node, "created") == list("abcyxdz")


@pytest.mark.parametrize("moves", [True, False])
def test_a_kept_row_that_was_not_fetched_stays_in_its_place_and_counts(
    db: Database, node: NodeRow, moves: bool
) -> None:
    replace(db, node, "cde", kept="b", full=False, moves=moves, keep=4)
    assert listed(db, node) == list("bcde")


def test_of_a_window_that_has_none_nothing_stays(db: Database, node: NodeRow) -> None:
    replace(db, node, "", full=False, keep=0)
    assert listed(db, node) == []


def test_a_kept_row_moves_where_there_is_no_room_before_it(db: Database, node: NodeRow) -> None:
    """What turns up before it halves that each time."""
    db.write(publish, node.id, [item("x")])
    there = [*"abcd"]
    before = places(db, node)["x"]
    for number in range(STRIDE.bit_length() + 1):
        there.append(f"n{number}")
        replace(db, node, there, kept="x")
    assert places(db, node)["x"] > before
    assert listed(db, node) == listed(db, node, "created") == [*there, "x"]


def test_the_order_of_creation_is_the_services_where_there_is_no_room_in_it_alone(db: Database, node: NodeRow) -> None:
    """What turns up before an item that was published again is halved in one order earlier than in the other."""
    db.write(publish, node.id, [item("c", "again")])
    there = ["a", "b", item("c", "again"), "d"]
    for number in range(STRIDE.bit_length()):
        there.insert(-2, f"n{number}")
        replace(db, node, there, moves=False)
        assert listed(db, node, "created") == [one if isinstance(one, str) else one.id for one in there]


def test_events_during_a_first_synchronisation_are_the_newest(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("x"), item("b", "by event")])
    replace(db, node, "abc", kept=["x", "b"])
    assert listed(db, node) == ["a", "c", "x", "b"]
    assert listed(db, node, "created") == ["a", "c", "x", "b"]


def test_a_kept_row_that_was_the_newest_already_stays_in_its_place(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [item("d", "by event")])
    replace(db, node, "abcd", kept=["d"])
    assert listed(db, node) == ["a", "b", "c", "d"]
    replace(db, node, "bce", kept=["d"], full=False)
    assert listed(db, node) == ["a", "b", "c", "e", "d"]


@pytest.mark.parametrize("moves", [True, False])
def test_what_turns_up_before_all_that_stays_comes_before_what_is_gone(
    db: Database, node: NodeRow, moves: bool
) -> None:
    """For whoever reads the newest first may have got as far as what is gone."""
    db.write(publish, node.id, [item("a", "again")])
    gone = db.rows("SELECT min(created), min(modified) FROM item WHERE node_id = ?", node.id)[0]
    replace(db, node, ["x", "d"], moves=moves)
    ((created, modified),) = db.rows("SELECT created, modified FROM item WHERE node_id = ? AND item_id = 'x'", node.id)
    assert created < gone[0]
    assert modified < gone[1]


def test_what_is_gone_moves_nothing_of_what_stays(db: Database, node: NodeRow) -> None:
    before = places(db, node)
    assert replace(db, node, "ad").removed == ["b", "c"]
    assert places(db, node) == {id_: before[id_] for id_ in "ad"}


def test_the_order_becomes_the_services_though_events_said_otherwise(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [item("b", "again")])
    assert not replace(db, node, ["a", item("b", "again"), "c", "d"])
    assert listed(db, node) == list("abcd")


def test_the_order_becomes_the_services_without_revisions(db: Database, node: NodeRow) -> None:
    before = revisions(db, node)
    assert not replace(db, node, "bcda")
    assert listed(db, node) == ["b", "c", "d", "a"]
    assert listed(db, node, "created") == ["a", "b", "c", "d"]
    assert revisions(db, node) == before


def test_what_is_elsewhere_or_gone_is_looked_at_again_by_who_holds_results(db: Database, node: NodeRow) -> None:
    def touched(tx: Transaction, ids: str) -> set[str]:
        items.replace(tx, node.id, [item(id_) for id_ in ids], full=False, moves=True)
        return tx.touched.keys()

    assert db.write(touched, "abdc") == {node.address.key("c")}
    assert db.write(touched, "adc") == {node.address.key("b")}
    assert db.write(touched, "x") == {node.address.key(id_) for id_ in "adcx"}


def test_what_turns_up_between_takes_its_place_there(db: Database, node: NodeRow) -> None:
    replace(db, node, "wabxcyd")
    assert listed(db, node) == listed(db, node, "created") == list("wabxcyd")


def test_a_new_item_was_created_after_all_that_precede_it(db: Database, node: NodeRow) -> None:
    replace(db, node, ["b", "c", "d", item("a", "new"), "e"])
    assert listed(db, node, "modified") == list("bcdae")
    assert listed(db, node, "created") == list("abcde")


def test_without_payload_stored_content_stays(db: Database, node: NodeRow) -> None:
    assert not replace(db, node, [StoredItem(id_) for id_ in "bcda"])
    assert contents(db, node)["a"] == "<entry>a</entry>"
    assert listed(db, node) == list("bcda")


def test_where_overwritten_items_stay_in_their_place_what_was_seen_of_them_stays(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [item("b", "again")])
    before = places(db, node)
    assert not replace(db, node, ["a", item("b", "again"), "c", "d"], moves=False)
    assert listed(db, node) == list("acdb")
    assert places(db, node) == before


def test_there_another_content_is_the_newest_and_so_are_new_items(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [item("b", "again")])
    before = places(db, node)
    delta = replace(db, node, ["a", item("b", "again"), item("c", "unheard"), "d", "e"], moves=False)
    assert delta.changed == ["c", "e"]
    assert listed(db, node) == list("adbce")
    assert listed(db, node, "created") == list("abcde")
    assert {id_: places(db, node)[id_] for id_ in "abd"} == {id_: before[id_] for id_ in "abd"}


def test_there_content_that_was_not_known_is_no_other(db: Database) -> None:
    node = db.node()
    replace(db, node, [StoredItem("a"), "b"], moves=False)
    assert replace(db, node, "ab", moves=False).changed == ["a"]
    assert not replace(db, node, [StoredItem("a"), "b"], moves=False)
    assert listed(db, node) == ["a", "b"]


def test_there_another_content_than_an_event_said_meanwhile_moves_nothing(db: Database, node: NodeRow) -> None:
    assert not replace(db, node, ["a", item("b", "before that"), "c", "d"], kept="b", moves=False)
    assert listed(db, node) == list("abcd")


def test_there_what_came_by_an_event_is_newer_than_what_was_missed(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [item("a", "by event"), item("x")])
    replace(db, node, [item("a", "by event"), item("b", "unheard"), "c", "d", "e", "x"], kept="ax", moves=False)
    assert listed(db, node) == list("cdbeax")


def test_there_what_turns_up_between_precedes_what_was_made_later(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [item("b", "again")])
    replace(db, node, ["a", item("b", "again"), "x", "c", "d"], moves=False)
    assert listed(db, node) == list("axcdb")
    assert listed(db, node, "created") == list("abxcd")


def test_there_what_a_window_made_room_of_is_older_than_all_of_it(db: Database) -> None:
    node = db.node(completeness="window")
    replace(db, node, "cde", full=False)
    db.write(publish, node.id, [item("a", "again")])
    delta = replace(db, node, [item("a", "again"), *"bcde"], there="a", full=False, moves=False, keep=4)
    assert not delta
    assert listed(db, node) == list("cdea")
    replace(db, node, [item("a", "again"), *"bcde"], there="a", full=False, moves=False)
    assert listed(db, node) == listed(db, node, "created") == list("bcdea")


@pytest.mark.parametrize("moves", [False, None])
def test_there_what_has_another_content_than_an_event_said_was_published_after_it(
    db: Database, moves: bool | None
) -> None:
    node = db.node()
    db.write(publish, node.id, [item("c")])
    replace(db, node, ["a", "b", item("c", "again"), "d"], later="c", moves=moves)
    assert listed(db, node) == list("abcd")
    db.write(publish, node.id, [item("c", "told"), item("b", "told")])
    replace(db, node, ["a", item("b", "since"), item("c", "told"), "d"], later="cb", moves=False)
    assert listed(db, node) == list("adcb")


def test_there_what_was_missed_precedes_what_was_published_later_and_is_as_events_said(
    db: Database, node: NodeRow
) -> None:
    db.write(publish, node.id, [item("c", "told")])
    replace(db, node, ["a", item("b", "missed"), item("c", "told"), "d"], later="c", moves=False)
    assert listed(db, node) == list("adbc")


def test_there_what_a_window_missed_precedes_all_that_was_published_later(db: Database) -> None:
    """That may have been made before it, and was published again since."""
    node = db.node(completeness="window")
    replace(db, node, "cde", full=False)
    db.write(publish, node.id, [item("f"), item("g"), item("h")])
    replace(db, node, [*"cdef", "m", "g", "h"], later="fgh", full=False, moves=False)
    assert listed(db, node) == list("cdemfgh")
    replace(db, node, [*"cdemnf", item("g", "since"), "h"], later="fgh", full=False, moves=False)
    assert listed(db, node) == list("cdemnfgh")


@pytest.mark.parametrize("moves", [False, None])
def test_there_what_made_room_of_an_older_one_and_is_gone_is_removed(db: Database, moves: bool | None) -> None:
    node = db.node(completeness="window")
    replace(db, node, "acd", full=False)
    delta = replace(db, node, "bcd", full=False, moves=moves, keep=3)
    assert (delta.changed, delta.removed) == (["b"], ["a"])
    assert listed(db, node) == list("bcd")


@pytest.mark.parametrize("moves", [False, None])
def test_there_what_precedes_what_came_meanwhile_made_room_for_nothing(db: Database, moves: bool | None) -> None:
    """It was missed before that came: the older ones were looked up only where it precedes what was there before."""
    node = db.node(completeness="window")
    replace(db, node, "def", full=False)
    db.write(publish, node.id, [item("c")])
    delta = replace(db, node, "fac", kept="c", full=False, moves=moves, keep=3)
    assert (delta.changed, delta.removed) == (["a"], [])
    assert listed(db, node) == list("fac")


def test_there_what_made_room_of_an_older_one_and_was_not_given_is_dropped(db: Database) -> None:
    node = db.node(completeness="window")
    replace(db, node, "acd", full=False)
    before = db.again(node)
    delta = replace(db, node, "bcd", there="a", full=False, moves=False, keep=3)
    assert (delta.changed, delta.removed) == (["b"], [])
    assert listed(db, node) == list("bcd")
    assert not db.read(since, node.address, before.revision).complete


def test_there_what_made_room_of_an_older_one_stays_as_long_as_it_is_there(db: Database) -> None:
    node = db.node(completeness="window")
    replace(db, node, "acd", full=False)
    assert not replace(db, node, "abcd", there="a", full=False, moves=False, keep=3)
    assert listed(db, node) == list("acd")


def test_before_it_is_known_the_order_of_creation_shows_that_they_stay(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [item("b", "again")])
    replace(db, node, ["a", item("b", "again"), "c", "d"], moves=None)
    assert listed(db, node) == list("acdb")
    replace(db, node, ["c", item("b", "again"), "d", "a"], moves=None)
    assert listed(db, node) == list("cbda")


def test_before_it_is_known_the_order_in_which_events_told_since_a_gap_shows_nothing(
    db: Database, node: NodeRow
) -> None:
    """It was made here when they told it, and there perhaps in the gap."""
    db.write(publish, node.id, [item("f"), item("e", "again")])
    replace(db, node, [*"abcd", item("e", "again"), "f"], later="ef", moves=None)
    assert listed(db, node) == list("abcdfe")


def test_before_it_is_known_what_comes_meanwhile_shows_nothing(db: Database, node: NodeRow) -> None:
    """Where it is given is its place there, which may be an old one, or a new one."""
    db.write(publish, node.id, [item("f"), item("e"), item("b", "again"), item("x")])
    there = ["x", "a", item("b", "again"), "c", "d", "e", "f"]
    replace(db, node, there, kept="x", later="ef", moves=None)
    assert listed(db, node) == list("acdfebx")


def test_before_it_is_known_what_stands_behind_what_events_told_since_a_gap_has_moved(
    db: Database, node: NodeRow
) -> None:
    db.write(publish, node.id, [item("e")])
    replace(db, node, [*"abc", "e", item("d", "missed")], later="e", moves=None)
    assert listed(db, node) == list("abced")


def test_before_it_is_known_what_events_told_of_a_polled_node_shows_that_others_move(db: Database) -> None:
    node = db.node(completeness="full", state="polled")
    replace(db, node, "abcd")
    db.write(publish, node.id, [item("e"), item("f")])
    replace(db, node, [*"abcd", "f", item("e", "missed")], later="ef", moves=None)
    assert listed(db, node) == list("abcdfe")


def test_only_what_was_published_again_moves_though_that_is_the_most(db: Database, node: NodeRow) -> None:
    before = places(db, node)
    replace(db, node, "dabc")
    after = places(db, node)
    assert after["d"] == before["d"]
    assert all(after[id_] > before["d"] for id_ in "abc")


IDS = st.sampled_from("abcdefghij")
LISTS = st.lists(IDS, unique=True, max_size=10)


@given(old=LISTS, events=LISTS, new=LISTS, full=st.booleans())
def test_what_was_given_is_there_in_its_order_then_what_came_by_event(
    shared: Database, old: list[str], events: list[str], new: list[str], full: bool
) -> None:
    node = shared.node()
    replace(shared, node, old)
    shared.write(publish, node.id, [item(id_, "by event") for id_ in events])
    replace(shared, node, new, kept=events, full=full)
    after = listed(shared, node)
    fetched = [id_ for id_ in new if id_ not in events]
    assert after[len(after) - len(fetched) - len(events) :] == fetched + events
    assert set(after) - set(fetched) - set(events) <= set(old)
    if full:
        assert after == fetched + events
    assert shared.again(node).item_count == len(after)
    created = listed(shared, node, "created")
    assert sorted(created) == sorted(after)
    known = [id_ for id_ in [*old, *(id_ for id_ in events if id_ not in old)] if id_ in after]
    assert [id_ for id_ in created if id_ in known] == known
    assert replace(shared, node, after) == Delta(
        [id_ for id_ in after if id_ in events], [], shared.again(node).revision if events else 0
    )


@given(old=LISTS, events=LISTS, changed=st.sets(IDS), new=LISTS, window=st.booleans())
def test_where_overwritten_items_stay_in_their_place_nothing_moves_that_is_as_it_was(
    shared: Database, old: list[str], events: list[str], changed: set[str], new: list[str], window: bool
) -> None:
    node = shared.node(completeness="window" if window else "full")
    replace(shared, node, old, moves=False)
    shared.write(publish, node.id, [item(id_) for id_ in events])
    before = places(shared, node)
    replace(shared, node, [item(id_, f"{id_} unheard" if id_ in changed else "") for id_ in new], moves=False)
    after = places(shared, node)
    assert after.keys() == set(new)
    stayed = [id_ for id_ in after if id_ in before and id_ not in changed]
    assert all(after[id_] == before[id_] for id_ in stayed)
    assert all(after[id_] > after[other] for id_ in changed & before.keys() & after.keys() for other in stayed)

"""Removal by the service: tombstones."""

from __future__ import annotations

from pubsub_cached.store.items import items
from pubsub_cached.store.items.changes import any_unknown, since
from pubsub_cached.store.upkeep import maintenance
from tests.support.stored import publish, retract

from .conftest import Database
from .content import item, listed, tombstones


def test_a_retraction_leaves_a_tombstone_with_its_own_revision(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a"), item("b"), item("c")])
    before = db.again(node).revision
    delta = db.write(retract, node.id, ["c", "a"])
    assert (delta.changed, delta.removed, delta.revision) == ([], ["c", "a"], before + 2)
    assert tombstones(db, node) == {"c": before + 1, "a": before + 2}
    assert listed(db, node) == ["b"]
    after = db.again(node)
    assert (after.item_count, after.revision) == (1, before + 2)


def test_unknown_ids_are_not_said_to_be_removed(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a")])
    assert db.write(retract, node.id, ["x", "a", "a"]).removed == ["a"]
    before = db.again(node)
    assert not db.write(retract, node.id, ["x", "a"])
    assert db.again(node) == before


def test_what_another_node_has_is_unknown_to_this_one(db: Database) -> None:
    node, other = db.node(completeness="full"), db.node()
    db.write(publish, node.id, [item("a"), item("b")])
    db.write(publish, other.id, [item("x"), item("y")])
    db.write(retract, node.id, ["b"])
    db.write(retract, other.id, ["y"])
    assert not db.read(any_unknown, db.again(node), ["a", "b"])
    assert db.read(any_unknown, db.again(node), ["x"])
    assert db.read(any_unknown, db.again(node), ["y"])


def test_behind_a_window_only_ids_that_were_joined_into_one_are_strange(db: Database) -> None:
    node, other = db.node(completeness="window"), db.node()
    db.write(publish, node.id, [item("one"), item("two")])
    db.write(publish, other.id, [item("three")])
    assert not db.read(any_unknown, db.again(node), ["older", "three"])
    assert db.read(any_unknown, db.again(node), ["older", "threeone"])


def test_any_number_of_ids_may_be_looked_for_among_those_that_were_there(db: Database) -> None:
    node = db.node(completeness="full")
    db.write(publish, node.id, [item("a"), item("b")])
    db.write(retract, node.id, ["b"])
    known = ["a", "b"] * 35_000
    assert not db.read(any_unknown, db.again(node), known)
    assert db.read(any_unknown, db.again(node), [*known, "c"])


def test_erasing_leaves_a_tombstone_for_everything(db: Database) -> None:
    node = db.node(completeness="full")
    db.write(publish, node.id, [item(str(number)) for number in range(30)])
    before = db.again(node).revision
    delta = db.write(items.erase, node.id)
    assert delta.removed == [str(number) for number in range(30)]
    assert db.again(node).item_count == 0
    assert db.read(since, node.address, before) == ([], delta.removed, delta.revision, True)
    assert not db.write(items.erase, node.id)


def test_expired_tombstones_make_older_revisions_incomplete(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a"), item("b"), item("c")])
    start = db.again(node).revision
    first = db.write(retract, node.id, ["a"]).revision
    db.now += 1000
    db.write(retract, node.id, ["b"])
    assert db.write(maintenance.expire_tombstones, db.now) == 1
    assert not db.read(since, node.address, start).complete
    assert db.read(since, node.address, first) == ([], ["b"], db.again(node).revision, True)


def test_expired_tombstones_make_no_older_revision_complete_again(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a"), item("b"), item("c")])
    retracted = db.write(retract, node.id, ["a"]).revision
    db.write(items.drop, node.id)
    assert not db.read(since, node.address, retracted).complete
    db.now += 1000
    assert db.write(maintenance.expire_tombstones, db.now) == 1
    assert not db.read(since, node.address, retracted).complete

"""Local removal: not a deletion, and nothing may look as if it were."""

from __future__ import annotations

import pytest

from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.items import items
from pubsub_cached.store.items.changes import since
from pubsub_cached.store.rows import NodeRow
from pubsub_cached.store.transaction import Transaction
from tests.support.stored import publish, retract

from .conftest import Database
from .content import item, listed, tombstones


@pytest.fixture
def node(db: Database) -> NodeRow:
    node = db.node(completeness="full")
    for number in range(6):
        db.now += 1000
        db.write(publish, node.id, [item(str(number))])
    return db.again(node)


def dropped(tx: Transaction, node: NodeRow, **before: int) -> int:
    """How many items of a node went, of those before a time."""
    (count,) = items.drop_of_each(tx, [node.id], **before)
    return count


def test_everything(db: Database, node: NodeRow) -> None:
    db.write(items.drop, node.id)
    after = db.again(node)
    assert (after.item_count, after.completeness) == (0, "none")
    assert tombstones(db, node) == {}
    assert after.floor == after.revision == node.revision + 1


def test_older_revisions_are_incomplete_and_nothing_is_removed(db: Database, node: NodeRow) -> None:
    assert db.write(dropped, node, created_before=db.now - 2000) == 3
    assert listed(db, node) == ["3", "4", "5"]
    found = db.read(since, node.address, node.revision)
    assert (found.removed, found.complete) == ([], False)
    assert db.read(since, node.address, found.revision).complete


def test_the_oldest_end_leaves_a_window(db: Database, node: NodeRow) -> None:
    assert db.write(dropped, node, modified_before=db.now - 2000) == 3
    assert db.again(node).completeness == "window"


def test_a_hole_leaves_nothing_that_may_be_served(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [item("0", "new")])
    assert db.write(dropped, node, created_before=db.now - 4000) == 1
    assert listed(db, node) == ["1", "2", "3", "4", "5"]
    assert db.again(node).completeness == "none"


def test_conditions_are_joined(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [item("0", "new")])
    assert db.write(dropped, node, created_before=db.now - 3000, modified_before=db.now - 1000) == 1
    assert listed(db, node) == ["2", "3", "4", "5", "0"]


def test_nothing_that_fits_changes_nothing(db: Database, node: NodeRow) -> None:
    assert db.write(dropped, node, created_before=0) == 0
    assert db.again(node) == node


def test_eviction_keeps_the_newest_by_modification(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [item("0", "new")])
    assert db.write(items.evict, node.id, 3) == 3
    assert listed(db, node) == ["4", "5", "0"]
    after = db.again(node)
    assert (after.completeness, after.item_count, after.floor) == ("window", 3, after.revision)
    assert tombstones(db, node) == {}


def test_what_was_removed_here_is_looked_at_again_by_who_holds_results(db: Database, node: NodeRow) -> None:
    def touched(tx: Transaction) -> tuple[set[str], bool]:
        items.evict(tx, node.id, 4)
        return tx.touched.keys(), tx.touched.nodes[node.id].whole

    assert db.write(touched) == ({node.address.key("0"), node.address.key("1")}, False)


def test_eviction_below_the_limit_changes_nothing(db: Database, node: NodeRow) -> None:
    assert db.write(items.evict, node.id, 6) == 0
    assert db.again(node) == node


def test_a_node_that_may_not_be_served_stays_so(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a"), item("b")])
    db.write(items.evict, node.id, 1)
    assert db.again(node).completeness == "none"


def test_forgetting_takes_items_and_tombstones_along(db: Database, node: NodeRow) -> None:
    db.write(retract, node.id, ["0"])
    db.write(nodes.forget, node.id)
    assert db.read(nodes.find, node.address) is None
    assert db.rows("SELECT count(*) FROM item") == db.rows("SELECT count(*) FROM tombstone") == [(0,)]


def test_a_node_met_again_does_not_tell_of_what_came_before(db: Database, node: NodeRow) -> None:
    db.write(nodes.forget, node.id)
    db.write(nodes.ensure, node.address)
    assert not db.read(since, node.address, node.revision).complete

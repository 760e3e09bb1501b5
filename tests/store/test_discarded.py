"""Nodes that are no more and whose items are dropped later: nobody finds them, and they are in nobody's way."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from pubsub_cached.errors import NoSuchNode
from pubsub_cached.store.accounts import accounts, nodes, schedule
from pubsub_cached.store.items import items, parsing
from pubsub_cached.store.rows import NodeRow
from pubsub_cached.store.transaction import Transaction
from pubsub_cached.store.upkeep import check, maintenance
from tests.support.stored import publish, retract

from .conftest import ACCOUNT, Database
from .content import item, listed
from .searching import ids, parsed, served

Discard = Callable[[Transaction], object]


def removed(tx: Transaction) -> None:
    """An account that is there again at once."""
    accounts.remove(tx, ACCOUNT)
    accounts.ensure(tx, ACCOUNT)


def removed_for_good(tx: Transaction) -> None:
    """Of one that was removed with its cache kept, nothing is kept after a Reset."""
    accounts.remove(tx, ACCOUNT, keep_cache=True)
    maintenance.reset(tx)
    accounts.ensure(tx, ACCOUNT)


EVERY = pytest.mark.parametrize("discard", [removed, removed_for_good, maintenance.reset])


@pytest.fixture
def node(db: Database) -> NodeRow:
    """A node that could be found in every way there is."""
    row = served(db)
    db.write(publish, row.id, [parsed(str(number), {"title": "word"}) for number in range(4)])
    db.write(retract, row.id, ["3"])
    db.write(nodes.update, row.id, next_sync=1, analyser="blog", gone_at=1, subscribed=True)
    return db.again(row)


@EVERY
def test_nobody_finds_a_discarded_node(db: Database, node: NodeRow, discard: Discard) -> None:
    assert sorted(ids(db, "word")) == ["0", "1", "2"]
    unparsed = db.read(parsing.of_node, node.id)
    assert len(db.read(parsing.these, unparsed)) == 3
    db.write(discard)
    assert db.read(parsing.these, unparsed) == []
    assert ids(db, "word") == []
    assert db.read(nodes.find, node.address) is None
    assert db.read(nodes.by_id, node.id) is None
    assert db.read(schedule.due, (0, 0), db.now) == []
    assert db.read(schedule.largest_unread, 9) == db.read(schedule.subscribed) == []
    assert db.read(schedule.hidden_before, db.now) == []
    assert db.read(nodes.analysed, [""], 0, 9) == db.read(nodes.unmatched, [], [], 0, 9) == []
    assert db.write(nodes.demote, None, "") == []
    found = db.read(maintenance.statistics)
    assert (found["nodes"], found["items"], found["tombstones"]) == (0, 0, 0)
    assert db.read(check.miscounted) == []
    assert db.read(check.orphans) == 0


@EVERY
def test_who_holds_a_discarded_node_writes_to_none(db: Database, node: NodeRow, discard: Discard) -> None:
    db.write(discard)
    for write in (
        lambda tx: publish(tx, node.id, [item("late")]),
        lambda tx: nodes.update(tx, node.id, state="live"),
        lambda tx: items.replace(tx, node.id, [item("late")], full=True, moves=True),
    ):
        with pytest.raises(NoSuchNode):
            db.write(write)
    assert db.write(nodes.forget, node.id) is None
    assert db.write(items.evict, node.id, 1) == 0


@EVERY
def test_who_drops_items_of_many_nodes_leaves_out_what_was_discarded(
    db: Database, node: NodeRow, discard: Discard
) -> None:
    """As a Purge does that has begun before."""
    db.write(discard)
    again = db.write(nodes.ensure, node.address)
    db.write(publish, again.id, [item("new")])
    assert db.write(items.drop_of_each, [node.id, again.id]) == [0, 1]


@EVERY
def test_a_node_that_is_met_again_stays_while_the_one_before_is_dropped(
    db: Database, node: NodeRow, discard: Discard
) -> None:
    db.write(discard)
    again = db.write(nodes.ensure, node.address)
    assert again.id > node.id
    db.write(publish, again.id, [item("new")])
    while db.write(items.drop_discarded):
        pass
    assert listed(db, again) == ["new"]
    assert db.rows("SELECT count(*) FROM node") == db.rows("SELECT count(*) FROM item") == [(1,)]
    assert [row.jid for row in db.read(accounts.all)] == [ACCOUNT]
    assert db.rows("SELECT count(*) FROM account") == [(1,)]


def test_what_was_discarded_is_dropped_in_parts_however_large_a_node_is(db: Database) -> None:
    """Everybody else who writes waits for one of them at most."""
    for count in (1200, 0, 3):
        row = db.node()
        db.write(publish, row.id, [item(str(number)) for number in range(count)])
    db.write(maintenance.reset)
    left = [1203]
    while db.write(items.drop_discarded):
        left += db.rows("SELECT count(*) FROM item")[0]
    assert max(before - after for before, after in pairwise(left)) == 500
    assert left[-1] == 0
    assert not db.write(items.drop_discarded)

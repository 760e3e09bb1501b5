"""Flags: local marks that outlive what they mark."""

from __future__ import annotations

import pytest

from pubsub_cached.address import Address
from pubsub_cached.store.accounts import accounts, nodes
from pubsub_cached.store.items import items
from pubsub_cached.store.rows import ItemsQuery, NodeRow
from pubsub_cached.store.transaction import Transaction
from pubsub_cached.store.upkeep import maintenance
from tests.support.stored import publish, retract

from .conftest import ACCOUNT, Database
from .content import item, slice_of


@pytest.fixture
def node(db: Database) -> NodeRow:
    node = db.node()
    db.write(publish, node.id, [item("a"), item("b"), item("c")])
    db.write(items.set_flags, node.address, ["a", "b"], ["read", "starred"])
    return db.again(node)


def flags(db: Database, node: NodeRow) -> dict[str, list[str]]:
    found = db.read(slice_of, node.id, ItemsQuery(limit=100)).items
    return {record["id"]: record["flags"] for record in found}


def unread(db: Database, node: NodeRow) -> int:
    (count,) = db.read(nodes.unread, [node])
    return count


MARKED = {"a": ["read", "starred"], "b": ["read", "starred"], "c": []}


def test_setting_raises_revisions_in_order(db: Database, node: NodeRow) -> None:
    assert flags(db, node) == MARKED
    delta = db.write(items.set_flags, node.address, ["c", "a"], ["later"])
    assert (delta.changed, delta.revision) == (["c", "a"], node.revision + 2)
    assert db.again(node).revision == node.revision + 2


def test_what_is_set_already_changes_nothing(db: Database, node: NodeRow) -> None:
    assert not db.write(items.set_flags, node.address, ["a"], ["read"], ["later"])
    assert db.again(node) == node


def test_an_item_that_is_named_twice_changes_once_and_removing_wins(db: Database, node: NodeRow) -> None:
    delta = db.write(items.set_flags, node.address, ["c", "c"], ["later", "read"], ["read"])
    assert delta.changed == ["c"]
    assert flags(db, node)["c"] == ["later"]


def test_unread_counts_what_is_without_the_flag_read(db: Database, node: NodeRow) -> None:
    assert unread(db, node) == 1
    db.write(items.set_flags, node.address, ["a"], [], ["read"])
    assert unread(db, db.again(node)) == 2
    db.write(retract, node.id, ["b"])
    assert unread(db, db.again(node)) == 2


def test_they_are_those_of_one_item_of_one_node_as_one_account_sees_it(db: Database, node: NodeRow) -> None:
    account, service, name = node.address
    db.write(accounts.ensure, "bob@example.org")
    beside = [Address(account, service, "other"), Address(account, "other.example.org", name)]
    beside.append(Address("bob@example.org", service, name))
    for address in beside:
        other = db.write(nodes.ensure, address)
        db.write(items.set_flags, address, ["a", "b"], ["read"])
        db.write(publish, other.id, [item("a"), item("b"), item("z")])
    assert not db.write(items.set_flags, node.address, ["z"], ["read"])
    assert db.again(node) == node
    before = db.rows("SELECT account, service, node, item_id, flag FROM flag")
    stored = db.rows("SELECT node_id, item_id, flags, seen, revision FROM item")
    assert db.write(items.set_flags, node.address, ["a"], ["later"], ["read"]).changed == ["a"]
    after = db.rows("SELECT account, service, node, item_id, flag FROM flag")
    mine = (account, service, name, "a")
    assert set(before) - set(after) == {(*mine, "read")}
    assert set(after) - set(before) == {(*mine, "later")}
    ((row, id_, *_),) = set(db.rows("SELECT node_id, item_id, flags, seen, revision FROM item")) - set(stored)
    assert (row, id_) == (node.id, "a")
    assert flags(db, node) == MARKED | {"a": ["later", "starred"]}
    assert unread(db, db.again(node)) == 2
    for address in beside:
        assert flags(db, nodes.must(db.read(nodes.find, address))) == {"a": ["read"], "b": ["read"], "z": []}


def test_they_survive_an_overwrite(db: Database, node: NodeRow) -> None:
    db.write(publish, node.id, [item("a", "new")])
    assert flags(db, node) == MARKED


def test_they_survive_a_synchronisation(db: Database, node: NodeRow) -> None:
    db.write(lambda tx: items.replace(tx, node.id, [item("b", "new"), item("d")], full=True, moves=True))
    db.write(lambda tx: items.replace(tx, node.id, [item("a"), item("b"), item("c")], full=True, moves=True))
    assert flags(db, node) == MARKED


def test_they_survive_local_removal_of_the_items_and_of_the_node(db: Database, node: NodeRow) -> None:
    db.write(items.drop, node.id)
    db.write(nodes.forget, node.id)
    again = db.write(nodes.ensure, node.address)
    db.write(publish, again.id, [item("a"), item("b"), item("c")])
    assert flags(db, again) == MARKED
    assert unread(db, db.again(again)) == 1


def test_they_can_be_set_on_what_is_not_cached(db: Database, node: NodeRow) -> None:
    assert not db.write(items.set_flags, node.address, ["z"], ["read"])
    db.write(publish, node.id, [item("z")])
    assert flags(db, node)["z"] == ["read"]


def test_they_survive_an_account_removed_with_its_cache_kept(db: Database, node: NodeRow) -> None:
    assert db.write(accounts.remove, ACCOUNT, True)
    assert flags(db, node) == MARKED


def test_they_go_with_an_account_and_with_a_reset(db: Database, node: NodeRow) -> None:
    db.write(maintenance.reset)
    assert db.rows("SELECT count(*) FROM flag") == [(0,)]
    again = db.write(nodes.ensure, node.address)
    db.write(items.set_flags, again.address, ["a"], ["read"])
    db.write(accounts.remove, ACCOUNT)
    assert db.rows("SELECT count(*) FROM flag") == [(0,)]


def test_what_was_marked_is_looked_at_again_by_who_holds_results(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a"), item("b"), item("c")])

    def touched(tx: Transaction) -> set[str]:
        items.set_flags(tx, node.address, ["a", "b", "gone"], ["read"], ["liked"])
        return tx.touched.keys()

    assert db.write(touched) == {node.address.key("a"), node.address.key("b")}
    assert db.write(touched) == set()

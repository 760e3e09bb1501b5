"""Subscriptions that the daemon made: a row that goes leaves its own, and the next one at the address takes it."""

from __future__ import annotations

from typing import Any

import pytest

from pubsub_cached.address import Address
from pubsub_cached.store.accounts import accounts, nodes, subscriptions
from pubsub_cached.store.rows import NodeRow
from pubsub_cached.store.transaction import Transaction
from pubsub_cached.store.upkeep import maintenance

from .conftest import ACCOUNT, Database

OWN = {"state": "live", "subscribed": True, "own_subscription": True, "subid": "x1"}


def held(row: NodeRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("subscribed", "own_subscription", "subid")}


def forget(tx: Transaction, row: NodeRow) -> None:
    nodes.forget(tx, row.id)


def reset(tx: Transaction, row: NodeRow) -> None:
    maintenance.reset(tx)


GOING = pytest.mark.parametrize("goes", [forget, reset])


def test_that_of_a_node_that_is_kept_is_not_to_be_given_up(db: Database) -> None:
    node = db.node(**OWN)
    assert (db.read(subscriptions.in_vain, ACCOUNT), db.read(subscriptions.find, node.address)) == ([], None)


def test_that_of_one_that_nobody_keeps_is(db: Database) -> None:
    node = db.node(**OWN | {"state": "discovered"})
    assert db.read(subscriptions.in_vain, ACCOUNT) == [node.address]
    assert db.read(subscriptions.find, node.address) == "x1"
    assert db.read(subscriptions.in_vain, "other@example.org") == []


@GOING
def test_a_row_that_goes_leaves_it_until_it_has_ended(db: Database, goes: Any) -> None:
    node = db.node(**OWN)
    db.write(goes, node)
    assert db.read(subscriptions.in_vain, ACCOUNT) == [node.address]
    assert db.read(subscriptions.find, node.address) == "x1"
    db.write(subscriptions.ended, node.address)
    assert (db.read(subscriptions.in_vain, ACCOUNT), db.read(subscriptions.find, node.address)) == ([], None)


def test_that_of_an_account_that_went_is_not_that_of_the_next(db: Database) -> None:
    node = db.node(**OWN)
    db.write(accounts.remove, ACCOUNT)
    # SQLite gives the same id again.
    db.write(accounts.ensure, "other@example.org")
    db.write(subscriptions.leave, node)
    assert db.read(subscriptions.in_vain, "other@example.org") == []


@GOING
def test_what_somebody_else_made_is_not_left(db: Database, goes: Any) -> None:
    node = db.node(**OWN | {"own_subscription": False})
    db.write(goes, node)
    assert db.read(subscriptions.in_vain, ACCOUNT) == []


@GOING
def test_the_next_row_at_the_address_has_it(db: Database, goes: Any) -> None:
    node = db.node(**OWN)
    db.write(goes, node)
    row = db.write(nodes.ensure, node.address)
    assert held(row) == {name: OWN[name] for name in held(row)}
    assert db.read(subscriptions.in_vain, ACCOUNT) == []
    db.write(lambda tx: nodes.update(tx, row.id, own_subscription=False))
    db.write(goes, row)
    assert db.read(subscriptions.in_vain, ACCOUNT) == []


def test_one_without_an_id_is_left_too(db: Database) -> None:
    node = db.node(**OWN | {"subid": ""})
    db.write(forget, node)
    assert db.read(subscriptions.find, node.address) == ""


@pytest.mark.parametrize("keep_cache", [True, False])
def test_it_goes_with_the_account_unless_the_cache_is_kept(db: Database, keep_cache: bool) -> None:
    node = db.node(**OWN)
    db.write(forget, node)
    db.write(accounts.remove, ACCOUNT, keep_cache)
    db.write(accounts.ensure, ACCOUNT)
    assert db.read(subscriptions.in_vain, ACCOUNT) == ([node.address] if keep_cache else [])


def test_nothing_is_left_for_an_account_that_went_meanwhile(db: Database) -> None:
    node = db.node(**OWN)
    db.write(accounts.remove, ACCOUNT)
    db.write(subscriptions.leave, node)
    db.write(subscriptions.ended, node.address)
    assert db.rows("SELECT count(*) FROM subscription") == [(0,)]


@pytest.mark.parametrize("kept", [True, False])
def test_each_is_of_one_node_of_one_account(db: Database, address: Address, kept: bool) -> None:
    bob = address._replace(account="bob@example.org")
    db.write(accounts.ensure, bob.account)
    every = [bob, address._replace(node="other"), address, address._replace(service="other.example.org")]
    for number, each in enumerate(every):
        row = db.write(nodes.ensure, each)
        db.write(lambda tx, row=row, number=number: nodes.update(tx, row.id, **OWN | {"subid": f"x{number}"}))
        if kept:
            db.write(lambda tx, row=row: nodes.update(tx, row.id, state="discovered"))
        else:
            db.write(lambda tx, row=row: nodes.forget(tx, row.id))
    assert [db.read(subscriptions.find, each) for each in every] == ["x0", "x1", "x2", "x3"]
    assert db.read(subscriptions.find, address._replace(node="third")) is None
    assert sorted(db.read(subscriptions.in_vain, ACCOUNT)) == sorted(every[1:])
    assert db.read(subscriptions.in_vain, bob.account) == [bob]
    if not kept:
        db.write(subscriptions.ended, address)
        assert [db.read(subscriptions.find, each) for each in every] == ["x0", "x1", None, "x3"]
        assert [db.write(nodes.ensure, each).subid for each in every] == ["x0", "x1", "", "x3"]


def test_that_which_somebody_else_made_to_what_nobody_keeps_is_not_to_be_given_up(db: Database) -> None:
    node = db.node(**OWN | {"own_subscription": False, "state": "discovered"})
    assert (db.read(subscriptions.in_vain, ACCOUNT), db.read(subscriptions.find, node.address)) == ([], None)

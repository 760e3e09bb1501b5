"""Rows of nodes and accounts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pubsub_cached.address import Address
from pubsub_cached.errors import NoSuchAccount, NoSuchNode
from pubsub_cached.store.accounts import accounts, nodes, schedule
from pubsub_cached.store.items import items
from pubsub_cached.store.rows import KEPT, NodeRow, NodesQuery
from pubsub_cached.store.transaction import Transaction, committed_revision
from pubsub_cached.store.upkeep import maintenance
from tests.support.stored import publish, retract

from .conftest import ACCOUNT, Database
from .content import contents, item, tombstones


def update(db: Database, node: NodeRow, **columns: object) -> NodeRow:
    return db.write(lambda tx: nodes.update(tx, node.id, **columns))


def test_a_new_node_is_unknown(db: Database, address: Address) -> None:
    assert db.read(nodes.find, address) is None
    node = db.write(nodes.ensure, address)
    assert (node.address, node.state, node.completeness, node.item_count) == (address, "unknown", "none", 0)
    assert node.floor == node.revision == db.read(committed_revision)
    assert db.write(nodes.ensure, address) == node == db.read(nodes.find, address)


def test_a_node_is_found_by_the_whole_of_its_address(db: Database, address: Address) -> None:
    db.write(accounts.ensure, "bob@example.org")
    account, service, node = address
    beside = [Address("bob@example.org", service, node), Address(account, "bob@example.org", node)]
    rows = [db.write(nodes.ensure, each) for each in (*beside, Address(account, service, "other"), address)]
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert db.read(nodes.find, row.address) == row
        assert db.read(nodes.find_with_revision, row.address) == (row, rows[-1].revision)


def test_a_node_needs_its_account(db: Database, address: Address) -> None:
    with pytest.raises(NoSuchAccount, match="account bob@"):
        db.write(nodes.ensure, address._replace(account="bob@example.org"))


def test_what_a_client_can_see_has_a_revision(db: Database) -> None:
    node = db.node()
    after = update(db, node, state="live", subscribed=True, max_items=20, last_sync=5)
    assert after.revision == node.revision + 1
    assert (after.state, after.subscribed, after.max_items, after.last_sync) == ("live", True, 20, 5)
    assert update(db, node, state="live") == after
    assert update(db, node) == after


def test_bookkeeping_has_none(db: Database) -> None:
    node = db.node()
    after = update(db, node, validated_at=1, last_read=2, last_sync=3, next_sync=4, failures=6)
    assert after.revision == node.revision
    assert (after.validated_at, after.failures) == (1, 6)


@pytest.mark.parametrize("column", ["item_count", "floor", "revision", "id", "colour"])
def test_what_the_store_keeps_itself_can_not_be_set(db: Database, column: str) -> None:
    node = db.node()
    with pytest.raises(TypeError, match=column):
        update(db, node, **{column: 1})


def test_a_row_that_is_gone(db: Database) -> None:
    node = db.node()
    db.write(nodes.forget, node.id)
    assert db.read(nodes.by_id, node.id) is None
    with pytest.raises(NoSuchNode):
        update(db, node, state="live")
    with pytest.raises(NoSuchNode):
        db.write(publish, node.id, [item("a")])


@pytest.mark.parametrize("forget", [lambda tx, id_: nodes.forget(tx, id_), lambda tx, _: maintenance.reset(tx)])
def test_the_id_of_a_row_that_went_is_no_other_s(
    db: Database, address: Address, forget: Callable[[Transaction, int], object]
) -> None:
    """Whoever waited with it would write into a node of somebody else."""
    node = db.node()
    db.write(forget, node.id)
    assert db.write(nodes.ensure, address._replace(node="another")).id > node.id


def test_demotion_changes_those_that_events_kept_right_and_tells_which(db: Database) -> None:
    live, denied = db.node(state="live"), db.node(state="denied")
    polled, expiring = db.node(state="polled"), db.node(state="polled", item_expire=60)
    assert db.write(nodes.demote, "bob@example.org", "restart") == []
    assert db.write(nodes.demote, ACCOUNT, "restart") == [live.address, expiring.address]
    changed = [db.again(live), db.again(expiring)]
    assert [(row.state, row.reason) for row in changed] == [("stale", "restart")] * 2
    assert len({row.revision for row in changed} - {live.revision, expiring.revision}) == 2
    assert [db.again(polled), db.again(denied)] == [polled, denied]
    assert db.write(nodes.demote, None, "restart") == []


def test_listing_by_each_constraint(db: Database) -> None:
    first = db.node(state="live", type="blog", subtype="microblog", analyser="blog", subscribed=True)
    second = db.node(state="stale", type="event", subtype="event", analyser="event")
    for query in (
        NodesQuery(state="live"),
        NodesQuery(type="blog"),
        NodesQuery(subtype="microblog"),
        NodesQuery(analyser="blog"),
        NodesQuery(subscribed=True),
        NodesQuery(node_prefix=first.address.node),
        NodesQuery(limit=1),
    ):
        assert db.read(nodes.listing, query) == [first]
    for query in (NodesQuery(subscribed=False), NodesQuery(since=first.revision), NodesQuery(after_id=first.id)):
        assert db.read(nodes.listing, query) == [second]
    everything = NodesQuery(account=ACCOUNT, service="pubsub.example.org", since=0)
    assert db.read(nodes.listing, everything) == [first, second]
    assert db.read(nodes.listing, NodesQuery(since=2**64 - 1)) == []
    assert db.read(nodes.listing, NodesQuery(account="bob@example.org")) == []


def test_those_that_are_doubtful_are_listed_whatever_their_rows_say(db: Database) -> None:
    stale, live, doubtful = db.node(state="stale"), db.node(state="live"), db.node(state="live")
    assert db.read(nodes.listing, NodesQuery(state="stale")) == [stale]
    beside = db.write(nodes.ensure, doubtful.address._replace(service="other.example.org"))
    among = frozenset({doubtful.address})
    assert db.read(nodes.listing, NodesQuery(state="stale", doubtful=among)) == [stale, doubtful]
    assert db.read(nodes.listing, NodesQuery(doubtful=among)) == [stale, live, doubtful, beside]


@pytest.mark.parametrize(("prefix", "found"), [("urn:a", 2), ("URN:A", 0), ("urn:%", 0), ("urn:a_", 1)])
def test_a_prefix_is_literal(db: Database, address: Address, prefix: str, found: int) -> None:
    db.write(nodes.ensure, address._replace(node="urn:a_b"))
    db.write(nodes.ensure, address._replace(node="urn:acb"))
    assert len(db.read(nodes.listing, NodesQuery(node_prefix=prefix))) == found


def test_items_make_the_node_newer(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a")])
    assert db.read(nodes.listing, NodesQuery(since=node.revision)) == [db.again(node)]


def test_those_that_no_analyser_has_come_a_few_at_a_time(db: Database) -> None:
    alone, left = db.node(state="discovered"), db.node(state="live", analyser="left")
    asked = db.node(state="discovered", analyser="agent")
    db.node(state="live", analyser="agent")
    db.node(state="live", analyser="blog")
    db.node(state="gone")

    def page(after: int) -> list[NodeRow]:
        return db.read(nodes.unmatched, ["agent", "blog"], ["agent"], after, 2)

    assert page(0) == [alone, left]
    assert page(left.id) == [asked]
    assert page(asked.id) == []


def test_what_is_due_comes_a_few_at_a_time_in_the_order_of_its_time(db: Database) -> None:
    same = [db.node(state="stale", next_sync=5).address for _ in range(schedule.PAGE)]
    first, last = db.node(state="polled", next_sync=1).address, db.node(state="live", next_sync=9).address
    for state, at in (("stale", None), ("gone", 5), ("live", 11)):
        db.node(state=state, next_sync=at)
    found, since = list[schedule.Entry](), (0, 0)
    while page := db.read(schedule.due, since, 10):
        assert len(page) <= schedule.PAGE
        found += page
        since = page[-1].next_sync or 0, page[-1].id
    assert [entry.address for entry in found] == [first, *same, last]
    assert [entry.address for entry in db.read(schedule.due, (6, 0), 10)] == [last]


def test_nodes_of_an_account_come_a_few_at_a_time(db: Database) -> None:
    mine = [db.node(state="stale").address for _ in range(schedule.PAGE + 1)]
    db.node(state="gone")
    page = db.read(schedule.of_account, ACCOUNT, KEPT)
    rest = db.read(schedule.of_account, ACCOUNT, KEPT, page[-1].id)
    assert [entry.address for entry in page + rest] == mine
    assert len(rest) == 1


def test_postponed_nodes_are_due_later_and_tell_nobody(db: Database) -> None:
    node, other = db.node(state="live"), db.node(state="live", next_sync=3)
    db.write(lambda tx: nodes.postpone(tx, [(node.id, 7), (other.id + 1, 8)]))
    assert (db.again(node).next_sync, db.again(node).revision) == (7, node.revision)
    assert db.again(other) == other


def test_an_account_is_made_and_changed(db: Database) -> None:
    made = db.write(lambda tx: accounts.ensure(tx, "bob@example.org", origin="config", host="127.0.0.1", port=5222))
    assert (made.jid, made.origin, made.enabled, made.port, made.tls) == (
        "bob@example.org", "config", True, 5222, "starttls",
    )  # fmt: skip
    changed = db.write(lambda tx: accounts.ensure(tx, "bob@example.org", enabled=False))
    assert (changed.id, changed.enabled, changed.port) == (made.id, False, 0)
    assert [row.jid for row in db.read(accounts.all)] == [ACCOUNT, "bob@example.org"]
    assert db.read(accounts.find, "bob@example.org") == changed
    # What was written again comes later in a table of PostgreSQL.
    db.write(accounts.enable, "bob@example.org", True)
    db.write(accounts.enable, ACCOUNT, False)
    assert [(row.jid, row.enabled) for row in db.read(accounts.all)] == [(ACCOUNT, False), ("bob@example.org", True)]


@pytest.mark.parametrize("jid", [ACCOUNT, "nobody@example.org"])
def test_what_is_no_account_any_more_does_not_begin_to_connect(db: Database, jid: str) -> None:
    db.write(accounts.remove, ACCOUNT, True)
    with pytest.raises(NoSuchAccount, match=jid):
        db.write(accounts.enable, jid, True)


def test_an_account_goes_with_everything_of_it(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a"), item("b")])
    db.write(retract, node.id, ["a"])
    assert db.write(accounts.remove, ACCOUNT)
    while db.write(items.drop_discarded):
        pass
    for table in ("account", "node", "item", "tombstone"):
        assert db.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    assert not db.write(accounts.remove, ACCOUNT)


@pytest.mark.parametrize("keep_cache", [False, True])
def test_an_account_that_goes_takes_nothing_of_another_along(db: Database, address: Address, keep_cache: bool) -> None:
    bob = "bob@example.org"
    db.write(accounts.ensure, bob)
    for account in (ACCOUNT, bob):
        node = db.write(nodes.ensure, address._replace(account=account))
        db.write(publish, node.id, [item("a"), item("b")])
        db.write(retract, node.id, ["b"])
        db.write(items.set_flags, node.address, ["a"], ["read"])
    before = db.again(node)
    db.write(accounts.remove, ACCOUNT, keep_cache)
    db.write(accounts.enable, bob, False)
    assert [(row.jid, row.enabled) for row in db.read(accounts.all)] == [(bob, False)]
    while db.write(items.drop_discarded):
        pass
    assert db.read(nodes.listing, NodesQuery()) == [before]
    assert contents(db, node) == {"a": "<entry>a</entry>"}
    assert tombstones(db, node).keys() == {"b"}
    assert db.rows("SELECT item_id, flag FROM flag WHERE account = ?", bob) == [("a", "read")]
    kept = 1 if keep_cache else 0
    assert db.rows("SELECT count(*) FROM flag WHERE account = ?", ACCOUNT) == [(kept,)]
    db.write(accounts.ensure, ACCOUNT)
    assert {row.jid: row.enabled for row in db.read(accounts.all)} == {ACCOUNT: True, bob: False}


def test_an_account_removed_with_its_cache_kept_comes_back_to_it(db: Database) -> None:
    node = db.node()
    assert db.write(accounts.remove, ACCOUNT, True)
    assert db.read(accounts.all) == []
    assert db.read(accounts.find, ACCOUNT) is None
    assert db.read(nodes.listing, NodesQuery()) == []
    assert not db.write(accounts.remove, ACCOUNT, True)
    db.write(accounts.ensure, ACCOUNT)
    assert db.read(nodes.listing, NodesQuery()) == [node]


@pytest.mark.parametrize("keep_cache", [False, True])
def test_who_shows_what_was_found_looks_again_once_an_account_goes_or_is_there(db: Database, keep_cache: bool) -> None:
    def everything(change: Callable[[Transaction], object]) -> bool:
        return db.write(lambda tx: (change(tx), tx.touched.everything)[1])

    assert everything(lambda tx: accounts.remove(tx, ACCOUNT, keep_cache))
    assert everything(lambda tx: accounts.ensure(tx, ACCOUNT))
    assert not everything(lambda tx: accounts.enable(tx, ACCOUNT, False))


def test_a_reset_leaves_the_accounts(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a"), item("b")])
    db.write(retract, node.id, ["a"])
    before = db.read(committed_revision)
    assert len(db.write(maintenance.reset)) == 1
    found = db.read(maintenance.statistics)
    assert {name: found[name] for name in ("accounts", "nodes", "items", "tombstones", "flags")} == {
        "accounts": 1, "nodes": 0, "items": 0, "tombstones": 0, "flags": 0,
    }  # fmt: skip
    assert found["revision"] > before


def test_statistics_count(db: Database) -> None:
    node = db.node()
    empty = db.read(maintenance.statistics)["bytes"]
    db.write(publish, node.id, [item(str(number), "x" * 1000) for number in range(100)])
    db.write(retract, node.id, ["0"])
    db.write(items.set_flags, node.address, ["1"], ["read", "starred"])
    found = db.read(maintenance.statistics)
    assert (found["accounts"], found["nodes"], found["items"], found["tombstones"], found["flags"]) == (1, 1, 99, 1, 2)
    assert found["bytes"] > empty + 99_000
    assert found["revision"] == db.read(committed_revision)

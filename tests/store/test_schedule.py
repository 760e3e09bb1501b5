"""Nodes by what is to be done about them and when: those that it is for, of the accounts that there are, and no others.

That of several daemons each looks after its own is in ``test_daemons``.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pubsub_cached.address import Address
from pubsub_cached.store.accounts import accounts, nodes, schedule
from pubsub_cached.store.accounts.schedule import Entry
from pubsub_cached.store.rows import NodeRow
from tests.support.stored import publish

from .conftest import ACCOUNT, Database
from .content import item

BOB = "bob@example.org"
SERVICE = "pubsub.example.org"


@pytest.fixture(autouse=True)
def others(db: Database) -> None:
    """An account beside, and one for ``removed``."""
    db.write(accounts.ensure, BOB)
    db.write(accounts.ensure, "carol@example.org")


def made(db: Database, account: str = ACCOUNT, service: str = SERVICE, **columns: object) -> NodeRow:
    """A new node."""
    count = db.rows("SELECT count(*) FROM node")[0][0]
    row = db.write(nodes.ensure, Address(account, service, f"node-{count}"))
    return db.write(lambda tx: nodes.update(tx, row.id, **columns))


def removed(db: Database, **columns: object) -> NodeRow:
    """A node of an account that was removed with its cache kept."""
    row = made(db, "carol@example.org", **columns)
    db.write(accounts.remove, "carol@example.org", True)
    return row


def rows(entries: Sequence[Entry]) -> list[int]:
    return [entry.id for entry in entries]


def test_what_is_subscribed_to_is_asked_for_by_account_and_service(db: Database) -> None:
    followed = {"state": "live", "subscribed": True}
    live, doubtful = made(db, **followed), made(db, **followed | {"state": "stale"})
    elsewhere, bobs = made(db, service="other.example.org", **followed), made(db, BOB, **followed)
    third = made(db, BOB, "third.example.org", **followed | {"state": "stale"})
    left = made(db, state="live")
    made(db, BOB, "other.example.org", state="live")
    removed(db, **followed)
    assert rows(db.read(schedule.subscribed)) == [live.id, doubtful.id, elsewhere.id, bobs.id, third.id]
    found = {(ACCOUNT, SERVICE), (ACCOUNT, "other.example.org"), (BOB, SERVICE)}
    assert sorted(db.read(schedule.followed_services)) == sorted(found)
    assert sorted(db.read(schedule.subscribed_services)) == sorted(found | {(BOB, "third.example.org")})
    assert rows(db.read(schedule.followed, ACCOUNT, SERVICE)) == [live.id]
    assert rows(db.read(schedule.at_service, ACCOUNT, SERVICE, {"live"})) == [live.id, left.id]
    assert rows(db.read(schedule.at_service, BOB, SERVICE, {"live", "stale"})) == [bobs.id]


def test_the_next_time_is_the_first_that_is_yet_to_come(db: Database) -> None:
    removed(db, state="live", next_sync=11)
    assert db.read(schedule.next_due, 10) is None
    made(db, state="live", next_sync=10)
    later, next_ = made(db, state="live", next_sync=15), made(db, BOB, state="live", next_sync=12)
    assert db.read(schedule.next_due, 10) == 12
    assert db.read(schedule.next_due, 12) == 15
    assert rows(db.read(schedule.later_than, 10)) == [later.id, next_.id]
    assert rows(db.read(schedule.later_than, 12)) == [later.id]


def test_what_comes_at_one_time_comes_by_its_row_and_nothing_is_left_out(db: Database) -> None:
    third = made(db, state="live", next_sync=3)
    first, second = (made(db, BOB, state="polled", next_sync=2) for _ in range(2))
    removed(db, state="live", next_sync=2)
    made(db, state="gone", next_sync=2)
    made(db, state="live", next_sync=4)
    # What was written again comes later in a table of PostgreSQL.
    db.write(lambda tx: nodes.update(tx, first.id, failures=1))
    due = [first.id, second.id, third.id]
    assert rows(db.read(schedule.due, (0, 0), 3)) == due
    for number, row in enumerate((first, second, third), 1):
        assert rows(db.read(schedule.due, (row.next_sync, row.id), 3)) == due[number:]
    entry = db.read(schedule.due, (0, 0), 3)[0]
    assert entry == Entry(first.id, first.address, "polled", None, 0, "", 2)


def test_an_item_gets_too_old_so_long_after_it_was_modified(db: Database) -> None:
    node, endless, beside = made(db, item_expire=60), made(db), made(db, item_expire=60)
    start = db.now
    db.write(publish, beside.id, [item("early")])
    for name in ("a", "b"):
        db.now += 1000
        for row in (node, endless):
            db.write(publish, row.id, [item(name)])
    db.now += 1
    db.write(publish, beside.id, [item("late")])
    assert db.read(schedule.next_expiry, node, start) == start + 61_000
    assert db.read(schedule.next_expiry, node, start + 61_000) == start + 62_000
    assert db.read(schedule.next_expiry, node, start + 62_000) is None
    assert db.read(schedule.next_expiry, endless, start) is None


def test_what_nobody_has_read_for_longest_comes_first_and_the_largest_of_those(db: Database) -> None:
    sizes = ((5, 2), (None, 2), (None, 3), (1, 2), (None, 1))
    every = [removed(db, last_read=None)] + [made(db, last_read=last_read) for last_read, _ in sizes]
    for row, count in zip(every, (4, *(count for _, count in sizes)), strict=True):
        db.write(publish, row.id, [item(str(number)) for number in range(count)])
    order = [every[number].id for number in (0, 3, 2, 4, 1)]
    assert rows(db.read(schedule.largest_unread, 9)) == order
    assert rows(db.read(schedule.largest_unread, 2)) == order[:2]


def test_what_was_not_read_since_is_of_the_analysers_and_read_once(db: Database) -> None:
    wanted = {"analyser": "agent", "state": "live", "last_read": 4}
    found = made(db, **wanted)
    for other in ({"analyser": "blog"}, {"state": "denied"}, {"last_read": 5}, {"last_read": None}, {"pinned": True}):
        made(db, **wanted | other)
    removed(db, **wanted)
    assert rows(db.read(schedule.unread_since, ["agent"], 5)) == [found.id]


def test_what_is_hidden_for_long_goes_where_it_still_holds_something(db: Database) -> None:
    gone, denied = made(db, state="gone", gone_at=4), made(db, state="denied", gone_at=4)
    apart = removed(db, state="gone", gone_at=4)
    live = made(db, state="live", gone_at=4)
    for row in (denied, live):
        db.write(publish, row.id, [item("a")])
    made(db, state="denied", gone_at=4)
    made(db, state="gone", gone_at=5)
    assert rows(db.read(schedule.hidden_before, 5)) == [gone.id, denied.id, apart.id]


def test_what_was_read_last_comes_first(db: Database) -> None:
    never, early, late = (made(db, state="live", next_sync=9, last_read=at) for at in (None, 1, 2))
    assert rows(db.read(schedule.later_than, 1)) == [late.id, early.id, never.id]


def test_nodes_of_one_account_in_the_order_of_their_rows(db: Database) -> None:
    states = frozenset({"live", "stale"})
    first, second = made(db, state="stale"), made(db, state="live")
    made(db, BOB, state="live")
    made(db, state="gone")
    assert rows(db.read(schedule.of_account, ACCOUNT, states)) == [first.id, second.id]
    assert rows(db.read(schedule.of_account, ACCOUNT, states, first.id)) == [second.id]

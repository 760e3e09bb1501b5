"""The outbox in the database."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pubsub_cached.address import Address
from pubsub_cached.errors import NoSuchAccount
from pubsub_cached.store.accounts import accounts, outbox
from pubsub_cached.store.accounts.outbox import Entry
from pubsub_cached.store.upkeep import maintenance

from .conftest import ACCOUNT, Database

BLOG = Address(ACCOUNT, "pubsub.example.org", "blog")


def entry(number: int, **values: object) -> Entry:
    made = Entry(address=BLOG, action="publish", items={f"i{number}": None}, path=f"/job/{number}", queued_at=number)
    return msgspec.structs.replace(made, **values)


def test_entries_come_back_as_they_were_in_their_order(db: Database) -> None:
    first = entry(1, payload="<x xmlns='urn:x'/>", options={"pubsub#access_model": ["open"], "pubsub#a": []})
    second = entry(2, action="retract", items={"a": "", "b": "digest", "c": None}, notify=False)
    stored = [db.write(outbox.add, each) for each in (first, second)]
    assert db.read(outbox.all) == stored
    assert [msgspec.structs.replace(each, id=0) for each in stored] == [first, second]


def test_an_attempt_is_written_down(db: Database) -> None:
    stored = db.write(outbox.add, entry(1))
    tried = msgspec.structs.replace(stored, attempts=3, items={"i1": "digest"})
    db.write(outbox.tried, tried)
    assert db.read(outbox.all) == [tried]


def test_what_is_done_with_is_gone(db: Database) -> None:
    stored = [db.write(outbox.add, entry(number)) for number in range(3)]
    db.write(outbox.remove, stored[1])
    db.write(outbox.remove, stored[1])
    assert db.read(outbox.all) == [stored[0], stored[2]]


def test_the_next_of_each_item_goes_on_from_what_an_entry_leaves(db: Database) -> None:
    other = "other@example.org"
    db.write(accounts.ensure, other)
    elsewhere = BLOG._replace(node="other"), BLOG._replace(service="other.example.org"), BLOG._replace(account=other)
    before, leaving, *apart, behind, further = [
        db.write(outbox.add, each)
        for each in (
            entry(1, items={"a": "old"}),
            entry(2, items={"a": "new", "b": None, "d": ""}),
            *(entry(number, address=address, items={"a": "old"}) for number, address in enumerate(elsewhere, 3)),
            entry(6, items={"a": "old", "b": "found", "c": "old"}),
            entry(7, items={"a": "old", "d": "old"}),
        )
    ]
    db.write(outbox.remove, leaving, True)
    left = msgspec.structs.replace(behind, items={"a": "new", "b": "found", "c": "old"})
    last = msgspec.structs.replace(further, items={"a": "old", "d": ""})
    assert db.read(outbox.all) == [before, *apart, left, last]


def test_what_waits_goes_on_from_nothing_that_was_not_sent(db: Database) -> None:
    leaving, behind = [db.write(outbox.add, entry(number, items={"a": f"{number}"})) for number in (1, 2)]
    db.write(outbox.remove, leaving)
    assert db.read(outbox.all) == [behind]


def test_everything_is_in_the_order_of_its_queuing_whoever_queued_it_and_whatever_was_tried(db: Database) -> None:
    other = "other@example.org"
    db.write(accounts.ensure, other)
    every = [
        db.write(outbox.add, entry(number, address=BLOG._replace(account=account)))
        for number, account in enumerate((other, ACCOUNT, other, ACCOUNT))
    ]
    for each in every[:2]:
        db.write(outbox.tried, each)
    assert db.read(outbox.all) == every


def test_of_an_account_for_which_nothing_is_to_be_sent_all_goes_and_of_no_other(db: Database) -> None:
    other = BLOG._replace(account="other@example.org")
    db.write(accounts.ensure, other.account)
    _, kept, _ = [db.write(outbox.add, entry(number, address=at)) for number, at in enumerate((BLOG, other, BLOG))]
    db.write(outbox.remove_all, ACCOUNT)
    assert db.read(outbox.all) == [kept]


def test_a_reset_forgets_what_is_cached_and_not_what_is_to_be_sent(db: Database) -> None:
    stored = db.write(outbox.add, entry(1))
    db.write(maintenance.reset)
    assert db.read(outbox.all) == [stored]


def test_an_account_takes_its_entries_with_it(db: Database) -> None:
    db.write(outbox.add, entry(1))
    db.write(accounts.remove, ACCOUNT)
    assert db.read(outbox.all) == []
    assert db.rows("SELECT count(*) FROM outbox") == [(0,)]
    with pytest.raises(NoSuchAccount):
        db.write(outbox.add, entry(2))


def test_nothing_is_to_be_sent_for_an_account_of_which_the_cache_alone_is_left(db: Database) -> None:
    db.write(accounts.remove, ACCOUNT, True)
    with pytest.raises(NoSuchAccount):
        db.write(outbox.add, entry(1))


@pytest.mark.parametrize("change", [outbox.tried, outbox.remove])
def test_an_entry_that_went_with_its_account_is_not_the_next_one(db: Database, change: Any) -> None:
    went = db.write(outbox.add, entry(1))
    db.write(accounts.remove, ACCOUNT)
    db.write(accounts.ensure, "other@example.org")
    # SQLite gives the same id again.
    other = db.write(outbox.add, entry(2, address=BLOG._replace(account="other@example.org")))
    db.write(change, msgspec.structs.replace(went, attempts=1))
    assert db.read(outbox.all) == [other]

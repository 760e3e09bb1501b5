"""Items that wait for a parser: which there are, how many, and what may be written of them once they were parsed."""

from __future__ import annotations

import pytest

from pubsub_cached.store.accounts import accounts
from pubsub_cached.store.items import parsing
from pubsub_cached.store.items.outline import ids_of
from pubsub_cached.store.rows import NodeRow, StoredItem
from tests.support.stored import publish, retract

from .conftest import Database
from .content import item, revisions
from .searching import served

BOB = "bob@example.org"
RAW = StoredItem("raw", payload="<x/>", deferred=True)
# Of these something was made, or there is nothing to make it of.
SETTLED = (
    StoredItem("parsed", payload="<x/>", data="{}"),
    StoredItem("failed", payload="<x/>", errors=("It is no good.",)),
    StoredItem("large", errors=("It was not stored.",)),
)


def analysed(db: Database, name: str, version: int, *, analyser: str = "mine", account: str = "") -> NodeRow:
    """A node of an analyser, with two items that wait and three that do not."""
    of = {"account": account} if account else {}
    node = served(db, name, **of, analyser=analyser, analyser_version=version)
    db.write(publish, node.id, [RAW, *SETTLED, StoredItem("second", payload="<x/>", deferred=True)])
    return node


@pytest.fixture
def several(db: Database) -> tuple[NodeRow, NodeRow]:
    """A node of version 2 and one of version 1, beside others' and those of an account that left its cache behind."""
    db.write(accounts.ensure, BOB)
    now, before = analysed(db, "now", 2), analysed(db, "before", 1)
    for version in (1, 2):
        analysed(db, f"other{version}", version, analyser="other")
        analysed(db, f"gone{version}", version, account=BOB)
    db.write(accounts.remove, BOB, True)
    return now, before


def waiting(db: Database, skip: dict[int, str] | None = None, limit: int | None = None) -> list[tuple[int, str]]:
    rows = db.read(parsing.unparsed, "mine", skip, limit)
    by_row = {stored.row: (stored.node_id, stored.id) for stored in db.read(parsing.these, rows)}
    return [by_row[row] for row in rows]


def test_what_waits_is_of_the_analysers_nodes_and_of_the_accounts_that_are_run(
    db: Database, several: tuple[NodeRow, NodeRow]
) -> None:
    now, before = several
    expected = [(now.id, "raw"), (now.id, "second"), (before.id, "raw"), (before.id, "second")]
    assert waiting(db) == expected
    assert waiting(db, limit=3) == expected[:3]
    # Of a node of an earlier version all is parsed again, of the others what nothing was made of.
    assert db.read(parsing.behind, "mine", 2) == [before.id]
    assert db.read(parsing.pending, "mine", 2) == 5 + 2
    assert db.read(parsing.pending, "mine", 1) == 4
    assert db.read(parsing.pending, "mine", 3) == 10
    assert db.read(parsing.pending, "none", 2) == 0


def test_what_is_left_out_is_so_while_it_has_the_content_that_it_had(
    db: Database, several: tuple[NodeRow, NodeRow]
) -> None:
    now, _ = several
    first, *others = db.read(parsing.unparsed, "mine")
    (stored,) = db.read(parsing.these, [first])
    assert db.read(parsing.unparsed, "mine", {first: stored.hash}) == others
    assert db.read(parsing.unparsed, "mine", {first: "other", others[0]: "other"}) == [first, *others]
    db.write(publish, now.id, [StoredItem(stored.id, payload="<x>another</x>", deferred=True)])
    assert first in db.read(parsing.unparsed, "mine", {first: stored.hash})


def test_what_is_parsed_again_has_content_and_is_of_its_node_and_time(db: Database) -> None:
    node, other = served(db), served(db, "other")
    db.write(publish, node.id, [item("a"), item("b"), StoredItem("large", errors=("It was not stored.",))])
    db.write(publish, other.id, [item("a")])
    db.now += 1000
    db.write(publish, node.id, [item("a", "again"), item("c")])

    def ids(*before: int | None) -> list[str]:
        return sorted(stored.id for stored in db.read(parsing.these, db.read(parsing.of_node, node.id, *before)))

    assert ids() == ["a", "b", "c"]
    assert ids(db.now) == ["a", "b"]
    assert ids(None, db.now) == ["b"]
    assert ids(db.now + 1, db.now + 1) == ["a", "b", "c"]
    assert ids(db.now - 1000) == ids(None, db.now - 1000) == []


def test_what_was_made_of_an_item_is_written_while_its_content_and_its_node_are_what_they_were(db: Database) -> None:
    node = served(db, analyser="mine", type="thing", subtype="small")
    db.write(publish, node.id, [item("same"), item("other"), item("gone"), item("last")])
    rows = db.read(parsing.of_node, node.id)
    parsed = [
        (one.hash, StoredItem(one.id, payload=one.payload, data='{"n":1}')) for one in db.read(parsing.these, rows)
    ]
    db.write(publish, node.id, [item("other", "something else")])
    db.write(retract, node.id, ["gone"])
    before, order = revisions(db, node), db.read(ids_of, node.id)
    for of in (("another", "thing", "small"), ("mine", "", "small"), ("mine", "thing", "")):
        assert not db.write(parsing.write, node.id, parsed, *of)
    assert revisions(db, node) == before
    delta = db.write(parsing.write, node.id, parsed, "mine", "thing", "small")
    assert sorted(delta.changed) == ["last", "same"]
    assert delta.removed == []
    assert db.read(ids_of, node.id) == order

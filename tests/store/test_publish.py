"""Publishing: new items, overwrites, the same again, content that is not known."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.clock import clock
from pubsub_cached.store import migrate
from pubsub_cached.store.accounts import accounts, nodes
from pubsub_cached.store.items import items
from pubsub_cached.store.rows import ItemsQuery, NodeRow, StoredItem, digest
from pubsub_cached.store.transaction import Transaction
from tests.support.stored import publish, retract

from .conftest import ACCOUNT, Database, url_of
from .content import contents, item, listed, revisions, slice_of, tombstones


def test_every_new_item_has_a_revision_of_its_own_and_the_node_that_of_the_last(db: Database) -> None:
    node = db.node()
    delta = db.write(publish, node.id, [item("a"), item("b"), item("c")])
    assert delta.changed == ["a", "b", "c"]
    assert delta.removed == []
    given = revisions(db, node)
    assert given == {"a": node.revision + 1, "b": node.revision + 2, "c": node.revision + 3}
    after = db.again(node)
    assert (after.revision, after.item_count) == (delta.revision, 3)
    assert delta.revision == given["c"]


def test_an_overwrite_changes_content_and_modification_and_keeps_creation(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a"), item("b")])
    created = db.now
    db.now += 60_000
    delta = db.write(publish, node.id, [item("a", "new")])
    assert delta.changed == ["a"]
    assert contents(db, node)["a"] == "<entry>new</entry>"
    record = db.read(slice_of, node.id, ItemsQuery(ids=("a",))).items[0]
    assert (record["created"], record["modified"]) == (created, db.now)
    assert listed(db, node, "modified") == ["b", "a"]
    assert listed(db, node, "created") == ["a", "b"]
    assert db.again(node).item_count == 2


def test_the_same_content_moves_without_a_revision(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a"), item("b")])
    before, row = revisions(db, node), db.again(node)
    db.now += 60_000
    delta = db.write(publish, node.id, [item("a")])
    assert not delta
    assert delta.revision == 0
    assert revisions(db, node) == before
    assert db.again(node) == row
    assert listed(db, node) == ["b", "a"]
    assert db.read(slice_of, node.id, ItemsQuery(ids=("a",))).items[0]["modified"] == db.now - 60_000


def test_the_newest_item_published_again_writes_nothing(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a"), item("b")])
    before = db.rows("SELECT * FROM item")
    db.write(publish, node.id, [item("b")])
    assert db.rows("SELECT * FROM item") == before


def test_the_same_payload_by_another_publisher_is_a_change(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a", publisher="alice@example.org")])
    assert db.write(publish, node.id, [item("a", publisher="mallory@example.org")]).changed == ["a"]


def test_the_newest_item_of_a_node_is_so_whatever_others_have(db: Database) -> None:
    node, other = db.node(), db.node()
    db.write(publish, node.id, [item("a")])
    db.write(publish, other.id, [item("b")])
    before = db.rows("SELECT * FROM item")
    assert not db.write(_follow, node, [item("a")], None).again
    assert db.rows("SELECT * FROM item") == before


def test_what_is_parsed_later_stays_as_it_was_while_its_content_is_the_same(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a", data='{"title": "A"}', type="blog"), item("b")])
    assert not db.write(publish, node.id, [item("a", deferred=True)])
    assert listed(db, node) == ["b", "a"]
    assert db.read(slice_of, node.id, ItemsQuery(ids=("a",))).items[0]["data"] == '{"title": "A"}'
    assert db.write(publish, node.id, [item("a", "new", deferred=True)]).changed == ["a"]
    assert "data" not in db.read(slice_of, node.id, ItemsQuery(ids=("a",))).items[0]


def test_what_is_parsed_later_is_stored_where_it_was_too_large_before(db: Database) -> None:
    node = db.node()
    large = item("a")
    left_out = StoredItem(id="a", errors=("The payload is too large.",), hash=large.hash)
    db.write(publish, node.id, [left_out])
    assert db.write(publish, node.id, [item("a", deferred=True)]).changed == ["a"]
    assert contents(db, node)["a"] == large.payload


def test_a_better_parser_is_a_change_without_a_modification(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("b")])
    db.write(publish, node.id, [item("a")])
    stored = db.now
    other = db.read(slice_of, node.id, ItemsQuery(ids=("b",))).items
    db.now += 60_000
    delta = db.write(publish, node.id, [item("a", data='{"title": "A"}', type="blog")])
    assert delta.changed == ["a"]
    record = db.read(slice_of, node.id, ItemsQuery()).items[0]
    assert (record["data"], record["type"], record["modified"]) == ('{"title": "A"}', "blog", stored)
    assert record["payload"] == "<entry>a</entry>"
    assert db.read(slice_of, node.id, ItemsQuery(ids=("b",))).items == other


def test_an_item_without_payload_never_replaces_content(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a", data="{}", type="blog")])
    before = db.read(slice_of, node.id, ItemsQuery()).items
    assert not db.write(publish, node.id, [StoredItem("a")])
    assert db.read(slice_of, node.id, ItemsQuery()).items == before


def test_an_item_that_was_never_seen_with_a_payload_is_stored_and_filled_later(db: Database) -> None:
    node = db.node()
    assert db.write(publish, node.id, [StoredItem("a")]).changed == ["a"]
    assert "payload" not in db.read(slice_of, node.id, ItemsQuery()).items[0]
    assert db.write(publish, node.id, [item("a")]).changed == ["a"]
    assert contents(db, node) == {"a": "<entry>a</entry>"}


def test_content_too_large_to_keep_replaces_what_is_out_of_date(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a")])
    large = StoredItem("a", hash=digest("<entry>much</entry>", ""))
    assert db.write(publish, node.id, [large]).changed == ["a"]
    assert contents(db, node) == {"a": ""}
    assert not db.write(publish, node.id, [large])


def test_of_an_id_that_comes_twice_the_last_counts(db: Database) -> None:
    node = db.node()
    delta = db.write(publish, node.id, [item("a", "one"), item("b"), item("a", "two")])
    assert delta.changed == ["b", "a"]
    assert contents(db, node)["a"] == "<entry>two</entry>"
    assert db.again(node).item_count == 2


def test_a_published_item_loses_its_tombstone(db: Database) -> None:
    node = db.node()
    other = db.node()
    for each in (node, other):
        db.write(publish, each.id, [item("a"), item("b")])
        db.write(retract, each.id, ["a", "b"])
    db.write(publish, node.id, [item("a")])
    assert tombstones(db, node).keys() == {"b"}
    assert tombstones(db, other).keys() == {"a", "b"}
    assert db.again(node).item_count == 1


def test_no_two_changes_share_a_revision(db: Database) -> None:
    one, two = db.node(), db.node()
    db.write(publish, one.id, [item("a"), item("b")])
    db.write(publish, two.id, [item("a")])
    db.write(retract, one.id, ["a"])
    db.write(publish, two.id, [item("a", "new"), item("b")])
    db.write(lambda tx: nodes.update(tx, one.id, title="One"))
    given = [*revisions(db, one).values(), *revisions(db, two).values(), *tombstones(db, one).values()]
    assert len(set(given)) == len(given)
    assert db.again(one).revision > max(given)


def test_the_revision_of_a_new_database_starts_at_the_clock(tmp_path: Path) -> None:
    url, before = url_of(tmp_path / "new.sqlite3"), clock()
    migrate.prepare(url)
    after = clock()
    with closing(Database(url)) as db:
        db.write(accounts.ensure, ACCOUNT)
        node = db.node()
    # What was written since counts from there.
    assert before <= node.revision - 1 <= after


@given(
    stored=st.permutations("abcd").map(lambda ids: ids[:3]),
    events=st.lists(st.sampled_from("abcdef"), unique=True),
    keep=st.none() | st.integers(1, 6),
)
def test_items_end_together_where_they_would_one_by_one(
    shared: Database, stored: list[str], events: list[str], keep: int | None
) -> None:
    """So that events which wait may be applied as one."""
    one, other = shared.node(), shared.node()
    for node in (one, other):
        shared.write(publish, node.id, [item(id_) for id_ in stored])
    new = [item(id_, "new") for id_ in events]
    for each in new:
        shared.write(_follow, one, [each], keep)
    shared.write(_follow, other, new, keep)

    assert contents(shared, other) == contents(shared, one)
    assert listed(shared, other) == listed(shared, one)
    assert shared.again(other).item_count == shared.again(one).item_count
    if keep is None:
        # Else one of them may have made room for another before it came again, and be as new.
        assert listed(shared, other, "created") == listed(shared, one, "created")


def test_an_event_tells_what_it_changed_what_made_room_and_whether_something_came_again(db: Database) -> None:
    node = db.node(completeness="full")

    def follow(new: str, retracted: str, keep: int | None) -> tuple[list[str], list[str], int, bool]:
        row, published = db.again(node), [item(id_) for id_ in new]
        found = db.write(lambda tx: items.follow(tx, row, published, [*retracted], keep))
        assert found.node == db.again(node)
        return found.delta.changed, found.delta.removed, found.evicted, found.again

    assert follow("abcd", "cx", 3) == (["a", "b", "d"], ["c"], 0, False)
    assert follow("e", "", 3) == (["e"], [], 1, False)
    assert listed(db, node) == ["b", "d", "e"]
    assert db.again(node).completeness == "window"
    assert follow("b", "", 3) == ([], [], 0, True)
    assert follow("b", "d", 3) == ([], ["d"], 0, False)


def test_where_what_is_published_again_stays_in_its_place_only_another_content_moves_it(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a"), item("b"), item("c")])
    row = db.again(node)
    db.write(lambda tx: items.follow(tx, row, [item("a")], [], None, in_place=True))
    assert listed(db, node) == ["a", "b", "c"]
    db.write(lambda tx: items.follow(tx, row, [item("b", "new")], [], None, in_place=True))
    assert listed(db, node) == ["a", "c", "b"]


def _follow(tx: Transaction, node: NodeRow, new: list[StoredItem], keep: int | None) -> items.Followed:
    return items.follow(tx, nodes.must(nodes.by_id(tx.connection, node.id)), new, [], keep)

"""What is stored of a node without its content: of that node alone, though others have items of the same ids."""

from __future__ import annotations

from pubsub_cached.store.items.outline import WEIGHED, Outline, confirm, digests, ids_of, outline, youngest_beside
from pubsub_cached.store.rows import NodeRow, StoredItem, digest
from tests.support.stored import publish

from .conftest import Database
from .content import contents, item, listed


def heaviest(db: Database, node: NodeRow) -> int:
    return db.read(outline, node.id).heaviest


def test_it_is_of_one_node_and_in_the_order_in_which_its_items_were_modified(db: Database) -> None:
    other, node = db.node(), db.node()
    db.write(publish, other.id, [item("b", "of another, and longer"), item("z")])
    db.write(publish, node.id, [item("c"), item("b"), item("a")])
    db.write(publish, other.id, [item("b", "of another, and longer still"), item("x")])
    # As a service whose answers have no payload tells it.
    db.write(publish, node.id, [StoredItem("d")])
    db.write(publish, node.id, [item("c", "again")])
    assert db.read(ids_of, node.id) == ["b", "a", "d", "c"]
    found = db.read(outline, node.id)
    assert found.ids == ["b", "a", "d", "c"]
    assert [line.hash for line in found.lines] == [digest(item(id_).payload, "") for id_ in "ba"] + [
        "",
        digest(item("c", "again").payload, ""),
    ]
    assert [line.id for line in sorted(found.lines, key=lambda line: line.created)] == ["c", "b", "a", "d"]
    assert found.heaviest == len(item("c", "again").payload)
    assert db.read(digests, node.id, ["b", "d", "x", "none"]) == {"b": digest(item("b").payload, ""), "d": ""}
    assert db.read(outline, db.node().id) == Outline((), 0)


def test_an_item_weighs_what_the_heaviest_of_the_newest_does(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("heavy", "x" * 500), *(item(f"{number:02}") for number in range(WEIGHED - 1))])
    assert heaviest(db, node) == len(item("", "x" * 500).payload)
    db.write(publish, node.id, [item("newest")])
    assert heaviest(db, node) == len(item("newest").payload)
    db.write(publish, node.id, [item("heavy", "x" * 600)])
    assert heaviest(db, node) == len(item("", "x" * 600).payload)


def test_the_youngest_is_the_one_that_was_made_last_whenever_others_were_modified(db: Database) -> None:
    node, other = db.node(), db.node()
    db.write(publish, node.id, [item("a"), item("b"), item("c")])
    db.write(publish, other.id, [item("d")])
    db.write(publish, node.id, [item("a", "again")])
    assert db.read(youngest_beside, node.id, "a") == "c"
    assert db.read(youngest_beside, node.id, "c") == ""
    assert db.read(youngest_beside, other.id, "a") == "d"


def test_what_is_confirmed_stays_as_it_is_and_what_is_gone_stays_away(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item(id_) for id_ in ("first", "a", "b", "gone", "c", "new")])
    delta = db.write(confirm, node.id, ["b", "a", "away"], [item("c", "changed"), item("d")], kept=["new"])
    assert (delta.changed, delta.removed) == (["c", "d"], ["first", "gone"])
    assert sorted(listed(db, node)) == ["a", "b", "c", "d", "new"]
    assert [id_ for id_ in listed(db, node) if id_ != "new"] == ["b", "a", "c", "d"]
    assert contents(db, node)["a"] == item("a").payload

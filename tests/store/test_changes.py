"""What changed since a revision."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.errors import NoSuchNode
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.items import items
from pubsub_cached.store.items.changes import since
from pubsub_cached.store.rows import NodeRow
from pubsub_cached.store.transaction import committed_revision
from pubsub_cached.store.upkeep import maintenance
from tests.support.stored import publish, retract

from .conftest import Database
from .content import contents, item
from .searching import left_out


def everything(db: Database, node: NodeRow, start: int, limit: int = 500) -> tuple[set[str], set[str], bool]:
    """All changes, page by page as a client reads them."""
    changed: set[str] = set()
    removed: set[str] = set()
    complete = True
    while True:
        found = db.read(since, node.address, start, limit)
        complete &= found.complete
        if not found.changed and not found.removed:
            return changed, removed, complete
        assert len(found.changed) + len(found.removed) <= limit
        assert found.revision > start
        changed = (changed - set(found.removed)) | set(found.changed)
        removed = (removed - set(found.changed)) | set(found.removed)
        start = found.revision


def test_nothing_since_now(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a")])
    now = db.read(committed_revision)
    assert db.read(since, node.address, now) == ([], [], now, True)


def test_changes_ascend_and_go_on_from_the_revision_returned(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a"), item("b"), item("c")])
    db.write(retract, node.id, ["b"])
    db.write(publish, node.id, [item("a", "new")])
    first = db.read(since, node.address, node.revision, 2)
    assert (first.changed, first.removed, first.revision, first.complete) == (["c"], ["b"], node.revision + 4, True)
    second = db.read(since, node.address, first.revision, 2)
    assert (second.changed, second.removed, second.complete) == (["a"], [], True)
    assert second.revision == db.read(committed_revision)


@pytest.mark.parametrize("start", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_any_number_is_legal(db: Database, start: int) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a")])
    found = db.read(since, node.address, start)
    assert not found.complete
    assert found.revision == db.read(committed_revision)


def test_a_reset_makes_what_was_known_incomplete(db: Database) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a")])
    known = db.read(committed_revision)
    db.write(maintenance.reset)
    again = db.write(nodes.ensure, node.address)
    assert again.revision > known
    assert not db.read(since, node.address, known).complete


def test_a_node_that_is_not_there(db: Database) -> None:
    with pytest.raises(NoSuchNode):
        db.read(since, db.node().address._replace(node="other"), 0)


IDS = st.sampled_from("abcdef")
SOME = st.lists(IDS, max_size=4)
TEXTS = st.sampled_from(["one", "two", "three"])
STEPS = st.one_of(
    st.tuples(st.just("publish"), st.lists(st.tuples(IDS, TEXTS), max_size=4), st.none()),
    st.tuples(st.just("retract"), SOME, st.none()),
    st.tuples(st.just("replace"), st.lists(st.tuples(IDS, TEXTS), max_size=6), st.booleans()),
    st.tuples(st.just("flag"), SOME, st.none()),
    st.tuples(st.just("erase"), st.just([]), st.none()),
    st.tuples(st.just("drop"), st.just([]), st.integers(0, 5)),
    st.tuples(st.just("evict"), st.just([]), st.none()),
)


def apply(db: Database, node: NodeRow, step: tuple[str, list[Any], Any]) -> None:
    what, named, how = step
    db.now += 1000
    match what:
        case "publish":
            db.write(publish, node.id, [item(*pair) for pair in named])
        case "replace":
            db.write(lambda tx: items.replace(tx, node.id, [item(*pair) for pair in named], full=how, moves=True))
        case "retract":
            db.write(retract, node.id, named)
        case "flag":
            db.write(items.set_flags, node.address, named, ["read"])
        case "erase":
            db.write(items.erase, node.id)
        case "drop":
            db.write(lambda tx: items.drop_of_each(tx, [node.id], created_before=db.now - how * 1000))
        case "evict":
            db.write(items.evict, node.id, 3)


@given(history=st.lists(STEPS, max_size=8), limit=st.integers(1, 5))
def test_the_difference_makes_the_newer_state_of_the_older(
    shared: Database, history: list[tuple[str, list[Any], Any]], limit: int
) -> None:
    if left_out(shared, history):
        return
    node = shared.node()
    shared.write(publish, node.id, [item(id_) for id_ in "abcdef"])
    known = [(shared.read(committed_revision), contents(shared, node))]
    for step in history:
        apply(shared, node, step)
        known.append((shared.read(committed_revision), contents(shared, node)))
    newest = known[-1][1]
    assert shared.again(node).item_count == len(newest)
    floor = shared.again(node).floor
    for revision, before in known:
        changed, removed, complete = everything(shared, node, revision, limit)
        assert complete == (revision >= floor)
        assert changed <= newest.keys()
        assert not removed & newest.keys()
        if complete:
            replayed = {id_: text for id_, text in before.items() if id_ not in removed}
            replayed |= {id_: newest[id_] for id_ in changed}
            assert replayed == newest


@given(history=st.lists(STEPS, max_size=8))
def test_revisions_only_go_up_and_are_never_shared(shared: Database, history: list[tuple[str, list[Any], Any]]) -> None:
    if left_out(shared, history):
        return
    node = shared.node()
    given_before: set[tuple[int, str]] = set()
    highest = node.revision
    for step in history:
        apply(shared, node, step)
        rows = shared.rows(
            "SELECT revision, item_id FROM item WHERE node_id = ? UNION ALL "
            "SELECT revision, item_id FROM tombstone WHERE node_id = ?",
            node.id,
            node.id,
        )
        assert len({revision for revision, _ in rows}) == len(rows)
        new = {row for row in rows if row not in given_before}
        assert all(revision > highest for revision, _ in new)
        highest = shared.read(committed_revision)
        assert all(revision <= highest for revision, _ in rows)
        given_before = set(rows)

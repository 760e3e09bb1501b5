"""What a commit touched, as those who hold results of searches keep it: shared, taken apart, and never mixed up."""

from __future__ import annotations

import pytest

from pubsub_cached.address import Address
from pubsub_cached.store.touched import WHOLE, Touched

BLOG = Address("alice@example.org", "pubsub.example.org", "blog")
OTHER = Address("alice@example.org", "pubsub.example.org", "other")


def touched(**ids: int) -> Touched:
    """Nodes by their rows, and how many items of each."""
    made = Touched()
    for name, count in ids.items():
        row = int(name.removeprefix("node"))
        made.items(row, BLOG._replace(node=name), [f"i{number}" for number in range(count)])
    return made


def test_what_was_merged_by_two_is_each_ones_own() -> None:
    commit, one, two = touched(node1=3), Touched(), Touched()
    for each in (one, two):
        each.merge(1, commit.nodes[1])
    one.merge(1, touched(node1=5).nodes[1])
    two.items(1, BLOG, ["mine"])
    assert one.count == 5
    assert two.count == 4
    assert commit.count == 3


def test_what_is_merged_joins_what_was_there() -> None:
    later, kept = touched(node1=0), touched(node1=1)
    later.items(1, BLOG._replace(node="node1"), ["later"])
    later.node(1, BLOG._replace(node="node1"))
    kept.merge(1, later.nodes[1])
    assert kept.nodes[1].ids == {"i0", "later"}
    assert kept.nodes[1].whole


def test_anything_is_more_than_nothing() -> None:
    made = Touched()
    assert not made
    made.all()
    assert made


def test_to_keep_what_was_touched_copies_nothing() -> None:
    """Hundreds of views may keep the ten thousand ids of one commit."""
    commit, kept = touched(node1=3), Touched()
    kept.merge(1, commit.nodes[1])
    assert kept.nodes[1].ids is commit.nodes[1].ids


@pytest.mark.parametrize(
    ("counts", "parts"),
    [
        ({}, []),
        ({"node1": 3}, [3]),
        ({"node1": 10}, [4, 4, 2]),
        ({"node1": 1, "node2": 1, "node3": 1}, [3]),
        ({"node1": 3, "node2": 3}, [4, 2]),
    ],
)
def test_parts_have_so_many_items_and_are_all(counts: dict[str, int], parts: list[int]) -> None:
    whole = touched(**counts)
    found = list(whole.parts(4))
    assert [part.count for part in found] == parts
    assert set[str]().union(*(part.keys() for part in found)) == whole.keys()


def test_nodes_as_a_whole_are_parts_of_some() -> None:
    whole = Touched()
    for row in range(2 * WHOLE + 1):
        whole.node(row, OTHER._replace(node=f"node{row}"))
    found = list(whole.parts(256))
    assert [len(part.nodes) for part in found] == [WHOLE, WHOLE, 1]
    assert all(node.whole for part in found for node in part.nodes.values())
    assert {row for part in found for row in part.nodes} == set(whole.nodes)


def test_a_node_that_is_whole_and_has_items_is_whole_once() -> None:
    made = touched(node1=6)
    made.node(1, BLOG._replace(node="node1"))
    found = list(made.parts(4))
    assert [part.nodes[1].whole for part in found] == [True, False]
    assert sum(part.count for part in found) == 6

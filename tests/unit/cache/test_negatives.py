"""Negative answers: for how long, and what ends them."""

from __future__ import annotations

import traceback

import pytest

from pubsub_cached.address import Address
from pubsub_cached.cache.nodes.negatives import ABSENT, DENIED, OWN_AT_MOST, REMEMBERED, UNREACHABLE, Negatives
from pubsub_cached.errors import Denied, NoSuchNode, PubSubCachedError, Timeout

BLOG = Address("alice@example.org", "pubsub.example.net", "blog")
OTHER = Address("alice@example.org", "pubsub.example.net", "other")
OWN = Address("alice@example.org", "alice@example.org", "blog")


class Clock:
    now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def negatives(clock: Clock) -> Negatives:
    return Negatives(clock)


def lasts(negatives: Negatives, clock: Clock, address: Address, most: int) -> int:
    """For how long the answer is remembered; the clock stands at its end then."""
    low, high = 0, most + 1
    began = clock.now
    while low < high:
        middle = (low + high) // 2
        clock.now = began + middle
        try:
            negatives.check(address)
        except PubSubCachedError:
            low = middle + 1
        else:
            high = middle
    clock.now = began + low
    return low


@pytest.mark.parametrize(
    ("error", "first", "longest"), [(NoSuchNode("gone"), *ABSENT), (Denied("no"), *DENIED)], ids=["absent", "denied"]
)
def test_a_refused_node_is_remembered_longer_each_time(
    negatives: Negatives, clock: Clock, error: PubSubCachedError, first: int, longest: int
) -> None:
    """
    coherence, Negative answers: absent node 5 min → 1 h
    coherence, Negative answers: denied 15 min → 24 h
    """
    seen = []
    for _ in range(9):
        negatives.remember(BLOG, error)
        seen.append(lasts(negatives, clock, BLOG, longest))
    assert seen[:3] == [first, first * 2, first * 4]
    assert seen[-1] == longest


def test_own_nodes_are_asked_again_after_a_minute(negatives: Negatives, clock: Clock) -> None:
    """
    coherence, Negative answers: own PEP at most 1 min
    """
    negatives.remember(OWN, Denied("no"))
    negatives.remember(OWN, Denied("no"))
    assert lasts(negatives, clock, OWN, DENIED[1]) == OWN_AT_MOST


def test_an_unreachable_service_counts_for_all_of_its_domain(negatives: Negatives, clock: Clock) -> None:
    """
    coherence, Negative answers: unreachable per domain 30 s → 1 h
    """
    negatives.unreachable(BLOG, Timeout("no answer"))
    assert lasts(negatives, clock, OTHER, UNREACHABLE[1]) == UNREACHABLE[0]


def test_a_refused_node_says_nothing_of_others(negatives: Negatives) -> None:
    negatives.remember(BLOG, NoSuchNode("gone"))
    negatives.check(OTHER)


def test_the_error_is_told_again_as_it_was(negatives: Negatives) -> None:
    negatives.remember(BLOG, NoSuchNode("There is no node 'blog'."))
    with pytest.raises(NoSuchNode, match=r"There is no node 'blog'\."):
        negatives.check(BLOG)


def test_a_node_that_is_heard_of_is_asked_again(negatives: Negatives) -> None:
    negatives.remember(BLOG, NoSuchNode("gone"))
    negatives.clear(BLOG)
    negatives.check(BLOG)


def test_a_new_session_asks_everything_again(negatives: Negatives) -> None:
    negatives.remember(BLOG, NoSuchNode("gone"))
    negatives.unreachable(BLOG, Timeout("no answer"))
    negatives.clear_account(BLOG.account)
    negatives.check(BLOG)


def refused(negatives: Negatives, address: Address) -> PubSubCachedError | None:
    """What whoever asks is told."""
    try:
        negatives.check(address)
    except PubSubCachedError as error:
        return error
    return None


def test_who_asks_again_and_again_leaves_nothing_behind(negatives: Negatives) -> None:
    negatives.remember(BLOG, NoSuchNode("gone"))
    told = [refused(negatives, BLOG) for _ in range(20)]
    # An exception gets longer by the frames of each raise, which hold all that they knew.
    lengths = {len([*traceback.walk_tb(error.__traceback__)]) for error in told if error is not None}
    assert len(lengths) == 1
    assert {str(error) for error in told} == {"gone"}


def test_the_last_refusals_are_remembered(negatives: Negatives) -> None:
    nodes = [Address("alice@example.org", "pubsub.example.net", str(number)) for number in range(REMEMBERED + 100)]
    for node in nodes:
        negatives.remember(node, NoSuchNode("gone"))
    assert [node for node in nodes if refused(negatives, node)] == nodes[100:]

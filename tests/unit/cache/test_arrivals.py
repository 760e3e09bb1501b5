"""The queue of events: nothing overtakes anything, and publications that wait for the same node go together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from pubsub_cached.cache.accounts.account import Account
from pubsub_cached.cache.events.arrivals import TOGETHER, Arrivals
from pubsub_cached.xmpp.port import Event, Item, ItemsEvent, PurgeEvent

from .blog import PUBSUB


class InSession:
    """An account, as far as an event that comes asks it: whose it is, and in which session it came."""

    def __init__(self) -> None:
        self.epoch = 1
        self.ready = True


ALICE, CAROL = cast("Account", InSession()), cast("Account", InSession())


def published(*ids: str, node: str = "blog", service: str = PUBSUB, delayed: bool = False) -> ItemsEvent:
    items = tuple(Item(id_, "<x/>", "", "") for id_ in ids)
    return ItemsEvent(service=service, node=node, items=items, delayed=delayed)


def retracted(*ids: str) -> ItemsEvent:
    return ItemsEvent(service=PUBSUB, node="blog", retracted=ids)


class Applied:
    """What was given, in order; each is applied once the loop has gone round."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self.given: list[tuple[Account, Event]] = []
        self.came: list[tuple[int, bool]] = []
        self.going_on = asyncio.Event()
        self.going_on.set()

    async def apply(self) -> None:
        async for arrival in self._arrivals:
            await self.going_on.wait()
            self.given.append((arrival.account, arrival.event))
            self.came.append((arrival.session, arrival.early))

    def named(self) -> list[list[str]]:
        """The ids of each event's items."""
        return [[item.id for item in event.items] for _, event in self.given if isinstance(event, ItemsEvent)]


@pytest.fixture
def arrivals() -> Arrivals:
    return Arrivals()


@pytest.fixture
async def applied(arrivals: Arrivals) -> AsyncIterator[Applied]:
    found = Applied(arrivals)
    task = asyncio.create_task(found.apply())
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_publications_that_wait_are_one_event(arrivals: Arrivals, applied: Applied) -> None:
    for id_ in "abc":
        arrivals.put(ALICE, published(id_), 0.0)
    await arrivals.exhausted()

    assert applied.given == [(ALICE, published("a", "b", "c"))]


async def test_one_that_comes_alone_waits_for_no_other(arrivals: Arrivals, applied: Applied) -> None:
    for id_ in "abc":
        arrivals.put(ALICE, published(id_), 0.0)
        await arrivals.exhausted()

    assert applied.named() == [["a"], ["b"], ["c"]]


async def test_no_more_than_a_few_go_together(arrivals: Arrivals, applied: Applied) -> None:
    for number in range(TOGETHER + 1):
        arrivals.put(ALICE, published(str(number)), 0.0)
    await arrivals.exhausted()

    assert [len(ids) for ids in applied.named()] == [TOGETHER, 1]


@pytest.mark.parametrize(
    ("account", "event"),
    [
        pytest.param(CAROL, published("b"), id="another account"),
        pytest.param(ALICE, published("b", node="other"), id="another node"),
        pytest.param(ALICE, published("b", service="other.example.net"), id="another service"),
        pytest.param(ALICE, published("c", "a"), id="the same item"),
        pytest.param(ALICE, published("b", delayed=True), id="one that may be old"),
        pytest.param(ALICE, retracted("a"), id="a retraction"),
        pytest.param(ALICE, PurgeEvent(service=PUBSUB, node="blog"), id="a purge"),
    ],
)
async def test_what_does_something_else_stays_by_itself_and_in_its_place(
    arrivals: Arrivals, applied: Applied, account: Account, event: Event
) -> None:
    arrivals.put(ALICE, published("a"), 0.0)
    arrivals.put(account, event, 0.0)
    arrivals.put(ALICE, published("c"), 0.0)
    await arrivals.exhausted()

    assert applied.given == [(ALICE, published("a")), (account, event), (ALICE, published("c"))]


async def test_what_came_in_another_session_or_before_it_was_ready_stays_by_itself_and_is_known_to(
    arrivals: Arrivals, applied: Applied
) -> None:
    account = InSession()
    for epoch, ready, id_ in ((1, True, "a"), (2, False, "b"), (2, False, "c"), (2, True, "d")):
        account.epoch, account.ready = epoch, ready
        arrivals.put(cast("Account", account), published(id_), 0.0)
    await arrivals.exhausted()

    assert applied.named() == [["a"], ["b", "c"], ["d"]]
    assert applied.came == [(1, False), (2, True), (2, False)]


async def test_whoever_waits_learns_when_what_came_before_is_applied(arrivals: Arrivals, applied: Applied) -> None:
    applied.going_on.clear()
    arrivals.put(ALICE, published("a"), 0.0)
    arrivals.put(ALICE, published("b"), 0.0)
    reached = asyncio.create_task(arrivals.reached())
    await asyncio.sleep(0)
    arrivals.put(ALICE, published("c"), 0.0)
    exhausted = asyncio.create_task(arrivals.exhausted())
    await asyncio.sleep(0)
    assert not reached.done()

    applied.going_on.set()
    await reached
    assert applied.named()[:1] == [["a", "b"]]
    await exhausted
    assert applied.named() == [["a", "b"], ["c"]]

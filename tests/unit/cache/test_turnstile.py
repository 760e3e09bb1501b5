"""The turnstile: how many at once, and who is first."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from pubsub_cached.cache.sync.turnstile import Ticket, Turnstile


class Crowd:
    """Callers that stay inside until they are let out."""

    def __init__(self, turnstile: Turnstile) -> None:
        self.turnstile = turnstile
        self.inside: list[str] = []
        self.out = {name: asyncio.Event() for name in "abcdef"}
        self.tickets = {name: Ticket() for name in self.out}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def _visit(self, name: str, key: str, urgent: bool) -> None:
        async with self.turnstile.pass_(key, urgent=urgent, ticket=self.tickets[name]):
            self.inside.append(name)
            await self.out[name].wait()
            self.inside.remove(name)

    async def enter(self, name: str, key: str = "gate", *, urgent: bool = False) -> None:
        self.tasks[name] = asyncio.create_task(self._visit(name, key, urgent))
        await asyncio.sleep(0)

    async def leave(self, name: str) -> None:
        self.out[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)


@pytest.fixture
def crowd() -> Crowd:
    return Crowd(Turnstile(2))


async def test_no_more_than_the_limit_are_inside(crowd: Crowd) -> None:
    for name in "abcd":
        await crowd.enter(name)
    assert crowd.inside == ["a", "b"]
    await crowd.leave("a")
    assert crowd.inside == ["b", "c"]


async def test_the_urgent_pass_first(crowd: Crowd) -> None:
    for name in "abc":
        await crowd.enter(name)
    await crowd.enter("d", urgent=True)
    await crowd.leave("a")
    assert crowd.inside == ["b", "d"]


async def test_one_that_becomes_urgent_passes_those_without_haste(crowd: Crowd) -> None:
    for name in "abcde":
        await crowd.enter(name)
    crowd.tickets["e"].hurry()
    for name, inside in (("a", ["b", "e"]), ("b", ["e", "c"]), ("e", ["c", "d"])):
        await crowd.leave(name)
        assert crowd.inside == inside
    crowd.tickets["d"].hurry()
    await crowd.leave("c")
    await crowd.enter("f")
    assert crowd.inside == ["d", "f"]


async def test_gates_do_not_wait_for_each_other(crowd: Crowd) -> None:
    for name in "ab":
        await crowd.enter(name, "one")
    await crowd.enter("c", "other")
    assert crowd.inside == ["a", "b", "c"]


async def test_one_that_gives_up_leaves_its_place_to_the_next(crowd: Crowd) -> None:
    for name in "abcd":
        await crowd.enter(name)
    crowd.tasks["c"].cancel()
    await asyncio.gather(crowd.tasks["c"], return_exceptions=True)
    await crowd.leave("a")
    assert crowd.inside == ["b", "d"]
    await crowd.leave("b")
    await crowd.leave("d")
    await crowd.enter("e")
    await crowd.enter("f")
    assert crowd.inside == ["e", "f"]


async def test_nothing_is_kept_of_a_gate_that_nobody_is_at_any_more() -> None:
    class Key:
        """Something that can be looked after."""

    turnstile, key, out = Turnstile(1), Key(), asyncio.Event()

    async def visit(key: Key) -> None:
        async with turnstile.pass_(key, urgent=False):
            await out.wait()
        # It gives up in the same moment in which it is given its place.
        visits[1].cancel()

    visits = [asyncio.create_task(visit(key)) for _ in range(2)]
    await asyncio.sleep(0)
    out.set()
    await asyncio.wait(visits)
    assert visits[1].cancelled()
    kept = weakref.ref(key)
    visits.clear()
    del key
    gc.collect()
    assert kept() is None

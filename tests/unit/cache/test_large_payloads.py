"""Large payloads are parsed beside everything else: others are answered meanwhile, and nothing is overtaken."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import Definition
from pubsub_cached.analysers.fields import MOST_FIELDS, Field
from pubsub_cached.analysers.item import Item, ItemContext, Parser
from pubsub_cached.cache.options import ReanalyseFilter
from pubsub_cached.cache.parsing.parsing import LARGE
from pubsub_cached.xmpp.fake import Service, World
from tests.support.cached import ALICE, Cached, Make
from tests.support.callbacks import taking, watched

from .blog import MICROBLOG, PUBSUB, followed

NODE = "things"
THINGS = Address(ALICE, PUBSUB, NODE)


def thing(size: int, text: str = "") -> str:
    """A payload of about so many characters."""
    return f'<x xmlns="urn:x">{text}{"y" * size}</x>'


def things(parser: Parser, version: int = 1) -> Definition:
    return Definition(name="x", type="thing", namespace="urn:x", to_sync=True, parser=parser, version=version)


class Slow:
    """A parser that waits for ``release`` with each large payload; ``begun`` is set once it has one."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.release = threading.Event()
        self.threads: set[int] = set()
        self._loop = asyncio.get_running_loop()

    def __call__(self, item: Item) -> dict[str, Any]:
        text = item.element.text or ""
        if len(text) >= LARGE:
            self._loop.call_soon_threadsafe(self.begun.set)
            # On the loop nobody would release it.
            assert self.release.wait(20), "everybody waited"
        else:
            self.threads.add(threading.get_ident())
        return {"begins": text[:3]}

    async def at_work(self) -> None:
        async with asyncio.timeout(20):
            await self.begun.wait()


class Scene:
    """A cache with a blog and an analyser of things, whose parser is slow."""

    def __init__(self, cache: Cached, service: Service, slow: Slow) -> None:
        self.cache = cache
        self.service = service
        self.slow = slow

    async def kept(self, *payloads: str) -> None:
        """The node of things, kept with these items."""
        self.service.create_node(NODE, owner=ALICE)
        for number, payload in enumerate(payloads):
            self.service.publish(NODE, f"t{number}", payload)
        self.slow.release.set()
        await self.cache.read(PUBSUB, NODE)
        await self.cache.idle()
        self.slow.release.clear()
        self.slow.begun.clear()

    async def others_are_answered(self) -> None:
        """The parser is at work, and a read is answered nevertheless."""
        await self.slow.at_work()
        assert len((await self.cache.read(PUBSUB, MICROBLOG))[0]) == 3
        self.slow.release.set()

    async def data(self) -> dict[str, str]:
        await self.cache.idle()
        await self.cache.house.reanalysis.settled()
        items, *_ = await self.cache.read(PUBSUB, NODE, policy="cache")
        return {item["id"]: item["data"] for item in items}


@pytest.fixture
async def scene(cached: Make) -> AsyncIterator[Scene]:
    cache, service = await followed(cached, World(), owner=ALICE)
    slow = Slow()
    cache.house.analysers.register(things(slow), "plugin")
    yield Scene(cache, service, slow)
    slow.release.set()


async def test_of_a_synchronisation(scene: Scene) -> None:
    scene.service.create_node(NODE)
    scene.service.publish(NODE, "t0", thing(LARGE, "big"))
    reading = asyncio.create_task(scene.cache.read(PUBSUB, NODE))
    await scene.others_are_answered()
    await reading
    assert await scene.data() == {"t0": '{"begins":"big"}'}


async def test_of_an_event(scene: Scene) -> None:
    await scene.kept(thing(1, "one"))
    scene.service.publish(NODE, "t1", thing(LARGE, "big"))
    await scene.others_are_answered()
    assert await scene.data() == {"t1": '{"begins":"big"}', "t0": '{"begins":"one"}'}


async def test_of_what_is_passed_through(scene: Scene) -> None:
    await scene.kept(thing(1, "one"))
    scene.service.publish(NODE, "t1", thing(LARGE, "big"), notify=False)
    reading = asyncio.create_task(scene.cache.read(PUBSUB, NODE, policy="network"))
    await scene.others_are_answered()
    assert [item["data"] for item in (await reading)[0]] == ['{"begins":"big"}', '{"begins":"one"}']


async def test_of_what_is_parsed_again(scene: Scene) -> None:
    await scene.kept(thing(LARGE, "big"))
    job = scene.cache.house.reanalysis.job(ReanalyseFilter(nodes=(NODE,)))
    await scene.others_are_answered()
    await job.wait()
    assert await scene.data() == {"t0": '{"begins":"big"}'}


async def test_what_waits_to_be_sent_waits_for_no_parser(scene: Scene) -> None:
    await scene.kept(thing(1, "one"))
    scene.cache.world.cut(ALICE)
    await scene.cache.world.settle()
    payloads = [thing(LARGE, "big"), thing(1, "two")]
    for payload in payloads:
        await scene.cache.house.outbox.publish(THINGS, "t1", payload, {}, ":1.5", "")
    entries = scene.cache.house.outbox.waiting[THINGS]
    assert [entry.payload for entry in entries] == payloads
    assert not scene.slow.begun.is_set()


async def test_what_comes_later_is_applied_later(scene: Scene) -> None:
    await scene.kept(thing(1, "one"))
    scene.service.publish(NODE, "t1", thing(LARGE, "big"))
    await scene.slow.at_work()
    scene.service.publish(NODE, "t1", thing(1, "two"))
    scene.service.publish(NODE, "t2", thing(1, "three"))
    scene.service.retract(NODE, "t0")
    scene.slow.release.set()
    assert await scene.data() == {"t2": '{"begins":"thr"}', "t1": '{"begins":"two"}'}


async def test_what_is_retracted_meanwhile_stays_away(scene: Scene) -> None:
    await scene.kept(thing(1, "one"))
    scene.service.publish(NODE, "t1", thing(LARGE, "big"))
    await scene.slow.at_work()
    retracting = asyncio.create_task(scene.cache.house.writing.retract(THINGS, ["t1"], notify=False))
    await scene.cache.world.settle()
    scene.slow.release.set()
    await retracting
    assert await scene.data() == {"t0": '{"begins":"one"}'}


async def test_small_payloads_make_no_detour_where_the_parser_is_built_in(scene: Scene) -> None:
    scene.cache.house.analysers.unregister("x")
    scene.cache.house.analysers.register(things(scene.slow), "builtin")
    await scene.kept(thing(1, "one"), thing(LARGE - 100, "two"))
    scene.service.publish(NODE, "t2", thing(1, "three"))
    await scene.cache.idle()
    assert scene.slow.threads == {threading.get_ident()}


async def test_what_is_parsed_while_its_analyser_changes_is_parsed_by_what_it_is_then(scene: Scene) -> None:
    await scene.kept(thing(1, "one"))
    scene.service.publish(NODE, "t1", thing(LARGE, "big"))
    await scene.slow.at_work()
    scene.cache.house.analysers.unregister("x")
    scene.cache.house.analysers.register(things(lambda item: {"later": 1}, version=2), "plugin")
    await scene.cache.house.analysing.settled()
    scene.slow.release.set()
    assert await scene.data() == {"t1": '{"later":1}', "t0": '{"later":1}'}


async def test_what_a_higher_version_has_made_while_it_is_parsed_again_stays(scene: Scene) -> None:
    house = scene.cache.house
    await scene.kept(thing(LARGE, "big"))
    job = house.reanalysis.job(ReanalyseFilter(nodes=(NODE,)))
    await scene.slow.at_work()
    house.analysers.unregister("x")
    house.analysers.register(things(lambda item: {"later": 1}, version=2), "plugin")
    await house.analysing.settled()
    scene.slow.release.set()
    await job.wait()
    assert await scene.data() == {"t0": '{"later":1}'}


@pytest.mark.parametrize(
    ("path", "count"),
    [
        pytest.param("*//*", MOST_FIELDS // 2, id="much that is found"),
        pytest.param("*/*" + "[@a]" * 249, MOST_FIELDS // 16, id="many steps"),
    ],
)
async def test_of_fields_that_go_through_it_very_often(scene: Scene, path: str, count: int) -> None:
    """Against what reading them takes in the same run."""
    analysers = scene.cache.house.analysers
    analysers.unregister("x")
    fields = {f"k{number}": Field(path, list=True) for number in range(count)}
    analysers.register(
        Definition(name="x", type="thing", namespace="urn:x", to_sync=True, fields=fields), "bus", ":1.5"
    )
    payload = thing(1, "<y a='z'/>" * 1_000)
    assert len(payload) < LARGE
    await scene.kept(payload)
    read = partial(analysers.parse, "x", ItemContext(THINGS, "t0", payload, "urn:x"))
    again = partial(scene.cache.house.reanalysis.job, ReanalyseFilter(nodes=(NODE,)))
    # Statements are compiled once.
    await again().wait()
    with watched() as found:
        await again().wait()
    alone = taking(read)
    assert await scene.data() == {"t0": read().data}
    assert found.longest[0].seconds < alone / 2, str(found)

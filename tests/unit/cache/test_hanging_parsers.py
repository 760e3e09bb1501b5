"""Parsers that are functions and don't end with a large item: the item is kept, and what comes after it goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from lxml.etree import _Element

from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import Definition
from pubsub_cached.analysers.item import Item
from pubsub_cached.analysers.registry import Entry
from pubsub_cached.cache.options import ReanalyseFilter
from pubsub_cached.cache.parsing import function
from pubsub_cached.cache.parsing.parsing import LARGE
from pubsub_cached.records import ItemRecord
from pubsub_cached.xmpp.fake import Service, World
from tests.support.cached import ALICE, Cached, Make

SERVICE = "pubsub.example.org"
NODE = "things"
THINGS = Address(ALICE, SERVICE, NODE)
LATE = "The parser of 'x' did not end within 0.5 s."
SUSPENDED = "The parser of 'x' is suspended; Reanalyse parses this once it is active."


def thing(text: str, size: int = LARGE) -> str:
    return f'<x xmlns="urn:x"><secret>{text}</secret>{text}{"y" * size}</x>'


def freed(text: str, size: int = LARGE) -> str:
    """What is stored of it."""
    return f'<x xmlns="urn:x">{text}{"y" * size}</x>'


def take_secret(element: _Element) -> bool:
    secrets = element.findall("{urn:x}secret")
    for secret in secrets:
        secret.text, tail = None, secret.tail
        element.remove(secret)
        element.text = (element.text or "") + (tail or "")
    return bool(secrets)


class Hanging:
    """A parser that waits for ``release`` with what begins with ``hang``.

    asked: the texts that it was given. hung: each that it hangs with, once it does.
    """

    def __init__(self) -> None:
        self.release = threading.Event()
        self.asked: list[str] = []
        self.hung: asyncio.Queue[str] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def __call__(self, item: Item) -> dict[str, Any]:
        text = (item.element.text or "").rstrip("y")
        self.asked.append(text)
        if text.startswith("hang"):
            self._loop.call_soon_threadsafe(self.hung.put_nowait, text)
            assert self.release.wait(60), "nobody released it"
        return {"text": text}


class Scene:
    """A cache that keeps a node of things, whose parser hangs."""

    def __init__(self, cache: Cached, service: Service, parser: Hanging) -> None:
        self.cache = cache
        self.service = service
        self.parser = parser

    @property
    def entry(self) -> Entry:
        entry = self.cache.house.analysers.entry("x")
        assert entry is not None
        return entry

    def register(self, version: int = 1) -> None:
        rules: dict[str, Any] = {
            "name": "x",
            "type": "thing",
            "namespace": "urn:x",
            "to_sync": True,
            "version": version,
        }
        self.cache.house.analysers.register(
            Definition(**rules, parser=self.parser, scrubs={"urn:x": take_secret}), "bus", ":1.1"
        )

    async def published(self, *texts: str, size: int = LARGE) -> None:
        """Items by these names, pushed and applied."""
        for text in texts:
            self.service.publish(NODE, text, thing(text, size))
        await self.cache.idle()

    async def items(self) -> dict[str, ItemRecord]:
        items, *_ = await self.cache.read(SERVICE, NODE, policy="cache")
        return {item["id"]: item for item in items}

    async def state(self, wanted: str) -> None:
        """Return once the analyser is in a state."""
        changed = asyncio.Event()
        self.cache.house.analysers.on_state.append(lambda _: changed.set())
        async with asyncio.timeout(20):
            while self.entry.state != wanted:
                await changed.wait()
                changed.clear()


@pytest.fixture
async def scene(cached: Make, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(function, "SECONDS", 0.5)
    world = World()
    service = world.service(SERVICE)
    service.create_node(NODE)
    service.publish(NODE, "first", thing("first", 1))
    cache = await cached(world)
    made = Scene(cache, service, Hanging())
    made.register()
    await cache.read(SERVICE, NODE)
    await cache.idle()
    made.parser.asked.clear()
    yield made
    made.parser.release.set()


async def test_what_comes_after_it_is_applied(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.service.publish(NODE, "hang", thing("hang"))
    scene.service.publish(NODE, "later", thing("later", 1))
    scene.service.retract(NODE, "first")
    await scene.cache.idle()
    found = await scene.items()
    assert set(found) == {"hang", "later"}
    assert found["later"]["data"] == '{"text":"later"}'
    assert found["hang"]["errors"] == [LATE]
    assert "data" not in found["hang"]
    assert (scene.entry.state, scene.entry.failures) == ("active", 1)
    assert "the parser of analyser 'x' did not end in time" in caplog.text


async def test_the_item_is_kept_without_its_secrets(scene: Scene) -> None:
    await scene.published("hang1", "hang2", "hang3", "hang4")
    found = await scene.items()
    names = [f"hang{number}" for number in range(1, 5)]
    assert [found[name]["payload"] for name in names] == [freed(name) for name in names]
    assert [found[name]["errors"] for name in names] == [[LATE], [LATE], [LATE], [SUSPENDED]]
    assert {found[name]["type"] for name in names} == {"thing"}


async def test_with_three_that_hang_it_is_suspended_until_one_ends(scene: Scene) -> None:
    await scene.published("hang1", "hang2", "hang3", "large")
    assert (scene.entry.state, scene.entry.failures) == ("suspended", 3)
    assert "3 calls of its parser have not ended" in scene.entry.reason
    await scene.published("small", size=1)
    assert scene.parser.asked == ["hang1", "hang2", "hang3", "small"]
    scene.parser.release.set()
    await scene.state("active")
    await scene.cache.house.reanalysis.job(ReanalyseFilter(nodes=(NODE,))).wait()
    found = await scene.items()
    assert len(found) == 6
    assert all(found[name]["data"] == f'{{"text":"{name}"}}' for name in found)


async def test_it_can_be_resumed_while_they_hang(scene: Scene) -> None:
    await scene.published("hang1", "hang2", "hang3")
    assert scene.entry.state == "suspended"
    scene.cache.house.resume("x")
    assert (scene.entry.state, scene.entry.failures) == ("active", 0)
    await scene.published("large")
    assert (await scene.items())["large"]["data"] == '{"text":"large"}'
    scene.parser.release.set()
    await scene.published("hang4")
    assert (scene.entry.state, scene.entry.failures) == ("active", 0), "those before are nothing to it"


async def test_nothing_is_resumed_that_is_not_suspended(scene: Scene) -> None:
    await scene.published("hang1")
    scene.cache.house.resume("x")
    assert (scene.entry.state, scene.entry.failures) == ("active", 1)
    await scene.published("hang2", "hang3")
    assert (scene.entry.state, scene.entry.failures) == ("suspended", 3)


async def test_another_definition_begins_anew(scene: Scene) -> None:
    await scene.published("hang1", "hang2", "hang3")
    before, scene.parser = scene.parser, Hanging()
    scene.register()
    await scene.published("large")
    before.release.set()
    assert (await scene.items())["large"]["data"] == '{"text":"large"}'
    assert (scene.entry.state, scene.entry.failures) == ("active", 0)


async def test_what_was_made_of_the_same_content_before_stays(scene: Scene) -> None:
    await scene.published("large", "hang1", "hang2", "hang3")
    before = (await scene.items())["large"]
    await scene.published("large", "hang1")
    found = await scene.items()
    assert {key: found["large"].get(key) for key in ("data", "errors", "revision")} == {
        "data": '{"text":"large"}',
        "errors": None,
        "revision": before["revision"],
    }
    assert found["hang1"]["errors"] == [LATE]


async def test_what_an_earlier_version_made_goes(scene: Scene) -> None:
    scene.parser.release.set()
    await scene.published("hang")
    assert (await scene.items())["hang"]["data"] == '{"text":"hang"}'
    scene.parser = Hanging()
    told = asyncio.Event()
    scene.cache.house.changes.on_items.append(lambda *_: told.set())
    scene.register(version=2)
    await asyncio.wait_for(told.wait(), 20)
    found = (await scene.items())["hang"]
    assert found["errors"] == [LATE]
    assert "data" not in found


async def test_calls_count_that_nobody_waits_for_any_more(scene: Scene) -> None:
    for name in ("hang1", "hang2", "hang3"):
        scene.service.publish(NODE, name, thing(name), notify=False)
    for name in ("hang1", "hang2", "hang3"):
        reading = asyncio.create_task(scene.cache.read(SERVICE, NODE, policy="network", ids=(name,)))
        async with asyncio.timeout(20):
            assert await scene.parser.hung.get() == name
        reading.cancel()
    await scene.state("suspended")
    assert scene.entry.failures == 3

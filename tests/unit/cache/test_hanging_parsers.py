"""Plugins' parsers that are functions and don't end with an item: it is kept, and what comes after it goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from lxml.etree import _Element
from sqlalchemy import Engine, event

from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import Definition
from pubsub_cached.analysers.item import Item
from pubsub_cached.analysers.registry import Entry
from pubsub_cached.cache.options import PurgeFilter, ReanalyseFilter
from pubsub_cached.cache.parsing import function
from pubsub_cached.cache.parsing.parsing import LARGE
from pubsub_cached.cache.reanalysis import reanalysis
from pubsub_cached.records import ItemRecord
from pubsub_cached.store.models import UNPARSED
from pubsub_cached.xmpp.fake import Service, World
from tests.support.cached import ALICE, Cached, Make

from .blog import writer_busy

SERVICE = "pubsub.example.org"
NODE = "things"
THINGS = Address(ALICE, SERVICE, NODE)
LATE = "The parser of 'x' did not end within 0.5 s."


def thing(text: str, size: int = 1) -> str:
    return f'<x xmlns="urn:x"><secret>{text}</secret>{text}{"y" * size}</x>'


def freed(text: str, size: int = 1) -> str:
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

    asked: the texts that it was given. hung: each that it hangs with, once it does. results: what it returns of some.
    """

    def __init__(self) -> None:
        self.release = threading.Event()
        self.asked: list[str] = []
        self.hung: asyncio.Queue[str] = asyncio.Queue()
        self.results: dict[str, dict[str, Any] | None] = {}
        self._loop = asyncio.get_running_loop()

    def __call__(self, item: Item) -> dict[str, Any] | None:
        text = (item.element.text or "").rstrip("y")
        self.asked.append(text)
        if text.startswith("hang"):
            self._loop.call_soon_threadsafe(self.hung.put_nowait, text)
            assert self.release.wait(60), "nobody released it"
        return self.results.get(text, {"text": text})


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
        if self.cache.house.analysers.get("x") is not None:
            self.cache.house.analysers.unregister("x")
        self.cache.house.analysers.register(
            Definition(**rules, parser=self.parser, scrubs={"urn:x": take_secret}), "plugin"
        )

    async def published(self, *texts: str) -> None:
        """Items by these names, pushed and applied."""
        for text in texts:
            self.service.publish(NODE, text, thing(text))
        await self.cache.idle()

    async def reanalysed(self) -> None:
        await self.cache.house.reanalysis.job(ReanalyseFilter(nodes=(NODE,))).wait()

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
    service.publish(NODE, "first", thing("first"))
    cache = await cached(world)
    made = Scene(cache, service, Hanging())
    made.register()
    await cache.keep(SERVICE, NODE)
    made.parser.asked.clear()
    yield made
    made.parser.release.set()


@pytest.mark.parametrize("size", [1, LARGE], ids=["small", "large"])
async def test_what_comes_after_it_is_applied(scene: Scene, caplog: pytest.LogCaptureFixture, size: int) -> None:
    scene.service.publish(NODE, "hang", thing("hang", size))
    scene.service.publish(NODE, "later", thing("later"))
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
    assert [found[name].get("errors") for name in names] == [[LATE], [LATE], [LATE], None]
    assert {found[name]["type"] for name in names} == {"thing"}


async def test_with_three_that_hang_it_is_suspended_until_one_ends(scene: Scene) -> None:
    await scene.published("hang1", "hang2", "hang3", "fourth")
    assert (scene.entry.state, scene.entry.failures) == ("suspended", 3)
    assert "3 calls of its parser have not ended" in scene.entry.reason
    assert scene.parser.asked == ["hang1", "hang2", "hang3"]
    scene.parser.release.set()
    await scene.state("active")
    await scene.reanalysed()
    found = await scene.items()
    assert len(found) == 5
    assert all(found[name]["data"] == f'{{"text":"{name}"}}' for name in found)


@pytest.mark.parametrize("how", ["one ends", "resumed", "restart"])
async def test_what_came_while_it_was_suspended_is_parsed_once_it_is_active(scene: Scene, how: str) -> None:
    await scene.published("hang1", "hang2", "hang3", "fine", "hang4", "last")
    found = await scene.items()
    assert [found[name].keys() & {"data", "errors"} for name in ("fine", "hang4", "last")] == [set()] * 3
    scene.parser.release.set()
    if how == "one ends":
        await scene.state("active")
    elif how == "resumed":
        scene.cache.house.resume("x")
    else:
        await scene.cache.restart(online=False)
        scene.register()
    await scene.cache.house.analysing.settled()
    found = await scene.items()
    assert [found[name].get("data") for name in ("fine", "hang4", "last")] == [
        f'{{"text":"{name}"}}' for name in ("fine", "hang4", "last")
    ]
    assert found["hang1"]["errors"] == [LATE], "it was asked"


async def test_what_nothing_was_made_of_is_not_given_to_it_again_at_the_next_start(scene: Scene) -> None:
    scene.parser.results["nothing"] = None
    await scene.published("nothing", "fine")
    scene.parser.asked.clear()
    await scene.cache.restart(online=False)
    scene.register()
    await scene.cache.house.analysing.settled()
    assert scene.parser.asked == []
    assert (await scene.items())["nothing"]["errors"] == ["The parser of 'x' made nothing of it."]


async def test_what_is_stored_after_that_is_parsed_too(scene: Scene) -> None:
    await scene.published("hang1", "hang2", "hang3")
    told: asyncio.Queue[list[str]] = asyncio.Queue()
    scene.cache.house.changes.on_items.append(lambda address, changed, *_: told.put_nowait(changed))
    with writer_busy(scene.cache):
        scene.service.publish(NODE, "fine", thing("fine"))
        await scene.cache.world.settle()
        await scene.cache.house.events.caught_up()
        scene.parser.release.set()
        scene.cache.house.resume("x")
        await scene.cache.house.analysing.settled()
    async with asyncio.timeout(20):
        while "data" not in (await scene.items()).get("fine", {}):
            await told.get()


async def test_what_came_meanwhile_and_hangs_is_asked_for_once(scene: Scene) -> None:
    await scene.published("hang1", "hang2", "hang3", "hang4", "fine")
    scene.cache.house.resume("x")
    await scene.cache.house.analysing.settled()
    found = await scene.items()
    assert found["hang4"]["errors"] == [LATE]
    assert found["fine"]["data"] == '{"text":"fine"}'
    assert scene.parser.asked == ["hang1", "hang2", "hang3", "hang4", "fine"]


async def test_what_came_meanwhile_is_looked_for_once_however_much_it_is(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reanalysis, "PAGE", 2)
    names = [f"fine{number}" for number in range(7)]
    await scene.published("hang1", "hang2", "hang3", *names)
    looked = []

    def heard(*told: Any) -> None:
        statement = told[2]
        if UNPARSED.text in statement:
            looked.append(statement)

    event.listen(Engine, "before_cursor_execute", heard)
    try:
        scene.cache.house.resume("x")
        await scene.cache.house.analysing.settled()
    finally:
        event.remove(Engine, "before_cursor_execute", heard)
    found = await scene.items()
    assert [found[name].get("data") for name in names] == [f'{{"text":"{name}"}}' for name in names]
    assert len(looked) == 1


async def test_a_node_that_is_forgotten_while_what_came_meanwhile_is_parsed_keeps_nothing_from_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, other = scene.cache.house, scene.cache.world.service("other.example.org")
    other.create_node("others")
    other.publish("others", "1", "<o xmlns='urn:o'/>")
    await scene.cache.read("other.example.org", "others")
    await scene.published("hang1", "hang2", "hang3", "hang4")
    assert [await scene.parser.hung.get() for _ in range(3)] == ["hang1", "hang2", "hang3"]
    monkeypatch.setattr(function, "SECONDS", 30.0)
    house.analysers.register(Definition(name="y", type="other", namespace="urn:o", to_sync=True), "plugin")
    house.resume("x")
    async with asyncio.timeout(20):
        assert await scene.parser.hung.get() == "hang4"
    await house.removal.purge(PurgeFilter(nodes=(NODE,), forget=True)).wait()
    scene.parser.release.set()
    await house.analysing.settled()
    assert (await scene.cache.node("other.example.org", "others"))["type"] == "other"


async def test_it_can_be_resumed_while_they_hang(scene: Scene) -> None:
    await scene.published("hang1", "hang2", "hang3")
    assert scene.entry.state == "suspended"
    scene.cache.house.resume("x")
    assert (scene.entry.state, scene.entry.failures) == ("active", 0)
    await scene.published("fine")
    assert (await scene.items())["fine"]["data"] == '{"text":"fine"}'
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
    await scene.published("fine")
    before.release.set()
    assert (await scene.items())["fine"]["data"] == '{"text":"fine"}'
    assert (scene.entry.state, scene.entry.failures) == ("active", 0)


async def test_what_ends_of_the_definition_before_says_nothing_of_the_one_that_is_suspended_now(scene: Scene) -> None:
    await scene.published("hang1", "hang2", "hang3")
    left = [*scene.cache.house._parsing._functions._calls["x"].left]
    before, scene.parser = scene.parser, Hanging()
    scene.register()
    await scene.published("hang4", "hang5", "hang6")
    before.release.set()
    await asyncio.wait(left)
    assert (scene.entry.state, scene.entry.failures) == ("suspended", 3)


async def test_what_was_made_of_the_same_content_before_stays(scene: Scene) -> None:
    await scene.published("fine", "hang1", "hang2", "hang3")
    before = (await scene.items())["fine"]
    await scene.published("fine", "hang1")
    found = await scene.items()
    assert {key: found["fine"].get(key) for key in ("data", "errors", "revision")} == {
        "data": '{"text":"fine"}',
        "errors": None,
        "revision": before["revision"],
    }
    assert found["hang1"]["errors"] == [LATE]


async def test_while_it_is_suspended_reanalyse_leaves_what_there_is(scene: Scene) -> None:
    await scene.published("hang1", "hang2", "hang3")
    before = await scene.items()
    asked = [*scene.parser.asked]
    await scene.reanalysed()
    assert await scene.items() == before
    assert before["first"]["data"] == '{"text":"first"}'
    assert scene.parser.asked == asked


@pytest.mark.sqlite
async def test_what_reanalyse_left_is_parsed_if_it_is_active_again_before_that_is_written_down(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.published("hang1", "hang2", "hang3")
    monkeypatch.setattr(function, "SECONDS", 30.0)
    house, loop, told = scene.cache.house, asyncio.get_running_loop(), asyncio.Queue[list[str]]()
    house.changes.on_items.append(lambda address, changed, *_: told.put_nowait(changed))
    begun, goes_on = asyncio.Event(), threading.Event()

    def wait(_: _Element) -> bool:
        loop.call_soon_threadsafe(begun.set)
        return not goes_on.wait(30)

    house.analysers.register(Definition(name="slow", type="t", node="none", scrubs={"urn:x": wait}), "plugin")
    await house.analysing.settled()
    job = house.reanalysis.job(ReanalyseFilter(nodes=(NODE,)))
    await asyncio.wait_for(begun.wait(), 20)
    house.resume("x")
    await house.analysing.settled()
    scene.parser.release.set()
    goes_on.set()
    await job.wait()
    async with asyncio.timeout(20):
        while any("data" not in item for item in (await scene.items()).values()):
            await told.get()


async def test_what_a_higher_version_did_not_come_to_is_parsed_once_it_is_resumed(scene: Scene) -> None:
    scene.parser.release.set()
    await scene.published("hang1", "hang2", "hang3", "fine")
    scene.parser = Hanging()
    scene.register(version=2)
    await scene.state("suspended")
    await scene.cache.house.analysing.settled()
    found = await scene.items()
    assert found["fine"]["data"] == '{"text":"fine"}'
    assert [found[name]["errors"] for name in ("hang1", "hang2")] == [[LATE], [LATE]]
    scene.parser.release.set()
    await scene.state("active")
    await scene.cache.house.analysing.settled()
    assert all("data" in item for item in (await scene.items()).values())
    assert scene.parser.asked.count("fine") == 1


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


async def test_where_a_coroutine_parses_the_node_it_holds_nobody_up_either(scene: Scene) -> None:
    async def parse(item: Item) -> dict[str, Any]:
        return {"id": item.context.id}

    registry = scene.cache.house.analysers
    registry.unregister("x")
    registry.register(Definition(name="x", type="thing", namespace="urn:x", to_sync=True, parser=parse), "plugin")
    taken = frozenset({"urn:t"})
    registry.register(
        Definition(name="t", type="taken", namespace="urn:t", takes_over=taken, parser=scene.parser), "plugin"
    )
    scene.service.publish(NODE, "hang", '<t xmlns="urn:t">hang</t>')
    await scene.cache.idle()
    await scene.reanalysed()
    told: asyncio.Queue[list[str]] = asyncio.Queue()
    scene.cache.house.changes.on_items.append(lambda address, changed, *_: told.put_nowait(changed))
    scene.service.publish(NODE, "later", thing("later"))
    async with asyncio.timeout(20):
        while "data" not in (await scene.items()).get("later", {}):
            await told.get()
    assert (await scene.items())["hang"]["errors"] == ["The parser of 't' did not end within 0.5 s."]
    assert scene.parser.asked == ["hang", "hang"]


@pytest.mark.parametrize("coroutine", [False, True], ids=["function", "coroutine"])
async def test_what_a_suspended_one_took_over_on_others_nodes_stays(scene: Scene, coroutine: bool) -> None:
    async def later(item: Item) -> dict[str, Any]:
        return {"new": item.context.id}

    registry = scene.cache.house.analysers
    taken = frozenset({"urn:t"})
    registry.register(
        Definition(name="t", type="taken", namespace="urn:t", takes_over=taken, parser=scene.parser), "plugin"
    )
    for name in ("fine", "hang1", "hang2", "hang3"):
        scene.service.publish(NODE, name, f'<t xmlns="urn:t">{name}</t>')
    await scene.published("last")
    before = await scene.items()
    entry = registry.entry("t")
    assert entry is not None
    assert entry.state == "suspended"
    registry.unregister("x")
    parser = later if coroutine else lambda item: {"new": item.context.id}
    told: asyncio.Queue[list[str]] = asyncio.Queue()
    scene.cache.house.changes.on_items.append(lambda address, changed, *_: told.put_nowait(changed))
    registry.register(
        Definition(name="x", type="thing", namespace="urn:x", to_sync=True, version=2, parser=parser), "plugin"
    )
    async with asyncio.timeout(20):
        while (await scene.items())["last"].get("data") != '{"new":"last"}':
            await told.get()
    after = await scene.items()
    assert {name: after[name] for name in ("fine", "hang1")} == {name: before[name] for name in ("fine", "hang1")}


async def test_an_item_that_was_taken_over_says_so_where_its_parser_does_not_end_with_it_any_more(scene: Scene) -> None:
    taken = frozenset({"urn:t"})
    scene.cache.house.analysers.register(
        Definition(name="t", type="taken", namespace="urn:t", takes_over=taken, parser=scene.parser), "plugin"
    )
    scene.parser.release.set()
    scene.service.publish(NODE, "taken", '<t xmlns="urn:t">hang</t>')
    await scene.published("last")
    assert (await scene.items())["taken"]["data"] == '{"text":"hang"}'
    scene.parser.release.clear()
    await scene.reanalysed()
    after = (await scene.items())["taken"]
    assert ("data" in after, after["errors"]) == (False, ["The parser of 't' did not end within 0.5 s."])


async def test_what_ends_late_says_nothing_of_what_another_analyser_has_made_meanwhile(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function, "SECONDS", 30.0)
    house, told = scene.cache.house, asyncio.Queue[list[str]]()
    house.changes.on_items.append(lambda address, changed, *_: told.put_nowait(changed))

    async def moved(version: int) -> None:
        """Register an analyser before which no other comes, and wait for what it makes."""

        async def parse(item: Item) -> dict[str, Any]:
            return {"version": version}

        rules: dict[str, Any] = {"name": "y", "type": "other", "namespace": "urn:x", "to_sync": True, "priority": 9}
        house.analysers.register(Definition(**rules, version=version, parser=parse), "plugin")
        if version == 1:
            await scene.reanalysed()
        async with asyncio.timeout(20):
            while any(item.get("data") != f'{{"version":{version}}}' for item in (await scene.items()).values()):
                await told.get()

    scene.parser.release.set()
    await scene.published("hang")
    scene.parser = Hanging()
    scene.register(version=7)
    assert await scene.parser.hung.get() == "hang"
    await moved(1)
    scene.parser.release.set()
    await house.analysing.settled()
    house.analysers.unregister("y")
    await moved(2)


async def test_of_what_it_was_not_given_nothing_is_said(scene: Scene) -> None:
    """Of excluded nodes nothing is parsed, neither by whom they belong to nor by who takes their items over."""
    rules: dict[str, Any] = {"type": "thing", "parser": scene.parser}
    hidden = Definition(name="hidden", node="hidden", excluded=True, **rules)
    taker = Definition(name="taker", namespace="urn:other", takes_over=frozenset({"urn:other"}), **rules)
    for definition in (hidden, taker):
        scene.cache.house.analysers.register(definition, "plugin")
    scene.service.create_node("hidden")
    scene.service.publish("hidden", "own", thing("own"))
    scene.service.publish("hidden", "other", '<x xmlns="urn:other"/>')
    items, *_ = await scene.cache.read(SERVICE, "hidden")
    assert scene.parser.asked == []
    assert {item["id"]: item.get("errors") for item in items} == {"own": None, "other": None}

"""Parsers that are coroutines: run once items are stored, and bounded as agents are."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, event

from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import Definition
from pubsub_cached.analysers.item import Item
from pubsub_cached.cache.options import PurgeFilter, ReanalyseFilter
from pubsub_cached.cache.parsing import agents, coroutine
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, Cached, Make

SERVICE = "pubsub.example.org"
COUNT = 8
THINGS = Address(ALICE, SERVICE, "things")


@pytest.fixture
def world() -> World:
    made = World()
    service = made.service(SERVICE)
    service.create_node("things")
    for number in range(COUNT):
        service.publish("things", f"t{number}", f"<x xmlns='urn:x'>{number}</x>")
    return made


def definition(parser: Callable[[Item], Awaitable[Any]], **keys: Any) -> Definition:
    return Definition(name="x", type="thing", namespace="urn:x", to_sync=True, parser=parser, **keys)


async def kept(found: Cached, parser: Callable[[Item], Awaitable[Any]], **keys: Any) -> None:
    """The node kept and its items stored, with an analyser of this parser."""
    found.house.analysers.register(definition(parser, **keys), "plugin")
    await found.keep(SERVICE, "things")


async def items(found: Cached) -> dict[str, Any]:
    return {item["id"]: item for item in (await found.read(SERVICE, "things"))[0]}


async def until(found: Cached, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The items, once they are as wanted: looked at whenever something changed."""
    changed = asyncio.Event()
    found.house.changes.on_items.append(lambda *_: changed.set())
    found.house.analysers.on_state.append(lambda *_: changed.set())
    async with asyncio.timeout(10):
        while not wanted(there := await items(found)):
            await changed.wait()
            changed.clear()
    return there


async def test_items_are_readable_before_and_become_data_after(cached: Make, world: World) -> None:
    found = await cached(world)
    ready = asyncio.Event()

    async def parse(item: Item) -> dict[str, Any]:
        await ready.wait()
        item.subtype = "counted"
        item.error("not nice")
        return {"n": int(item.element.text or "")}

    await kept(found, parse)
    assert all("data" not in item and item["payload"] for item in (await items(found)).values())
    ready.set()
    there = await until(found, lambda there: all("data" in item for item in there.values()))
    assert json.loads(there["t3"]["data"]) == {"n": 3}
    assert (there["t3"]["type"], there["t3"]["subtype"], there["t3"]["errors"]) == ("thing", "counted", ["not nice"])


@pytest.mark.parametrize(
    "outcome", [ValueError("secret words"), asyncio.CancelledError(), SystemExit(1), None, [1], "y"]
)
async def test_one_items_failure_marks_that_item_only(
    cached: Make, world: World, outcome: Any, caplog: pytest.LogCaptureFixture
) -> None:
    found = await cached(world)

    async def parse(item: Item) -> Any:
        if item.context.id != "t1":
            return {}
        if isinstance(outcome, BaseException):
            raise outcome
        return {"large": outcome * 300_000} if outcome == "y" else outcome

    await kept(found, parse)
    there = await until(found, lambda there: all("data" in item or "errors" in item for item in there.values()))
    assert [id_ for id_, item in there.items() if "errors" in item] == ["t1"]
    assert there["t1"]["errors"][0].startswith("The parser of 'x' ")
    assert "data" not in there["t1"]
    entry = found.house.analysers.entry("x")
    assert entry is not None
    assert (entry.state, entry.failures) == ("active", 0)
    assert "secret words" not in caplog.text


@pytest.mark.parametrize("parsed", [0, COUNT], ids=["while it parses", "while it waits"])
async def test_where_the_database_fails_for_a_while_all_is_parsed_after_it(
    cached: Make, world: World, monkeypatch: pytest.MonkeyPatch, parsed: int
) -> None:
    monkeypatch.setattr(agents, "AGAIN", 0)
    found = await cached(world)
    ready = asyncio.Event()

    async def parse(item: Item) -> dict[str, Any]:
        await ready.wait()
        return {}

    if parsed:
        ready.set()
    await kept(found, parse)
    await until(found, lambda there: sum("data" in item for item in there.values()) == parsed)
    await found.store.write(lambda tx: tx.connection.exec_driver_sql("ALTER TABLE item RENAME TO away"))
    ready.set()
    found.house.agents.changed_nodes()
    for _ in range(10):
        await asyncio.sleep(0)
    await found.store.write(lambda tx: tx.connection.exec_driver_sql("ALTER TABLE away RENAME TO item"))
    world.services[SERVICE].publish("things", "new", "<x xmlns='urn:x'>new</x>")
    await until(found, lambda there: "new" in there and all("data" in item for item in there.values()))


@pytest.mark.parametrize("stubborn", [False, True])
async def test_one_that_hangs_is_suspended_and_can_be_resumed(
    cached: Make, world: World, monkeypatch: pytest.MonkeyPatch, stubborn: bool
) -> None:
    monkeypatch.setattr(coroutine, "SECONDS", 0.05)
    found = await cached(world)
    hanging, ended, at_once, most = asyncio.Event(), asyncio.Event(), 0, 0

    async def parse(item: Item) -> dict[str, Any]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            await hanging.wait()
        except asyncio.CancelledError:
            ended.set()
            if not stubborn:
                raise
            await hanging.wait()
        finally:
            at_once -= 1
        return {}

    await kept(found, parse)
    entry = found.house.analysers.entry("x")
    assert entry is not None
    await until(found, lambda there: entry.state == "suspended")
    assert (entry.failures, len(await items(found))) == (3, COUNT)
    assert most <= (8 if stubborn else 4)
    async with asyncio.timeout(10):
        await ended.wait()
    hanging.set()
    found.house.agents.resume("x")
    await until(found, lambda there: all("data" in item for item in there.values()))
    assert entry.state == "active"


@pytest.mark.parametrize("late", [1, 2])
async def test_an_item_that_was_not_answered_for_is_asked_about_once_more(
    cached: Make, world: World, monkeypatch: pytest.MonkeyPatch, late: int
) -> None:
    monkeypatch.setattr(coroutine, "SECONDS", 0.05)
    found = await cached(world)
    never, asked = asyncio.Event(), Counter[str]()

    async def parse(item: Item) -> dict[str, Any]:
        asked[item.context.id] += 1
        if item.context.id == "t1" and asked["t1"] <= late:
            await never.wait()
        return {}

    await kept(found, parse)
    for number in range(3):
        world.services[SERVICE].publish("things", f"n{number}", "<x xmlns='urn:x'>new</x>")
        await until(found, lambda there, id_=f"n{number}": "data" in there.get(id_, {}))  # type: ignore[misc]
    there = await until(found, lambda there: asked["t1"] == 2 and (late == 2 or "data" in there["t1"]))
    assert ("data" in there["t1"]) is (late == 1)
    assert asked == {**dict.fromkeys(there, 1), "t1": 2}


async def test_one_that_is_not_suspended_is_not_resumed(cached: Make, world: World) -> None:
    found = await cached(world)

    async def parse(item: Item) -> dict[str, Any]:
        return {}

    await kept(found, parse)
    found.house.analysers.set_state("x", "active", failures=1)
    found.house.resume("x")
    assert (entry := found.house.analysers.entry("x")) is not None
    assert entry.failures == 1


async def test_a_higher_version_and_reanalyse_run_it_again(cached: Make, world: World) -> None:
    found = await cached(world)

    async def first(item: Item) -> dict[str, Any]:
        return {"by": 1}

    async def second(item: Item) -> dict[str, Any]:
        return {"by": 2, "run": len(runs)}

    runs = [1]
    await kept(found, first)
    await until(found, lambda there: all("data" in item for item in there.values()))
    found.house.analysers.unregister("x")
    found.house.analysers.register(definition(second, version=2), "plugin")
    await until(found, lambda there: all(json.loads(item["data"]) == {"by": 2, "run": 1} for item in there.values()))
    runs.append(2)
    await found.house.reanalysis.job(ReanalyseFilter()).wait()
    await until(found, lambda there: all(json.loads(item["data"])["run"] == 2 for item in there.values()))


async def test_what_was_not_parsed_before_the_end_is_parsed_after_the_start(cached: Make, world: World) -> None:
    found = await cached(world)
    never = asyncio.Event()

    async def parse(item: Item) -> dict[str, Any]:
        await never.wait()
        return {}

    async def better(item: Item) -> dict[str, Any]:
        return {}

    await kept(found, parse)
    await found.restart(online=False)
    assert all("data" not in item for item in (await items(found)).values())
    found.house.analysers.register(definition(better), "plugin")
    await until(found, lambda there: all("data" in item for item in there.values()))


def by_version(version: int, begun: asyncio.Event | None = None, go: asyncio.Event | None = None) -> Definition:
    """A parser that says which version it is; it waits for ``go``, and tells by ``begun`` that it does."""

    async def parse(item: Item) -> dict[str, Any]:
        if begun is not None and go is not None:
            begun.set()
            await go.wait()
        return {"version": version}

    return definition(parse, version=version)


async def parsed_by_the_first(found: Cached) -> None:
    found.house.analysers.register(by_version(1), "bus", ":1.1")
    await found.read(SERVICE, "things")
    await until(found, lambda there: len(there) == COUNT and all("data" in item for item in there.values()))
    await found.idle()


def by_the_second(there: dict[str, Any]) -> bool:
    return all(json.loads(item["data"]) == {"version": 2} for item in there.values())


async def test_what_a_node_becomes_while_its_items_are_parsed_again_does_not_settle_it(
    cached: Make, world: World
) -> None:
    found = await cached(world)
    await parsed_by_the_first(found)
    begun, go = asyncio.Event(), asyncio.Event()
    found.house.analysers.register(by_version(2, begun, go), "bus", ":1.1")
    await begun.wait()
    row = await found.house.nodes.find(THINGS)
    assert row is not None
    await found.house.reanalysis.parse(await found.house.nodes.update(row, subtype="small"))
    go.set()
    assert (await until(found, by_the_second)).keys() == {f"t{number}" for number in range(COUNT)}


async def test_a_look_at_a_node_does_not_settle_what_is_to_be_parsed_again(cached: Make, world: World) -> None:
    found = await cached(world)
    await parsed_by_the_first(found)
    begun = asyncio.Event()
    found.house.analysers.register(by_version(2, begun, asyncio.Event()), "bus", ":1.1")
    await begun.wait()
    await found.house.nodes.discover(found.house.accounts.get(ALICE).session, THINGS)
    found.house.analysers.register(by_version(2), "bus", ":1.1")
    assert (await until(found, by_the_second)).keys() == {f"t{number}" for number in range(COUNT)}


async def test_what_is_left_out_while_it_is_suspended_is_parsed_though_it_is_resumed_before_the_node_is_done(
    cached: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coroutine, "SECONDS", 0.05)
    found = await cached(world)
    await parsed_by_the_first(found)
    go = asyncio.Event()

    async def parse(item: Item) -> dict[str, Any]:
        if item.context.id != "t0":
            await go.wait()
        return {"version": 2}

    def resume(*told: object) -> None:
        entry = found.house.analysers.entry("x")
        if entry is not None and entry.state == "suspended":
            go.set()
            found.house.resume("x")

    found.house.changes.on_items.append(resume)
    found.house.analysers.register(definition(parse, version=2), "bus", ":1.1")
    await until(found, lambda there: all(item.get("data") == '{"version":2}' for item in there.values()))


async def test_what_an_item_is_overwritten_by_is_parsed_though_nothing_came_of_what_it_was(
    cached: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coroutine, "SECONDS", 0.05)
    found = await cached(world)

    async def parse(item: Item) -> dict[str, Any]:
        if item.element.text == "0":
            await asyncio.Event().wait()
        return {"text": item.element.text}

    await kept(found, parse)
    entry = found.house.analysers.entry("x")
    assert entry is not None
    await until(found, lambda there: sum("data" in item for item in there.values()) == COUNT - 1)
    world.services[SERVICE].publish("things", "t0", "<x xmlns='urn:x'>fine</x>")
    there = await until(found, lambda there: "data" in there["t0"])
    assert json.loads(there["t0"]["data"]) == {"text": "fine"}
    assert entry.state == "active"


@contextmanager
def asking() -> Iterator[list[str]]:
    """The statements by which items and nodes are looked for that a parser is yet to get."""
    asked: list[str] = []

    def see(*told: Any) -> None:
        if told[2].startswith(("SELECT item.id", "SELECT node.id \n")):
            asked.append(told[2])

    event.listen(Engine, "before_cursor_execute", see)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", see)


async def quiet(found: Cached, asked: list[str]) -> None:
    """Return once nothing is looked for any more."""
    before = None
    async with asyncio.timeout(20):
        while len(asked) != before:
            before = len(asked)
            for _ in range(20):
                await found.store.read(lambda _: None)
                await found.store.write(lambda _: None)


async def test_what_another_makes_nothing_of_is_not_looked_for_again_and_again(cached: Make, world: World) -> None:
    found = await cached(world)
    takes = Definition(name="taker", type="taken", namespace="urn:t", takes_over=frozenset({"urn:t"}))
    found.house.analysers.register(takes, "plugin")
    world.services[SERVICE].publish("things", "taken", "<x xmlns='urn:t'/>")
    world.services[SERVICE].publish("things", "last", "<x xmlns='urn:x'/>")
    with asking() as asked:
        await kept(found, by_version(1).parser)
        await until(found, lambda there: "data" in there["last"])
        await quiet(found, asked)
    assert (await items(found))["taken"]["type"] == "taken"


@pytest.mark.parametrize(("batch", "most"), [(1, 3), (agents.BATCH, 6)])
@pytest.mark.parametrize("again", [False, True])
async def test_what_a_suspended_one_has_not_got_it_gets_once_it_is_resumed_and_is_not_looked_for_before(
    cached: Make, world: World, monkeypatch: pytest.MonkeyPatch, again: bool, batch: int, most: int
) -> None:
    monkeypatch.setattr(coroutine, "SECONDS", 0.05)
    monkeypatch.setattr(agents, "BATCH", batch)
    found = await cached(world)
    begun, ended = 0, 0
    go, over = asyncio.Event(), asyncio.Event()

    async def parse(item: Item) -> dict[str, Any]:
        nonlocal begun, ended
        begun += 1
        try:
            await go.wait()
        finally:
            ended += 1
            over.set()
        return {"version": 2}

    if again:
        await parsed_by_the_first(found)
    with asking() as asked:
        found.house.analysers.register(definition(parse, version=2), "bus", ":1.1")
        entry = found.house.analysers.entry("x")
        assert entry is not None
        await found.keep(SERVICE, "things")
        async with asyncio.timeout(20):
            while entry.state != "suspended" or begun != ended:
                await over.wait()
                over.clear()
                await asyncio.sleep(0)
            await quiet(found, asked)
            asked_before = [*asked]
            found.house.agents.changed_nodes()
            await quiet(found, asked)
    assert asked == asked_before
    assert len([each for each in asked if "item.payload, " in each and "node.subtype" in each]) <= most
    assert begun <= most
    go.set()
    found.house.resume("x")
    wanted = {f"t{number}": {"version": 2} for number in range(COUNT)}
    await until(found, lambda there: {name: json.loads(there[name].get("data", "0")) for name in there} == wanted)


@pytest.mark.parametrize("meanwhile", [False, True])
async def test_a_higher_version_of_another_type_counts_though_others_are_seen_to_before(
    cached: Make, world: World, meanwhile: bool
) -> None:
    world.services[SERVICE].create_node("others")
    world.services[SERVICE].publish("others", "o", "<o xmlns='urn:o'/>")
    found = await cached(world)
    registry, loop = found.house.analysers, asyncio.get_running_loop()
    begun, go = asyncio.Event(), threading.Event()

    def wait(item: Item) -> dict[str, Any]:
        loop.call_soon_threadsafe(begun.set)
        go.wait(20)
        return {}

    slow = Definition(name="a", type="other", namespace="urn:o", to_sync=True, parser=lambda item: {})
    registry.register(slow, "plugin")
    await found.keep(SERVICE, "others")
    await parsed_by_the_first(found)
    registry.unregister("a")
    registry.register(msgspec.structs.replace(slow, version=2, parser=wait), "plugin")
    try:
        if meanwhile:
            await asyncio.wait_for(begun.wait(), 20)
        registry.register(msgspec.structs.replace(by_version(2), type="gadget"), "bus", ":1.1")
        await asyncio.wait_for(begun.wait(), 20)
        there = await until(found, by_the_second)
        assert len(there) == COUNT
        assert {each["type"] for each in there.values()} == {"gadget"}
        assert (await found.node(SERVICE, "things"))["type"] == "gadget"
    finally:
        go.set()


@pytest.mark.parametrize("becomes", ["another's", "forgotten"])
async def test_a_node_that_is_none_of_its_any_more_once_it_comes_to_it_is_left_alone(
    cached: Make, world: World, becomes: str, caplog: pytest.LogCaptureFixture
) -> None:
    others = [Address(ALICE, SERVICE, name) for name in ("other", "last")]
    for other in others:
        world.services[SERVICE].create_node(other.node)
        world.services[SERVICE].publish(other.node, "o", "<x xmlns='urn:x'/>")
    found = await cached(world)
    await parsed_by_the_first(found)
    for other in others:
        await found.read(SERVICE, other.node)
        await found.idle()
    begun, go, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    found.house.analysers.register(Definition(name="y", type="thing", namespace="urn:y"), "plugin")
    found.house.analysers.register(by_version(2, begun, go), "bus", ":1.1")
    await asyncio.wait_for(begun.wait(), 20)
    row = await found.house.nodes.find(others[0])
    assert row is not None
    if becomes == "forgotten":
        await found.house.removal.purge(PurgeFilter(nodes=("other",), forget=True)).wait()
    else:
        await found.house.nodes.update(row, analyser="y", analyser_version=1)
    found.house.changes.on_items.append(lambda address, *_: done.set() if address == others[1] else None)
    go.set()
    await asyncio.wait_for(done.wait(), 20)
    row = await found.house.nodes.find(others[0])
    assert row is None if becomes == "forgotten" else row is not None and row.analyser_version == 1
    assert not caplog.messages

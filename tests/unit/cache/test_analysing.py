"""What analysers that come, go or change mean for nodes, indexes and announcements; without a bus."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import msgspec
import pytest
from sqlalchemy import event

from pubsub_cached import errors, pace
from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import Analysis, Definition, Subject, from_mapping
from pubsub_cached.analysers.item import ItemContext
from pubsub_cached.analysers.registry import Matched
from pubsub_cached.cache.nodes.transitions import asks
from pubsub_cached.cache.options import ReanalyseFilter
from pubsub_cached.cache.parsing.agent import whole
from pubsub_cached.cache.reanalysis import analysing
from pubsub_cached.store import indexes
from pubsub_cached.store.accounts import analysers, nodes
from pubsub_cached.store.database import AccountInUse
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import reaching, writer_busy

SERVICE = "pubsub.example.org"
FIELDS = {"title": {"path": "{urn:x}x/{urn:x}title"}}
RULES = {"name": "x", "type": "thing", "namespace": "urn:x", "to-sync": True, "fields": FIELDS}


@pytest.fixture
def world() -> World:
    made = World()
    service = made.service(SERVICE)
    service.create_node("things")
    service.publish("things", "a", "<x xmlns='urn:x'><title>A</title></x>")
    service.create_node("blog", node_type="urn:xmpp:microblog:0")
    service.publish("blog", "1", ENTRY.format(1))
    return made


async def test_an_index_is_made_and_dropped_with_the_analyser(cached: Make, world: World) -> None:
    found = await cached(world)
    await found.house.analysing.settled()
    before = await found.store.read(indexes.names)
    await found.house.analysing.register("x", {**RULES, "indexes": ["title"]} | {"name": "x"}, "")
    await found.house.analysing.settled()
    assert len(await found.store.read(indexes.names)) == len(before) + 1
    await found.house.analysing.unregister("x", "")
    await found.house.analysing.settled()
    assert await found.store.read(indexes.names) == before


async def test_what_is_to_be_written_waits_for_one_index_at_a_time(cached: Make, world: World) -> None:
    found = await cached(world)
    await found.house.analysing.settled()
    before = len(await found.store.read(indexes.names))
    found.house.analysers.register(from_mapping({**RULES, "indexes": ["title", "start"]}), "plugin")
    writing = []
    for _ in range(50):
        writing.append(found.store.write(lambda tx: len(indexes.names(tx.connection))))
        await asyncio.sleep(0)
    await found.house.analysing.settled()
    assert before + 1 in await asyncio.gather(*writing)
    assert len(await found.store.read(indexes.names)) == before + 2


@pytest.mark.sqlite
async def test_others_have_their_turn_between_one_analyser_and_the_next(
    cached: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where each takes long.
    monkeypatch.setattr(pace, "SLICE", -1.0)
    found = await cached(world)
    await found.house.analysing.settled()
    asked: list[int] = []
    turn = 0

    def see(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "analyser_version <" in statement:
            asked.append(turn)

    event.listen(found.store._connection, "before_cursor_execute", see)
    for name in ("x", "y", "z"):
        found.house.analysers.register(from_mapping({**RULES, "name": name}), "plugin")
    settling = asyncio.create_task(found.house.analysing.settled())
    while not settling.done():
        await asyncio.sleep(0)
        turn += 1
    event.remove(found.store._connection, "before_cursor_execute", see)
    assert len(asked) == len(set(asked)) == 3


async def test_an_index_on_many_places_is_refused(cached: Make, world: World) -> None:
    found = await cached(world)
    with pytest.raises(errors.InvalidAnalyser, match="indexes"):
        await found.house.analysing.register("x", {**RULES, "indexes": ["a[*].b"]}, "")


async def test_a_node_of_ones_own_is_announced_once_an_analyser_keeps_it(cached: Make, world: World) -> None:
    found = await cached(world)
    await found.house.analysing.settled()
    await found.house.analysing.register("x", {**RULES, "node": "urn:x", "exact": True}, "")
    await found.house.analysing.settled()
    assert "urn:x" in found.house.accounts.get(ALICE).interests


async def test_a_node_excluded_since_keeps_no_payload(cached: Make, world: World) -> None:
    found = await cached(world)
    found.house.analysers.register(from_mapping(RULES))
    await found.keep(SERVICE, "things")
    assert (await found.node(SERVICE, "things"))["items"] == 1
    found.house.analysers.unregister("x")
    excluding = msgspec.structs.replace(from_mapping(RULES), name="never", excluded=True)
    found.house.analysers.register(excluding)
    await found.house.analysing.settled()
    node = await found.node(SERVICE, "things")
    assert (node["state"], node["items"]) == ("excluded", 0)


async def test_what_was_parsed_by_an_earlier_version_is_parsed_again_at_the_start(cached: Make, world: World) -> None:
    found = await cached(world)
    await found.house.analysing.register("x", {**RULES, "persist": True}, "")
    await found.keep(SERVICE, "things")
    items, *_ = await found.read(SERVICE, "things")
    assert json.loads(items[0]["data"]) == {"title": "A"}
    text = from_mapping({**RULES, "persist": True, "version": 2, "fields": {"t": FIELDS["title"]}}).to_json()
    await found.store.write(analysers.put, "x", text)
    await found.restart(online=False)
    await found.house.analysing.settled()
    items, *_ = await found.read(SERVICE, "things")
    assert json.loads(items[0]["data"]) == {"t": "A"}


async def test_an_analyser_that_can_not_be_kept_is_not_registered(
    cached: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await cached(world)

    def full(*_: object) -> None:
        raise errors.StorageFull("The disk is full.")

    monkeypatch.setattr(analysers, "put", full)
    with pytest.raises(errors.StorageFull):
        await found.house.analysing.register("x", {**RULES, "persist": True}, "")
    assert found.house.analysers.entry("x") is None


async def test_what_is_registered_after_one_that_can_not_be_kept_stays(
    cached: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await cached(world)
    original, failures = analysers.remove, [errors.StorageFull("The disk is full.")]

    def fails_once(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        original(*arguments)

    monkeypatch.setattr(analysers, "remove", fails_once)
    registering = (found.house.analysing.register("x", {**RULES, "version": each}, ":1.1") for each in (1, 2))
    told = await asyncio.gather(*registering, return_exceptions=True)
    assert isinstance(told[0], errors.StorageFull)
    definition = found.house.analysers.get("x")
    assert definition is not None
    assert definition.version == 2


async def test_an_analyser_that_can_not_be_forgotten_is_still_there(
    cached: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await cached(world)
    await found.house.analysing.register("x", {**RULES, "persist": True}, ":1.1")

    def full(*_: object) -> None:
        raise errors.StorageFull("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(analysers, "remove", full)
        with pytest.raises(errors.StorageFull):
            await found.house.analysing.unregister("x", ":1.1")
    await found.house.analysing.unregister("x", ":1.1")
    assert found.house.analysers.entry("x") is None
    assert await found.store.read(analysers.all) == {}


async def test_an_analyser_that_is_registered_anew_while_it_is_forgotten_stays(cached: Make, world: World) -> None:
    found = await cached(world)
    analysing_, persistent = found.house.analysing, {**RULES, "persist": True}
    await analysing_.register("x", persistent, ":1.1")
    later = {**persistent, "version": 2}
    await asyncio.gather(analysing_.unregister("x", ":1.1"), analysing_.register("x", later, ":1.1"))
    definition = found.house.analysers.get("x")
    assert definition is not None
    assert definition.version == 2
    assert list(await found.store.read(analysers.all)) == ["x"]


@pytest.mark.parametrize("broken", [(indexes, "keep"), (nodes, "unmatched")], ids=["indexes", "nodes"])
async def test_its_nodes_are_kept_though_the_database_failed_when_it_came(
    cached: Make, world: World, monkeypatch: pytest.MonkeyPatch, broken: tuple[Any, str]
) -> None:
    monkeypatch.setattr(analysing, "AGAIN", 0)
    found = await cached(world)
    await found.keep(SERVICE, "things")
    failures: list[errors.PubSubCachedError] = [
        errors.DatabaseError("It has gone."),
        errors.StorageFull("No room."),
        AccountInUse("It is run elsewhere."),
    ]
    original = getattr(*broken)

    def fails_first(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return original(*arguments)

    monkeypatch.setattr(*broken, fails_first)
    await found.house.analysing.register("x", {**RULES, "indexes": ["title"]}, "")
    await found.house.analysing.settled()
    await found.idle()
    assert not failures
    assert (await found.node(SERVICE, "things"))["state"] == "live"


@pytest.mark.parametrize("rules", [None, {**RULES, "to-sync": False}, {**RULES, "namespace": "urn:other"}])
async def test_a_node_that_nobody_keeps_is_answered_by_the_service(
    cached: Make, world: World, rules: dict[str, object] | None
) -> None:
    found = await cached(world)
    if rules is not None:
        await found.house.analysing.register("x", rules, "")
    for _ in range(3):
        items, _, info = await found.read(SERVICE, "things")
        await found.idle()
        assert ([item["id"] for item in items], info["source"]) == (["a"], "network")
    assert (await found.node(SERVICE, "things"))["items"] == 0


async def test_what_a_match_decides_counts_for_the_items_too(cached: Make, world: World) -> None:
    found = await cached(world)

    def sharpen(subject: Subject, analysis: Analysis) -> None:
        analysis.type, analysis.subtype = "gadget", "blue"

    found.house.analysers.register(msgspec.structs.replace(from_mapping(RULES), match=sharpen), "plugin")
    passed, *_ = await found.read(SERVICE, "things")
    await found.idle()
    stored, *_ = await found.read(SERVICE, "things")
    assert [(item["type"], item["subtype"]) for item in (*passed, *stored)] == [("gadget", "blue")] * 2


async def test_a_higher_version_may_give_another_type(cached: Make, world: World) -> None:
    found = await cached(world)
    await found.house.analysing.register("x", RULES, "")
    await found.keep(SERVICE, "things")
    await found.house.analysing.register("x", {**RULES, "type": "gadget", "version": 2}, "")
    await found.house.analysing.settled()
    assert (await found.node(SERVICE, "things"))["type"] == "gadget"
    assert [item["type"] for item in (await found.read(SERVICE, "things"))[0]] == ["gadget"]


async def test_reanalyse_leaves_what_comes_out_the_same(cached: Make, world: World) -> None:
    found = await cached(world)
    await found.keep(SERVICE)
    *_, before = await found.read(SERVICE)
    job = found.house.reanalysis.job(ReanalyseFilter())
    assert await job.wait() == "1 node was matched and 1 item parsed again."
    await found.idle()
    *_, after = await found.read(SERVICE)
    assert after["revision"] == before["revision"]


def test_a_payload_without_namespace_stays_without_one_in_its_item() -> None:
    item = ItemContext(Address(ALICE, SERVICE, "n"), 'a"<', "<x/>", "", ALICE)
    text = whole(item, item.payload)
    assert text.startswith("<pubsub:item xmlns:pubsub='http://jabber.org/protocol/pubsub' id=\"a&quot;&lt;\"")
    assert text.endswith("><x/></pubsub:item>")


def renamed(found: Cached) -> None:
    """A later version calls the title otherwise."""
    later = {**RULES, "fields": {"name": FIELDS["title"]}, "version": 2}
    found.house.analysers.register(from_mapping(later), "bus", ":1.1")


async def parsed(found: Cached) -> dict[str, Any]:
    """What was made of each item."""
    await found.house.analysing.settled()
    await found.idle()
    await found.house.reanalysis.settled()
    items, *_ = await found.read(SERVICE, "things")
    return {item["id"]: json.loads(item["data"]) for item in items}


@pytest.fixture
async def things(cached: Make, world: World) -> Cached:
    """A cache that keeps things."""
    found: Cached = await cached(world)
    found.house.analysers.register(from_mapping(RULES), "bus", ":1.1")
    await found.read(SERVICE, "things")
    assert await parsed(found) == {"a": {"title": "A"}}
    return found


async def test_a_node_whose_analyser_left_stays_as_it_is_where_one_comes_that_does_not_match(things: Cached) -> None:
    before = await things.node(SERVICE, "things")
    things.house.analysers.unregister("x")
    things.house.analysers.register(from_mapping({**RULES, "name": "y", "namespace": "urn:y"}), "bus", ":1.1")
    assert await parsed(things) == {"a": {"title": "A"}}
    assert await things.node(SERVICE, "things") == before


async def test_what_is_stored_without_an_analyser_becomes_data_once_there_is_one(cached: Make, world: World) -> None:
    found = await cached(world)
    await (await found.house.sync.start(Address(ALICE, SERVICE, "things"), True, "", "")).wait()
    await found.restart(online=False)
    assert "data" not in (await found.read(SERVICE, "things"))[0][0]
    found.house.analysers.register(from_mapping(RULES), "bus", ":1.1")
    assert await parsed(found) == {"a": {"title": "A"}}


async def test_reanalyse_gives_a_node_and_its_items_to_who_comes_first_by_now(things: Cached) -> None:
    first = {**RULES, "name": "y", "priority": 1, "fields": {"name": FIELDS["title"]}}
    things.house.analysers.register(from_mapping(first), "bus", ":1.1")
    assert await parsed(things) == {"a": {"title": "A"}}
    await things.house.reanalysis.job(ReanalyseFilter()).wait()
    assert await parsed(things) == {"a": {"name": "A"}}


async def test_reanalyse_looks_at_the_nodes_that_were_chosen_alone_and_says_how_far_it_is(things: Cached) -> None:
    await things.keep(SERVICE, "blog")
    first = {**RULES, "name": "y", "priority": 1, "fields": {"name": FIELDS["title"]}}
    things.house.analysers.register(from_mapping(first), "bus", ":1.1")
    job = things.house.reanalysis.job(ReanalyseFilter(nodes=("blog",)))
    far: list[tuple[int, int]] = []
    job.on_progress.append(lambda: far.append((job.done, job.total)))
    assert await job.wait() == "1 node was matched and 1 item parsed again."
    assert (far[-1], await parsed(things)) == ((1, 1), {"a": {"title": "A"}})


async def test_a_higher_version_keeps_its_nodes_though_another_analyser_comes_first_by_now(things: Cached) -> None:
    for keys in ({"name": "y", "priority": 1}, {"version": 2, "fields": {"name": FIELDS["title"]}}):
        things.house.analysers.register(from_mapping({**RULES, **keys}), "bus", ":1.1")
    assert await parsed(things) == {"a": {"name": "A"}}
    assert (await things.node(SERVICE, "things"))["analyser"] == "x"


async def test_reanalyse_keeps_what_is_pinned_though_no_analyser_does(cached: Make, world: World) -> None:
    found = await cached(world)
    await (await found.house.sync.start(Address(ALICE, SERVICE, "things"), True, "", "")).wait()
    before = await found.node(SERVICE, "things")
    await found.house.reanalysis.job(ReanalyseFilter()).wait()
    assert await found.node(SERVICE, "things") == before
    assert (before["pinned"], before["items"]) == (True, 1)


@pytest.mark.parametrize("key", ["created_before", "modified_before"])
async def test_items_that_reanalyse_was_not_to_look_at_are_parsed_by_their_nodes_new_analyser_at_the_next_start(
    things: Cached, key: str
) -> None:
    first = {**RULES, "priority": 1, "persist": True, "fields": {"name": FIELDS["title"]}}
    await things.house.analysing.register("y", first, ":1.1")
    await things.house.analysing.settled()
    await things.house.reanalysis.job(ReanalyseFilter(**{key: 0})).wait()
    assert await parsed(things) == {"a": {"title": "A"}}
    await things.restart(online=False)
    assert await parsed(things) == {"a": {"name": "A"}}


@pytest.mark.parametrize("before", ["kept", "excluded"])
async def test_what_nobody_keeps_or_excludes_any_more_is_discovered_once_it_is_reanalysed(
    things: Cached, before: str
) -> None:
    rules = from_mapping({**RULES, "name": "y", "to-sync": False})
    if before == "excluded":
        things.house.analysers.register(msgspec.structs.replace(rules, name="never", excluded=True), "plugin")
        await things.house.reanalysis.job(ReanalyseFilter()).wait()
        assert (await things.node(SERVICE, "things"))["state"] == "excluded"
        things.house.analysers.unregister("never")
    things.house.analysers.unregister("x")
    things.house.analysers.register(rules, "plugin")
    await things.house.analysing.settled()
    await things.house.reanalysis.job(ReanalyseFilter()).wait()
    node = await things.node(SERVICE, "things")
    assert (node["state"], node["items"], node["completeness"]) == ("discovered", 0, "none")


async def test_what_is_fetched_again_as_it_was_is_made_of_it_what_its_parser_makes_by_now(things: Cached) -> None:
    taken = {"type": "taken", "namespace": "urn:none", "takes_over": frozenset({"urn:x"})}
    things.house.analysers.register(Definition(name="t", parser=lambda item: {"taken": True}, **taken), "plugin")
    assert await parsed(things) == {"a": {"title": "A"}}
    await things.house.sync.job(Address(ALICE, SERVICE, "things")).wait()
    assert await parsed(things) == {"a": {"taken": True}}


async def test_what_was_fetched_before_an_analyser_changed_is_parsed_by_what_it_is_now(
    things: Cached, world: World
) -> None:
    service = world.services[SERVICE]
    service.publish("things", "b", "<x xmlns='urn:x'><title>B</title></x>")
    await things.idle()
    service.hold()
    await things.house.sync.start(Address(ALICE, SERVICE, "things"), True, "", "")
    await reaching(service, "disco_info")
    renamed(things)
    await things.house.analysing.settled()
    service.release()
    assert await parsed(things) == {"a": {"name": "A"}, "b": {"name": "B"}}


@pytest.mark.sqlite
async def test_what_came_while_a_node_was_matched_is_what_its_node_is(things: Cached, world: World) -> None:
    between = threading.Event()
    things.told.clear()
    with writer_busy(things):
        things.house.analysers.register(from_mapping({**RULES, "type": "gadget", "version": 2}), "bus", ":1.1")
        await world.settle()
        # What is queued from here on is not committed with what was before.
        waiting = things.store.maintain(lambda connection: between.wait(30))
        world.services[SERVICE].publish("things", "b", "<x xmlns='urn:x'><title>B</title></x>")
        await world.settle()
    while not things.signals("updated"):
        await asyncio.sleep(0.001)
    await world.settle()
    between.set()
    await waiting
    assert len(await parsed(things)) == 2
    items, *_ = await things.read(SERVICE, "things")
    assert [item["type"] for item in items] == ["gadget", "gadget"]


async def test_what_became_known_of_a_node_while_others_were_matched_counts(cached: Make, world: World) -> None:
    service = world.services[SERVICE]
    service.create_node("new")
    found = await cached(world)
    address = Address(ALICE, SERVICE, "new")
    await found.keep(SERVICE, "new")
    row = await found.house.nodes.find(address)
    assert row is not None
    service.publish("new", "1", ENTRY.format(1))
    await found.read(SERVICE, "new")
    await found.house.sync.start(address, False, "", "")
    await found.idle()
    before = await found.node(SERVICE, "new")
    await found.house.reanalysis.match(row)
    assert before["type"] == "blog"
    assert await found.node(SERVICE, "new") == before


async def test_what_an_agent_says_while_the_node_is_looked_at_again_counts(cached: Make, world: World) -> None:
    service = world.services[SERVICE]
    found: Cached = await cached(world)
    answer, asked = asyncio.Event(), asyncio.Event()

    async def match(subject: Subject, matched: Matched) -> Matched:
        asked.set()
        await answer.wait()
        return msgspec.structs.replace(matched, type="gadget")

    async def called(type_: str) -> None:
        async with asyncio.timeout(20):
            while (await found.node(SERVICE, "things"))["type"] != type_:
                await asyncio.sleep(0.001)

    found.house.agents.match = match  # type: ignore[method-assign]
    rules = {key: value for key, value in RULES.items() if key != "fields"} | {"agent": "/a", "callbacks": ["match"]}
    found.house.analysers.register(from_mapping(rules), "bus", ":1.1")
    await found.read(SERVICE, "things")
    service.hold()
    syncing = await found.house.sync.start(Address(ALICE, SERVICE, "things"), False, "", "")
    await service.holding(1)
    answer.set()
    await called("gadget")
    answer.clear()
    asked.clear()
    service.release()
    async with asyncio.timeout(20):
        await asked.wait()
    # What it said before counts until it has answered.
    await called("gadget")
    answer.set()
    await syncing.wait()
    await called("gadget")


async def test_an_agent_is_told_what_is_stored_of_the_nodes_metadata(cached: Make, world: World) -> None:
    world.services[SERVICE].create_node("new", title="News", node_type="urn:x:news")
    found: Cached = await cached(world)
    asked = asyncio.Event()
    told: list[Subject] = []

    async def match(subject: Subject, matched: Matched) -> Matched:
        told.append(subject)
        asked.set()
        return matched

    found.house.agents.match = match  # type: ignore[method-assign]
    rules = {"name": "x", "type": "thing", "node": "new", "to-sync": True, "agent": "/a", "callbacks": ["match"]}
    found.house.analysers.register(from_mapping(rules), "bus", ":1.1")
    await found.read(SERVICE, "new")
    await asked.wait()
    metadata = {"pubsub#title": ["News"], "pubsub#type": ["urn:x:news"], "pubsub#access_model": ["open"]}
    assert told[0].config == metadata


async def test_an_agent_is_asked_anew_where_more_of_the_node_became_known_meanwhile(cached: Make, world: World) -> None:
    world.services[SERVICE].create_node("new")
    found: Cached = await cached(world)
    answer, asked = asyncio.Event(), asyncio.Event()

    async def match(subject: Subject, matched: Matched) -> Matched:
        asked.set()
        await answer.wait()
        return msgspec.structs.replace(matched, type="gadget" if subject.namespace else "thing")

    found.house.agents.match = match  # type: ignore[method-assign]
    rules = {"name": "x", "type": "thing", "node": "new", "to-sync": True, "agent": "/a", "callbacks": ["match"]}
    found.house.analysers.register(from_mapping(rules), "bus", ":1.1")
    await found.read(SERVICE, "new")
    await asked.wait()
    world.services[SERVICE].publish("new", "1", "<x xmlns='urn:x'/>")
    await (await found.house.sync.start(Address(ALICE, SERVICE, "new"), False, "", "")).wait()
    answer.set()
    async with asyncio.timeout(20):
        while (await found.node(SERVICE, "new"))["type"] != "gadget":
            await asyncio.sleep(0.001)


async def test_what_an_agent_says_of_a_node_that_is_anothers_by_now_counts_no_more(cached: Make, world: World) -> None:
    found: Cached = await cached(world)
    answer, asked = asyncio.Event(), asyncio.Event()

    async def match(subject: Subject, matched: Matched) -> Matched:
        if asks(matched):
            asked.set()
            await answer.wait()
            return msgspec.structs.replace(matched, type="gadget")
        return matched

    found.house.agents.match = match  # type: ignore[method-assign]
    rules = {key: value for key, value in RULES.items() if key != "fields"} | {"agent": "/a", "callbacks": ["match"]}
    found.house.analysers.register(from_mapping(rules), "bus", ":1.1")
    await found.read(SERVICE, "things")
    await asked.wait()
    found.house.analysers.register(from_mapping({**RULES, "name": "y", "type": "other", "priority": 1}), "bus", ":1.1")
    await found.house.reanalysis.job(ReanalyseFilter()).wait()
    answer.set()
    await found.idle()
    node = await found.node(SERVICE, "things")
    assert (node["analyser"], node["type"]) == ("y", "other")


@pytest.mark.parametrize("how", ["matched again", "looked at again"])
async def test_what_an_agent_said_counts_until_it_is_back(cached: Make, world: World, how: str) -> None:
    found: Cached = await cached(world)
    things, gone, asked = Address(ALICE, SERVICE, "things"), False, asyncio.Event()

    async def match(subject: Subject, matched: Matched) -> Matched | None:
        asked.set()
        return None if gone else msgspec.structs.replace(matched, type="gadget", subtype="small")

    async def looked_at() -> tuple[str | None, str | None]:
        asked.clear()
        row = await found.house.nodes.find(things)
        if row is not None and how == "matched again":
            await found.house.reanalysis.match(row)
        else:
            await found.house.nodes.discover(found.house.accounts.get(ALICE).session, things)
        async with asyncio.timeout(20):
            await asked.wait()
        await found.idle()
        node = await found.node(SERVICE, "things")
        return node.get("type"), node.get("subtype")

    found.house.agents.match = match  # type: ignore[method-assign]
    rules = {key: value for key, value in RULES.items() if key != "fields"} | {"agent": "/a", "callbacks": ["match"]}
    found.house.analysers.register(from_mapping(rules), "bus", ":1.1")
    assert await looked_at() == ("gadget", "small")
    gone = True
    assert await looked_at() == ("gadget", "small")


@pytest.mark.parametrize("how", ["read", "matched again", "first payload"])
async def test_an_agent_is_asked_though_whoever_met_the_node_gives_up(cached: Make, world: World, how: str) -> None:
    service = world.services[SERVICE]
    service.create_node("empty")
    found: Cached = await cached(world)
    asked: asyncio.Queue[Address] = asyncio.Queue()

    async def match(subject: Subject, matched: Matched) -> Matched | None:
        asked.put_nowait(subject.address)
        return matched

    async def met() -> object:
        if how == "read":
            return await found.read(SERVICE, "things")
        row = await found.house.nodes.find(address)
        assert row is not None
        if how == "matched again":
            return await found.house.reanalysis.match(row)
        return await found.house._recognition.recognise(row, "urn:x")

    address = Address(ALICE, SERVICE, "empty" if how == "first payload" else "things")
    rules = {key: value for key, value in RULES.items() if key != "fields"} | {"agent": "/a", "callbacks": ["match"]}
    found.house.agents.match = match  # type: ignore[method-assign]
    if how == "matched again":
        found.house.analysers.register(from_mapping({**RULES, "name": "before"}), "plugin")
        await found.read(SERVICE, "things")
    elif how == "first payload":
        await found.house.sync.run(address, pin=True)
    found.house.analysers.register(from_mapping({**rules, "priority": 1}), "bus", ":1.1")
    await found.house.analysing.settled()
    await found.idle()
    assert asked.empty()
    with writer_busy(found):
        meeting = asyncio.create_task(met())
        await world.settle()
        meeting.cancel()
        await asyncio.wait([meeting])
    async with asyncio.timeout(20):
        assert await asked.get() == address


async def test_what_is_to_be_kept_is_fetched_though_whoever_has_it_matched_again_gives_up(
    cached: Make, world: World
) -> None:
    found: Cached = await cached(world)
    found.house.analysers.register(from_mapping({**RULES, "name": "before", "to-sync": False}), "plugin")
    await found.read(SERVICE, "things")
    found.house.analysers.register(from_mapping({**RULES, "priority": 1}), "plugin")
    await found.house.analysing.settled()
    await found.idle()
    row = await found.house.nodes.find(Address(ALICE, SERVICE, "things"))
    assert row is not None
    assert (row.analyser, row.state) == ("before", "discovered")
    with writer_busy(found):
        matching = asyncio.create_task(found.house.reanalysis.match(row))
        await world.settle()
        matching.cancel()
        await asyncio.wait([matching])
    await found.store.write(lambda tx: None)
    await found.idle()
    assert (await found.node(SERVICE, "things"))["state"] == "live"


async def test_no_agent_is_asked_of_what_is_written_down_once_the_daemon_stops(cached: Make, world: World) -> None:
    found: Cached = await cached(world)
    asked: list[Address] = []

    async def match(subject: Subject, matched: Matched) -> Matched | None:
        asked.append(subject.address)
        return matched

    found.house.agents.match = match  # type: ignore[method-assign]
    rules = {key: value for key, value in RULES.items() if key != "fields"} | {"agent": "/a", "callbacks": ["match"]}
    found.house.analysers.register(from_mapping(rules), "bus", ":1.1")
    await found.house.analysing.settled()
    with writer_busy(found):
        reading = asyncio.create_task(found.read(SERVICE, "things"))
        await world.settle()
        reading.cancel()
        await found.house.reanalysis.close()
    await found.idle()
    assert (await found.node(SERVICE, "things"))["type"] == "thing"
    assert asked == []


async def test_what_came_while_an_analyser_was_away_is_parsed_once_it_is_back(things: Cached, world: World) -> None:
    things.house.analysers.unregister(RULES["name"])
    world.services[SERVICE].publish("things", "b", "<x xmlns='urn:x'><title>B</title></x>")
    await things.idle()
    things.house.analysers.register(from_mapping(RULES), "bus", ":1.2")
    assert await parsed(things) == {"a": {"title": "A"}, "b": {"title": "B"}}


async def test_what_is_fetched_while_an_analyser_is_away_stays_as_it_was_parsed(things: Cached, world: World) -> None:
    things.house.analysers.unregister(RULES["name"])
    world.services[SERVICE].publish("things", "b", "<x xmlns='urn:x'><title>B</title></x>", notify=False)
    await (await things.house.sync.start(Address(ALICE, SERVICE, "things"), True, "", "")).wait()
    items, *_ = await things.read(SERVICE, "things")
    assert {item["id"]: item.get("data") for item in items} == {"a": '{"title":"A"}', "b": None}
    things.house.analysers.register(from_mapping(RULES), "bus", ":1.2")
    assert await parsed(things) == {"a": {"title": "A"}, "b": {"title": "B"}}

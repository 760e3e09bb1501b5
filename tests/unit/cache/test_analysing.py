"""What analysers that come, go or change mean for nodes, indexes and announcements; without a bus."""

from __future__ import annotations

import json

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import Analysis, Subject, from_mapping
from pubsub_cached.analysers.item import ItemContext
from pubsub_cached.cache.agent import whole
from pubsub_cached.cache.options import ReanalyseFilter
from pubsub_cached.store import analysers, indexes
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Make

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
    await found.read(SERVICE, "things")
    await found.idle()
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
    await found.read(SERVICE, "things")
    await found.idle()
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
    await found.read(SERVICE, "things")
    await found.idle()
    await found.house.analysing.register("x", {**RULES, "type": "gadget", "version": 2}, "")
    await found.house.analysing.settled()
    assert (await found.node(SERVICE, "things"))["type"] == "gadget"
    assert [item["type"] for item in (await found.read(SERVICE, "things"))[0]] == ["gadget"]


async def test_reanalyse_leaves_what_comes_out_the_same(cached: Make, world: World) -> None:
    found = await cached(world)
    await found.read(SERVICE)
    await found.idle()
    *_, before = await found.read(SERVICE)
    job = found.house.reanalysis.job(ReanalyseFilter())
    assert await job.wait() == "1 nodes were matched and 1 items parsed again."
    await found.idle()
    *_, after = await found.read(SERVICE)
    assert after["revision"] == before["revision"]


def test_a_payload_without_namespace_stays_without_one_in_its_item() -> None:
    item = ItemContext(Address(ALICE, SERVICE, "n"), 'a"<', "<x/>", "", ALICE)
    text = whole(item, item.payload)
    assert text.startswith("<pubsub:item xmlns:pubsub='http://jabber.org/protocol/pubsub' id=\"a&quot;&lt;\"")
    assert text.endswith("><x/></pubsub:item>")

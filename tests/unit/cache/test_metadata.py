"""What is known of a node beside its items: an own node's configuration, or what its service shows to everybody."""

from __future__ import annotations

import pytest

from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import from_mapping
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, PUBSUB, followed, later, reaching

FEED = "urn:xmpp:pubsub-social-feed:1"
KNOWN = {"title": "Travels", "access-model": "open", "type": "blog"}


async def synchronised(cached: Make, world: World, service: str) -> Cached:
    """A cache that has synchronised the node ``things``; its requests until then are forgotten."""
    cache: Cached = await cached(world)
    world.requests.clear()
    await (await cache.house.sync.start(address(service), False, "", "")).wait()
    return cache


def address(service: str) -> Address:
    return Address(ALICE, service, "things")


def asked(world: World) -> set[str]:
    return {request.kind for request in world.requests}


@pytest.mark.parametrize("profile", [PROSODY, EJABBERD], ids=["prosody", "ejabberd"])
async def test_of_an_own_node_its_configuration_says_everything(cached: Make, profile: Profile) -> None:
    world = World()
    pep = world.account(ALICE, pep=profile).pep
    pep.create_node("things", title="Travels", access_model="open", node_type=FEED, max_items=7)
    cache = await synchronised(cached, world, ALICE)
    assert (await cache.node(ALICE, "things")).items() >= (KNOWN | {"max-items": 7}).items()
    assert "disco_info" not in asked(world)


async def test_a_title_that_its_owner_removes_is_shown_no_more(cached: Make) -> None:
    world = World()
    pep = world.account(ALICE).pep
    pep.create_node("things", title="Travels", node_type=FEED)
    cache = await synchronised(cached, world, ALICE)
    pep.configure("things", title="", notify=True)
    await cache.idle()
    record = await cache.node(ALICE, "things")
    assert "title" not in record
    assert record["type"] == "blog"


@pytest.mark.parametrize("refusal", ["forbidden", "feature-not-implemented"])
async def test_an_own_node_whose_configuration_is_refused_is_known_by_its_metadata(cached: Make, refusal: str) -> None:
    world = World()
    pep = world.account(ALICE).pep
    pep.create_node("things", title="Travels", access_model="open", node_type=FEED)
    pep.fail_next(refusal, request="node_configuration", times=2)
    cache = await synchronised(cached, world, ALICE)
    assert (await cache.node(ALICE, "things")).items() >= KNOWN.items()
    assert pep.planned == 0


async def test_of_anybody_elses_node_the_configuration_is_not_asked_for(cached: Make) -> None:
    world = World()
    world.service(PUBSUB).create_node("things", title="Travels", access_model="open", node_type=FEED)
    cache = await synchronised(cached, world, PUBSUB)
    assert (await cache.node(PUBSUB, "things")).items() >= KNOWN.items()
    assert "node_configuration" not in asked(world)


@pytest.mark.parametrize("before", ["", FEED], ids=["nothing", "blog"])
async def test_a_type_that_a_synchronisation_finds_changed_is_for_the_analysers(cached: Make, before: str) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node("things", node_type=before)
    service.publish("things", "1", "<x xmlns='urn:x'><title>A</title></x>")
    cache = await synchronised(cached, world, PUBSUB)
    fields = {"title": {"path": "{urn:x}x/{urn:x}title"}}
    rules = {"name": "x", "type": "thing", "node-type": "urn:x:things", "to-sync": True, "fields": fields}
    cache.house.analysers.register(from_mapping(rules), "bus", ":1.1")
    # Prosody tells nobody.
    service.configure("things", node_type="urn:x:things")
    await (await cache.house.sync.start(address(PUBSUB), True, "", "")).wait()
    await cache.idle()
    assert (await cache.node(PUBSUB, "things"))["analyser"] == "x"
    item = (await cache.read(PUBSUB, "things"))[0][0]
    assert item["type"] == "thing"
    assert item["data"] == '{"title":"A"}'


async def test_a_full_synchronisation_that_joins_a_validation_reads_the_metadata_as_well(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node("things", title="Travels")
    cache = await synchronised(cached, world, PUBSUB)
    # Prosody tells nobody.
    service.configure("things", title="Voyages")
    service.hold()
    cache.house.sync.in_background(address(PUBSUB))
    await reaching(service, "get_items")
    job = cache.house.sync.job(address(PUBSUB), full=True)
    await world.settle()
    service.release()
    await job.wait()
    assert (await cache.node(PUBSUB, "things"))["title"] == "Voyages"


async def test_of_a_node_that_always_speaks_the_metadata_is_read_again_within_a_day(cached: Make) -> None:
    cache, service = await followed(cached)
    # Prosody tells nobody.
    service.configure(MICROBLOG, title="Voyages")
    for number in range(26):
        service.publish(MICROBLOG, f"n{number}", ENTRY.format(number))
        await later(cache, hours=1)
    assert (await cache.node(PUBSUB, MICROBLOG))["title"] == "Voyages"

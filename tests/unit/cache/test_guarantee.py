"""The guarantee: how sure events are, and that none is called surer than it is."""

from __future__ import annotations

import pytest

from pubsub_cached.address import Address
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Profile, Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, PUBSUB

BOB = "bob@example.org"
PROFILES = [PROSODY, EJABBERD, LIBERVIA]


def stage(profile: Profile, place: str) -> tuple[World, Service]:
    """A blog of three items, at a component, at a contact or at the account itself."""
    world = World()
    world.account(ALICE, pep=profile)
    if place == "contact":
        world.account(BOB, pep=profile)
        world.befriend(ALICE, BOB)
    services = {"component": PUBSUB, "contact": BOB, "own": ALICE}
    service = world.service(PUBSUB, profile=profile) if place == "component" else world.services[services[place]]
    service.create_node(MICROBLOG, max_items=10)
    for id_ in "abc":
        service.publish(MICROBLOG, id_, ENTRY.format(id_))
    return world, service


@pytest.mark.parametrize("place", ["component", "contact", "own"])
@pytest.mark.parametrize("profile", PROFILES, ids=[profile.name for profile in PROFILES])
async def test_a_live_node_that_may_hold_what_is_gone_is_not_called_strong(
    cached: Make, profile: Profile, place: str
) -> None:
    """Every service removes something without a word, so that live says of none that no removal was missed."""
    world, service = stage(profile, place)
    cache: Cached = await cached(world)
    await cache.keep(service.jid, MICROBLOG)
    service.expire_items(MICROBLOG, "a")
    service.publish(MICROBLOG, "d", ENTRY.format("d"))
    await cache.idle()
    items, _, info = await cache.read(service.jid, MICROBLOG)
    node = await cache.node(service.jid, MICROBLOG)
    assert (info["freshness"], node["state"]) == ("live", "live")
    assert {item["id"] for item in items} == set("abcd")
    assert node["guarantee"] == "normal"


@pytest.mark.parametrize("place", ["contact", "own"])
async def test_events_that_only_presence_brings_are_weak(cached: Make, place: str) -> None:
    world, service = stage(PROSODY, place)
    service.fail_next("forbidden", request="subscribe", times=9)
    cache: Cached = await cached(world)
    await cache.keep(service.jid, MICROBLOG)
    node = await cache.node(service.jid, MICROBLOG)
    assert (node["state"], node["subscribed"], node["guarantee"]) == ("live", False, "weak")


@pytest.mark.parametrize("place", ["contact", "own"])
async def test_events_that_the_presence_does_not_ask_for_any_more_are_missed(cached: Make, place: str) -> None:
    world, service = stage(PROSODY, place)
    cache: Cached = await cached(world)
    await cache.keep(service.jid, MICROBLOG)
    await cache.house.subscribing.unsubscribe(Address(ALICE, service.jid, MICROBLOG))
    assert (await cache.node(service.jid, MICROBLOG))["state"] == "live"
    cache.house.analysers.unregister("blog")
    await cache.house.analysing.settled()
    await cache.idle()
    service.publish(MICROBLOG, "missed", ENTRY.format("missed"))
    await cache.idle()
    assert (await cache.node(service.jid, MICROBLOG))["state"] == "polled"
    *_, info = await cache.read(service.jid, MICROBLOG)
    assert info["freshness"] == "validated"

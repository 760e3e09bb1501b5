"""Bursts, of which several publications are applied as one event: what clients were told makes what they read."""

from __future__ import annotations

import json
import random

import pytest

from pubsub_cached.address import Address
from pubsub_cached.cache.options import SearchOptions
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make, answered

from .blog import MICROBLOG, PUBSUB

ADDRESS = Address(ALICE, PUBSUB, MICROBLOG)


def happen(chance: random.Random, service: Service, number: int) -> None:
    """One thing happens at the service, of which it tells."""
    id_ = chance.choice("abcdefghijklmnop")
    there = [item.id for item in service.items(MICROBLOG)]
    what = chance.choices(["publish", "retract", "purge"], [20, 4, 1])[0]
    if what == "publish":
        service.publish(MICROBLOG, id_, ENTRY.format(f"{id_}{number}"))
    elif what == "retract" and there:
        service.retract(MICROBLOG, chance.choice(there), notify=True)
    elif what == "purge":
        service.purge(MICROBLOG)


async def seen(cache: Cached) -> tuple[dict[str, str], int]:
    """What a read shows, and the revision."""
    items, _, info = await cache.read(PUBSUB, MICROBLOG, limit=500, policy="cache")
    return {item["id"]: item["payload"] for item in items}, info["revision"]


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(6, 100))])
async def test_what_was_told_of_a_burst_makes_what_is_read(cached: Make, seed: int) -> None:
    chance = random.Random(seed)
    world = World(burst=True)
    service = world.service(PUBSUB, profile=chance.choice([PROSODY, EJABBERD, LIBERVIA]))
    service.create_node(MICROBLOG, max_items=1000)
    service.publish(MICROBLOG, "a", ENTRY.format("a"))
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, MICROBLOG)
    replica, since = await seen(cache)
    for burst in range(5):
        cache.told.clear()
        for number in range(chance.randint(2, 25)):
            happen(chance, service, burst * 100 + number)
        await cache.idle()
        now, revision = await seen(cache)
        assert now == {item.id: item.payload for item in service.items(MICROBLOG)}
        changed, removed, reached, complete = await cache.house.node_reads.changes(ADDRESS, since, 500)
        assert complete
        assert reached == revision
        kept = {id_: content for id_, content in replica.items() if id_ not in removed}
        assert kept | {id_: now[id_] for id_ in changed} == now
        signalled: dict[str, str] = {}
        for signal in cache.told:
            if len(signal) == 4:
                signalled |= dict.fromkeys(signal[1], "changed") | dict.fromkeys(signal[2], "removed")
        assert signalled == dict.fromkeys(changed, "changed") | dict.fromkeys(removed, "removed")
        query = json.dumps({"nodes": [MICROBLOG]})
        found, *_ = await answered(cache.house.searches.search("", query, SearchOptions(limit=500)))
        assert {item["id"]: item["payload"] for item in found} == now
        replica, since = now, revision
    assert cache.failures() == []

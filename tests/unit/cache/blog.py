"""A blog at a service, and a cache that follows it: what most tests of the cache begin with."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pubsub_cached.address import Address
from pubsub_cached.cache.jobs import Job
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.cache.writing import payloads
from pubsub_cached.store.aside import THREADS
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Profile, Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make

PUBSUB = "pubsub.example.net"
MICROBLOG = "urn:xmpp:microblog:0"
BLOG = Address(ALICE, PUBSUB, MICROBLOG)
PROFILES = pytest.mark.parametrize("profile", [PROSODY, EJABBERD, LIBERVIA], ids=["prosody", "ejabberd", "libervia"])


def post(text: object) -> str:
    """A payload as the cache keeps it."""
    return payloads.check(ENTRY.format(text))


async def followed(
    cached: Make,
    world: World | None = None,
    profile: Profile = PROSODY,
    count: int = 3,
    owner: str = "",
    **limits: int,
) -> tuple[Cached, Service]:
    """A cache that follows a blog of ``count`` posts; what was told so far is forgotten."""
    world = world or World()
    service = world.service(PUBSUB, profile=profile)
    service.create_node(MICROBLOG, owner=owner, max_items=10_000)
    for number in range(count):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number), publisher=owner)
    cache: Cached = await cached(world, **limits)
    await cache.keep(PUBSUB, MICROBLOG)
    cache.told.clear()
    return cache, service


async def owned(cached: Make, world: World, profile: Profile = PROSODY) -> tuple[Cached, Service]:
    """A cache that follows Alice's own blog of two posts; what was told so far is forgotten."""
    return await followed(cached, world, profile, 2, ALICE)


async def local(cache: Cached, node: str = MICROBLOG) -> dict[str, str]:
    """What the database holds, id to payload."""
    found: dict[str, str] = {}
    cursor = ""
    while True:
        # A page ends earlier than asked for where it is large.
        items, cursor, _ = await cache.read(PUBSUB, node, policy="cache", limit=500, cursor=cursor)
        found |= {item["id"]: item["payload"] for item in items}
        if not cursor:
            return found


async def freshness(cache: Cached) -> str:
    *_, info = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    return info["freshness"]


async def later(cache: Cached, *, hours: float) -> None:
    """Time passes, and what is due by then is done."""
    cache.clock.advance(hours=hours)
    cache.house.revalidation.wake()
    await cache.idle()


async def purge(cache: Cached, *, forget: bool = False) -> None:
    await cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=forget)).wait()
    await cache.idle()


async def reaching(service: Service, kind: str) -> None:
    """Let requests that are held through until one of this kind is the next."""
    await service.holding(1)
    while service.held[0].kind != kind:
        service.release(1)
        await service.holding(1)


async def being_subscribed_to(cached: Make) -> tuple[Cached, Service, Job]:
    """A cache that synchronises the blog for the first time, and holds its subscription."""
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    cache: Cached = await cached(world)
    service.hold()
    job = cache.house.sync.job(BLOG, pin=True)
    await reaching(service, "subscribe")
    return cache, service, job


@contextmanager
def writer_busy(cache: Cached) -> Iterator[None]:
    """Whatever is written meanwhile waits for the end, and the world is settled without it."""
    gate, world, store = threading.Event(), cache.world, cache.store
    store.write(lambda tx: gate.wait(30))
    at_work = world.at_work
    if not store.inline:
        world.at_work = lambda: store._near.at_work or store._aside.at_work
    try:
        yield
    finally:
        world.at_work = at_work
        gate.set()


@contextmanager
def readers_busy(cache: Cached) -> Iterator[Callable[[], None]]:
    """Where threads read, whatever is read meanwhile waits; once what this gives is called it is read in order."""
    gates = [threading.Event() for _ in range(0 if cache.store.inline else THREADS)]

    async def wait(gate: threading.Event) -> None:
        await cache.store.read(lambda _: gate.wait(30))

    reads = [asyncio.ensure_future(wait(gate)) for gate in gates]
    try:
        yield gates[0].set if gates else lambda: None
    finally:
        for gate in gates:
            gate.set()
        for read in reads:
            read.add_done_callback(lambda done: done.cancelled() or done.exception())

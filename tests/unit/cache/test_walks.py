"""Walks through a node, page by page: what stays as it was is given once, whatever happens meanwhile.

The cache and a service may have the same items in different orders, for ejabberd leaves in its place what is published
again, and a walk may be answered by both. What changes during a walk may be given or not.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.jobs import JobFailed
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Profile, Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, PUBSUB

BOB = "bob@example.org"
ADDRESS = Address(ALICE, PUBSUB, MICROBLOG)
# What a walk does that begins another session, which is not there yet afterwards.
ANEW = {"connect anew", "publish unheard"}


async def begin(cached: Make, profile: Profile, ids: str, window: int = 500) -> tuple[Cached, Service]:
    """A cache, and a service that has these items, the oldest first."""
    world = World()
    service = world.service(PUBSUB, profile=profile)
    service.create_node(MICROBLOG, max_items=1000)
    for id_ in ids:
        service.publish(MICROBLOG, id_, ENTRY.format(id_))
    cache: Cached = await cached(world, items_per_node=window)
    return cache, service


async def page(cache: Cached, limit: int, cursor: str = "") -> tuple[str, str, str]:
    """The ids of a page, the cursor of the next, and who answered."""
    items, cursor, info = await cache.read(PUBSUB, MICROBLOG, limit=limit, cursor=cursor)
    return "".join(item["id"] for item in items), cursor, info["source"]


async def rest(cache: Cached, cursor: str, limit: int = 2) -> str:
    """The ids of all pages that follow."""
    found = ""
    while cursor:
        ids, cursor, _ = await page(cache, limit, cursor)
        found += ids
    return found


async def again(cache: Cached, service: Service, id_: str) -> None:
    """An item is published again, and the event of it is applied."""
    service.publish(MICROBLOG, id_, ENTRY.format(f"{id_} again"))
    await cache.idle()


async def test_what_was_published_again_before_the_first_page_is_not_missed(cached: Make) -> None:
    cache, service = await begin(cached, EJABBERD, "abcdefgh")
    await cache.keep(PUBSUB, MICROBLOG)
    await again(cache, service, "b")
    items, cursor, _ = await cache.read(PUBSUB, MICROBLOG, limit=2, policy="network")
    assert [item["id"] for item in items] == ["h", "g"]
    assert await rest(cache, cursor) == "fedcba"


async def test_a_walk_that_began_at_the_service_goes_on_in_the_cache_where_that_has_the_same(cached: Make) -> None:
    cache, _ = await begin(cached, EJABBERD, "abcdefgh")
    first, cursor, source = await page(cache, 3)
    assert source == "network"
    await cache.idle()
    second, cursor, source = await page(cache, 3, cursor)
    assert (source, first + second + await rest(cache, cursor)) == ("cache", "hgfedcba")


async def test_past_a_window_comes_what_is_not_in_it_though_the_oldest_of_it_was_published_again(cached: Make) -> None:
    cache, service = await begin(cached, EJABBERD, "abcdefgh", window=3)
    await page(cache, 8)
    await cache.idle()
    for id_ in "agb":
        await again(cache, service, id_)
    # The window's last is the first of all at the service, whose newest is not in the window any more.
    first, cursor, source = await page(cache, 3)
    assert (source, first) == ("cache", "bga")
    assert await rest(cache, cursor) == "hfedc"


@pytest.mark.parametrize("profile", [PROSODY, EJABBERD], ids=["prosody", "ejabberd"])
@pytest.mark.parametrize("how", ["again", "gone"])
async def test_the_last_of_a_window_may_change_before_the_walk_goes_on(
    cached: Make, profile: Profile, how: str
) -> None:
    cache, service = await begin(cached, profile, "abcdefgh", window=3)
    await page(cache, 8)
    await cache.idle()
    first, cursor, _ = await page(cache, 3)
    if how == "again":
        await again(cache, service, "f")
    else:
        service.retract(MICROBLOG, "f", notify=True)
    await cache.idle()
    assert first == "hgf"
    assert await rest(cache, cursor) == "edcba"


@pytest.mark.parametrize("how", ["again", "gone"])
async def test_the_last_that_the_service_gave_may_change_before_the_walk_goes_on(cached: Make, how: str) -> None:
    cache, service = await begin(cached, PROSODY, "abcdefgh", window=3)
    await page(cache, 8)
    await cache.idle()
    _, cursor, _ = await page(cache, 3)
    beyond, cursor, source = await page(cache, 2, cursor)
    assert (beyond, source) == ("ed", "network")
    if how == "again":
        await again(cache, service, "d")
    else:
        service.retract(MICROBLOG, "d", notify=True)
    await cache.idle()
    assert await rest(cache, cursor) == "cba"


async def test_a_walk_past_a_window_ends_without_a_session_and_says_so(cached: Make) -> None:
    cache, _ = await begin(cached, PROSODY, "abcdefgh", window=3)
    await page(cache, 8)
    await cache.idle()
    _, cursor, _ = await page(cache, 3)
    _, cursor, _ = await page(cache, 2, cursor)
    cache.world.cut(ALICE)
    await cache.idle()
    items, cursor, info = await cache.read(PUBSUB, MICROBLOG, cursor=cursor)
    assert (items, cursor, info["freshness"], info["completeness"]) == ([], "", "offline", "window")


async def test_without_a_session_a_walk_goes_on_in_the_cache_only_where_that_has_the_same(cached: Make) -> None:
    cache, service = await begin(cached, EJABBERD, "abcdefgh")
    _, cursor, source = await page(cache, 2)
    assert source == "network"
    await cache.idle()
    cache.world.cut(ALICE)
    await cache.idle()
    assert await rest(cache, cursor) == "fedcba"
    cache.world.restore(ALICE)
    await cache.idle()
    await again(cache, service, "c")
    cache.world.cut(ALICE)
    await cache.idle()
    with pytest.raises(errors.InvalidCursor, match="begin again without it"):
        await page(cache, 2, cursor)


@pytest.mark.parametrize("order", [("modified", True), ("modified", False), ("created", True)], ids=str)
async def test_a_walk_through_what_was_dropped_and_came_again_does_not_look_ended(
    cached: Make, order: tuple[str, bool]
) -> None:
    cache, _ = await begin(cached, PROSODY, "abcdefgh")
    await page(cache, 8)
    await cache.idle()
    _, cursor, info = await cache.read(PUBSUB, MICROBLOG, limit=3, order=(order,))
    assert info["source"] == "cache"
    await cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,))).wait()
    await cache.house.sync.job(ADDRESS).wait()
    with pytest.raises(errors.InvalidCursor, match="begin again without it"):
        await cache.read(PUBSUB, MICROBLOG, limit=3, cursor=cursor, order=(order,))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("key", ["modified", "created"])
async def test_a_walk_goes_on_though_what_it_gave_was_retracted_meanwhile(
    cached: Make, key: str, descending: bool
) -> None:
    cache, service = await begin(cached, PROSODY, "abcdefgh")
    await page(cache, 8)
    await cache.idle()
    items, cursor, _ = await cache.read(PUBSUB, MICROBLOG, limit=4, order=((key, descending),))
    given = [item["id"] for item in items]
    service.retract(MICROBLOG, *given, notify=True)
    await cache.idle()
    items, cursor, _ = await cache.read(PUBSUB, MICROBLOG, limit=2, cursor=cursor, order=((key, descending),))
    given += [item["id"] for item in items]
    assert given == list("hgfedc" if descending else "abcdef")
    # What is left is newer than the place, and was published since.
    service.publish(MICROBLOG, "i", ENTRY.format("i"))
    service.retract(MICROBLOG, *"abcdefgh", notify=True)
    await cache.idle()
    items, cursor, _ = await cache.read(PUBSUB, MICROBLOG, limit=2, cursor=cursor, order=((key, descending),))
    assert ([item["id"] for item in items], cursor) == ([] if descending else ["i"], "")


class Walks:
    """A node at a service of some kind, which changes while it is walked through."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World(burst=self.random.random() < 0.5)
        self.profile = self.random.choice([PROSODY, EJABBERD, LIBERVIA])
        alice, bob = (self.world.account(jid, pep=self.profile) for jid in (ALICE, BOB))
        bob.available = True
        self.world.befriend(ALICE, BOB)
        at = {"own": alice.pep, "contact": bob.pep, "component": self.world.service(PUBSUB, profile=self.profile)}
        self.place = self.random.choice(sorted(at))
        self.service = at[self.place]
        self.service.create_node(MICROBLOG, max_items=1000, access_model="open")
        self.names = list("kqbxadmzcufe")
        self.random.shuffle(self.names)
        self.limit = self.random.choice([1, 2, 3])
        self.window = self.random.choice([500, 4])
        self.log = [f"{self.profile.name} {self.place}, window {self.window}"]
        self.serial = 0
        self.silently = False
        self.touched: set[str] = set()
        self.cache: Cached
        for id_ in self.names[: self.random.randint(3, 9)]:
            self.publish(id_)

    @property
    def ids(self) -> list[str]:
        return [item.id for item in self.service.items(MICROBLOG)]

    def publish(self, id_: str) -> None:
        self.serial += 1
        self.touched.add(id_)
        self.log.append(f"{id_} is published")
        self.service.publish(MICROBLOG, id_, ENTRY.format(f"{id_}{self.serial}"))

    async def change(self) -> None:
        """Something happens."""
        what = ["publish", "publish again", "publish again", "retract", "retract silently", "settle", "turns", "drop"]
        what += ["fetch", "fetch", "connect anew", "restart", "publish unheard"]
        match self.random.choice(what):
            case "publish" as done if new := [name for name in self.names if name not in self.ids]:
                self.publish(self.random.choice(new))
            case "publish again" as done if self.ids:
                self.publish(self.random.choice(self.ids))
            case "retract" | "retract silently" as done if self.ids:
                id_ = self.random.choice(self.ids)
                self.touched.add(id_)
                self.silently |= done == "retract silently" or "retract-notify" not in self.service.profile.told
                self.service.retract(MICROBLOG, id_, notify=done == "retract")
            case "turns" as done:
                for _ in range(self.random.randrange(30)):
                    await asyncio.sleep(0)
            case "drop" as done:
                self.service.drop_subscription(MICROBLOG, ALICE, notify=False)
            case "fetch" as done:
                job = self.cache.house.sync.job(Address(ALICE, self.service.jid, MICROBLOG), pin=True, full=True)
                try:
                    await job.wait()
                except JobFailed:
                    # One that was under way may have lost its connection.
                    assert ANEW & set(self.log), self.log
            case "connect anew" | "publish unheard" as done:
                self.world.cut(ALICE)
                await self.world.settle()
                if done == "publish unheard":
                    for id_ in self.random.sample(self.names, self.random.randint(1, 8)):
                        self.publish(id_)
                self.world.restore(ALICE)
                await self.world.settle()
            case "restart" as done:
                await self.cache.restart()
            case done:
                await self.cache.idle()
        self.log.append(done)

    async def walk(self) -> None:
        """Page through it, with changes between the pages."""
        if settled := self.random.random() < 0.6:
            await self.cache.idle()
            self.touched.clear()
        began, found, cursor = set(self.ids), Counter[str](), ""
        order = (("modified", True),)
        if self.window == 500:
            # A window goes on at the service in this order alone.
            order = ((self.random.choice(["modified", "modified", "created"]), self.random.random() < 0.6),)
        self.log.append(f"walk {order}")
        published, retracted = self.serial, False
        while True:
            try:
                items, cursor, info = await self.cache.read(
                    self.service.jid, MICROBLOG, limit=self.limit, cursor=cursor, order=order
                )
            except errors.InvalidCursor:
                # What it was about may be gone, and may be so in silence; or there is no session to ask the service.
                assert retracted or self.log[-1] in ANEW, self.log
                return
            found.update(item["id"] for item in items)
            self.log.append(f"{''.join(item['id'] for item in items)} of {''.join(self.ids)}: {info}")
            # Said of an end that is none, as is that of a window without a session.
            behind = info["freshness"] == "stale" or (info["freshness"], info["completeness"]) == ("offline", "window")
            if not cursor or behind:
                break
            for _ in range(self.random.randrange(3)):
                await self.change()
                retracted |= not began <= set(self.ids)
        told = "\n".join(self.log)
        # What leaves a window once it was given may come again behind its end, and what comes into it there is taken
        # for given, where the window ended with what had been removed in silence.
        moved = self.window < 500 and (self.serial > published or not settled)
        filled = self.window < 500 and self.silently
        assert moved or all(found[id_] <= 1 for id_ in found.keys() - self.touched), told
        assert behind or filled or found.keys() >= began - self.touched, told


@pytest.mark.parametrize("seed", [*range(12), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(12, 200))])
async def test_walks_give_once_what_stays_as_it_was(cached: Make, seed: int) -> None:
    walks = Walks(seed)
    walks.cache = await cached(walks.world, items_per_node=walks.window)
    for _ in range(walks.random.randrange(8)):
        await walks.change()
    for _ in range(2):
        await walks.walk()
    assert walks.cache.failures() == []

"""What a login costs: the fewest requests that a service allows, and not all at one moment."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from pubsub_cached.address import Address
from pubsub_cached.cache.accounts.account import Account
from pubsub_cached.cache.options import AccountOptions
from pubsub_cached.cache.revalidation.backlog import AHEAD
from pubsub_cached.cache.revalidation.new_sessions import AT_ONCE, PUSHED_WITHIN, SPREAD
from pubsub_cached.store.accounts import nodes as node_store
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Profile, Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, PUBSUB, writer_busy

AVATAR = "urn:xmpp:avatar:metadata"
INFO = "<metadata xmlns='urn:xmpp:avatar:metadata'><info id='{}' bytes='1' type='image/png'/></metadata>"
NODES = pytest.mark.parametrize("nodes", [60, pytest.param(500, marks=pytest.mark.long)])
BOB = "bob@example.org"
CAROL = "carol@example.org"

# Requests a node: Prosody has subscriptions without ids, which are made again, and neither of them counts; ejabberd
# leaves overwritten items in place, so that its large nodes are fetched as a whole.
SMALL = {"prosody": 2, "ejabberd": 1, "libervia": 2}
LARGE = {"prosody": 3, "libervia": 2}
# The same, where everything is fetched.
WHOLE = {"prosody": 5, "ejabberd": 3, "libervia": 4}


async def follows(
    cached: Make, profile: Profile, count: int, posts: int, text: str = "", access_model: str = "open"
) -> tuple[Cached, World]:
    """A cache that follows ``count`` blogs, and knows what the service does."""
    world = World()
    service = world.service(PUBSUB, profile=profile)
    for number in range(count):
        service.create_node(f"{MICROBLOG}/{number}", max_items=10_000, access_model=access_model)
        service.set_affiliation(f"{MICROBLOG}/{number}", ALICE, "member")
        for post in range(posts):
            service.publish(f"{MICROBLOG}/{number}", f"i{post}", ENTRY.format(f"{post}{text}"))
    cache: Cached = await cached(world)
    for number in range(count):
        cache.house.sync.in_background(Address(ALICE, PUBSUB, f"{MICROBLOG}/{number}"))
    await cache.idle()
    for post in range(2):
        service.publish(f"{MICROBLOG}/0", f"i{post}", ENTRY.format(f"{post} edited{text}"))
        await cache.idle()
    return cache, world


async def login(cache: Cached, world: World) -> Counter[str]:
    """Requests by kind, until all that a new session leads to is done."""
    world.cut(ALICE)
    await cache.idle()
    before = len(world.requests)
    world.restore(ALICE)
    await cache.idle()
    cache.clock.advance(seconds=SPREAD / 1000)
    cache.house.revalidation.wake()
    await cache.idle()
    return Counter(request.kind for request in world.requests[before:])


async def logging_in(cache: Cached, world: World) -> Service:
    """A login of which the service holds the first two looks at nodes; it has listed the subscriptions."""
    service = world.services[PUBSUB]
    world.cut(ALICE)
    await cache.idle()
    service.hold()
    world.restore(ALICE)
    await service.holding(1)
    service.release(1, request="subscriptions")
    await service.holding(2)
    return service


async def states(cache: Cached) -> Counter[str]:
    return Counter(node.state for node in await cache.store.read(node_store.run))


@pytest.mark.parametrize("profile", [PROSODY, EJABBERD, LIBERVIA], ids=["prosody", "ejabberd", "libervia"])
@NODES
async def test_small_nodes_cost_one_look_each(cached: Make, profile: Profile, nodes: int) -> None:
    cache, world = await follows(cached, profile, nodes, 3)
    asked = await login(cache, world)
    assert asked["subscriptions"] == 1
    assert asked["get_items"] == nodes
    assert asked.total() == 1 + SMALL[profile.name] * nodes
    assert await states(cache) == {"live": nodes}


@pytest.mark.parametrize("profile", [PROSODY, EJABBERD, LIBERVIA], ids=["prosody", "ejabberd", "libervia"])
async def test_everything_is_fetched_when_it_was_not_for_a_week(cached: Make, profile: Profile) -> None:
    nodes = 20
    cache, world = await follows(cached, profile, nodes, 3)
    cache.clock.advance(days=7)
    asked = await login(cache, world)
    assert asked.total() == 1 + WHOLE[profile.name] * nodes


@pytest.mark.parametrize("profile", [PROSODY, LIBERVIA], ids=["prosody", "libervia"])
async def test_large_nodes_cost_a_look_at_their_newest(cached: Make, profile: Profile) -> None:
    count = 20
    cache, world = await follows(cached, profile, count, 40, "x" * 1000)
    asked = await login(cache, world)
    assert asked.total() == 1 + LARGE[profile.name] * count
    assert await states(cache) == {"live": count}


@pytest.mark.parametrize("access_model", ["presence", "roster"])
async def test_the_first_of_a_daemon_asks_a_component_no_more_for_what_its_owners_contacts_may_read(
    cached: Make, access_model: str
) -> None:
    """What stands in the account's own roster says nothing of it."""
    count = AT_ONCE + 10
    cache, world = await follows(cached, EJABBERD, count, 1, access_model=access_model)
    await cache.stop()
    await cache.start(online=False)
    before = len(world.requests)
    await cache.house.connect()
    await cache.idle()
    assert await states(cache) == {"live": AT_ONCE, "stale": count - AT_ONCE}
    assert len(world.requests) - before == 1 + SMALL["ejabberd"] * AT_ONCE


async def test_nodes_in_use_go_first_and_those_read_lately_next(cached: Make) -> None:
    cache, world = await follows(cached, EJABBERD, 6, 1)
    for number in (4, 2, 0):
        cache.clock.advance(hours=2)
        await cache.keep(PUBSUB, f"{MICROBLOG}/{number}")
    service = await logging_in(cache, world)
    # Two are under way at once, and either may be the first to ask.
    assert {request.node for request in service.held} == {f"{MICROBLOG}/0", f"{MICROBLOG}/2"}
    service.release(1)
    await service.holding(2)
    assert f"{MICROBLOG}/4" in {request.node for request in service.held}
    service.release()
    await cache.idle()


async def test_the_rest_of_many_is_spread_over_a_while(cached: Make) -> None:
    cache, world = await follows(cached, EJABBERD, AT_ONCE + 30, 1)
    cache.clock.advance(days=2)
    world.cut(ALICE)
    await cache.idle()
    world.restore(ALICE)
    await cache.idle()
    assert await states(cache) == {"live": AT_ONCE, "stale": 30}
    cache.clock.advance(seconds=SPREAD / 2000)
    cache.house.revalidation.wake()
    await cache.idle()
    assert 0 < (await states(cache))["stale"] < 30
    cache.clock.advance(seconds=SPREAD / 2000)
    cache.house.revalidation.wake()
    await cache.idle()
    assert await states(cache) == {"live": AT_ONCE + 30}


async def test_no_more_than_two_at_once_at_one_domain(cached: Make) -> None:
    cache, world = await follows(cached, EJABBERD, 10, 1)
    world.services[PUBSUB].hold()
    world.cut(ALICE)
    world.restore(ALICE)
    await world.services[PUBSUB].holding(1)
    # The list of subscriptions, which both wait for.
    world.services[PUBSUB].release(1)
    await world.services[PUBSUB].holding(2)
    await world.settle()
    assert len(world.services[PUBSUB].held) == 2
    world.services[PUBSUB].release()
    await cache.idle()


async def test_accounts_share_the_two_places_at_a_domain(cached: Make) -> None:
    """Twenty that log in at once ask a service no more at a time than one does, each for its list first."""
    world = World()
    service = world.service(PUBSUB, profile=EJABBERD)
    service.create_node(f"{MICROBLOG}/a")
    service.publish(f"{MICROBLOG}/a", "i0", ENTRY.format(0))
    accounts = [f"user{number}@example.org" for number in range(20)]
    cache: Cached = await cached(world, *accounts)
    for account in accounts:
        cache.house.sync.in_background(Address(account, PUBSUB, f"{MICROBLOG}/a"))
    await cache.idle()
    before = len(world.requests)
    for account in accounts:
        world.cut(account)
    await cache.idle()
    service.hold()
    for account in accounts:
        world.restore(account)
    await service.holding(2)
    await world.settle()
    assert len(service.held) == 2
    service.release()
    await cache.idle()
    asked = Counter(request.kind for request in world.requests[before:])
    assert (asked["subscriptions"], asked["get_items"]) == (20, 20)


async def test_subscriptions_are_listed_once_for_all_who_need_them_at_the_same_time(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    for name in "ab":
        service.create_node(f"{MICROBLOG}/{name}")
        service.publish(f"{MICROBLOG}/{name}", "i0", ENTRY.format(0))
    cache: Cached = await cached(world)
    for name in "ab":
        cache.house.sync.in_background(Address(ALICE, PUBSUB, f"{MICROBLOG}/{name}"))
    await cache.idle()
    assert world.count("subscriptions") == 1


class TestPushes:
    """Of a node that counts only its newest item the presence brings all there is."""

    async def contact(self, cached: Make, **settings: object) -> tuple[Cached, World]:
        world = World()
        world.account(ALICE)
        bob = world.account(BOB)
        bob.available = True
        world.befriend(ALICE, BOB)
        bob.pep.create_node(AVATAR, access_model="presence", **settings)  # type: ignore[arg-type]
        bob.pep.publish(AVATAR, "a" * 40, INFO.format("a" * 40))
        cache: Cached = await cached(world)
        await cache.idle()
        await cache.keep(BOB, AVATAR)
        assert (await cache.node(BOB, AVATAR))["state"] == "live"
        cache.told.clear()
        return cache, world

    async def test_it_costs_no_request(self, cached: Make) -> None:
        """
        coherence, Ladder: 1 last item pushed at presence (PEP)
        """
        cache, world = await self.contact(cached)
        asked = await login(cache, world)
        assert asked.total() == 0
        items, _, info = await cache.read(BOB, AVATAR, policy="cache")
        assert ([item["id"] for item in items], info["freshness"]) == (["a" * 40], "live")

    async def test_one_that_was_replaced_meanwhile_is_there(self, cached: Make) -> None:
        cache, world = await self.contact(cached)
        world.cut(ALICE)
        await cache.idle()
        world.accounts[BOB].pep.publish(AVATAR, "b" * 40, INFO.format("b" * 40))
        world.restore(ALICE)
        await cache.idle()
        cache.clock.advance(seconds=PUSHED_WITHIN / 1000)
        cache.house.revalidation.wake()
        await cache.idle()
        items, _, info = await cache.read(BOB, AVATAR, policy="cache")
        assert ([item["id"] for item in items], info["freshness"]) == (["b" * 40], "live")

    async def test_one_that_does_not_come_is_asked_for(self, cached: Make) -> None:
        cache, world = await self.contact(cached)
        world.cut(ALICE)
        await cache.idle()
        world.accounts[BOB].pep.retract(AVATAR, "a" * 40)
        world.restore(ALICE)
        await cache.idle()
        assert (await cache.node(BOB, AVATAR))["state"] == "stale"
        cache.clock.advance(seconds=PUSHED_WITHIN / 1000)
        cache.house.revalidation.wake()
        await cache.idle()
        assert (await cache.node(BOB, AVATAR))["state"] == "live"
        assert await cache.ids(BOB, AVATAR, policy="cache") == []

    async def test_one_that_came_before_nobody_was_interested_any_more_is_no_evidence(self, cached: Make) -> None:
        cache, world = await self.contact(cached)
        await cache.house.subscribing.unsubscribe(Address(ALICE, BOB, AVATAR))
        world.cut(ALICE)
        await cache.idle()
        with writer_busy(cache):
            world.restore(ALICE)
            await world.settle()
            cache.house.accounts.set_interests(frozenset())
            await world.settle()
        await cache.idle()
        assert (await cache.node(BOB, AVATAR))["state"] == "polled"

    async def test_one_that_came_before_the_account_was_removed_is_no_evidence(self, cached: Make) -> None:
        world = World()
        bob, pep = world.account(BOB), world.accounts[BOB].pep
        bob.available = True
        world.account(CAROL)
        world.befriend(CAROL, BOB)
        pep.create_node(AVATAR)
        pep.publish(AVATAR, "a" * 40, INFO.format("a" * 40))
        cache: Cached = await cached(world)

        async def add() -> Account:
            carol = await cache.house.accounts.add(CAROL, AccountOptions())
            await carol.set_password("secret")
            await cache.idle()
            return carol

        carol = await add()
        assert (await cache.node(BOB, AVATAR, CAROL))["state"] == "live"
        await carol.remove(keep_cache=True)
        pep.retract(AVATAR, "a" * 40)
        await add()
        assert (await cache.node(BOB, AVATAR, CAROL))["state"] == "stale"

    async def test_what_came_long_ago_is_no_validation(self, cached: Make) -> None:
        cache, world = await self.contact(cached)
        await login(cache, world)
        cache.clock.advance(hours=1)
        before = world.count("get_items")
        await cache.read(BOB, AVATAR, policy="refresh")
        assert world.count("get_items") > before


@pytest.mark.sqlite
async def test_a_login_writes_once_for_each_node(cached: Make) -> None:
    nodes = 20
    cache, world = await follows(cached, PROSODY, nodes, 3)
    heard: list[str] = []
    await cache.store.maintain(lambda driver: driver.set_trace_callback(heard.append))
    await login(cache, world)
    await cache.store.maintain(lambda driver: driver.set_trace_callback(None))
    written = [statement for statement in heard if statement.startswith("UPDATE node ")]
    # What was live is stale, and live again.
    assert len(written) == 2 * nodes, written
    # Whatever is handed to the writer has one, be it ever so little: the nodes, all as stale, and what waits for it.
    handed = [statement for statement in heard if statement.startswith("SAVEPOINT")]
    assert nodes < len(handed) < 2 * nodes, handed


class TestMany:
    """Thousands of nodes at one domain: what waits for its turn costs next to nothing, and holds nobody up."""

    NODES = AT_ONCE + 30

    async def waiting(self, cached: Make) -> tuple[Cached, World, Service]:
        """A login of which the service holds the first questions, when everything is due."""
        cache, world = await follows(cached, EJABBERD, self.NODES, 1)
        service = await logging_in(cache, world)
        cache.clock.advance(seconds=SPREAD / 1000)
        cache.house.revalidation.wake()
        for _ in range(3):
            await world.settle()
            await cache.house.revalidation.settled()
            await cache.store.write(lambda tx: None)
        return cache, world, service

    async def test_what_waits_is_no_task(self, cached: Make) -> None:
        cache, _, service = await self.waiting(cached)
        synchronising = [task for task in asyncio.all_tasks() if task.get_name().startswith("sync ")]
        assert AT_ONCE < len(synchronising) <= AT_ONCE + AHEAD
        service.release()
        await cache.idle()
        assert await states(cache) == {"live": self.NODES}

    async def test_what_a_client_reads_is_asked_for_next(self, cached: Make) -> None:
        """Whether it waits for its place, or is not even due."""
        cache, world, service = await self.waiting(cached)
        last = [f"{MICROBLOG}/{number}" for number in (AT_ONCE - 1, self.NODES - 1)]
        assert {request.node for request in service.held}.isdisjoint(last)
        reads = [asyncio.create_task(cache.read(PUBSUB, node, policy="refresh")) for node in last]
        await world.settle()
        service.release(2)
        await service.holding(2)
        await world.settle()
        assert {request.node for request in service.held} == set(last)
        service.release(2)
        for read in reads:
            _, _, info = await read
            assert info["freshness"] == "live"
        service.release()
        await cache.idle()

    @pytest.mark.sqlite
    async def test_a_stream_that_breaks_leaves_what_waits_as_it_is(self, cached: Make) -> None:
        cache, world, service = await self.waiting(cached)
        heard: list[str] = []
        await cache.store.maintain(lambda driver: driver.set_trace_callback(heard.append))
        world.cut(ALICE)
        service.release()
        await cache.idle()
        await cache.store.maintain(lambda driver: driver.set_trace_callback(None))
        written = [statement for statement in heard if statement.startswith("UPDATE node ")]
        assert len(written) <= AT_ONCE + AHEAD
        world.restore(ALICE)
        await cache.idle()
        cache.clock.advance(seconds=SPREAD / 1000)
        cache.house.revalidation.wake()
        await cache.idle()
        assert await states(cache) == {"live": self.NODES}

"""Synchronisation: what changes while a node is fetched, and what goes before it is fetched again."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import Definition
from pubsub_cached.analysers.item import Item
from pubsub_cached.cache.jobs import JobFailed
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.transaction import Transaction
from pubsub_cached.tasks import end
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, Service, World
from pubsub_cached.xmpp.port import BounceEvent, ConfigurationEvent, DeleteEvent, ItemsEvent, SubscriptionEvent
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import BLOG, MICROBLOG, PROFILES, PUBSUB, followed, freshness, local, purge, reaching, writer_busy

ADDRESS = Address(ALICE, PUBSUB, MICROBLOG)
COUNT = 5


async def unsubscribing(service: Service) -> None:
    """Return once a service that is held was asked to end a subscription."""
    while "unsubscribe" not in [request.kind for request in service.held]:
        await service.holding(len(service.held) + 1)


async def beginning(cached: Make) -> tuple[Cached, Service]:
    """A cache that knows nothing yet, and a service that has one item in the blog."""
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    return await cached(world), service


async def test_a_node_that_never_rests_says_nothing_of_the_others_of_its_service(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.create_node("other")
    service.publish("other", "first", ENTRY.format("first"))
    service.hold()
    ended = asyncio.ensure_future(cache.house.sync.job(BLOG, full=True).wait())
    while not ended.done():
        asked = asyncio.ensure_future(service.holding(1))
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        service.purge(MICROBLOG)
        await cache.house.events.settled()
        service.release(1)
    with pytest.raises(JobFailed, match="changed as a whole 5 times"):
        await ended
    service.release()
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "stale"
    assert await cache.ids(PUBSUB, "other") == ["first"]


async def test_a_forgotten_node_that_is_read_again_is_subscribed_to_again(cached: Make) -> None:
    cache, service = await followed(cached, World())
    await purge(cache, forget=True)
    await cache.keep(PUBSUB, MICROBLOG)
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    assert "new" in await local(cache)


async def test_after_a_reset_a_node_that_is_read_again_is_subscribed_to_again(cached: Make) -> None:
    cache, service = await followed(cached, World())
    cache.told.clear()
    await cache.house.removal.reset().wait()
    assert cache.told == [(ADDRESS, "stale"), (ADDRESS, "updated"), (ADDRESS, "removed")]
    await cache.keep(PUBSUB, MICROBLOG)
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    assert "new" in await local(cache)


async def test_a_node_made_again_is_subscribed_to_again(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.delete(MICROBLOG)
    await cache.idle()
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "first", ENTRY.format("first"))
    await cache.keep(PUBSUB, MICROBLOG)
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    assert "new" in await local(cache)


async def test_a_node_shown_again_is_subscribed_to_again(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.configure(MICROBLOG, access_model="whitelist", notify=True)
    await cache.idle()
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="network")
    service.configure(MICROBLOG, access_model="open")
    await cache.keep(PUBSUB, MICROBLOG, policy="network")
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    assert "new" in await local(cache)


@pytest.mark.parametrize(("request_", "passes"), [("subscribe", 1), ("get_items", 2)])
async def test_a_last_item_for_the_new_subscriber_has_nothing_fetched_twice(
    cached: Make, request_: str, passes: int
) -> None:
    """ejabberd sends it, as one that may be old, before it says that there is a subscription. One that comes when the
    service was asked for items may be newer than its answer."""
    world = World()
    service = world.service(PUBSUB, profile=EJABBERD)
    service.create_node(MICROBLOG, title="described")
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    cache = await cached(world)
    service.hold()
    job = cache.house.sync.job(ADDRESS, pin=True)
    async with asyncio.timeout(30):
        while not (world.count("subscribe") and request_ in [request.kind for request in service.held]):
            service.release(len(service.held))
            await service.holding(1)
    last = tuple(service.items(MICROBLOG))
    world.inject(ALICE, ItemsEvent(service=PUBSUB, node=MICROBLOG, items=last, delayed=True))
    await world.settle()
    await cache.house.events.settled()
    service.release()
    await job.wait()
    await cache.idle()
    assert list(await local(cache)) == ["i0"]
    # Its description is read once to recognise it, and once a pass.
    assert world.count("disco_info", PUBSUB, MICROBLOG) == 1 + passes


@pytest.mark.parametrize("how", ["forget", "reset"])
async def test_a_node_forgotten_while_it_is_fetched_is_not_said_to_be_absent(cached: Make, how: str) -> None:
    world = World()
    cache, service = await followed(cached, world)
    service.hold()
    job = cache.house.sync.job(ADDRESS)
    await service.holding(1)
    await world.settle()
    if how == "forget":
        removal = cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True))
    else:
        removal = cache.house.removal.reset()
    # What it is fetched by is answered only once it is forgotten.
    async with asyncio.timeout(30):
        await unsubscribing(service)
        service.release(1, request="unsubscribe")
        await removal.wait()
    service.release()
    with pytest.raises(errors.PubSubCachedError):
        await job.wait()
    await cache.idle()
    with pytest.raises(errors.NoSuchNode):
        await cache.node(PUBSUB, MICROBLOG)
    assert ALICE not in service.node(MICROBLOG).subscriptions
    assert len(await cache.ids(PUBSUB, MICROBLOG)) == 3


@pytest.mark.parametrize("how", ["forget", "reset"])
async def test_a_node_that_is_forgotten_before_its_turn_comes_is_not_made_again(cached: Make, how: str) -> None:
    cache, service = await followed(cached)
    others = [ADDRESS._replace(node=f"{MICROBLOG}/{name}") for name in "ab"]
    for address in others:
        service.create_node(address.node)
        await cache.keep(PUBSUB, address.node)
    service.hold()
    for address in others:
        cache.house.sync.in_background(address)
    await service.holding(2)
    cache.house.sync.in_background(ADDRESS)
    removal = cache.house.removal
    job = removal.reset() if how == "reset" else removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True))
    async with asyncio.timeout(30):
        while not job.finished:
            service.release(1, request="unsubscribe")
            await cache.world.settle()
    service.release()
    await cache.idle()
    with pytest.raises(errors.NoSuchNode):
        await cache.node(PUBSUB, MICROBLOG)
    assert not service.node(MICROBLOG).subscribed(ALICE)


async def test_a_node_that_is_forgotten_while_it_is_looked_at_anew_is_not_made_again(cached: Make) -> None:
    cache, service = await followed(cached)
    service.hold()
    cache.world.inject(ALICE, ConfigurationEvent(service=PUBSUB, node=MICROBLOG))
    # What it is, and its newest item.
    await service.holding(2)
    forgetting = cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True))
    await unsubscribing(service)
    service.release(1, request="unsubscribe")
    await forgetting.wait()
    service.release()
    await cache.idle()
    with pytest.raises(errors.NoSuchNode):
        await cache.node(PUBSUB, MICROBLOG)


@pytest.mark.parametrize("how", ["forget", "reset"])
async def test_who_asks_for_a_forgotten_node_joins_nothing_that_began_before(cached: Make, how: str) -> None:
    """Another daemon of the account, or an event, may have begun it: whoever forgot the node knows nothing of it."""
    world = World()
    cache, service = await followed(cached, world)
    service.hold()
    cache.house.sync.in_background(ADDRESS)
    await service.holding(1)
    if how == "forget":
        removal = cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True))
    else:
        removal = cache.house.removal.reset()
    await unsubscribing(service)
    service.release(1, request="unsubscribe")
    await removal.wait()
    job = cache.house.sync.job(ADDRESS, pin=True)
    await world.settle()
    service.release()
    assert await job.wait() == f"3 items of {ADDRESS} are live."
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    assert "new" in await local(cache)


async def test_an_event_after_a_node_was_forgotten_is_looked_into_although_a_fetch_from_before_goes_on(
    cached: Make,
) -> None:
    world = World()
    cache, service = await followed(cached, world)
    service.hold()
    cache.house.sync.in_background(ADDRESS)
    await service.holding(1)
    removal = cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True))
    await unsubscribing(service)
    service.release(1, request="unsubscribe")
    await removal.wait()
    world.inject(ALICE, ItemsEvent(service=PUBSUB, node=MICROBLOG, items=(service.items(MICROBLOG)[-1],)))
    await world.settle()
    await cache.house.events.settled()
    service.release()
    await cache.idle()
    assert len(await local(cache)) == 3
    assert await freshness(cache) == "live"


async def test_a_subscription_made_while_other_nodes_are_forgotten_is_given_up_with_its_node(cached: Make) -> None:
    """Its turn comes in a later part than theirs."""
    world = World()
    cache, service = await followed(cached, world)
    other = world.service("other.example.net")
    other.create_node("notes")

    def meet(tx: Transaction) -> None:
        for number in range(300):
            nodes.ensure(tx, ADDRESS._replace(node=f"blog-{number}"))

    await cache.store.write(meet)
    await cache.keep("other.example.net", "notes")
    service.hold()
    removal = cache.house.removal.purge(PurgeFilter(accounts=(ALICE,), forget=True))
    await unsubscribing(service)
    assert (await cache.node("other.example.net", "notes"))["state"] == "discovered"
    await (await cache.house.sync.start(Address(ALICE, "other.example.net", "notes"), False, "", "")).wait()
    assert ALICE in other.node("notes").subscriptions
    service.release()
    await removal.wait()
    assert ALICE not in other.node("notes").subscriptions


async def test_a_node_that_is_wanted_again_while_others_are_still_being_forgotten_is_kept(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    other = world.service("other.example.net")
    other.create_node("notes")
    await cache.keep("other.example.net", "notes")
    service.hold()
    removal = cache.house.removal.purge(PurgeFilter(accounts=(ALICE,), forget=True))
    await unsubscribing(service)
    await (await cache.house.sync.start(Address(ALICE, "other.example.net", "notes"), False, "", "")).wait()
    service.release()
    await removal.wait()
    await cache.idle()
    node = await cache.node("other.example.net", "notes")
    assert (node["state"], node["subscribed"]) == ("live", True)
    assert ALICE in other.node("notes").subscriptions


async def test_a_refused_unsubscription_of_a_forgotten_node_refuses_no_read(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG, max_items=10_000)
    cache: Cached = await cached(world)
    service.hold()
    job = cache.house.sync.job(ADDRESS)
    while not world.count("subscribe"):
        await service.holding(1)
        await world.settle()
        if not world.count("subscribe"):
            service.release(1)
    await cache.house.removal.reset().wait()
    service.fail_next("unexpected-request", pubsub_condition="not-subscribed", request="unsubscribe")
    service.release()
    with pytest.raises(errors.Cancelled):
        await job.wait()
    await cache.idle()
    assert world.count("unsubscribe") == 1
    assert await cache.ids(PUBSUB, MICROBLOG) == []


async def test_an_old_item_overwritten_in_its_place_just_before_the_fetch_stays_where_its_event_put_it(
    cached: Make,
) -> None:
    world = World()
    service = world.service(PUBSUB, profile=EJABBERD)
    service.create_node(MICROBLOG, max_items=100)
    for id_ in "abcdef":
        service.publish(MICROBLOG, id_, ENTRY.format(id_))
    cache: Cached = await cached(world, items_per_node=3)
    await cache.keep(PUBSUB, MICROBLOG)
    service.hold()
    job = cache.house.sync.job(ADDRESS, full=True)
    await service.holding(1)
    service.publish(MICROBLOG, "a", ENTRY.format("again"))
    await world.settle()
    await cache.house.events.settled()
    assert list(await local(cache)) == ["a", "f", "e"]
    service.release()
    await job.wait()
    assert list(await local(cache)) == ["a", "f", "e"]


async def test_an_old_item_overwritten_in_its_place_stays_in_a_window_that_has_left_its_place_behind(
    cached: Make,
) -> None:
    cache, service = await followed(cached, profile=EJABBERD, count=5, items_per_node=5)
    service.configure(MICROBLOG, send_last="never")
    for number in (0, 5, 6, 7):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(f"{number} told"))
    await cache.idle()
    assert [*await local(cache)] == ["i7", "i6", "i5", "i0", "i4"]
    cache.world.cut(ALICE)
    service.publish(MICROBLOG, "i8", ENTRY.format("missed"))
    cache.world.restore(ALICE)
    await cache.idle()
    assert await freshness(cache) == "live"
    assert [*await local(cache)] == ["i8", "i7", "i6", "i5", "i0"]


@PROFILES
async def test_of_what_was_published_just_before_and_is_not_written_yet_nothing_is_taken_for_removed(
    cached: Make, profile: Profile
) -> None:
    cache, service = await followed(cached, profile=profile, items_per_node=3)
    service.publish(MICROBLOG, "missed", ENTRY.format("missed"), notify=False)
    with writer_busy(cache):
        service.publish(MICROBLOG, "told", ENTRY.format("told"))
        await cache.world.settle()
        job = cache.house.sync.job(ADDRESS, full=True)
        await cache.world.settle()
    await job.wait()
    assert next(iter(await local(cache))) == "told"
    assert cache.removed() == []


async def test_a_redirect_survives_a_service_that_does_not_answer(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    world.inject(ALICE, DeleteEvent(service=PUBSUB, node=MICROBLOG, redirect="xmpp:new.example.net?;node=blog"))
    await cache.idle()
    service.down()
    with pytest.raises(errors.PubSubCachedError):
        await cache.read(PUBSUB, MICROBLOG, policy="refresh")
    node = await cache.node(PUBSUB, MICROBLOG)
    assert (node["state"], node["redirect"]) == ("gone", "xmpp:new.example.net?;node=blog")


async def test_a_redirect_survives_a_synchronisation_under_way(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    service.hold()
    job = cache.house.sync.job(ADDRESS)
    await world.settle()
    world.inject(ALICE, DeleteEvent(service=PUBSUB, node=MICROBLOG, redirect="xmpp:new.example.net?;node=blog"))
    await world.settle()
    await cache.house.events.settled()
    service.delete(MICROBLOG, notify=False)
    service.release()
    with pytest.raises(errors.PubSubCachedError, match=r"no node .*; it moved to xmpp:new\.example\.net\?;node=blog\."):
        await job.wait()
    assert (await cache.node(PUBSUB, MICROBLOG))["redirect"] == "xmpp:new.example.net?;node=blog"


async def test_who_synchronises_a_node_that_is_gone_is_told_where_it_went(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.delete(MICROBLOG, redirect="xmpp:new.example.net?;node=blog")
    await cache.idle()
    job = await cache.house.sync.start(ADDRESS, False, "", "")
    with pytest.raises(errors.PubSubCachedError, match=r"; it moved to xmpp:new\.example\.net\?;node=blog\."):
        await job.wait()
    # Also who is answered by what is remembered of that.
    with pytest.raises(errors.NoSuchNode, match=r"; it moved to xmpp:new\.example\.net\?;node=blog\."):
        await cache.read(PUBSUB, MICROBLOG)


async def test_a_node_found_denied_while_its_last_fetch_is_parsed_stays_hidden(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    job = cache.house.sync.job(ADDRESS)
    # The last reply has come, and is not written down yet.
    real = cache.house.events.caught_up

    async def refused_meanwhile() -> None:
        await real()
        if service.node(MICROBLOG).access_model == "open":
            service.configure(MICROBLOG, access_model="whitelist")
            with pytest.raises(errors.Denied):
                await cache.read(PUBSUB, MICROBLOG, policy="network")

    cache.house.sync.follow(refused_meanwhile, cache.house.events.applied)
    with pytest.raises(errors.PubSubCachedError, match="may not read"):
        await job.wait()
    await cache.idle()
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="cache")


async def test_what_disturbs_a_first_synchronisation_in_its_last_moment_is_looked_into(cached: Make) -> None:
    cache, service = await beginning(cached)
    job = cache.house.sync.job(ADDRESS, pin=True)
    real = cache.house.events.caught_up
    doubts: list[asyncio.Future[None]] = []

    async def bounced() -> None:
        await real()
        if "lost" not in service.node(MICROBLOG).ids():
            service.publish(MICROBLOG, "lost", ENTRY.format("lost"), notify=False)
            # Applied after the look at what was disturbed, before the write is done.
            doubt = cache.house.distrust.of(ADDRESS, "bounce")
            asyncio.get_running_loop().call_soon(doubts.append, asyncio.ensure_future(doubt))

    cache.house.sync.follow(bounced, cache.house.events.applied)
    await job.wait()
    await cache.idle()
    assert "lost" in await local(cache)


async def test_the_metadata_is_asked_for_while_what_has_come_is_parsed(cached: Make) -> None:
    service = (world := World()).service(PUBSUB)
    service.create_node("things", title="before")
    for number in range(COUNT):
        service.publish("things", f"t{number}", "<x xmlns='urn:x'/>")
    cache: Cached = await cached(world)
    parsed: list[str] = []
    all_parsed = asyncio.Event()

    def parser(item: Item) -> dict[str, Any]:
        parsed.append(item.context.id)
        if len(parsed) == COUNT:
            all_parsed.set()
        return {}

    definition = Definition(name="x", type="thing", namespace="urn:x", to_sync=True, parser=parser)
    cache.house.analysers.register(definition, "plugin")
    service.hold()
    job = cache.house.sync.job(ADDRESS._replace(node="things"))
    async with asyncio.timeout(30):
        while not service.node("things").subscriptions or service.held[0].kind != "disco_info":
            service.release(1)
            await service.holding(1)
            await world.settle()
        await all_parsed.wait()
    assert len(service.held) == 1
    service.configure("things", title="after", notify=False)
    service.release()
    await job.wait()
    assert (await cache.node(PUBSUB, "things"))["title"] == "after"


async def test_what_was_interrupted_goes_on_when_the_stream_is_resumed(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    service.hold()
    world.inject(ALICE, BounceEvent(service=PUBSUB, node=""))
    await world.settle()
    await cache.house.events.settled()
    assert await freshness(cache) == "stale"
    world.cut(ALICE)
    await cache.idle()
    service.release()
    world.resume(ALICE)
    await cache.idle()
    assert await freshness(cache) == "live"


@pytest.mark.parametrize("known", [False, True], ids=["first", "later"])
async def test_what_a_restart_interrupted_goes_on_after_it(cached: Make, known: bool) -> None:
    cache, service = await beginning(cached)
    if known:
        await cache.house.sync.job(ADDRESS, pin=True).wait()
        service.publish(MICROBLOG, "missed", ENTRY.format("missed"), notify=False)
    service.hold()
    cache.house.sync.job(ADDRESS, pin=True)
    while not any(request.kind == "subscribe" for request in service.held):
        service.release(len(service.held))
        await asyncio.sleep(0)
    service.release(1)
    await service.world.settle()
    await cache.stop()
    service.release()
    await cache.start()
    await cache.idle()
    assert await local(cache) == {item.id: item.payload for item in service.items(MICROBLOG)}
    assert await freshness(cache) == "live"


async def test_what_is_wanted_while_a_failure_is_written_down_is_synchronised_after_it(cached: Make) -> None:
    """As by a session that begins just as what was asked in the one before has failed."""
    cache, service = await followed(cached, World())
    service.fail_next("internal-server-error")
    with writer_busy(cache):
        cache.house.sync.in_background(BLOG)
        await cache.world.settle()
        assert not service.planned
        cache.house.sync.in_background(BLOG)
    await cache.idle()
    assert await freshness(cache) == "live"


async def test_what_becomes_doubtful_as_the_daemon_stops_is_left_to_the_next_start(cached: Make) -> None:
    cache, _ = await followed(cached, World())
    with writer_busy(cache):
        doubting = asyncio.create_task(cache.house.distrust.of(BLOG, "write"))
        while BLOG not in cache.house.nodes.suspected:
            await asyncio.sleep(0)
        await end([doubting])
        await cache.house.close()
    await cache.store.write(lambda tx: None)
    assert not cache.house.sync.running(BLOG)


async def test_what_an_event_made_doubtful_is_validated_though_the_client_whose_job_it_joined_gives_up(
    cached: Make,
) -> None:
    cache, service = await followed(cached, World())
    service.hold()
    job = cache.house.sync.job(BLOG, full=True)
    await service.holding(1)
    service.publish(MICROBLOG, "missed", ENTRY.format("missed"), notify=False)
    cache.world.inject(ALICE, BounceEvent(service=PUBSUB, node=MICROBLOG))
    await cache.world.settle()
    await cache.house.events.settled()
    assert await freshness(cache) == "stale"
    job.cancel()
    with pytest.raises(errors.Cancelled):
        await job.wait()
    service.release()
    await cache.idle()
    assert await freshness(cache) == "live"
    assert "missed" in await local(cache)


async def test_a_failure_that_is_left_to_nobody_but_the_daemon_is_looked_at(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.hold()
    job = cache.house.sync.job(BLOG, full=True)
    await service.holding(1)
    cache.world.inject(ALICE, BounceEvent(service=PUBSUB, node=MICROBLOG))
    await cache.world.settle()
    await cache.house.events.settled()
    job.cancel()
    with pytest.raises(errors.Cancelled):
        await job.wait()
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    service.down()
    service.release()
    await cache.idle()
    # It holds the error it answers with.
    service.up()
    gc.collect()
    assert unheard == []


async def test_a_first_synchronisation_that_a_client_cancels_is_made_up_for(cached: Make) -> None:
    cache, service = await beginning(cached)
    service.hold()
    job = await cache.house.sync.start(BLOG, False, ":1.1", "")
    await reaching(service, "subscribe")
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "syncing"
    job.cancel()
    with pytest.raises(errors.Cancelled):
        await job.wait()
    service.release()
    await cache.idle()
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "stale"
    cache.clock.advance(seconds=61)
    cache.house.revalidation.wake()
    await cache.idle()
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "live"
    assert list(await local(cache)) == ["i0"]


async def test_who_gives_up_a_synchronisation_of_a_node_that_was_forgotten_leaves_no_subscription(
    cached: Make,
) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    cache: Cached = await cached(world)
    service.hold()
    job = await cache.house.sync.start(BLOG, False, ":1.1", "")
    await reaching(service, "subscribe")
    await cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True)).wait()
    job.cancel()
    with pytest.raises(errors.Cancelled):
        await job.wait()
    service.release()
    await cache.idle()
    assert world.count("subscribe") == 1
    assert not service.node(MICROBLOG).subscribed(ALICE)


async def test_a_read_that_joined_a_cancelled_synchronisation_gets_an_answer(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    cache.clock.advance(hours=1)
    service.hold()
    job = cache.house.sync.job(ADDRESS)
    await world.settle()
    job.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    read = asyncio.create_task(cache.read(PUBSUB, MICROBLOG, policy="refresh"))
    await world.settle()
    service.release()
    items, *_ = await read
    assert len(items) == 3


async def test_a_pin_that_joins_is_kept(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    service.hold()
    first = cache.house.sync.job(ADDRESS)
    await world.settle()
    second = await cache.house.sync.start(ADDRESS, False, ":1.1", "")
    await world.settle()
    service.release()
    await first.wait()
    await second.wait()
    assert (await cache.node(PUBSUB, MICROBLOG))["pinned"]


async def test_a_service_that_cuts_its_replies_short_loses_nothing(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB, profile=msgspec.structs.replace(PROSODY, reply_items=3))
    service.create_node(MICROBLOG, max_items=10_000)
    for number in range(8):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, MICROBLOG)
    assert sorted(await local(cache)) == [f"i{number}" for number in range(8)]


@pytest.mark.parametrize("condition", ["internal-server-error", "resource-constraint"])
async def test_a_service_that_can_t_list_its_items_now_costs_none_that_is_stored(cached: Make, condition: str) -> None:
    cache, service = await followed(cached, count=150)
    service.fail_next(condition, request="disco_items", times=2)
    with pytest.raises(errors.Named, match=condition):
        await cache.house.sync.run(BLOG, full=True)
    assert len(await local(cache)) == 150
    assert await freshness(cache) == "stale"


async def test_a_metadata_number_of_any_size_breaks_nothing(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    node = service.create_node(MICROBLOG)
    real = node.metadata
    node.metadata = lambda: real() | {"pubsub#max_items": ["9" * 40]}  # type: ignore[method-assign]
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, MICROBLOG)
    assert await freshness(cache) == "live"


async def test_a_node_that_several_readers_find_is_added_once(cached: Make) -> None:
    cache, _ = await beginning(cached)
    await asyncio.gather(*(cache.read(PUBSUB, MICROBLOG) for _ in range(3)))
    await cache.idle()
    assert len(cache.signals("added")) == 1


async def test_a_pin_that_joins_while_the_end_is_written_down_is_kept(cached: Make) -> None:
    cache, service = await followed(cached)
    service.hold()
    cache.house.sync.job(BLOG)
    await reaching(service, "get_items")
    with writer_busy(cache):
        service.release()
        await cache.world.settle()
        pinning = await cache.house.sync.start(BLOG, False, "", "")
        await cache.world.settle()
        assert not pinning.finished
    await pinning.wait()
    assert (await cache.node(PUBSUB, MICROBLOG))["pinned"]


async def test_what_becomes_doubtful_while_a_pin_that_joined_late_is_written_down_is_looked_into(cached: Make) -> None:
    cache, service = await followed(cached)
    service.hold()
    cache.house.sync.job(BLOG)
    await reaching(service, "get_items")
    going = threading.Event()
    with writer_busy(cache):
        service.release()
        await cache.world.settle()
        pinning = await cache.house.sync.start(BLOG, False, "", "")
        await cache.world.settle()
        found = cache.store.write(lambda tx: None)
        cache.store.maintain(lambda _: going.wait(30))
    await found
    await cache.world.settle()
    service.publish(MICROBLOG, "lost", ENTRY.format("lost"), notify=False)
    cache.world.inject(ALICE, BounceEvent(service=PUBSUB, node=MICROBLOG))
    await cache.world.settle()
    going.set()
    await pinning.wait()
    await cache.idle()
    assert "lost" in await local(cache)


@pytest.mark.parametrize("full", [False, True], ids=["look", "everything"])
@pytest.mark.parametrize("heard", [True, False], ids=["fetched", "written down"])
async def test_a_new_session_validates_what_is_found_as_it_begins(cached: Make, full: bool, heard: bool) -> None:
    cache, service = await followed(cached)
    service.configure(MICROBLOG, send_last="never")
    await cache.idle()
    service.hold()
    cache.house.sync.job(BLOG, full=full)
    await reaching(service, "get_items")
    with writer_busy(cache):
        if heard:
            service.publish(MICROBLOG, "i2", ENTRY.format("heard"))
            # Waits for what was heard to be written; whoever asks whether all that came is applied waits for this.
            cache.world.inject(ALICE, SubscriptionEvent(service=PUBSUB, node=MICROBLOG, state="subscribed"))
            await cache.world.settle()
        service.release()
        await cache.world.settle()
        cache.world.cut(ALICE)
        await cache.world.settle()
        service.publish(MICROBLOG, "missed", ENTRY.format("missed"))
        cache.world.restore(ALICE)
        await cache.world.settle()
        service.hold()
    await reaching(service, "get_items")
    assert await freshness(cache) == "stale"
    service.release()
    await cache.idle()
    assert await freshness(cache) == "live"
    assert sorted(await local(cache)) == ["i0", "i1", "i2", "missed"]

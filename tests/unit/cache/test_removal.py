"""Local removal: what is dropped here is not told as removed there."""

from __future__ import annotations

import asyncio

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.cache.upkeep.removal import GRACE
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import BLOG, MICROBLOG, PUBSUB, followed, freshness, local, purge, reaching, writer_busy

FEED = "urn:xmpp:pubsub-social-feed:1"
OTHER = f"{MICROBLOG}/other"


async def test_purged_items_are_not_told_as_removed(cached: Make) -> None:
    cache, _ = await followed(cached, World())
    address = cache.house.accounts.resolve("", PUBSUB, MICROBLOG)
    revision = cache.house.revision
    await purge(cache)
    assert cache.removed() == []
    assert cache.signals("updated")
    *_, complete = await cache.house.node_reads.changes(address, revision, 500)
    assert complete is False


async def test_a_purged_node_is_answered_by_the_service_again(cached: Make) -> None:
    cache, _ = await followed(cached, World())
    await purge(cache)
    items, _, info = await cache.read(PUBSUB, MICROBLOG)
    assert (len(items), info["source"]) == (3, "network")
    await cache.idle()
    *_, info = await cache.read(PUBSUB, MICROBLOG)
    assert info["source"] == "cache"


async def test_a_filter_may_name_the_accounts_own_service_by_an_empty_string(cached: Make) -> None:
    world = World()
    own = world.account(ALICE).pep
    own.create_node(MICROBLOG)
    own.publish(MICROBLOG, "i0", ENTRY.format(0))
    cache, _ = await followed(cached, world)
    await cache.keep(ALICE, MICROBLOG)
    await cache.house.removal.purge(PurgeFilter(services=("",))).wait()
    assert (await cache.node(ALICE, MICROBLOG))["items"] == 0
    assert (await cache.node(PUBSUB, MICROBLOG))["items"] == 3


async def test_reset_forgets_all_nodes_and_no_account(cached: Make) -> None:
    world = World()
    cache, _ = await followed(cached, world)
    revision = cache.house.revision
    await cache.house.removal.reset().wait()
    with pytest.raises(errors.NoSuchNode):
        await cache.node(PUBSUB, MICROBLOG)
    assert [account.jid for account in cache.house.accounts.list()] == [ALICE]
    assert cache.house.revision >= revision
    assert len(await cache.ids(PUBSUB, MICROBLOG)) == 3


async def test_a_reset_that_is_cancelled_once_all_is_gone_is_done(cached: Make) -> None:
    cache, _ = await followed(cached)
    cache.house.changes.on_node.append(lambda _, change: job.cancel() if change == "updated" else None)
    job = cache.house.removal.reset()
    assert await job.wait() == "1 node was forgotten."
    assert cache.signals() == [(BLOG, "stale"), (BLOG, "updated"), (BLOG, "removed")]


@pytest.mark.parametrize("syncing", [False, True], ids=["", "while it is fetched"])
@pytest.mark.parametrize("how", ["reset", "purge"])
async def test_a_node_that_stays_after_all_is_not_called_live_without_its_subscription(
    cached: Make, how: str, syncing: bool
) -> None:
    cache, service = await followed(cached)
    service.create_node(OTHER, node_type=MICROBLOG)
    service.publish(OTHER, "1", ENTRY.format(1))
    await cache.keep(PUBSUB, OTHER)
    service.hold()
    if syncing:
        cache.house.sync.job(BLOG, full=True)
        await reaching(service, "get_items")
    removal, chosen = cache.house.removal, PurgeFilter(nodes=(MICROBLOG, OTHER), created_before=1, forget=True)
    job = removal.reset() if how == "reset" else removal.purge(chosen)
    while not any(request.kind == "unsubscribe" for request in service.held):
        await cache.world.settle()
    if how == "reset":
        # Only the last removes any.
        service.release(1, request="unsubscribe")
        await cache.world.settle()
    job.cancel()
    with pytest.raises(errors.Cancelled):
        await job.wait()
    service.release()
    await cache.idle()
    service.publish(MICROBLOG, "later", ENTRY.format("later"))
    await cache.idle()
    assert (await freshness(cache) == "live") is ("later" in await local(cache))
    cache.clock.advance(seconds=61)
    cache.house.revalidation.wake()
    await cache.idle()
    assert await freshness(cache) == "live"
    assert "later" in await local(cache)


async def test_what_two_purges_forget_is_told_as_removed_once(cached: Make) -> None:
    """And only to those who may know of it: what was forgotten is not known to be private any more."""
    cache, _ = await followed(cached)
    row = await cache.house.nodes.find(BLOG)
    assert row is not None
    await cache.house.nodes.update(row, analyser="bookmarks")
    private: list[bool] = []
    cache.house.changes.on_node.append(lambda address, _: private.append(cache.house.privacy.known(address)))
    await asyncio.gather(purge(cache, forget=True), purge(cache, forget=True))
    assert [change for _, change in cache.signals() if change != "updated"] == ["stale", "removed"]
    assert all(private)


@pytest.mark.parametrize("meanwhile", [FEED, OTHER], ids=["the same", "another"])
async def test_what_a_purge_forgets_is_what_it_chose(cached: Make, meanwhile: str) -> None:
    """As it is in its turn, whatever row was forgotten meanwhile, and whatever came."""
    cache, service = await followed(cached)
    for name in (FEED, OTHER):
        service.create_node(name)
        service.publish(name, "1", ENTRY.format(1))
    await cache.keep(PUBSUB, FEED)
    service.hold()
    purging = cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG, FEED), forget=True))
    await reaching(service, "unsubscribe")
    assert service.held[0].node == MICROBLOG
    forgetting = cache.house.removal.purge(PurgeFilter(nodes=(FEED,), forget=True))
    while not forgetting.finished:
        await cache.world.settle()
        service.release(1, node=FEED)
    reading = asyncio.create_task(cache.read(PUBSUB, meanwhile))
    while not service.node(meanwhile).subscribed(ALICE):
        await cache.world.settle()
        service.release(1, node=meanwhile)
        service.release(1, request="subscriptions")
    service.release()
    await reading
    await purging.wait()
    await cache.idle()
    with pytest.raises(errors.NoSuchNode):
        await cache.node(PUBSUB, FEED)
    assert not service.node(FEED).subscribed(ALICE)
    assert service.node(OTHER).subscribed(ALICE) is (meanwhile == OTHER)
    if meanwhile == OTHER:
        assert (await cache.node(PUBSUB, OTHER))["state"] == "live"


async def test_a_log_keeps_its_newest_when_events_pass_its_limit(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG, max_items=10_000)
    for number in range(5):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
    cache: Cached = await cached(world, items_per_node=5)
    await cache.keep(PUBSUB, MICROBLOG)
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    items, _, info = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    assert [item["id"] for item in items] == ["new", "i4", "i3", "i2", "i1"]
    assert info["completeness"] == "window"
    assert cache.removed() == []


async def test_a_node_that_comes_while_others_are_given_up_is_forgotten_with_them(cached: Make) -> None:
    cache, service = await followed(cached)
    service.create_node(FEED)
    service.publish(FEED, "1", ENTRY.format(1))
    service.hold()
    resetting = cache.house.removal.reset()
    await reaching(service, "unsubscribe")
    reading = asyncio.create_task(cache.read(PUBSUB, FEED))
    while not service.node(FEED).subscribed(ALICE):
        await cache.world.settle()
        for kind in ("get_items", "disco_info", "subscriptions", "subscribe"):
            service.release(10, request=kind)
    await reading
    service.release()
    await resetting.wait()
    await cache.idle()
    assert (Address(ALICE, PUBSUB, FEED), "removed") in cache.told
    assert not service.node(FEED).subscribed(ALICE)


@pytest.mark.parametrize("state", ["denied", "gone"])
async def test_what_may_be_seen_again_is_not_erased_with_what_was_hidden_for_long(cached: Make, state: str) -> None:
    world = World()
    service = world.service(PUBSUB)
    names = [f"{MICROBLOG}/{number}" for number in range(2)]
    cache: Cached = await cached(world)
    nodes = cache.house.nodes
    for name in names:
        service.create_node(name)
        service.publish(name, "i0", ENTRY.format(0))
        await cache.keep(PUBSUB, name)
    rows = [row for name in names if (row := await nodes.find(Address(ALICE, PUBSUB, name)))]
    first, second = [await nodes.update(row, state=state, gone_at=cache.clock.now) for row in rows]
    with writer_busy(cache):
        # Both were found hidden, and the first is being erased.
        erasing = asyncio.create_task(cache.house.removal.erase_hidden(cache.clock.now + GRACE))
        await asyncio.sleep(0)
        shown = asyncio.create_task(nodes.update(second, state="live", gone_at=None))
        await asyncio.sleep(0)
    await asyncio.gather(erasing, shown)
    left = await nodes.find(second.address)
    assert left is not None
    assert (left.state, left.item_count) == ("live", 1)
    erased = await nodes.find(first.address)
    assert erased is None or erased.item_count == 0

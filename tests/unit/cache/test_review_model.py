"""Findings of a review."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.xmpp.fake import PROSODY, World
from pubsub_cached.xmpp.port import BounceEvent, DeleteEvent, ItemsEvent
from tests.support.cached import ALICE, ENTRY, Cached, Make
from tests.unit.cache.test_following import MICROBLOG, PUBSUB, followed, freshness, local, purge

ADDRESS = Address(ALICE, PUBSUB, MICROBLOG)
TUNE = "http://jabber.org/protocol/tune"


async def test_a_forgotten_node_that_is_read_again_is_subscribed_to_again(cached: Make) -> None:
    cache, service = await followed(cached, World())
    await purge(cache, forget=True)
    await cache.read(PUBSUB, MICROBLOG)
    await cache.idle()
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    assert "new" in await local(cache)


async def test_after_a_reset_a_node_that_is_read_again_is_subscribed_to_again(cached: Make) -> None:
    cache, service = await followed(cached, World())
    await cache.house.removal.reset().wait()
    await cache.read(PUBSUB, MICROBLOG)
    await cache.idle()
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    assert "new" in await local(cache)


async def test_a_node_made_again_is_subscribed_to_again(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.delete(MICROBLOG)
    await cache.idle()
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "first", ENTRY.format("first"))
    await cache.read(PUBSUB, MICROBLOG)
    await cache.idle()
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    assert "new" in await local(cache)


async def test_a_node_shown_again_is_subscribed_to_again(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.configure(MICROBLOG, access_model="whitelist", notify=True)
    await cache.idle()
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="refresh")
    service.configure(MICROBLOG, access_model="open")
    await cache.read(PUBSUB, MICROBLOG, policy="network")
    await cache.idle()
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    assert "new" in await local(cache)


@pytest.mark.parametrize("how", ["forget", "reset"])
async def test_a_node_forgotten_while_it_is_fetched_is_not_said_to_be_absent(cached: Make, how: str) -> None:
    world = World()
    cache, service = await followed(cached, world)
    service.hold()
    job = cache.house.sync.job(ADDRESS)
    await world.settle()
    if how == "forget":
        removal = cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True))
    else:
        removal = cache.house.removal.reset()
    await world.settle()
    service.release()
    await removal.wait()
    with pytest.raises(errors.PubSubCachedError):
        await job.wait()
    await cache.idle()
    with pytest.raises(errors.NoSuchNode):
        await cache.node(PUBSUB, MICROBLOG)
    assert ALICE not in service.node(MICROBLOG).subscriptions
    assert len(await cache.ids(PUBSUB, MICROBLOG)) == 3


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
    with pytest.raises(errors.NoSuchNode):
        await job.wait()
    assert (await cache.node(PUBSUB, MICROBLOG))["redirect"] == "xmpp:new.example.net?;node=blog"


async def test_a_node_found_denied_while_its_last_fetch_is_parsed_stays_hidden(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    job = cache.house.sync.job(ADDRESS)
    # The last reply has come, and is not written down yet.
    real = cache.house.sync.caught_up

    async def refused_meanwhile() -> None:
        await real()
        if service.node(MICROBLOG).access_model == "open":
            service.configure(MICROBLOG, access_model="whitelist")
            with pytest.raises(errors.Denied):
                await cache.read(PUBSUB, MICROBLOG, policy="network")

    cache.house.sync.caught_up = refused_meanwhile
    with pytest.raises(errors.Denied):
        await job.wait()
    await cache.idle()
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="cache")


async def test_what_disturbs_a_first_synchronisation_in_its_last_moment_is_looked_into(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    cache: Cached = await cached(world)
    write = cache.store.write
    service.publish(MICROBLOG, "i1", ENTRY.format(1), notify=False)
    seen = []

    def told(address: Address, *_: object) -> None:
        if not seen and len(_) == 3:
            seen.append(address)

    cache.house.changes.on_items.append(told)
    job = cache.house.sync.job(ADDRESS, pin=True)
    del write
    real = cache.house.sync.caught_up
    count = 0

    async def bounced() -> None:
        nonlocal count
        count += 1
        await real()
        if count == 1:
            service.publish(MICROBLOG, "lost", ENTRY.format("lost"), notify=False)
            # Applied after the look at what was disturbed, before the write is done.
            asyncio.get_running_loop().call_soon(
                lambda: asyncio.ensure_future(cache.house.events.distrust(ADDRESS, "bounce"))
            )

    cache.house.sync.caught_up = bounced
    await job.wait()
    await cache.idle()
    assert "lost" in await local(cache)


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


async def test_an_account_taken_out_of_the_configuration_ends_nothing(cached: Make) -> None:
    world = World()
    world.account("bob@example.org")
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    service.fail_next("not-allowed", pubsub_condition="unsupported", request="subscribe", times=9)
    cache: Cached = await cached(world, ALICE, "bob@example.org")
    for account in (ALICE, "bob@example.org"):
        await cache.read(PUBSUB, MICROBLOG, account=account)
    await cache.idle()
    await cache.stop()
    cache.settings = msgspec.structs.replace(
        cache.settings, account=tuple(each for each in cache.settings.account if each.jid == ALICE)
    )
    cache.clock.advance(hours=1)
    await cache.start()
    service.publish(MICROBLOG, "i1", ENTRY.format(1))
    cache.clock.advance(hours=1)
    cache.house.revalidation.wake()
    await cache.idle()
    assert "i1" in await local(cache)
    assert cache.house.revalidation._timer is not None
    assert not cache.house.revalidation._timer.done()


async def test_a_last_only_node_holds_one_item_after_an_event(cached: Make) -> None:
    world = World()
    alice = world.account(ALICE)
    alice.pep.create_node(TUNE, max_items=1)
    cache: Cached = await cached(world)
    for title in ("one", "two"):
        alice.pep.publish(TUNE, title, f"<tune xmlns='{TUNE}'><title>{title}</title></tune>")
        await cache.idle()
    assert await cache.ids("alice@example.org", TUNE) == ["two"]


async def test_eviction_by_an_event_is_told(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG, max_items=10_000)
    for number in range(5):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
    cache: Cached = await cached(world, items_per_node=5)
    await cache.read(PUBSUB, MICROBLOG)
    await cache.idle()
    cache.told.clear()
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    assert cache.signals("updated")


async def test_the_end_of_a_window_offline_is_an_end(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG, max_items=10_000)
    for number in range(8):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
    cache: Cached = await cached(world, items_per_node=5)
    await cache.read(PUBSUB, MICROBLOG)
    await cache.idle()
    _, cursor, _ = await cache.read(PUBSUB, MICROBLOG)
    assert cursor
    world.cut(ALICE)
    await cache.idle()
    for options in ({"cursor": cursor}, {"after": "i3"}, {"index": 5}):
        items, following, info = await cache.read(PUBSUB, MICROBLOG, **options)
        assert (items, following, info["completeness"]) == ([], "", "window")


async def test_the_last_page_of_a_window_is_the_services(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG, max_items=10_000)
    for number in range(8):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
    cache: Cached = await cached(world, items_per_node=5)
    await cache.read(PUBSUB, MICROBLOG)
    await cache.idle()
    assert await cache.ids(PUBSUB, MICROBLOG, before="", limit=2) == ["i1", "i0"]


async def test_a_service_that_cuts_its_replies_short_loses_nothing(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB, profile=msgspec.structs.replace(PROSODY, reply_items=3))
    service.create_node(MICROBLOG, max_items=10_000)
    for number in range(8):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
    cache: Cached = await cached(world)
    await cache.read(PUBSUB, MICROBLOG)
    await cache.idle()
    assert sorted(await local(cache)) == [f"i{number}" for number in range(8)]


async def test_unreachable_for_one_account_is_not_so_for_another(cached: Make) -> None:
    world = World()
    world.account("bob@example.org")
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    cache: Cached = await cached(world, ALICE, "bob@example.org")
    service.fail_next("remote-server-timeout")
    with pytest.raises(errors.PubSubCachedError):
        await cache.read(PUBSUB, MICROBLOG)
    await cache.read(PUBSUB, MICROBLOG, account="bob@example.org")


async def test_a_token_that_a_client_chose_is_never_chosen_by_the_daemon(cached: Make) -> None:
    cache: Cached = await cached(World())
    ended = asyncio.Event()

    async def work(job: object) -> str:
        await ended.wait()
        return ""

    cache.house.jobs.start("test", work, ":1.5", "j1")
    cache.house.jobs.start("test", work, ":1.5")
    ended.set()


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


async def test_the_presence_of_a_contact_that_left_the_roster_is_no_evidence(cached: Make) -> None:
    world = World()
    world.account(ALICE)
    bob = world.account("bob@example.org")
    world.befriend(ALICE, "bob@example.org")
    bob.pep.create_node(MICROBLOG, access_model="open")
    bob.pep.publish(MICROBLOG, "p1", ENTRY.format("p1"))
    bob.pep.fail_next("not-allowed", request="subscribe", times=9)
    cache: Cached = await cached(world)
    await cache.idle()
    *_, info = await cache.read("bob@example.org", MICROBLOG)
    assert info["freshness"] == "live"
    world.unfriend(ALICE, "bob@example.org")
    bob.pep.publish(MICROBLOG, "p2", ENTRY.format("p2"))
    await cache.idle()
    *_, info = await cache.read("bob@example.org", MICROBLOG)
    assert info["freshness"] != "live"


async def test_a_clock_set_back_makes_nothing_fresh(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    service.fail_next("not-allowed", pubsub_condition="unsupported", request="subscribe", times=9)
    cache: Cached = await cached(world)
    await cache.read(PUBSUB, MICROBLOG)
    await cache.idle()
    cache.clock.advance(days=-1)
    assert await freshness(cache) == "stale"


async def test_a_doubted_node_is_not_shown_by_policy_cache(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    service.configure(MICROBLOG, access_model="whitelist")
    service.hold()
    from pubsub_cached.xmpp.port import ConfigurationEvent

    world.inject(ALICE, ConfigurationEvent(service=PUBSUB, node=MICROBLOG))
    await world.settle()
    with pytest.raises(errors.NotCached):
        await cache.read(PUBSUB, MICROBLOG, policy="cache")
    service.release()


async def test_a_session_lost_while_access_is_proved_leaves_an_offline_reader_what_it_had(cached: Make) -> None:
    world = World()
    world.account(ALICE)
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG, access_model="whitelist")
    service.set_affiliation(MICROBLOG, ALICE, "member")
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    cache: Cached = await cached(world)
    await cache.read(PUBSUB, MICROBLOG)
    await cache.idle()
    cache.clock.advance(hours=7)
    service.hold()
    read = asyncio.create_task(cache.read(PUBSUB, MICROBLOG))
    await world.settle()
    world.cut(ALICE)
    items, _, info = await read
    assert (len(items), info["freshness"]) == (1, "offline")


async def test_a_metadata_number_of_any_size_breaks_nothing(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    node = service.create_node(MICROBLOG)
    real = node.metadata
    node.metadata = lambda: real() | {"pubsub#max_items": ["9" * 40]}  # type: ignore[method-assign]
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    cache: Cached = await cached(world)
    await cache.read(PUBSUB, MICROBLOG)
    await cache.idle()
    assert await freshness(cache) == "live"


async def test_events_outlive_a_full_disk(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    await cache.store.maintain(lambda driver: driver.execute("PRAGMA max_page_count=1").fetchall())
    for number in range(40):
        service.publish(MICROBLOG, f"n{number}", ENTRY.format("x" * 20_000))
    world.inject(ALICE, BounceEvent(service=PUBSUB, node=""))
    world.inject(ALICE, ItemsEvent(service=PUBSUB, node=MICROBLOG, retracted=("i0",)))
    await world.settle()
    await asyncio.wait_for(cache.house.events.settled(), 10)
    await cache.store.maintain(lambda driver: driver.execute("PRAGMA max_page_count=1000000").fetchall())
    await asyncio.wait_for(cache.house.sync.run(ADDRESS), 10)
    assert len(await local(cache)) == 43


async def test_a_retraction_beyond_the_window_is_no_disagreement(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG, max_items=10_000)
    for number in range(8):
        service.publish(MICROBLOG, f"post-{number}-", ENTRY.format(number))
    cache: Cached = await cached(world, items_per_node=5)
    await cache.read(PUBSUB, MICROBLOG)
    await cache.idle()
    asked = world.count()
    service.retract(MICROBLOG, "post-0-", notify=True)
    await cache.idle()
    assert world.count() == asked


async def test_several_readers_at_once_count_as_one_refusal(cached: Make) -> None:
    world = World()
    world.service(PUBSUB)
    cache: Cached = await cached(world)
    reads = [cache.read(PUBSUB, MICROBLOG) for _ in range(5)]
    answers = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(answer, errors.NoSuchNode) for answer in answers)
    asked = world.count()
    cache.clock.advance(seconds=301)
    with pytest.raises(errors.NoSuchNode):
        await cache.read(PUBSUB, MICROBLOG)
    assert world.count() > asked


async def test_a_node_that_several_readers_find_is_added_once(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    cache: Cached = await cached(world)
    await asyncio.gather(*(cache.read(PUBSUB, MICROBLOG) for _ in range(3)))
    await cache.idle()
    assert len(cache.signals("added")) == 1


async def test_an_event_of_a_denied_node_makes_it_worth_a_question(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    service.set_affiliation(MICROBLOG, ALICE, "outcast")
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="network")
    service.set_affiliation(MICROBLOG, ALICE, "member")
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    assert "new" in await cache.ids(PUBSUB, MICROBLOG)

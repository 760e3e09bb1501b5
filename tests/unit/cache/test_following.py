"""Following a service: events, gaps, and what converges after them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pubsub_cached import errors
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Profile, Service, World
from pubsub_cached.xmpp.port import BounceEvent, Item, ItemsEvent
from tests.support.cached import ALICE, ENTRY, Cached, Make

PUBSUB = "pubsub.example.net"
MICROBLOG = "urn:xmpp:microblog:0"
PROFILES = pytest.mark.parametrize("profile", [PROSODY, EJABBERD, LIBERVIA], ids=["prosody", "ejabberd", "libervia"])


async def followed(cached: Make, world: World, profile: Profile = PROSODY, count: int = 3) -> tuple[Cached, Service]:
    """A cache that follows a blog of ``count`` posts; what was told so far is forgotten."""
    service = world.service(PUBSUB, profile=profile)
    service.create_node(MICROBLOG, max_items=10_000)
    for number in range(count):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
    cache: Cached = await cached(world)
    await cache.read(PUBSUB, MICROBLOG)
    await cache.idle()
    cache.told.clear()
    return cache, service


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


class TestEvents:
    @PROFILES
    async def test_a_publish_is_stored_and_told(self, cached: Make, profile: Profile) -> None:
        cache, service = await followed(cached, World(), profile)
        service.publish(MICROBLOG, "new", ENTRY.format("new"))
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG) == ["new", "i2", "i1", "i0"]
        changes = [told for told in cache.told if len(told) == 4]
        assert [(told[1], told[2]) for told in changes] == [(["new"], [])]
        assert await freshness(cache) == "live"

    async def test_a_purge_that_is_committed_while_the_cache_stops_is_told(self, cached: Make) -> None:
        cache, service = await followed(cached, World())
        going = threading.Event()
        blocked = cache.store.write(lambda tx: going.wait(30))
        service.purge(MICROBLOG)
        await cache.world.settle()
        stopping = asyncio.create_task(cache.stop())
        await asyncio.sleep(0)
        assert cache.removed() == []
        going.set()
        await stopping

        assert blocked.result() is True
        assert sorted(cache.removed()) == ["i0", "i1", "i2"]

    async def test_an_overwrite_moves_to_newest_where_the_service_does_so(self, cached: Make) -> None:
        cache, service = await followed(cached, World())
        service.publish(MICROBLOG, "i0", ENTRY.format("again"))
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG) == ["i0", "i2", "i1"]
        assert await cache.ids(PUBSUB, MICROBLOG, order=(("created", True),)) == ["i2", "i1", "i0"]

    async def test_the_same_item_again_is_no_change(self, cached: Make) -> None:
        cache, service = await followed(cached, World())
        service.publish(MICROBLOG, "i2", ENTRY.format(2))
        await cache.idle()
        assert cache.told == []

    @PROFILES
    async def test_a_retraction_removes_and_is_told(self, cached: Make, profile: Profile) -> None:
        cache, service = await followed(cached, World(), profile)
        service.retract(MICROBLOG, "i1", notify=True)
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG) == ["i2", "i0"]
        assert cache.removed() == ["i1"]
        assert await freshness(cache) == "live"

    async def test_a_purge_removes_everything(self, cached: Make) -> None:
        cache, service = await followed(cached, World())
        service.purge(MICROBLOG)
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG) == []
        assert sorted(cache.removed()) == ["i0", "i1", "i2"]
        assert await freshness(cache) == "live"

    async def test_a_deletion_makes_the_node_gone_with_its_redirect(self, cached: Make) -> None:
        cache, service = await followed(cached, World())
        service.delete(MICROBLOG, redirect="xmpp:new.example.net?;node=blog")
        await cache.idle()
        node = await cache.node(PUBSUB, MICROBLOG)
        assert (node["state"], node["redirect"], node["items"]) == ("gone", "xmpp:new.example.net?;node=blog", 0)
        assert sorted(cache.removed()) == ["i0", "i1", "i2"]
        assert cache.signals("gone")
        with pytest.raises(errors.NoSuchNode, match="moved to"):
            await cache.read(PUBSUB, MICROBLOG, policy="cache")

    async def test_a_node_made_again_is_followed_again(self, cached: Make) -> None:
        cache, service = await followed(cached, World())
        service.delete(MICROBLOG)
        await cache.idle()
        service.create_node(MICROBLOG)
        service.publish(MICROBLOG, "first", ENTRY.format("first"))
        cache.clock.advance(hours=1)
        assert await cache.ids(PUBSUB, MICROBLOG) == ["first"]
        await cache.idle()
        assert await local(cache) == {item.id: item.payload for item in service.items(MICROBLOG)}

    async def test_several_items_of_one_event_are_one_change(self, cached: Make) -> None:
        world = World()
        cache, _ = await followed(cached, world)
        items = tuple(Item(f"n{number}", ENTRY.format(number), "http://www.w3.org/2005/Atom") for number in range(3))
        world.inject(ALICE, ItemsEvent(service=PUBSUB, node=MICROBLOG, items=items))
        await cache.idle()
        assert [told[1] for told in cache.told if len(told) == 4] == [["n0", "n1", "n2"]]

    async def test_an_item_without_payload_never_replaces_content(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        world.inject(ALICE, ItemsEvent(service=PUBSUB, node=MICROBLOG, items=(Item("i1"),)))
        await cache.idle()
        assert await local(cache) == {item.id: item.payload for item in service.items(MICROBLOG)}

    async def test_an_unknown_retraction_is_a_disagreement_and_is_looked_into(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        service.retract(MICROBLOG, "i0", "i1", notify=False)
        world.inject(ALICE, ItemsEvent(service=PUBSUB, node=MICROBLOG, retracted=("i0i1",)))
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG) == ["i2"]

    async def test_a_retraction_that_comes_twice_is_no_disagreement(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        service.retract(MICROBLOG, "i1", notify=True)
        await cache.idle()
        asked = world.count()
        world.inject(ALICE, ItemsEvent(service=PUBSUB, node=MICROBLOG, retracted=("i1",)))
        await cache.idle()
        assert world.count() == asked

    async def test_a_retraction_that_nobody_tells_is_found_by_the_next_validation(self, cached: Make) -> None:
        """coherence, Silent removals: retract without notify"""
        cache, service = await followed(cached, World())
        service.retract(MICROBLOG, "i1", notify=False)
        await cache.idle()
        assert "i1" in await local(cache)
        cache.clock.advance(seconds=60)
        assert "i1" not in await cache.ids(PUBSUB, MICROBLOG, policy="refresh")
        assert cache.removed() == ["i1"]

    async def test_a_replayed_event_is_not_believed_but_looked_into(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        old = Item("i1", ENTRY.format("old"), "http://www.w3.org/2005/Atom")
        world.inject(ALICE, ItemsEvent(service=PUBSUB, node=MICROBLOG, items=(old,), delayed=True))
        await cache.idle()
        assert await local(cache) == {item.id: item.payload for item in service.items(MICROBLOG)}

    async def test_a_bounce_makes_the_services_nodes_validated(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        service.retract(MICROBLOG, "i1", notify=False)
        world.inject(ALICE, BounceEvent(service=PUBSUB, node="", condition="remote-server-timeout"))
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG) == ["i2", "i0"]

    async def test_events_of_nodes_that_nobody_keeps_store_nothing(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        service.create_node("things")
        item = Item("secret", "<thing xmlns='urn:example'/>", "urn:example")
        world.inject(ALICE, ItemsEvent(service=PUBSUB, node="things", items=(item,)))
        await cache.idle()
        with pytest.raises(errors.NotCached):
            await cache.read(PUBSUB, "things", policy="cache")


class TestDuringAFetch:
    """Events that come while the node is fetched end on top of what is fetched."""

    @pytest.mark.parametrize("profile", [PROSODY, EJABBERD], ids=["prosody", "ejabberd"])
    async def test_a_publish_is_kept(self, cached: Make, profile: Profile) -> None:
        world = World(burst=True)
        cache, service = await followed(cached, world, profile)
        job = cache.house.sync.job(cache.house.accounts.resolve("", PUBSUB, MICROBLOG))
        service.publish(MICROBLOG, "late", ENTRY.format("late"))
        await job.wait()
        await cache.idle()
        assert await local(cache) == {item.id: item.payload for item in service.items(MICROBLOG)}
        assert cache.removed() == []

    async def test_a_retraction_beats_a_page_that_still_has_the_item(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        service.hold()
        job = cache.house.sync.job(cache.house.accounts.resolve("", PUBSUB, MICROBLOG))
        await world.settle()
        world.inject(ALICE, ItemsEvent(service=PUBSUB, node=MICROBLOG, retracted=("i1",)))
        await world.settle()
        await cache.house.events.settled()
        service.release()
        await job.wait()
        assert "i1" not in await local(cache)

    async def test_a_purge_makes_what_was_fetched_count_for_nothing(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        job = cache.house.sync.job(cache.house.accounts.resolve("", PUBSUB, MICROBLOG))
        service.purge(MICROBLOG)
        await job.wait()
        await cache.idle()
        assert await local(cache) == {}


class TestGaps:
    @PROFILES
    async def test_what_was_missed_is_found_after_a_new_session(self, cached: Make, profile: Profile) -> None:
        """
        coherence, Ladder: 5 mark and sweep
        """
        world = World()
        cache, service = await followed(cached, world, profile)
        world.cut(ALICE)
        await cache.idle()
        service.publish(MICROBLOG, "missed", ENTRY.format("missed"))
        service.publish(MICROBLOG, "i2", ENTRY.format("changed"))
        service.retract(MICROBLOG, "i1", notify=True)
        world.restore(ALICE)
        await cache.idle()
        assert await local(cache) == {item.id: item.payload for item in service.items(MICROBLOG)}
        assert await freshness(cache) == "live"
        assert cache.removed() == ["i1"]

    async def test_a_resumed_stream_goes_on_without_a_single_request(self, cached: Make) -> None:
        """
        coherence, Ladder: 0 stream resumed
        """
        world = World()
        cache, service = await followed(cached, world)
        asked = world.count()
        world.cut(ALICE)
        await cache.idle()
        service.publish(MICROBLOG, "missed", ENTRY.format("missed"))
        world.resume(ALICE)
        await cache.idle()
        assert "missed" in await local(cache)
        assert world.count() == asked
        assert await freshness(cache) == "live"

    async def test_a_new_session_with_nothing_new_changes_nothing(self, cached: Make) -> None:
        world = World()
        cache, _ = await followed(cached, world)
        before = cache.house.node_reads
        _, _, revision, _ = await before.changes(cache.house.accounts.resolve("", PUBSUB, MICROBLOG), 0, 500)
        world.cut(ALICE)
        world.restore(ALICE)
        await cache.idle()
        assert [told for told in cache.told if len(told) == 4] == []
        address = cache.house.accounts.resolve("", PUBSUB, MICROBLOG)
        changed, removed, _, complete = await before.changes(address, revision, 500)
        assert (changed, removed, complete) == ([], [], True)

    async def test_a_node_that_vanished_meanwhile_is_gone(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        world.cut(ALICE)
        await cache.idle()
        service.delete(MICROBLOG)
        world.restore(ALICE)
        await cache.idle()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "gone"
        assert sorted(cache.removed()) == ["i0", "i1", "i2"]

    async def test_a_node_that_may_not_be_read_any_more_is_hidden_at_once(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        world.cut(ALICE)
        await cache.idle()
        service.configure(MICROBLOG, access_model="whitelist")
        world.restore(ALICE)
        await cache.idle()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "denied"
        with pytest.raises(errors.Denied):
            await cache.read(PUBSUB, MICROBLOG, policy="cache")
        assert cache.removed() == []

    async def test_a_service_that_is_down_keeps_its_nodes_flagged_and_readable(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        service.down()
        world.cut(ALICE)
        world.restore(ALICE)
        await cache.idle()
        items, _, info = await cache.read(PUBSUB, MICROBLOG)
        assert len(items) == 3
        assert (info["source"], info["freshness"]) == ("cache", "stale")
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "unreachable"

    async def test_a_failed_synchronisation_is_tried_again_later(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        service.down()
        world.cut(ALICE)
        world.restore(ALICE)
        await cache.idle()
        service.up()
        cache.clock.advance(hours=1)
        cache.house.revalidation.wake()
        await cache.idle()
        assert await freshness(cache) == "live"


class TestRestart:
    async def test_what_was_stored_is_served_offline_from_the_first_moment(self, cached: Make) -> None:
        cache, _ = await followed(cached, World())
        await cache.restart(online=False)
        items, _, info = await cache.read(PUBSUB, MICROBLOG)
        assert len(items) == 3
        assert (info["source"], info["freshness"]) == ("cache", "offline")

    async def test_nothing_is_called_live_before_it_was_validated(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        service.hold()
        await cache.stop()
        await cache.start(online=False)
        await cache.house.connect()
        await world.settle()
        await cache.house.revalidation.settled()
        assert await freshness(cache) == "stale"
        service.release()
        await cache.idle()
        assert await freshness(cache) == "live"

    async def test_changes_made_meanwhile_are_found(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        await cache.stop()
        service.publish(MICROBLOG, "missed", ENTRY.format("missed"))
        await cache.start()
        await cache.idle()
        assert "missed" in await local(cache)


class TestSubscriptions:
    async def test_a_kept_node_is_subscribed_to(self, cached: Make) -> None:
        world = World()
        cache, _ = await followed(cached, world)
        node = await cache.node(PUBSUB, MICROBLOG)
        assert (node["subscribed"], node["guarantee"]) == (True, "normal")
        assert world.count("subscribe") == 1

    async def test_forgetting_gives_up_the_daemons_own_subscription(self, cached: Make) -> None:
        world = World()
        cache, _ = await followed(cached, world)
        await purge(cache, forget=True)
        assert world.count("unsubscribe") == 1
        assert cache.signals("removed")

    async def test_forgetting_leaves_a_subscription_that_was_there_before(self, cached: Make) -> None:
        world = World()
        world.account(ALICE)
        service = world.service(PUBSUB)
        service.create_node(MICROBLOG)
        service.add_subscription(MICROBLOG, ALICE)
        service.publish(MICROBLOG, "i0", ENTRY.format(0))
        cache: Cached = await cached(world)
        await cache.read(PUBSUB, MICROBLOG)
        await cache.idle()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "live"
        await purge(cache, forget=True)
        assert world.count("unsubscribe") == 0

    async def test_a_node_that_cannot_be_subscribed_to_is_polled(self, cached: Make) -> None:
        world = World()
        service = world.service(PUBSUB)
        service.create_node(MICROBLOG)
        service.publish(MICROBLOG, "i0", ENTRY.format(0))
        service.fail_next("not-allowed", pubsub_condition="unsupported", request="subscribe")
        cache: Cached = await cached(world)
        await cache.read(PUBSUB, MICROBLOG)
        await cache.idle()
        *_, info = await cache.read(PUBSUB, MICROBLOG)
        assert (info["source"], info["freshness"]) == ("cache", "validated")
        cache.clock.advance(hours=1)
        service.publish(MICROBLOG, "i1", ENTRY.format(1))
        *_, info = await cache.read(PUBSUB, MICROBLOG)
        assert info["freshness"] == "stale"
        await cache.idle()
        assert "i1" in await local(cache)


class TestContacts:
    async def test_a_contacts_blog_announces_itself_and_is_kept(self, cached: Make) -> None:
        world = World()
        world.account(ALICE)
        bob = world.account("bob@example.org")
        world.befriend(ALICE, "bob@example.org")
        bob.pep.create_node(MICROBLOG, access_model="presence")
        bob.pep.publish(MICROBLOG, "p1", ENTRY.format("p1"))
        cache: Cached = await cached(world)
        await cache.idle()
        items, _, info = await cache.read("bob@example.org", MICROBLOG, policy="cache")
        assert [item["id"] for item in items] == ["p1"]
        assert info["freshness"] == "live"
        assert items[0]["publisher"] == "bob@example.org"


class TestLocalRemoval:
    """Dropped here is not deleted there."""

    async def test_purged_items_are_not_told_as_removed(self, cached: Make) -> None:
        cache, _ = await followed(cached, World())
        address = cache.house.accounts.resolve("", PUBSUB, MICROBLOG)
        revision = cache.house.revision
        await purge(cache)
        assert cache.removed() == []
        assert cache.signals("updated")
        *_, complete = await cache.house.node_reads.changes(address, revision, 500)
        assert complete is False

    async def test_a_purged_node_is_answered_by_the_service_again(self, cached: Make) -> None:
        cache, _ = await followed(cached, World())
        await purge(cache)
        items, _, info = await cache.read(PUBSUB, MICROBLOG)
        assert (len(items), info["source"]) == (3, "network")
        await cache.idle()
        *_, info = await cache.read(PUBSUB, MICROBLOG)
        assert info["source"] == "cache"

    async def test_reset_forgets_all_nodes_and_no_account(self, cached: Make) -> None:
        world = World()
        cache, _ = await followed(cached, world)
        revision = cache.house.revision
        await cache.house.removal.reset().wait()
        with pytest.raises(errors.NoSuchNode):
            await cache.node(PUBSUB, MICROBLOG)
        assert [account.jid for account in cache.house.accounts.list()] == [ALICE]
        assert cache.house.revision >= revision
        assert len(await cache.ids(PUBSUB, MICROBLOG)) == 3

    async def test_a_log_keeps_its_newest_when_events_pass_its_limit(self, cached: Make) -> None:
        world = World()
        service = world.service(PUBSUB)
        service.create_node(MICROBLOG, max_items=10_000)
        for number in range(5):
            service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
        cache: Cached = await cached(world, items_per_node=5)
        await cache.read(PUBSUB, MICROBLOG)
        await cache.idle()
        service.publish(MICROBLOG, "new", ENTRY.format("new"))
        await cache.idle()
        items, _, info = await cache.read(PUBSUB, MICROBLOG, policy="cache")
        assert [item["id"] for item in items] == ["new", "i4", "i3", "i2", "i1"]
        assert info["completeness"] == "window"
        assert cache.removed() == []


async def purge(cache: Cached, *, forget: bool = False) -> None:
    await cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=forget)).wait()
    await cache.idle()

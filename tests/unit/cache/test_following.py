"""Following a service: its events, also during a fetch, and the subscriptions that they need."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pubsub_cached import errors
from pubsub_cached.cache.sync.rungs import NEWEST_AT_MOST
from pubsub_cached.store.items import items
from pubsub_cached.store.rows import Delta
from pubsub_cached.store.transaction import Transaction
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, World
from pubsub_cached.xmpp.port import BounceEvent, Item, ItemsEvent
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import BLOG, MICROBLOG, PROFILES, PUBSUB, followed, freshness, local, purge


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

    async def test_whoever_waits_for_events_waits_until_they_are_told(self, cached: Make) -> None:
        """Also who begins to in the moment in which it comes out that one is stored."""
        cache, service = await followed(cached)
        cache.told.clear()
        goes_on, stored = threading.Event(), threading.Event()
        cache.store.write(lambda tx: goes_on.wait())
        before = cache.store.write(lambda tx: None)
        service.publish(MICROBLOG, "new", ENTRY.format("new"))
        await cache.house.events.caught_up()
        after = cache.store.write(lambda tx: stored.set())
        goes_on.set()
        # The loop learns of all these writes at once.
        stored.wait()
        await before
        await cache.house.events.settled()
        assert [told[1] for told in cache.told] == [["new"]]
        await after

    async def test_a_purge_that_is_committed_while_the_cache_stops_is_told(
        self, cached: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache, service = await followed(cached, World())
        begun, going, erase = threading.Event(), threading.Event(), items.erase

        def held_up(tx: Transaction, node_id: int) -> Delta:
            begun.set()
            going.wait(30)
            return erase(tx, node_id)

        monkeypatch.setattr(items, "erase", held_up)
        service.purge(MICROBLOG)
        assert await asyncio.to_thread(begun.wait, 30)
        stopping = asyncio.create_task(cache.stop())
        await asyncio.sleep(0)
        assert cache.removed() == []
        going.set()
        await stopping
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

    @pytest.mark.parametrize("burst", [False, True], ids=["alone", "in a burst"])
    async def test_what_one_event_publishes_and_retracts_is_told_to_be_gone(self, cached: Make, burst: bool) -> None:
        world = World()
        cache, service = await followed(cached, world)
        if burst:
            service.publish(MICROBLOG, "i3", ENTRY.format(3))
        service.retract(MICROBLOG, "i1", notify=False)
        again = Item("i1", ENTRY.format("again"), "http://www.w3.org/2005/Atom")
        world.inject(ALICE, ItemsEvent(service=PUBSUB, node=MICROBLOG, items=(again,), retracted=("i1",)))
        await cache.idle()
        assert "i1" not in await local(cache)
        told = [tuple(told[1:3]) for told in cache.told if len(told) == 4]
        assert told == [(["i3"], [])] * burst + [([], ["i1"])]

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
        for policy in ("cache", "default", "default", "network"):
            with pytest.raises(errors.NoSuchNode, match=r"moved to xmpp:new\.example\.net\?;node=blog\."):
                await cache.read(PUBSUB, MICROBLOG, policy=policy)

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

    @pytest.mark.parametrize("id_", ["new", "i0"])
    async def test_for_an_event_without_payload_not_all_is_fetched_again(self, cached: Make, id_: str) -> None:
        """XEP-0472 recommends such events: at each post of a blog it would be hundreds of items."""
        world = World()
        cache, service = await followed(cached, world, count=300)
        # That the service has what is published again as its newest is known from here on.
        for seen in ("i1", "i2"):
            service.publish(MICROBLOG, seen, ENTRY.format("again"))
            await cache.idle()
        service.nodes[MICROBLOG].deliver_payloads = False
        before = len(world.requests)
        service.publish(MICROBLOG, id_, ENTRY.format("again"))
        await cache.idle()
        asked = [request.args for request in world.requests[before:] if request.kind == "get_items"]
        assert [(args["ids"], args["max_items"]) for args in asked] == [((), NEWEST_AT_MOST)]
        assert await local(cache) == {item.id: item.payload for item in service.items(MICROBLOG)}
        assert (await cache.ids(PUBSUB, MICROBLOG))[0] == id_
        assert await freshness(cache) == "live"

    async def test_an_unknown_retraction_is_a_disagreement_and_is_looked_into(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        service.retract(MICROBLOG, "i0", "i1", notify=False)
        world.inject(ALICE, ItemsEvent(service=PUBSUB, node=MICROBLOG, retracted=("i0i1",)))
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG) == ["i2"]

    async def test_an_unknown_retraction_after_what_was_fetched_is_looked_into(self, cached: Make) -> None:
        cache, service = await followed(cached)
        service.hold()
        job = cache.house.sync.job(BLOG, full=True)
        while (await service.holding(1), [request.kind for request in service.held])[1] != ["disco_info"]:
            service.release(1)
            await cache.world.settle()
        service.retract(MICROBLOG, "i0", "i1", notify=False)
        cache.world.inject(ALICE, ItemsEvent(service=PUBSUB, node=MICROBLOG, retracted=("i0i1",)))
        await cache.world.settle()
        await cache.house.events.settled()
        service.release()
        await job.wait()
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG) == ["i2"]
        assert await freshness(cache) == "live"

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
        world.inject(ALICE, BounceEvent(service=PUBSUB, node=""))
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
        await cache.keep(PUBSUB, MICROBLOG)
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
        await cache.keep(PUBSUB, MICROBLOG)
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

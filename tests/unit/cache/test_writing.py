"""Writing to services: what a client changes is in the cache at once, and exactly once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache import payloads
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Profile, Service, World
from pubsub_cached.xmpp.port import ItemsEvent, SubscriptionEvent
from tests.support.cached import ALICE, ENTRY, Cached, Make

PUBSUB = "pubsub.example.net"
MICROBLOG = "urn:xmpp:microblog:0"
FEED = "urn:xmpp:pubsub-social-feed:1"
BLOG = Address(ALICE, PUBSUB, MICROBLOG)
PROFILES = pytest.mark.parametrize("profile", [PROSODY, EJABBERD, LIBERVIA], ids=["prosody", "ejabberd", "libervia"])
BURST = pytest.mark.parametrize("burst", [False, True], ids=["one by one", "in a burst"])


def post(text: object) -> str:
    return payloads.check(ENTRY.format(text))


async def followed(cached: Make, world: World, profile: Profile = PROSODY) -> tuple[Cached, Service]:
    """A cache that follows Alice's own blog of two posts; what was told so far is forgotten."""
    service = world.service(PUBSUB, profile=profile)
    service.create_node(MICROBLOG, owner=ALICE, max_items=10_000)
    for number in range(2):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number), publisher=ALICE)
    cache: Cached = await cached(world)
    await cache.read(PUBSUB, MICROBLOG)
    await cache.idle()
    cache.told.clear()
    return cache, service


async def beginning(cached: Make) -> tuple[Cached, Service]:
    """A cache that was just asked for a blog of one post, and is about to follow it."""
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    cache: Cached = await cached(world)
    await cache.read(PUBSUB, MICROBLOG)
    return cache, service


def deaf(service: Service, world: World) -> list[Callable[[], None]]:
    """From now on events of the service wait until they are let go."""
    waiting: list[Callable[[], None]] = []
    send = world.send

    def keep(jid: str, event: Any, *, interest: str = "") -> None:
        if event.service == service.jid:
            waiting.append(lambda: send(jid, event, interest=interest))
        else:
            send(jid, event, interest=interest)

    world.send = keep  # type: ignore[method-assign]
    return waiting


def told_items(cache: Cached) -> list[tuple[list[str], list[str]]]:
    return [(told[1], told[2]) for told in cache.told if len(told) == 4]


async def revisions(cache: Cached) -> list[int]:
    items, *_ = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    return [item["revision"] for item in items]


class TestPublish:
    @PROFILES
    @BURST
    async def test_it_is_readable_at_once_and_told_once_when_the_event_comes_first(
        self, cached: Make, profile: Profile, burst: bool
    ) -> None:
        world = World(burst=burst)
        cache, service = await followed(cached, world, profile)
        asked = world.count("get_items", node=MICROBLOG)
        assert await cache.house.writing.publish(BLOG, "new", post("new"), {}) == "new"
        items, _, info = await cache.read(PUBSUB, MICROBLOG, policy="cache")
        assert [item["id"] for item in items] == ["new", "i1", "i0"]
        assert info["freshness"] == "live"
        before = await revisions(cache)
        await cache.idle()
        assert told_items(cache) == [(["new"], [])]
        assert await revisions(cache) == before
        assert items[0]["payload"] == service.items(MICROBLOG)[-1].payload == post("new")
        assert world.count("get_items", node=MICROBLOG) == asked

    @PROFILES
    async def test_it_is_readable_at_once_and_told_once_when_the_event_comes_later(
        self, cached: Make, profile: Profile
    ) -> None:
        world = World()
        cache, service = await followed(cached, world, profile)
        waiting = deaf(service, world)
        await cache.house.writing.publish(BLOG, "new", post("new"), {})
        assert (await cache.ids(PUBSUB, MICROBLOG, policy="cache"))[0] == "new"
        before = await revisions(cache)
        assert len(waiting) == 1
        waiting.pop()()
        await cache.idle()
        assert told_items(cache) == [(["new"], [])]
        assert await revisions(cache) == before

    async def test_an_overwrite_is_one_change(self, cached: Make) -> None:
        cache, _ = await followed(cached, World())
        await cache.house.writing.publish(BLOG, "i0", post("again"), {})
        await cache.idle()
        assert told_items(cache) == [(["i0"], [])]
        items, *_ = await cache.read(PUBSUB, MICROBLOG, policy="cache")
        assert (items[0]["id"], items[0]["payload"]) == ("i0", post("again"))

    async def test_the_service_chooses_the_id(self, cached: Make) -> None:
        cache, service = await followed(cached, World())
        id_ = await cache.house.writing.publish(BLOG, "", post("new"), {})
        assert id_ == service.items(MICROBLOG)[-1].id
        assert (await cache.ids(PUBSUB, MICROBLOG, policy="cache"))[0] == id_

    async def test_a_service_that_does_not_tell_the_id_is_asked(self, cached: Make) -> None:
        cache, service = await followed(cached, World(), msgspec.structs.replace(PROSODY, id_in_reply=False))
        deaf(service, service.world)
        assert await cache.house.writing.publish(BLOG, "", post("new"), {}) == ""
        await cache.idle()
        assert (await cache.ids(PUBSUB, MICROBLOG, policy="cache"))[0] == service.items(MICROBLOG)[-1].id

    async def test_a_later_change_by_somebody_else_is_not_undone(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        deaf(service, world)
        service.hold()
        publishing = asyncio.create_task(cache.house.writing.publish(BLOG, "new", post("mine"), {}))
        await world.settle()
        service.release(1)
        await world.settle()
        # Now the cache asks for the item, and before the answer comes the event of a newer one.
        (asked,) = service.held
        assert asked.kind == "get_items"
        newer = ItemsEvent(service=PUBSUB, node=MICROBLOG, items=(service.items(MICROBLOG)[0],))
        world.inject(ALICE, msgspec.structs.replace(newer, items=(msgspec.structs.replace(newer.items[0], id="new"),)))
        await world.settle()
        service.release()
        await publishing
        items, *_ = await cache.read(PUBSUB, MICROBLOG, policy="cache", ids=("new",))
        assert items[0]["payload"] == service.items(MICROBLOG)[0].payload

    async def test_options_that_the_node_does_not_meet_are_an_error_and_change_nothing(self, cached: Make) -> None:
        cache, _ = await followed(cached, World())
        with pytest.raises(errors.StanzaError) as caught:
            await cache.house.writing.publish(BLOG, "new", post("new"), {"pubsub#access_model": ["whitelist"]})
        assert caught.value.name == "im.pubsubcache1.Error.PubSub.PreconditionNotMet"
        await cache.idle()
        assert cache.told == []

    async def test_ejabberd_does_not_take_max_items_among_the_options(self, cached: Make) -> None:
        cache, _ = await followed(cached, World(), EJABBERD)
        with pytest.raises(errors.StanzaError, match=r"resource-constraint.*pubsub#max_items"):
            await cache.house.writing.publish(BLOG, "new", post("new"), {"pubsub#max_items": ["5"]})

    async def test_a_service_s_refusal_keeps_its_name_and_words(self, cached: Make) -> None:
        cache, service = await followed(cached, World())
        service.fail_next("forbidden", "Publishers only, please", request="publish")
        with pytest.raises(errors.StanzaError, match="Publishers only, please") as caught:
            await cache.house.writing.publish(BLOG, "new", post("new"), {})
        assert caught.value.name == "im.pubsubcache1.Error.Xmpp.Forbidden"

    async def test_offline_nothing_is_sent_later(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        world.cut(ALICE)
        await cache.idle()
        with pytest.raises(errors.Offline, match=ALICE):
            await cache.house.writing.publish(BLOG, "new", post("new"), {})
        world.restore(ALICE)
        await cache.idle()
        assert world.count("publish") == 0
        assert [item.id for item in service.items(MICROBLOG)] == ["i0", "i1"]

    async def test_without_an_answer_the_node_is_looked_at(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        deaf(service, world)
        service.ignore_next(request="publish")
        with pytest.raises(errors.Timeout):
            await cache.house.writing.publish(BLOG, "new", post("new"), {})
        service.publish(MICROBLOG, "new", post("new"))
        await cache.idle()
        assert "new" in await cache.ids(PUBSUB, MICROBLOG, policy="cache")

    async def test_a_node_that_nobody_keeps_is_written_to_and_not_stored(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        service.create_node("things", owner=ALICE)
        await cache.house.writing.publish(Address(ALICE, PUBSUB, "things"), "t", "<t xmlns='urn:t'/>", {})
        assert [item.id for item in service.items("things")] == ["t"]
        with pytest.raises(errors.NotCached):
            await cache.read(PUBSUB, "things", policy="cache")

    async def test_the_own_pep_service_makes_the_node_with_the_options(self, cached: Make) -> None:
        world = World()
        cache, _ = await followed(cached, world)
        own = Address(ALICE, ALICE, "urn:example:thing")
        options = {"pubsub#access_model": ["open"]}
        assert await cache.house.writing.publish(own, "current", "<t xmlns='urn:t'/>", options) == "current"
        assert world.accounts[ALICE].pep.node("urn:example:thing").access_model == "open"


class TestRetract:
    @PROFILES
    @pytest.mark.parametrize("notify", [True, False])
    async def test_it_is_gone_at_once_and_told_once(self, cached: Make, profile: Profile, notify: bool) -> None:
        cache, service = await followed(cached, World(), profile)
        await cache.house.writing.retract(BLOG, ["i0"], notify=notify)
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i1"]
        await cache.idle()
        assert told_items(cache) == [([], ["i0"])]
        assert cache.signals() == []
        assert [item.id for item in service.items(MICROBLOG)] == ["i1"]

    async def test_an_event_that_comes_later_changes_nothing(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        waiting = deaf(service, world)
        await cache.house.writing.retract(BLOG, ["i0", "i1"])
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == []
        for let_go in waiting:
            let_go()
        await cache.idle()
        assert sorted(cache.removed()) == ["i0", "i1"]
        assert cache.signals() == []

    async def test_those_before_a_refusal_are_followed(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        deaf(service, world)
        with pytest.raises(errors.StanzaError, match="item-not-found"):
            await cache.house.writing.retract(BLOG, ["i0", "nothing", "i1"])
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i1"]


class TestNodes:
    @PROFILES
    async def test_a_deleted_node_is_gone_at_once(self, cached: Make, profile: Profile) -> None:
        cache, service = await followed(cached, World(), profile)
        await cache.house.writing.delete(BLOG)
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "gone"
        assert MICROBLOG not in service.nodes
        await cache.idle()
        assert sorted(cache.removed()) == ["i0", "i1"]
        assert [change for _, change in cache.signals()] == ["gone"]

    @PROFILES
    async def test_all_items_are_deleted_at_once(self, cached: Make, profile: Profile) -> None:
        cache, service = await followed(cached, World(), profile)
        await cache.house.writing.purge(BLOG)
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == []
        await cache.idle()
        assert sorted(cache.removed()) == ["i0", "i1"]
        assert service.items(MICROBLOG) == []
        _, _, info = await cache.read(PUBSUB, MICROBLOG)
        assert (info["source"], info["freshness"]) == ("cache", "live")

    async def test_a_node_is_made_with_its_configuration_and_shown_again(self, cached: Make) -> None:
        cache, service = await followed(cached, World())
        things = Address(ALICE, PUBSUB, "things")
        config = {"pubsub#title": ["Things"], "pubsub#max_items": ["7"]}
        assert await cache.house.writing.create(things, config) == "things"
        assert (service.node("things").title, service.node("things").max_items) == ("Things", 7)
        fields = {field.name: field.values for field in await cache.house.writing.configuration(things)}
        assert fields["pubsub#title"] == ("Things",)
        with pytest.raises(errors.StanzaError, match="conflict"):
            await cache.house.writing.create(things, {})

    async def test_a_node_made_again_is_no_longer_gone(self, cached: Make) -> None:
        cache, _ = await followed(cached, World())
        await cache.house.writing.delete(BLOG)
        await cache.house.writing.create(BLOG, {})
        await cache.house.writing.publish(BLOG, "first", post("first"), {})
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG) == ["first"]

    async def test_the_service_names_a_node_without_a_name(self, cached: Make) -> None:
        cache, service = await followed(cached, World())
        name = await cache.house.writing.create(Address(ALICE, PUBSUB, ""), {})
        assert name in service.nodes

    @PROFILES
    async def test_a_configuration_is_read_again_and_the_analysers_are_asked(
        self, cached: Make, profile: Profile
    ) -> None:
        cache, service = await followed(cached, World(), profile)
        service.create_node("diary", owner=ALICE)
        diary = Address(ALICE, PUBSUB, "diary")
        await cache.read(PUBSUB, "diary")
        await cache.idle()
        assert (await cache.node(PUBSUB, "diary"))["state"] == "discovered"
        await cache.house.writing.configure(diary, {"pubsub#title": ["My diary"], "pubsub#type": [FEED]})
        await cache.idle()
        node = await cache.node(PUBSUB, "diary")
        assert (node["title"], node["type"]) == ("My diary", "blog")

    async def test_a_kept_node_shows_its_new_title(self, cached: Make) -> None:
        cache, _ = await followed(cached, World())
        await cache.house.writing.configure(BLOG, {"pubsub#title": ["New"]})
        await cache.idle()
        node = await cache.node(PUBSUB, MICROBLOG)
        assert (node["title"], node["state"]) == ("New", "live")


class TestSubscriptions:
    async def other(self, cached: Make, profile: Profile = PROSODY, **config: Any) -> tuple[Cached, Service, Address]:
        cache, service = await followed(cached, World(), profile)
        service.create_node("other", **config)
        service.publish("other", "o", "<o xmlns='urn:o'/>")
        return cache, service, Address(ALICE, PUBSUB, "other")

    @PROFILES
    async def test_a_subscription_is_shown_by_the_node(self, cached: Make, profile: Profile) -> None:
        cache, service, other = await self.other(cached, profile)
        assert await cache.house.subscribing.subscribe(other, {}) == "subscribed"
        assert (await cache.node(PUBSUB, "other"))["subscribed"] is True
        assert service.node("other").subscribed(ALICE)
        assert cache.signals("added")

    async def test_one_made_by_a_client_is_not_given_up_by_the_daemon(self, cached: Make) -> None:
        cache, service = await followed(cached, World())
        assert await cache.house.subscribing.subscribe(BLOG, {}) == "subscribed"
        await cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True)).wait()
        await cache.idle()
        assert service.node(MICROBLOG).subscribed(ALICE)

    async def test_a_service_that_lists_nothing_does_not_make_it_the_daemon_s(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        await cache.house.subscribing.subscribe(BLOG, {})
        service.fail_next("feature-not-implemented", request="subscriptions", times=9)
        world.cut(ALICE)
        world.restore(ALICE)
        await cache.idle()
        await cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True)).wait()
        assert service.node(MICROBLOG).subscribed(ALICE)

    async def test_pending_is_told_and_followed_by_the_approval(self, cached: Make) -> None:
        cache, service, other = await self.other(cached, access_model="authorize", node_type=FEED)
        assert await cache.house.subscribing.subscribe(other, {}) == "pending"
        assert (await cache.node(PUBSUB, "other"))["subscribed"] is False
        with pytest.raises(errors.Denied):
            await cache.read(PUBSUB, "other")
        service.approve("other", ALICE)
        service.set_affiliation("other", ALICE, "member")
        await cache.idle()
        node = await cache.node(PUBSUB, "other")
        assert (node["subscribed"], node["state"]) == (True, "live")

    @PROFILES
    async def test_after_unsubscribing_the_node_is_not_live_and_stays_so(self, cached: Make, profile: Profile) -> None:
        world = World()
        cache, service = await followed(cached, world, profile)
        await cache.house.subscribing.unsubscribe(BLOG)
        node = await cache.node(PUBSUB, MICROBLOG)
        assert (node["subscribed"], node["state"]) == (False, "polled")
        world.cut(ALICE)
        world.restore(ALICE)
        cache.clock.advance(hours=1)
        cache.house.revalidation.wake()
        await cache.idle()
        await cache.restart()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "polled"
        assert not service.node(MICROBLOG).subscribed(ALICE)
        await cache.house.subscribing.subscribe(BLOG, {})
        await cache.idle()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "live"

    async def test_unsubscribing_during_a_synchronisation_wins(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        cache.house.sync.job(BLOG)
        await world.settle()
        service.hold()
        await world.settle()
        unsubscribing = asyncio.create_task(cache.house.subscribing.unsubscribe(BLOG))
        await world.settle()
        service.release()
        await unsubscribing
        await cache.idle()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "polled"
        assert not service.node(MICROBLOG).subscribed(ALICE)

    @pytest.mark.parametrize("moment", range(2, 24, 2))
    async def test_unsubscribing_at_any_moment_of_the_first_synchronisation_wins(
        self, cached: Make, moment: int
    ) -> None:
        cache, service = await beginning(cached)
        for _ in range(moment):
            await asyncio.sleep(0)
        assert cache.house.sync.running(BLOG)
        with contextlib.suppress(errors.StanzaError):
            await cache.house.subscribing.unsubscribe(BLOG)
        await cache.idle()
        assert not service.node(MICROBLOG).subscribed(ALICE)
        node = await cache.node(PUBSUB, MICROBLOG)
        assert (node["subscribed"], node["state"]) == (False, "polled")

    async def test_unsubscribing_while_a_synchronisation_looks_for_the_subscription_wins(self, cached: Make) -> None:
        cache, service = await beginning(cached)
        service.hold()
        await service.holding(1)
        while service.held[0].kind != "subscriptions":
            service.release(1)
            await service.holding(1)
        unsubscribing = asyncio.create_task(cache.house.subscribing.unsubscribe(BLOG))
        await service.holding(2)
        service.release(1, request="unsubscribe")
        with pytest.raises(errors.StanzaError):  # there is no subscription yet
            await unsubscribing
        service.release()
        await cache.idle()
        assert not service.node(MICROBLOG).subscribed(ALICE)
        node = await cache.node(PUBSUB, MICROBLOG)
        assert (node["subscribed"], node["state"]) == (False, "polled")

    async def test_the_service_ends_a_subscription(self, cached: Make) -> None:
        world = World()
        cache, _ = await followed(cached, world)
        world.inject(ALICE, SubscriptionEvent(service=PUBSUB, node=MICROBLOG, state="none"))
        await cache.idle()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "live"

    async def test_a_refusal_is_told(self, cached: Make) -> None:
        cache, _, other = await self.other(cached, EJABBERD, access_model="whitelist")
        with pytest.raises(errors.StanzaError) as caught:
            await cache.house.subscribing.subscribe(other, {})
        assert caught.value.name == "im.pubsubcache1.Error.PubSub.ClosedNode"


class TestListing:
    async def full(self, cached: Make, profile: Profile) -> tuple[Cached, Service]:
        world = World()
        service = world.service(PUBSUB, profile=profile)
        for number in range(25):
            service.create_node(
                f"n{number:02}", owner=ALICE, node_type="urn:a" if number % 5 == 0 else "urn:b", title=f"N {number}"
            )
            service.add_subscription(f"n{number:02}", ALICE)
        cache: Cached = await cached(world)
        return cache, service

    async def pages(self, ask: Callable[..., Awaitable[tuple[list[Any], str]]], *arguments: Any) -> list[list[Any]]:
        found, cursor = [], ""
        while True:
            page, cursor = await ask(*arguments, cursor=cursor)
            found.append(page)
            if not cursor:
                return found

    @PROFILES
    async def test_nodes_come_in_pages(self, cached: Make, profile: Profile) -> None:
        cache, service = await self.full(cached, profile)
        pages = await self.pages(lambda **a: cache.house.discovery.nodes(Address(ALICE, PUBSUB, ""), "", 10, **a))
        assert [len(page) for page in pages] == [10, 10, 5]
        assert [record["node"] for page in pages for record in page] == sorted(service.nodes)
        assert pages[0][0] == {"jid": PUBSUB, "node": "n00", "name": "N 0"}

    @PROFILES
    async def test_nodes_of_one_type(self, cached: Make, profile: Profile) -> None:
        cache, _ = await self.full(cached, profile)
        pages = await self.pages(lambda **a: cache.house.discovery.nodes(Address(ALICE, PUBSUB, ""), "urn:a", 2, **a))
        assert [record["node"] for page in pages for record in page] == ["n00", "n05", "n10", "n15", "n20"]
        assert all(len(page) <= 2 for page in pages)

    async def test_a_page_is_stable_while_nodes_come_and_go(self, cached: Make) -> None:
        cache, service = await self.full(cached, PROSODY)
        root = Address(ALICE, PUBSUB, "")
        first, cursor = await cache.house.discovery.nodes(root, "", 5)
        assert first[-1]["node"] == "n04"
        service.delete("n04")
        service.create_node("a-new-one")
        second, _ = await cache.house.discovery.nodes(root, "", 5, cursor)
        assert [record["node"] for record in second] == ["n05", "n06", "n07", "n08", "n09"]

    async def test_a_leaf_node_lists_its_items(self, cached: Make) -> None:
        cache, service = await self.full(cached, PROSODY)
        service.publish("n00", "x", "<x xmlns='urn:x'/>")
        found, cursor = await cache.house.discovery.nodes(Address(ALICE, PUBSUB, "n00"), "", 5)
        assert (found, cursor) == ([{"jid": PUBSUB, "name": "x"}], "")

    @PROFILES
    async def test_subscriptions_and_affiliations(self, cached: Make, profile: Profile) -> None:
        cache, service = await self.full(cached, profile)
        root = Address(ALICE, PUBSUB, "")
        pages = await self.pages(lambda **a: cache.house.discovery.subscriptions(root, 10, **a))
        assert [len(page) for page in pages] == [10, 10, 5]
        one = service.node("n03").subscriptions[ALICE]
        wanted = {"node": "n03", "jid": ALICE, "state": "subscribed"} | ({"subid": one.subid} if one.subid else {})
        assert pages[0][3] == wanted
        pages = await self.pages(lambda **a: cache.house.discovery.affiliations(root, 20, **a))
        assert [len(page) for page in pages] == [20, 5]
        assert pages[0][0] == {"node": "n00", "affiliation": "owner"}

    async def test_a_cursor_of_another_call_is_refused(self, cached: Make) -> None:
        cache, _ = await self.full(cached, PROSODY)
        root = Address(ALICE, PUBSUB, "")
        _, cursor = await cache.house.discovery.subscriptions(root, 10)
        with pytest.raises(errors.InvalidCursor):
            await cache.house.discovery.affiliations(root, 10, cursor)


class TestPayloads:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "empty"),
            ("words", "line 1, column 1"),
            ("<a xmlns='urn:a'>", "line 1"),
            ("<a xmlns='urn:a'/><b/>", "junk after document element, line 1, column 19"),
            ("<a xmlns='urn:a'>\n  <b></a>", "mismatched tag, line 2, column 8"),
            ("<a xmlns='urn:a'>\x01</a>", "line 1, column 18"),
            ("<a:b/>", "unbound prefix"),
            ("<a/>", "no namespace"),
            ("<!DOCTYPE a [<!ENTITY e 'x'>]><a xmlns='urn:a'>&e;</a>", "document type"),
            ("<a xmlns='urn:a'>&e;</a>", "undefined entity"),
            ("<a xmlns='urn:a'>" * 200 + "</a>" * 200, "deeper than 128"),
            (f"<a xmlns='urn:a'>{'x' * payloads.BYTES_AT_MOST}</a>", "bytes"),
            # Not even read to its end.
            ("<a>" * 500_000, "has 1500000 bytes, and 258048 is the most"),
        ],
        ids=lambda value: value[:20] if isinstance(value, str) else None,
    )
    def test_what_is_not_one_element_is_refused_and_says_why(self, text: str, said: str) -> None:
        with pytest.raises(errors.InvalidPayload, match=said):
            payloads.check(text)

    def test_attributes_of_namespaces_stay_and_declarations_go(self) -> None:
        given = "<?xml version='1.0'?>\n<!-- x --><q:a xmlns:q='urn:q' q:b='1' c='2'><?pi x?><d/></q:a>"
        assert payloads.check(given) == '<a xmlns="urn:q" c="2" xmlns:ns1="urn:q" ns1:b="1"><d xmlns=""/></a>'

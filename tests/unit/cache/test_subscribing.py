"""Subscriptions that clients make and give up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from functools import partial
from typing import Any

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, Service, World
from pubsub_cached.xmpp.port import SubscriptionEvent
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import BLOG, MICROBLOG, PROFILES, PUBSUB, followed, owned, purge, reaching, readers_busy, writer_busy

FEED = "urn:xmpp:pubsub-social-feed:1"


async def beginning(cached: Make) -> tuple[Cached, Service]:
    """A cache that was just asked for a blog of one post, and is about to follow it."""
    cache, service = await new(cached)
    await cache.read(PUBSUB, MICROBLOG)
    return cache, service


async def looking(cached: Make) -> tuple[Cached, Service]:
    """The same, which is asking what subscriptions there are: the service holds that."""
    cache, service = await new(cached)
    # Before the read, for what follows it goes on while that is answered.
    service.hold()
    reading = asyncio.create_task(cache.read(PUBSUB, MICROBLOG))
    await reaching(service, "subscriptions")
    await reading
    return cache, service


async def new(cached: Make) -> tuple[Cached, Service]:
    """A cache that knows nothing yet, and a service that has a blog of one post."""
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    return await cached(world), service


async def unkept(cached: Make, profile: Profile = PROSODY, **config: Any) -> tuple[Cached, Service, Address]:
    """A cache, and a node that it does not know."""
    cache, service = await owned(cached, World(), profile)
    service.create_node("other", **config)
    service.publish("other", "o", "<o xmlns='urn:o'/>")
    return cache, service, Address(ALICE, PUBSUB, "other")


class TestSubscriptions:
    @PROFILES
    async def test_a_subscription_is_shown_by_the_node(self, cached: Make, profile: Profile) -> None:
        cache, service, other = await unkept(cached, profile)
        assert await cache.house.subscribing.subscribe(other, {}) == "subscribed"
        assert (await cache.node(PUBSUB, "other"))["subscribed"] is True
        assert service.node("other").subscribed(ALICE)
        assert cache.signals("added")

    @PROFILES
    async def test_one_that_had_ended_without_a_word_brings_what_was_missed(
        self, cached: Make, profile: Profile
    ) -> None:
        cache, service = await followed(cached, World(), profile)
        service.drop_subscription(MICROBLOG, ALICE)
        for number in (7, 8):
            service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
        assert await cache.house.subscribing.subscribe(BLOG, {}) == "subscribed"
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i8", "i7", "i2", "i1", "i0"]

    async def test_an_end_that_came_before_it_does_not_undo_it(self, cached: Make) -> None:
        cache, service, other = await unkept(cached)
        await cache.house.subscribing.subscribe(other, {})
        with writer_busy(cache):
            # What comes later waits until this is committed.
            service.publish(MICROBLOG, "new", ENTRY.format("new"))
            service.drop_subscription("other", ALICE, notify=True)
            subscribing = asyncio.create_task(cache.house.subscribing.subscribe(other, {}))
            await cache.world.settle()
        assert await subscribing == "subscribed"
        await cache.idle()
        assert service.node("other").subscribed(ALICE)
        assert (await cache.node(PUBSUB, "other"))["subscribed"] is True

    async def test_an_approval_that_came_before_its_end_does_not_undo_that(self, cached: Make) -> None:
        cache, service, other = await unkept(cached, access_model="authorize")
        assert await cache.house.subscribing.subscribe(other, {}) == "pending"
        with writer_busy(cache):
            service.publish(MICROBLOG, "new", ENTRY.format("new"))
            service.approve("other", ALICE)
            unsubscribing = asyncio.create_task(cache.house.subscribing.unsubscribe(other))
            await cache.world.settle()
        await unsubscribing
        await cache.idle()
        assert not service.node("other").subscribed(ALICE)
        assert (await cache.node(PUBSUB, "other"))["subscribed"] is False

    @pytest.mark.parametrize("burst", [False, True], ids=["one by one", "in a burst"])
    @pytest.mark.parametrize("approved", [False, True], ids=["ended", "approved"])
    async def test_what_an_owner_decides_as_soon_as_it_is_made_is_not_undone_by_its_reply(
        self, cached: Make, approved: bool, burst: bool
    ) -> None:
        world = World(burst=burst)
        cache, service = await owned(cached, world)
        service.create_node("other", access_model="authorize" if approved else "open")
        other = Address(ALICE, PUBSUB, "other")
        service.hold()
        subscribing = asyncio.create_task(cache.house.subscribing.subscribe(other, {}))
        await reaching(service, "subscribe")
        service.release()
        decide = service.approve if approved else partial(service.drop_subscription, notify=True)
        world.enqueue(decide, "other", ALICE)
        assert await subscribing == ("pending" if approved else "subscribed")
        await cache.idle()
        assert service.node("other").subscribed(ALICE) is approved
        assert (await cache.node(PUBSUB, "other"))["subscribed"] is approved

    async def test_one_made_by_a_client_is_not_given_up_by_the_daemon(self, cached: Make) -> None:
        cache, service = await owned(cached, World())
        assert await cache.house.subscribing.subscribe(BLOG, {}) == "subscribed"
        await cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True)).wait()
        await cache.idle()
        assert service.node(MICROBLOG).subscribed(ALICE)

    @pytest.mark.parametrize("how", ["forgotten", "unsubscribed"])
    async def test_one_made_by_a_client_that_is_asked_for_once_more_meanwhile_is_not_either(
        self, cached: Make, how: str
    ) -> None:
        """Prosody's is, for it may be to a node that was deleted and made again."""
        cache, service = await owned(cached, World())
        await cache.house.subscribing.subscribe(BLOG, {})
        await cache.idle()
        cache.house.sync.subscriptions.forget(ALICE)
        service.hold()
        cache.house.sync.job(BLOG)
        await reaching(service, "subscribe")
        if how == "forgotten":
            await cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True)).wait()
        else:
            unsubscribing = asyncio.create_task(cache.house.subscribing.unsubscribe(BLOG))
            await service.holding(2)
            service.release(1, request="unsubscribe")
            await unsubscribing
        assert [request.kind for request in service.held] == ["subscribe"]
        service.release()
        await cache.idle()
        assert service.node(MICROBLOG).subscribed(ALICE) is (how == "forgotten")

    async def test_a_service_that_lists_nothing_does_not_make_it_the_daemon_s(self, cached: Make) -> None:
        world = World()
        cache, service = await owned(cached, world)
        await cache.house.subscribing.subscribe(BLOG, {})
        service.fail_next("feature-not-implemented", request="subscriptions", times=9)
        world.cut(ALICE)
        world.restore(ALICE)
        await cache.idle()
        await cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True)).wait()
        assert service.node(MICROBLOG).subscribed(ALICE)

    async def test_pending_is_told_and_followed_by_the_approval(self, cached: Make) -> None:
        cache, service, other = await unkept(cached, access_model="authorize", node_type=FEED)
        assert await cache.house.subscribing.subscribe(other, {}) == "pending"
        assert (await cache.node(PUBSUB, "other"))["subscribed"] is False
        with pytest.raises(errors.Denied):
            await cache.read(PUBSUB, "other")
        service.approve("other", ALICE)
        service.set_affiliation("other", ALICE, "member")
        await cache.idle()
        node = await cache.node(PUBSUB, "other")
        assert (node["subscribed"], node["state"]) == (True, "live")

    async def test_an_approval_outlives_a_refusal_that_was_on_its_way(self, cached: Make) -> None:
        cache, service, other = await unkept(cached, access_model="authorize", node_type=FEED)
        assert await cache.house.subscribing.subscribe(other, {}) == "pending"
        await cache.idle()
        service.hold()
        cache.house.sync.in_background(other)
        await service.holding(1)
        service.fail_next("forbidden", times=len(service.held))
        service.approve("other", ALICE)
        await cache.world.settle()
        await cache.house.events.settled()
        service.release()
        await cache.idle()
        assert service.planned == 0
        assert (await cache.node(PUBSUB, "other"))["state"] == "live"

    async def test_an_approval_outlives_a_look_of_which_the_answer_does_not_count(self, cached: Make) -> None:
        cache, service, other = await unkept(cached, access_model="authorize", node_type=FEED)
        assert await cache.house.subscribing.subscribe(other, {}) == "pending"
        await cache.idle()
        service.hold()
        reading = asyncio.create_task(cache.read(PUBSUB, "other", policy="network"))
        await service.holding(1)
        cache.house.sync.in_background(other)
        await service.holding(3)
        service.release(1)
        with pytest.raises(errors.Denied):
            await reading
        service.approve("other", ALICE)
        await cache.world.settle()
        await cache.house.events.settled()
        service.release()
        await cache.idle()
        assert (await cache.node(PUBSUB, "other"))["state"] == "live"

    @PROFILES
    async def test_after_unsubscribing_the_node_is_not_live_and_stays_so(self, cached: Make, profile: Profile) -> None:
        world = World()
        cache, service = await owned(cached, world, profile)
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
        cache, service = await owned(cached, world)
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
        cache, service = await looking(cached)
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

    @PROFILES
    async def test_unsubscribing_while_a_new_subscription_s_node_is_looked_at_wins(
        self, cached: Make, profile: Profile
    ) -> None:
        cache, service, other = await unkept(cached, profile)
        service.hold()
        subscribing = asyncio.create_task(cache.house.subscribing.subscribe(other, {}))
        await reaching(service, "subscribe")
        service.release(1)
        await service.holding(1)
        unsubscribing = asyncio.create_task(cache.house.subscribing.unsubscribe(other))
        while not any(call.kind == "unsubscribe" for call in service.held):
            await service.holding(len(service.held) + 1)
        service.release(1, request="unsubscribe")
        await unsubscribing
        service.release()
        assert await subscribing == "subscribed"
        await cache.idle()
        assert not service.node("other").subscribed(ALICE)
        assert (await cache.node(PUBSUB, "other"))["subscribed"] is False

    async def test_the_service_ends_a_subscription(self, cached: Make) -> None:
        world = World()
        cache, _ = await owned(cached, world)
        world.inject(ALICE, SubscriptionEvent(service=PUBSUB, node=MICROBLOG, state="none"))
        await cache.idle()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "live"

    async def test_a_refusal_is_told(self, cached: Make) -> None:
        cache, _, other = await unkept(cached, EJABBERD, access_model="whitelist")
        with pytest.raises(errors.StanzaError) as caught:
            await cache.house.subscribing.subscribe(other, {})
        assert caught.value.name == "im.pubsubcache1.Error.PubSub.ClosedNode"

    @PROFILES
    async def test_who_is_refused_may_not_read_what_is_kept_any_more_either(
        self, cached: Make, profile: Profile
    ) -> None:
        """server-facts, Events: access → whitelist"""
        cache, service = await followed(cached, profile=profile)
        service.configure(MICROBLOG, access_model="whitelist", notify=False)
        service.drop_subscription(MICROBLOG, ALICE)
        with pytest.raises(errors.StanzaError):
            await cache.house.subscribing.subscribe(BLOG, {})
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "stale"
        await cache.idle()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "denied"

    @PROFILES
    async def test_one_that_has_to_be_approved_now_had_ended(self, cached: Make, profile: Profile) -> None:
        cache, service = await followed(cached, World(), profile)
        service.drop_subscription(MICROBLOG, ALICE)
        service.configure(MICROBLOG, access_model="authorize", notify=False)
        assert await cache.house.subscribing.subscribe(BLOG, {}) == "pending"
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "stale"
        await cache.idle()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "denied"

    @PROFILES
    async def test_who_was_not_subscribed_any_more_gets_what_was_missed(self, cached: Make, profile: Profile) -> None:
        cache, service = await followed(cached, World(), profile)
        service.drop_subscription(MICROBLOG, ALICE)
        service.publish(MICROBLOG, "missed", ENTRY.format("missed"))
        with pytest.raises(errors.StanzaError, match="not-subscribed"):
            await cache.house.subscribing.unsubscribe(BLOG)
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "stale"
        await cache.idle()
        assert (await cache.ids(PUBSUB, MICROBLOG, policy="cache"))[0] == "missed"
        node = await cache.node(PUBSUB, MICROBLOG)
        assert (node["state"], node["subscribed"], service.node(MICROBLOG).subscribed(ALICE)) == (
            "polled",
            False,
            False,
        )

    @pytest.mark.parametrize("condition", ["not-subscribed", "invalid-subid"])
    @pytest.mark.parametrize("stanza", ["unexpected-request", "item-not-found"])
    async def test_that_there_is_no_subscription_of_another_id_says_nothing_of_the_one_that_is_known(
        self, cached: Make, stanza: str, condition: str
    ) -> None:
        cache, service = await followed(cached, World(), EJABBERD)
        service.fail_next(stanza, "", condition, request="unsubscribe")
        with pytest.raises(errors.StanzaError):
            await cache.house.subscribing.unsubscribe(BLOG, "another")
        await cache.idle()
        node = await cache.node(PUBSUB, MICROBLOG)
        assert (node["state"], node["subscribed"], cache.signals()) == ("live", True, [])

    async def test_who_knew_that_missed_nothing(self, cached: Make) -> None:
        cache, _ = await followed(cached)
        await cache.house.subscribing.unsubscribe(BLOG)
        asked = len(cache.world.requests)
        with pytest.raises(errors.StanzaError, match="not-subscribed"):
            await cache.house.subscribing.unsubscribe(BLOG)
        await cache.idle()
        assert [request.kind for request in cache.world.requests[asked:]] == ["unsubscribe"]


class TestAClientSubscribes:
    """While the daemon does something about its own subscription: from then on that is the client's."""

    async def done(self, cache: Cached, service: Service, subscribing: asyncio.Task[str]) -> None:
        """The client is answered first, then the daemon; the subscription stays when the node is forgotten."""
        service.release(1, request="subscribe")
        assert await subscribing == "subscribed"
        service.release()
        await cache.idle()
        await purge(cache, forget=True)
        assert service.node(MICROBLOG).subscribed(ALICE)

    async def test_while_a_synchronisation_looks_for_it(self, cached: Make) -> None:
        cache, service = await followed(cached)
        cache.house.sync.subscriptions.forget(ALICE)
        service.hold()
        cache.house.sync.job(BLOG)
        await reaching(service, "subscriptions")
        subscribing = asyncio.create_task(cache.house.subscribing.subscribe(BLOG, {}))
        await service.holding(2)
        await self.done(cache, service, subscribing)

    async def making(self, cached: Make) -> tuple[Cached, Service, asyncio.Task[str]]:
        """A client is subscribing, and so is a synchronisation; the service holds both."""
        cache, service = await looking(cached)
        subscribing = asyncio.create_task(cache.house.subscribing.subscribe(BLOG, {}))
        await service.holding(2)
        service.release(1, request="subscriptions")
        await service.holding(2)
        return cache, service, subscribing

    async def test_while_a_synchronisation_makes_it(self, cached: Make) -> None:
        await self.done(*await self.making(cached))

    async def test_while_that_of_a_synchronisation_is_about_to_be_written_down(self, cached: Make) -> None:
        cache, service, subscribing = await self.making(cached)
        with readers_busy(cache) as read_on:
            service.release()
            for _ in range(50):
                await asyncio.sleep(0)
            read_on()
            assert await subscribing == "subscribed"
        await cache.idle()
        await purge(cache, forget=True)
        assert service.node(MICROBLOG).subscribed(ALICE)

    async def test_once_a_synchronisation_made_it_whose_node_is_forgotten_meanwhile(self, cached: Make) -> None:
        cache, service = await looking(cached)
        await reaching(service, "subscribe")
        service.release(1)
        await cache.world.settle()
        assert service.node(MICROBLOG).subscribed(ALICE)
        subscribing = asyncio.create_task(cache.house.subscribing.subscribe(BLOG, {}))
        while not any(call.kind == "subscribe" for call in service.held):
            await service.holding(len(service.held) + 1)
        service.release(1, request="subscribe")
        assert await subscribing == "subscribed"
        await cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True)).wait()
        service.release()
        await cache.idle()
        assert service.node(MICROBLOG).subscribed(ALICE)

    async def test_while_the_node_is_forgotten(self, cached: Make) -> None:
        cache, service = await followed(cached)
        service.hold()
        subscribing = asyncio.create_task(cache.house.subscribing.subscribe(BLOG, {}))
        await service.holding(1)
        purging = cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True))
        await cache.world.settle()
        service.release()
        assert await subscribing == "subscribed"
        await purging.wait()
        await cache.idle()
        assert service.node(MICROBLOG).subscribed(ALICE)

    async def test_while_that_is_about_to_be_written_down_and_all_is_forgotten(self, cached: Make) -> None:
        cache, service = await followed(cached)
        service.hold()
        subscribing = asyncio.create_task(cache.house.subscribing.subscribe(BLOG, {}))
        await service.holding(1)
        with writer_busy(cache):
            service.release()
            await cache.world.settle()
            reset = cache.house.removal.reset()
            await cache.world.settle()
        assert await subscribing == "subscribed"
        await reset.wait()
        await cache.idle()
        assert service.node(MICROBLOG).subscribed(ALICE)

    async def test_once_the_node_is_as_good_as_forgotten(self, cached: Make) -> None:
        cache, service = await followed(cached)
        service.hold()
        purging = cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True))
        await reaching(service, "unsubscribe")
        with writer_busy(cache):
            service.release()
            await cache.world.settle()
            subscribing = asyncio.create_task(cache.house.subscribing.subscribe(BLOG, {}))
            await cache.world.settle()
        assert await subscribing == "subscribed"
        await purging.wait()
        await cache.idle()
        node = await cache.node(PUBSUB, MICROBLOG)
        assert (node["subscribed"], node["state"]) == (True, "live")
        assert service.node(MICROBLOG).subscribed(ALICE)


class TestWithoutAnAnswer:
    """The service does what a client asks for, and the client is not told so: what is then so is shown."""

    async def subscribe(self, cache: Cached, service: Service, node: Address, how: str) -> None:
        await self._unheard(cache, service, cache.house.subscribing.subscribe(node, {}), "subscribe", how)

    async def unsubscribe(self, cache: Cached, service: Service, node: Address, how: str) -> None:
        await self._unheard(cache, service, cache.house.subscribing.unsubscribe(node), "unsubscribe", how)

    async def _unheard(self, cache: Cached, service: Service, act: Awaitable[object], kind: str, how: str) -> None:
        if how == "timeout":
            service.lose_next(request=kind)
            with pytest.raises(errors.Timeout):
                await act
        else:
            service.hold()
            asked = asyncio.ensure_future(act)
            await service.holding(1)
            cache.world.cut(ALICE)
            with pytest.raises(errors.Offline):
                await asked
            service.release()
            cache.world.restore(ALICE)
        await cache.idle()
        await cache.house.subscribing.settled()
        await cache.idle()

    @pytest.fixture(params=["timeout", "lost stream"])
    def how(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @PROFILES
    @pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
    async def test_of_a_node_that_nobody_keeps(self, cached: Make, profile: Profile, how: str, known: bool) -> None:
        cache, service, other = await unkept(cached, profile)
        if known:
            await cache.read(PUBSUB, "other")
        await self.subscribe(cache, service, other, how)
        assert service.node("other").subscribed(ALICE)
        assert (await cache.node(PUBSUB, "other"))["subscribed"] is True
        assert cache.signals("updated" if known else "added")

    @PROFILES
    async def test_of_a_node_that_nobody_keeps_and_is_unsubscribed_from(
        self, cached: Make, profile: Profile, how: str
    ) -> None:
        cache, service, other = await unkept(cached, profile)
        await cache.house.subscribing.subscribe(other, {})
        await self.unsubscribe(cache, service, other, how)
        assert not service.node("other").subscribed(ALICE)
        assert (await cache.node(PUBSUB, "other"))["subscribed"] is False

    async def test_of_a_node_that_is_forgotten_before_the_service_has_said_so(self, cached: Make) -> None:
        cache, service, other = await unkept(cached)
        await cache.read(PUBSUB, "other")
        service.lose_next(request="subscribe")
        with pytest.raises(errors.Timeout):
            await cache.house.subscribing.subscribe(other, {})
        service.hold()
        await reaching(service, "subscriptions")
        await cache.house.removal.purge(PurgeFilter(nodes=("other",), forget=True)).wait()
        service.release()
        await cache.house.subscribing.settled()
        await cache.idle()
        assert await cache.house.nodes.find(other) is None

    @PROFILES
    async def test_of_a_node_that_was_unsubscribed_from(self, cached: Make, profile: Profile, how: str) -> None:
        cache, service = await followed(cached, profile=profile)
        await cache.house.subscribing.unsubscribe(BLOG)
        await cache.idle()
        await self.subscribe(cache, service, BLOG, how)
        assert service.node(MICROBLOG).subscribed(ALICE)
        node = await cache.node(PUBSUB, MICROBLOG)
        assert (node["subscribed"], node["state"]) == (True, "live")

    @PROFILES
    async def test_what_was_given_up_is_not_made_again(self, cached: Make, profile: Profile, how: str) -> None:
        cache, service = await followed(cached, profile=profile)
        await self.unsubscribe(cache, service, BLOG, how)
        assert not service.node(MICROBLOG).subscribed(ALICE)
        node = await cache.node(PUBSUB, MICROBLOG)
        assert (node["subscribed"], node["state"]) == (False, "polled")

    @PROFILES
    async def test_what_the_service_did_not_end_goes_on(self, cached: Make, profile: Profile) -> None:
        cache, service = await followed(cached, profile=profile)
        service.ignore_next(request="unsubscribe")
        with pytest.raises(errors.Timeout):
            await cache.house.subscribing.unsubscribe(BLOG)
        await cache.idle()
        await cache.house.subscribing.settled()
        await cache.idle()
        assert service.node(MICROBLOG).subscribed(ALICE)
        node = await cache.node(PUBSUB, MICROBLOG)
        assert (node["subscribed"], node["state"]) == (True, "live")

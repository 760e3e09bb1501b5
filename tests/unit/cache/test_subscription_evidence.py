"""What counts as evidence that events flow: not everything that a service lists."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, Service, World
from pubsub_cached.xmpp.port import DeleteEvent, Subscription, SubscriptionEvent, SubscriptionState
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import BLOG, MICROBLOG, PROFILES, PUBSUB
from .stage import BOB, CAROL


def made(service: Service) -> None:
    service.create_node(MICROBLOG, notify_delete=True)
    service.publish(MICROBLOG, "first", ENTRY.format("first"))


async def kept(cached: Make, world: World, profile: Profile, *subscribed: str) -> tuple[Cached, Service]:
    """A cache that keeps a node of the service, which these are subscribed to already."""
    service = world.service(PUBSUB, profile=profile)
    made(service)
    for jid in subscribed:
        service.add_subscription(MICROBLOG, jid)
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, MICROBLOG)
    return cache, service


async def is_followed(cache: Cached, service: Service) -> None:
    """What is published comes by itself, and is called live."""
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    items, _, info = await cache.read(service.jid, MICROBLOG, policy="cache")
    assert ([item["id"] for item in items], info["freshness"]) == (["new", "first"], "live")


@PROFILES
async def test_a_node_that_was_deleted_and_made_again_is_subscribed_to_again(cached: Make, profile: Profile) -> None:
    cache, service = await kept(cached, World(), profile)
    service.delete(MICROBLOG)
    await cache.idle()
    made(service)
    await cache.keep(PUBSUB, MICROBLOG, policy="network")
    await is_followed(cache, service)


@PROFILES
async def test_one_that_ended_since_the_service_listed_it_an_hour_ago_is_no_evidence_for_a_node_that_comes_then(
    cached: Make, profile: Profile
) -> None:
    cache, service = await kept(cached, World(), profile, ALICE)
    await cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True)).wait()
    service.drop_subscription(MICROBLOG, ALICE)
    cache.clock.advance(hours=1)
    await cache.keep(PUBSUB, MICROBLOG)
    await is_followed(cache, service)


@PROFILES
async def test_a_node_that_was_made_again_while_nobody_looked_is_subscribed_to_again(
    cached: Make, profile: Profile
) -> None:
    cache, service = await kept(cached, World(), profile)
    await cache.stop()
    service.delete(MICROBLOG)
    made(service)
    await cache.start()
    await is_followed(cache, service)


@PROFILES
async def test_a_node_that_was_made_again_before_the_session_was_resumed_is_subscribed_to_again(
    cached: Make, profile: Profile
) -> None:
    """What came meanwhile comes with a date, as something that may be old: a deletion that nobody may have seen."""
    world = World()
    cache, service = await kept(cached, world, profile)
    world.cut(ALICE)
    service.delete(MICROBLOG, notify=False)
    made(service)
    assert world.resume(ALICE)
    world.inject(ALICE, DeleteEvent(service=PUBSUB, node=MICROBLOG, delayed=True))
    await cache.idle()
    await is_followed(cache, service)


async def test_a_subscription_that_was_there_is_not_taken_for_the_daemon_s_own_by_asking_again(cached: Make) -> None:
    world = World()
    cache, _ = await kept(cached, world, PROSODY, ALICE)
    assert world.count("subscribe") == 1
    node = await cache.house.nodes.find(cache.house.accounts.resolve(ALICE, PUBSUB, MICROBLOG))
    assert node is not None
    assert (node.subscribed, node.own_subscription) == (True, False)


@PROFILES
async def test_a_validation_looks_at_the_subscription_again(cached: Make, profile: Profile) -> None:
    cache, service = await kept(cached, World(), profile)
    service.drop_subscription(MICROBLOG, ALICE)
    job = await cache.house.sync.start(cache.house.accounts.resolve(ALICE, PUBSUB, MICROBLOG), True, "", "")
    await cache.idle()
    await job.wait()
    await is_followed(cache, service)


@PROFILES
@pytest.mark.parametrize("shown", ["list", "audit"])
async def test_what_a_client_subscribed_to_may_end_without_a_word_as_well(
    cached: Make, profile: Profile, shown: str
) -> None:
    cache, service = await kept(cached, World(), profile)
    address = cache.house.accounts.resolve(ALICE, PUBSUB, MICROBLOG)
    await cache.house.subscribing.subscribe(address, {})
    await cache.idle()
    if shown == "audit":
        await cache.house.sync.run(address, full=True)
    service.drop_subscription(MICROBLOG, ALICE)
    if shown == "list":
        await cache.house.discovery.subscriptions(address._replace(node=""))
    else:
        await cache.house.sync.run(address, full=True)
    await cache.idle()
    await is_followed(cache, service)


@PROFILES
async def test_the_subscription_of_a_resource_is_none_of_the_account(cached: Make, profile: Profile) -> None:
    """XEP-0060 6.1: events of it go to that resource alone."""
    cache, service = await kept(cached, World(), profile)
    phone = f"{ALICE}/phone"
    service.node(MICROBLOG).subscriptions[phone] = Subscription(MICROBLOG, phone, "subscribed", "phone")
    await cache.stop()
    service.drop_subscription(MICROBLOG, ALICE)
    await cache.start()
    await is_followed(cache, service)


async def test_a_subscription_with_an_id_of_its_own_is_not_made_twice(cached: Make) -> None:
    """A service may make a second one (XEP-0060 6.1.6), and Openfire's then refuses reads that name neither."""
    world = World()
    await kept(cached, world, EJABBERD, ALICE)
    assert world.count("subscribe") == 0


async def test_an_account_s_with_an_id_is_asked_for_once_and_stays_whose_it_was(cached: Make) -> None:
    """A service that has it gives the same one; one whose id is known is not asked for."""
    world = World()
    bob = world.account(BOB, pep=EJABBERD).pep
    made(bob)
    bob.add_subscription(MICROBLOG, ALICE)
    cache = await cached(world)
    await cache.keep(BOB, MICROBLOG)
    assert world.count("subscribe") == 1
    await cache.stop()
    await cache.start()
    await is_followed(cache, bob)
    assert world.count("subscribe") == 1
    node = await cache.house.nodes.find(cache.house.accounts.resolve(ALICE, BOB, MICROBLOG))
    assert node is not None
    assert (node.subscribed, node.own_subscription) == (True, False)


class TestNodesOfOneName:
    """ejabberd lists, wherever it is asked, the subscriptions to nodes of all accounts, and does not say whose."""

    @staticmethod
    async def kept(cached: Make, world: World) -> tuple[Cached, Service, Service]:
        """A cache that keeps two accounts' nodes, none of which is a contact's."""
        world.account(ALICE, pep=EJABBERD)
        owners = [world.account(jid, pep=EJABBERD).pep for jid in (BOB, CAROL)]
        cache: Cached = await cached(world)
        for owner in owners:
            owner.create_node(MICROBLOG, access_model="open", max_items=10)
            owner.publish(MICROBLOG, "first", ENTRY.format("first"))
            await cache.keep(owner.jid, MICROBLOG)
        return cache, owners[0], owners[1]

    async def test_a_second_account_s_is_subscribed_to_as_well(self, cached: Make) -> None:
        cache, bob, carol = await self.kept(cached, World())
        for owner in (bob, carol):
            await is_followed(cache, owner)

    async def test_one_at_a_service_of_no_account_is_subscribed_to_as_well(self, cached: Make) -> None:
        world = World()
        cache, _, _ = await self.kept(cached, world)
        blog = world.service(PUBSUB, profile=EJABBERD)
        made(blog)
        await cache.keep(PUBSUB, MICROBLOG)
        await is_followed(cache, blog)

    async def test_one_at_a_service_of_no_account_is_missed_before_the_accounts_have_answered(
        self, cached: Make
    ) -> None:
        world = World()
        cache, bob, carol = await self.kept(cached, world)
        blog = world.service(PUBSUB, profile=EJABBERD)
        made(blog)
        await cache.keep(PUBSUB, MICROBLOG)
        await cache.stop()
        blog.drop_subscription(MICROBLOG, ALICE)
        for owner in (bob, carol):
            owner.hold()
        await cache.start(online=False)
        await cache.house.connect()
        await cache.house.sync.run(cache.house.accounts.resolve(ALICE, PUBSUB, MICROBLOG), full=True)
        for owner in (bob, carol):
            owner.release()
        await cache.idle()
        await is_followed(cache, blog)

    async def test_one_that_ends_without_a_word_is_missed(self, cached: Make) -> None:
        cache, _, carol = await self.kept(cached, World())
        carol.drop_subscription(MICROBLOG, ALICE)
        await cache.house.discovery.subscriptions(cache.house.accounts.resolve(ALICE, carol.jid, ""))
        await cache.idle()
        await is_followed(cache, carol)

    @pytest.mark.parametrize("again", [False, True])
    async def test_one_that_a_client_gave_up_is_none(self, cached: Make, again: bool) -> None:
        """again: in a later session, in which no other account has answered yet."""
        cache, bob, carol = await self.kept(cached, World())
        address = cache.house.accounts.resolve(ALICE, carol.jid, MICROBLOG)
        await cache.house.subscribing.unsubscribe(address)
        await cache.idle()
        if again:
            bob.hold()
            await cache.restart(online=False)
            await cache.house.connect()
        await cache.house.sync.run(address, full=True)
        assert (await cache.node(carol.jid, MICROBLOG))["state"] == "polled"
        bob.release()


@PROFILES
async def test_one_that_a_client_made_may_end_before_its_node_is_looked_at(cached: Make, profile: Profile) -> None:
    cache, service = await kept(cached, World(), profile)
    address = cache.house.accounts.resolve(ALICE, PUBSUB, MICROBLOG)
    others = [address._replace(node=f"{MICROBLOG}/{name}") for name in "ab"]
    for other in others:
        service.create_node(other.node)
        service.publish(other.node, "first", ENTRY.format("first"))
        await cache.keep(PUBSUB, other.node)
    await cache.house.subscribing.unsubscribe(address)
    service.hold()
    # Both places that there are at a domain.
    for other in others:
        cache.house.sync.in_background(other)
    await service.holding(2)
    subscribing = asyncio.create_task(cache.house.subscribing.subscribe(address, {}))
    await service.holding(3)
    service.release(1, node=MICROBLOG)
    assert await subscribing == "subscribed"
    service.drop_subscription(MICROBLOG, ALICE)
    look = asyncio.create_task(
        cache.house.sync.subscriptions.look(cache.house.accounts.get(ALICE).session, ALICE, PUBSUB)
    )
    await service.holding(3)
    service.release(1, request="subscriptions", node="")
    listed = await look
    assert listed is not None
    assert MICROBLOG not in listed
    service.release()
    await cache.idle()
    await is_followed(cache, service)


async def test_whoever_looks_for_what_is_gone_does_not_go_by_what_a_service_was_asked_before(cached: Make) -> None:
    world = World()
    cache, _ = await kept(cached, world, PROSODY)
    subscriptions, session = cache.house.sync.subscriptions, cache.house.accounts.get(ALICE).session
    before = world.count("subscriptions")
    looks = [subscriptions.look(session, ALICE, PUBSUB) for _ in range(2)]
    for listed in await asyncio.gather(*looks):
        assert listed is not None
        assert MICROBLOG in listed
    assert world.count("subscriptions") == before + 2


async def test_what_was_listed_as_it_was_given_up_is_no_evidence_later(cached: Make) -> None:
    cache, service = await kept(cached, World(), EJABBERD)
    service.hold()
    look = asyncio.create_task(listed(cache))
    await service.holding(1)
    purged = cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True))
    await service.holding(2)
    assert [request.kind for request in service.held] == ["subscriptions", "unsubscribe"]
    service.release()
    await asyncio.gather(look, purged.wait())
    await cache.idle()
    cache.clock.advance(hours=1)
    await cache.keep(PUBSUB, MICROBLOG)
    await is_followed(cache, service)


async def test_a_listing_that_nobody_waits_for_any_more_ends_with_the_session_without_a_complaint(
    cached: Make,
) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    world = World()
    cache, service = await kept(cached, world, PROSODY)
    subscriptions, session = cache.house.sync.subscriptions, cache.house.accounts.get(ALICE).session
    service.hold()
    look = asyncio.create_task(subscriptions.look(session, ALICE, PUBSUB))
    await service.holding(1)
    look.cancel()
    await asyncio.wait([look])
    # It holds where it waited.
    del look
    world.cut(ALICE)
    service.release()
    await cache.idle()
    gc.collect()
    assert complaints == []


async def listed(cache: Cached) -> None:
    """Have the service asked for all subscriptions there are, as for another of its nodes, whose events are wanted."""
    cache.house.sync.subscriptions.solicit(ALICE, PUBSUB)
    await cache.house.sync.subscriptions.look(cache.house.accounts.get(ALICE).session, ALICE, PUBSUB)


def deleted(service: Service) -> None:
    service.delete(MICROBLOG)


def closed(service: Service) -> None:
    service.configure(MICROBLOG, access_model="whitelist", notify=False)


@pytest.mark.parametrize("ends", [deleted, closed])
@PROFILES
async def test_one_that_was_listed_with_others_before_it_ended_with_access_is_made_anew(
    cached: Make, profile: Profile, ends: Callable[[Service], None]
) -> None:
    silent = msgspec.structs.replace(profile, told=frozenset(), told_on_request=frozenset(), tightened="dropped")
    cache, service = await kept(cached, World(), silent)
    await listed(cache)
    ends(service)
    with pytest.raises((errors.NoSuchNode, errors.Denied)):
        await cache.read(PUBSUB, MICROBLOG, policy="network")
    await cache.idle()
    if ends is deleted:
        made(service)
    else:
        service.configure(MICROBLOG, access_model="open", notify=False)
    await cache.keep(PUBSUB, MICROBLOG, policy="network")
    await is_followed(cache, service)


class TestOfANodeThatIsNotKnownYet:
    """Somebody else of the account's changes the subscription, soon after it was asked what there are."""

    async def changed(self, cached: Make, profile: Profile, state: SubscriptionState) -> tuple[Cached, Service]:
        world = World()
        service = world.service(PUBSUB, profile=profile)
        made(service)
        if state == "none":
            service.add_subscription(MICROBLOG, ALICE)
        cache: Cached = await cached(world)
        await listed(cache)
        if state == "none":
            service.drop_subscription(MICROBLOG, ALICE)
        else:
            service.add_subscription(MICROBLOG, ALICE)
        world.inject(ALICE, SubscriptionEvent(service=PUBSUB, node=MICROBLOG, state=state))
        await cache.idle()
        return cache, service

    @PROFILES
    async def test_one_that_was_made_is_not_the_daemon_s_to_give_up(self, cached: Make, profile: Profile) -> None:
        cache, service = await self.changed(cached, profile, "subscribed")
        await cache.keep(PUBSUB, MICROBLOG)
        await is_followed(cache, service)
        await cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True)).wait()
        await cache.idle()
        assert service.node(MICROBLOG).subscribed(ALICE)

    @PROFILES
    async def test_one_that_ended_is_made_anew(self, cached: Make, profile: Profile) -> None:
        cache, service = await self.changed(cached, profile, "none")
        await cache.keep(PUBSUB, MICROBLOG)
        await is_followed(cache, service)

    @PROFILES
    async def test_that_one_has_ended_makes_no_node_known(self, cached: Make, profile: Profile) -> None:
        cache, _ = await self.changed(cached, profile, "none")
        assert await cache.house.nodes.find(BLOG) is None

    @PROFILES
    async def test_one_that_ended_with_its_node_is_made_anew(self, cached: Make, profile: Profile) -> None:
        world = World()
        service = world.service(PUBSUB, profile=profile)
        made(service)
        service.add_subscription(MICROBLOG, ALICE)
        cache: Cached = await cached(world)
        await listed(cache)
        service.delete(MICROBLOG)
        await cache.idle()
        made(service)
        await cache.keep(PUBSUB, MICROBLOG)
        await is_followed(cache, service)

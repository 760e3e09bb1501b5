"""What an account may not see is not shown: proofs of access, and what takes them away."""

from __future__ import annotations

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.search.search import SearchOptions
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Profile, Service, World
from pubsub_cached.xmpp.port import ConfigurationEvent
from tests.support.cached import ALICE, ENTRY, Cached, Make, answered

from .blog import MICROBLOG, PUBSUB

ADDRESS = Address(ALICE, PUBSUB, MICROBLOG)


async def followed(cached: Make, world: World, access_model: str, profile: Profile = PROSODY) -> tuple[Cached, Service]:
    """A cache that follows a node of this access model, to which alice has been admitted."""
    world.account(ALICE)
    service = world.service(PUBSUB, profile=profile)
    service.create_node(MICROBLOG, access_model=access_model)
    service.set_affiliation(MICROBLOG, ALICE, "member")
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, MICROBLOG)
    return cache, service


def shut_out(service: Service) -> None:
    """The service does not say so to anybody."""
    service.set_affiliation(MICROBLOG, ALICE, "none")


async def test_a_proof_is_good_for_a_while(cached: Make) -> None:
    world = World()
    cache, _ = await followed(cached, world, "whitelist")
    asked = world.count()
    cache.clock.advance(hours=5)
    await cache.read(PUBSUB, MICROBLOG)
    assert world.count() == asked


async def test_an_old_proof_is_renewed_by_one_item(cached: Make) -> None:
    world = World()
    cache, _ = await followed(cached, world, "whitelist")
    asked = world.count()
    cache.clock.advance(hours=7)
    *_, info = await cache.read(PUBSUB, MICROBLOG)
    assert (info["source"], info["freshness"]) == ("cache", "live")
    assert world.count() == asked + 1
    await cache.read(PUBSUB, MICROBLOG)
    assert world.count() == asked + 1


async def test_a_node_that_was_closed_in_silence_is_hidden_when_its_proof_is_old(cached: Make) -> None:
    cache, service = await followed(cached, World(), "whitelist")
    shut_out(service)
    cache.clock.advance(hours=7)
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG)
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="cache")
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "denied"


@pytest.mark.parametrize(
    ("condition", "pubsub_condition"),
    [
        ("forbidden", ""),
        ("not-authorized", ""),
        ("not-authorized", "presence-subscription-required"),
        ("not-authorized", "not-in-roster-group"),
        ("not-authorized", "not-subscribed"),
        ("not-allowed", "closed-node"),
        ("payment-required", ""),
        ("registration-required", ""),
        ("subscription-required", ""),
    ],
)
async def test_nothing_is_shown_of_a_node_however_its_service_denies_it(
    cached: Make, condition: str, pubsub_condition: str
) -> None:
    """XEP-0060 6.5.9, RFC 6120 8.3.3."""
    cache, service = await followed(cached, World(), "open")
    service.fail_next(condition, "", pubsub_condition, times=2)
    for policy in ("network", "cache"):
        with pytest.raises(errors.Denied):
            await cache.read(PUBSUB, MICROBLOG, policy=policy)
    assert await found(cache) == []
    assert (await cache.node(PUBSUB, MICROBLOG))["reason"] == (pubsub_condition or condition)


@pytest.mark.parametrize("access_model", ["presence", "roster", "authorize", "whitelist"])
async def test_what_was_proved_long_ago_is_in_a_search_as_in_a_cached_read(cached: Make, access_model: str) -> None:
    cache, _ = await followed(cached, World(), access_model)
    cache.clock.advance(hours=7)
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == await found(cache) == ["i0"]


@pytest.mark.parametrize("profile", [PROSODY, EJABBERD, LIBERVIA], ids=["prosody", "ejabberd", "libervia"])
async def test_a_listed_subscription_proves_nothing(cached: Make, profile: Profile) -> None:
    """Services go on listing that of somebody whom they do not let read any more."""
    cache, service = await followed(cached, World(), "whitelist", profile)
    service.set_affiliation(MICROBLOG, ALICE, "outcast")
    listed = await cache.house.accounts.get(ALICE).session.subscriptions(PUBSUB)
    assert [(each.node, each.state) for each in listed] == [(MICROBLOG, "subscribed")]
    cache.clock.advance(hours=7)
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG)


async def test_an_open_node_needs_no_proof(cached: Make) -> None:
    world = World()
    cache, _ = await followed(cached, world, "open")
    asked = world.count()
    cache.clock.advance(days=3)
    await cache.read(PUBSUB, MICROBLOG)
    assert world.count() == asked


async def test_a_proof_does_not_age_offline(cached: Make) -> None:
    world = World()
    cache, _ = await followed(cached, world, "whitelist")
    world.cut(ALICE)
    await cache.idle()
    cache.clock.advance(hours=20)
    items, _, info = await cache.read(PUBSUB, MICROBLOG)
    assert (len(items), info["freshness"]) == (1, "offline")
    asked = world.count()
    world.resume(ALICE)
    await cache.idle()
    await cache.read(PUBSUB, MICROBLOG)
    assert world.count() == asked


async def test_an_unreachable_service_proves_nothing_and_hides_nothing(cached: Make) -> None:
    cache, service = await followed(cached, World(), "whitelist")
    service.down()
    cache.clock.advance(hours=7)
    items, _, info = await cache.read(PUBSUB, MICROBLOG)
    assert (len(items), info["source"], info["freshness"]) == (1, "cache", "stale")


async def test_after_a_change_of_configuration_nothing_is_served_unproved(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world, "open")
    service.configure(MICROBLOG, access_model="whitelist")
    shut_out(service)
    service.hold()
    world.inject(ALICE, ConfigurationEvent(service=PUBSUB, node=MICROBLOG))
    await world.settle()
    with pytest.raises((errors.Denied, errors.Timeout)):
        await cache.read(PUBSUB, MICROBLOG, timeout=0.05)
    service.release()
    await cache.idle()
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG)


async def test_changes_of_what_may_not_be_read_are_not_told(cached: Make) -> None:
    cache, service = await followed(cached, World(), "whitelist")
    changes = cache.house.node_reads.changes
    assert (await changes(ADDRESS, 0, 500))[0] == ["i0"]
    shut_out(service)
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="network")
    with pytest.raises(errors.Denied):
        await changes(ADDRESS, 0, 500)
    service.delete(MICROBLOG)
    await cache.idle()
    with pytest.raises(errors.NoSuchNode, match="gone"):
        await changes(ADDRESS, 0, 500)


async def test_an_event_does_not_show_a_denied_node_again(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world, "whitelist")
    shut_out(service)
    cache.clock.advance(hours=7)
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG)
    service.publish(MICROBLOG, "i1", ENTRY.format(1))
    await cache.idle()
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="cache")


@pytest.mark.parametrize("condition", ["remote-server-timeout", "internal-server-error", None])
async def test_a_failure_does_not_show_a_denied_node_again(cached: Make, condition: str | None) -> None:
    cache, service = await followed(cached, World(), "whitelist")
    shut_out(service)
    cache.clock.advance(hours=7)
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG)
    service.down(condition)
    with pytest.raises(errors.PubSubCachedError):
        await cache.read(PUBSUB, MICROBLOG, policy="refresh")
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "denied"
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="cache")
    assert await found(cache) == []


async def test_a_node_that_may_be_read_again_is_shown_again(cached: Make) -> None:
    cache, service = await followed(cached, World(), "whitelist")
    shut_out(service)
    cache.clock.advance(hours=7)
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG)
    service.set_affiliation(MICROBLOG, ALICE, "member")
    cache.clock.advance(hours=1)
    assert await cache.ids(PUBSUB, MICROBLOG) == ["i0"]
    await cache.idle()
    *_, info = await cache.read(PUBSUB, MICROBLOG)
    assert (info["source"], info["freshness"]) == ("cache", "live")


async def test_a_denied_node_is_erased_after_its_grace(cached: Make) -> None:
    cache, service = await followed(cached, World(), "whitelist")
    shut_out(service)
    cache.clock.advance(hours=7)
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG)
    assert (await cache.node(PUBSUB, MICROBLOG))["items"] == 1
    cache.clock.advance(days=8)
    cache.house.revalidation.wake()
    await cache.idle()
    assert (await cache.node(PUBSUB, MICROBLOG))["items"] == 0
    assert cache.removed() == []


async def test_of_an_empty_node_that_was_denied_nothing_is_known_after_its_grace(cached: Make) -> None:
    cache, service = await followed(cached, World(), "whitelist")
    service.retract(MICROBLOG, "i0")
    await cache.idle()
    shut_out(service)
    cache.clock.advance(hours=7)
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG)
    cache.clock.advance(days=8)
    cache.house.revalidation.wake()
    await cache.idle()
    assert (await cache.node(PUBSUB, MICROBLOG))["completeness"] == "none"
    service.publish(MICROBLOG, "i1", ENTRY.format(1))
    service.set_affiliation(MICROBLOG, ALICE, "member")
    assert await cache.ids(PUBSUB, MICROBLOG) == ["i1"]


async def found(cache: Cached) -> list[str]:
    """What a search for everything finds."""
    items, *_ = await answered(cache.house.searches.search("", "", SearchOptions()))
    return [item["id"] for item in items]


async def tightened(cached: Make, world: World) -> tuple[Cached, Service]:
    """A node whose configuration has changed, at a service that does not answer any more."""
    cache, service = await followed(cached, world, "open")
    assert await found(cache) == ["i0"]
    service.hold()
    world.inject(ALICE, ConfigurationEvent(service=PUBSUB, node=MICROBLOG))
    await world.settle()
    await cache.house.events.settled()
    return cache, service


async def test_no_search_finds_what_is_in_doubt_until_it_could_be_read(cached: Make) -> None:
    cache, service = await tightened(cached, World())
    assert await found(cache) == []
    service.release()
    await cache.idle()
    assert await found(cache) == ["i0"]


async def test_changes_of_what_is_in_doubt_are_told_once_it_could_be_read(cached: Make) -> None:
    cache, service = await tightened(cached, World())
    changes = cache.house.node_reads.changes
    assert await changes(ADDRESS, 0, 500) == ([], [], cache.house.revision, False)
    service.release()
    await cache.idle()
    assert (await changes(ADDRESS, 0, 500))[0] == ["i0"]


async def test_no_search_finds_what_was_in_doubt_and_is_denied(cached: Make) -> None:
    cache, service = await tightened(cached, World())
    service.configure(MICROBLOG, access_model="whitelist")
    shut_out(service)
    service.release()
    await cache.idle()
    assert await found(cache) == []


async def test_doubt_outlasts_failures_and_restarts(cached: Make) -> None:
    world = World()
    cache, service = await tightened(cached, world)
    service.down()
    service.release()
    await cache.idle()
    node = await cache.node(PUBSUB, MICROBLOG)
    assert node["reason"] == "unproved"
    assert await found(cache) == []
    await cache.restart(online=False)
    assert await found(cache) == []
    await cache.restart()
    with pytest.raises(errors.PubSubCachedError):
        await cache.read(PUBSUB, MICROBLOG)
    service.up()
    await cache.keep(PUBSUB, MICROBLOG)
    assert await found(cache) == ["i0"]


async def test_ones_own_nodes_are_never_in_doubt(cached: Make) -> None:
    world = World()
    pep = world.account(ALICE).pep
    pep.publish(MICROBLOG, "own", ENTRY.format(0))
    cache: Cached = await cached(world)
    await cache.keep(ALICE, MICROBLOG)
    pep.hold()
    world.inject(ALICE, ConfigurationEvent(service=ALICE, node=MICROBLOG))
    await world.settle()
    assert await found(cache) == ["own"]
    pep.release()

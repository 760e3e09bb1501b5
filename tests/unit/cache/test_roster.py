"""What the account's own roster entry says of a contact's nodes: who may read them, and when to ask again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pubsub_cached import errors
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG
from .test_access import found

BOB = "bob@example.org"
PROFILES = pytest.mark.parametrize("profile", [PROSODY, EJABBERD], ids=["prosody", "ejabberd"])


def contact(world: World, profile: Profile, access_model: str, groups: tuple[str, ...] = ("friends",)) -> Service:
    """Bob, a contact of alice, with one post that such contacts may read."""
    world.account(ALICE, pep=profile)
    pep = world.account(BOB, pep=profile).pep
    world.befriend(ALICE, BOB, groups=groups)
    pep.create_node(MICROBLOG, access_model=access_model, roster_groups=["friends"], max_items=10)
    pep.publish(MICROBLOG, "p1", ENTRY.format("p1"))
    return pep


async def read(cached: Make, world: World) -> Cached:
    """A cache that has read the node and follows it."""
    cache: Cached = await cached(world)
    await cache.keep(BOB, MICROBLOG)
    return cache


@PROFILES
@pytest.mark.parametrize("access_model", ["presence", "roster"])
async def test_the_roster_entry_is_a_proof_that_does_not_age(cached: Make, profile: Profile, access_model: str) -> None:
    world = World()
    contact(world, profile, access_model)
    cache = await read(cached, world)
    asked = world.count()
    cache.clock.advance(days=3)
    assert await cache.ids(BOB, MICROBLOG) == ["p1"]
    assert world.count() == asked


async def test_without_a_group_the_proof_has_its_time_limit(cached: Make) -> None:
    """Nothing of the account's own roster says why it may read the node."""
    world = World()
    pep = contact(world, PROSODY, "roster", groups=())
    pep.set_affiliation(MICROBLOG, ALICE, "member")
    cache = await read(cached, world)
    asked = world.count()
    cache.clock.advance(hours=7)
    await cache.ids(BOB, MICROBLOG)
    assert world.count() == asked + 1


async def refused(cache: Cached) -> None:
    """No policy shows the node."""
    for policy in ("cache", "default", "refresh", "network"):
        with pytest.raises((errors.Denied, errors.NotCached)):
            await cache.read(BOB, MICROBLOG, policy=policy)


LOSSES: dict[str, Callable[[World], None]] = {
    "unfriended": lambda world: world.unfriend(ALICE, BOB),
    "regrouped": lambda world: world.befriend(ALICE, BOB, groups=["colleagues"]),
}


@PROFILES
@pytest.mark.parametrize("how", LOSSES)
async def test_a_lost_entry_hides_the_node_before_the_service_is_asked(
    cached: Make, profile: Profile, how: str
) -> None:
    world = World()
    pep = contact(world, profile, "roster")
    cache = await read(cached, world)
    # ejabberd lets a subscriber stay; it is refused once it is none.
    pep.drop_subscription(MICROBLOG, ALICE)
    pep.hold()
    LOSSES[how](world)
    await world.settle()
    with pytest.raises(errors.NotCached):
        await cache.read(BOB, MICROBLOG, policy="cache")
    pep.release()
    await cache.idle()
    await refused(cache)
    assert (await cache.node(BOB, MICROBLOG))["state"] == "denied"


@PROFILES
async def test_an_entry_lost_while_offline_is_found_missing_by_the_next_session(cached: Make, profile: Profile) -> None:
    world = World()
    pep = contact(world, profile, "presence")
    cache = await read(cached, world)
    world.cut(ALICE)
    world.unfriend(ALICE, BOB)
    pep.drop_subscription(MICROBLOG, ALICE)
    await cache.idle()
    assert await cache.ids(BOB, MICROBLOG) == ["p1"]
    world.restore(ALICE)
    await cache.idle()
    await refused(cache)


async def test_an_entry_lost_while_the_daemon_did_not_run_proves_nothing(cached: Make) -> None:
    world = World()
    pep = contact(world, PROSODY, "presence")
    cache = await read(cached, world)
    await cache.stop()
    world.unfriend(ALICE, BOB)
    await cache.start(online=False)
    pep.hold()
    await cache.house.connect()
    await world.settle()
    await cache.house.accounts.get(ALICE).session_when_ready()
    with pytest.raises(errors.NotCached):
        await cache.read(BOB, MICROBLOG, policy="cache")
    assert await found(cache) == []
    pep.release()
    await cache.idle()
    await refused(cache)


@pytest.mark.parametrize("access_model", ["presence", "roster"])
async def test_a_new_entry_ends_the_negative_answer(cached: Make, access_model: str) -> None:
    """
    coherence, Negative answers: a roster change
    """
    world = World()
    world.account(ALICE)
    pep = world.account(BOB).pep
    pep.create_node(MICROBLOG, access_model=access_model, roster_groups=["friends"])
    pep.publish(MICROBLOG, "p1", ENTRY.format("p1"))
    cache: Cached = await cached(world)
    for _ in range(2):
        with pytest.raises(errors.Denied):
            await cache.read(BOB, MICROBLOG)
    assert world.count("get_items", BOB) == 1
    world.befriend(ALICE, BOB, groups=["friends"])
    await cache.idle()
    assert await cache.ids(BOB, MICROBLOG) == ["p1"]


async def test_an_entry_that_comes_back_shows_the_node_again(cached: Make) -> None:
    world = World()
    contact(world, PROSODY, "presence")
    cache = await read(cached, world)
    world.unfriend(ALICE, BOB)
    await cache.idle()
    await refused(cache)
    world.befriend(ALICE, BOB)
    await cache.idle()
    *_, info = await cache.read(BOB, MICROBLOG, policy="cache")
    assert info["freshness"] == "live"


async def test_another_contact_s_entry_says_nothing(cached: Make) -> None:
    world = World()
    contact(world, PROSODY, "presence")
    world.account("carol@example.org")
    cache = await read(cached, world)
    asked = world.count()
    world.befriend(ALICE, "carol@example.org")
    await cache.idle()
    *_, info = await cache.read(BOB, MICROBLOG)
    assert (info["freshness"], world.count()) == ("live", asked)

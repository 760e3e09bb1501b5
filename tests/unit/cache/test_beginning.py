"""Calls that come before the first session: they wait for its first attempt, and for nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.accounts.account import Account
from pubsub_cached.cache.options import AccountOptions
from pubsub_cached.secrets import Secrets
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import PUBSUB

BOB = "bob@example.org"


@pytest.fixture
def world() -> World:
    world = World()
    service = world.service(PUBSUB)
    service.create_node("blog", max_items=100)
    service.publish("blog", "i1", ENTRY.format("i1"))
    return world


async def waiting(cache: Cached, call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A call that nothing answers yet."""
    task = asyncio.create_task(call)
    await cache.world.settle()
    await asyncio.sleep(0)
    assert not task.done()
    return task


def shown(cache: Cached) -> tuple[Account, list[str]]:
    """Alice's account, and the states that are told of it from now on."""
    account = cache.house.accounts.get(ALICE)
    states: list[str] = []
    account.on_change.append(lambda: states.append(account.state))
    return account, states


@pytest.mark.parametrize("policy", ["default", "refresh", "network"])
async def test_a_read_that_came_first_is_answered_by_the_service(cached: Make, world: World, policy: str) -> None:
    cache: Cached = await cached(world, online=False)
    cache.house.begin()
    read = await waiting(cache, cache.ids(PUBSUB, policy=policy))
    await cache.house.connect()
    assert await read == ["i1"]


async def test_what_a_node_is_waits_for_the_service_as_well(cached: Make, world: World) -> None:
    cache: Cached = await cached(world, online=False)
    cache.house.begin()
    match = await waiting(cache, cache.house.analysing.match(Address(ALICE, PUBSUB, "blog")))
    await cache.house.connect()
    name, _ = await match
    assert name == "blog"


async def test_policy_cache_waits_for_nobody(cached: Make, world: World) -> None:
    cache: Cached = await cached(world, online=False)
    cache.house.begin()
    with pytest.raises(errors.NotCached):
        await cache.read(PUBSUB, policy="cache")


async def test_a_copy_is_served_at_once(cached: Make, world: World) -> None:
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB)
    await cache.restart(online=False)
    cache.house.begin()
    *_, info = await cache.read(PUBSUB, policy="refresh")
    assert (info["source"], info["freshness"]) == ("cache", "offline")


async def test_a_publication_that_came_first_is_sent(cached: Make, world: World) -> None:
    cache: Cached = await cached(world, online=False)
    cache.house.begin()
    address = cache.house.accounts.resolve("", "", "urn:xmpp:microblog:0")
    publish = await waiting(cache, cache.house.writing.publish(address, "p1", ENTRY.format("p1"), {}))
    await cache.house.connect()
    assert await publish == "p1"


async def test_a_server_out_of_reach_is_told_by_its_first_attempt(cached: Make, world: World) -> None:
    world.account(ALICE).reachable = False
    cache: Cached = await cached(world, online=False)
    cache.house.begin()
    read = await waiting(cache, cache.read(PUBSUB))
    await cache.house.connect()
    with pytest.raises(errors.Offline, match="cannot be reached"):
        await read
    # From then on nothing is waited for: the next attempt may be minutes away.
    with pytest.raises(errors.Offline, match="waiting"):
        await cache.read(PUBSUB)


async def test_a_refused_password_is_told_by_its_first_attempt(cached: Make, world: World) -> None:
    world.account(ALICE, password="another")
    cache: Cached = await cached(world, online=False)
    cache.house.begin()
    read = await waiting(cache, cache.read(PUBSUB))
    await cache.house.connect()
    with pytest.raises(errors.Offline, match="the password is wrong"):
        await read


async def test_an_account_without_a_password_is_not_waited_for(cached: Make, world: World) -> None:
    cache: Cached = await cached(world)
    account = await cache.house.accounts.add(BOB, AccountOptions())
    with pytest.raises(errors.Offline, match="offline"):
        await account.session_when_ready()
    assert account.state == "offline"


async def test_what_is_waited_for_is_shown_as_connecting(cached: Make, world: World) -> None:
    """Doctor took an account for one that somebody had disconnected, while what connects was being loaded."""
    cache: Cached = await cached(world, online=False)
    account, states = shown(cache)
    cache.house.begin()
    await cache.house.connect()
    await account.session_when_ready()
    assert states == ["connecting", "online"]


async def test_what_is_disconnected_before_it_is_connected_stays_so(cached: Make, world: World) -> None:
    """Whoever calls Disconnect may be who had the daemon started."""
    cache: Cached = await cached(world, online=False)
    account, states = shown(cache)
    cache.house.begin()
    await account.disconnect()
    await cache.house.connect()
    await cache.idle()
    assert states == ["connecting", "offline"]
    await account.connect()
    await account.session_when_ready()


async def test_a_password_that_is_not_kept_does_not_end_the_search_for_the_one_that_is(
    cached: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the account would be connecting, and calls wait for it, for good."""
    found = threading.Event()

    def lookup(*_: object) -> None:
        # As a keyring that asks a person.
        found.wait(30)

    def store(*_: object) -> None:
        raise errors.DatabaseError("The stored passwords are damaged.")

    cache: Cached = await cached(world)
    await cache.house.accounts.add(BOB, AccountOptions())
    await cache.restart(online=False)
    monkeypatch.setattr(Secrets, "lookup", lookup)
    monkeypatch.setattr(Secrets, "store", store)
    cache.house.begin()
    await cache.house.connect()
    account = cache.house.accounts.get(BOB)
    try:
        with pytest.raises(errors.DatabaseError, match="are damaged"):
            await account.set_password("secret")
        assert account.state == "connecting"
    finally:
        found.set()
    with pytest.raises(errors.Offline):
        await account.session_when_ready()
    assert account.state == "offline"


async def test_disconnecting_ends_the_wait(cached: Make, world: World) -> None:
    cache: Cached = await cached(world, online=False)
    cache.house.begin()
    read = await waiting(cache, cache.read(PUBSUB))
    await cache.house.accounts.get(ALICE).disconnect()
    with pytest.raises(errors.Offline, match="offline"):
        await read


async def test_what_is_disconnected_while_a_new_password_ends_its_session_stays_so(cached: Make, world: World) -> None:
    """A server takes its time to end one."""
    cache: Cached = await cached(world)
    account = await cache.house.accounts.add(BOB, AccountOptions())
    world.account(BOB)
    await account.set_password("secret")
    await cache.idle()
    assert account.state == "online"
    disconnecting: list[asyncio.Task[None]] = []

    def changed() -> None:
        if account.state == "offline" and not disconnecting:
            disconnecting.append(asyncio.create_task(account.disconnect()))

    account.on_change.append(changed)
    await account.set_password("secret")
    await disconnecting[0]
    await cache.idle()
    assert (account.state, account.wanted) == ("offline", False)


async def test_a_session_that_is_begun_anew_while_it_ends_is_waited_for(cached: Make, world: World) -> None:
    cache: Cached = await cached(world)
    account = cache.house.accounts.get(ALICE)
    ending = asyncio.create_task(account.disconnect())
    await asyncio.sleep(0)
    assert not ending.done()
    await account.connect()
    assert await cache.ids(PUBSUB, policy="network") == ["i1"]
    await ending


async def test_the_wait_has_an_end(cached: Make, world: World) -> None:
    cache: Cached = await cached(world, online=False)
    cache.house.begin()
    with pytest.raises(errors.Offline):
        await cache.house.accounts.get(ALICE).session_when_ready(0.01)


REFUSED = (
    "CREATE TRIGGER refused BEFORE UPDATE ON node WHEN new.reason = 'session' BEGIN SELECT RAISE(ABORT, 'full'); END"
)


@pytest.mark.sqlite
async def test_a_session_that_can_not_be_written_down_is_used_once_it_can(cached: Make, world: World) -> None:
    world.services[PUBSUB].create_node("urn:xmpp:microblog:0")
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, "urn:xmpp:microblog:0")
    await cache.store.write(lambda tx: tx.connection.exec_driver_sql(REFUSED))
    world.cut(ALICE)
    await world.settle()
    world.restore(ALICE)
    await world.settle()
    await cache.store.write(lambda tx: None)
    account = cache.house.accounts.get(ALICE)
    assert not account.online
    await cache.store.write(lambda tx: tx.connection.exec_driver_sql("DROP TRIGGER refused"))
    await account.session_at_last()
    await cache.idle()
    assert (await cache.node(PUBSUB, "urn:xmpp:microblog:0"))["state"] == "live"

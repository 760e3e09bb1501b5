"""Accounts that are no more: the cache goes on without them."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.cache.accounts.account import Account
from pubsub_cached.cache.options import AccountOptions
from pubsub_cached.secrets import Secrets
from pubsub_cached.store.accounts import accounts
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, PUBSUB, local

BOB = "bob@example.org"


async def test_an_account_taken_out_of_the_configuration_ends_nothing(cached: Make) -> None:
    world = World()
    world.account(BOB)
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    service.fail_next("not-allowed", pubsub_condition="unsupported", request="subscribe", times=9)
    cache: Cached = await cached(world, ALICE, BOB)
    for account in (ALICE, BOB):
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


async def removed(cached: Make, world: World) -> tuple[Cached, Account]:
    """An account that came over the bus and is gone again, as a client still has it that was about to call it."""
    world.account(BOB)
    cache: Cached = await cached(world)
    bob = await cache.house.accounts.add(BOB, AccountOptions())
    await bob.remove(keep_cache=False)
    return cache, bob


async def test_one_that_was_removed_does_not_come_back_by_a_late_property(cached: Make) -> None:
    cache, bob = await removed(cached, World())
    with pytest.raises(errors.NoSuchAccount, match=BOB):
        await bob.set_enabled(False)
    assert [row.jid for row in await cache.store.read(accounts.all)] == [ALICE]


async def test_one_that_was_removed_does_not_connect(cached: Make) -> None:
    world = World()
    _, bob = await removed(cached, world)
    with pytest.raises(errors.NoSuchAccount, match=BOB):
        await bob.connect()
    await world.settle()
    assert not world.account_of(BOB).online


async def test_a_password_that_comes_too_late_is_not_kept(cached: Make) -> None:
    world = World()
    cache, bob = await removed(cached, world)
    with pytest.raises(errors.NoSuchAccount, match=BOB):
        await bob.set_password("secret")
    await world.settle()
    assert Secrets(cache.directory / "secrets.json").lookup(BOB) is None
    assert not world.account_of(BOB).online


async def connected(cached: Make) -> tuple[Cached, Account]:
    """An account that was added and is online."""
    world = World()
    world.account(BOB)
    cache: Cached = await cached(world)
    bob = await cache.house.accounts.add(BOB, AccountOptions())
    await bob.set_password("secret")
    await cache.idle()
    assert bob.online
    return cache, bob


async def test_one_that_could_not_be_removed_connects_again(cached: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, bob = await connected(cached)
    file = cache.directory / "secrets.json"
    kept = file.read_text()
    file.write_text("damaged")
    with pytest.raises(errors.PubSubCachedError, match="are damaged"):
        await bob.remove(keep_cache=False)
    file.write_text(kept)
    # On a thread, which nobody else waits for.
    assert bob.looking is not None
    await bob.looking
    await cache.idle()
    assert bob.online


async def test_one_that_is_removed_twice_at_once_does_not_connect_again(
    cached: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, bob = await connected(cached)
    remove, gone, calls = Secrets.remove, threading.Event(), [1, 2]
    cache.house.accounts.on_removed.append(lambda _: gone.set())

    def second_fails(secrets: Secrets, jid: str) -> None:
        if calls.pop(0) == 2:
            gone.wait(30)
            secrets.store(jid, "secret")
            raise errors.AuthenticationFailed("The keyring is locked.")
        remove(secrets, jid)

    monkeypatch.setattr(Secrets, "remove", second_fails)
    await asyncio.gather(bob.remove(keep_cache=False), bob.remove(keep_cache=False), return_exceptions=True)
    if bob.looking is not None:
        await bob.looking
    await cache.idle()
    assert bob.removed
    assert not bob.session.online


async def test_of_two_changes_of_a_property_the_later_one_counts(cached: Make) -> None:
    world = World()
    world.account(BOB)
    cache: Cached = await cached(world)
    bob = await cache.house.accounts.add(BOB, AccountOptions())
    await asyncio.gather(bob.set_enabled(False), bob.set_enabled(True))
    row = await cache.store.read(accounts.find, BOB)
    assert row is not None
    assert (bob.enabled, row.enabled) == (True, True)

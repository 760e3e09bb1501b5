"""What is known in memory, while what the database says of it is being read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.analysers.builtin import registry
from pubsub_cached.cache.jitter import Jitter
from pubsub_cached.cache.nodes import privacy as privacies
from pubsub_cached.cache.nodes import transitions
from pubsub_cached.cache.nodes.nodes import Nodes
from pubsub_cached.cache.nodes.privacy import Privacy
from pubsub_cached.cache.nodes.transitions import Choose, Written
from pubsub_cached.cache.revalidation.distrust import Distrust
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.store import Store
from pubsub_cached.store.transaction import Transaction
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, Cached, Make

from .blog import BLOG, MICROBLOG, PUBSUB, followed, reaching, writer_busy

pytestmark = pytest.mark.sqlite


class Slow:
    """A store whose reads have begun and are not answered before their event in ``reads`` is set."""

    def __init__(self, store: Store) -> None:
        self.reads: list[asyncio.Event] = []
        self._store = store

    def write(self, fn: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        return self._store.write(fn, *arguments)

    async def read(self, fn: Callable[..., Any], *arguments: Any) -> Any:
        found = self._store.read_now(fn, *arguments)
        self.reads.append(answer := asyncio.Event())
        await answer.wait()
        return found


async def test_a_node_that_turns_out_private_while_all_are_looked_at_is_private(cached: Make) -> None:
    cache, _ = await followed(cached, World())
    slow = Slow(cache.store)
    privacy = Privacy(cast("Store", slow), registry())
    loading = asyncio.create_task(privacy.load())
    await asyncio.sleep(0)
    row = await cache.house.nodes.find(BLOG)
    assert row is not None
    privacy.note(msgspec.structs.replace(row, analyser="bookmarks"))
    slow.reads[0].set()
    await loading
    assert privacy.private(BLOG)


@pytest.mark.parametrize("noted", [False, True])
async def test_a_node_that_is_forgotten_while_all_are_looked_at_is_private_no_more(cached: Make, noted: bool) -> None:
    cache, _ = await followed(cached, World())
    row = await cache.house.nodes.find(BLOG)
    assert row is not None
    private = msgspec.structs.replace(row, analyser="bookmarks")
    slow = Slow(cache.store)
    privacy = Privacy(cast("Store", slow), registry())
    await cache.store.write(lambda tx: nodes.update(tx, row.id, analyser="bookmarks"))
    loading = asyncio.create_task(privacy.load())
    await asyncio.sleep(0)
    if noted:
        privacy.note(private)
    privacy.forget(BLOG)
    privacy.told(BLOG)
    slow.reads[0].set()
    await loading
    assert not privacy.known(BLOG)


@pytest.mark.parametrize("analyser", ["bookmarks", "blog"])
async def test_a_private_node_that_is_forgotten_is_private_until_that_was_told(cached: Make, analyser: str) -> None:
    """And the same node, if it is known anew before that, is whatever it is now."""
    cache, _ = await followed(cached, World())
    privacy = cache.house.privacy
    row = await cache.house.nodes.find(BLOG)
    assert row is not None
    privacy.note(msgspec.structs.replace(row, analyser="bookmarks"))
    privacy.forget(BLOG)
    privacy.note(msgspec.structs.replace(row, analyser=analyser))
    assert privacy.known(BLOG)
    privacy.told(BLOG)
    assert privacy.known(BLOG) is (analyser == "bookmarks")


async def test_none_is_shown_while_it_can_t_be_read_which_became_private(
    cached: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, service = await followed(cached, World())
    service.create_node("untouched")
    untouched = Address(ALICE, PUBSUB, "untouched")
    await cache.read(PUBSUB, "untouched")
    privacy, shown = cache.house.privacy, list[bool]()
    monkeypatch.setattr(privacies, "AGAIN", 0)
    read, failures = nodes.analysed, 3

    def fails(*arguments: Any) -> Any:
        nonlocal failures
        shown.append(not (privacy.private(BLOG) and privacy.known(BLOG)))
        if failures := max(0, failures - 1):
            raise errors.DatabaseError("It has gone.")
        return read(*arguments)

    monkeypatch.setattr(nodes, "analysed", fails)
    cache.house.analysers.unregister("blog")
    async with asyncio.timeout(60):
        while failures or privacy.private(untouched):
            await asyncio.sleep(0)
    # The first time the database was only about to be asked.
    assert shown == [True, False, False]
    assert privacy.private(BLOG)


async def test_all_are_shown_again_once_the_analyser_is_back(cached: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, _ = await followed(cached, World())
    privacy, analysers = cache.house.privacy, cache.house.analysers
    monkeypatch.setattr(privacies, "AGAIN", 0)
    blog = analysers.get("blog")
    assert blog is not None

    def fails(*arguments: Any) -> Any:
        raise errors.DatabaseError("It has gone.")

    with monkeypatch.context() as patch:
        patch.setattr(nodes, "analysed", fails)
        analysers.unregister("blog")
        async with asyncio.timeout(60):
            while not privacy.known(BLOG):
                await asyncio.sleep(0)
        analysers.register(blog, "builtin")
    async with asyncio.timeout(60):
        while privacy.private(BLOG):
            await asyncio.sleep(0)


async def test_which_are_private_is_as_it_was_read_last(cached: Make) -> None:
    cache, _ = await followed(cached, World())
    slow, analysers = Slow(cache.store), registry()
    privacy = Privacy(cast("Store", slow), analysers)
    analysers.unregister("avatar")
    while not slow.reads:
        await asyncio.sleep(0)
    analysers.unregister("blog")
    for _ in range(3):
        await asyncio.sleep(0)
    for answer in reversed(slow.reads):
        answer.set()
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
        for answer in slow.reads:
            answer.set()
    assert privacy.private(BLOG)


async def test_what_was_just_seen_of_a_service_is_known_when_another_account_is_taken_over(cached: Make) -> None:
    cache: Cached = await cached(World())
    facts, address = cache.house.sync.facts, Address(ALICE, "pubsub.example.net", "blog")
    with writer_busy(cache):
        facts.overwritten(address, False)
        await facts.load("bob@example.org")
        assert facts.of(address).kept == 1


async def test_a_doubt_that_can_t_be_written_down_is_believed_beside_one_that_can(
    cached: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, service = await followed(cached, World())
    node = await cache.house.nodes.find(BLOG)
    assert node is not None
    service.hold()
    decide = transitions.decide

    def fails_for_the_second(tx: Transaction, address: Address, choose: Choose) -> Written:
        if getattr(choose, "keywords", {}).get("reason") == "second":
            raise errors.StorageFull("No room.")
        return decide(tx, address, choose)

    monkeypatch.setattr(transitions, "decide", fails_for_the_second)
    distrust = cache.house.distrust
    with writer_busy(cache):
        first = asyncio.create_task(distrust.of(BLOG, "first"))
        await asyncio.sleep(0)
        validated = asyncio.create_task(cache.house.nodes.update(node, state="live", reason=""))
        await asyncio.sleep(0)
        second = asyncio.create_task(distrust.of(BLOG, "second"))
        await asyncio.sleep(0)
    await asyncio.gather(first, validated, second)
    *_, info = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    assert info["freshness"] == "stale"


async def test_a_doubt_counts_of_what_was_fetched_for_the_first_time_while_the_row_was_read(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "i0", "<x xmlns='urn:x'/>")
    cache: Cached = await cached(world)
    house, slow = cache.house, Slow(cache.store)
    slowly = Nodes(
        cast("Store", slow),
        house.analysers,
        house.changes,
        house.proofs,
        cache.clock,
        house.privacy,
        Jitter(),
    )
    slowly.due = slowly.unwritten = slowly.unsubscribe = lambda _: None
    distrust = Distrust(cache.store, slowly, house.sync, house.unwritten)
    service.hold()
    job = house.sync.job(BLOG, pin=True)
    await reaching(service, "subscribe")
    doubting = asyncio.create_task(distrust.of(BLOG, "event"))
    while not slow.reads:
        await asyncio.sleep(0)
    service.release()
    await job.wait()
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "live"
    service.hold()
    slow.reads[0].set()
    await doubting
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "stale"
    service.release()

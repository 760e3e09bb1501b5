"""What is kept in memory of nodes, services and accounts goes with them: a daemon runs for years."""

from __future__ import annotations

import asyncio
import weakref

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache import jobs
from pubsub_cached.cache.options import AccountOptions, PurgeFilter
from pubsub_cached.cache.sync.subscriptions import CHANGED_AT_MOST, Subscriptions
from pubsub_cached.store.touched import Touched
from pubsub_cached.store.versions import NODES_AT_MOST, Versions
from pubsub_cached.xmpp.fake import World
from pubsub_cached.xmpp.port import ConfigurationEvent, Subscription
from tests.support.cached import ALICE, ENTRY, Cached, Make
from tests.support.callbacks import uncollected
from tests.support.keeping import containers, keepers

from .blog import BLOG, MICROBLOG, PUBSUB, being_subscribed_to, followed

# It counts what was touched, of so many nodes (below).
COUNTED = {"Versions._counted"}
BOB = "bob@example.org"


async def test_nothing_is_kept_of_a_node_that_was_forgotten(cached: Make) -> None:
    cache, service = await followed(cached)
    # Whether the account may still read it is doubted from here on.
    service.configure(MICROBLOG, access_model="whitelist")
    cache.house.event(cache.house.accounts.get(ALICE), ConfigurationEvent(service=PUBSUB, node=MICROBLOG))
    await cache.idle()
    assert {*keepers(cache.house, BLOG)} - COUNTED
    await cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True)).wait()
    await cache.idle()
    assert {*keepers(cache.house, BLOG)} - COUNTED == set()


async def test_nor_of_one_that_is_forgotten_while_it_is_subscribed_to(cached: Make) -> None:
    cache, service, job = await being_subscribed_to(cached)
    forgetting = cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True))
    await cache.world.settle()
    service.release()
    await forgetting.wait()
    with pytest.raises(errors.Cancelled):
        await job.wait()
    await cache.idle()
    assert {*keepers(cache.house, BLOG)} - COUNTED == set()


async def test_nothing_is_kept_of_nodes_after_a_reset(cached: Make) -> None:
    cache, _ = await followed(cached)
    assert {*keepers(cache.house, BLOG)} - COUNTED
    await cache.house.removal.reset().wait()
    await cache.idle()
    assert {*keepers(cache.house, BLOG)} - COUNTED == set()


async def test_nothing_is_kept_of_a_node_that_is_not_there_but_that_it_is_not(cached: Make) -> None:
    world = World()
    world.service(PUBSUB)
    cache: Cached = await cached(world)
    with pytest.raises(errors.NoSuchNode):
        await cache.read(PUBSUB, MICROBLOG)
    assert {*keepers(cache.house, BLOG)} - COUNTED == set()


async def test_nothing_is_kept_of_an_account_that_was_removed(cached: Make) -> None:
    world = World()
    world.account(BOB)
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG, access_model="whitelist")
    service.set_affiliation(MICROBLOG, BOB, "member")
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    cache: Cached = await cached(world)
    account = await cache.house.accounts.add(BOB, AccountOptions())
    await account.set_password("secret")
    await cache.idle()
    await cache.house.sync.run(Address(BOB, PUBSUB, MICROBLOG))
    assert {*keepers(cache.house, BOB)} - COUNTED
    await account.remove(keep_cache=False)
    del account
    await cache.idle()
    assert {*keepers(cache.house, BOB)} - COUNTED == set()


def test_the_commits_of_so_many_nodes_are_counted() -> None:
    versions = Versions()
    seen: set[object] = set()

    def touch(name: object) -> None:
        touched = Touched()
        touched.items(1, Address(ALICE, PUBSUB, str(name)), ["i"])
        with versions.changing(touched):
            assert versions.of(Address(ALICE, PUBSUB, str(name))) is None

    for number in range(3 * NODES_AT_MOST):
        touch(number)
        touch("blog")
        # Whoever has seen one of before must not take it for what is there now.
        version = versions.of(Address(ALICE, PUBSUB, "blog"))
        assert version not in seen
        seen.add(version)
    kept = [where for where, container in containers(versions) if len(container) > NODES_AT_MOST + 2]
    assert kept == []


def test_the_last_of_those_who_unsubscribed_or_subscribed_are_known() -> None:
    subscriptions = Subscriptions(lambda: 0)
    nodes = [Address(ALICE, PUBSUB, str(number)) for number in range(CHANGED_AT_MOST + 10)]
    for node in nodes:
        before = subscriptions.acts.declines(node), subscriptions.acts.claims(node)
        with subscriptions.acts.declining(node):
            assert subscriptions.acts.declines(node) != before[0]
        subscriptions.claim(node)
        assert subscriptions.acts.claims(node) != before[1]
        subscriptions.remember(node, Subscription(node.node, ALICE, "none"))
    kept = [where for where, container in containers(subscriptions) if len(container) > CHANGED_AT_MOST]
    assert kept == []
    assert all(subscriptions.acts.declines(node) and subscriptions.acts.claims(node) for node in nodes[10:])


async def test_a_job_goes_with_its_minute(cached: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KEPT_SECONDS", 0.0)
    cache: Cached = await cached(World())
    removed = asyncio.Event()

    async def work(job: jobs.Job) -> str:
        job.on_change.append(lambda: job.progress)
        return ""

    with uncollected():
        job = weakref.ref(cache.house.jobs.start("test", work))
        cache.house.jobs.on_removed.append(lambda _: removed.set())
        await removed.wait()
        await asyncio.sleep(0)
        assert job() is None

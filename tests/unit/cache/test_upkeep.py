"""Check and Compact as jobs: what is found, what is mended, and how they end."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.jobs import Job, JobFailed
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.xmpp.fake import Service, World
from tests.support.cached import ALICE, ENTRY, Cached
from tests.support.postgresql import PostgreSQL

from .blog import reaching

SERVICE = "pubsub.example.org"


@pytest.fixture
def world() -> World:
    """A service with two blogs."""
    world = World()
    service = world.service(SERVICE)
    for node in ("blog", "other"):
        service.create_node(node, node_type="urn:xmpp:microblog:0")
        for number in range(3):
            service.publish(node, f"post-{number}", ENTRY.format(number))
    return world


@pytest.fixture
async def cache(cached: Any, world: World) -> Any:
    """Both blogs, kept."""
    found = await cached(world)
    for node in ("blog", "other"):
        await found.read(SERVICE, node)
    await found.idle()
    return found


async def checked(cache: Any) -> str:
    return str(await cache.house.upkeep.check().wait())


async def test_a_busy_cache_is_sound(cache: Any, world: World) -> None:
    service = world.services[SERVICE]
    service.publish("blog", "post-1", ENTRY.format("again"))
    service.publish("blog", "news", ENTRY.format("news"))
    service.retract("blog", "post-0")
    service.purge("other")
    await cache.idle()
    await cache.house.removal.purge(PurgeFilter(nodes=("blog",))).wait()
    await cache.keep(SERVICE, "blog")

    assert await checked(cache) == "Nothing is wrong."


async def test_vanished_subscriptions_are_made_again_and_events_flow(cache: Any, world: World) -> None:
    service = world.services[SERVICE]
    service.drop_subscription("blog", ALICE)
    service.publish("blog", "missed", ENTRY.format("missed"))

    said = await checked(cache)

    assert said == f"{SERVICE} no longer listed 1 subscription; the nodes were synchronised again."
    service.publish("blog", "heard", ENTRY.format("heard"))
    await cache.idle()
    assert {"missed", "heard"} <= set(await cache.ids(SERVICE, policy="cache"))
    assert (await cache.node(SERVICE, "blog"))["state"] == "live"
    assert await checked(cache) == "Nothing is wrong."


async def test_where_a_check_is_cancelled_no_node_is_called_live_without_its_subscription(
    cache: Any, world: World
) -> None:
    service = world.services[SERVICE]
    for node in ("blog", "other"):
        service.drop_subscription(node, ALICE)
        service.publish(node, "missed", ENTRY.format("missed"))
    service.hold()
    checking = cache.house.upkeep.check()
    await reaching(service, "subscriptions")
    service.release(1)
    await service.holding(1)
    checking.cancel()
    with pytest.raises(errors.Cancelled):
        await checking.wait()
    for node in ("blog", "other"):
        assert (await cache.node(SERVICE, node))["state"] == "stale"
    service.release()
    cache.house.revalidation.wake()
    await cache.idle()
    for node in ("blog", "other"):
        assert (await cache.node(SERVICE, node))["state"] == "live"
        assert "missed" in await cache.ids(SERVICE, node, policy="cache")


async def test_subscription_that_can_t_be_made_again_is_said(cache: Any, world: World) -> None:
    world.services[SERVICE].configure("other", access_model="whitelist")

    said = await checked(cache)

    assert said == f"{SERVICE} no longer listed 1 subscription; 1 of them could not be made again."
    assert (await cache.node(SERVICE, "other"))["state"] == "denied"


async def test_offline_the_services_are_not_asked(cache: Any, world: World) -> None:
    world.services[SERVICE].drop_subscription("blog", ALICE)
    await cache.house.accounts.get(ALICE).disconnect()

    assert await checked(cache) == "Nothing is wrong."


async def test_service_that_does_not_answer_costs_nothing_but_time(cache: Any, world: World) -> None:
    world.services[SERVICE].fail_next("feature-not-implemented", request="subscriptions")

    assert await checked(cache) == "Nothing is wrong."


async def test_progress_counts_the_steps(cache: Any) -> None:
    job = cache.house.upkeep.check()
    await job.wait()

    assert (job.kind, job.done, job.total) == ("check", 6, 6)


@pytest.mark.sqlite
async def test_file_that_can_t_be_repaired_is_said_and_looked_at_at_the_next_start(cache: Any, tmp_path: Path) -> None:
    file = tmp_path / "cache.sqlite3"
    await cache.store.maintain(lambda driver: driver.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
    with sqlite3.connect(file) as reader:
        (root,) = reader.execute("SELECT rootpage FROM sqlite_master WHERE name = 'flag'").fetchone()
        (size,) = reader.execute("PRAGMA page_size").fetchone()
    reader.close()
    with file.open("r+b") as stream:
        stream.seek((root - 1) * size)
        stream.write(b"\xff" * size)

    with pytest.raises(JobFailed, match=r"The database is damaged: .*Restart the daemon") as failed:
        await checked(cache)

    assert failed.value.name == errors.DatabaseError.dbus_name
    assert (tmp_path / "cache.sqlite3.suspect").exists()
    assert any("damaged" in line for line in cache.failures())


async def test_a_server_that_is_lost_is_not_taken_for_a_damaged_one(
    tmp_path: Path, postgresql: PostgreSQL, template: str
) -> None:
    name = postgresql.create(template)
    cache = await Cached(World(), tmp_path, url=postgresql.url(name)).start(online=False)
    postgresql.execute("BEGIN; LOCK TABLE analyser", name)
    checking = cache.house.upkeep.check()
    lose = "SELECT pid, pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'relation' AND NOT granted"
    lost: set[int] = set()
    # One that had waited for work, and then a new one.
    while len(lost) < 2:
        lost.update(pid for pid, _ in postgresql.execute(lose, name))
        await asyncio.sleep(0.01)
    postgresql.execute("COMMIT", name)

    with pytest.raises(JobFailed, match="The database can't be reached"):
        await checking.wait()

    assert not any("damaged" in line for line in cache.failures())
    await cache.stop()
    postgresql.drop(name)


async def test_compaction_is_a_job(cache: Any) -> None:
    job = cache.house.upkeep.compact()

    assert (await job.wait()).endswith("bytes were given back.")
    assert job.kind == "compact"
    assert len(await cache.ids(SERVICE, policy="cache")) == 3


async def test_statistics_tell_of_the_daemon_too(cache: Any) -> None:
    found = await cache.house.upkeep.statistics()

    assert (found["nodes"], found["items"], found["jobs"], found["recovered-from"]) == (2, 6, 0, "")
    assert found["started"] == cache.clock.now


async def test_one_that_is_made_again_while_another_is_checked_is_still_the_daemon_s(cache: Any, world: World) -> None:
    service = world.services[SERVICE]
    for node in ("blog", "other"):
        service.drop_subscription(node, ALICE)
    service.hold()
    checking = cache.house.upkeep.check()
    await reaching(service, "subscriptions")
    service.release(1)
    await service.holding(1)
    syncing = await cache.house.sync.start(Address(ALICE, SERVICE, "other"), False, "", "")
    while not syncing.finished:
        await world.settle()
        service.release(9, request="subscriptions")
        service.release(9, node="other")
    assert not checking.finished
    service.release()
    await checking.wait()
    await cache.house.removal.purge(PurgeFilter(nodes=("other",), forget=True)).wait()
    assert not service.node("other").subscribed(ALICE)


async def checked_beside(syncing: Job, cache: Any, service: Service) -> None:
    """Check, whose question for the subscriptions is answered before a synchronisation whose request is held."""
    checking = cache.house.upkeep.check()
    await service.holding(2)
    service.release(1, request="subscriptions")
    service.release()
    await syncing.wait()
    await checking.wait()


async def test_one_that_a_synchronisation_makes_again_while_its_service_is_asked_is_still_there(
    cache: Any, world: World
) -> None:
    service = world.services[SERVICE]
    service.drop_subscription("other", ALICE)
    service.hold()
    syncing = await cache.house.sync.start(Address(ALICE, SERVICE, "other"), False, "", "")
    await reaching(service, "subscribe")
    await checked_beside(syncing, cache, service)
    assert (await cache.node(SERVICE, "other"))["subscribed"]
    await cache.house.removal.purge(PurgeFilter(nodes=("other",), forget=True)).wait()
    assert not service.node("other").subscribed(ALICE)


async def test_one_that_ends_while_a_synchronisation_fetches_its_node_is_made_again(cache: Any, world: World) -> None:
    service = world.services[SERVICE]
    service.hold()
    syncing = await cache.house.sync.start(Address(ALICE, SERVICE, "other"), False, "", "")
    await reaching(service, "get_items")
    service.drop_subscription("other", ALICE)
    await checked_beside(syncing, cache, service)
    assert service.node("other").subscribed(ALICE)
    assert (await cache.node(SERVICE, "other"))["subscribed"]

"""Gaps: what was missed while there was no session or no daemon, and what becomes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pubsub_cached import errors
from pubsub_cached.cache import jitter
from pubsub_cached.cache.accounts.account import Account
from pubsub_cached.cache.revalidation import new_sessions, revalidation
from pubsub_cached.store.accounts import schedule
from pubsub_cached.xmpp.fake import EJABBERD, Profile, World
from pubsub_cached.xmpp.port import SubscriptionEvent
from tests.support.cached import ALICE, ENTRY, Make

from .blog import BLOG, MICROBLOG, PROFILES, PUBSUB, followed, freshness, later, local, writer_busy


def fails_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The database fails the next time that the schedule is asked so."""
    read, failures = getattr(schedule, name), [errors.DatabaseError("The server has gone.")]

    def asked(*arguments: Any) -> list[schedule.Entry]:
        if failures:
            raise failures.pop()
        found: list[schedule.Entry] = read(*arguments)
        return found

    monkeypatch.setattr(schedule, name, asked)


class TestGaps:
    @PROFILES
    async def test_what_was_missed_is_found_after_a_new_session(self, cached: Make, profile: Profile) -> None:
        """
        coherence, Ladder: 5 mark and sweep
        """
        world = World()
        cache, service = await followed(cached, world, profile)
        world.cut(ALICE)
        await cache.idle()
        service.publish(MICROBLOG, "missed", ENTRY.format("missed"))
        service.publish(MICROBLOG, "i2", ENTRY.format("changed"))
        service.retract(MICROBLOG, "i1", notify=True)
        world.restore(ALICE)
        await cache.idle()
        assert await local(cache) == {item.id: item.payload for item in service.items(MICROBLOG)}
        assert await freshness(cache) == "live"
        assert cache.removed() == ["i1"]

    @PROFILES
    async def test_what_was_missed_was_published_before_what_is_heard_since(
        self, cached: Make, profile: Profile
    ) -> None:
        cache, service = await followed(cached, profile=profile)
        cache.world.cut(ALICE)
        await cache.idle()
        service.publish(MICROBLOG, "i1", ENTRY.format("missed"))
        cache.world.restore(ALICE)
        service.publish(MICROBLOG, "i2", ENTRY.format("heard"))
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i2", "i1", "i0"]

    async def test_what_came_before_a_gap_and_is_applied_after_it_was_published_before_what_was_missed(
        self, cached: Make
    ) -> None:
        cache, service = await followed(cached, profile=EJABBERD)
        service.configure(MICROBLOG, send_last="never")
        await cache.idle()
        with writer_busy(cache):
            service.publish(MICROBLOG, "i2", ENTRY.format("heard"))
            # Waits for what was heard to be written, and all that follows waits for this.
            cache.world.inject(ALICE, SubscriptionEvent(service=PUBSUB, node=MICROBLOG, state="subscribed"))
            service.publish(MICROBLOG, "i1", ENTRY.format("heard"))
            await cache.world.settle()
            cache.world.cut(ALICE)
            await cache.world.settle()
            service.publish(MICROBLOG, "i0", ENTRY.format("missed"))
            service.down()
            cache.world.restore(ALICE)
            await cache.world.settle()
        await cache.idle()
        service.up()
        await later(cache, hours=1)
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i0", "i1", "i2"]

    async def test_a_resumed_stream_goes_on_without_a_single_request(self, cached: Make) -> None:
        """
        coherence, Ladder: 0 stream resumed
        """
        world = World()
        cache, service = await followed(cached, world)
        asked = world.count()
        world.cut(ALICE)
        await cache.idle()
        service.publish(MICROBLOG, "missed", ENTRY.format("missed"))
        world.resume(ALICE)
        await cache.idle()
        assert "missed" in await local(cache)
        assert world.count() == asked
        assert await freshness(cache) == "live"

    async def test_a_new_session_with_nothing_new_changes_nothing(self, cached: Make) -> None:
        world = World()
        cache, _ = await followed(cached, world)
        before = cache.house.node_reads
        _, _, revision, _ = await before.changes(cache.house.accounts.resolve("", PUBSUB, MICROBLOG), 0, 500)
        world.cut(ALICE)
        world.restore(ALICE)
        await cache.idle()
        assert [told for told in cache.told if len(told) == 4] == []
        address = cache.house.accounts.resolve("", PUBSUB, MICROBLOG)
        changed, removed, _, complete = await before.changes(address, revision, 500)
        assert (changed, removed, complete) == ([], [], True)

    async def test_a_node_that_vanished_meanwhile_is_gone(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        world.cut(ALICE)
        await cache.idle()
        service.delete(MICROBLOG)
        world.restore(ALICE)
        await cache.idle()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "gone"
        assert sorted(cache.removed()) == ["i0", "i1", "i2"]

    async def test_a_node_that_may_not_be_read_any_more_is_hidden_at_once(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        world.cut(ALICE)
        await cache.idle()
        service.configure(MICROBLOG, access_model="whitelist")
        world.restore(ALICE)
        await cache.idle()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "denied"
        with pytest.raises(errors.Denied):
            await cache.read(PUBSUB, MICROBLOG, policy="cache")
        assert cache.removed() == []

    async def test_a_service_that_is_down_keeps_its_nodes_flagged_and_readable(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        service.down()
        world.cut(ALICE)
        world.restore(ALICE)
        await cache.idle()
        items, _, info = await cache.read(PUBSUB, MICROBLOG)
        assert len(items) == 3
        assert (info["source"], info["freshness"]) == ("cache", "stale")
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "unreachable"

    async def test_what_is_kept_is_validated_once_the_database_can_be_read(
        self, cached: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = World()
        cache, service = await followed(cached, world)
        monkeypatch.setattr(new_sessions, "AGAIN", 0)
        fails_once(monkeypatch, "of_account")
        world.cut(ALICE)
        service.publish(MICROBLOG, "missed", ENTRY.format("missed"))
        world.restore(ALICE)
        await cache.idle()
        items, _, info = await cache.read(PUBSUB, MICROBLOG, policy="cache")
        assert (items[0]["id"], info["freshness"]) == ("missed", "live")

    async def test_a_failed_synchronisation_is_tried_again_later(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        service.down()
        world.cut(ALICE)
        world.restore(ALICE)
        await cache.idle()
        service.up()
        cache.clock.advance(hours=1)
        cache.house.revalidation.wake()
        await cache.idle()
        assert await freshness(cache) == "live"

    async def test_it_is_tried_again_as_soon_as_that_is_due(
        self, cached: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jitter, "RETRY_FIRST", 10)
        monkeypatch.setattr(revalidation, "LEAST_SLEEP", 0)
        world = World()
        cache, service = await followed(cached, world)
        service.down()
        world.cut(ALICE)
        world.restore(ALICE)
        await cache.idle()
        service.up()
        cache.clock.advance(seconds=1)
        async with asyncio.timeout(60):
            while await freshness(cache) != "live":
                await asyncio.sleep(0.01)

    async def test_what_is_due_is_looked_at_again_soon_where_the_database_failed(
        self, cached: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(revalidation, "FAILED", 0)
        monkeypatch.setattr(revalidation, "LEAST_SLEEP", 0)
        world = World()
        cache, _ = await followed(cached, world)
        fails_once(monkeypatch, "due")
        asked = world.count("get_items", PUBSUB, MICROBLOG)
        cache.clock.advance(days=8)
        cache.house.revalidation.wake()
        async with asyncio.timeout(60):
            while world.count("get_items", PUBSUB, MICROBLOG) == asked:
                await asyncio.sleep(0.01)
        await cache.idle()


class TestRestart:
    async def test_what_was_stored_is_served_offline_from_the_first_moment(self, cached: Make) -> None:
        cache, _ = await followed(cached, World())
        await cache.restart(online=False)
        items, _, info = await cache.read(PUBSUB, MICROBLOG)
        assert len(items) == 3
        assert (info["source"], info["freshness"]) == ("cache", "offline")

    async def test_nothing_is_called_live_before_it_was_validated(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        service.hold()
        await cache.stop()
        await cache.start(online=False)
        await cache.house.connect()
        await world.settle()
        await cache.house.revalidation.settled()
        assert await freshness(cache) == "stale"
        service.release()
        await cache.idle()
        assert await freshness(cache) == "live"

    async def test_changes_made_meanwhile_are_found(self, cached: Make) -> None:
        world = World()
        cache, service = await followed(cached, world)
        await cache.stop()
        service.publish(MICROBLOG, "missed", ENTRY.format("missed"))
        await cache.start()
        await cache.idle()
        assert "missed" in await local(cache)


async def test_a_session_that_is_over_takes_nothing_from_what_the_next_has_validated(cached: Make) -> None:
    cache, _ = await followed(cached)
    sessions, let_go = cache.house.sessions, asyncio.Event()
    compare = sessions.roster_came

    async def slowly(account: Account) -> None:
        sessions.roster_came = compare
        await let_go.wait()

    sessions.roster_came = slowly
    for _ in range(2):
        cache.world.cut(ALICE)
        cache.world.restore(ALICE)
        await cache.world.settle()
    assert (await cache.house.sync.run(BLOG)).state == "live"
    let_go.set()
    await cache.idle()
    assert await freshness(cache) == "live"

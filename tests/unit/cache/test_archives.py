"""Rung 2 of the ladder: what a node's archive holds after the last that is known, and who is believed to have one."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from pubsub_cached.cache.nodes.facts import ENOUGH
from pubsub_cached.cache.sync.archives import QUESTIONS_AT_MOST
from pubsub_cached.cache.sync.rungs import ARCHIVE_PAGES
from pubsub_cached.xmpp.fake import LIBERVIA, PROSODY, Profile, World
from tests.support.cached import ALICE, Cached, Make
from tests.unit.cache.test_rungs import ADDRESS, Shelf, post, shelf

from .blog import MICROBLOG, freshness

BOB = "bob@example.org"
# An archive of all that was ever published, with ids of its own, as XEP-0313 has it of messages.
PUBLISHES = msgspec.structs.replace(LIBERVIA, archive="publishes", normal=False)
# Libervia itself sends again what was missed while offline, which is not what is tried here.
ITEMS = msgspec.structs.replace(LIBERVIA, normal=False)


async def archive_shelf(cached: Make, profile: Profile = ITEMS, **how: Any) -> Shelf:
    """A cache that has seen often enough what a service's archive holds."""
    it = await shelf(cached, profile, **how)
    for _ in range(ENOUGH):
        await compare(it.cache)
    return it


async def compare(cache: Cached) -> None:
    job = await cache.house.sync.start(ADDRESS, True, "", "")
    await cache.idle()
    await job.wait()
    cache.told.clear()


async def _held_at_the_archive(it: Shelf) -> None:
    """A new session has come to the point where the archive is asked, and waits for the service."""
    it.service.hold()
    it.world.restore(ALICE)
    while it.world.requests[-1].kind != "get_archive" or not it.service.held:
        it.service.release(1)
        await it.world.settle()


class TestReadingOn:
    async def test_nothing_new_is_one_request(self, cached: Make) -> None:
        """
        coherence, Ladder: 2 MAM on the node, `after` the last known archive id
        """
        it = await archive_shelf(cached)
        it.lose()
        await it.gap()
        assert it.asked() == ["get_archive"]
        await it.is_right()
        assert it.cache.told[-1:] == [(ADDRESS, "live")]

    @pytest.mark.parametrize("id_", ["missed", "i05", "i39", "i33"])
    async def test_a_missed_publish_is_one_request(self, cached: Make, id_: str) -> None:
        it = await archive_shelf(cached)
        it.lose()
        it.service.publish(MICROBLOG, id_, post("new"))
        await it.gap()
        assert it.asked() == ["get_archive"]
        await it.is_right()
        assert (await it.cache.ids(it.service.jid, MICROBLOG))[0] == id_

    @pytest.mark.parametrize("id_", ["i03", "i00", "i31", "i38"])
    async def test_a_missed_removal_is_found(self, cached: Make, id_: str) -> None:
        """By the count, which is right at once for those that would be in the page."""
        it = await archive_shelf(cached)
        it.lose()
        it.service.retract(MICROBLOG, id_)
        await it.gap()
        assert it.asked() == (["get_archive", "disco_items"] if id_ in ("i00", "i03") else ["get_archive"])
        await it.is_right()
        assert it.cache.removed() == [id_]

    async def test_more_new_posts_than_a_look_at_the_newest_shows(self, cached: Make) -> None:
        it = await archive_shelf(cached)
        it.lose()
        for number in range(100):
            it.service.publish(MICROBLOG, f"n{number}", post(number))
        it.service.retract(MICROBLOG, "i07", "n50")
        await it.gap()
        assert set(it.asked()) == {"get_archive", "disco_items"}
        assert len(it.asked()) <= ARCHIVE_PAGES + 1
        await it.is_right()

    async def test_more_than_is_worth_reading_is_fetched_without_another_look(self, cached: Make) -> None:
        it = await archive_shelf(cached)
        it.lose()
        for number in range(100 * ARCHIVE_PAGES):
            it.service.publish(MICROBLOG, f"n{number}", post(number), notify=False)
        await it.gap()
        assert it.asked()[: ARCHIVE_PAGES + 1] == ["get_archive"] * ARCHIVE_PAGES + ["get_items"]
        assert "disco_items" not in it.asked()
        assert await freshness(it.cache) == "live"

    async def test_as_many_posts_as_were_removed_do_not_deceive_the_count(self, cached: Make) -> None:
        it = await archive_shelf(cached)
        it.lose()
        it.service.retract(MICROBLOG, "i03", "i04")
        it.service.publish(MICROBLOG, "n1", post("n1"))
        it.service.publish(MICROBLOG, "n2", post("n2"))
        await it.gap()
        await it.is_right()

    async def test_where_it_was_read_to_is_published_again(self, cached: Make) -> None:
        """What comes after that item now is not all that was missed."""
        it = await archive_shelf(cached)
        newest = (await it.cache.ids(it.service.jid, MICROBLOG, policy="cache"))[:10]
        it.lose()
        it.service.publish(MICROBLOG, "i02", post("edited"))
        for id_ in newest[::-1]:
            it.service.publish(MICROBLOG, id_, post(f"edited {id_}"))
        it.service.publish(MICROBLOG, "n1", post("n1"))
        await it.gap()
        await it.is_right()

    async def test_where_it_was_read_to_is_removed(self, cached: Make) -> None:
        it = await archive_shelf(cached)
        newest = (await it.cache.ids(it.service.jid, MICROBLOG, policy="cache"))[:10]
        it.lose()
        it.service.retract(MICROBLOG, *newest)
        it.service.publish(MICROBLOG, "i02", post("edited"))
        await it.gap()
        await it.is_right()

    @pytest.mark.parametrize("how", ["edited", "edited in order", "as they were", "as they were, in order"])
    async def test_where_one_page_ends_may_be_elsewhere_before_the_next_is_read(self, cached: Make, how: str) -> None:
        it = await archive_shelf(cached, count=80)
        it.lose()
        # The last ones first, so that none of those that were the newest is missed for another reason.
        for number in (30, 31, *range(30), *range(32, 60)):
            it.service.publish(MICROBLOG, f"i{number:02}", post(f"edited {number}"))
        await _held_at_the_archive(it)
        it.service.release(1)
        await it.world.settle()
        (second,) = it.service.held
        assert second.kind == "get_archive"
        last = it.service.node(MICROBLOG).archive(second.args["rsm"]).ids[0]  # type: ignore[union-attr]
        places = {item.id: item.payload for item in it.service.items(MICROBLOG)}
        for id_ in sorted([second.args["rsm"].after, last], reverse="order" not in how):
            it.service.publish(MICROBLOG, id_, places[id_] if "were" in how else post("meanwhile"))
        it.service.publish(MICROBLOG, "i40", post("meanwhile"))
        it.service.release()
        await it.cache.idle()
        await it.is_right()

    async def test_what_is_published_meanwhile_is_kept(self, cached: Make) -> None:
        it = await archive_shelf(cached)
        it.lose()
        await _held_at_the_archive(it)
        it.service.release(1)
        it.service.publish(MICROBLOG, "late", post("late"))
        it.service.retract(MICROBLOG, "i07")
        await it.world.settle()
        it.service.release()
        await it.cache.idle()
        await it.is_right()

    async def test_a_window_stays_one_and_is_right(self, cached: Make) -> None:
        it = await archive_shelf(cached, items_per_node=25)
        it.lose()
        it.service.publish(MICROBLOG, "missed", post("missed"))
        it.service.retract(MICROBLOG, "i20")
        await it.gap()
        assert it.asked() == ["get_archive", "disco_items"]
        truth = [item.id for item in it.service.items(MICROBLOG)]
        found = await it.cache.ids(it.service.jid, MICROBLOG, policy="cache", limit=500)
        assert found == truth[::-1][: len(found)]
        assert (await it.cache.node(it.service.jid, MICROBLOG))["completeness"] == "window"

    async def test_what_was_observed_outlives_the_daemon(self, cached: Make) -> None:
        it = await archive_shelf(cached)
        await it.cache.stop()
        it.service.publish(MICROBLOG, "missed", post("missed"))
        before = len(it.world.requests)
        await it.cache.start()
        kinds = [request.kind for request in it.world.requests[before:]]
        assert kinds.count("get_archive") == 1
        assert "get_items" not in kinds
        await it.is_right()


class TestWhoIsBelieved:
    async def test_an_archive_seen_once_is_not(self, cached: Make) -> None:
        it = await shelf(cached, ITEMS)
        assert it.cache.house.sync.facts.of(ADDRESS).archived == 1
        it.lose()
        await it.gap()
        assert it.asked() == ["get_items"]

    async def test_one_that_is_not_announced_is_not_asked(self, cached: Make) -> None:
        it = await archive_shelf(cached, PROSODY)
        assert it.world.count("get_archive") == 0

    async def test_a_small_node_gives_no_occasion(self, cached: Make) -> None:
        it = await archive_shelf(cached, long=False)
        assert it.world.count("get_archive") == 0

    async def test_an_account_s_archive_is_the_person_s_and_not_asked(self, cached: Make) -> None:
        """
        It is announced there, and answers for any node that it holds nothing.
        """
        world = World()
        world.account(ALICE, pep=LIBERVIA)
        contact = world.account(BOB, pep=LIBERVIA).pep
        world.befriend(ALICE, BOB)
        node = contact.create_node(MICROBLOG, max_items=1000)
        own = world.services[ALICE].create_node(MICROBLOG, max_items=1000)
        for service in (contact, world.services[ALICE]):
            assert "urn:xmpp:mam:2" in service.profile.advertised
            for number in range(40):
                service.publish(MICROBLOG, f"i{number}", post(number))
        cache: Cached = await cached(world)
        for jid in (BOB, ALICE):
            await cache.keep(jid, MICROBLOG)
        world.cut(ALICE)
        world.restore(ALICE)
        await cache.idle()
        assert world.count("get_archive") == 0
        assert len(await cache.ids(BOB, MICROBLOG, policy="cache", limit=500)) == len(node.items())
        assert len(await cache.ids(ALICE, MICROBLOG, policy="cache", limit=500)) == len(own.items())

    async def test_an_archive_of_publishes_is_none_of_items(self, cached: Make) -> None:
        """It holds what was retracted since, and its ids are not known of what is stored."""
        it = await archive_shelf(cached, PUBLISHES)
        assert it.cache.house.sync.facts.of(ADDRESS).archived == 0
        it.lose()
        it.service.publish(MICROBLOG, "retracted", post("retracted"))
        it.service.retract(MICROBLOG, "retracted")
        await it.gap()
        assert "get_archive" not in it.asked()
        await it.is_right()

    async def test_one_that_can_t_be_made_out_is_not_asked_for_ever(self, cached: Make) -> None:
        it = await shelf(cached, PUBLISHES)
        for _ in range(QUESTIONS_AT_MOST + 2):
            await compare(it.cache)
        assert it.world.count("get_archive") == QUESTIONS_AT_MOST

    @pytest.mark.parametrize("archive", ["none", "publishes", "unanswered"])
    async def test_a_service_that_changes_its_ways_is_found_out(
        self, cached: Make, archive: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        it = await archive_shelf(cached)
        if archive == "unanswered":
            it.service.ignore_next(request="get_archive")
        else:
            changed = msgspec.structs.replace(ITEMS, archive=archive)
            it.service.profile = it.service.node(MICROBLOG).profile = changed
        it.lose()
        it.service.publish(MICROBLOG, "missed", post("missed"))
        with caplog.at_level(logging.INFO, "pubsub_cached"):
            await it.gap()
        assert it.asked() == ["get_archive", "get_items"]
        await it.is_right()
        # What it does not know may only have been removed.
        assert it.cache.house.sync.facts.archives(ADDRESS) is (archive == "publishes")

    async def test_it_is_of_no_use_where_overwritten_items_stay_in_their_place(self, cached: Make) -> None:
        it = await archive_shelf(cached, msgspec.structs.replace(ITEMS, moves=False))
        it.lose()
        it.service.publish(MICROBLOG, "i05", post("edited"))
        await it.gap()
        assert "get_archive" not in it.asked()
        await it.is_right()

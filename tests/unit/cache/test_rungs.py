"""The revalidation ladder: the cheapest look that shows what was missed, and only where it can be believed."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.nodes.facts import ENOUGH
from pubsub_cached.cache.sync.rungs import NEWEST_AT_MOST
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Profile, Service, World
from pubsub_cached.xmpp.port import ItemsEvent, ItemsPage
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, PUBSUB, freshness, local, reaching, writer_busy

ADDRESS = Address(ALICE, PUBSUB, MICROBLOG)
MOVING = pytest.mark.parametrize("profile", [PROSODY, LIBERVIA], ids=["prosody", "libervia"])
ANY = pytest.mark.parametrize("profile", [PROSODY, EJABBERD, LIBERVIA], ids=["prosody", "ejabberd", "libervia"])

LONG = "x" * 3000


def post(text: object, *, long: bool = True) -> str:
    return ENTRY.format(f"{text}{LONG if long else ''}")


class Shelf:
    """A cache that follows a blog of forty posts, and has seen where the service puts overwritten ones."""

    def __init__(self, cache: Cached, service: Service, world: World) -> None:
        self.cache, self.service, self.world = cache, service, world
        self._from = 0

    async def gap(self) -> None:
        """A new session begins; everything that it leads to is done."""
        self._from = len(self.world.requests)
        self.world.restore(ALICE)
        await self.cache.idle()

    def lose(self) -> None:
        self.world.cut(ALICE)

    def asked(self) -> list[str]:
        """Kinds of the requests since the last gap began, without those that look after subscriptions."""
        kinds = [request.kind for request in self.world.requests[self._from :]]
        return [kind for kind in kinds if kind not in ("subscriptions", "subscribe")]

    async def is_right(self) -> None:
        """The cache says that it is live, and holds what the service holds."""
        truth = {item.id: item.payload for item in self.service.items(MICROBLOG)}
        assert await local(self.cache) == truth
        assert await freshness(self.cache) == "live"


async def shelf(
    cached: Make, profile: Profile, *, known: bool = True, long: bool = True, count: int = 40, **limits: Any
) -> Shelf:
    world = World()
    service = world.service(PUBSUB, profile=profile)
    service.create_node(MICROBLOG, max_items=10_000)
    for number in range(count):
        service.publish(MICROBLOG, f"i{number:02}", post(number, long=long))
    cache: Cached = await cached(world, **limits)
    await cache.keep(PUBSUB, MICROBLOG)
    for number in range(30, 30 + ENOUGH if known else 30):
        service.publish(MICROBLOG, f"i{number}", post(f"edited {number}", long=long))
        await cache.idle()
    cache.told.clear()
    return Shelf(cache, service, world)


class TestLookingAtTheNewest:
    @MOVING
    async def test_nothing_new_is_seen_at_the_newest_and_the_count_or_ids(self, cached: Make, profile: Profile) -> None:
        """
        coherence, Ladder: 3 newest k + RSM count
        coherence, Ladder: 4 ids by disco#items, as a set
        """
        it = await shelf(cached, profile)
        it.lose()
        await it.gap()
        assert it.asked() == (["get_items"] if profile.rsm else ["get_items", "disco_items"])
        await it.is_right()

    @MOVING
    async def test_a_missed_post_is_found(self, cached: Make, profile: Profile) -> None:
        it = await shelf(cached, profile)
        it.lose()
        it.service.publish(MICROBLOG, "missed", post("missed"))
        await it.gap()
        assert "disco_info" not in it.asked()
        await it.is_right()

    @MOVING
    async def test_a_missed_edit_of_an_old_post_is_found(self, cached: Make, profile: Profile) -> None:
        it = await shelf(cached, profile)
        it.lose()
        it.service.publish(MICROBLOG, "i05", post("edited"))
        await it.gap()
        assert set(it.asked()) == ({"get_items"} if profile.rsm else {"get_items", "disco_items"})
        await it.is_right()
        assert (await it.cache.ids(PUBSUB, MICROBLOG))[0] == "i05"

    async def test_an_old_edit_behind_a_republication_of_the_newest_is_found_by_the_order_of_the_ids(
        self, cached: Make
    ) -> None:
        it = await shelf(cached, PROSODY)
        newest = it.service.items(MICROBLOG)[-NEWEST_AT_MOST:]
        it.lose()
        it.service.publish(MICROBLOG, "i05", post("edited"))
        for item in newest:
            it.service.publish(MICROBLOG, item.id, item.payload)
        await it.gap()
        await it.is_right()

    async def test_ids_in_an_order_of_their_own_are_a_set(self, cached: Make) -> None:
        it = await shelf(cached, msgspec.structs.replace(PROSODY, disco_order="sorted"))
        it.lose()
        it.service.publish(MICROBLOG, "i05", post("edited"))
        it.service.publish(MICROBLOG, "i15x", post("missed"))
        it.service.retract(MICROBLOG, "i20")
        await it.gap()
        assert it.asked() == ["get_items", "disco_items"]
        await it.is_right()

    @MOVING
    @pytest.mark.parametrize("which", ["i03", "i39", "i00"])
    async def test_a_missed_removal_is_found(self, cached: Make, profile: Profile, which: str) -> None:
        it = await shelf(cached, profile)
        it.lose()
        it.service.retract(MICROBLOG, which)
        await it.gap()
        assert "disco_info" not in it.asked()
        await it.is_right()
        assert it.cache.removed() == [which]

    @MOVING
    async def test_a_post_for_each_removed_one_does_not_deceive_the_count(self, cached: Make, profile: Profile) -> None:
        it = await shelf(cached, profile)
        it.lose()
        it.service.retract(MICROBLOG, "i03", "i04")
        it.service.publish(MICROBLOG, "n1", post("n1"))
        it.service.publish(MICROBLOG, "n2", post("n2"))
        await it.gap()
        await it.is_right()

    @MOVING
    async def test_more_new_posts_than_are_looked_at_are_all_found(self, cached: Make, profile: Profile) -> None:
        it = await shelf(cached, profile)
        it.lose()
        for number in range(30):
            it.service.publish(MICROBLOG, f"n{number}", post(f"n{number}"))
        await it.gap()
        await it.is_right()

    @MOVING
    async def test_what_is_published_meanwhile_is_kept(self, cached: Make, profile: Profile) -> None:
        it = await shelf(cached, profile)
        it.lose()
        it.service.hold()
        it.world.restore(ALICE)
        await it.world.settle()
        while not any(request.kind in ("get_items", "disco_items") for request in it.service.held):
            it.service.release(1)
            await it.world.settle()
        it.service.release(1)
        it.service.publish(MICROBLOG, "late", post("late"))
        it.service.retract(MICROBLOG, "i07")
        await it.world.settle()
        it.service.release()
        await it.cache.idle()
        await it.is_right()
        assert it.cache.house.sync.facts.moves(ADDRESS)

    async def test_a_window_stays_one_and_is_right(self, cached: Make) -> None:
        it = await shelf(cached, PROSODY, items_per_node=25)
        it.lose()
        it.service.publish(MICROBLOG, "missed", post("missed"))
        it.service.retract(MICROBLOG, "i20")
        await it.gap()
        truth = [item.id for item in it.service.items(MICROBLOG)]
        found = await it.cache.ids(PUBSUB, MICROBLOG, policy="cache", limit=500)
        assert found == truth[::-1][: len(found)]
        assert (await it.cache.node(PUBSUB, MICROBLOG))["completeness"] == "window"

    async def test_a_removal_at_the_end_of_a_window_is_found(self, cached: Make) -> None:
        it = await shelf(cached, PROSODY, items_per_node=25)
        oldest = (await it.cache.ids(PUBSUB, MICROBLOG, policy="cache", limit=500))[-1]
        it.lose()
        it.service.retract(MICROBLOG, oldest)
        await it.gap()
        assert it.cache.removed() == [oldest]

    @MOVING
    async def test_a_look_that_shows_no_ids_shows_nothing(self, cached: Make, profile: Profile) -> None:
        it = await shelf(cached, profile)
        it.lose()
        session: Any = it.cache.house.accounts.get(ALICE).session
        get_items = session.get_items

        async def nameless(*arguments: object, **options: object) -> ItemsPage:
            session.get_items = get_items
            page = await get_items(*arguments, **options)
            return msgspec.structs.replace(
                page, items=tuple(msgspec.structs.replace(item, id="") for item in page.items)
            )

        session.get_items = nameless
        it.service.publish(MICROBLOG, "missed", post("missed"))
        await it.gap()
        await it.is_right()


class TestSmallNodes:
    """What fits into one small answer is fetched as a whole, whoever the service is."""

    @ANY
    async def test_one_request_tells_everything(self, cached: Make, profile: Profile) -> None:
        it = await shelf(cached, profile, known=False, long=False)
        it.lose()
        it.service.publish(MICROBLOG, "i05", post("edited", long=False))
        it.service.publish(MICROBLOG, "missed", post("missed", long=False))
        await it.gap()
        # Libervia replays what was missed, which may begin the look anew.
        assert set(it.asked()) == {"get_items"}
        await it.is_right()

    @ANY
    async def test_a_missed_removal_is_found(self, cached: Make, profile: Profile) -> None:
        it = await shelf(cached, profile, known=False, long=False)
        it.lose()
        it.service.retract(MICROBLOG, "i05")
        await it.gap()
        assert "disco_info" not in it.asked()
        await it.is_right()

    @ANY
    async def test_many_new_posts_are_found(self, cached: Make, profile: Profile) -> None:
        it = await shelf(cached, profile, known=False, long=False)
        it.lose()
        for number in range(30):
            it.service.publish(MICROBLOG, f"n{number}", post(number, long=False))
        await it.gap()
        await it.is_right()

    async def test_a_service_that_cuts_its_replies_loses_nothing(self, cached: Make) -> None:
        it = await shelf(cached, msgspec.structs.replace(PROSODY, reply_items=10), known=False, long=False)
        it.lose()
        it.service.publish(MICROBLOG, "missed", post("missed", long=False))
        await it.gap()
        await it.is_right()
        assert it.cache.removed() == []

    async def test_a_larger_window_than_was_asked_for_is_no_end(self, cached: Make) -> None:
        it = await shelf(cached, PROSODY, known=False, long=False, items_per_node=25)
        it.lose()
        it.service.publish(MICROBLOG, "missed", post("missed", long=False))
        await it.gap()
        assert (await it.cache.node(PUBSUB, MICROBLOG))["completeness"] == "window"
        found = await it.cache.ids(PUBSUB, MICROBLOG, policy="cache", limit=500)
        assert found == [item.id for item in it.service.items(MICROBLOG)][:-26:-1]

    async def test_a_reply_that_the_service_has_cut_to_a_window_is_no_end(self, cached: Make) -> None:
        cut = msgspec.structs.replace(PROSODY, reply_items=25)
        it = await shelf(cached, cut, known=False, long=False, items_per_node=25)
        it.lose()
        await it.gap()
        assert (await it.cache.node(PUBSUB, MICROBLOG))["completeness"] == "window"


class TestWhoIsBelieved:
    async def test_an_unknown_service_is_fetched_from(self, cached: Make) -> None:
        it = await shelf(cached, PROSODY, known=False)
        it.lose()
        it.service.publish(MICROBLOG, "i05", post("edited"))
        await it.gap()
        assert it.asked().count("get_items") > 1
        await it.is_right()

    async def test_one_that_leaves_overwritten_items_in_place_is_fetched_from(self, cached: Make) -> None:
        it = await shelf(cached, EJABBERD)
        it.lose()
        it.service.publish(MICROBLOG, "i05", post("edited"))
        await it.gap()
        assert it.asked().count("get_items") > 2
        await it.is_right()

    @ANY
    async def test_where_an_overwritten_item_went_is_seen_in_gaps_too(self, cached: Make, profile: Profile) -> None:
        it = await shelf(cached, profile, known=False)
        for number in range(ENOUGH):
            it.lose()
            it.service.publish(MICROBLOG, f"i{number:02}", post(f"edited {number}"))
            await it.gap()
        assert it.cache.house.sync.facts.moves(ADDRESS) is profile.moves
        await it.is_right()

    @MOVING
    async def test_what_an_event_brought_after_a_gap_shows_nothing_of_it(self, cached: Make, profile: Profile) -> None:
        it = await shelf(cached, profile, known=False, count=3)
        it.lose()
        it.service.publish(MICROBLOG, "i02", post("edited"))
        it.service.publish(MICROBLOG, "new", post("new"))
        it.service.down()
        await it.gap()
        new = it.service.items(MICROBLOG)[-1]
        it.world.inject(ALICE, ItemsEvent(service=PUBSUB, node=MICROBLOG, items=(new,)))
        await it.cache.idle()
        it.service.up()
        # The new one stands behind that which was overwritten, as it was published later.
        await it.cache.house.sync.job(ADDRESS, full=True).wait()
        await it.is_right()
        assert it.cache.house.sync.facts.of(ADDRESS).kept == 0

    @ANY
    async def test_what_was_observed_outlives_the_daemon(self, cached: Make, profile: Profile) -> None:
        it = await shelf(cached, profile)
        before = it.cache.house.sync.facts.of(ADDRESS)
        await it.cache.restart()
        await it.cache.idle()
        assert it.cache.house.sync.facts.moves(ADDRESS) is profile.moves
        assert it.cache.house.sync.facts.of(ADDRESS).kept >= before.kept

    async def test_a_reset_forgets_what_was_observed(self, cached: Make) -> None:
        it = await shelf(cached, PROSODY)
        await it.cache.house.removal.reset().wait()
        await it.cache.restart()
        assert not it.cache.house.sync.facts.moves(ADDRESS)

    async def test_a_service_that_changes_its_ways_is_found_out_and_fetched_from(
        self, cached: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        it = await shelf(cached, PROSODY)
        in_place = msgspec.structs.replace(PROSODY, moves=False)
        it.service.profile = it.service.node(MICROBLOG).profile = in_place
        with caplog.at_level(logging.WARNING, "pubsub_cached"):
            it.lose()
            it.service.publish(MICROBLOG, "i05", post("edited"))
            await it.gap()
            job = await it.cache.house.sync.start(ADDRESS, True, "", "")
            await it.cache.idle()
            await job.wait()
        assert "in its place" in caplog.text
        assert not it.cache.house.sync.facts.moves(ADDRESS)
        it.lose()
        it.service.publish(MICROBLOG, "i06", post("edited"))
        await it.gap()
        await it.is_right()

    async def test_an_unknown_item_among_the_old_ones_is_a_contradiction(
        self, cached: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        it = await shelf(cached, PROSODY)
        it.lose()
        it.service.publish(MICROBLOG, "inserted", post("inserted"))
        entries = it.service.node(MICROBLOG).entries
        inserted = entries.pop("inserted")
        it.service.node(MICROBLOG).entries = {"inserted": inserted, **entries}
        with caplog.at_level(logging.WARNING, "pubsub_cached"):
            await it.gap()
        assert "should be among the newest" in caplog.text
        await it.is_right()
        assert not it.cache.house.sync.facts.moves(ADDRESS)

    async def test_a_doubt_about_what_is_stored_is_not_answered_by_a_look(self, cached: Make) -> None:
        it = await shelf(cached, PROSODY)
        before = len(it.world.requests)
        await it.cache.house.distrust.of(ADDRESS, "event")
        await it.cache.idle()
        assert sum(request.kind == "get_items" for request in it.world.requests[before:]) > 1
        await it.is_right()

    @pytest.mark.parametrize("how", ["deleted", "closed"])
    async def test_a_node_that_is_not_shown_when_it_is_asked_where_an_item_went_is_hidden(
        self, cached: Make, how: str
    ) -> None:
        """Nothing was said of it: a refused read outranks what events say, whatever it was for."""
        it = await shelf(cached, EJABBERD, known=False)
        it.service.hold()
        it.service.publish(MICROBLOG, "i05", post("edited"))
        await it.world.settle()
        await it.service.holding(1)
        if how == "deleted":
            it.service.delete(MICROBLOG)
        else:
            it.service.configure(MICROBLOG, access_model="whitelist")
            it.service.set_affiliation(MICROBLOG, ALICE, "outcast")
        it.service.release()
        await it.cache.idle()
        with pytest.raises(errors.NoSuchNode if how == "deleted" else errors.Denied):
            await it.cache.read(it.service.jid, MICROBLOG, policy="cache")


class TestFull:
    async def test_everything_is_fetched_when_that_is_asked_for(self, cached: Make) -> None:
        it = await shelf(cached, PROSODY)
        # What no look at the newest can see, and no event told.
        it.service.publish(MICROBLOG, "i20", post("changed"), notify=False)
        entries = it.service.node(MICROBLOG).entries
        changed = entries.pop("i20")
        names = list(entries)
        it.service.node(MICROBLOG).entries = {
            name: {**entries, "i20": changed}[name] for name in [*names[:20], "i20", *names[20:]]
        }
        job = await it.cache.house.sync.start(ADDRESS, False, "", "")
        await it.cache.idle()
        await job.wait()
        assert "changed" not in (await local(it.cache))["i20"]
        job = await it.cache.house.sync.start(ADDRESS, True, "", "")
        await it.cache.idle()
        await job.wait()
        await it.is_right()

    async def test_who_joins_a_look_and_wants_everything_gets_it(self, cached: Make) -> None:
        it = await shelf(cached, PROSODY)
        before = len(it.world.requests)
        it.service.hold()
        look = await it.cache.house.sync.start(ADDRESS, False, "", "")
        await it.world.settle()
        while not any(request.kind == "get_items" for request in it.service.held):
            it.service.release(1)
            await it.world.settle()
        everything = await it.cache.house.sync.start(ADDRESS, True, "", "")
        await it.world.settle()
        it.service.release()
        await it.cache.idle()
        await look.wait()
        await everything.wait()
        assert sum(request.kind == "get_items" for request in it.world.requests[before:]) == 4

    async def test_who_wants_everything_while_the_end_of_a_look_is_written_down_gets_it(self, cached: Make) -> None:
        it = await shelf(cached, PROSODY)
        it.service.hold()
        it.cache.house.sync.job(ADDRESS, pin=True)
        await reaching(it.service, "get_items")
        with writer_busy(it.cache):
            it.service.release()
            await it.world.settle()
            looked = it.world.count("get_items")
            everything = await it.cache.house.sync.start(ADDRESS, True, "", "")
            await it.world.settle()
        await everything.wait()
        assert it.world.count("get_items") > looked + 1

    async def test_after_the_audit_interval_everything_is_fetched(self, cached: Make) -> None:
        it = await shelf(cached, PROSODY)
        it.lose()
        it.cache.clock.advance(days=8)
        await it.gap()
        assert it.asked().count("get_items") > 1


class TestQuiet:
    @ANY
    @pytest.mark.parametrize("long", [False, True], ids=["small", "large"])
    async def test_a_live_node_of_which_nothing_is_wrong_is_validated_without_a_word(
        self, cached: Make, profile: Profile, long: bool
    ) -> None:
        it = await shelf(cached, profile, long=long)
        revision = it.cache.house.revision
        for full in (False, True):
            it.cache.clock.advance(hours=1)
            job = await it.cache.house.sync.start(ADDRESS, full, "", "")
            await it.cache.idle()
            await job.wait()
            # Pinned by the first one.
            if not full:
                it.cache.told.clear()
                revision = it.cache.house.revision
        it.cache.clock.advance(hours=1)
        await it.cache.read(PUBSUB, MICROBLOG, policy="refresh")
        await it.cache.idle()
        assert it.cache.told == []
        assert it.cache.house.revision == revision
        *_, info = await it.cache.read(PUBSUB, MICROBLOG, policy="cache")
        assert info["validated-at"] == it.cache.clock.now

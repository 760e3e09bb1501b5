"""Reads of items: from where, how fresh, in which order, and what is said when it can't be."""

from __future__ import annotations

import asyncio
import base64

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache import cursor as cursors
from pubsub_cached.cache.options import NodesFilter, PurgeFilter, ReadOptions
from pubsub_cached.cache.place import Place
from pubsub_cached.cache.policy import Policy
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, Service, World
from pubsub_cached.xmpp.port import Item, ItemsEvent
from tests.support.cached import ALICE, ENTRY, Cached, Make
from tests.support.passing import passed

from .blog import MICROBLOG, PROFILES, PUBSUB, followed

ATOM = "http://www.w3.org/2005/Atom"
BOOKMARKS = "urn:xmpp:bookmarks:1"
NICK = "http://jabber.org/protocol/nick"


def blog(world: World, count: int = 3, profile: Profile = PROSODY, node: str = MICROBLOG) -> Service:
    """A service with a node that the blog analyser keeps."""
    service = world.service(PUBSUB, profile=profile)
    service.create_node(node, max_items=10_000)
    for number in range(count):
        service.publish(node, f"i{number}", ENTRY.format(number))
    return service


def unclaimed(world: World, count: int = 3, profile: Profile = PROSODY) -> Service:
    """A service with a node that no analyser claims."""
    service = world.service(PUBSUB, profile=profile)
    service.create_node("things", max_items=10_000)
    for number in range(count):
        service.publish("things", f"i{number}", f"<thing xmlns='urn:example'>{number}</thing>")
    return service


async def kept_large(cached: Make, node: str = MICROBLOG, **options: int) -> Cached:
    """A cache that keeps a node with more than a reply can hold: twelve posts of 100 KB."""
    world = World()
    service = blog(world, 0, node=node)
    for number in range(12):
        service.publish(node, f"i{number}", ENTRY.format("x" * 100_000))
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, node, **options)
    return cache


class TestFirstRead:
    async def test_comes_from_the_service(self, cached: Make) -> None:
        world = World()
        blog(world)
        cache: Cached = await cached(world)
        items, cursor, info = await cache.read(PUBSUB, MICROBLOG)
        assert [item["id"] for item in items] == ["i2", "i1", "i0"]
        assert (info["source"], info["freshness"], cursor) == ("network", "validated", "")

    async def test_is_parsed_like_every_other(self, cached: Make) -> None:
        world = World()
        blog(world, 1)
        cache: Cached = await cached(world)
        items, *_ = await cache.read(PUBSUB, MICROBLOG)
        await cache.idle()
        again, *_ = await cache.read(PUBSUB, MICROBLOG)
        for key in ("id", "payload", "data", "type", "subtype", "namespace", "uri"):
            assert items[0].get(key) == again[0].get(key)
        assert '"title"' in items[0]["data"]

    async def test_begins_a_synchronisation_and_names_its_job(self, cached: Make) -> None:
        world = World()
        blog(world)
        cache: Cached = await cached(world)
        *_, info = await cache.read(PUBSUB, MICROBLOG)
        job = next(job for job in cache.house.jobs.list() if job.path == info["job"])
        assert "3 items" in await job.wait()

    async def test_of_an_absent_node_says_so_and_is_remembered(self, cached: Make) -> None:
        world = World()
        world.service(PUBSUB)
        cache: Cached = await cached(world)
        for _ in range(3):
            with pytest.raises(errors.NoSuchNode, match=r"'nothing' at pubsub\.example\.net"):
                await cache.read(PUBSUB, "nothing")
        assert world.count("get_items") == 1

    async def test_of_a_denied_node_says_so_and_leaves_no_copy(self, cached: Make) -> None:
        world = World()
        blog(world).configure(MICROBLOG, access_model="whitelist")
        cache: Cached = await cached(world)
        with pytest.raises(errors.Denied, match="may not read"):
            await cache.read(PUBSUB, MICROBLOG)
        with pytest.raises(errors.NoSuchNode):
            await cache.node(PUBSUB, MICROBLOG)

    async def test_of_a_service_that_does_not_exist_keeps_the_condition(self, cached: Make) -> None:
        world = World()
        world.account(ALICE, pep=EJABBERD)
        cache: Cached = await cached(world)
        with pytest.raises(errors.PubSubCachedError) as caught:
            await cache.read("nowhere.example.net")
        assert caught.value.name.startswith("im.pubsubcache1.Error.Xmpp.Remote")


class TestSecondRead:
    async def test_comes_from_the_cache_and_is_live(self, cached: Make) -> None:
        world = World()
        cache, _ = await followed(cached, world)
        asked = world.count()
        items, _, info = await cache.read(PUBSUB, MICROBLOG)
        assert [item["id"] for item in items] == ["i2", "i1", "i0"]
        assert (info["source"], info["freshness"], info["completeness"]) == ("cache", "live", "full")
        assert info["total"] == 3
        assert world.count() == asked

    async def test_says_offline_without_a_session(self, cached: Make) -> None:
        world = World()
        cache, _ = await followed(cached, world)
        world.cut(ALICE)
        await cache.idle()
        items, _, info = await cache.read(PUBSUB, MICROBLOG)
        assert len(items) == 3
        assert (info["source"], info["freshness"]) == ("cache", "offline")

    async def test_with_policy_network_asks_the_service(self, cached: Make) -> None:
        world = World()
        cache, _ = await followed(cached, world)
        asked = world.count("get_items")
        *_, info = await cache.read(PUBSUB, MICROBLOG, policy="network")
        assert info["source"] == "network"
        assert world.count("get_items") == asked + 1

    async def test_with_policy_refresh_is_validated_once_a_minute(self, cached: Make) -> None:
        cache, service = await followed(cached)
        service.retract(MICROBLOG, "i1", notify=False)
        assert await cache.ids(PUBSUB, MICROBLOG, policy="refresh") == ["i2", "i1", "i0"]
        cache.clock.advance(seconds=61)
        assert await cache.ids(PUBSUB, MICROBLOG, policy="refresh") == ["i2", "i0"]

    @pytest.mark.parametrize("expires", ["max", "3600"], ids=["live", "polled"])
    async def test_with_policy_refresh_is_said_to_be_stale_where_the_service_does_not_answer_in_time(
        self, cached: Make, expires: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache, service = await followed(cached, profile=msgspec.structs.replace(PROSODY, shows_expire=True))
        service.configure(MICROBLOG, item_expire=expires, notify=True)
        await cache.idle()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == ("live" if expires == "max" else "polled")
        cache.clock.advance(seconds=61)
        service.hold()
        reading = asyncio.create_task(cache.read(PUBSUB, MICROBLOG, policy="refresh", timeout=3600))
        await service.holding(1)
        # A tenth of that is left for the answer.
        passed(3300, monkeypatch)
        items, _, info = await reading
        assert (len(items), info["source"], info["freshness"]) == (3, "cache", "stale")
        service.release()

    async def test_with_policy_refresh_is_the_service_s_where_the_node_is_forgotten_meanwhile(
        self, cached: Make
    ) -> None:
        cache, service = await followed(cached)
        cache.clock.advance(seconds=61)
        service.hold()
        reading = asyncio.create_task(cache.read(PUBSUB, MICROBLOG, policy="refresh"))
        await service.holding(1)
        forgetting = cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True))
        await service.holding(2)
        service.release(1, request="unsubscribe")
        await forgetting.wait()
        service.release()
        items, _, info = await reading
        assert ([item["id"] for item in items], info["source"]) == (["i2", "i1", "i0"], "network")


class TestWithoutASession:
    async def test_what_is_not_cached_is_offline(self, cached: Make) -> None:
        world = World()
        blog(world)
        cache: Cached = await cached(world, online=False)
        with pytest.raises(errors.Offline, match=ALICE):
            await cache.read(PUBSUB, MICROBLOG)

    async def test_policy_cache_says_that_there_is_no_copy(self, cached: Make) -> None:
        cache: Cached = await cached(World(), online=False)
        with pytest.raises(errors.NotCached):
            await cache.read(PUBSUB, MICROBLOG, policy="cache")

    async def test_policy_network_is_always_offline(self, cached: Make) -> None:
        world = World()
        cache, _ = await followed(cached, world)
        world.cut(ALICE)
        await cache.idle()
        with pytest.raises(errors.Offline):
            await cache.read(PUBSUB, MICROBLOG, policy="network")


class TestUnclaimed:
    """A node that no analyser keeps is passed through, and never stored."""

    async def test_is_always_answered_by_the_service(self, cached: Make) -> None:
        world = World()
        service = unclaimed(world)
        cache: Cached = await cached(world)
        assert await cache.ids(PUBSUB, "things") == ["i2", "i1", "i0"]
        await cache.idle()
        service.retract("things", "i1", notify=False)
        items, _, info = await cache.read(PUBSUB, "things")
        assert [item["id"] for item in items] == ["i2", "i0"]
        assert info["source"] == "network"
        assert "job" not in info
        assert (await cache.node(PUBSUB, "things"))["items"] == 0

    async def test_says_of_an_item_nothing_that_is_not_known(self, cached: Make) -> None:
        world = World()
        unclaimed(world, 0).node("things").put(Item("", "<x/>"), 1, 0)
        cache: Cached = await cached(world)
        items, *_ = await cache.read(PUBSUB, "things")
        assert items == [{"id": "", "payload": "<x/>", "flags": []}]

    @PROFILES
    async def test_is_paged_with_a_cursor_to_its_end(self, cached: Make, profile: Profile) -> None:
        world = World()
        unclaimed(world, 25, profile)
        cache: Cached = await cached(world)
        seen: list[str] = []
        cursor = ""
        for _ in range(10):
            items, cursor, _ = await cache.read(PUBSUB, "things", limit=10, cursor=cursor)
            seen += [item["id"] for item in items]
            if not cursor:
                break
        assert seen == [f"i{number}" for number in reversed(range(25))]

    @PROFILES
    async def test_is_read_by_ids_and_missing_ones_are_left_out(self, cached: Make, profile: Profile) -> None:
        world = World()
        unclaimed(world, 5, profile)
        cache: Cached = await cached(world)
        assert await cache.ids(PUBSUB, "things", ids=("i3", "nothing", "i0")) == ["i3", "i0"]
        # As from the cache.
        assert await cache.ids(PUBSUB, "things", ids=("i3", "", "i0", "i3")) == ["i3", "i0"]

    async def test_is_read_in_other_orders(self, cached: Make) -> None:
        world = World()
        unclaimed(world, 12)
        cache: Cached = await cached(world)
        assert await cache.ids(PUBSUB, "things", order=(("created", False),), limit=2) == ["i0", "i1"]
        assert await cache.ids(PUBSUB, "things", order=(("id", False),), limit=3) == ["i0", "i1", "i10"]

    @pytest.mark.parametrize("how", ["again", "gone"])
    async def test_is_read_on_from_the_oldest_though_the_last_that_was_given_changed(
        self, cached: Make, how: str
    ) -> None:
        world = World()
        service = unclaimed(world, 6)
        cache: Cached = await cached(world)
        oldest_first = {"order": (("modified", False),), "limit": 3}
        items, cursor, _ = await cache.read(PUBSUB, "things", **oldest_first)
        assert [item["id"] for item in items] == ["i0", "i1", "i2"]
        if how == "again":
            service.publish("things", "i2", "<x xmlns='urn:example:x'>again</x>")
        else:
            service.retract("things", "i2", notify=True)
        assert await cache.ids(PUBSUB, "things", cursor=cursor, **oldest_first) == ["i3", "i4", "i5"]

    async def test_is_read_from_a_place(self, cached: Make) -> None:
        world = World()
        unclaimed(world, 6)
        cache: Cached = await cached(world)
        assert await cache.ids(PUBSUB, "things", after="i4", limit=2) == ["i3", "i2"]
        assert await cache.ids(PUBSUB, "things", before="i3", limit=2) == ["i5", "i4"]
        assert await cache.ids(PUBSUB, "things", before="", limit=2) == ["i1", "i0"]
        assert await cache.ids(PUBSUB, "things", index=4, limit=5) == ["i1", "i0"]
        with pytest.raises(errors.NoSuchItem, match="'nothing'"):
            await cache.read(PUBSUB, "things", after="nothing")
        assert await cache.ids(PUBSUB, "things", after="", limit=2) == ["i5", "i4"]

    async def test_goes_on_behind_a_page_before_an_item_as_the_cache_does(self, cached: Make) -> None:
        world = World()
        unclaimed(world, 6)
        cache: Cached = await cached(world)
        for _ in range(2):
            _, cursor, _ = await cache.read(PUBSUB, "things", before="i3", limit=2)
            assert await cache.ids(PUBSUB, "things", cursor=cursor, limit=2) == ["i3", "i2"]
            _, cursor, _ = await cache.read(PUBSUB, "things", before="", limit=2)
            assert cursor == ""
            # The second time it is kept, and the cache answers.
            await cache.house.sync.job(Address(ALICE, PUBSUB, "things"), pin=True).wait()

    async def test_by_id_has_no_more_than_the_limit(self, cached: Make) -> None:
        world = World()
        unclaimed(world, 4)
        cache: Cached = await cached(world)
        wanted = {"ids": ("i1", "i3", "i0"), "order": (("id", False),), "limit": 2}
        items, cursor, _ = await cache.read(PUBSUB, "things", **wanted)
        assert [item["id"] for item in items] == ["i0", "i1"]
        assert await cache.ids(PUBSUB, "things", cursor=cursor, order=(("id", False),)) == ["i3"]

    async def test_is_pinned_by_sync_and_served_from_the_cache_then(self, cached: Make) -> None:
        world = World()
        unclaimed(world)
        cache: Cached = await cached(world)
        address = cache.house.accounts.resolve("", PUBSUB, "things")
        job = await cache.house.sync.start(address, False, ":1.7", "mine")
        assert job.path == "/im/pubsubcache1/job/1_7/mine"
        await job.wait()
        *_, info = await cache.read(PUBSUB, "things")
        assert info["source"] == "cache"
        assert (await cache.node(PUBSUB, "things"))["pinned"] is True


@pytest.mark.parametrize("how", ["fetched", "announced"])
async def test_an_item_without_an_id_is_kept_where_its_node_counts_only_its_newest(cached: Make, how: str) -> None:
    """Source: XEP-0172 example 5."""
    world = World()
    pep = world.account(ALICE).pep
    cache: Cached = await cached(world)
    for node, namespace in ((NICK, NICK), (MICROBLOG, ATOM)):
        pep.create_node(node)
        if how == "announced":
            await cache.keep(ALICE, node)
        item = Item("", f"<x xmlns='{namespace}'/>", namespace)
        pep.node(node).put(item, 1, 0)
        if how == "announced":
            world.send(ALICE, ItemsEvent(service=ALICE, node=node, items=(item,)))
            await cache.idle()
        else:
            await cache.keep(ALICE, node)
    assert await cache.ids(ALICE, NICK, policy="cache") == ["current"]
    assert await cache.ids(ALICE, MICROBLOG, policy="cache") == []


@pytest.mark.parametrize(("depth", "size"), [(1, 1), (150, 1), (1, 300_000)], ids=["small", "deep", "large"])
async def test_a_password_of_a_bookmark_is_in_no_answer(cached: Make, depth: int, size: int) -> None:
    world = World()
    pep = world.account(ALICE).pep
    pep.create_node(BOOKMARKS)
    rest = "<x>" * depth + "y" * size + "</x>" * depth
    bookmark = f'<conference xmlns="{BOOKMARKS}">{{}}{rest}</conference>'
    pep.publish(BOOKMARKS, "room@example.org", bookmark.format("<password>hunter2</password>"))
    cache: Cached = await cached(world)
    passed_through, *_ = await cache.read(ALICE, BOOKMARKS, policy="network")
    kept, *_ = await cache.read(ALICE, BOOKMARKS)
    assert "hunter2" not in f"{passed_through}{kept}"
    # What can't be read can't be freed of it.
    assert passed_through[0]["payload"] == ("" if depth > 100 else bookmark.format(""))


class TestExcluded:
    async def test_is_passed_through_and_never_stored(self, cached: Make) -> None:
        world = World()
        account = world.account(ALICE)
        account.pep.create_node("eu.siacs.conversations.axolotl.devicelist")
        payload = "<list xmlns='eu.siacs.conversations.axolotl'><device id='424242'/></list>"
        account.pep.publish("eu.siacs.conversations.axolotl.devicelist", "current", payload)
        cache: Cached = await cached(world)
        items, _, info = await cache.read(ALICE, "eu.siacs.conversations.axolotl.devicelist")
        assert "424242" in items[0]["payload"]
        assert info["source"] == "network"
        node = await cache.node(ALICE, "eu.siacs.conversations.axolotl.devicelist")
        assert node["state"] == "excluded"
        with pytest.raises(errors.NotCached):
            await cache.read(ALICE, "eu.siacs.conversations.axolotl.devicelist", policy="cache")

    async def test_cannot_be_pinned(self, cached: Make) -> None:
        cache: Cached = await cached(World())
        address = cache.house.accounts.resolve("", "", "eu.siacs.conversations.axolotl.devicelist")
        with pytest.raises(errors.NotSupported):
            await cache.house.sync.start(address, False, ":1.7", "")


class TestWindow:
    """Of a long log only the newest are kept, and that never looks like all there is."""

    async def test_says_that_it_is_a_window(self, cached: Make) -> None:
        cache, _ = await followed(cached, count=30, items_per_node=20)
        items, _, info = await cache.read(PUBSUB, MICROBLOG)
        assert (len(items), info["completeness"]) == (20, "window")
        assert "total" not in info

    @pytest.mark.parametrize("profile", [PROSODY, EJABBERD], ids=["prosody", "ejabberd"])
    async def test_is_continued_by_the_service_without_a_seam(self, cached: Make, profile: Profile) -> None:
        cache, _ = await followed(cached, count=30, profile=profile, items_per_node=20)
        seen: list[str] = []
        sources: list[str] = []
        cursor = ""
        for _ in range(10):
            items, cursor, info = await cache.read(PUBSUB, MICROBLOG, limit=8, cursor=cursor)
            seen += [item["id"] for item in items]
            sources.append(info["source"])
            if not cursor:
                break
        assert seen == [f"i{number}" for number in reversed(range(30))]
        assert sources[0] == "cache"
        assert sources[-1] == "network"

    async def test_ends_at_its_end_under_policy_cache(self, cached: Make) -> None:
        cache, _ = await followed(cached, count=30, items_per_node=20)
        items, cursor, info = await cache.read(PUBSUB, MICROBLOG, limit=50, policy="cache")
        assert (len(items), cursor, info["completeness"]) == (20, "", "window")


class TestPlaces:
    async def test_an_unknown_item_to_page_from_is_named(self, cached: Make) -> None:
        cache, _ = await followed(cached)
        with pytest.raises(errors.NoSuchItem, match="'nothing'"):
            await cache.read(PUBSUB, MICROBLOG, after="nothing")

    async def test_a_cursor_goes_on_from_the_service_into_the_cache(self, cached: Make) -> None:
        world = World()
        blog(world, 30)
        cache: Cached = await cached(world)
        items, cursor, info = await cache.read(PUBSUB, MICROBLOG, limit=10)
        assert info["source"] == "network"
        await cache.idle()
        more, _, info = await cache.read(PUBSUB, MICROBLOG, limit=20, cursor=cursor)
        assert info["source"] == "cache"
        assert [item["id"] for item in items + more] == [f"i{number}" for number in reversed(range(30))]

    @pytest.mark.parametrize(
        "position",
        [["service", ["i1"], 2**70, 1], ["service", ["i1"], -1, 1], ["db", [2**70], "i3", 0], ["ids", {}], 2**70],
        ids=str,
    )
    async def test_a_cursor_that_was_made_up_is_refused(self, cached: Make, position: object) -> None:
        cache, _ = await followed(cached, World())
        made_up = Place.of(Address(ALICE, PUBSUB, MICROBLOG), ReadOptions())
        with pytest.raises(errors.InvalidCursor):
            await cache.read(PUBSUB, MICROBLOG, cursor=cursors.encode(made_up.purpose, position))

    @pytest.mark.parametrize("position", [2**70, -1, "x"])
    async def test_so_is_one_of_nodes(self, cached: Make, position: object) -> None:
        cache, service = await followed(cached, World())
        service.create_node("other")
        await cache.keep(PUBSUB, "other")
        _, cursor = await cache.house.node_reads.listing(NodesFilter(limit=1))
        version, digest, _ = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=="))
        made_up = base64.urlsafe_b64encode(msgspec.json.encode([version, digest, position])).decode()
        with pytest.raises(errors.InvalidCursor):
            await cache.house.node_reads.listing(NodesFilter(limit=1, cursor=made_up))

    async def test_a_cursor_of_another_node_is_refused(self, cached: Make) -> None:
        world = World()
        blog(world, 30)
        cache: Cached = await cached(world)
        _, cursor, _ = await cache.read(PUBSUB, MICROBLOG, limit=10)
        with pytest.raises(errors.InvalidCursor):
            await cache.read(PUBSUB, "other", limit=10, cursor=cursor)

    async def test_fields_trim_every_answer(self, cached: Make) -> None:
        world = World()
        blog(world, 3)
        cache: Cached = await cached(world)
        first, *_ = await cache.read(PUBSUB, MICROBLOG, fields=frozenset({"namespace"}), limit=2)
        await cache.idle()
        second, cursor, _ = await cache.read(PUBSUB, MICROBLOG, fields=frozenset({"namespace"}), limit=2)
        assert set(first[0]) == set(second[0]) == {"id", "namespace"}
        assert await cache.ids(PUBSUB, MICROBLOG, cursor=cursor) == ["i0"]

    async def test_a_reply_never_outgrows_what_the_bus_takes(self, cached: Make) -> None:
        cache = await kept_large(cached)
        seen: list[str] = []
        cursor = ""
        for _ in range(12):
            items, cursor, _ = await cache.read(PUBSUB, MICROBLOG, cursor=cursor)
            assert sum(len(item["payload"]) + len(item["data"]) for item in items) < 1_000_000
            seen += [item["id"] for item in items]
            if not cursor:
                break
        assert seen == [f"i{number}" for number in reversed(range(12))]

    @pytest.mark.parametrize("policy", ["cache", "network"])
    async def test_what_is_not_asked_for_takes_no_room(self, cached: Make, policy: Policy) -> None:
        cache = await kept_large(cached)
        items, cursor, _ = await cache.read(PUBSUB, MICROBLOG, policy=policy, fields=frozenset({"type"}))
        assert ([item["id"] for item in items], cursor) == ([f"i{number}" for number in reversed(range(12))], "")

    @pytest.mark.parametrize("kept", [True, False], ids=["cache", "service"])
    async def test_ids_that_a_reply_has_no_room_for_come_with_the_cursor(self, cached: Make, kept: bool) -> None:
        node = MICROBLOG if kept else "things"
        cache = await kept_large(cached, node, limit=1)
        wanted = tuple(f"i{number}" for number in range(10))
        items, cursor, _ = await cache.read(PUBSUB, node, ids=wanted)
        seen = {item["id"] for item in items}
        while cursor:
            items, cursor, _ = await cache.read(PUBSUB, node, cursor=cursor)
            assert not seen & {item["id"] for item in items}
            seen |= {item["id"] for item in items}
        assert seen == set(wanted)


class TestTimeout:
    async def test_a_silent_service_is_given_up_in_the_callers_time(self, cached: Make) -> None:
        world = World()
        service = blog(world)
        cache: Cached = await cached(world)
        service.hold()
        with pytest.raises(errors.Timeout, match=r"within 0\.05 s"):
            await cache.read(PUBSUB, MICROBLOG, timeout=0.05)
        service.release()

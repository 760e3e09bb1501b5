"""What a service has for the account, page by page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.xmpp.fake import PROSODY, Profile, Service, World
from pubsub_cached.xmpp.port import Subscription
from tests.support.cached import ALICE, Cached, Make

from .blog import BLOG, MICROBLOG, PROFILES, PUBSUB, followed, post

ROOT = Address(ALICE, PUBSUB, "")
PHONE = f"{ALICE}/phone"


class TestListing:
    async def full(self, cached: Make, profile: Profile) -> tuple[Cached, Service]:
        world = World()
        service = world.service(PUBSUB, profile=profile)
        for number in range(25):
            service.create_node(
                f"n{number:02}", owner=ALICE, node_type="urn:a" if number % 5 == 0 else "urn:b", title=f"N {number}"
            )
            service.add_subscription(f"n{number:02}", ALICE)
        cache: Cached = await cached(world)
        return cache, service

    async def pages(self, ask: Callable[..., Awaitable[tuple[list[Any], str]]], *arguments: Any) -> list[list[Any]]:
        found, cursor = [], ""
        while True:
            page, cursor = await ask(*arguments, cursor=cursor)
            found.append(page)
            if not cursor:
                return found

    @PROFILES
    async def test_nodes_come_in_pages(self, cached: Make, profile: Profile) -> None:
        cache, service = await self.full(cached, profile)
        pages = await self.pages(lambda **a: cache.house.discovery.nodes(Address(ALICE, PUBSUB, ""), "", 10, **a))
        assert [len(page) for page in pages] == [10, 10, 5]
        assert [record["node"] for page in pages for record in page] == sorted(service.nodes)
        assert pages[0][0] == {"jid": PUBSUB, "node": "n00", "name": "N 0"}

    @PROFILES
    async def test_nodes_of_one_type(self, cached: Make, profile: Profile) -> None:
        cache, _ = await self.full(cached, profile)
        pages = await self.pages(lambda **a: cache.house.discovery.nodes(Address(ALICE, PUBSUB, ""), "urn:a", 2, **a))
        assert [record["node"] for page in pages for record in page] == ["n00", "n05", "n10", "n15", "n20"]
        assert all(len(page) <= 2 for page in pages)

    async def test_a_page_is_stable_while_nodes_come_and_go(self, cached: Make) -> None:
        cache, service = await self.full(cached, PROSODY)
        root = ROOT
        first, cursor = await cache.house.discovery.nodes(root, "", 5)
        assert first[-1]["node"] == "n04"
        service.delete("n04")
        service.create_node("a-new-one")
        second, _ = await cache.house.discovery.nodes(root, "", 5, cursor)
        assert [record["node"] for record in second] == ["n05", "n06", "n07", "n08", "n09"]

    async def test_a_leaf_node_lists_its_items(self, cached: Make) -> None:
        cache, service = await self.full(cached, PROSODY)
        service.publish("n00", "x", "<x xmlns='urn:x'/>")
        found, cursor = await cache.house.discovery.nodes(Address(ALICE, PUBSUB, "n00"), "", 5)
        assert (found, cursor) == ([{"jid": PUBSUB, "name": "x"}], "")

    @PROFILES
    async def test_subscriptions_and_affiliations(self, cached: Make, profile: Profile) -> None:
        cache, service = await self.full(cached, profile)
        root = ROOT
        pages = await self.pages(lambda **a: cache.house.discovery.subscriptions(root, 10, **a))
        assert [len(page) for page in pages] == [10, 10, 5]
        one = service.node("n03").subscriptions[ALICE]
        wanted = {"node": "n03", "jid": ALICE, "state": "subscribed"} | ({"subid": one.subid} if one.subid else {})
        assert pages[0][3] == wanted
        pages = await self.pages(lambda **a: cache.house.discovery.affiliations(root, 20, **a))
        assert [len(page) for page in pages] == [20, 5]
        assert pages[0][0] == {"node": "n00", "affiliation": "owner"}

    @PROFILES
    async def test_a_subscription_that_is_listed_no_more_is_made_anew(self, cached: Make, profile: Profile) -> None:
        cache, service = await followed(cached, World(), profile)
        service.drop_subscription(MICROBLOG, ALICE)
        service.publish(MICROBLOG, "missed", post("missed"))
        assert await cache.house.discovery.subscriptions(Address(ALICE, PUBSUB, "")) == ([], "")
        await cache.idle()
        assert (await cache.ids(PUBSUB, MICROBLOG, policy="cache"))[0] == "missed"
        assert ALICE in service.node(MICROBLOG).subscriptions

    async def test_one_that_is_listed_is_in_no_doubt(self, cached: Make) -> None:
        cache, _ = await followed(cached)
        await cache.house.discovery.subscriptions(Address(ALICE, PUBSUB, ""))
        assert cache.signals() == []

    async def test_nor_is_one_beside_that_of_a_resource(self, cached: Make) -> None:
        cache, service = await followed(cached)
        service.node(MICROBLOG).subscriptions[PHONE] = Subscription(MICROBLOG, PHONE, "pending")
        found, _ = await cache.house.discovery.subscriptions(Address(ALICE, PUBSUB, ""))
        assert [(each["jid"], each["state"]) for each in found] == [(ALICE, "subscribed"), (PHONE, "pending")]
        assert cache.signals() == []

    @PROFILES
    @pytest.mark.parametrize("change", ["one more", "one less", "another one", "none"])
    async def test_items_that_are_listed_otherwise_are_compared(
        self, cached: Make, profile: Profile, change: str
    ) -> None:
        cache, service = await followed(cached, World(), profile)
        if change != "one more":
            service.expire_items(MICROBLOG, *(["i0", "i1", "i2"] if change == "none" else ["i1"]))
        if change in ("one more", "another one"):
            service.publish(MICROBLOG, "new", post("new"), notify=False)
        await cache.house.discovery.nodes(BLOG)
        await cache.idle()
        there = [item.id for item in reversed(service.items(MICROBLOG))]
        pages = profile.rsm_advertised and change in ("one less", "none")
        assert (await cache.ids(PUBSUB, MICROBLOG, policy="cache") == there) is not pages

    @PROFILES
    @pytest.mark.parametrize(("count", "kept"), [(3, 500), (7, 5)])
    async def test_those_that_are_listed_as_they_are_kept_are_in_no_doubt(
        self, cached: Make, profile: Profile, count: int, kept: int
    ) -> None:
        cache, _ = await followed(cached, World(), profile, count, items_per_node=kept)
        for limit in (2, 50):
            await cache.house.discovery.nodes(BLOG, "", limit)
        assert cache.signals() == []

    @PROFILES
    async def test_nor_are_they_on_a_page_that_begins_behind_some(self, cached: Make, profile: Profile) -> None:
        cache, _ = await followed(cached, World(), profile)
        _, cursor = await cache.house.discovery.nodes(BLOG, limit=2)
        found, _ = await cache.house.discovery.nodes(BLOG, limit=2, cursor=cursor)
        assert len(found) == 1
        assert cache.signals() == []

    async def test_nor_are_they_where_the_service_names_one_twice(self, cached: Make) -> None:
        cache, service = await followed(cached)
        service.node(MICROBLOG).ids = lambda: ["i2", "i1", "i0", "i2"]  # type: ignore[method-assign]
        await cache.house.discovery.nodes(BLOG)
        assert cache.signals() == []

    async def test_a_service_that_always_lists_others_is_asked_no_more_than_clients_ask(self, cached: Make) -> None:
        cache, service = await followed(cached)
        service.node(MICROBLOG).ids = lambda: ["Post 1", "Post 2", "Post 3"]  # type: ignore[method-assign]
        await cache.house.discovery.nodes(BLOG)
        await cache.idle()
        asked = len(cache.world.requests)
        cache.house.revalidation.wake()
        await cache.idle()
        assert len(cache.world.requests) == asked
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i2", "i1", "i0"]
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "live"

    @PROFILES
    async def test_who_may_not_list_a_node_may_not_read_it_either(self, cached: Make, profile: Profile) -> None:
        cache, service = await followed(cached, World(), profile)
        service.set_affiliation(MICROBLOG, ALICE, "outcast")
        with pytest.raises(errors.StanzaError, match="forbidden"):
            await cache.house.discovery.nodes(BLOG)
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "stale"
        await cache.idle()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "denied"

    @PROFILES
    async def test_a_node_that_is_listed_again_can_be_read(self, cached: Make, profile: Profile) -> None:
        cache, service = await followed(cached, World(), profile)
        service.delete(MICROBLOG, notify=False)
        with pytest.raises(errors.NoSuchNode):
            await cache.ids(PUBSUB, MICROBLOG, policy="network")
        service.create_node(MICROBLOG)
        service.publish(MICROBLOG, "new", post("new"))
        with pytest.raises(errors.NoSuchNode):
            await cache.ids(PUBSUB, MICROBLOG)
        await cache.house.discovery.nodes(ROOT)
        assert await cache.ids(PUBSUB, MICROBLOG) == ["new"]

    @PROFILES
    async def test_one_that_is_listed_and_may_not_be_read_is_denied_on(self, cached: Make, profile: Profile) -> None:
        cache, service = await followed(cached, World(), profile)
        service.set_affiliation(MICROBLOG, ALICE, "outcast")
        with pytest.raises(errors.Denied):
            await cache.ids(PUBSUB, MICROBLOG, policy="network")
        await cache.house.discovery.nodes(ROOT)
        asked = len(cache.world.requests)
        with pytest.raises(errors.Denied):
            await cache.ids(PUBSUB, MICROBLOG)
        assert len(cache.world.requests) == asked

    @PROFILES
    @pytest.mark.parametrize("affiliation", ["outcast", "publish-only"])
    async def test_who_is_shut_out_by_its_affiliation_is_shown_nothing(
        self, cached: Make, profile: Profile, affiliation: str
    ) -> None:
        cache, service = await followed(cached, World(), profile)
        service.set_affiliation(MICROBLOG, ALICE, affiliation)
        await cache.house.discovery.affiliations(ROOT)
        with pytest.raises(errors.NotCached):
            await cache.ids(PUBSUB, MICROBLOG, policy="cache")
        await cache.idle()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "denied"

    @PROFILES
    async def test_who_was_let_in_may_read_at_once(self, cached: Make, profile: Profile) -> None:
        cache, service = await followed(cached, World(), profile)
        service.set_affiliation(MICROBLOG, ALICE, "outcast")
        with pytest.raises(errors.Denied):
            await cache.ids(PUBSUB, MICROBLOG, policy="network")
        service.set_affiliation(MICROBLOG, ALICE, "member")
        with pytest.raises(errors.Denied):
            await cache.ids(PUBSUB, MICROBLOG)
        await cache.house.discovery.affiliations(ROOT)
        assert await cache.ids(PUBSUB, MICROBLOG) == ["i2", "i1", "i0"]

    @PROFILES
    async def test_a_type_that_was_changed_without_a_word_is_the_node_s(self, cached: Make, profile: Profile) -> None:
        cache, service = await followed(cached, World(), profile)
        service.node(MICROBLOG).node_type = "urn:one"
        await cache.house.sync.run(BLOG, full=True)
        service.node(MICROBLOG).node_type = "urn:other"
        await cache.house.discovery.nodes(ROOT, "urn:other")
        await cache.idle()
        row = await cache.house.nodes.find(BLOG)
        assert row is not None
        assert row.node_type == "urn:other"

    async def test_a_cursor_of_another_call_is_refused(self, cached: Make) -> None:
        cache, _ = await self.full(cached, PROSODY)
        root = ROOT
        _, cursor = await cache.house.discovery.subscriptions(root, 10)
        with pytest.raises(errors.InvalidCursor):
            await cache.house.discovery.affiliations(root, 10, cursor)

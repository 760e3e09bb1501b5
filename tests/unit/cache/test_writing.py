"""Writing to services: what a client changes is in the cache at once, and exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.house import House
from pubsub_cached.cache.writing import writing
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, Service, World
from pubsub_cached.xmpp.port import ItemsEvent
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import BLOG, MICROBLOG, PROFILES, PUBSUB, owned, post, reaching, writer_busy

FEED = "urn:xmpp:pubsub-social-feed:1"
BURST = pytest.mark.parametrize("burst", [False, True], ids=["one by one", "in a burst"])


def deaf(service: Service, world: World) -> list[Callable[[], None]]:
    """From now on events of the service wait until they are let go."""
    waiting: list[Callable[[], None]] = []
    send = world.send

    def keep(jid: str, event: Any, *, interest: str = "") -> None:
        if event.service == service.jid:
            waiting.append(lambda: send(jid, event, interest=interest))
        else:
            send(jid, event, interest=interest)

    world.send = keep  # type: ignore[method-assign]
    return waiting


def told_items(cache: Cached) -> list[tuple[list[str], list[str]]]:
    return [(told[1], told[2]) for told in cache.told if len(told) == 4]


async def revisions(cache: Cached) -> list[int]:
    items, *_ = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    return [item["revision"] for item in items]


class TestPublish:
    @PROFILES
    @BURST
    async def test_it_is_readable_at_once_and_told_once_when_the_event_comes_first(
        self, cached: Make, profile: Profile, burst: bool
    ) -> None:
        world = World(burst=burst)
        cache, service = await owned(cached, world, profile)
        asked = world.count("get_items", node=MICROBLOG)
        assert await cache.house.writing.publish(BLOG, "new", post("new"), {}) == "new"
        items, _, info = await cache.read(PUBSUB, MICROBLOG, policy="cache")
        assert [item["id"] for item in items] == ["new", "i1", "i0"]
        assert info["freshness"] == "live"
        before = await revisions(cache)
        await cache.idle()
        assert told_items(cache) == [(["new"], [])]
        assert await revisions(cache) == before
        assert items[0]["payload"] == service.items(MICROBLOG)[-1].payload == post("new")
        assert world.count("get_items", node=MICROBLOG) == asked

    @PROFILES
    async def test_it_is_readable_at_once_and_told_once_when_the_event_comes_later(
        self, cached: Make, profile: Profile
    ) -> None:
        world = World()
        cache, service = await owned(cached, world, profile)
        waiting = deaf(service, world)
        await cache.house.writing.publish(BLOG, "new", post("new"), {})
        assert (await cache.ids(PUBSUB, MICROBLOG, policy="cache"))[0] == "new"
        before = await revisions(cache)
        assert len(waiting) == 1
        waiting.pop()()
        await cache.idle()
        assert told_items(cache) == [(["new"], [])]
        assert await revisions(cache) == before

    async def test_an_overwrite_is_one_change(self, cached: Make) -> None:
        cache, _ = await owned(cached, World())
        await cache.house.writing.publish(BLOG, "i0", post("again"), {})
        await cache.idle()
        assert told_items(cache) == [(["i0"], [])]
        items, *_ = await cache.read(PUBSUB, MICROBLOG, policy="cache")
        assert (items[0]["id"], items[0]["payload"]) == ("i0", post("again"))

    async def test_the_service_chooses_the_id(self, cached: Make) -> None:
        cache, service = await owned(cached, World())
        id_ = await cache.house.writing.publish(BLOG, "", post("new"), {})
        assert id_ == service.items(MICROBLOG)[-1].id
        assert (await cache.ids(PUBSUB, MICROBLOG, policy="cache"))[0] == id_

    async def test_a_service_that_does_not_tell_the_id_is_asked(self, cached: Make) -> None:
        cache, service = await owned(cached, World(), msgspec.structs.replace(PROSODY, id_in_reply=False))
        deaf(service, service.world)
        assert await cache.house.writing.publish(BLOG, "", post("new"), {}) == ""
        await cache.idle()
        assert (await cache.ids(PUBSUB, MICROBLOG, policy="cache"))[0] == service.items(MICROBLOG)[-1].id

    async def test_a_later_change_by_somebody_else_is_not_undone(self, cached: Make) -> None:
        world = World()
        cache, service = await owned(cached, world)
        deaf(service, world)
        service.hold()
        publishing = asyncio.create_task(cache.house.writing.publish(BLOG, "new", post("mine"), {}))
        await world.settle()
        service.release(1)
        await world.settle()
        # Now the cache asks for the item, and before the answer comes the event of a newer one.
        (asked,) = service.held
        assert asked.kind == "get_items"
        newer = ItemsEvent(service=PUBSUB, node=MICROBLOG, items=(service.items(MICROBLOG)[0],))
        world.inject(ALICE, msgspec.structs.replace(newer, items=(msgspec.structs.replace(newer.items[0], id="new"),)))
        await world.settle()
        service.release()
        await publishing
        items, *_ = await cache.read(PUBSUB, MICROBLOG, policy="cache", ids=("new",))
        assert items[0]["payload"] == service.items(MICROBLOG)[0].payload

    async def test_what_is_purged_as_it_is_read_is_not_shown(self, cached: Make) -> None:
        world = World(burst=True)
        cache, service = await owned(cached, world)
        send = world.send
        deaf(service, world)
        service.hold()
        publishing = asyncio.create_task(cache.house.writing.publish(BLOG, "new", post("mine"), {}))
        await reaching(service, "get_items")
        world.send = send  # type: ignore[method-assign]
        service.release()
        world.enqueue(service.purge, MICROBLOG)
        await publishing
        await cache.idle()
        assert service.items(MICROBLOG) == []
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == []

    async def test_options_that_the_node_does_not_meet_are_an_error_and_change_nothing(self, cached: Make) -> None:
        cache, _ = await owned(cached, World())
        with pytest.raises(errors.StanzaError) as caught:
            await cache.house.writing.publish(BLOG, "new", post("new"), {"pubsub#access_model": ["whitelist"]})
        assert caught.value.name == "im.pubsubcache1.Error.PubSub.PreconditionNotMet"
        await cache.idle()
        assert cache.told == []

    async def test_ejabberd_does_not_take_max_items_among_the_options(self, cached: Make) -> None:
        cache, _ = await owned(cached, World(), EJABBERD)
        with pytest.raises(errors.StanzaError, match=r"resource-constraint.*pubsub#max_items"):
            await cache.house.writing.publish(BLOG, "new", post("new"), {"pubsub#max_items": ["5"]})

    async def test_a_service_s_refusal_keeps_its_name_and_words(self, cached: Make) -> None:
        cache, service = await owned(cached, World())
        service.fail_next("forbidden", "Publishers only, please", request="publish")
        with pytest.raises(errors.StanzaError, match="Publishers only, please") as caught:
            await cache.house.writing.publish(BLOG, "new", post("new"), {})
        assert caught.value.name == "im.pubsubcache1.Error.Xmpp.Forbidden"

    async def test_offline_nothing_is_sent_later(self, cached: Make) -> None:
        world = World()
        cache, service = await owned(cached, world)
        world.cut(ALICE)
        await cache.idle()
        with pytest.raises(errors.Offline, match=ALICE):
            await cache.house.writing.publish(BLOG, "new", post("new"), {})
        world.restore(ALICE)
        await cache.idle()
        assert world.count("publish") == 0
        assert [item.id for item in service.items(MICROBLOG)] == ["i0", "i1"]

    async def test_without_an_answer_the_node_is_looked_at(self, cached: Make) -> None:
        world = World()
        cache, service = await owned(cached, world)
        deaf(service, world)
        service.ignore_next(request="publish")
        with pytest.raises(errors.Timeout):
            await cache.house.writing.publish(BLOG, "new", post("new"), {})
        service.publish(MICROBLOG, "new", post("new"))
        await cache.idle()
        assert "new" in await cache.ids(PUBSUB, MICROBLOG, policy="cache")

    async def test_without_an_answer_there_may_be_a_node_where_there_was_none(self, cached: Make) -> None:
        cache, _ = await owned(cached, World())
        with pytest.raises(errors.NoSuchNode):
            await cache.ids(ALICE, "things")
        cache.world.account_of(ALICE).pep.lose_next(request="publish")
        with pytest.raises(errors.Timeout):
            await cache.house.writing.publish(Address(ALICE, ALICE, "things"), "a", post("a"), {})
        assert await cache.ids(ALICE, "things") == ["a"]

    async def test_a_node_that_nobody_keeps_is_written_to_and_not_stored(self, cached: Make) -> None:
        world = World()
        cache, service = await owned(cached, world)
        service.create_node("things", owner=ALICE)
        await cache.house.writing.publish(Address(ALICE, PUBSUB, "things"), "t", "<t xmlns='urn:t'/>", {})
        assert [item.id for item in service.items("things")] == ["t"]
        with pytest.raises(errors.NotCached):
            await cache.read(PUBSUB, "things", policy="cache")

    async def test_the_own_pep_service_makes_the_node_with_the_options(self, cached: Make) -> None:
        world = World()
        cache, _ = await owned(cached, world)
        own = Address(ALICE, ALICE, "urn:example:thing")
        options = {"pubsub#access_model": ["open"]}
        assert await cache.house.writing.publish(own, "current", "<t xmlns='urn:t'/>", options) == "current"
        assert world.accounts[ALICE].pep.node("urn:example:thing").access_model == "open"


class TestRetract:
    @PROFILES
    @pytest.mark.parametrize("notify", [True, False])
    async def test_it_is_gone_at_once_and_told_once(self, cached: Make, profile: Profile, notify: bool) -> None:
        cache, service = await owned(cached, World(), profile)
        await cache.house.writing.retract(BLOG, ["i0"], notify=notify)
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i1"]
        await cache.idle()
        assert told_items(cache) == [([], ["i0"])]
        assert cache.signals() == []
        assert [item.id for item in service.items(MICROBLOG)] == ["i1"]

    async def test_an_event_that_comes_later_changes_nothing(self, cached: Make) -> None:
        world = World()
        cache, service = await owned(cached, world)
        waiting = deaf(service, world)
        await cache.house.writing.retract(BLOG, ["i0", "i1"])
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == []
        for let_go in waiting:
            let_go()
        await cache.idle()
        assert sorted(cache.removed()) == ["i0", "i1"]
        assert cache.signals() == []

    async def test_one_whose_publication_is_not_written_down_yet_is_gone(self, cached: Make) -> None:
        cache, service = await owned(cached, World())
        with writer_busy(cache):
            service.publish(MICROBLOG, "new", ENTRY.format("new"))
            await cache.world.settle()
            # Of this the service tells nobody.
            retracting = asyncio.create_task(cache.house.writing.retract(BLOG, ["new"], notify=False))
            await cache.world.settle()
        await retracting
        assert await cache.ids(PUBSUB, MICROBLOG) == ["i1", "i0"]

    async def test_the_node_is_looked_at_where_nobody_waited_for_the_answer(self, cached: Make) -> None:
        cache, service = await owned(cached, World())
        service.hold()
        retracting = asyncio.create_task(cache.house.writing.retract(BLOG, ["i1"], notify=False))
        await service.holding(1)
        retracting.cancel()
        await cache.world.settle()
        service.release()
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG) == ["i0"]

    async def test_those_before_a_refusal_are_followed(self, cached: Make) -> None:
        world = World()
        cache, service = await owned(cached, world)
        deaf(service, world)
        with pytest.raises(errors.StanzaError, match="item-not-found"):
            await cache.house.writing.retract(BLOG, ["i0", "nothing", "i1"])
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i1"]

    async def test_many_at_a_slow_service_are_answered_in_time_and_the_rest_is_not_asked_for(
        self, cached: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = World()
        cache, service = await owned(cached, world)
        monkeypatch.setattr(writing, "TIMEOUT", 0.01)
        service.hold()
        retracting = asyncio.create_task(cache.house.writing.retract(BLOG, ["i0", "i1"]))
        await service.holding(1)
        # The service takes its time.
        await asyncio.sleep(0.02)
        service.release()
        with pytest.raises(errors.Timeout, match="retracted 1 of 2 items"):
            await retracting
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i1"]
        assert world.count("retract", node=MICROBLOG) == 1


# Whatever is asked of a node.
ASKED: dict[str, Callable[[House], Awaitable[object]]] = {
    "publish": lambda house: house.writing.publish(BLOG, "new", post("new"), {}),
    "retract": lambda house: house.writing.retract(BLOG, ["i0"]),
    "configure": lambda house: house.writing.configure(BLOG, {"pubsub#title": ["New"]}),
    "configuration": lambda house: house.writing.configuration(BLOG),
    "delete": lambda house: house.writing.delete(BLOG),
    "purge": lambda house: house.writing.purge(BLOG),
    "subscribe": lambda house: house.subscribing.subscribe(BLOG, {}),
    "Discover": lambda house: house.discovery.nodes(BLOG),
    "unsubscribe": lambda house: house.subscribing.unsubscribe(BLOG),
}


@PROFILES
async def test_what_is_not_there_once_it_is_published_is_not_shown_as_it_was(cached: Make, profile: Profile) -> None:
    world = World()
    cache, service = await owned(cached, world, profile)
    deaf(service, world)
    service.hold()
    publishing = asyncio.create_task(cache.house.writing.publish(BLOG, "i0", post("other"), {}))
    await service.holding(1)
    service.release(1)
    await service.holding(1)
    service.expire_items(MICROBLOG, "i0")
    service.release()
    await publishing
    await cache.idle()
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i1"]


@PROFILES
async def test_a_write_of_which_the_service_could_not_be_asked_may_have_been_done(
    cached: Make, profile: Profile
) -> None:
    """An error of the way to the service says nothing of what it did."""
    cache, service = await owned(cached, World(), profile)
    service.fail_next("remote-server-timeout", request="publish")
    with pytest.raises(errors.StanzaError):
        await cache.house.writing.publish(BLOG, "x", post("x"), {})
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "stale"
    await cache.idle()
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "live"


async def test_what_was_refused_for_it_is_gone_is_compared_and_not_fetched_as_a_whole(cached: Make) -> None:
    cache, _ = await owned(cached, World())
    asked = len(cache.world.requests)
    with pytest.raises(errors.StanzaError, match="item-not-found"):
        await cache.house.writing.retract(BLOG, ["never"])
    await cache.idle()
    assert [request.kind for request in cache.world.requests[asked:]] == ["retract", "subscribe", "get_items"]
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "live"


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
async def test_a_node_that_the_service_says_to_be_absent_is_looked_at(
    cached: Make, ask: Callable[[House], Awaitable[object]]
) -> None:
    cache, service = await owned(cached, World())
    service.delete(MICROBLOG, notify=False)
    with pytest.raises(errors.StanzaError, match="item-not-found"):
        await ask(cache.house)
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "stale"
    await cache.idle()
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "gone"
    assert sorted(cache.removed()) == ["i0", "i1"]


async def test_a_configuration_that_is_not_answered_says_nothing_of_the_node(cached: Make) -> None:
    cache, service = await owned(cached, World())
    service.hold()
    asking = asyncio.create_task(cache.house.writing.configuration(BLOG))
    await service.holding(1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    service.release()
    await cache.idle()
    assert not cache.signals("stale")


class TestNodes:
    @PROFILES
    async def test_a_deleted_node_is_gone_at_once(self, cached: Make, profile: Profile) -> None:
        cache, service = await owned(cached, World(), profile)
        await cache.house.writing.delete(BLOG)
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "gone"
        assert MICROBLOG not in service.nodes
        await cache.idle()
        assert sorted(cache.removed()) == ["i0", "i1"]
        assert [change for _, change in cache.signals()] == ["gone"]

    @PROFILES
    async def test_all_items_are_deleted_at_once(self, cached: Make, profile: Profile) -> None:
        cache, service = await owned(cached, World(), profile)
        await cache.house.writing.purge(BLOG)
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == []
        await cache.idle()
        assert sorted(cache.removed()) == ["i0", "i1"]
        assert service.items(MICROBLOG) == []
        _, _, info = await cache.read(PUBSUB, MICROBLOG)
        assert (info["source"], info["freshness"]) == ("cache", "live")

    @PROFILES
    @pytest.mark.parametrize("kind", ["delete_node", "purge_node", "configure_node"])
    async def test_without_an_answer_the_node_is_looked_at(self, cached: Make, profile: Profile, kind: str) -> None:
        profile = msgspec.structs.replace(profile, told=frozenset(), told_on_request=frozenset())
        cache, service = await owned(cached, World(), profile)
        writing = cache.house.writing
        asked = {
            "delete_node": lambda: writing.delete(BLOG),
            "purge_node": lambda: writing.purge(BLOG),
            "configure_node": lambda: writing.configure(BLOG, {"pubsub#title": ["Other"]}),
        }
        service.lose_next(request=kind)
        with pytest.raises(errors.Timeout):
            await asked[kind]()
        await cache.idle()
        node = await cache.node(PUBSUB, MICROBLOG)
        if kind == "delete_node":
            assert node["state"] == "gone"
        else:
            assert (node["state"], node["items"]) == ("live", len(service.items(MICROBLOG)))
            assert node.get("title", "") == service.node(MICROBLOG).title

    async def test_a_node_is_made_with_its_configuration_and_shown_again(self, cached: Make) -> None:
        cache, service = await owned(cached, World())
        things = Address(ALICE, PUBSUB, "things")
        config = {"pubsub#title": ["Things"], "pubsub#max_items": ["7"]}
        assert await cache.house.writing.create(things, config) == "things"
        assert (service.node("things").title, service.node("things").max_items) == ("Things", 7)
        fields = {field.name: field.values for field in await cache.house.writing.configuration(things)}
        assert fields["pubsub#title"] == ("Things",)
        with pytest.raises(errors.StanzaError, match="conflict"):
            await cache.house.writing.create(things, {})

    async def test_without_an_answer_a_node_may_have_been_made(self, cached: Make) -> None:
        cache, service = await owned(cached, World())
        with pytest.raises(errors.NoSuchNode):
            await cache.ids(PUBSUB, "things")
        service.lose_next(request="create_node")
        with pytest.raises(errors.Timeout):
            await cache.house.writing.create(Address(ALICE, PUBSUB, "things"), {})
        assert await cache.ids(PUBSUB, "things") == []

    async def test_a_node_made_again_is_no_longer_gone(self, cached: Make) -> None:
        cache, _ = await owned(cached, World())
        await cache.house.writing.delete(BLOG)
        await cache.house.writing.create(BLOG, {})
        await cache.house.writing.publish(BLOG, "first", post("first"), {})
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG) == ["first"]

    @PROFILES
    async def test_a_node_that_could_be_made_had_gone_without_a_word(self, cached: Make, profile: Profile) -> None:
        cache, service = await owned(cached, World(), profile)
        service.delete(MICROBLOG, notify=False)
        await cache.house.writing.create(BLOG, {})
        assert cache.signals("gone")
        assert await cache.ids(PUBSUB, MICROBLOG) == []
        await cache.idle()
        service.publish(MICROBLOG, "theirs", post("theirs"))
        await cache.idle()
        assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["theirs"]

    @PROFILES
    async def test_a_node_that_could_not_be_made_is_there(self, cached: Make, profile: Profile) -> None:
        cache, service = await owned(cached, World(), profile)
        await cache.house.writing.delete(BLOG)
        with pytest.raises(errors.NoSuchNode):
            await cache.ids(PUBSUB, MICROBLOG)
        service.create_node(MICROBLOG)
        service.publish(MICROBLOG, "theirs", post("theirs"))
        with pytest.raises(errors.StanzaError, match="conflict"):
            await cache.house.writing.create(BLOG, {})
        assert await cache.ids(PUBSUB, MICROBLOG) == ["theirs"]

    @PROFILES
    async def test_a_configuration_that_was_changed_without_a_word_is_the_node_s(
        self, cached: Make, profile: Profile
    ) -> None:
        cache, service = await owned(cached, World(), profile)
        for access in ("whitelist", "open", "whitelist"):
            service.configure(MICROBLOG, access_model=access, notify=False)
            await cache.house.writing.configuration(BLOG)
            await cache.idle()
            node = await cache.node(PUBSUB, MICROBLOG)
            assert (node["access-model"], node["state"]) == (access, "live")

    @PROFILES
    async def test_one_that_was_changed_back_and_again_is_the_node_s(self, cached: Make, profile: Profile) -> None:
        cache, service = await owned(cached, World(), profile)
        for _ in range(2):
            service.configure(MICROBLOG, access_model="whitelist", notify=False)
            await cache.house.writing.configuration(BLOG)
            await cache.idle()
            assert (await cache.node(PUBSUB, MICROBLOG))["access-model"] == "whitelist"
            service.configure(MICROBLOG, access_model="open", notify=False)
            await cache.house.sync.run(BLOG, full=True)
            assert (await cache.node(PUBSUB, MICROBLOG))["access-model"] == "open"

    async def test_one_that_is_as_it_was_is_in_no_doubt(self, cached: Make) -> None:
        cache, _ = await owned(cached, World())
        await cache.house.writing.configuration(BLOG)
        assert cache.signals() == []

    async def test_a_service_whose_metadata_always_say_otherwise_is_asked_once(self, cached: Make) -> None:
        cache, service = await owned(cached, World())
        service.node(MICROBLOG).title = "Another"
        service.node(MICROBLOG).metadata = lambda: {"pubsub#title": ["One"]}  # type: ignore[method-assign]
        await cache.house.sync.run(BLOG, full=True)
        for count in (1, 2, 3):
            asked = len(cache.world.requests)
            await cache.house.writing.configuration(BLOG)
            await cache.idle()
            assert (len(cache.world.requests) == asked + 1) is (count > 1)

    async def test_the_service_names_a_node_without_a_name(self, cached: Make) -> None:
        cache, service = await owned(cached, World())
        name = await cache.house.writing.create(Address(ALICE, PUBSUB, ""), {})
        assert name in service.nodes

    @PROFILES
    async def test_a_configuration_is_read_again_and_the_analysers_are_asked(
        self, cached: Make, profile: Profile
    ) -> None:
        cache, service = await owned(cached, World(), profile)
        service.create_node("diary", owner=ALICE)
        diary = Address(ALICE, PUBSUB, "diary")
        await cache.keep(PUBSUB, "diary")
        assert (await cache.node(PUBSUB, "diary"))["state"] == "discovered"
        await cache.house.writing.configure(diary, {"pubsub#title": ["My diary"], "pubsub#type": [FEED]})
        await cache.idle()
        node = await cache.node(PUBSUB, "diary")
        assert (node["title"], node["type"]) == ("My diary", "blog")

    async def test_a_kept_node_shows_its_new_title(self, cached: Make) -> None:
        cache, _ = await owned(cached, World())
        await cache.house.writing.configure(BLOG, {"pubsub#title": ["New"]})
        await cache.idle()
        node = await cache.node(PUBSUB, MICROBLOG)
        assert (node["title"], node["state"]) == ("New", "live")

"""What waits is shown by reads, once and where it belongs."""

from __future__ import annotations

from typing import Any

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.options import NEWEST_FIRST, Order
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, Cached, Make

from ..blog import BLOG, MICROBLOG, PUBSUB, post
from ..test_pages import heard
from .scene import CLIENT, OLDEST_FIRST, Scene

LARGE = tuple(f"i{number}" for number in range(6))


async def test_it_is_shown_as_pending_until_it_is_sent(scene: Scene) -> None:
    id_ = await scene.publish()
    assert scene.cache.signals("updated")
    for policy in ("default", "cache"):
        assert await scene.shown(policy=policy) == [(id_, True), ("i1", False), ("i0", False)]
    items, _, info = await scene.cache.read(PUBSUB, MICROBLOG, ids=(id_,))
    assert (items[0]["payload"], items[0]["type"], items[0]["publisher"]) == (post("new"), "blog", ALICE)
    assert info["source"] == "cache"
    await scene.restore()
    assert all(not pending for _, pending in await scene.shown())


async def test_an_overwrite_and_a_retraction_are_shown_where_they_belong(scene: Scene) -> None:
    await scene.publish("i0", "changed")
    await scene.retract("i1")
    assert await scene.shown() == [("i0", True), ("i1", True)]
    assert await scene.shown(order=(("id", False),)) == [("i0", True), ("i1", True)]
    items, *_ = await scene.cache.read(PUBSUB, MICROBLOG, order=(("modified", False),))
    assert items[0]["payload"] == post("changed")
    await scene.restore()
    assert scene.truth() == {"i0": post("changed")}
    assert await scene.shown() == [("i0", False)]


async def test_the_last_thing_that_waits_for_an_item_counts(scene: Scene) -> None:
    await scene.publish("x", "first")
    await scene.publish("x", "second")
    items, *_ = await scene.cache.read(PUBSUB, MICROBLOG)
    assert [item["id"] for item in items] == ["x", "i1", "i0"]
    assert items[0]["payload"] == post("second")
    await scene.retract("x")
    assert await scene.shown() == [("i1", False), ("i0", False)]
    await scene.restore()
    assert [job.state for job in scene.jobs] == ["done", "done", "done"]
    assert set(scene.truth()) == {"i0", "i1"}


@pytest.mark.parametrize("changed", ["i0", "i1"], ids=["oldest", "newest"])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7])
async def test_pages_hold_each_item_once(scene: Scene, limit: int, changed: str) -> None:
    ids = [await scene.publish(text=str(number)) for number in range(3)]
    await scene.publish(changed, "changed")
    other = "i1" if changed == "i0" else "i0"
    assert await scene.walk(limit) == [changed, *reversed(ids), other]


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_from_a_position_have_it_in_place_of_what_it_replaces(scene: Scene, limit: int) -> None:
    await scene.publish("new")
    for changed in ("i0", "i1"):
        await scene.publish(changed, "changed")
    assert await scene.walk(limit, index=0) == ["i1", "i0"]
    assert await scene.shown(before="i0") == [("i1", True)]
    assert await scene.shown(before="", limit=1) == [("i0", True)]


async def test_a_page_after_one_that_waits(scene: Scene) -> None:
    first, second = await scene.publish(text="1"), await scene.publish(text="2")
    assert await scene.cache.ids(PUBSUB, MICROBLOG, after=second) == [first, "i1", "i0"]
    assert await scene.cache.ids(PUBSUB, MICROBLOG, after=first) == ["i1", "i0"]
    assert await scene.cache.ids(PUBSUB, MICROBLOG, after="i1") == ["i0"]


async def test_a_page_after_nothing_begins_with_what_waits(scene: Scene) -> None:
    await scene.publish("i0", "changed")
    assert await scene.walk(1, after="") == ["i0", "i1"]


@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("order", [NEWEST_FIRST, OLDEST_FIRST], ids=["newest", "oldest"])
async def test_items_by_name_come_once_and_no_more_than_asked_for(scene: Scene, order: Order, limit: int) -> None:
    await scene.publish("new")
    await scene.publish("i0", "changed")
    ids = ("i1", "missing", "new", "i0")
    assert sorted(await scene.walk(limit, order, ids=ids)) == ["i0", "i1", "new"]


@pytest.mark.parametrize("order", [NEWEST_FIRST, OLDEST_FIRST], ids=["newest", "oldest"])
@pytest.mark.parametrize("place", [{}, {"index": 0}, {"ids": LARGE}], ids=["front", "index", "ids"])
async def test_what_waits_does_not_outgrow_what_the_bus_takes(scene: Scene, order: Order, place: Any) -> None:
    for id_ in LARGE[2:]:
        scene.service.publish(MICROBLOG, id_, post(id_))
    await scene.restore()
    await scene.cut()
    for id_ in LARGE:
        await scene.publish(id_, "x" * 75_000)
    assert sorted(await scene.walk(50, order, **place)) == sorted(LARGE)
    assert await scene.walk(50, order, before="")


async def test_one_that_was_shown_and_is_cancelled_hides_none_of_those_that_wait(scene: Scene) -> None:
    await scene.publish("i0", "changed")
    await scene.publish("new", token="mine")
    items, cursor, _ = await scene.cache.read(PUBSUB, MICROBLOG, limit=1)
    assert [item["id"] for item in items] == ["new"]
    scene.job("mine").cancel()
    await scene.settled()
    assert await scene.walk(1, cursor=cursor) == ["i0", "i1"]


@pytest.mark.parametrize(("place", "rest"), [({}, ["new", "i0", "i1"]), ({"index": 0}, [])], ids=["front", "index"])
async def test_a_walk_goes_on_though_all_was_sent_meanwhile(scene: Scene, place: Any, rest: list[str]) -> None:
    await scene.publish("i0", "changed")
    await scene.publish("new")
    _, cursor, _ = await scene.cache.read(PUBSUB, MICROBLOG, limit=1, **place)
    await scene.restore()
    assert not scene.cache.house.outbox.waiting
    assert await scene.walk(1, cursor=cursor) == rest


class TestOfAWindow:
    """The newest two of four posts are kept; the service can't be published to."""

    @pytest.fixture
    async def scene(self, cached: Make) -> Scene:
        world = World()
        service = world.service(PUBSUB)
        service.create_node(MICROBLOG, owner=ALICE, max_items=10_000)
        for number in range(4):
            service.publish(MICROBLOG, f"i{number}", post(number))
        cache: Cached = await cached(world, items_per_node=2)
        await cache.keep(PUBSUB, MICROBLOG)
        service.fail_next("remote-server-timeout", request="publish", times=100)
        return Scene(world, cache, service)

    async def test_what_waits_is_there_by_its_name(self, scene: Scene) -> None:
        await scene.publish("new")
        await scene.publish("i0", "changed")
        assert await scene.shown(ids=("new",)) == [("new", True)]
        assert await scene.shown(ids=("i1", "new", "i0", "missing")) == [("i0", True), ("new", True), ("i1", False)]

    @pytest.mark.parametrize("limit", [1, 2, 3, 7])
    async def test_what_waits_comes_once_though_the_service_goes_on(self, scene: Scene, limit: int) -> None:
        await scene.publish("new")
        await scene.publish("i0", "changed")
        assert await scene.walk(limit) == ["i0", "new", "i3", "i2", "i1"]

    async def test_what_waits_is_shown_though_nothing_of_the_window_is_left(self, scene: Scene) -> None:
        scene.service.retract(MICROBLOG, "i2")
        scene.service.retract(MICROBLOG, "i3")
        await scene.settled()
        await scene.publish("new")
        assert (await scene.shown())[0] == ("new", True)


async def test_a_walk_that_began_at_the_service_has_what_waits_in_place_of_what_it_replaces(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG, owner=ALICE, max_items=10_000)
    for number in range(4):
        service.publish(MICROBLOG, f"i{number}", post(number))
    cache: Cached = await cached(world)
    scene = Scene(world, cache, service)
    service.fail_next("remote-server-timeout", request="publish", times=100)
    await scene.publish("i0", "changed")
    items, cursor, info = await cache.read(PUBSUB, MICROBLOG, limit=1)
    assert ([item["id"] for item in items], info["source"]) == (["i3"], "network")
    await scene.settled()
    assert await scene.walk(1, cursor=cursor) == ["i2", "i1", "i0"]


async def test_where_nothing_is_kept_what_waits_costs_no_request(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    address = BLOG._replace(node="other")
    service.create_node(address.node, owner=ALICE)
    service.publish(address.node, "o", "<o xmlns='urn:o'/>")
    cache: Cached = await cached(world)
    await cache.read(PUBSUB, address.node)
    await cache.idle()
    service.fail_next("remote-server-timeout", request="publish", times=100)
    await cache.house.outbox.publish(address, "new", "<o xmlns='urn:o'/>", {}, CLIENT, "")
    await cache.idle()
    before = world.count()
    assert await cache.ids(PUBSUB, address.node, ids=("new", "o")) == ["o"]
    assert world.count() == before + 1


@pytest.mark.sqlite
@pytest.mark.parametrize("waits", ["publish", "retract"])
async def test_a_page_among_what_waits_is_read_once(scene: Scene, waits: str) -> None:
    await (scene.publish() if waits == "publish" else scene.retract("i0"))
    with heard(scene.cache) as statements:
        assert ("i0", waits == "retract") in await scene.shown()
    assert len([sql for sql, _ in statements if "FROM item" in sql]) == 1


@pytest.mark.parametrize("begin", [{}, {"after": "i3"}])
async def test_no_page_but_the_last_is_empty(scene: Scene, begin: dict[str, str]) -> None:
    await scene.restore()
    for number in (2, 3):
        await scene.publish(f"i{number}")
    await scene.settled()
    await scene.cut()
    for number in (1, 2):
        await scene.publish(f"i{number}", "changed")
    pages: list[list[str]] = []
    place: dict[str, str] = begin
    while not pages or place["cursor"]:
        items, cursor, _ = await scene.cache.read(PUBSUB, MICROBLOG, limit=1, **place)
        pages.append([item["id"] for item in items])
        place = {"cursor": cursor}
    assert pages == ([["i0"]] if begin else [["i2"], ["i1"], ["i3"], ["i0"]])


async def test_fields_are_trimmed(scene: Scene) -> None:
    id_ = await scene.publish()
    items, *_ = await scene.cache.read(PUBSUB, MICROBLOG, fields=frozenset({"pending"}), limit=1)
    assert items == [{"id": id_, "pending": True}]


async def test_what_waits_has_its_marks(scene: Scene) -> None:
    await scene.cache.house.node_reads.set_flags(BLOG, ["i0", "x"], ["read", "starred"], [])
    await scene.publish("i0", "changed")
    await scene.publish("x")
    for options in ({}, {"order": OLDEST_FIRST}, {"ids": ("i0", "x")}):
        items, *_ = await scene.cache.read(PUBSUB, MICROBLOG, **options)
        marks = {item["id"]: item["flags"] for item in items}
        assert marks["i0"] == marks.get("x", marks["i0"]) == ["read", "starred"]
    await scene.restore()
    items, *_ = await scene.cache.read(PUBSUB, MICROBLOG, limit=2)
    assert [(item["id"], item["flags"]) for item in items] == [("x", ["read", "starred"]), ("i0", ["read", "starred"])]


async def test_the_service_s_word_is_not_mixed_with_it(scene: Scene) -> None:
    await scene.restore()
    scene.service.fail_next("remote-server-timeout", request="publish")
    await scene.publish()
    await scene.settled()
    assert await scene.cache.ids(PUBSUB, MICROBLOG, policy="network") == ["i1", "i0"]
    assert await scene.cache.ids(PUBSUB, MICROBLOG, policy="refresh") == ["i1", "i0"]
    assert len(await scene.shown()) == 3


async def test_a_node_that_nobody_keeps_shows_nothing(scene: Scene) -> None:
    things = Address(ALICE, PUBSUB, "things")
    scene.service.create_node("things", owner=ALICE)
    await scene.cache.house.outbox.publish(things, "t", "<t xmlns='urn:t'/>", {}, CLIENT, "")
    with pytest.raises(errors.NotCached):
        await scene.cache.read(PUBSUB, "things", policy="cache")
    await scene.restore()
    assert [item.id for item in scene.service.items("things")] == ["t"]

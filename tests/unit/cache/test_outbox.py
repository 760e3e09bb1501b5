"""The outbox: what waits is kept, shown, sent once and in order, or given up for a reason that is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.jobs import Job, JobFailed
from pubsub_cached.cache.options import NEWEST_FIRST, REPLY_BYTES, Order
from pubsub_cached.cache.replies import weight
from pubsub_cached.cache.writing import outbox as outboxes
from pubsub_cached.cache.writing.outbox import WAITING_AT_MOST
from pubsub_cached.cache.writing.sending import ATTEMPTS_AT_MOST
from pubsub_cached.store.accounts import outbox
from pubsub_cached.store.items.pages import read_items
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, Service, World
from tests.support.cached import ALICE, Cached, Make

from .blog import BLOG, MICROBLOG, PROFILES, PUBSUB, owned, post, reaching, writer_busy
from .test_pages import heard

CLIENT = ":1.42"
BOOKMARKS = "urn:xmpp:bookmarks:1"
BOX = Address(ALICE, PUBSUB, "box")
OLDEST_FIRST: Order = (("modified", False),)
LARGE = tuple(f"i{number}" for number in range(6))


class Scene:
    """A cache that follows Alice's blog of two posts, and is offline."""

    def __init__(self, world: World, cache: Cached, service: Service) -> None:
        self.world = world
        self.cache = cache
        self.service = service

    async def publish(self, item_id: str = "", text: str = "new", token: str = "", **options: Any) -> str:
        outbox = self.cache.house.outbox
        return await outbox.publish(BLOG, item_id, post(text), options, CLIENT, token)

    async def retract(self, *ids: str, token: str = "") -> None:
        await self.cache.house.outbox.retract(BLOG, ids, True, CLIENT, token)

    async def cut(self) -> None:
        self.world.cut(ALICE)
        await self.cache.idle()

    async def sending(self, *texts: str) -> None:
        """Publications of one item, named after their texts: the first is held up as it is sent, the others wait."""
        await self.restore()
        self.service.hold()
        for text in texts:
            await self.publish("i0", text, token=text)
        await reaching(self.service, "publish")

    async def kill_once_sent(self) -> None:
        """The first is sent, and its session ends before anything else is."""
        self.service.release(1)
        await self.job("one").wait()
        self.world.kill(ALICE)
        self.service.expire()
        self.service.release()

    async def restore(self) -> None:
        self.world.restore(ALICE)
        await self.settled()

    async def settled(self) -> None:
        for _ in range(5):
            await self.cache.idle()

    @property
    def jobs(self) -> list[Job]:
        return [job for job in self.cache.house.jobs.list() if job.kind == "outbox"]

    def job(self, token: str) -> Job:
        (found,) = [job for job in self.jobs if job.path == f"/im/pubsubcache1/job/1_42/{token}"]
        return found

    def truth(self) -> dict[str, str]:
        return {item.id: item.payload for item in self.service.items(MICROBLOG)}

    async def shown(self, **options: Any) -> list[tuple[str, bool]]:
        items, *_ = await self.cache.read(PUBSUB, MICROBLOG, **options)
        return [(item["id"], item.get("pending", False)) for item in items]

    async def walk(self, limit: int, order: Order = NEWEST_FIRST, **begin: Any) -> list[str]:
        """The ids of all pages; begin: the place of the first one."""
        found: list[str] = []
        place = begin
        while True:
            items, cursor, _ = await self.cache.read(PUBSUB, MICROBLOG, limit=limit, order=order, **place)
            assert len(items) <= limit
            assert weight(items) <= REPLY_BYTES
            found += [item["id"] for item in items]
            if not cursor:
                return found
            place = {"cursor": cursor}

    def sent(self, kind: str = "publish") -> int:
        return self.world.count(kind, PUBSUB, MICROBLOG)


@pytest.fixture
def profile() -> Profile:
    return PROSODY


@pytest.fixture
async def scene(cached: Make, profile: Profile) -> Scene:
    world = World()
    service = world.service(PUBSUB, profile=profile)
    service.create_node(MICROBLOG, owner=ALICE, max_items=10_000)
    for number in range(2):
        service.publish(MICROBLOG, f"i{number}", post(number))
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, MICROBLOG)
    found = Scene(world, cache, service)
    await found.cut()
    cache.told.clear()
    return found


@PROFILES
async def test_it_is_sent_once_connected_and_answered_with_its_id_at_once(scene: Scene) -> None:
    id_ = await scene.publish(token="mine")
    assert id_
    job = scene.job("mine")
    assert job.state == "queued"
    assert id_ not in scene.truth()
    await scene.restore()
    assert await job.wait()
    assert scene.truth()[id_] == post("new")
    assert scene.sent() == 1
    assert await scene.shown() == [(id_, False), ("i1", False), ("i0", False)]


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


async def test_sent_at_once_when_online(scene: Scene) -> None:
    await scene.restore()
    id_ = await scene.publish("mine")
    await scene.settled()
    assert id_ == "mine"
    assert scene.truth()["mine"] == post("new")
    assert await scene.shown() == [("mine", False), ("i1", False), ("i0", False)]


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


async def test_what_waits_survives_a_restart(scene: Scene) -> None:
    id_ = await scene.publish(token="mine")
    await scene.retract("i0", token="other")
    await scene.cache.restart(online=False)
    assert [(job.path.rsplit("/", 1)[1], job.state) for job in scene.jobs] == [("mine", "queued"), ("other", "queued")]
    assert await scene.shown() == [(id_, True), ("i1", False), ("i0", True)]
    await scene.cache.house.connect()
    await scene.settled()
    assert [job.state for job in scene.jobs] == ["done", "done"]
    assert set(scene.truth()) == {"i1", id_}
    await scene.cache.restart()
    assert scene.jobs == []
    assert scene.sent() == 1


@pytest.mark.parametrize("begun", [True, False])
async def test_that_the_daemon_stops_is_no_end_of_what_waits(scene: Scene, begun: bool) -> None:
    await scene.publish(token="mine")
    if begun:
        await scene.settled()
    (job,) = scene.jobs
    told: list[str] = []
    job.on_finished.append(lambda job: told.append(job.state))
    job.on_change.append(lambda: told.append(job.state))
    await scene.cache.restart(online=False)
    assert told == []
    assert (job.state, job.error) == ("queued", "")
    with pytest.raises(errors.Cancelled, match="goes on"):
        await job.wait()


async def test_what_is_left_to_another_daemon_is_not_said_to_be_given_up(scene: Scene) -> None:
    id_ = await scene.publish(token="mine")
    await scene.settled()
    job = scene.job("mine")
    scene.cache.house.outbox.left(ALICE)
    with pytest.raises(errors.Cancelled, match=f"The publication of '{id_}' .* goes on"):
        await job.wait()
    await scene.cache.house.outbox.taken(ALICE)
    assert scene.job("mine").state == "queued"
    await scene.restore()
    assert scene.sent() == 1


async def test_everything_of_a_node_is_sent_in_order(scene: Scene) -> None:
    ids = [await scene.publish(text=str(number)) for number in range(12)]
    await scene.restore()
    assert list(scene.truth())[2:] == ids


@pytest.mark.parametrize(
    ("service", "node", "payload"),
    [
        pytest.param(ALICE, "urn:xmpp:openpgp:0:secret-key", "<secretkey xmlns='urn:xmpp:openpgp:0'/>", id="a key"),
        pytest.param(PUBSUB, MICROBLOG, f"<c xmlns='{BOOKMARKS}'><password>hunter2</password></c>", id="a bookmark"),
        pytest.param(ALICE, BOOKMARKS, "<x xmlns='urn:x'><password>hunter2</password></x>", id="beside bookmarks"),
    ],
)
async def test_what_is_never_stored_does_not_wait_either(scene: Scene, service: str, node: str, payload: str) -> None:
    with pytest.raises(errors.NotSupported, match="publish without 'queue'"):
        await scene.cache.house.outbox.publish(Address(ALICE, service, node), "i", payload, {}, CLIENT, "")
    assert scene.jobs == []


async def test_a_cancelled_one_is_never_sent(scene: Scene) -> None:
    id_ = await scene.publish(token="mine")
    scene.cache.told.clear()
    job = scene.job("mine")
    job.cancel()
    with pytest.raises(errors.Cancelled):
        await job.wait()
    assert "waits" not in job.message
    await scene.settled()
    assert scene.cache.signals("updated")
    assert await scene.shown() == [("i1", False), ("i0", False)]
    await scene.cache.restart()
    await scene.settled()
    assert id_ not in scene.truth()


async def test_a_token_in_use_is_a_conflict_and_queues_nothing(scene: Scene) -> None:
    await scene.publish("a", token="mine")
    with pytest.raises(errors.Conflict, match="mine"):
        await scene.publish("b", token="mine")
    await scene.restore()
    assert "b" not in scene.truth()


async def test_more_than_eight_may_wait_but_not_without_end(scene: Scene) -> None:
    for number in range(20):
        await scene.publish(f"x{number}")
    waiting = scene.cache.house.outbox.waiting
    waiting[BLOG] = waiting[BLOG] * (WAITING_AT_MOST // 20)
    with pytest.raises(errors.LimitExceeded):
        await scene.publish("more")
    waiting[BLOG] = waiting[BLOG][:20]


async def test_what_xml_can_t_carry_is_refused_before_it_waits(scene: Scene) -> None:
    refused = (
        scene.publish("x\x01"),
        scene.publish("x", **{"pubsub#title": ["\x01"]}),
        scene.publish("x", **{"pubsub#\x01": ["1"]}),
        scene.retract("b", "x\x01"),
        scene.cache.house.outbox.publish(BLOG._replace(node="\x01"), "x", post("new"), {}, CLIENT, ""),
    )
    for call in refused:
        with pytest.raises(errors.InvalidArgs, match=r"U\+0001"):
            await call
    assert scene.jobs == []


@pytest.mark.parametrize("keep_cache", [True, False])
async def test_nothing_of_a_removed_account_is_sent(scene: Scene, keep_cache: bool) -> None:
    await scene.publish("mine", token="mine")
    accounts = scene.cache.house.accounts
    await accounts.remove(accounts.get(ALICE), keep_cache)
    await scene.settled()
    assert scene.job("mine").state == "cancelled"
    await scene.cache.restart()
    await scene.settled()
    assert "mine" not in scene.truth()
    assert scene.jobs == []


async def test_nor_is_it_where_the_daemon_is_killed_before_its_jobs_have_ended(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.publish("mine", token="mine")
    accounts = scene.cache.house.accounts
    with failing(monkeypatch, "remove", errors.DatabaseError("It has gone.")):
        await accounts.remove(accounts.get(ALICE), True)
        await scene.cache.restart()
    await scene.settled()
    assert "mine" not in scene.truth()


class TestOneBehindAnother:
    """What is queued for an item for which something waits already goes on from what becomes of that."""

    @pytest.mark.parametrize("how", ["sent", "cancelled", "refused"])
    async def test_it_is_sent(self, scene: Scene, how: str) -> None:
        await scene.publish("i0", "one", token="one")
        await scene.publish("i0", "two", token="two")
        if how == "cancelled":
            scene.job("one").cancel()
            await scene.settled()
        elif how == "refused":
            scene.service.fail_next("not-acceptable", request="publish")
        await scene.restore()
        assert scene.job("one").state == {"sent": "done", "refused": "failed"}.get(how, how)
        assert scene.job("two").state == "done"
        assert scene.truth()["i0"] == post("two")

    async def test_it_is_not_where_somebody_has_changed_the_item(self, scene: Scene) -> None:
        await scene.publish("i0", "one", token="one")
        await scene.publish("i0", "two", token="two")
        scene.job("one").cancel()
        scene.service.publish(MICROBLOG, "i0", post("theirs"))
        await scene.restore()
        assert scene.job("two").error == "im.pubsubcache1.Error.Conflict"
        assert scene.truth()["i0"] == post("theirs")

    async def test_it_is_sent_by_a_daemon_that_starts_once_the_first_one_was(self, scene: Scene) -> None:
        await scene.sending("one", "two")
        await scene.kill_once_sent()
        await scene.cache.restart()
        await scene.settled()
        assert scene.job("two").state == "done"
        assert scene.truth()["i0"] == post("two")

    async def test_so_is_the_last_of_three_where_the_second_one_is_cancelled_by_then(self, scene: Scene) -> None:
        await scene.sending("one", "two", "three")
        await scene.kill_once_sent()
        await scene.cache.restart(online=False)
        scene.job("two").cancel()
        await scene.cache.house.connect()
        await scene.settled()
        assert scene.job("two").state == "cancelled"
        assert scene.job("three").state == "done"
        assert scene.truth()["i0"] == post("three")

    async def test_it_is_sent_where_the_first_one_was_while_it_was_stored(self, cached: Make) -> None:
        cache, service = await owned(cached, World())
        service.create_node(BOX.node, owner=ALICE)
        service.hold()
        outbox = cache.house.outbox
        id_ = await outbox.publish(BOX, "", post("one"), {}, CLIENT, "one")
        await reaching(service, "publish")
        with writer_busy(cache):
            publishing = asyncio.create_task(outbox.publish(BOX, id_, post("two"), {}, CLIENT, "two"))
            await cache.world.settle()
            service.release()
            await cache.world.settle()
        await publishing
        await asyncio.gather(*(job.wait() for job in cache.house.jobs.list() if job.kind == "outbox"))
        assert [item.payload for item in service.items(BOX.node)] == [post("two")]

    @pytest.mark.parametrize("arrives", [False, True], ids=["lost", "arrived"])
    async def test_it_is_sent_where_the_first_one_was_cancelled_as_it_was_sent(
        self, scene: Scene, arrives: bool
    ) -> None:
        await scene.sending("one", "two")
        scene.job("one").cancel()
        with pytest.raises(errors.Cancelled):
            await scene.job("one").wait()
        if not arrives:
            await scene.cut()
            scene.service.expire()
        scene.service.release()
        await scene.restore()
        assert scene.job("two").state == "done"
        assert scene.truth()["i0"] == post("two")

    async def test_it_is_sent_where_the_first_one_was_while_somebody_looked_what_there_is(self, scene: Scene) -> None:
        await scene.sending("one")
        with looked(scene.cache, read_items) as gate:
            retracting = asyncio.create_task(scene.retract("i0", "i1", token="two"))
            await scene.world.settle()
            scene.service.release()
            await scene.job("one").wait()
            gate.set()
            await retracting
        await scene.job("two").wait()
        assert scene.truth() == {}


class TestOnce:
    """Whatever happens while it is sent, it is applied once."""

    async def test_an_answer_that_was_lost_is_not_sent_again(self, scene: Scene) -> None:
        await scene.restore()
        scene.service.hold()
        await scene.publish("mine", token="mine")
        await scene.settled()
        scene.service.release(1)
        await scene.settled()
        assert [request.kind for request in scene.service.held] == ["publish"]
        # The service applies it, and the stream is lost before the answer.
        scene.service.publish(MICROBLOG, "mine", post("new"), publisher=ALICE, notify=False)
        scene.service.expire()
        scene.world.cut(ALICE)
        await scene.settled()
        scene.service.release()
        sent = scene.sent()
        await scene.restore()
        assert scene.job("mine").state == "done"
        assert scene.sent() == sent == 1
        assert (await scene.shown())[0] == ("mine", False)

    async def test_a_killed_daemon_asks_before_it_sends_again(self, scene: Scene) -> None:
        await scene.restore()
        scene.service.hold()
        await scene.publish("mine", token="mine")
        await scene.settled()
        scene.service.release(1)
        await scene.settled()
        scene.world.kill(ALICE)
        scene.service.expire()
        scene.service.publish(MICROBLOG, "mine", post("new"), publisher=ALICE, notify=False)
        scene.service.release()
        await scene.cache.restart()
        await scene.settled()
        assert scene.job("mine").state == "done"
        assert scene.sent() == 1

    async def test_what_did_not_arrive_is_sent_again(self, scene: Scene) -> None:
        scene.service.ignore_next(request="publish")
        await scene.publish("mine", token="mine")
        await scene.restore()
        assert scene.job("mine").state == "running"
        assert "mine" not in scene.truth()
        await scene.cut()
        await scene.restore()
        assert scene.job("mine").state == "done"
        assert "mine" in scene.truth()
        assert scene.sent() == 2

    async def test_what_somebody_removed_after_it_arrived_is_not_brought_back(self, scene: Scene) -> None:
        scene.service.ignore_next(request="publish")
        await scene.publish("i0", "changed", token="mine")
        await scene.restore()
        scene.service.publish(MICROBLOG, "i0", post("changed"))
        scene.service.retract(MICROBLOG, "i0")
        await scene.cut()
        await scene.restore()
        job = scene.job("mine")
        assert (job.state, job.error) == ("failed", "im.pubsubcache1.Error.Conflict")
        assert "i0" not in scene.truth()

    async def test_what_is_never_answered_is_given_up(self, scene: Scene) -> None:
        scene.service.ignore_next(request="publish", times=100)
        await scene.publish("mine", token="mine")
        for _ in range(ATTEMPTS_AT_MOST + 2):
            await scene.restore()
            await scene.cut()
        assert scene.job("mine").error == "im.pubsubcache1.Error.Timeout"
        assert scene.sent() == ATTEMPTS_AT_MOST

    async def test_a_retraction_that_is_done_already_is_done(self, scene: Scene) -> None:
        await scene.retract("i0", "i1", token="mine")
        scene.service.retract(MICROBLOG, "i0")
        await scene.restore()
        assert scene.job("mine").state == "done"
        assert scene.truth() == {}

    async def test_each_item_of_a_retraction_is_sent_once(self, scene: Scene) -> None:
        ids = [f"m{number}" for number in range(ATTEMPTS_AT_MOST + 2)]
        for id_ in ids:
            scene.service.publish(MICROBLOG, id_, post(id_))
        await scene.restore()
        await scene.cut()
        await scene.retract(*ids, token="mine")
        await scene.restore()
        assert scene.job("mine").state == "done"
        assert sorted(scene.truth()) == ["i0", "i1"]
        assert scene.sent("retract") == len(ids)

    async def test_so_is_each_where_nobody_may_look(self, scene: Scene) -> None:
        scene.service.create_node("box", owner=ALICE)
        for id_ in ("a", "b"):
            scene.service.publish("box", id_, post(id_), publisher=ALICE)
        scene.service.fail_next("forbidden", times=100)
        await scene.cache.house.outbox.retract(BOX, ["a", "b"], True, CLIENT, "mine")
        await scene.restore()
        assert scene.job("mine").state == "done"
        assert scene.service.items("box") == []


class TestConflicts:
    async def test_what_somebody_changed_is_not_overwritten(self, scene: Scene) -> None:
        await scene.publish("i0", "mine", token="mine")
        scene.service.publish(MICROBLOG, "i0", post("theirs"))
        await scene.restore()
        job = scene.job("mine")
        assert (job.state, job.error) == ("failed", "im.pubsubcache1.Error.Conflict")
        assert "'i0'" in job.error_message
        assert scene.truth()["i0"] == post("theirs")
        items, *_ = await scene.cache.read(PUBSUB, MICROBLOG)
        assert {item["id"]: item["payload"] for item in items} == scene.truth()

    async def test_an_id_that_somebody_else_took_is_not_overwritten(self, scene: Scene) -> None:
        await scene.publish("taken", "mine", token="mine")
        scene.service.publish(MICROBLOG, "taken", post("theirs"))
        await scene.restore()
        assert scene.job("mine").error == "im.pubsubcache1.Error.Conflict"
        assert scene.truth()["taken"] == post("theirs")

    async def test_what_somebody_changed_is_not_retracted(self, scene: Scene) -> None:
        await scene.retract("i0", token="mine")
        scene.service.publish(MICROBLOG, "i0", post("theirs"))
        await scene.restore()
        assert scene.job("mine").error == "im.pubsubcache1.Error.Conflict"
        assert scene.truth()["i0"] == post("theirs")

    async def test_what_is_there_once_one_may_look_is_not_overwritten(self, scene: Scene) -> None:
        scene.service.create_node("box", access_model="whitelist").publish_model = "open"
        scene.service.ignore_next(request="publish")
        await scene.cache.house.outbox.publish(BOX, "t", "<t xmlns='urn:t'/>", {}, CLIENT, "mine")
        await scene.restore()
        assert scene.job("mine").state == "running"
        scene.service.configure("box", access_model="open")
        scene.service.publish("box", "t", "<theirs xmlns='urn:t'/>")
        await scene.cut()
        await scene.restore()
        assert scene.job("mine").error == "im.pubsubcache1.Error.Conflict"
        assert [item.payload for item in scene.service.items("box")] == ["<theirs xmlns='urn:t'/>"]

    async def test_the_same_content_of_somebody_else_is_no_conflict(self, scene: Scene) -> None:
        await scene.publish("i0", "same", token="mine")
        scene.service.publish(MICROBLOG, "i0", post("same"))
        await scene.restore()
        assert scene.job("mine").state == "done"
        assert scene.sent() == 0


class TestWhatItSees:
    """What the service answers before anything is sent is no secret of the job: reads know of it."""

    @PROFILES
    @pytest.mark.parametrize("action", ["publish", "retract"])
    async def test_an_item_that_was_removed_without_a_word_is_read_no_more(self, scene: Scene, action: str) -> None:
        await scene.restore()
        scene.service.expire_items(MICROBLOG, "i0")
        await (scene.publish("i0") if action == "publish" else scene.retract("i0"))
        await scene.settled()
        assert await scene.shown() == [("i1", False)]

    @PROFILES
    async def test_an_item_that_was_changed_without_a_word_can_be_read_again(self, scene: Scene) -> None:
        await scene.restore()
        scene.service.publish(MICROBLOG, "i0", post("theirs"), notify=False)
        await scene.publish("i0", "mine", token="mine")
        await scene.settled()
        assert scene.job("mine").error == "im.pubsubcache1.Error.Conflict"
        items, *_ = await scene.cache.read(PUBSUB, MICROBLOG)
        assert {item["id"]: item["payload"] for item in items} == scene.truth()

    @PROFILES
    async def test_a_node_that_is_gone_without_a_word_is_not_shown(self, scene: Scene) -> None:
        await scene.restore()
        scene.service.delete(MICROBLOG, notify=False)
        await scene.retract("i0")
        await scene.settled()
        with pytest.raises(errors.NoSuchNode):
            await scene.cache.read(PUBSUB, MICROBLOG, policy="cache")

    @PROFILES
    async def test_nor_is_one_that_may_not_be_read_any_more(self, scene: Scene) -> None:
        await scene.restore()
        scene.service.set_affiliation(MICROBLOG, ALICE, "outcast")
        await scene.publish("new")
        await scene.settled()
        with pytest.raises(errors.Denied):
            await scene.cache.read(PUBSUB, MICROBLOG, policy="cache")

    @PROFILES
    async def test_a_service_that_can_t_be_reached_is_said_to_be_so(self, scene: Scene) -> None:
        await scene.restore()
        scene.service.down("remote-server-timeout")
        await scene.publish("new")
        await scene.settled()
        assert (await scene.cache.node(PUBSUB, MICROBLOG))["state"] == "unreachable"

    @PROFILES
    async def test_what_is_new_casts_no_doubt(self, scene: Scene) -> None:
        await scene.restore()
        scene.cache.told.clear()
        await scene.publish("new")
        await scene.settled()
        assert scene.cache.signals("stale") == []


class TestRefusals:
    async def test_a_refusal_ends_it_with_the_service_s_error_and_the_next_goes_on(self, scene: Scene) -> None:
        scene.service.fail_next("forbidden", "Not today", request="publish")
        await scene.publish("a", token="a")
        await scene.publish("b", token="b")
        await scene.restore()
        job = scene.job("a")
        assert (job.state, job.error) == ("failed", "im.pubsubcache1.Error.Xmpp.Forbidden")
        assert "Not today" in job.error_message
        assert scene.job("b").state == "done"
        assert "a" not in dict(await scene.shown())

    async def test_a_service_that_can_t_be_reached_is_tried_again(self, scene: Scene) -> None:
        scene.service.down("remote-server-timeout")
        await scene.publish("mine", token="mine")
        await scene.restore()
        job = scene.job("mine")
        assert job.state == "running"
        assert "remote-server-timeout" in job.message
        scene.service.up()
        await scene.cut()
        await scene.restore()
        assert job.state == "done"
        assert "mine" in scene.truth()

    async def test_a_node_that_may_only_be_published_to(self, scene: Scene) -> None:
        scene.service.create_node("box", access_model="whitelist").publish_model = "open"
        await scene.cache.house.outbox.publish(BOX, "t", "<t xmlns='urn:t'/>", {}, CLIENT, "mine")
        await scene.restore()
        assert scene.job("mine").state == "done"
        assert [item.id for item in scene.service.items("box")] == ["t"]

    async def test_options_are_kept_and_sent(self, scene: Scene) -> None:
        own = Address(ALICE, ALICE, "urn:example:thing")
        options = {"pubsub#access_model": ["open"]}
        await scene.cache.house.outbox.publish(own, "current", "<t xmlns='urn:t'/>", options, CLIENT, "mine")
        await scene.cache.restart()
        await scene.settled()
        assert scene.job("mine").state == "done"
        assert scene.world.accounts[ALICE].pep.node("urn:example:thing").access_model == "open"


class TestOwnNodeThatIsNotThere:
    """What waits first of all cannot be preceded by a CreateNode, and servers make a node for one item."""

    @pytest.fixture(params=[PROSODY, EJABBERD], ids=["prosody", "ejabberd"])
    async def own(self, cached: Make, request: pytest.FixtureRequest) -> tuple[Cached, Service]:
        world = World()
        pep = world.account(ALICE, pep=request.param).pep
        cache: Cached = await cached(world)
        world.cut(ALICE)
        await cache.idle()
        return cache, pep

    async def publish(self, cache: Cached, node: str, *ids: str, **options: Any) -> list[Job]:
        """What is queued of a node, sent; its jobs."""
        for id_ in ids:
            await cache.house.outbox.publish(Address(ALICE, ALICE, node), id_, post(id_), options, CLIENT, id_)
        jobs = [job for job in cache.house.jobs.list() if job.kind == "outbox"]
        cache.world.restore(ALICE)
        for _ in range(5):
            await cache.idle()
        assert {job.state for job in jobs} == {"done"}
        return jobs

    async def test_is_made_for_all_that_waits(self, own: tuple[Cached, Service]) -> None:
        cache, pep = own
        await self.publish(cache, MICROBLOG, "a", "b")
        assert [item.id for item in pep.items(MICROBLOG)] == ["a", "b"]
        assert cache.world.count("create_node", ALICE, MICROBLOG) == 1
        assert await cache.ids(ALICE, MICROBLOG) == ["b", "a"]

    async def test_is_made_as_the_options_say(self, own: tuple[Cached, Service]) -> None:
        cache, pep = own
        await self.publish(cache, MICROBLOG, "a", "b", **{"pubsub#access_model": ["open"]})
        assert [item.id for item in pep.items(MICROBLOG)] == ["a", "b"]
        assert pep.node(MICROBLOG).access_model == "open"

    async def test_stays_as_another_client_made_it_meanwhile(self, own: tuple[Cached, Service]) -> None:
        cache, pep = own
        pep.create_node(MICROBLOG, max_items=2)
        await self.publish(cache, MICROBLOG, "a", "b", "c")
        assert [item.id for item in pep.items(MICROBLOG)] == ["b", "c"]
        assert cache.world.count("create_node", ALICE, MICROBLOG) == 0

    @pytest.mark.parametrize("condition", ["conflict", "not-acceptable", "service-unavailable"])
    async def test_is_the_service_s_to_make_where_it_refuses(self, own: tuple[Cached, Service], condition: str) -> None:
        """As where another client makes it in that moment."""
        cache, pep = own
        pep.fail_next(condition, request="create_node")
        await self.publish(cache, MICROBLOG, "a", "b")
        assert [item.id for item in pep.items(MICROBLOG)] == ["b"]

    async def test_is_the_service_s_to_make_where_only_the_newest_counts(self, own: tuple[Cached, Service]) -> None:
        cache, pep = own
        mood = "http://jabber.org/protocol/mood"
        await self.publish(cache, mood, "a", "b")
        assert [item.id for item in pep.items(mood)] == ["b"]
        assert cache.world.count("create_node", ALICE, mood) == 0


class TestFailingDatabase:
    """What the database refuses for a while is neither lost nor sent twice."""

    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Not at once: nothing would ever be settled.
        monkeypatch.setattr(outboxes, "AGAIN", 0.1)

    @pytest.mark.parametrize("error", errors.STORAGE)
    async def test_it_waits_where_the_attempt_can_t_be_written_down(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch, error: type[errors.PubSubCachedError]
    ) -> None:
        await scene.publish("mine", token="mine")
        with failing(monkeypatch, "tried", error("No room.")):
            for _ in range(ATTEMPTS_AT_MOST + 1):
                await scene.restore()
                await scene.cut()
        job = scene.job("mine")
        assert (job.state, "No room." in job.message, scene.sent()) == ("running", True, 0)
        assert await scene.shown() == [("mine", True), ("i1", False), ("i0", False)]
        await scene.restore()
        assert (job.state, scene.sent()) == ("done", 1)
        assert "mine" in scene.truth()

    async def test_what_was_sent_is_not_sent_again(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        writing = scene.cache.house.writing
        followed, failures = writing._followed, [errors.DatabaseError("It has gone.")]

        async def fails_once(address: Address) -> bool:
            if failures:
                raise failures.pop()
            return await followed(address)

        monkeypatch.setattr(writing, "_followed", fails_once)
        await scene.publish("mine", token="mine")
        await scene.restore()
        await scene.settled()
        assert (scene.job("mine").state, scene.sent()) == ("done", 1)
        assert "mine" in await scene.cache.ids(PUBSUB, MICROBLOG, policy="cache")

    @pytest.mark.parametrize("cancelled", [False, True], ids=["sent", "cancelled"])
    async def test_it_is_not_over_before_it_is_removed(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch, cancelled: bool
    ) -> None:
        await scene.publish("mine", token="mine")
        job = scene.job("mine")
        with failing(monkeypatch, "remove", errors.DatabaseError("It has gone.")):
            if cancelled:
                await scene.settled()
                job.cancel()
            else:
                await scene.restore()
            await scene.settled()
            assert not job.finished
        with contextlib.suppress(errors.Cancelled):
            await job.wait()
        assert job.state == ("cancelled" if cancelled else "done")
        assert await scene.cache.store.read(outbox.all) == []

    async def test_the_daemon_ends_though_nothing_can_be_removed(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await scene.publish("mine", token="mine")
        told: list[str] = []
        scene.job("mine").on_finished.append(lambda job: told.append(job.state))
        with failing(monkeypatch, "remove", errors.DatabaseError("It has gone.")):
            await scene.restore()
            await scene.cache.restart()
        assert told == [], "it goes on"
        await scene.job("mine").wait()
        assert scene.sent() == 1
        assert await scene.cache.store.read(outbox.all) == []


@contextlib.contextmanager
def looked(cache: Cached, which: Callable[..., Any] = outbox.all) -> Iterator[asyncio.Event]:
    """What is read of the whole outbox, or of something else, is there as it was, once this is set."""
    gate, read = asyncio.Event(), cache.store.read

    async def late(function: Callable[..., Any], *arguments: Any) -> Any:
        found = await read(function, *arguments)
        if function is which:
            await gate.wait()
        return found

    cache.store.read = late  # type: ignore[method-assign]
    try:
        yield gate
    finally:
        del cache.store.read


@contextlib.contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, name: str, error: errors.PubSubCachedError) -> Iterator[None]:
    """The database refuses one kind of write to the outbox."""

    def fails(*arguments: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(outbox, name, fails)
        yield


async def sending(cache: Cached, service: Service, item: str, payload: str, until: str, address: Address = BLOG) -> Job:
    """The job of a publication that has come to a request of this name, which is held up."""
    service.hold()
    await cache.house.outbox.publish(address, item, payload, {}, CLIENT, "q")
    await reaching(service, until)
    (job,) = [job for job in cache.house.jobs.list() if job.kind == "outbox"]
    return job


@contextlib.asynccontextmanager
async def answered_and_not_written_down(cache: Cached, service: Service) -> AsyncIterator[None]:
    """What happens in here comes once the service has answered, and before anything is written down."""
    with writer_busy(cache):
        service.release()
        await cache.world.settle()
        yield
        await cache.world.settle()


async def test_who_cancels_what_was_sent_already_comes_too_late(cached: Make) -> None:
    cache, service = await owned(cached, World())
    service.create_node("other", owner=ALICE)
    other = Address(ALICE, PUBSUB, "other")
    job = await sending(cache, service, "q", "<q xmlns='urn:q'/>", "publish", other)
    async with answered_and_not_written_down(cache, service):
        job.cancel()
    await job.wait()
    assert not cache.house.outbox.waiting
    assert await cache.store.read(outbox.all) == []


async def test_what_somebody_changes_while_the_attempt_is_written_down_is_not_overwritten(cached: Make) -> None:
    cache, service = await owned(cached, World())
    job = await sending(cache, service, "i0", post("mine"), "get_items")
    async with answered_and_not_written_down(cache, service):
        service.publish(MICROBLOG, "i0", post("theirs"))
    with pytest.raises(JobFailed, match="changed at the service"):
        await job.wait()
    assert {item.id: item.payload for item in service.items(MICROBLOG)}["i0"] == post("theirs")


@pytest.mark.parametrize("how", ["purged", "in another session"])
async def test_nor_is_what_changes_without_a_word_of_the_item(cached: Make, how: str) -> None:
    cache, service = await owned(cached, World())
    job = await sending(cache, service, "i0", post("mine"), "get_items")
    async with answered_and_not_written_down(cache, service):
        if how == "purged":
            service.purge(MICROBLOG)
        else:
            cache.world.cut(ALICE)
            service.publish(MICROBLOG, "i0", post("theirs"))
            cache.world.restore(ALICE)
    with pytest.raises(JobFailed, match="at the service since this was queued"):
        await job.wait()
    assert post("mine") not in [item.payload for item in service.items(MICROBLOG)]


async def test_what_was_not_sent_for_a_new_session_began_was_not_tried(cached: Make) -> None:
    cache, service = await owned(cached, World())
    service.fail_next("forbidden", times=2)
    job = await sending(cache, service, "q", post("mine"), "get_items")
    async with answered_and_not_written_down(cache, service):
        cache.world.cut(ALICE)
        cache.world.restore(ALICE)
    await job.wait()
    assert "q" in [item.id for item in service.items(MICROBLOG)]


async def test_what_ends_while_somebody_looks_is_not_begun_again(cached: Make) -> None:
    cache, service = await owned(cached, World())
    job = await sending(cache, service, "q", post("q"), "publish")
    with looked(cache) as gate:
        loading = asyncio.create_task(cache.house.outbox.load())
        await cache.world.settle()
        job.cancel()
        with pytest.raises(errors.Cancelled):
            await job.wait()
        gate.set()
        await loading
    assert not cache.house.outbox.waiting


async def test_a_token_is_in_use_while_what_it_names_is_stored(cached: Make) -> None:
    cache, _ = await owned(cached, World())
    with writer_busy(cache):
        publishing = asyncio.create_task(cache.house.outbox.publish(BLOG, "q", post("q"), {}, CLIENT, "q"))
        await cache.world.settle()
        with pytest.raises(errors.Conflict, match="'q'"):
            cache.house.removal.reset(CLIENT, "q")
    await publishing


async def test_what_is_being_stored_is_not_begun_by_somebody_else(cached: Make) -> None:
    cache, _ = await owned(cached, World())
    with writer_busy(cache):
        publishing = asyncio.create_task(cache.house.outbox.publish(BLOG, "q", post("q"), {}, CLIENT, "q"))
        await cache.world.settle()
        loading = asyncio.create_task(cache.house.outbox.load())
        await cache.world.settle()
        assert not loading.done()
    await asyncio.gather(publishing, loading)
    assert len([job for job in cache.house.jobs.list() if job.kind == "outbox"]) == 1

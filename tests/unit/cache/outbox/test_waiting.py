"""What is queued is kept until it is sent, in order, or given up by whoever queued it."""

from __future__ import annotations

import asyncio

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.writing.outbox import WAITING_AT_MOST
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, Make

from ..blog import BLOG, MICROBLOG, PROFILES, PUBSUB, owned, post, writer_busy
from .scene import CLIENT, Scene, failing, looked, sending

BOOKMARKS = "urn:xmpp:bookmarks:1"


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


async def test_sent_at_once_when_online(scene: Scene) -> None:
    await scene.restore()
    id_ = await scene.publish("mine")
    await scene.settled()
    assert id_ == "mine"
    assert scene.truth()["mine"] == post("new")
    assert await scene.shown() == [("mine", False), ("i1", False), ("i0", False)]


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


async def test_what_is_queued_as_an_account_is_taken_over_goes_behind_what_waited(scene: Scene) -> None:
    """The daemon may write for the account before it has read what the other one left."""
    first = await scene.publish("first", token="first")
    await scene.settled()
    scene.cache.house.outbox.left(ALICE)
    with pytest.raises(errors.Cancelled):
        await scene.job("first").wait()
    queued = asyncio.ensure_future(scene.publish("second", token="second"))
    await asyncio.sleep(0)
    await scene.cache.house.outbox.taken(ALICE)
    await queued
    assert [job.path.rsplit("/", 1)[1] for job in scene.jobs if job.state == "queued"] == ["first", "second"]
    await scene.restore()
    assert list(scene.truth())[2:] == [first, "second"]


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

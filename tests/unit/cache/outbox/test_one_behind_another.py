"""What is queued for an item for which something waits already goes on from what becomes of that."""

from __future__ import annotations

import asyncio

import pytest

from pubsub_cached import errors
from pubsub_cached.store.items.pages import read_items
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, Make

from ..blog import MICROBLOG, owned, post, reaching, writer_busy
from .scene import BOX, CLIENT, Scene, looked


@pytest.mark.parametrize("how", ["sent", "cancelled", "refused"])
async def test_it_is_sent(scene: Scene, how: str) -> None:
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


async def test_it_is_not_where_somebody_has_changed_the_item(scene: Scene) -> None:
    await scene.publish("i0", "one", token="one")
    await scene.publish("i0", "two", token="two")
    scene.job("one").cancel()
    scene.service.publish(MICROBLOG, "i0", post("theirs"))
    await scene.restore()
    assert scene.job("two").error == "im.pubsubcache1.Error.Conflict"
    assert scene.truth()["i0"] == post("theirs")


async def test_it_is_sent_by_a_daemon_that_starts_once_the_first_one_was(scene: Scene) -> None:
    await scene.sending("one", "two")
    await scene.kill_once_sent()
    await scene.cache.restart()
    await scene.settled()
    assert scene.job("two").state == "done"
    assert scene.truth()["i0"] == post("two")


async def test_so_is_the_last_of_three_where_the_second_one_is_cancelled_by_then(scene: Scene) -> None:
    await scene.sending("one", "two", "three")
    await scene.kill_once_sent()
    await scene.cache.restart(online=False)
    scene.job("two").cancel()
    await scene.cache.house.connect()
    await scene.settled()
    assert scene.job("two").state == "cancelled"
    assert scene.job("three").state == "done"
    assert scene.truth()["i0"] == post("three")


async def test_it_is_sent_where_the_first_one_was_while_it_was_stored(cached: Make) -> None:
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
async def test_it_is_sent_where_the_first_one_was_cancelled_as_it_was_sent(scene: Scene, arrives: bool) -> None:
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


async def test_it_is_sent_where_the_first_one_was_while_somebody_looked_what_there_is(scene: Scene) -> None:
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

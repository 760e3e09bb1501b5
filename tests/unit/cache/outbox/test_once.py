"""Whatever happens while it is sent, it is applied once."""

from __future__ import annotations

from pubsub_cached.address import Address
from pubsub_cached.cache.writing.sending import ATTEMPTS_AT_MOST
from pubsub_cached.store.accounts import outbox
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, Make

from ..blog import MICROBLOG, PUBSUB, owned, post
from .scene import BOX, CLIENT, Scene, answered_and_not_written_down, sending


async def being_sent(scene: Scene) -> None:
    """A publication has been asked about, and is held up as it is sent."""
    await scene.restore()
    scene.service.hold()
    await scene.publish("mine", token="mine")
    await scene.settled()
    scene.service.release(1)
    await scene.settled()
    assert [request.kind for request in scene.service.held] == ["publish"]


async def test_an_answer_that_was_lost_is_not_sent_again(scene: Scene) -> None:
    await being_sent(scene)
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


async def test_a_killed_daemon_asks_before_it_sends_again(scene: Scene) -> None:
    await being_sent(scene)
    scene.world.kill(ALICE)
    scene.service.expire()
    scene.service.publish(MICROBLOG, "mine", post("new"), publisher=ALICE, notify=False)
    scene.service.release()
    await scene.cache.restart()
    await scene.settled()
    assert scene.job("mine").state == "done"
    assert scene.sent() == 1


async def test_what_did_not_arrive_is_sent_again(scene: Scene) -> None:
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


async def test_what_somebody_removed_after_it_arrived_is_not_brought_back(scene: Scene) -> None:
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


async def test_what_is_never_answered_is_given_up(scene: Scene) -> None:
    scene.service.ignore_next(request="publish", times=100)
    await scene.publish("mine", token="mine")
    for _ in range(ATTEMPTS_AT_MOST + 2):
        await scene.restore()
        await scene.cut()
    assert scene.job("mine").error == "im.pubsubcache1.Error.Timeout"
    assert scene.sent() == ATTEMPTS_AT_MOST


async def test_a_retraction_that_is_done_already_is_done(scene: Scene) -> None:
    await scene.retract("i0", "i1", token="mine")
    scene.service.retract(MICROBLOG, "i0")
    await scene.restore()
    assert scene.job("mine").state == "done"
    assert scene.truth() == {}


async def test_each_item_of_a_retraction_is_sent_once(scene: Scene) -> None:
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


async def test_so_is_each_where_nobody_may_look(scene: Scene) -> None:
    scene.service.create_node("box", owner=ALICE)
    for id_ in ("a", "b"):
        scene.service.publish("box", id_, post(id_), publisher=ALICE)
    scene.service.fail_next("forbidden", times=100)
    await scene.cache.house.outbox.retract(BOX, ["a", "b"], True, CLIENT, "mine")
    await scene.restore()
    assert scene.job("mine").state == "done"
    assert scene.service.items("box") == []


async def test_what_was_not_sent_for_a_new_session_began_was_not_tried(cached: Make) -> None:
    cache, service = await owned(cached, World())
    service.fail_next("forbidden", times=2)
    job = await sending(cache, service, "q", post("mine"), "get_items")
    async with answered_and_not_written_down(cache, service):
        cache.world.cut(ALICE)
        cache.world.restore(ALICE)
    await job.wait()
    assert "q" in [item.id for item in service.items(MICROBLOG)]


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

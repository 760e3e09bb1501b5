"""What somebody else has changed since is not overwritten."""

from __future__ import annotations

import pytest

from pubsub_cached.cache.jobs import JobFailed
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, Make

from ..blog import MICROBLOG, PUBSUB, owned, post
from .scene import BOX, CLIENT, Scene, answered_and_not_written_down, sending


async def test_what_somebody_changed_is_not_overwritten(scene: Scene) -> None:
    await scene.publish("i0", "mine", token="mine")
    scene.service.publish(MICROBLOG, "i0", post("theirs"))
    await scene.restore()
    job = scene.job("mine")
    assert (job.state, job.error) == ("failed", "im.pubsubcache1.Error.Conflict")
    assert "'i0'" in job.error_message
    assert scene.truth()["i0"] == post("theirs")
    items, *_ = await scene.cache.read(PUBSUB, MICROBLOG)
    assert {item["id"]: item["payload"] for item in items} == scene.truth()


async def test_an_id_that_somebody_else_took_is_not_overwritten(scene: Scene) -> None:
    await scene.publish("taken", "mine", token="mine")
    scene.service.publish(MICROBLOG, "taken", post("theirs"))
    await scene.restore()
    assert scene.job("mine").error == "im.pubsubcache1.Error.Conflict"
    assert scene.truth()["taken"] == post("theirs")


async def test_what_somebody_changed_is_not_retracted(scene: Scene) -> None:
    await scene.retract("i0", token="mine")
    scene.service.publish(MICROBLOG, "i0", post("theirs"))
    await scene.restore()
    assert scene.job("mine").error == "im.pubsubcache1.Error.Conflict"
    assert scene.truth()["i0"] == post("theirs")


async def test_what_is_there_once_one_may_look_is_not_overwritten(scene: Scene) -> None:
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


async def test_the_same_content_of_somebody_else_is_no_conflict(scene: Scene) -> None:
    await scene.publish("i0", "same", token="mine")
    scene.service.publish(MICROBLOG, "i0", post("same"))
    await scene.restore()
    assert scene.job("mine").state == "done"
    assert scene.sent() == 0


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

"""What the service answers before anything is sent is no secret of the job: reads know of it."""

from __future__ import annotations

import pytest

from pubsub_cached import errors
from tests.support.cached import ALICE

from ..blog import MICROBLOG, PROFILES, PUBSUB, post
from .scene import Scene


@PROFILES
@pytest.mark.parametrize("action", ["publish", "retract"])
async def test_an_item_that_was_removed_without_a_word_is_read_no_more(scene: Scene, action: str) -> None:
    await scene.restore()
    scene.service.expire_items(MICROBLOG, "i0")
    await (scene.publish("i0") if action == "publish" else scene.retract("i0"))
    await scene.settled()
    assert await scene.shown() == [("i1", False)]


@PROFILES
async def test_an_item_that_was_changed_without_a_word_can_be_read_again(scene: Scene) -> None:
    await scene.restore()
    scene.service.publish(MICROBLOG, "i0", post("theirs"), notify=False)
    await scene.publish("i0", "mine", token="mine")
    await scene.settled()
    assert scene.job("mine").error == "im.pubsubcache1.Error.Conflict"
    items, *_ = await scene.cache.read(PUBSUB, MICROBLOG)
    assert {item["id"]: item["payload"] for item in items} == scene.truth()


@PROFILES
async def test_a_node_that_is_gone_without_a_word_is_not_shown(scene: Scene) -> None:
    await scene.restore()
    scene.service.delete(MICROBLOG, notify=False)
    await scene.retract("i0")
    await scene.settled()
    with pytest.raises(errors.NoSuchNode):
        await scene.cache.read(PUBSUB, MICROBLOG, policy="cache")


@PROFILES
async def test_nor_is_one_that_may_not_be_read_any_more(scene: Scene) -> None:
    await scene.restore()
    scene.service.set_affiliation(MICROBLOG, ALICE, "outcast")
    await scene.publish("new")
    await scene.settled()
    with pytest.raises(errors.Denied):
        await scene.cache.read(PUBSUB, MICROBLOG, policy="cache")


@PROFILES
async def test_a_service_that_can_t_be_reached_is_said_to_be_so(scene: Scene) -> None:
    await scene.restore()
    scene.service.down("remote-server-timeout")
    await scene.publish("new")
    await scene.settled()
    assert (await scene.cache.node(PUBSUB, MICROBLOG))["state"] == "unreachable"


@PROFILES
async def test_what_is_new_casts_no_doubt(scene: Scene) -> None:
    await scene.restore()
    scene.cache.told.clear()
    await scene.publish("new")
    await scene.settled()
    assert scene.cache.signals("stale") == []

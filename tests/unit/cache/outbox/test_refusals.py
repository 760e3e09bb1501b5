"""What the service refuses, and what it makes of a node that is not there."""

from __future__ import annotations

from typing import Any

import pytest

from pubsub_cached.address import Address
from pubsub_cached.cache.jobs import Job
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Service, World
from tests.support.cached import ALICE, Cached, Make

from ..blog import MICROBLOG, post
from .scene import BOX, CLIENT, Scene


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

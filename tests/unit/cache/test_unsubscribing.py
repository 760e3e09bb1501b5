"""What the daemon itself subscribed to is given up once nothing needs it, as soon as the service lets it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import Definition, from_mapping
from pubsub_cached.cache.jobs import Job
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.store.accounts import nodes as node_store
from pubsub_cached.xmpp.fake import Service, World
from pubsub_cached.xmpp.port import ConfigurationEvent, Subscription
from tests.support.cached import ALICE, Cached, Make

from .blog import PUBSUB, reaching, writer_busy

NODE = "things"
THINGS = Address(ALICE, PUBSUB, NODE)
KEPT = from_mapping({"name": "x", "type": "thing", "namespace": "urn:x", "to-sync": True})
# What the node is from now on, by name.
LATER = {
    "excluded": msgspec.structs.replace(KEPT, name="y", to_sync=False, excluded=True),
    "discovered": msgspec.structs.replace(KEPT, name="y", to_sync=False),
}
STATES = pytest.mark.parametrize("state", sorted(LATER))


class Scene:
    """A cache that keeps a node, and a service that may refuse to let it go."""

    def __init__(self, cache: Cached, service: Service) -> None:
        self.cache = cache
        self.service = service

    def becomes(self, state: str) -> None:
        """Nobody keeps the node any more, as an analyser says that came."""
        self._register(LATER[state], KEPT.name)

    def is_kept_again(self) -> None:
        self._register(KEPT, "y")

    def _register(self, definition: Definition, instead: str) -> None:
        self.cache.house.analysers.unregister(instead)
        self.cache.house.analysers.register(definition, "plugin")

    async def settled(self) -> None:
        await self.cache.house.analysing.settled()
        await self.cache.idle()

    @property
    def followed(self) -> bool:
        """Whether the service thinks that somebody listens."""
        return self.service.node(NODE).subscribed(ALICE)

    async def node(self) -> dict[str, Any]:
        node = await self.cache.node(PUBSUB, NODE)
        return {key: node.get(key) for key in ("state", "subscribed", "pinned", "items")}

    async def pass_(self, **time: float) -> None:
        """Time passes, and what is due is done."""
        self.cache.clock.advance(**time)
        self.cache.house.revalidation.wake()
        await self.settled()

    @property
    def asked(self) -> int:
        return self.cache.world.count("unsubscribe", PUBSUB, NODE)


async def made(cached: Make) -> Scene:
    """A node that is wanted and that nobody has read yet."""
    world = World()
    service = world.service(PUBSUB)
    service.create_node(NODE)
    service.publish(NODE, "a", "<x xmlns='urn:x'/>")
    cache: Cached = await cached(world)
    cache.house.analysers.register(KEPT, "plugin")
    return Scene(cache, service)


@pytest.fixture
async def scene(cached: Make) -> Scene:
    found = await made(cached)
    await found.cache.read(PUBSUB, NODE)
    await found.settled()
    assert await found.node() == {"state": "live", "subscribed": True, "pinned": False, "items": 1}
    return found


@STATES
async def test_of_a_node_that_is_matched_again_and_kept_no_more(scene: Scene, state: str) -> None:
    scene.becomes(state)
    await scene.settled()
    assert not scene.followed
    assert await scene.node() == {"state": state, "subscribed": False, "pinned": False, "items": 0}


async def test_of_a_pinned_one_that_turns_out_to_be_excluded(scene: Scene) -> None:
    await scene.cache.house.sync.run(THINGS, pin=True)
    scene.becomes("excluded")
    await scene.settled()
    assert not scene.followed
    assert await scene.node() == {"state": "excluded", "subscribed": False, "pinned": False, "items": 0}


async def test_of_one_whose_new_configuration_nobody_keeps(scene: Scene) -> None:
    scene.cache.house.analysers.register(
        Definition(name="other", type="other", node_type="urn:example:other", priority=1), "plugin"
    )
    scene.service.configure(NODE, node_type="urn:example:other")
    scene.cache.world.inject(ALICE, ConfigurationEvent(service=PUBSUB, node=NODE))
    await scene.settled()
    assert not scene.followed
    assert await scene.node() == {"state": "discovered", "subscribed": False, "pinned": False, "items": 0}


async def test_but_not_one_that_somebody_else_made(cached: Make) -> None:
    scene = await made(cached)
    scene.service.add_subscription(NODE, ALICE)
    await scene.cache.read(PUBSUB, NODE)
    await scene.settled()
    scene.becomes("excluded")
    await scene.settled()
    assert (scene.followed, scene.asked) == (True, 0)


@pytest.mark.parametrize("answer", ["remote-server-timeout", "internal-server-error", ""])
async def test_it_is_tried_again_where_it_fails(scene: Scene, answer: str) -> None:
    if answer:
        scene.service.fail_next(answer, request="unsubscribe")
    else:
        scene.service.ignore_next(request="unsubscribe")
    scene.becomes("discovered")
    await scene.settled()
    assert (scene.followed, scene.asked) == (True, 1)
    assert (await scene.node())["subscribed"] is True
    await scene.pass_(seconds=1)
    assert scene.asked == 1, "not at once"
    await scene.pass_(hours=1)
    assert (scene.followed, scene.asked) == (False, 2)
    assert (await scene.node())["subscribed"] is False
    await scene.pass_(hours=1)
    assert scene.asked == 2


async def test_it_is_not_waited_for_as_long_as_the_clock_was_wrong(scene: Scene) -> None:
    scene.service.fail_next("internal-server-error", request="unsubscribe")
    await scene.pass_(days=200)
    scene.becomes("discovered")
    await scene.settled()
    assert (scene.followed, scene.asked) == (True, 1)
    await scene.pass_(days=-200)
    assert (scene.followed, scene.asked) == (False, 2)


async def test_that_there_is_none_any_more_is_an_end_too(scene: Scene) -> None:
    scene.service.drop_subscription(NODE, ALICE)
    scene.becomes("discovered")
    await scene.settled()
    await scene.pass_(hours=1)
    assert scene.asked == 1
    assert (await scene.node())["subscribed"] is False


async def test_it_waits_for_a_session(scene: Scene) -> None:
    scene.cache.world.cut(ALICE)
    scene.becomes("discovered")
    await scene.settled()
    assert scene.followed
    scene.cache.world.resume(ALICE)
    await scene.settled()
    assert not scene.followed


async def test_it_waits_for_a_session_also_over_a_restart(scene: Scene) -> None:
    scene.cache.world.cut(ALICE)
    scene.becomes("discovered")
    await scene.settled()
    await scene.cache.restart()
    await scene.settled()
    assert not scene.followed
    assert (await scene.node())["subscribed"] is False


async def test_a_node_that_is_kept_again_meanwhile_stays_followed(scene: Scene) -> None:
    scene.service.hold()
    scene.becomes("discovered")
    await reaching(scene.service, "unsubscribe")
    scene.is_kept_again()
    await scene.cache.house.analysing.settled()
    scene.service.release()
    await scene.cache.read(PUBSUB, NODE)
    await scene.settled()
    assert scene.followed
    scene.service.publish(NODE, "b", "<x xmlns='urn:x'/>")
    await scene.settled()
    assert await scene.node() == {"state": "live", "subscribed": True, "pinned": False, "items": 2}


async def test_one_that_a_client_made_since_the_row_was_read_stays(scene: Scene) -> None:
    sync = scene.cache.house.sync
    claims, row = sync.subscriptions.acts.claims(THINGS), await scene.cache.store.read(node_store.find, THINGS)
    assert row is not None
    assert row.own_subscription
    await scene.cache.house.subscribing.subscribe(THINGS, {})
    assert not await sync.unsubscribe(THINGS, row.subid, claims)
    assert (scene.followed, scene.asked) == (True, 0)


class TestOfOneOfWhichNoReplyCame:
    """The daemon is killed, or the stream lost, and from then on the service lists what it was asked for before."""

    BREAKS = pytest.mark.parametrize("how", ["killed", "cut"])

    @BREAKS
    async def test_it_is_the_daemon_s(self, cached: Make, how: str) -> None:
        scene = await made(cached)
        await self.break_off(scene, "subscribe", how)
        assert await scene.node() == {"state": "live", "subscribed": True, "pinned": False, "items": 1}
        scene.becomes("discovered")
        await scene.settled()
        assert not scene.followed

    @BREAKS
    async def test_an_older_one_is_not(self, cached: Make, how: str) -> None:
        scene = await made(cached)
        scene.service.add_subscription(NODE, ALICE)
        await self.break_off(scene, "subscriptions", how)
        scene.becomes("discovered")
        await scene.settled()
        assert scene.followed

    async def break_off(self, scene: Scene, request: str, how: str) -> None:
        """What is asked of the service is done, and nobody hears of it; then all goes on."""
        cache, service = scene.cache, scene.service
        service.hold()
        cache.house.sync.in_background(THINGS)
        await reaching(service, request)
        if how == "killed":
            cache.world.kill(ALICE)
            await cache.stop()
        else:
            cache.world.cut(ALICE)
        service.release()
        await cache.world.settle()
        assert scene.followed
        if how == "killed":
            await cache.start()
            cache.house.analysers.register(KEPT, "plugin")
        else:
            cache.world.restore(ALICE)
            await scene.settled()
        await cache.house.sync.run(THINGS)
        await scene.settled()


@pytest.mark.parametrize("made_again", [False, True])
async def test_one_that_a_silent_service_could_not_tell_of_is_nobody_s_to_give_up(
    cached: Make, made_again: bool
) -> None:
    """It says neither whether there is one nor, unless it is asked again, what came of another."""
    scene = await made(cached)
    scene.service.add_subscription(NODE, ALICE)
    scene.service.ignore_next(request="subscriptions", times=2)
    if not made_again:
        scene.service.ignore_next(request="subscribe")
        with pytest.raises(errors.NoAnswer):
            await scene.cache.house.sync.run(THINGS)
    await scene.cache.house.sync.run(THINGS)
    assert scene.service.planned == 0
    assert await scene.node() == {"state": "live", "subscribed": True, "pinned": False, "items": 1}
    scene.becomes("discovered")
    await scene.settled()
    assert (scene.followed, scene.asked) == (True, 0)


@pytest.mark.parametrize("seconds", [0, 60])
async def test_one_that_somebody_made_since_the_service_was_asked_is_not_the_daemon_s(
    cached: Make, seconds: int
) -> None:
    scene = await made(cached)
    scene.service.create_node("other")
    scene.service.publish("other", "a", "<x xmlns='urn:x'/>")
    await scene.cache.keep(PUBSUB, "other")
    scene.service.add_subscription(NODE, ALICE)
    scene.cache.clock.advance(seconds=seconds)
    await scene.cache.keep(PUBSUB, NODE)
    assert await scene.node() == {"state": "live", "subscribed": True, "pinned": False, "items": 1}
    scene.becomes("discovered")
    await scene.settled()
    assert (scene.followed, scene.asked) == (True, 0)


@pytest.mark.parametrize("seconds", [0, 60])
@pytest.mark.parametrize("how", ["discovered", "forgotten"])
async def test_one_that_somebody_made_since_the_daemon_s_was_given_up_is_not_the_daemon_s(
    scene: Scene, how: str, seconds: int
) -> None:
    async def let_go() -> None:
        if how == "discovered":
            scene.becomes("discovered")
        else:
            await scene.cache.house.removal.purge(PurgeFilter(nodes=(NODE,), forget=True)).wait()
        await scene.settled()

    await let_go()
    assert (scene.followed, scene.asked) == (False, 1)
    scene.service.add_subscription(NODE, ALICE)
    scene.cache.clock.advance(seconds=seconds)
    if how == "discovered":
        scene.is_kept_again()
    else:
        await scene.cache.read(PUBSUB, NODE)
    await scene.settled()
    assert await scene.node() == {"state": "live", "subscribed": True, "pinned": False, "items": 1}
    await let_go()
    assert (scene.followed, scene.asked) == (True, 1)


async def test_one_of_which_no_reply_came_after_another_was_given_up_is_given_up_too(scene: Scene) -> None:
    scene.becomes("discovered")
    await scene.settled()
    assert (scene.followed, scene.asked) == (False, 1)
    scene.service.lose_next(request="subscribe")
    scene.is_kept_again()
    await scene.settled()
    assert await scene.node() == {"state": "unreachable", "subscribed": False, "pinned": False, "items": 0}
    assert scene.followed
    scene.becomes("discovered")
    await scene.settled()
    assert (scene.followed, scene.asked) == (False, 2)


FORGETTING = pytest.mark.parametrize("how", ["forget", "reset"])


class TestOfANodeWhoseRowGoes:
    def forget(self, cache: Cached, how: str) -> Job:
        removal = cache.house.removal
        return removal.reset() if how == "reset" else removal.purge(PurgeFilter(nodes=(NODE,), forget=True))

    async def forgotten(self, scene: Scene, how: str) -> None:
        await self.forget(scene.cache, how).wait()
        await scene.settled()
        with pytest.raises(errors.NoSuchNode):
            await scene.node()

    async def refused(self, scene: Scene, how: str) -> None:
        """The row goes, and the service does not let the subscription go yet."""
        scene.service.fail_next("remote-server-timeout", request="unsubscribe")
        await self.forgotten(scene, how)

    @FORGETTING
    async def test_it_is_asked_for_once(self, scene: Scene, how: str) -> None:
        await self.forgotten(scene, how)
        assert (scene.followed, scene.asked) == (False, 1)
        await scene.pass_(hours=1)
        await scene.cache.restart()
        await scene.settled()
        assert scene.asked == 1

    @FORGETTING
    @pytest.mark.parametrize("answer", ["remote-server-timeout", "internal-server-error", ""])
    async def test_it_is_tried_again_where_it_fails(self, scene: Scene, how: str, answer: str) -> None:
        if answer:
            scene.service.fail_next(answer, request="unsubscribe")
        else:
            scene.service.ignore_next(request="unsubscribe")
        await self.forgotten(scene, how)
        assert (scene.followed, scene.asked) == (True, 1)
        await scene.pass_(seconds=1)
        assert scene.asked == 1, "not at once"
        await scene.pass_(hours=1)
        assert (scene.followed, scene.asked) == (False, 2)

    @FORGETTING
    async def test_of_many_at_a_service_that_does_not_answer_one_is_waited_for(self, scene: Scene, how: str) -> None:
        cache, service = scene.cache, scene.service
        for number in range(4):
            service.create_node(f"{number}")
            service.publish(f"{number}", "a", "<x xmlns='urn:x'/>")
            await cache.keep(PUBSUB, f"{number}")
        service.down(None)
        removal = cache.house.removal
        job = removal.reset() if how == "reset" else removal.purge(PurgeFilter(services=(PUBSUB,), forget=True))
        await job.wait()
        assert cache.world.count("unsubscribe") == 1
        service.up()
        await scene.pass_(hours=1)
        assert [name for name, node in service.nodes.items() if node.subscribed(ALICE)] == []

    @FORGETTING
    @pytest.mark.parametrize("restarted", [False, True])
    async def test_it_waits_for_a_session(self, scene: Scene, how: str, restarted: bool) -> None:
        scene.cache.world.cut(ALICE)
        await self.forgotten(scene, how)
        assert scene.followed
        if restarted:
            await scene.cache.restart()
        else:
            scene.cache.world.resume(ALICE)
        await scene.settled()
        assert not scene.followed
        await scene.cache.restart()
        await scene.settled()
        assert scene.asked == 1

    @FORGETTING
    async def test_a_client_that_subscribes_meanwhile_has_it(self, scene: Scene, how: str) -> None:
        await self.refused(scene, how)
        await scene.cache.house.subscribing.subscribe(THINGS, {})
        await scene.pass_(hours=1)
        assert (scene.followed, scene.asked) == (True, 1)
        await self.forgotten(scene, how)
        assert (scene.followed, scene.asked) == (True, 1), "it is the client's"

    @FORGETTING
    async def test_a_node_that_is_kept_again_meanwhile_stays_followed(self, scene: Scene, how: str) -> None:
        await self.refused(scene, how)
        await scene.cache.read(PUBSUB, NODE)
        await scene.pass_(hours=1)
        assert (scene.followed, scene.asked) == (True, 1)
        await self.forgotten(scene, how)
        assert (scene.followed, scene.asked) == (False, 2), "it is still the daemon's"

    @FORGETTING
    async def test_one_that_is_seen_again_and_that_nobody_keeps_does_not(self, scene: Scene, how: str) -> None:
        await self.refused(scene, how)
        scene.becomes("discovered")
        await scene.cache.read(PUBSUB, NODE)
        await scene.pass_(hours=1)
        assert (scene.followed, scene.asked) == (False, 2)
        assert await scene.node() == {"state": "discovered", "subscribed": False, "pinned": False, "items": 0}

    @FORGETTING
    async def test_what_a_synchronisation_made_meanwhile_is_given_up_too(self, cached: Make, how: str) -> None:
        """The row goes while the service makes the subscription."""
        scene = await made(cached)
        cache, service = scene.cache, scene.service
        service.hold()
        job = cache.house.sync.job(THINGS)
        await reaching(service, "subscribe")
        await self.forget(cache, how).wait()
        # While Purge forgets the node it is undone at once; what that leaves is given up as what Reset leaves.
        refused = 2 if how == "forget" else 1
        service.fail_next("remote-server-timeout", request="unsubscribe", times=refused)
        service.release()
        with pytest.raises(errors.PubSubCachedError):
            await job.wait()
        await scene.settled()
        assert (scene.followed, scene.asked) == (True, refused)
        await scene.cache.restart()
        await scene.settled()
        assert (scene.followed, scene.asked) == (False, refused + 1)


async def test_a_subscription_that_was_made_since_another_ended_is_not_taken_for_that(scene: Scene) -> None:
    scene.service.hold()
    scene.becomes("excluded")
    await reaching(scene.service, "unsubscribe")
    await scene.cache.house.analysing.settled()
    row = await scene.cache.house.nodes.find(THINGS)
    assert row is not None
    with writer_busy(scene.cache):
        scene.service.release(1)
        await scene.cache.world.settle()
        # As of a node that was kept again, subscribed to anew, and is kept no more.
        scene.service.add_subscription(NODE, ALICE)
        scene.cache.house.sync.subscriptions.remember(THINGS, Subscription(NODE, ALICE, "subscribed"))
        again = scene.cache.store.write(node_store.update, row.id, subscribed=True, own_subscription=True)
        scene.cache.house.unsubscribing.begin(THINGS)
    await again
    scene.service.release()
    await scene.settled()
    assert (scene.followed, scene.asked) == (False, 2)

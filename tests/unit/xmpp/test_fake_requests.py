"""What tests can do to requests of the fake: hold, refuse, ignore and count them."""

from __future__ import annotations

import asyncio

import pytest

from pubsub_cached.errors import StanzaError, Timeout
from pubsub_cached.xmpp.fake import Client, FakeSession, Service, World
from pubsub_cached.xmpp.port import Rsm

ALICE, BOB = "alice@example.org", "bob@example.org"


async def scene(*, real_timeouts: bool = False) -> tuple[World, Service, FakeSession]:
    """Alice online, and a service with two nodes."""
    world = World(real_timeouts=real_timeouts)
    world.account(ALICE)
    service = world.service("pubsub.example.org")
    for name in ("blog", "events"):
        service.create_node(name)
        service.publish(name, "1")
    return world, service, await Client(world, ALICE).start()


async def test_every_request_is_logged_with_its_arguments() -> None:
    world, service, session = await scene()
    await session.get_items("PubSub.Example.Org", "blog", max_items=3)
    await session.get_items(service.jid, "events", ids=["1"], rsm=Rsm(max=2))
    await session.disco_info(service.jid)
    logged = [(request.jid, request.kind, request.service, request.node) for request in world.requests]
    assert logged == [
        (ALICE, "get_items", "pubsub.example.org", "blog"),
        (ALICE, "get_items", "pubsub.example.org", "events"),
        (ALICE, "disco_info", "pubsub.example.org", ""),
    ]
    assert [request.args for request in world.requests] == [
        {"max_items": 3, "ids": (), "rsm": None},
        {"max_items": None, "ids": ("1",), "rsm": Rsm(max=2)},
        {},
    ]
    assert (world.count("get_items"), world.count("get_items", node="blog"), world.count("subscribe")) == (2, 1, 0)
    assert (world.count(), world.count(service=service.jid), world.count(service=ALICE)) == (3, 3, 0)


async def test_held_requests_are_released_one_by_one_or_all() -> None:
    world, service, session = await scene()
    service.hold()
    asked = [asyncio.create_task(session.get_items(service.jid, node)) for node in ("blog", "events", "blog")]
    await world.settle()
    assert [request.node for request in service.held] == ["blog", "events", "blog"]
    service.release(1)
    await world.settle()
    assert [task.done() for task in asked] == [True, False, False]
    service.release()
    await world.settle()
    assert all(task.done() for task in asked)
    assert (await session.get_items(service.jid, "blog")).items
    assert service.held == ()


async def test_a_hold_of_one_service_does_not_hold_another() -> None:
    _, service, session = await scene()
    service.hold()
    assert (await session.disco_info(ALICE)).identities


async def test_held_requests_can_time_out() -> None:
    world, service, session = await scene()
    service.hold()
    asked = asyncio.create_task(session.get_items(service.jid, "blog", timeout=7))
    await world.settle()
    service.expire()
    with pytest.raises(Timeout, match=r"pubsub\.example\.org did not answer within 7 seconds"):
        await asked


async def test_a_service_that_is_down_answers_with_the_server_s_error_until_it_is_up() -> None:
    _, service, session = await scene()
    service.down()
    for asked in (session.get_items(service.jid, "blog"), session.subscribe(service.jid, "blog")):
        with pytest.raises(StanzaError) as caught:
            await asked
        assert caught.value.condition == "remote-server-timeout"
    service.up()
    assert (await session.get_items(service.jid, "blog")).items


async def test_a_service_that_is_down_may_never_answer() -> None:
    _, service, session = await scene()
    service.down(None)
    with pytest.raises(Timeout):
        await session.get_items(service.jid, "blog")


@pytest.mark.parametrize("condition", ["remote-server-timeout", None], ids=["error", "silence"])
async def test_events_of_a_service_that_is_down_are_lost(condition: str | None) -> None:
    world, service, _ = await scene()
    client = Client(world, ALICE)
    service.add_subscription("blog", ALICE)
    await client.start()
    service.down(condition)
    service.publish("blog", "lost")
    service.up()
    await world.settle()
    assert client.events == []
    assert [item.id for item in service.items("blog")] == ["1", "lost"]


async def test_the_next_requests_of_a_kind_can_be_made_to_fail() -> None:
    _, service, session = await scene()
    service.fail_next("resource-constraint", "try later", "", times=2)
    service.fail_next("not-allowed", "", "closed-node", request="subscribe")
    assert (await session.disco_info(service.jid)).identities
    for _ in range(2):
        with pytest.raises(StanzaError, match="resource-constraint: try later"):
            await session.get_items(service.jid, "blog")
    with pytest.raises(StanzaError, match="closed-node"):
        await session.subscribe(service.jid, "blog")
    assert (await session.get_items(service.jid, "blog")).items
    assert (await session.subscribe(service.jid, "blog")).state == "subscribed"


async def test_the_next_request_can_be_ignored() -> None:
    _, service, session = await scene()
    service.ignore_next(request="")
    with pytest.raises(Timeout):
        await session.disco_info(service.jid)
    assert (await session.disco_info(service.jid)).identities


async def test_timeouts_are_real_where_the_world_says_so() -> None:
    world, service, session = await scene(real_timeouts=True)
    service.ignore_next()
    asked = asyncio.create_task(session.get_items(service.jid, "blog", timeout=0.05))
    await world.settle()
    assert not asked.done()
    with pytest.raises(Timeout, match=r"within 0\.05 seconds"):
        await asked
    service.hold()
    with pytest.raises(Timeout):
        await session.get_items(service.jid, "blog", timeout=0.05)


async def test_a_cancelled_request_disturbs_nobody() -> None:
    world, service, session = await scene()
    service.hold()
    asked = asyncio.create_task(session.get_items(service.jid, "blog"))
    await world.settle()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    service.release()
    await world.settle()
    assert (await session.get_items(service.jid, "blog")).items


def test_what_is_there_twice_or_not_at_all_is_refused() -> None:
    world = World()
    world.account(ALICE)
    service = world.service("pubsub.example.org")
    service.create_node("blog")
    with pytest.raises(ValueError, match=ALICE):
        world.account("Alice@example.org/desk")
    with pytest.raises(ValueError, match=r"pubsub\.example\.org"):
        world.service("pubsub.example.org")
    with pytest.raises(ValueError, match="blog"):
        service.create_node("blog")
    with pytest.raises(LookupError, match="absent"):
        service.publish("absent", "1")
    with pytest.raises(LookupError, match=BOB):
        world.befriend(ALICE, BOB)

"""How large replies are on a real bus: 1 MiB at most, and what has no room in one comes with its cursor."""

from __future__ import annotations

from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant

from pubsub_cached.xmpp.fake import World
from tests.bus import api_service as bus
from tests.bus.api_service import CACHE, SERVICE

JSON = "im.pubsubcache1.Json"
VIEW = "im.pubsubcache1.View"
MOST = 1024 * 1024
MANY = {"limit": Variant("u", 500)}


def size(reply: Message) -> int:
    """The bytes of a message."""
    assert reply.message_type is MessageType.METHOD_RETURN, reply.body
    return len(reply._marshall(False))


@pytest.fixture
def world() -> World:
    made = bus.world(0)
    service = made.services[SERVICE]
    for number in range(20):
        service.create_node(f"node-{number}", description="x" * 100_000)
    service.create_node("many", node_type="urn:xmpp:microblog:0", max_items=500)
    summary = f"<summary>{'word ' * 140}</summary></entry>"
    for number in range(500):
        service.publish("many", f"{number:036}", bus.entry(number).replace("</entry>", summary))
    return made


@pytest.mark.parametrize("interface", [CACHE, JSON])
async def test_a_page_of_very_many_items_ends_early(frontend: bus.Frontend, interface: str) -> None:
    (job,) = await frontend.cache("Sync", "sssa{sv}", "", SERVICE, "many", {})
    await frontend.finished(job)
    calls: list[tuple[str, str, tuple[Any, ...]]] = [
        ("GetItems", "sssa{sv}", ("", SERVICE, "many", MANY)),
        ("GetItems", "sssa{sv}", ("", SERVICE, "many", MANY | {"policy": Variant("s", "network")})),
        ("Search", "ssa{sv}", ("word", "", MANY)),
    ]
    for member, signature, body in calls:
        reply = await frontend.raw(member, signature, *body, interface=interface)
        assert size(reply) <= MOST
        items, cursor, _ = reply.body
        assert 250 < len(items) < 500
        assert cursor


async def test_a_range_of_a_view_ends_early(frontend: bus.Frontend) -> None:
    (job,) = await frontend.cache("Sync", "sssa{sv}", "", SERVICE, "many", {})
    await frontend.finished(job)
    (view,) = await frontend.cache("CreateView", "ssa{sv}", "word", "", {})
    reply = await frontend.raw("GetRange", "uu", 0, 500, path=view, interface=VIEW)
    assert size(reply) <= MOST
    assert 250 < len(reply.body[0]) < 500


@pytest.mark.parametrize("interface", [CACHE, JSON])
async def test_a_page_of_nodes_that_have_much_to_say_ends_early(frontend: bus.Frontend, interface: str) -> None:
    for number in range(20):
        await frontend.cache("GetItems", "sssa{sv}", "", SERVICE, f"node-{number}", {})
    listed = 0
    options = dict(MANY)
    while True:
        reply = await frontend.raw("ListNodes", "a{sv}", options, interface=interface)
        assert size(reply) <= MOST
        nodes, cursor = reply.body
        listed += len(nodes)
        if not cursor:
            break
        options["cursor"] = Variant("s", cursor)
    assert listed == 20

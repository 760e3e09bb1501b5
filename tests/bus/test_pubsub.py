"""PubSub on the bus: arguments in, what the service answers out, the cache behind it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Variant

from pubsub_cached.xmpp.fake import World
from tests.bus import api_service as bus
from tests.bus.api_service import ALICE, CACHE, ERROR, INVALID, JOB, SERVICE

PUBSUB = "im.pubsubcache1.PubSub"
OWN = ("", SERVICE, "own")


@pytest.fixture
def world() -> World:
    made = bus.world()
    made.services[SERVICE].create_node("own", owner=ALICE, node_type="urn:xmpp:pubsub-social-feed:1")
    return made


@pytest.fixture
def client(frontend: bus.Frontend) -> bus.Frontend:
    return frontend


async def call(client: bus.Frontend, member: str, signature: str, *body: Any) -> list[Any]:
    return await client.call(member, signature, *body, interface=PUBSUB)


async def refused(client: bus.Frontend, member: str, signature: str, *body: Any) -> tuple[str, str]:
    return await client.error(member, signature, *body, interface=PUBSUB)


async def kept(client: bus.Frontend) -> None:
    (job,) = await client.cache("Sync", "sssa{sv}", *OWN, {})
    await client.finished(job)


async def items(client: bus.Frontend, **options: Variant) -> list[dict[str, Any]]:
    found, _, _ = await client.cache("GetItems", "sssa{sv}", *OWN, options)
    return [bus.plain(item) for item in found]


METHODS = [
    ("Publish", "sssss", (*OWN, "x", bus.entry(1))),
    ("Retract", "sssas", (*OWN, ["x"])),
    ("Subscribe", "sss", OWN),
    ("Unsubscribe", "sss", OWN),
    ("ListSubscriptions", "ss", OWN[:2]),
    ("ListAffiliations", "ss", OWN[:2]),
    ("Discover", "ss", OWN[:2]),
    ("CreateNode", "sss", ("", SERVICE, "new")),
    ("GetNodeConfig", "sss", OWN),
    ("ConfigureNode", "sss", OWN),
    ("DeleteNode", "sss", OWN),
    ("DeleteAllItems", "sss", OWN),
]
EACH = pytest.mark.parametrize(("member", "signature", "body"), METHODS, ids=[method[0] for method in METHODS])


@EACH
async def test_every_method_names_an_option_that_it_does_not_know(
    client: bus.Frontend, member: str, signature: str, body: tuple[object, ...]
) -> None:
    options = {"no-such-option": Variant("b", True)}
    name, text = await refused(client, member, f"{signature}a{{sv}}", *body, options)
    assert name == INVALID
    assert text.startswith(f"{member} does not know the option 'no-such-option'; it knows ")


@EACH
async def test_every_method_says_that_it_is_offline_and_sends_nothing(
    client: bus.Frontend, world: World, member: str, signature: str, body: tuple[object, ...]
) -> None:
    world.cut(ALICE)
    await world.settle()
    asked = world.count()
    name, text = await refused(client, member, f"{signature}a{{sv}}", *body, {})
    assert name == ERROR + "Offline"
    assert ALICE in text
    assert world.count() == asked


@EACH
async def test_every_method_tells_the_service_s_refusal_in_its_words(
    client: bus.Frontend, world: World, member: str, signature: str, body: tuple[object, ...]
) -> None:
    world.services[SERVICE].fail_next("not-acceptable", "Not on a Saturday", request="", times=2)
    name, text = await refused(client, member, f"{signature}a{{sv}}", *body, {})
    assert name == ERROR + "Xmpp.NotAcceptable"
    assert "Not on a Saturday" in text


async def test_what_is_published_is_read_at_once_and_told(client: bus.Frontend, world: World) -> None:
    await kept(client)
    (id_,) = await call(client, "Publish", "sssssa{sv}", *OWN, "", bus.entry(1), {})
    assert [item["id"] for item in await items(client)] == [id_]
    assert (await client.until("ItemsChanged"))[:4] == [ALICE, SERVICE, "own", [id_]]
    await call(client, "Retract", "sssasa{sv}", *OWN, [id_], {"notify": Variant("b", False)})
    assert await items(client) == []
    assert (await client.until("ItemsChanged"))[3:5] == [[], [id_]]
    assert world.services[SERVICE].items("own") == []


async def test_what_is_written_behind_a_large_item_comes_to_the_service_behind_it(
    client: bus.Frontend, world: World
) -> None:
    large, small = f"<x xmlns='urn:x'>{'<y/>' * 10_000}</x>", '<x xmlns="urn:x"/>'
    await asyncio.gather(
        call(client, "Publish", "sssssa{sv}", *OWN, "gone", large, {}),
        call(client, "Retract", "sssasa{sv}", *OWN, ["gone"], {}),
        call(client, "Publish", "sssssa{sv}", *OWN, "stays", large, {}),
        call(client, "Publish", "sssssa{sv}", *OWN, "stays", small, {}),
    )
    assert [(item.id, item.payload) for item in world.services[SERVICE].items("own")] == [("stays", small)]


@pytest.mark.parametrize("member", ["Subscribe", "GetNodeConfig"])
async def test_a_node_that_a_large_item_makes_is_there_for_what_is_asked_of_it_behind_that(
    client: bus.Frontend, member: str
) -> None:
    large, node = f"<x xmlns='urn:x'>{'<y/>' * 10_000}</x>", ("", "", "made")
    await asyncio.gather(
        call(client, "Publish", "sssssa{sv}", *node, "x", large, {}),
        call(client, member, "sssa{sv}", *node, {}),
    )


async def test_publish_options_come_in_the_types_that_bindings_send(client: bus.Frontend, world: World) -> None:
    options = {
        "pubsub#access_model": Variant("s", "open"),
        "pubsub#deliver_payloads": Variant("b", True),
        "pubsub#max_items": Variant("u", 3),
        "pubsub#roster_groups_allowed": Variant("as", ["a", "b"]),
    }
    await call(client, "Publish", "sssssa{sv}", "", "", "urn:example", "x", "<x xmlns='urn:x'/>", options)
    node = world.accounts[ALICE].pep.node("urn:example")
    assert (node.access_model, node.max_items, node.roster_groups) == ("open", 3, frozenset({"a", "b"}))
    for value in (Variant("d", 2.5), Variant("ay", b"1"), Variant("a{sv}", {})):
        wrong = {"pubsub#max_items": value}
        name, text = await refused(client, "Publish", "sssssa{sv}", *OWN, "x", bus.entry(1), wrong)
        assert name == INVALID
        assert "'pubsub#max_items'" in text


async def test_preconditions_that_are_not_met_have_an_error_of_their_own(client: bus.Frontend) -> None:
    options = {"pubsub#access_model": Variant("s", "whitelist")}
    name, _ = await refused(client, "Publish", "sssssa{sv}", *OWN, "x", bus.entry(1), options)
    assert name == ERROR + "PubSub.PreconditionNotMet"


async def test_wrong_arguments_are_named_before_anything_is_sent(client: bus.Frontend, world: World) -> None:
    asked = world.count()
    name, text = await refused(client, "Publish", "sssssa{sv}", *OWN, "x", "<a xmlns='urn:a'>\n<b></a>", {})
    assert name == ERROR + "InvalidPayload"
    assert "line 2, column 6" in text
    token = {"token": Variant("s", "mine")}
    assert (await refused(client, "Publish", "sssssa{sv}", *OWN, "x", bus.entry(1), token))[0] == INVALID
    assert (await refused(client, "Retract", "sssasa{sv}", *OWN, [], {}))[0] == INVALID
    for member, signature, body, said in (
        ("Retract", "sssasa{sv}", (*OWN, [f"{number}" for number in range(501)], {}), "501 ids, and 500 is the most"),
        (
            "CreateNode",
            "sssa{sv}",
            (*OWN, dict.fromkeys([f"a#{key}" for key in range(257)], Variant("b", True))),
            "257 keys",
        ),
        ("DeleteNode", "sssa{sv}", (*OWN[:2], "n" * 16_385, {}), "16385 characters, and 16384 is the most"),
    ):
        name, text = await refused(client, member, signature, *body)
        assert (name, said in text) == (INVALID, True), text
    assert (await refused(client, "Subscribe", "sssa{sv}", "", SERVICE, "", {}))[0] == INVALID
    assert world.count() == asked


async def test_a_node_from_its_beginning_to_its_end(client: bus.Frontend, world: World) -> None:
    node = ("", SERVICE, "things")
    config = {"pubsub#title": Variant("s", "Things"), "pubsub#notify_delete": Variant("b", True)}
    assert await call(client, "CreateNode", "sssa{sv}", *node, config) == ["things"]
    assert (await refused(client, "CreateNode", "sssa{sv}", *node, {}))[0] == ERROR + "Xmpp.Conflict"
    (found,) = await call(client, "GetNodeConfig", "sssa{sv}", *node, {})
    assert found["pubsub#title"] == Variant("s", "Things")
    assert found["pubsub#notify_delete"] == Variant("b", True)
    assert found["pubsub#roster_groups_allowed"].signature == "as"
    await call(client, "ConfigureNode", "sssa{sv}", *node, found | {"pubsub#title": Variant("s", "Other")})
    assert world.services[SERVICE].node("things").title == "Other"
    await call(client, "Publish", "sssssa{sv}", *node, "x", "<x xmlns='urn:x'/>", {})
    await call(client, "DeleteAllItems", "sssa{sv}", *node, {})
    assert world.services[SERVICE].items("things") == []
    await call(client, "DeleteNode", "sssa{sv}", *node, {})
    assert "things" not in world.services[SERVICE].nodes


async def test_subscribing_shows_in_the_node_and_in_the_list(client: bus.Frontend) -> None:
    assert await call(client, "Subscribe", "sssa{sv}", "", SERVICE, "blog", {}) == ["subscribed"]
    assert (await client.node())["subscribed"] is True
    (found, cursor) = await call(client, "ListSubscriptions", "ssa{sv}", "", SERVICE, {})
    assert [bus.plain(record) for record in found] == [{"node": "blog", "jid": ALICE, "state": "subscribed"}]
    assert cursor == ""
    await call(client, "Unsubscribe", "sssa{sv}", "", SERVICE, "blog", {})
    node = await client.node()
    assert node["subscribed"] is False
    assert node["state"] != "live"
    assert (await call(client, "ListSubscriptions", "ssa{sv}", "", SERVICE, {}))[0] == []


async def test_affiliations_and_nodes_are_listed_in_pages(client: bus.Frontend) -> None:
    found, _ = await call(client, "ListAffiliations", "ssa{sv}", "", SERVICE, {})
    assert [bus.plain(record) for record in found] == [{"node": "own", "affiliation": "owner"}]
    one = {"limit": Variant("u", 1)}
    found, cursor = await call(client, "Discover", "ssa{sv}", "", SERVICE, one)
    assert [bus.plain(record) for record in found] == [{"jid": SERVICE, "node": "blog"}]
    found, cursor = await call(client, "Discover", "ssa{sv}", "", SERVICE, one | {"cursor": Variant("s", cursor)})
    assert [bus.plain(record)["node"] for record in found] == ["own"]
    assert cursor == ""
    typed = {"type": Variant("s", "urn:xmpp:pubsub-social-feed:1")}
    found, _ = await call(client, "Discover", "ssa{sv}", "", SERVICE, typed)
    assert [bus.plain(record)["node"] for record in found] == ["own"]
    found, _ = await call(client, "Discover", "ssa{sv}", "", SERVICE, {"node": Variant("s", "blog")})
    assert [bus.plain(record)["name"] for record in found] == ["post-2", "post-1", "post-0"][::-1]


async def test_what_is_queued_waits_as_a_job_and_is_sent(client: bus.Frontend, world: World) -> None:
    await kept(client)
    world.cut(ALICE)
    await world.settle()
    options = {"queue": Variant("b", True), "token": Variant("s", "mine")}
    assert await call(client, "Publish", "sssssa{sv}", *OWN, "x", bus.entry(1), options) == ["x"]
    path, interfaces = await client.until("InterfacesAdded")
    while not path.endswith("/mine"):
        path, interfaces = await client.until("InterfacesAdded")
    told = bus.plain(interfaces[JOB])
    assert (told["Kind"], told["State"]) == ("outbox", "queued")
    assert told["Message"] == f"The publication of 'x' at 'own' at {SERVICE} waits to be sent."
    assert await client.get("Message", JOB, path) == told["Message"]
    assert [(item["id"], item["pending"]) for item in await items(client)] == [("x", True)]
    assert (await refused(client, "Publish", "sssssa{sv}", *OWN, "y", bus.entry(1), options))[0] == ERROR + "Conflict"
    world.restore(ALICE)
    assert "was sent" in await client.finished(path)
    assert ["pending" in item for item in await items(client)] == [False]


async def test_what_is_queued_can_be_cancelled(client: bus.Frontend, world: World) -> None:
    world.cut(ALICE)
    await world.settle()
    options = {"queue": Variant("b", True), "token": Variant("s", "mine")}
    await call(client, "Retract", "sssasa{sv}", *OWN, ["x"], options)
    (path,) = [path for path in await client.objects() if path.endswith("/mine")]
    await client.call("Cancel", path=path, interface=JOB)
    assert (await client.error("Wait", path=path, interface=JOB))[0] == ERROR + "Cancelled"
    world.restore(ALICE)
    await world.settle()
    assert world.count("retract") == 0


async def test_of_what_was_cancelled_nothing_is_pending_once_that_is_answered(
    client: bus.Frontend, world: World
) -> None:
    await kept(client)
    world.cut(ALICE)
    await world.settle()
    for number in range(3):
        options = {"queue": Variant("b", True), "token": Variant("s", f"mine{number}")}
        await call(client, "Publish", "sssssa{sv}", *OWN, "x", bus.entry(number), options)
        (path,) = [path for path in await client.objects() if path.endswith(f"/mine{number}")]
        await client.call("Cancel", path=path, interface=JOB)
        assert await client.get("State", JOB, path) == "cancelled"
        assert await items(client) == []


async def test_what_is_queued_is_a_job_again_after_a_restart(
    world: World, bus_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    options = {"queue": Variant("b", True), "token": Variant("s", "mine")}
    world.services[SERVICE].down()
    async with bus.daemon(world, bus_address, tmp_path), bus.frontend(bus_address) as client:
        await call(client, "Publish", "sssssa{sv}", *OWN, "x", bus.entry(1), options)
        (before,) = [path for path in await client.objects() if path.endswith("/mine")]
    world.services[SERVICE].up()
    world.services[SERVICE].hold()
    async with bus.daemon(world, bus_address, tmp_path), bus.frontend(bus_address) as client:
        assert before in await client.objects()
        world.services[SERVICE].release()
        assert "was sent" in await client.finished(before)
    assert [item.id for item in world.services[SERVICE].items("own")] == ["x"]


async def test_introspection_shows_the_interface(client: bus.Frontend) -> None:
    (served,) = await client.call("Introspect", interface="org.freedesktop.DBus.Introspectable")
    assert f'"{PUBSUB}"' in served
    assert CACHE in served

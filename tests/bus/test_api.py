"""The interfaces on the bus: arguments in, records out."""

from __future__ import annotations

import asyncio
import os
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from dbus_fast import Variant

from pubsub_cached import paths
from pubsub_cached.xmpp.fake import World
from tests.bus import api_service as bus
from tests.bus.api_service import ACCOUNT, ALICE, ALICE_PATH, ANALYSERS, CACHE, ERROR, INVALID, JOB, MANAGER, SERVICE
from tests.bus.sample import INTROSPECTABLE, PROPERTIES, ROOT

NODE = ("", SERVICE, "blog")


@pytest.fixture
def world() -> World:
    return bus.world()


@pytest.fixture
def client(frontend: bus.Frontend) -> bus.Frontend:
    return frontend


# Options


@pytest.mark.parametrize(
    ("interface", "member", "signature", "body"),
    [
        (CACHE, "GetItems", "sss", NODE),
        (CACHE, "GetNode", "sss", NODE),
        (CACHE, "ListNodes", "", ()),
        (CACHE, "GetChanges", "ssst", (*NODE, 0)),
        (CACHE, "Sync", "sss", NODE),
        (CACHE, "Purge", "", ()),
        (CACHE, "Reset", "", ()),
        (ANALYSERS, "Match", "sss", NODE),
        (MANAGER, "AddAccount", "s", ("bob@example.org",)),
    ],
    ids=lambda value: value if isinstance(value, str) and "." not in value else "",
)
async def test_every_method_names_an_option_that_it_does_not_know(
    client: bus.Frontend, interface: str, member: str, signature: str, body: tuple[object, ...]
) -> None:
    options = {"no-such-option": Variant("b", True)}
    name, text = await client.error(member, f"{signature}a{{sv}}", *body, options, interface=interface)
    assert name == INVALID
    assert text.startswith(f"{member} does not know the option 'no-such-option'; it knows ")


async def test_numbers_and_lists_come_in_the_types_that_bindings_send(client: bus.Frontend) -> None:
    for signature in "ynqiuxt":
        assert len(await client.ids(limit=Variant(signature, 2))) == 2
    assert len(await client.ids(limit=Variant("d", 2.0))) == 2
    assert await client.ids(ids=Variant("as", ["post-1"])) == ["post-1"]
    assert await client.ids(ids=Variant("s", "post-1")) == ["post-1"]
    assert await client.ids(ids=Variant("av", [Variant("s", "post-1"), Variant("s", "post-9")])) == ["post-1"]


async def test_wrong_values_of_options_are_named(client: bus.Frontend) -> None:
    wrong = [
        {"limit": Variant("d", 1.5)},
        {"limit": Variant("u", 0)},
        {"limit": Variant("b", True)},
        {"policy": Variant("s", "chache")},
        {"order": Variant("s", "published desc")},
        {"fields": Variant("as", ["paylod"])},
        {"timeout": Variant("u", 0)},
        {"after": Variant("s", "post-1"), "index": Variant("u", 1)},
    ]
    for options in wrong:
        name, text = await client.refused("GetItems", "sssa{sv}", *NODE, options)
        assert name == INVALID
        assert f"'{next(iter(options))}'" in text


# Reads


async def test_items_come_from_the_service_and_then_from_the_cache(client: bus.Frontend) -> None:
    items, cursor, info = await client.items(limit=Variant("u", 2))
    assert [item["id"] for item in items] == ["post-2", "post-1"]
    assert items[0]["payload"].startswith("<entry")
    assert info["source"] == "network"
    assert [item["id"] for item in (await client.items(limit=Variant("u", 2), cursor=Variant("s", cursor)))[0]] == [
        "post-0"
    ]
    await client.synchronised()
    items, _, info = await client.items()
    assert [item["id"] for item in items] == ["post-2", "post-1", "post-0"]
    assert (info["source"], info["freshness"], info["completeness"]) == ("cache", "live", "full")
    assert await client.get("Revision", CACHE) == info["revision"]


async def test_all_ids_that_are_asked_for_come(client: bus.Frontend, world: World) -> None:
    for number in range(3, 70):
        world.services[SERVICE].publish("blog", f"post-{number}", bus.entry(number))
    await client.synchronised()
    wanted = [f"post-{number}" for number in range(60)]
    assert sorted(await client.ids(ids=Variant("as", wanted))) == sorted(wanted)
    assert len(await client.ids(ids=Variant("as", wanted), limit=Variant("u", 7))) == 7
    assert len(await client.ids()) == 50
    many = {"ids": Variant("as", ["post-1"] * 501)}
    assert (await client.refused("GetItems", "sssa{sv}", *NODE, many))[0] == INVALID


async def test_paging_by_fields_that_leave_out_the_id(client: bus.Frontend) -> None:
    await client.synchronised()
    items, cursor, _ = await client.items(limit=Variant("u", 1), fields=Variant("as", ["type"]))
    assert items == [{"type": "blog"}]
    rest = (await client.items(limit=Variant("u", 5), cursor=Variant("s", cursor)))[0]
    assert [item["id"] for item in rest] == ["post-1", "post-0"]


async def test_a_node_and_the_list_of_nodes_agree(client: bus.Frontend) -> None:
    assert (await client.refused("GetNode", "sssa{sv}", *NODE, {}))[0] == ERROR + "NoSuchNode"
    await client.synchronised()
    node = await client.node()
    assert (node["account"], node["service"], node["node"]) == (ALICE, SERVICE, "blog")
    assert (node["state"], node["items"], node["pinned"]) == ("live", 3, True)
    nodes, cursor = await client.cache("ListNodes", "a{sv}", {"node-prefix": Variant("s", "bl")})
    assert [bus.plain(found) for found in nodes] == [node]
    assert cursor == ""
    assert (await client.cache("ListNodes", "a{sv}", {"state": Variant("s", "gone")}))[0] == []
    since = {"since": Variant("t", 2**64 - 1)}
    assert (await client.cache("ListNodes", "a{sv}", since))[0] == []


async def test_changes_follow_a_revision(client: bus.Frontend, world: World) -> None:
    await client.synchronised()
    since = (await client.items())[2]["revision"]
    await client.settle()
    world.services[SERVICE].publish("blog", "post-3", bus.entry(3))
    world.services[SERVICE].retract("blog", "post-0")
    told: dict[str, int] = {}
    while told.keys() != {"post-3", "post-0"}:
        account, service, node, changed, removed, revision = await client.until("ItemsChanged")
        assert (account, service, node) == (ALICE, SERVICE, "blog")
        told |= dict.fromkeys([*changed, *removed], revision)
    changed, removed, revision, complete = await client.cache("GetChanges", "sssta{sv}", *NODE, since, {})
    assert (changed, removed, complete) == (["post-3"], ["post-0"], True)
    assert revision >= max(told.values()) > since
    assert (await client.cache("GetChanges", "sssta{sv}", *NODE, revision, {}))[:2] == [[], []]
    assert not (await client.cache("GetChanges", "sssta{sv}", *NODE, 2**64 - 1, {}))[3]


async def test_flags_mark_items(client: bus.Frontend) -> None:
    await client.synchronised()
    assert (await client.node())["unread"] == 3
    await client.settle()
    assert await client.cache("SetFlags", "sssasasas", *NODE, ["post-0", "post-1"], ["read"], []) == []
    assert sorted((await client.until("ItemsChanged"))[3]) == ["post-0", "post-1"]
    assert (await client.node())["unread"] == 1
    assert (await client.refused("SetFlags", "sssasasas", *NODE, ["post-0"], ["Read"], []))[0] == INVALID


async def test_addresses_are_checked(client: bus.Frontend) -> None:
    for address, error in {
        ("bob@example.org", SERVICE, "blog"): "NoSuchAccount",
        ("@", SERVICE, "blog"): "InvalidJid",
        ("", "a@b@c", "blog"): "InvalidJid",
    }.items():
        assert (await client.refused("GetItems", "sssa{sv}", *address, {}))[0] == ERROR + error


# Jobs


async def test_a_client_chooses_the_path_of_its_job(client: bus.Frontend) -> None:
    token = {"token": Variant("s", "mine")}
    (job,) = await client.cache("Sync", "sssa{sv}", *NODE, token)
    assert job == f"{ROOT}/job/{client.name.lstrip(':').replace('.', '_')}/mine"
    assert "3 items" in await client.finished(job)
    assert await client.get("Kind", JOB, job) == "sync"
    assert await client.get("State", JOB, job) == "done"
    assert job in await client.objects()


async def test_a_purge_needs_a_filter(client: bus.Frontend) -> None:
    await client.synchronised()
    for empty in ({}, {"forget": Variant("b", True)}, {"types": Variant("as", [])}, {"token": Variant("s", "t")}):
        assert (await client.refused("Purge", "a{sv}", empty))[0] == INVALID
    assert (await client.node())["items"] == 3
    (job,) = await client.cache("Purge", "a{sv}", {"nodes": Variant("as", ["blog"])})
    await client.finished(job)
    assert (await client.node())["items"] == 0


async def test_a_purge_knows_what_empty_strings_mean(client: bus.Frontend) -> None:
    await client.synchronised()
    (job,) = await client.cache("Purge", "a{sv}", {"services": Variant("as", [""])})
    assert await client.finished(job) == "0 items of 0 nodes were dropped."
    assert (await client.node())["items"] == 3
    (job,) = await client.cache("Purge", "a{sv}", {"accounts": Variant("as", [""])})
    assert await client.finished(job) == "3 items of 1 node were dropped."
    assert (await client.node())["items"] == 0


async def test_a_reset_leaves_the_accounts(client: bus.Frontend) -> None:
    await client.synchronised()
    (job,) = await client.cache("Reset", "a{sv}", {})
    await client.finished(job)
    assert (await client.cache("ListNodes", "a{sv}", {}))[0] == []
    assert await client.call("ListAccounts", interface=MANAGER) == [[ALICE_PATH]]


# Accounts


async def test_an_account_is_added_given_a_secret_and_removed(client: bus.Frontend, world: World) -> None:
    world.account("bob@example.org", password="hunter2")
    path = ALICE_PATH.replace("alice", "bob")
    assert await client.call("AddAccount", "sa{sv}", "bob@example.org", {}, interface=MANAGER) == [path]
    assert await client.until("InterfacesAdded")
    assert await client.until("AccountAdded") == [path]
    assert await client.get("State", ACCOUNT, path) == "offline"
    assert await client.get("Origin", ACCOUNT, path) == "bus"
    assert await client.call("GetAccount", "s", "bob@example.org", interface=MANAGER) == [path]
    reader, writer = os.pipe()
    os.write(writer, b"hunter2\n")
    os.close(writer)
    await client.call("SetPassword", "h", 0, path=path, interface=ACCOUNT, fds=[reader])
    os.close(reader)
    await client.property_is(path, ACCOUNT, "State", "online")
    assert (await client.refused("GetItems", "sssa{sv}", *NODE, {}))[0] == ERROR + "AmbiguousAccount"
    await client.call("Remove", "a{sv}", {}, path=path, interface=ACCOUNT)
    assert await client.until("AccountRemoved") == [path]
    assert path not in await client.objects()
    assert (await client.error("GetAccount", "s", "bob@example.org", interface=MANAGER))[0] == ERROR + "NoSuchAccount"


async def test_an_account_is_added_once(client: bus.Frontend) -> None:
    add = ("AddAccount", "sa{sv}", "bob@example.org", {})
    replies = await asyncio.gather(*(client.raw(*add, interface=MANAGER) for _ in range(3)))
    assert [reply.error_name for reply in replies].count(None) == 1
    assert {reply.error_name for reply in replies} == {None, ERROR + "AccountExists"}


async def test_an_account_that_is_there_or_none_is_refused(client: bus.Frontend) -> None:
    for jid, options, error in (
        (ALICE, {}, ERROR + "AccountExists"),
        ("example.org", {}, ERROR + "InvalidJid"),
        ("bob@example.org", {"tls": Variant("s", "none")}, INVALID),
        ("bob@example.org", {"tls": Variant("s", "ssl")}, INVALID),
        ("bob@example.org", {"port": Variant("u", 65536)}, INVALID),
        ("bob@example.org", {"ca-file": Variant("s", "ca.pem")}, INVALID),
        ("bob@example.org", {"ca-file": Variant("s", "/nonexistent/ca.pem")}, INVALID),
        ("bob@example.org", {"ca-file": Variant("s", "/")}, INVALID),
        ("bob@example.org", {"host": Variant("s", "example.org:5222")}, INVALID),
        ("bob@example.org", {"host": Variant("s", "bob@example.org")}, INVALID),
        ("bob@example.org", {"resource": Variant("s", "a\tb")}, INVALID),
        ("bob@example.org", {"resource": Variant("s", "x" * 1024)}, INVALID),
    ):
        assert (await client.error("AddAccount", "sa{sv}", jid, options, interface=MANAGER))[0] == error


async def test_an_account_of_the_configuration_stays_as_it_is(client: bus.Frontend) -> None:
    assert await client.get("Origin", ACCOUNT, ALICE_PATH) == "config"
    unsupported = ERROR + "NotSupported"
    disable = (ACCOUNT, "Enabled", Variant("b", False))
    assert (await client.error("Set", "ssv", *disable, path=ALICE_PATH, interface=PROPERTIES))[0] == unsupported
    assert (await client.error("Remove", "a{sv}", {}, path=ALICE_PATH, interface=ACCOUNT))[0] == unsupported
    assert await client.get("Enabled", ACCOUNT, ALICE_PATH) is True
    descriptor = os.memfd_create("secret")
    os.pwrite(descriptor, b"hunter2", 0)
    password = client.error("SetPassword", "h", 0, path=ALICE_PATH, interface=ACCOUNT, fds=[descriptor])
    assert (await password)[0] == unsupported
    os.close(descriptor)


async def test_an_account_disconnects_and_connects(client: bus.Frontend) -> None:
    await client.call("Disconnect", path=ALICE_PATH, interface=ACCOUNT)
    await client.property_is(ALICE_PATH, ACCOUNT, "State", "offline")
    await client.call("Connect", path=ALICE_PATH, interface=ACCOUNT)
    await client.property_is(ALICE_PATH, ACCOUNT, "State", "online")


async def test_of_an_account_only_what_is_different_is_told(client: bus.Frontend) -> None:
    await client.property_is(ALICE_PATH, ACCOUNT, "State", "online")
    await client.call("Disconnect", path=ALICE_PATH, interface=ACCOUNT)
    told: dict[str, Any] = {}
    while told.get("State") != "offline":
        told = bus.plain((await client.until("PropertiesChanged", path=ALICE_PATH))[1])
    assert told == {"State": "offline"}


async def test_what_the_server_can_do_is_told_once(client: bus.Frontend, world: World) -> None:
    world.account("bob@example.org")
    (path,) = await client.call("AddAccount", "sa{sv}", "bob@example.org", {}, interface=MANAGER)
    descriptor = os.memfd_create("secret")
    os.pwrite(descriptor, b"secret", 0)
    await client.call("SetPassword", "h", 0, path=path, interface=ACCOUNT, fds=[descriptor])
    os.close(descriptor)
    told: list[dict[str, Any]] = []

    async def until(state: str) -> None:
        while not told or told[-1]["State"] != state:
            told.append(bus.plain((await client.until("PropertiesChanged", path=path))[1]))

    await until("online")
    await client.call("Disconnect", path=path, interface=ACCOUNT)
    await until("offline")
    await client.call("Connect", path=path, interface=ACCOUNT)
    await until("online")
    features = await client.get("ServerFeatures", ACCOUNT, path)
    assert features
    assert told == [
        {"State": "connecting"},
        {"State": "online", "ServerFeatures": features},
        {"State": "offline"},
        {"State": "connecting"},
        {"State": "online"},
    ]


# The rest


async def test_analysers_are_listed_and_matched(client: bus.Frontend) -> None:
    (analysers,) = await client.call("List", interface=ANALYSERS)
    assert {"blog"} <= {analyser["name"].value for analyser in analysers}
    name, why = await client.call("Match", "sssa{sv}", *NODE, {}, interface=ANALYSERS)
    assert name == "blog"
    assert all(variant.signature == "s" for variant in why.values())


async def test_the_daemon_says_what_it_is(client: bus.Frontend) -> None:
    assert await client.get("Version", MANAGER) == 1
    assert await client.get("State", MANAGER) == "running"
    assert await client.get("SyslogIdentifier", "org.freedesktop.LogControl1", "/org/freedesktop/LogControl1")


@pytest.mark.parametrize("name", [MANAGER, CACHE, ANALYSERS])
async def test_introspection_shows_members_with_their_documentation(client: bus.Frontend, name: str) -> None:
    (served,) = await client.call("Introspect", interface=INTROSPECTABLE)
    assert canonical(served, name) == canonical((paths.interfaces() / f"{name}.xml").read_text(), name)
    assert "<!--" in canonical(served, name)


def canonical(document: str, name: str) -> str:
    """The interface in a document, comments included, however it was written."""
    root = ET.fromstring(document, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))
    element = root.find(f"interface[@name='{name}']")
    assert element is not None
    element.tail = None
    return ET.canonicalize(ET.tostring(element, encoding="unicode"), with_comments=True)

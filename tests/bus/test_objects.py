"""Objects: who sees which, the ObjectManager, and introspection."""

from __future__ import annotations

import asyncio
import gc
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from dbus_fast import Message, introspection

from pubsub_cached import paths
from pubsub_cached.bus import Connection, Tree
from pubsub_cached.bus.description import read
from pubsub_cached.bus.interface import Handler
from pubsub_cached.bus.objects import Object
from tests.bus.conftest import MakeClient
from tests.bus.sample import (
    DIRECTORY,
    INTROSPECTABLE,
    OBJECT_MANAGER,
    PROPERTIES,
    ROOT,
    SAMPLE,
    Broken,
    Client,
    Plain,
    Sample,
)
from tests.support.bus import PrivateBus

UNKNOWN_OBJECT = "org.freedesktop.DBus.Error.UnknownObject"
UNKNOWN_INTERFACE = "org.freedesktop.DBus.Error.UnknownInterface"
STANDARD = [
    "org.freedesktop.DBus.Peer",
    "org.freedesktop.DBus.Introspectable",
    "org.freedesktop.DBus.Properties",
]


async def introspect(client: Client, path: str) -> ET.Element:
    (xml,) = await client.call("Introspect", interface=INTROSPECTABLE, path=path)
    return ET.fromstring(xml)


def names(node: ET.Element, tag: str) -> list[str]:
    return [child.get("name", "") for child in node.findall(tag)]


async def managed(client: Client) -> dict[str, dict[str, dict[str, object]]]:
    (objects,) = await client.call("GetManagedObjects", interface=OBJECT_MANAGER)
    return {
        path: {
            interface: {name: variant.value for name, variant in values.items()}
            for interface, values in interfaces.items()
        }
        for path, interfaces in objects.items()
    }


def said(message: Message) -> tuple[str | None, str | None, str]:
    return message.path, message.member, message.body[0]


async def test_object_manager_lists_managed_objects_only(sample: Sample, tree: Tree, client: Client) -> None:
    tree.export(ROOT + "/account/a", Plain(), managed=True)
    tree.export(ROOT + "/view/1", Plain())
    assert await managed(client) == {ROOT + "/account/a": {"test.Plain": {"Title": "title", "Loud": "loud"}}}


async def test_object_manager_is_at_the_root_only(sample: Sample, tree: Tree, client: Client) -> None:
    tree.export(ROOT + "/account/a", Plain(), managed=True)
    for path in ("/", "/im", ROOT + "/account", ROOT + "/account/a"):
        name, _ = await client.error("GetManagedObjects", interface=OBJECT_MANAGER, path=path)
        assert name == UNKNOWN_INTERFACE


async def test_object_manager_signals_come_from_the_root(sample: Sample, tree: Tree, client: Client) -> None:
    await client.listen()
    path = ROOT + "/account/a"
    tree.export(path, Plain(), managed=True)
    tree.export(path, Broken())
    tree.export(ROOT + "/view/1", Plain())
    tree.remove(ROOT + "/view/1")
    tree.remove(path)
    tree.remove(path)
    signals = await client.settle()
    assert [said(message) for message in signals] == [
        (ROOT, "InterfacesAdded", path),
        (ROOT, "InterfacesAdded", path),
        (ROOT, "InterfacesRemoved", path),
    ]
    assert {name: value.value for name, value in signals[0].body[1]["test.Plain"].items()} == {
        "Title": "title",
        "Loud": "loud",
    }
    assert list(signals[1].body[1]["test.Broken"]) == ["Good"]
    assert signals[2].body[1] == ["test.Plain", "test.Broken"]


async def test_property_that_fails_does_not_hide_the_other_objects(sample: Sample, tree: Tree, client: Client) -> None:
    tree.export(ROOT + "/account/a", Broken(), managed=True)
    assert await managed(client) == {ROOT + "/account/a": {"test.Broken": {"Good": "good"}}}


async def test_removed_object_is_unknown(sample: Sample, tree: Tree, client: Client) -> None:
    tree.export(ROOT + "/job/1", Plain())
    assert await client.get("Title", "test.Plain", ROOT + "/job/1") == "title"
    tree.remove(ROOT + "/job/1")
    name, _ = await client.error("Echo", "u", 1, interface="test.Plain", path=ROOT + "/job/1")
    assert name == UNKNOWN_OBJECT


async def test_object_with_an_owner_exists_for_its_owner_only(
    sample: Sample, tree: Tree, make_client: MakeClient
) -> None:
    owner, other = await make_client(), await make_client()
    path = ROOT + "/view/1_1/x"
    await owner.listen()
    await other.listen()
    view = Sample()
    tree.export(path, view, managed=True, owner=owner.name)
    assert await owner.call("Echo", "s", "mine", path=path) == ["mine"]
    for member, arguments, interface in (
        ("Echo", ("s", "mine"), SAMPLE),
        ("GetAll", ("s", SAMPLE), PROPERTIES),
        ("Introspect", (), INTROSPECTABLE),
    ):
        assert (await other.error(member, *arguments, interface=interface, path=path))[0] == UNKNOWN_OBJECT
    assert names(await introspect(owner, ROOT), "node") == ["view"]
    assert names(await introspect(other, ROOT), "node") == []
    assert (await other.error("Introspect", interface=INTROSPECTABLE, path=ROOT + "/view"))[0] == UNKNOWN_OBJECT
    assert list(await managed(owner)) == [path]
    assert await managed(other) == {}
    view.emit("Said", 1, "x")
    view.level = 2
    view.changed()
    tree.remove(path)
    assert [message.member for message in await owner.settle()] == [
        "InterfacesAdded",
        "Said",
        "PropertiesChanged",
        "InterfacesRemoved",
    ]
    assert await other.settle() == []


async def test_signal_to_one_client_reaches_no_other(sample: Sample, make_client: MakeClient) -> None:
    one, other = await make_client(), await make_client()
    await one.listen()
    await other.listen()
    sample.emit("Said", 1, "for one", destination=one.name)
    sample.emit("Said", 2, "for all")
    assert [message.body for message in await one.settle()] == [[1, "for one"], [2, "for all"]]
    assert [message.body for message in await other.settle()] == [[2, "for all"]]


async def test_unicast_signal_needs_no_match_rule(sample: Sample, client: Client) -> None:
    sample.emit("Said", 1, "for you", destination=client.name)
    assert [message.body for message in await client.settle()] == [[1, "for you"]]


@pytest.mark.parametrize("path", ["", "relative", "/a/", "/a//b", "/a-b", "/a\n"])
async def test_invalid_path_is_refused(tree: Tree, path: str) -> None:
    with pytest.raises(ValueError, match="no object path"):
        tree.export(path, Plain())


async def test_interface_twice_at_one_path_is_refused(sample: Sample, tree: Tree) -> None:
    with pytest.raises(ValueError, match="already"):
        tree.export(ROOT, Sample())


def canonical(element: ET.Element) -> str:
    return ET.canonicalize(ET.tostring(element, encoding="unicode"), strip_text=True, with_comments=False)


async def test_introspection_equals_the_files(sample: Sample, tree: Tree, client: Client) -> None:
    tree.export(ROOT, Plain())
    tree.export(ROOT + "/account/a", Plain())
    tree.export(ROOT + "/account/b", Plain())
    tree.export(ROOT + "/job/1_1/x", Plain())
    for path, own, children in (
        (ROOT, ["test.Sample", "test.Plain"], ["account", "job"]),
        (ROOT + "/account/a", ["test.Plain"], []),
    ):
        node = await introspect(client, path)
        served = {element.get("name"): element for element in node.findall("interface")}
        assert [name for name in served if name in own] == own
        for name in own:
            file = ET.parse(DIRECTORY / f"{name}.xml").getroot().find("interface")
            assert file is not None
            assert canonical(served[name]) == canonical(file)
        extra = [OBJECT_MANAGER] if path == ROOT else []
        assert [name for name in served if name not in own] == STANDARD + extra
        assert names(node, "node") == children


async def test_introspection_keeps_the_comments_and_does_not_vary(sample: Sample, client: Client) -> None:
    first = await client.call("Introspect", interface=INTROSPECTABLE)
    assert "<!-- Twice the same. -->" in first[0]
    assert first == await client.call("Introspect", interface=INTROSPECTABLE)
    assert introspection.Node.parse(first[0]).interfaces


async def test_ancestors_show_their_children_only(sample: Sample, tree: Tree, client: Client) -> None:
    tree.export("/org/freedesktop/LogControl1", Plain())
    for path, children in (("/", ["im", "org"]), ("/im", ["pubsubcache1"]), ("/org/freedesktop", ["LogControl1"])):
        node = await introspect(client, path)
        assert names(node, "node") == children
        assert names(node, "interface") == []


@pytest.mark.parametrize("file", sorted(paths.interfaces().glob("*.xml")), ids=lambda file: file.stem)
def test_the_contract_can_be_served(file: Path) -> None:
    description = read(file.parent, file.stem)
    assert description.methods or description.properties
    assert ET.fromstring(description.xml).get("name") == file.stem


async def run(bus: PrivateBus, *command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, env=bus.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return output.decode()


async def test_gdbus_introspects_calls_and_passes_descriptors(
    sample: Sample, connection: Connection, private_bus: PrivateBus, tmp_path: Path
) -> None:
    target = ("--session", "--dest", connection.unique_name, "--object-path", ROOT)
    shown = await run(private_bus, "gdbus", "introspect", *target)
    assert "interface test.Sample {" in shown
    assert "Echo(in  s text," in shown
    called = await run(private_bus, "gdbus", "call", *target, "--method", "test.Sample.Pair")
    assert called == "(uint32 7, 'seven')\n"


async def test_busctl_introspects_reads_and_sets(
    sample: Sample, connection: Connection, private_bus: PrivateBus
) -> None:
    target = (connection.unique_name, ROOT)
    busctl = ("busctl", f"--address={private_bus.address}")
    shown = await run(private_bus, *busctl, "introspect", *target)
    assert any(line.split()[:4] == [".Level", "property", "u", "1"] for line in shown.splitlines())
    await run(private_bus, *busctl, "set-property", *target, SAMPLE, "Level", "u", "12")
    assert await run(private_bus, *busctl, "get-property", *target, SAMPLE, "Level") == "u 12\n"
    tree_shown = await run(private_bus, *busctl, "tree", "--list", connection.unique_name)
    assert tree_shown.split() == ["/", "/im", ROOT]


def test_nothing_is_made_for_methods_that_nobody_calls() -> None:
    """A client may have some hundred objects, and all that is made is looked through for cycles."""
    gc.collect()
    found = Object(ROOT, managed=False, owner=None)
    found.add(Sample())
    assert not [each for each in gc.get_objects() if isinstance(each, Handler)]
    assert found.handlers("Echo")

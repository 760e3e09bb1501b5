"""Properties: reading, writing, and the signal of a change."""

from __future__ import annotations

import pytest
from dbus_fast import Message, Variant

from pubsub_cached.bus import Connection, Tree
from tests.bus.conftest import MakeClient
from tests.bus.sample import (
    DIRECTORY,
    PEER,
    PROPERTIES,
    ROOT,
    SAMPLE,
    Broken,
    Client,
    Plain,
    Sample,
)

ERROR = "org.freedesktop.DBus.Error."


@pytest.fixture
def plain(sample: Sample, tree: Tree) -> Plain:
    plain = Plain()
    tree.export(ROOT, plain)
    return plain


async def get_all(client: Client, interface: str, path: str = ROOT) -> dict[str, object]:
    (values,) = await client.call("GetAll", "s", interface, interface=PROPERTIES, path=path)
    return {name: variant.value for name, variant in values.items()}


async def set_property(client: Client, interface: str, prop: str, value: Variant) -> list[object]:
    return await client.call("Set", "ssv", interface, prop, value, interface=PROPERTIES)


async def test_sender_is_known_when_a_property_is_read_or_written(sample: Sample, make_client: MakeClient) -> None:
    one, other = await make_client(), await make_client()
    for client in (one, other):
        assert await client.get("Caller") == client.name
        assert (await get_all(client, SAMPLE))["Caller"] == client.name
        await set_property(client, SAMPLE, "Level", Variant("u", 2))
        assert sample.set_by == client.name
        sample.set_by = ""
        await set_property(client, SAMPLE, "Slow", Variant("s", "x"))
        assert sample.set_by == client.name


async def test_writing_answers_when_it_is_done(sample: Sample, client: Client) -> None:
    assert await set_property(client, SAMPLE, "Slow", Variant("s", "later")) == []
    assert await client.get("Slow") == "later"


async def test_refused_values(sample: Sample, client: Client) -> None:
    for value, prop, error, says in (
        (Variant("u", 101), "Level", "InvalidArgs", "101"),
        (Variant("s", "3"), "Level", "InvalidArgs", "'u', not 's'"),
        (Variant("u", 3), "Version", "PropertyReadOnly", "Version"),
        (Variant("u", 3), "Nothing", "UnknownProperty", "Nothing"),
    ):
        name, text = await client.error("Set", "ssv", SAMPLE, prop, value, interface=PROPERTIES)
        assert name == ERROR + error
        assert says in text
    assert sample.level == 1


async def test_empty_interface_name_means_any(plain: Plain, client: Client) -> None:
    assert await client.get("Level", interface="") == 1
    assert await client.get("Title", interface="") == "title"
    merged = await get_all(client, "")
    assert merged == await get_all(client, SAMPLE) | await get_all(client, "test.Plain")
    await set_property(client, "", "Level", Variant("u", 9))
    assert await client.get("Level") == 9
    assert (await client.error("Get", "ss", "", "Nothing", interface=PROPERTIES))[0] == ERROR + "UnknownProperty"


async def test_unknown_object_interface_and_property(sample: Sample, client: Client) -> None:
    for path, interface, prop, error in (
        ("/nowhere", SAMPLE, "Level", "UnknownObject"),
        ("/im", SAMPLE, "Level", "UnknownInterface"),
        ("/im", "", "Level", "UnknownProperty"),
        (ROOT, "test.Other", "Level", "UnknownInterface"),
        (ROOT, SAMPLE, "Nothing", "UnknownProperty"),
        (ROOT, PEER, "Nothing", "UnknownProperty"),
    ):
        name, _ = await client.error("Get", "ss", interface, prop, interface=PROPERTIES, path=path)
        assert name == ERROR + error, (path, interface, prop)
    assert await get_all(client, PEER) == {}
    assert await get_all(client, "", "/im") == {}
    assert (await client.error("GetAll", "s", "test.Other", interface=PROPERTIES))[0] == ERROR + "UnknownInterface"


async def test_a_property_that_fails_fails_the_read(sample: Sample, tree: Tree, client: Client) -> None:
    tree.export(ROOT + "/broken", Broken())
    for member, arguments in (("Get", ("ss", "test.Broken", "Bad")), ("GetAll", ("s", "test.Broken"))):
        name, _ = await client.error(member, *arguments, interface=PROPERTIES, path=ROOT + "/broken")
        assert name == "im.pubsubcache1.Error.Internal"
    assert await client.get("Good", "test.Broken", ROOT + "/broken") == "good"


def announced(message: Message) -> tuple[str, str, dict[str, object]]:
    interface, changed, invalidated = message.body
    assert invalidated == []
    return str(message.path), interface, {name: variant.value for name, variant in changed.items()}


async def test_change_is_announced_as_the_annotation_says(plain: Plain, sample: Sample, client: Client) -> None:
    await client.listen(f"type='signal',interface='{PROPERTIES}'")
    sample.level, sample.slow, sample.quiet = 5, "later", 6
    assert sample.changed()
    plain.loud = "louder"
    assert plain.changed()
    assert [announced(message) for message in await client.settle()] == [
        (ROOT, SAMPLE, {"Level": 5, "Slow": "later"}),
        (ROOT, "test.Plain", {"Loud": "louder"}),
    ]


async def test_only_what_is_different_from_what_was_told_is_announced(sample: Sample, client: Client) -> None:
    await client.listen(f"type='signal',interface='{PROPERTIES}'")
    sample.quiet = 6
    assert not sample.changed()
    sample.level = 5
    assert sample.changed()
    assert not sample.changed()
    sample.slow = "later"
    assert sample.changed()
    assert [announced(message) for message in await client.settle()] == [
        (ROOT, SAMPLE, {"Level": 5}),
        (ROOT, SAMPLE, {"Slow": "later"}),
    ]


async def test_what_was_told_when_an_object_appeared_is_not_announced_again(
    sample: Sample, tree: Tree, client: Client
) -> None:
    await client.listen()
    path = ROOT + "/job/1"
    plain = Plain()
    for loud in ("louder", "loudest"):
        plain.loud = loud
        assert not plain.changed(), "it is nowhere"
        tree.export(path, plain, managed=True)
        assert not plain.changed()
        tree.remove(path)
    added = [message for message in await client.settle() if message.member != "InterfacesRemoved"]
    assert [message.body[1]["test.Plain"]["Loud"].value for message in added] == ["louder", "loudest"]


async def test_a_property_that_fails_does_not_hide_the_change_of_another(
    connection: Connection, tree: Tree, client: Client
) -> None:
    await client.listen(f"type='signal',interface='{PROPERTIES}'")
    broken = Broken()
    tree.export(ROOT, broken)
    broken.good = "better"
    broken.changed()
    assert [announced(message) for message in await client.settle()] == [
        (ROOT, "test.Broken", {"Good": "better"}),
    ]


async def test_no_change_is_announced_after_removal(sample: Sample, tree: Tree, client: Client) -> None:
    await client.listen(f"type='signal',interface='{PROPERTIES}'")
    sample.level = 2
    assert sample.changed()
    tree.remove(ROOT)
    sample.level = 3
    assert not sample.changed()
    assert [announced(message) for message in await client.settle()] == [(ROOT, SAMPLE, {"Level": 2})]


async def test_class_that_lacks_what_the_file_has_is_refused(connection: Connection, tree: Tree) -> None:
    class Lacking(Plain):
        Echo = None  # type: ignore[assignment]

    class Unwritable(Sample):
        set_Level = property()  # type: ignore[assignment]

    with pytest.raises(TypeError, match=r"Lacking lacks Echo, which test\.Plain\.xml has"):
        tree.export("/lacking", Lacking())
    with pytest.raises(TypeError, match="set_Level"):
        tree.export("/lacking", Unwritable())
    assert (DIRECTORY / "test.Plain.xml").exists()


async def test_unknown_signal_is_a_fault_of_the_caller(sample: Sample) -> None:
    with pytest.raises(TypeError, match="no signal Shouted"):
        sample.emit("Shouted")
    with pytest.raises(TypeError, match="2 arguments"):
        sample.emit("Said", 1)
    with pytest.raises(ValueError, match="UINT32"):
        sample.emit("Said", -1, "text")

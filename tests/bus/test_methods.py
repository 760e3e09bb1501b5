"""Calls: arguments, results, the sender, and what a wrong call gets."""

from __future__ import annotations

import asyncio

import pytest
from dbus_fast import Message, MessageFlag, Variant

from pubsub_cached.bus import Connection, Tree, caller
from tests.bus.conftest import MakeClient
from tests.bus.sample import PEER, ROOT, Client, Plain, Sample

INVALID = "org.freedesktop.DBus.Error.InvalidArgs"
UNKNOWN = "org.freedesktop.DBus.Error.Unknown"


async def test_results_of_none_one_and_several_values(sample: Sample, client: Client) -> None:
    assert await client.call("Echo", "s", "héllo") == ["héllo"]
    assert await client.call("Nothing") == []
    assert await client.call("Pair") == [7, "seven"]


async def test_options_arrive_as_variants(sample: Sample, client: Client) -> None:
    options = {"limit": Variant("u", 5), "ids": Variant("as", ["a"])}
    assert await client.call("Options", "a{sv}", options) == [["ids=as:['a']", "limit=u:5"]]


@pytest.mark.parametrize("texts", [[], ["a", "b"]])
async def test_a_list_of_variants_of_strings_is_a_list_of_strings(
    sample: Sample, client: Client, texts: list[str]
) -> None:
    """Bindings of Qt send it for a list whose type they were not told."""
    assert await client.call("Texts", "avu", [Variant("s", text) for text in texts], 2) == [[t * 2 for t in texts]]


async def test_a_list_of_other_variants_is_no_list_of_strings(sample: Sample, client: Client) -> None:
    name, text = await client.error("Texts", "avu", [Variant("s", "a"), Variant("u", 1)], 2)
    assert (name, "'asu'" in text, "'avu'" in text) == (INVALID, True, True)
    assert (await client.error("Texts", "av", [Variant("s", "a")]))[0] == INVALID


@pytest.mark.parametrize(("kind", "number"), [("i", 2), ("x", 3), ("t", 2), ("y", 2), ("n", 0), ("d", 2.0)])
async def test_a_number_may_come_in_any_type_that_holds_it(
    sample: Sample, client: Client, kind: str, number: float
) -> None:
    """Some bindings of Qt have one for all of them."""
    assert await client.call("Texts", f"as{kind}", ["a"], number) == [["a" * int(number)]]


@pytest.mark.parametrize(
    ("kind", "number"), [("i", -1), ("x", 2**32), ("d", 1.5), ("d", float("inf")), ("d", float("nan"))]
)
async def test_a_number_that_does_not_fit_is_named(sample: Sample, client: Client, kind: str, number: float) -> None:
    assert await client.error("Texts", f"as{kind}", ["a"], number) == (
        INVALID,
        f"Argument 2 of Texts is {number}, and has to be a whole number from 0 to 4294967295.",
    )


@pytest.mark.parametrize(("kind", "number"), [("b", True), ("s", "2")])
async def test_what_is_no_number_is_refused(sample: Sample, client: Client, kind: str, number: object) -> None:
    name, text = await client.error("Texts", f"as{kind}", ["a"], number)
    assert name == INVALID
    assert f"'asu', not 'as{kind}'" in text


async def test_rows_are_sent_as_records(sample: Sample, client: Client) -> None:
    (rows,) = await client.call("Rows", "uu", 2, 3)
    assert [{key: value.value for key, value in row.items()} for row in rows] == [
        {"id": "1", "payload": "xxx", "created": 1}
    ] * 2


async def test_sender_is_known_in_sync_and_async_methods(sample: Sample, make_client: MakeClient) -> None:
    clients = [await make_client() for _ in range(4)]
    for member in ("Who", "WhoLater"):
        replies = await asyncio.gather(*(client.call(member) for client in clients for _ in range(8)))
        assert [reply[0] for reply in replies] == [client.name for client in clients for _ in range(8)]
    with pytest.raises(LookupError):
        caller()


async def test_wrong_arguments_name_both_signatures(sample: Sample, client: Client) -> None:
    name, text = await client.error("Echo", "u", 1)
    assert name == INVALID
    assert "'s'" in text
    assert "'u'" in text
    assert (await client.error("Get", "s", "x", interface="org.freedesktop.DBus.Properties"))[0] == INVALID
    assert (await client.error("Ping", "s", "x", interface=PEER))[0] == INVALID


@pytest.mark.parametrize(
    ("path", "interface", "member", "error"),
    [
        ("/nowhere", "test.Sample", "Echo", "UnknownObject"),
        (ROOT + "/nowhere", "test.Sample", "Echo", "UnknownObject"),
        ("/im", "test.Sample", "Echo", "UnknownInterface"),
        (ROOT, "test.Other", "Echo", "UnknownInterface"),
        (ROOT, "org.freedesktop.DBus.Other", "Echo", "UnknownInterface"),
        (ROOT, "test.Sample", "Shout", "UnknownMethod"),
        (ROOT, "test.Sample", "set_Level", "UnknownMethod"),
        (ROOT, None, "Shout", "UnknownMethod"),
        (ROOT, "org.freedesktop.DBus.Properties", "Shout", "UnknownMethod"),
        ("/nowhere", "org.freedesktop.DBus.Properties", "GetAll", "UnknownObject"),
        ("/nowhere", "org.freedesktop.DBus.Introspectable", "Introspect", "UnknownObject"),
    ],
)
async def test_unknown_names(
    sample: Sample, client: Client, path: str, interface: str | None, member: str, error: str
) -> None:
    arguments = ("s", "test.Sample") if member == "GetAll" else ("",)
    name, text = await client.error(member, *arguments, interface=interface, path=path)
    assert name == UNKNOWN + error.removeprefix("Unknown")
    assert text.endswith(".")


async def test_call_without_interface_takes_the_method_that_fits(sample: Sample, tree: Tree, client: Client) -> None:
    tree.export(ROOT, Plain())
    assert await client.call("Echo", "s", "text", interface=None) == ["text"]
    assert await client.call("Echo", "u", 3, interface=None) == [3]
    assert await client.call("Ping", interface=None) == []
    assert (await client.error("Echo", "d", 1.5, interface=None))[0] == INVALID


async def test_call_without_reply_runs_and_gets_none(sample: Sample, client: Client) -> None:
    replies = []
    client.bus.add_message_handler(lambda message: replies.append(message) if message.reply_serial else None)
    for member, arguments in (("Echo", ("s", "quiet")), ("Raise", ("s", "tree")), ("Shout", ()), ("WhoLater", ())):
        await client.bus.send(client.message(member, *arguments, flags=MessageFlag.NO_REPLY_EXPECTED))
    await client.bus.send(client.message("Nothing", flags=MessageFlag.NO_REPLY_EXPECTED | MessageFlag.NO_AUTOSTART))
    assert await client.call("Echo", "s", "loud") == ["loud"]
    await client.settle()
    assert sample.calls == ["quiet", "nothing", "loud"]
    assert len(replies) == 2


async def test_peer_answers_on_any_path(sample: Sample, client: Client, connection: Connection) -> None:
    for path in (ROOT, "/", "/nowhere"):
        assert await client.call("Ping", interface=PEER, path=path) == []
    (machine,) = await client.call("GetMachineId", interface=PEER)
    assert [machine] == await connection.call("org.freedesktop.DBus", "/org/freedesktop/DBus", PEER, "GetMachineId")


@pytest.mark.parametrize("inner", [Variant("ai", [1]), Variant("a{sv}", {})], ids=["ai", "a{sv}"])
async def test_nesting_that_the_bus_allows_and_the_library_does_not(
    sample: Sample, client: Client, inner: Variant
) -> None:
    value = inner
    for _ in range(63):
        value = Variant("v", value, False)
    name, text = await client.error("Echo", "v", value)
    assert name == INVALID
    assert "nesting" in text
    assert await client.call("Echo", "s", "alive") == ["alive"]


async def test_signals_and_replies_nobody_asked_for_are_ignored(sample: Sample, client: Client) -> None:
    for kind in ("signal", "return", "error"):
        message = {
            "signal": Message.new_signal(ROOT, "test.Sample", "Said", "us", [1, "x"]),
            "return": Message.new_method_return(Message(path="/", member="x", serial=3, sender=client.service)),
            "error": Message.new_error(
                Message(path="/", member="x", serial=3, sender=client.service), "test.Error", "x"
            ),
        }[kind]
        message.destination = client.service
        await client.bus.send(message)
    assert await client.call("Echo", "s", "alive") == ["alive"]

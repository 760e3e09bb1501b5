"""Beginning and end: names, calls before the service is ready, the end of the bus, and closing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageFlag, MessageType, Variant

from pubsub_cached import errors
from pubsub_cached.bus import Connection, RemoteError, Tree
from pubsub_cached.bus.dispatch import IN_FLIGHT
from tests.bus.conftest import MakeClient
from tests.bus.sample import (
    INTROSPECTABLE,
    OBJECT_MANAGER,
    PEER,
    PROPERTIES,
    ROOT,
    SAMPLE,
    Client,
    Held,
    Plain,
    Sample,
    descriptors,
)
from tests.support.bus import PrivateBus

NAME = "im.pubsubcache1"
BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"


def catch(client: Client, member: str) -> asyncio.Future[Message]:
    """The next call of ``member`` that the client gets; it does not answer."""
    caught: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    def handler(message: Message) -> bool:
        if message.member != member:
            return False
        caught.set_result(message)
        return True

    client.bus.add_message_handler(handler)
    return caught


async def test_name_is_owned_and_given_up(bus_address: str, connection: Connection) -> None:
    other = await Connection.open(bus_address)
    await other.own(NAME)
    await other.own(NAME)
    assert await connection.call(BUS, BUS_PATH, BUS, "GetNameOwner", "s", [NAME]) == [other.unique_name]
    await other.close()
    assert await connection.call(BUS, BUS_PATH, BUS, "NameHasOwner", "s", [NAME]) == [False]


async def test_taken_name_is_refused(bus_address: str, connection: Connection) -> None:
    other = await Connection.open(bus_address)
    await other.own(NAME)
    with pytest.raises(errors.NameTaken, match=r"im\.pubsubcache1") as raised:
        await connection.own(NAME)
    assert raised.value.status == 3
    await other.close()
    await connection.own(NAME)


@pytest.mark.parametrize(
    "address", ["unix:path=/nonexistent/bus", "nonsense", "autolaunch:", "tcp:host=127.0.0.1,port=1"]
)
async def test_bus_that_is_not_there(address: str) -> None:
    before = descriptors()
    with pytest.raises(errors.BusLost) as raised:
        await Connection.open(address)
    assert raised.value.status == 4
    assert address in str(raised.value)
    assert descriptors() == before


async def test_bus_that_takes_nobody_more_says_so(make_bus: Callable[..., PrivateBus]) -> None:
    bus = make_bus(limits={"max_connections_per_user": 1})
    only = await Connection.open(bus.address)
    before = descriptors()
    with pytest.raises(errors.BusLost, match="maximum number of active connections"):
        await Connection.open(bus.address)
    assert descriptors() == before
    await only.close()


def hello(signature: str, *body: object) -> bytes:
    """A reply to the first call, which the bus is greeted with."""
    return Message(
        message_type=MessageType.METHOD_RETURN, reply_serial=1, serial=1, signature=signature, body=list(body)
    )._marshall(False)


@pytest.mark.parametrize(
    "said",
    [
        [b"\xff\r\n"],
        [b"OK 0\r\n", b"\xff\r\n"],
        [b"OK 0\r\n", b"AGREE_UNIX_FD\r\n", hello("")],
        [b"OK 0\r\n", b"AGREE_UNIX_FD\r\n", hello("u", 1)],
        [b"OK 0\r\n", b"AGREE_UNIX_FD\r\n", hello("s", "")],
    ],
    ids=["no text", "no text later", "no name", "a number", "an empty name"],
)
async def test_what_answers_in_another_way_is_no_bus(tmp_path: Path, said: list[bytes]) -> None:
    left = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in said:
            await reader.read(1024)
            writer.write(line)
        await reader.read()
        writer.close()
        left.set()

    async with await asyncio.start_unix_server(answer, tmp_path / "bus"):
        with pytest.raises(errors.BusLost, match="can't be reached"):
            await Connection.open(f"unix:path={tmp_path}/bus")
        await left.wait()


async def test_session_bus_comes_from_the_environment(
    private_bus: PrivateBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "with ~ and space"))
    with pytest.raises(errors.BusLost, match="no session bus"):
        await Connection.open()
    (tmp_path / "with ~ and space").mkdir()
    socket = private_bus.address.split("=", 1)[1].split(",")[0]
    (tmp_path / "with ~ and space" / "bus").symlink_to(socket)
    await (await Connection.open()).close()
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", private_bus.address)
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    await (await Connection.open()).close()


async def test_end_of_the_bus_is_told(connection: Connection, private_bus: PrivateBus, sample: Sample) -> None:
    lost = asyncio.create_task(connection.lost())
    await asyncio.sleep(0)
    assert not lost.done()
    private_bus.stop()
    with pytest.raises(errors.BusLost, match="went away"):
        await lost
    with pytest.raises(errors.BusLost):
        await connection.lost()
    with pytest.raises(errors.BusLost):
        await connection.call(BUS, BUS_PATH, BUS, "GetId")
    sample.emit("Said", 1, "into the void")
    await connection.drain()


async def test_end_of_the_bus_ends_the_calls_that_wait(
    connection: Connection, private_bus: PrivateBus, sample: Sample, client: Client
) -> None:
    waiting = asyncio.create_task(connection.call(client.name, "/", "test.Nobody", "Answer"))
    client.bus.add_message_handler(lambda message: message.member == "Answer")
    await client.settle()
    private_bus.stop()
    with pytest.raises(errors.BusLost):
        await waiting


async def test_loss_of_the_name_is_told(connection: Connection) -> None:
    await connection.own(NAME)
    await connection.call(BUS, BUS_PATH, BUS, "ReleaseName", "s", [NAME])
    with pytest.raises(errors.BusLost, match=r"im\.pubsubcache1 was lost"):
        await connection.lost()


async def test_forged_loss_of_the_name_is_ignored(connection: Connection, client: Client, sample: Sample) -> None:
    await connection.own(NAME)
    forged = Message.new_signal(BUS_PATH, BUS, "NameLost", "s", [NAME])
    forged.destination = connection.unique_name
    await client.bus.send(forged)
    await client.settle()
    lost = asyncio.create_task(connection.lost())
    await asyncio.sleep(0)
    assert not lost.done()
    lost.cancel()


async def test_lost_returns_after_closing(bus_address: str) -> None:
    connection = await Connection.open(bus_address)
    await connection.own(NAME)
    lost = asyncio.create_task(connection.lost())
    await connection.close()
    await connection.close()
    await lost


async def test_nothing_is_left_open_after_closing(bus_address: str) -> None:
    before = descriptors()
    for _ in range(5):
        connection = await Connection.open(bus_address)
        await connection.close()
    assert descriptors() == before


async def test_calls_wait_until_the_tree_is_open(tree: Tree, client: Client) -> None:
    sample = Sample()
    tree.export(ROOT, sample)
    calls = [asyncio.create_task(client.call("Echo", "s", str(number))) for number in range(5)]
    late = asyncio.create_task(client.call("Echo", "u", 1, interface="test.Plain", path=ROOT + "/late"))
    await client.settle()
    assert not sample.calls
    tree.export(ROOT + "/late", Plain())
    tree.open()
    assert await asyncio.gather(*calls) == [[str(number)] for number in range(5)]
    assert sample.calls == [str(number) for number in range(5)]
    assert await late == [1]


async def test_calls_that_waited_for_the_tree_count_no_more_once_they_are_answered(tree: Tree, client: Client) -> None:
    tree.export(ROOT, Sample())
    calls = [asyncio.create_task(client.call("Nothing")) for _ in range(IN_FLIGHT)]
    await client.settle()
    assert (await client.error("Nothing"))[0] == "im.pubsubcache1.Error.LimitExceeded"
    tree.open()
    await asyncio.gather(*calls)
    assert await client.call("Nothing") == []


async def test_what_is_answered_before_the_tree_is_open(connection: Connection, client: Client) -> None:
    tree = Tree(connection, early=[SAMPLE])
    tree.export(ROOT, Sample(), Plain())
    assert await client.call("Ping", interface=PEER) == []
    assert await client.call("Introspect", interface=INTROSPECTABLE)
    assert await client.get("Version") == 1
    assert await client.call("GetAll", "s", SAMPLE, interface=PROPERTIES)
    later = [
        asyncio.create_task(client.get("Title", "test.Plain")),
        asyncio.create_task(client.call("GetManagedObjects", interface=OBJECT_MANAGER)),
    ]
    await client.settle()
    assert not any(task.done() for task in later)
    tree.open()
    assert await asyncio.gather(*later) == ["title", [{}]]


@pytest.mark.parametrize(("signature", "body"), [("", []), ("as", [[SAMPLE]]), ("v", [Variant("s", SAMPLE)])])
async def test_a_property_of_nothing_that_has_a_name_is_refused_when_the_tree_is_open(
    tree: Tree, client: Client, signature: str, body: list[object]
) -> None:
    tree.export(ROOT, Sample())
    refused = asyncio.create_task(client.error("GetAll", signature, *body, interface=PROPERTIES))
    await client.settle()
    assert not refused.done()
    tree.open()
    assert (await refused)[0] == "org.freedesktop.DBus.Error.InvalidArgs"


async def test_calls_do_not_wait_for_ever(connection: Connection, client: Client) -> None:
    tree = Tree(connection, hold=0.05)
    tree.export(ROOT, Sample())
    assert [name for name, _ in await asyncio.gather(*(client.error("Echo", "s", "x") for _ in range(3)))] == [
        "im.pubsubcache1.Error.Timeout"
    ] * 3
    tree.open()
    assert await client.call("Echo", "s", "x") == ["x"]


async def test_closing_answers_the_calls_that_run(sample: Sample, tree: Tree, client: Client) -> None:
    waiting = asyncio.create_task(client.call("Wait"))
    await client.settle()
    closing = asyncio.create_task(tree.close(grace=10))
    await asyncio.sleep(0)
    assert await client.call("Echo", "s", "still there") == ["still there"]
    assert not closing.done()
    sample.release.set()
    assert await waiting == ["released"]
    await closing


async def test_closing_cancels_what_takes_too_long(sample: Sample, tree: Tree, client: Client) -> None:
    waiting = asyncio.create_task(client.error("Wait"))
    await client.settle()
    await tree.close(grace=0.01)
    name, text = await waiting
    assert name == "im.pubsubcache1.Error.Cancelled"
    assert "stopping" in text
    assert (await client.error("Echo", "s", "too late"))[0] == "im.pubsubcache1.Error.Cancelled"


async def test_closing_answers_the_calls_that_were_held(tree: Tree, client: Client) -> None:
    waiting = asyncio.create_task(client.error("Wait"))
    await client.settle()
    await tree.close()
    assert (await waiting)[0] == "im.pubsubcache1.Error.Cancelled"


class Asked(Sample):
    """A property that takes its time."""

    @property
    def Quiet(self) -> Any:
        return self._quiet()

    async def _quiet(self) -> int:
        await self.release.wait()
        return self.quiet


async def test_closing_answers_what_came_while_a_call_ran_that_was_answered_early(
    connection: Connection, client: Client
) -> None:
    """What was refused as the closing began is in flight no more."""
    tree, sample = Tree(connection, hold=60, early=[SAMPLE]), Asked()
    tree.export(ROOT, sample)
    early = asyncio.create_task(client.get("Quiet"))
    held = [asyncio.create_task(client.error("Nothing")) for _ in range(IN_FLIGHT - 1)]
    await client.settle()
    closing = asyncio.create_task(tree.close(grace=60))
    await asyncio.sleep(0)
    held.append(asyncio.create_task(client.error("Echo", "s", "too late")))
    await client.settle()
    sample.release.set()
    assert await early == 5
    await closing
    assert {name for name, _ in await asyncio.gather(*held)} == {"im.pubsubcache1.Error.Cancelled"}


async def test_closing_the_connection_answers_what_the_bus_has_passed_on(
    bus_address: str, make_client: MakeClient
) -> None:
    connection = await Connection.open(bus_address)
    await connection.own(NAME)
    tree = Tree(connection)
    tree.export(ROOT, Sample())
    tree.open()
    client = await make_client()
    client.service = NAME
    await client.call("Nothing")
    calls = [asyncio.create_task(client.raw("Echo", "s", str(number))) for number in range(20)]
    await asyncio.sleep(0)
    await connection.close()
    replies = await asyncio.gather(*calls)
    answered = [reply.body[0] for reply in replies if not reply.error_name]
    assert answered == [str(number) for number in range(len(answered))]
    assert {reply.error_name for reply in replies} <= {None, BUS + ".Error.ServiceUnknown"}


async def test_closing_the_connection_answers_what_waits_for_its_turn(
    private_bus: PrivateBus, make_client: MakeClient
) -> None:
    """The bus takes nothing while the calls are read, so that all but one have to wait."""
    connection, client = await Connection.open(private_bus.address), await make_client()
    tree, sample = Tree(connection), Sample()
    tree.export(ROOT, sample)
    tree.open()
    client.service = connection.unique_name
    await client.call("Nothing")
    sample.calls.clear()
    held = Held(connection, "the last")
    texts = [*map(str, range(10)), "the last"]
    calls = [asyncio.create_task(client.call("Echo", "s", text)) for text in texts]
    await held.arrived.wait()
    with private_bus.paused():
        sample.Burst(3000)
        held.read_on()
        while not sample.calls:
            await asyncio.sleep(0)
        assert len(sample.calls) == 1
        closing = asyncio.create_task(connection.close())
        await asyncio.sleep(0)
    await closing
    assert await asyncio.gather(*calls) == [[text] for text in texts]


async def test_call_reports_errors_time_outs_and_unknown_names(
    connection: Connection, sample: Sample, bus_address: str
) -> None:
    other = await Connection.open(bus_address)
    with pytest.raises(RemoteError, match=r"no node") as raised:
        await other.call(connection.unique_name, ROOT, SAMPLE, "Raise", "s", ["tree"])
    assert raised.value.name == "im.pubsubcache1.Error.NoSuchNode"
    with pytest.raises(RemoteError) as raised:
        await other.call(":1.9999", ROOT, SAMPLE, "Echo", "s", ["x"])
    assert raised.value.name == BUS + ".Error.ServiceUnknown"
    began = time.monotonic()
    with pytest.raises(errors.Timeout, match=r"Wait within 0\.05 seconds"):
        await other.call(connection.unique_name, ROOT, SAMPLE, "Wait", timeout=0.05)
    assert time.monotonic() - began >= 0.05
    assert not other._calls.pending
    await other.close()


async def test_answer_of_somebody_else_is_not_taken(
    connection: Connection, client: Client, make_client: MakeClient
) -> None:
    """Who guesses a serial can't answer for the client that was called."""
    forger = await make_client()
    asked = catch(client, "Ask")
    waiting = asyncio.create_task(connection.call(client.name, "/", "test.Nobody", "Ask"))
    call = await asked
    forged = Message.new_method_return(call, "s", ["forged"])
    await forger.bus.send(forged)
    await client.bus.send(Message.new_method_return(call, "s", ["genuine"]))
    assert await waiting == ["genuine"]


async def test_an_answer_that_came_just_in_time_is_taken(connection: Connection, client: Client) -> None:
    """Both are there when the loop looks: it may have been busy with something else."""
    waiting = asyncio.create_task(connection.call(client.name, "/", "test.Nobody", "Ask", timeout=0))
    await asyncio.sleep(0)
    (serial,) = connection._calls.pending
    fields: dict[str, Any] = {"message_type": MessageType.METHOD_RETURN, "reply_serial": serial}
    connection._calls.replied(Message(**fields, sender=client.name, signature="s", body=["in time"]))
    assert await waiting == ["in time"]


async def test_answer_in_place_of_the_bus_is_not_taken(connection: Connection, client: Client) -> None:
    waiting = asyncio.create_task(connection.call_bus("GetId"))
    await asyncio.sleep(0)
    (serial,) = connection._calls.pending
    fields: dict[str, Any] = {"message_type": MessageType.METHOD_RETURN, "reply_serial": serial}
    connection._calls.replied(Message(**fields, sender=client.name, signature="s", body=["forged"]))
    assert await waiting == await connection.call_bus("GetId")


async def test_flags_of_a_call_without_reply(connection: Connection, client: Client) -> None:
    asked = catch(client, "Tell")
    connection.call_no_reply(client.name, "/", "test.Nobody", "Tell", "s", ["x"])
    message = await asked
    assert message.flags == MessageFlag.NO_REPLY_EXPECTED
    assert not connection._calls.pending

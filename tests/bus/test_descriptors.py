"""File descriptors: passed in both directions, and closed on every way out."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import Any

import pytest
from dbus_fast import Message, MessageFlag, MessageType

from pubsub_cached import errors
from pubsub_cached.api.agents import Peers
from pubsub_cached.bus import Connection, RemoteError, Tree
from pubsub_cached.bus.dispatch import IN_FLIGHT
from tests.bus.sample import ROOT, SAMPLE, Client, Sample, descriptors
from tests.support.bus import PrivateBus

CALLS = 40


def pipe_with(text: str) -> int:
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    return reader


async def pass_fd(client: Client, member: str, **options: Any) -> Message:
    fd = pipe_with("secret")
    try:
        return await client.raw(member, "h", 0, fds=[fd], **options)
    finally:
        os.close(fd)


async def take_fd(client: Client, text: str) -> str:
    reply = await client.raw("GiveFd", "s", text)
    assert reply.body[1] == len(text)
    with os.fdopen(reply.unix_fds[reply.body[0]], "rb") as output:
        return output.read().decode()


async def test_received_and_closed(sample: Sample, client: Client) -> None:
    before = descriptors()
    for _ in range(CALLS):
        assert (await pass_fd(client, "ReadFd")).body == ["secret"]
        assert (await pass_fd(client, "ReadFdLater")).body == ["secret"]
    assert descriptors() == before


async def test_those_of_one_call_are_not_closed_when_another_ends(sample: Sample, client: Client) -> None:
    await client.call("Nothing")
    other = asyncio.create_task(client.raw("Wait"))
    await client.call("Nothing")
    waiting = asyncio.create_task(pass_fd(client, "ReadFdWhenTold"))
    await client.call("Nothing")
    sample.release.set()
    assert (await other).body == ["released"]
    sample.told.set()
    assert (await waiting).body == ["secret"]


async def test_sent_and_closed(sample: Sample, client: Client) -> None:
    before = descriptors()
    for number in range(CALLS):
        assert await take_fd(client, str(number)) == str(number)
    assert descriptors() == before


@pytest.mark.parametrize(
    ("member", "options"),
    [
        ("RefuseFd", {}),
        ("Shout", {}),
        ("Echo", {}),
        ("ReadFd", {"path": "/nowhere"}),
        ("Ping", {"interface": "org.freedesktop.DBus.Peer"}),
    ],
)
async def test_closed_when_the_call_fails(sample: Sample, client: Client, member: str, options: dict[str, Any]) -> None:
    before = descriptors()
    for _ in range(CALLS):
        assert (await pass_fd(client, member, **options)).error_name
    assert descriptors() == before


async def test_closed_when_the_result_is_wrong_or_not_wanted(sample: Sample, client: Client) -> None:
    before = descriptors()
    for _ in range(CALLS):
        assert (await client.error("GiveFdAndText", "s", "x"))[0] == "im.pubsubcache1.Error.Internal"
        await client.bus.send(client.message("GiveFd", "s", "x", flags=MessageFlag.NO_REPLY_EXPECTED))
    await client.settle()
    assert descriptors() == before


async def test_closed_descriptor_as_a_result_is_internal(sample: Sample, client: Client) -> None:
    assert (await client.error("GiveFd", "s", "closed"))[0] == "im.pubsubcache1.Error.Internal"
    assert await take_fd(client, "open") == "open"


async def test_descriptor_number_that_did_not_come_is_refused(sample: Sample, client: Client) -> None:
    before = descriptors()
    assert (await client.error("ReadFd", "h", 0))[0] == "org.freedesktop.DBus.Error.InvalidArgs"
    fd = pipe_with("x")
    assert (await client.error("ReadFd", "h", 7, fds=[fd]))[0] == "org.freedesktop.DBus.Error.InvalidArgs"
    os.close(fd)
    assert descriptors() == before


async def test_those_that_nothing_names_are_closed_while_the_call_still_waits(sample: Sample, client: Client) -> None:
    """A client that sends as many as the bus lets pass with each of its calls would leave none for anybody else."""
    await client.call("Nothing")
    fd = pipe_with("x")
    before = descriptors()
    waiting = [asyncio.create_task(client.call("Wait", fds=[fd] * 16)) for _ in range(IN_FLIGHT)]
    await client.settle()
    assert descriptors() == before
    sample.release.set()
    assert await asyncio.gather(*waiting) == [["released"]] * IN_FLIGHT
    os.close(fd)


async def test_more_descriptors_than_the_library_has_room_for(sample: Sample, client: Client) -> None:
    before = descriptors()
    fds = [pipe_with(str(number)) for number in range(16)]
    assert await client.call("ReadFd", "h", 15, fds=fds) == ["15"]
    for fd in fds:
        os.close(fd)
    assert descriptors() == before


async def test_descriptors_of_a_signal_are_closed(sample: Sample, client: Client) -> None:
    before = descriptors()
    fd = pipe_with("x")
    for _ in range(CALLS):
        signal = Message.new_signal(ROOT, SAMPLE, "Said", "h", [0], [fd])
        signal.destination = client.service
        await client.bus.send(signal)
    await client.settle()
    os.close(fd)
    assert descriptors() == before


async def test_received_descriptors_are_not_inherited(sample: Sample, client: Client) -> None:
    await pass_fd(client, "ReadFd")
    assert sample.inheritable == [False]


async def test_outgoing_call_passes_descriptors_both_ways(
    connection: Connection, tree: Tree, bus_address: str, sample: Sample
) -> None:
    other = await Connection.open(bus_address)
    before = descriptors()
    for _ in range(CALLS):
        fd = pipe_with("mine")
        assert await other.call(connection.unique_name, ROOT, SAMPLE, "ReadFd", "h", [fd]) == ["mine"]
        os.close(fd)
        output, size = await other.call(connection.unique_name, ROOT, SAMPLE, "GiveFd", "s", ["yours"])
        assert os.read(output, 100) == b"yours"
        assert size == 5
        os.close(output)
    assert descriptors() == before
    await other.close()


def answering(client: Client, *body: Any, fds: Sequence[int] = ()) -> None:
    """Whatever the client is called with, this is what it answers."""

    def answer(message: Message) -> bool:
        if message.message_type is MessageType.METHOD_CALL:
            client.bus.send(Message.new_method_return(message, *body, list(fds)))
        return True

    client.bus.add_message_handler(answer)


@pytest.mark.parametrize("sent", [0, 1])
async def test_a_number_of_an_answer_without_its_descriptor_is_none(
    connection: Connection, client: Client, sent: int
) -> None:
    """Whoever took it for one would close what is somebody else's."""
    before = descriptors()
    fds = [pipe_with("x") for _ in range(sent)]
    answering(client, "h", [sent], fds=fds)
    with pytest.raises(RemoteError, match="did not come"):
        await connection.call(client.name, "/", "test.Nobody", "Give")
    for fd in fds:
        os.close(fd)
    assert descriptors() == before


async def test_descriptors_of_an_answer_are_closed_when_the_call_is_cancelled_in_that_moment(
    connection: Connection, client: Client
) -> None:
    before = descriptors()
    for _ in range(CALLS):
        waiting = asyncio.create_task(connection.call(client.name, "/", "test.Nobody", "Give"))
        await asyncio.sleep(0)
        (serial,) = connection._calls.pending
        answer = Message(
            message_type=MessageType.METHOD_RETURN,
            reply_serial=serial,
            sender=client.name,
            signature="h",
            body=[0],
            unix_fds=[pipe_with("x")],
        )
        connection._calls.replied(answer)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert descriptors() == before


async def test_descriptors_in_an_agent_s_answer_are_closed(connection: Connection, tree: Tree, client: Client) -> None:
    """Nobody asks an agent for any; it may also name one that did not come."""
    fd = pipe_with("x")

    def answer(message: Message) -> bool:
        if message.message_type is MessageType.METHOD_CALL:
            client.bus.send(Message.new_method_return(message, "h", [int(message.body[0])], [fd]))
        return True

    client.bus.add_message_handler(answer)
    peers = Peers(connection)
    before = descriptors()
    for number in ["0", "7"] * CALLS:
        assert (await peers.call(client.name, "/", "Parse", [number], 20)).outcome == "failed"
    assert descriptors() == before
    os.close(fd)


async def test_queued_descriptors_are_closed_when_the_bus_dies(private_bus: PrivateBus) -> None:
    connection = await Connection.open(private_bus.address)
    before = descriptors()
    fd = pipe_with("x")
    with private_bus.paused():
        for _ in range(CALLS):
            connection.call_no_reply(connection.unique_name, "/", "test.Nobody", "Take", "hs", [fd, "x" * 100_000])
        os.close(fd)
        assert descriptors() > before
        os.kill(private_bus.pid, signal.SIGKILL)
        with pytest.raises(errors.BusLost):
            await connection.lost()
    assert descriptors() == before - 1, "the socket itself is closed as well"

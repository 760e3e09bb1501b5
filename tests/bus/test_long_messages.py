"""Messages that no call of the contract needs: they are passed over, not taken apart, and who sent one hears why."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import socket
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dbus_fast import Message, MessageFlag
from dbus_fast._private.unmarshaller import Unmarshaller

from pubsub_cached.bus import Connection, Interface, Match, RemoteError, Signal, Tree, Variant
from pubsub_cached.bus.marshalling import marshalled
from pubsub_cached.bus.reader import BYTES_AT_MOST, MESSAGES_A_TURN, SLICE, Reader, Socket
from tests.bus.sample import DIRECTORY, ROOT, SAMPLE, Client, Sample, descriptors
from tests.support.callbacks import taking, watched

LIMIT_EXCEEDED = "im.pubsubcache1.Error.LimitExceeded"
TOO_LONG = "x" * BYTES_AT_MOST
# Of the time in which the library takes a message apart, one callback may take this part.
PART = 1 / 8


@pytest.fixture
async def other(sample: Sample, bus_address: str) -> AsyncIterator[Connection]:
    """A client that can send as much as it likes."""
    made = await Connection.open(bus_address)
    yield made
    await made.close()


async def ask(client: Connection, service: Connection, member: str, signature: str, *body: Any) -> Any:
    return (await client.call(service.unique_name, ROOT, SAMPLE, member, signature, body))[0]


async def test_a_long_call_is_refused_and_the_next_one_answered(connection: Connection, other: Connection) -> None:
    with pytest.raises(RemoteError, match=f"has 1[0-9]{{6}} bytes, and about {BYTES_AT_MOST} is the most") as refused:
        await ask(other, connection, "Echo", "s", TOO_LONG)
    assert refused.value.name == LIMIT_EXCEEDED
    assert await ask(other, connection, "Echo", "s", "short") == "short"


async def test_calls_that_are_long_and_short_are_all_answered(
    connection: Connection, other: Connection, sample: Sample
) -> None:
    texts = [TOO_LONG if number % 3 else str(number) for number in range(20)]
    calls = [ask(other, connection, "Echo", "s", text) for text in texts]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [getattr(answer, "name", answer) for answer in answers] == [
        LIMIT_EXCEEDED if text is TOO_LONG else text for text in texts
    ]
    assert TOO_LONG not in sample.calls


async def test_a_call_that_is_not_too_long_is_answered(connection: Connection, other: Connection) -> None:
    text = TOO_LONG[:-1000]
    assert await ask(other, connection, "Echo", "s", text) == text


async def test_a_long_path_is_named(connection: Connection, other: Connection) -> None:
    with pytest.raises(RemoteError) as refused:
        await other.call(connection.unique_name, "/" + TOO_LONG, SAMPLE, "Echo", "s", ["short"])
    assert refused.value.name == LIMIT_EXCEEDED


async def test_a_long_call_that_wants_no_reply_gets_none(sample: Sample, client: Client) -> None:
    replies: list[Message] = []
    client.bus.add_message_handler(lambda message: replies.append(message) if message.reply_serial else None)
    await client.bus.send(client.message("Echo", "s", TOO_LONG, flags=MessageFlag.NO_REPLY_EXPECTED))
    assert await client.call("Echo", "s", "short") == ["short"]
    assert [message.body for message in replies] == [["short"]]


async def test_descriptors_of_a_long_call_are_closed(connection: Connection, other: Connection) -> None:
    before = descriptors()
    reader, writer = os.pipe()
    with pytest.raises(RemoteError) as refused:
        await ask(other, connection, "Echo", "hs", reader, TOO_LONG)
    os.close(reader)
    os.close(writer)
    assert refused.value.name == LIMIT_EXCEEDED
    assert descriptors() == before


async def test_descriptors_of_the_calls_before_stay_open(
    connection: Connection, other: Connection, sample: Sample
) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"secret")
    waiting = asyncio.create_task(ask(other, connection, "ReadFdWhenTold", "h", reader))
    await asyncio.sleep(0)  # it is sent
    with pytest.raises(RemoteError, match="is the most"):
        await ask(other, connection, "Echo", "s", TOO_LONG)
    sample.told.set()
    assert await waiting == "secret"
    os.close(reader)
    os.close(writer)


async def test_a_long_signal_is_not_told(connection: Connection, other: Connection) -> None:
    heard: asyncio.Queue[Signal] = asyncio.Queue()
    await connection.subscribe(heard.put_nowait, Match(interface=SAMPLE, member="Said"))
    for text in (TOO_LONG, "short"):
        other.signal(ROOT, SAMPLE, "Said", "us", [1, text])
    async with asyncio.timeout(10):
        assert (await heard.get()).body == [1, "short"]


class Talker(Interface):
    """A program that answers at any length."""

    name = "test.Plain"
    directory = DIRECTORY

    def Echo(self, number: int) -> int:
        return number

    @property
    def Title(self) -> str:
        return TOO_LONG

    @property
    def Loud(self) -> str:
        return "loud"


async def test_who_waits_for_an_answer_hears_that_it_is_too_long(connection: Connection, other: Connection) -> None:
    tree = Tree(other)
    tree.export(ROOT, Talker())
    tree.open()
    properties = "org.freedesktop.DBus.Properties"
    with pytest.raises(RemoteError) as refused:
        await connection.call(other.unique_name, ROOT, properties, "Get", "ss", ["test.Plain", "Title"])
    assert refused.value.name == LIMIT_EXCEEDED
    (found,) = await connection.call(other.unique_name, ROOT, properties, "Get", "ss", ["test.Plain", "Loud"])
    assert found.value == "loud"


async def test_who_serves_nobody_reads_an_answer_of_any_length(connection: Connection, other: Connection) -> None:
    assert await ask(other, connection, "Texts", "asu", ["x" * 1000], 2000) == ["x" * 2_000_000]


async def test_nothing_waits_while_calls_with_very_many_values_are_refused(
    sample: Sample, connection: Connection, bus_address: str
) -> None:
    """Processor time, against what the library takes for one of them in the same run."""
    options = {f"option-{number}": Variant("u", number) for number in range(300_000)}
    alone = _taking_apart(options)

    async def flood() -> None:
        client = await Connection.open(bus_address)
        calls = [ask(client, connection, "Options", "a{sv}", options) for _ in range(4)]
        for refused in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(refused, RemoteError)
            assert refused.name == LIMIT_EXCEEDED
        await client.close()

    with watched() as found:
        await asyncio.to_thread(asyncio.run, flood())
    assert found.longest[0].seconds < PART * alone, str(found)


def test_reading_stops_after_a_while() -> None:
    """Messages that hold much, and there are more of them: others have their turn between."""
    ours, theirs = socket.socketpair()
    with theirs, Socket(ours.detach()) as sock:
        sock.setblocking(False)
        for serial in range(1, MESSAGES_A_TURN + 1):
            theirs.sendall(marshalled(Message(path=ROOT, interface=SAMPLE, member="Nothing", serial=serial)))
        serials: list[int] = []

        def process(message: Message) -> None:
            serials.append(message.serial)
            until = time.monotonic() + SLICE / 5
            while time.monotonic() < until:
                pass

        reader = Reader(sock, process, _not_expected, _not_expected, lambda: None)
        turns = 0
        while len(serials) < MESSAGES_A_TURN:
            reader()
            turns += 1
    assert turns > 2
    assert serials == list(range(1, MESSAGES_A_TURN + 1))


def test_who_has_the_other_byte_order_is_told_as_well() -> None:
    """The specification leaves the order to whoever sends; the bus passes on what it gets."""
    ours, theirs = socket.socketpair()
    deep = b"\1v\0" * 63 + b"\2ai\0" + struct.pack(">xxxII", 4, 5)
    length = BYTES_AT_MOST
    calls = [
        ("s", struct.pack(">I", length) + bytes(length) + b"\0"),
        ("v", deep),
        ("s", struct.pack(">I6s", 5, b"short")),
    ]
    with theirs, Socket(ours.detach()) as sock:
        for end in (sock, theirs):
            end.setblocking(False)
        sock.most = BYTES_AT_MOST
        told: list[tuple[str | None, int, str]] = []
        read: list[list[Any]] = []
        reader = Reader(
            sock,
            lambda message: read.append(message.body),
            lambda message, error: told.append((message.sender, message.serial, type(error).__name__)),
            _not_expected,
            lambda: None,
        )
        kept = 0
        left = b"".join(_big_endian(serial, *call) for serial, call in enumerate(calls, 1))
        while not read:
            with contextlib.suppress(BlockingIOError):
                left = left[theirs.send(left) :] if left else left
            reader()
            kept = max(kept, sum(map(len, sock.frame)))
    assert kept < BYTES_AT_MOST / 2
    assert told == [(":1.7", 1, "LimitExceeded"), (":1.7", 2, "InvalidMessageError")]
    assert read == [["short"]]


def _big_endian(serial: int, signature: str, body: bytes) -> bytes:
    fields = bytearray()
    for code, kind, text in (
        (1, b"o", ROOT),
        (2, b"s", SAMPLE),
        (3, b"s", "Echo"),
        (7, b"s", ":1.7"),
        (8, b"g", signature),
    ):
        fields += bytes(-len(fields) % 8) + struct.pack(">BB2s", code, 1, kind)
        fields += struct.pack(">B" if kind == b"g" else ">I", len(text)) + text.encode() + b"\0"
    fixed = struct.pack(">4BIII", ord("B"), 1, 0, 1, len(body), serial, len(fields))
    return fixed + fields + bytes(-len(fields) % 8) + body


def _not_expected(*arguments: object) -> None:
    raise AssertionError(arguments)


def _taking_apart(options: dict[str, Variant]) -> float:
    """Seconds of the processor in which the library takes a call with these options apart."""
    call = Message(path=ROOT, interface=SAMPLE, member="Options", signature="a{sv}", body=[options], serial=1)
    message = marshalled(call)
    return taking(lambda: Unmarshaller(io.BytesIO(message)).unmarshall())  # type: ignore[arg-type]

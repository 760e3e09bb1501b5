"""More than the socket takes at once, and clients that do not read."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import termios
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from dbus_fast import Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus

from pubsub_cached import errors
from pubsub_cached.bus import Connection, Tree
from pubsub_cached.bus import connection as connection_module
from pubsub_cached.bus.dispatch import IN_FLIGHT
from pubsub_cached.bus.flow import WINDOW
from tests.bus.conftest import MakeClient
from tests.bus.sample import PEER, ROOT, Client, Held, Sample, descriptors
from tests.support.bus import PrivateBus

LIMIT_EXCEEDED = "im.pubsubcache1.Error.LimitExceeded"
MIB = 1024 * 1024


async def test_burst_of_signals_from_one_callback_arrives_whole_and_in_order(
    sample: Sample, connection: Connection, client: Client, private_bus: PrivateBus
) -> None:
    await client.listen()
    with private_bus.paused():
        sample.Burst(3000)
        assert connection._writer.queued > 0, "the burst has to be more than the socket takes"
    numbers = [(await client.signal()).body[0] for _ in range(3000)]
    assert numbers == list(range(3000))
    assert await client.call("Echo", "s", "alive") == ["alive"]


async def test_burst_that_a_call_sets_off_comes_before_its_reply(sample: Sample, client: Client) -> None:
    await client.listen()
    await client.call("Burst", "u", 2000)
    assert client.signals.qsize() == 2000


async def test_pipelined_replies_of_30_kb(sample: Sample, client: Client) -> None:
    replies = await asyncio.gather(*(client.call("Rows", "uu", 20, 1500) for _ in range(IN_FLIGHT)))
    assert all(len(rows) == 20 for (rows,) in replies)


async def test_drain_waits_until_the_bus_took_everything(
    sample: Sample, connection: Connection, private_bus: PrivateBus
) -> None:
    await connection.drain()
    with private_bus.paused():
        sample.Burst(3000)
        draining = asyncio.create_task(connection.drain())
        await asyncio.sleep(0)
        assert connection._writer.queued > 0
        assert not draining.done()
    await draining
    assert connection._writer.queued == 0


async def test_closing_sends_what_is_queued_first(bus_address: str, make_client: MakeClient) -> None:
    other = await Connection.open(bus_address)
    client = await make_client()
    client.service = other.unique_name
    await client.listen()
    for number in range(3000):
        other.signal("/", "test.Sample", "Said", "us", [number, "x" * 300])
    await other.close()
    assert [(await client.signal()).body[0] for _ in range(3000)] == list(range(3000))


async def test_reading_many_calls_leaves_the_loop_its_turn(
    sample: Sample, connection: Connection, client: Client
) -> None:
    """Two hundred calls that are all there at once are not dealt with in one go."""
    transport = connection._transport
    loop = asyncio.get_running_loop()
    fd = transport._fd
    assert fd is not None
    callback = loop._selector.get_key(fd).data[0]._callback  # type: ignore[attr-defined]
    messages = [client.message("Echo", "s", str(number), flags=MessageFlag.NO_REPLY_EXPECTED) for number in range(200)]
    size = sum(len(message._marshall(False)) for message in messages)
    arrived = asyncio.Event()

    def look() -> None:
        waiting = array.array("i", [0])
        fcntl.ioctl(transport._sock, termios.FIONREAD, waiting)  # type: ignore[arg-type]
        if waiting[0] >= size:
            arrived.set()

    loop.add_reader(fd, look)
    for message in messages:
        await client.bus.send(message)
    await arrived.wait()
    loop.add_reader(fd, callback)
    seen = []
    while len(sample.calls) < 200:
        seen.append(len(sample.calls))
        await asyncio.sleep(0)
    assert len(set(seen)) > 2
    assert sample.calls == [str(number) for number in range(200)]


async def test_an_answer_does_not_stand_behind_all_that_another_client_asked_for(
    sample: Sample, connection: Connection, client: Client, make_client: MakeClient, private_bus: PrivateBus
) -> None:
    """The bus takes nothing while the calls are dealt with, so that the answers stay where they were put."""
    other = await make_client()
    await other.call("Echo", "s", "known")
    (rows,) = await client.call("Rows", "uu", 20, 3000)
    held = Held(connection, "the other's")
    many = [asyncio.create_task(client.call("Rows", "uu", 20, 3000)) for _ in range(40)]
    await asyncio.sleep(0)
    await client.listen()  # The bus has handed on what came before.
    small = asyncio.create_task(other.call("Echo", "s", "the other's"))
    await held.arrived.wait()
    with private_bus.paused():
        held.read_on()
        while "the other's" not in sample.calls:
            await asyncio.sleep(0)
        of_one = sum(len(row["payload"].value) for row in rows)
        assert connection._writer.queued < 3 * of_one
    assert await small == ["the other's"]
    assert await asyncio.gather(*many) == [[rows]] * 40


class Deaf:
    """A client that calls and does not read until told to."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.replies: Counter[str] = Counter()
        self.bytes = 0
        self._expected: set[int] = set()
        self._all = asyncio.Event()
        bus = client.bus
        self._reader = bus._loop._selector.get_key(bus._fd).data[0]._callback  # type: ignore[attr-defined]
        bus._loop.remove_reader(bus._fd)  # type: ignore[arg-type]
        bus.add_message_handler(self._received)

    async def send(
        self, other: Client, count: int, member: str, signature: str, *body: object, fds: Sequence[int] = ()
    ) -> None:
        """Calls ``count`` times; what ``other`` calls afterwards comes to the service after these calls."""
        for _ in range(count):
            message = self.client.message(member, signature, *body, fds=list(fds))
            message.serial = self.client.bus.next_serial()
            self._expected.add(message.serial)
            await self.client.bus.send(message)
        sent = asyncio.Event()
        other.bus.add_message_handler(lambda message: sent.set() if message.member == "Sent" else None)
        signal = Message.new_signal("/", "test.Deaf", "Sent")
        signal.destination = other.name
        await self.client.bus.send(signal)
        await sent.wait()

    async def hear(self) -> None:
        """Reads until every call has its reply."""
        bus = self.client.bus
        bus._loop.add_reader(bus._fd, self._reader)  # type: ignore[arg-type]
        async with asyncio.timeout(20):
            await self._all.wait()

    def _received(self, message: Message) -> bool | None:
        if message.reply_serial not in self._expected:
            return None
        self._expected.discard(message.reply_serial)
        self.replies[message.error_name or "ok"] += 1
        if not self._expected:
            self._all.set()
        return True


@pytest.fixture
def narrow_bus(make_bus: Callable[..., PrivateBus]) -> PrivateBus:
    """A bus that stops listening to who has 12 MiB undelivered."""
    return make_bus(limits={"max_incoming_bytes": 12 * MIB, "max_outgoing_bytes": 64 * MIB})


async def test_client_that_does_not_read_stops_nobody_else(narrow_bus: PrivateBus) -> None:
    connection = await Connection.open(narrow_bus.address)
    tree = Tree(connection)
    tree.export(ROOT, Sample())
    tree.open()
    buses = [await MessageBus(narrow_bus.address, negotiate_unix_fd=True).connect() for _ in range(2)]
    deaf = Deaf(Client(buses[0], connection.unique_name))
    client = Client(buses[1], connection.unique_name)
    await deaf.send(client, IN_FLIGHT, "Rows", "uu", 200, 1500)
    for _ in range(20):
        assert len((await client.call("Rows", "uu", 20, 1500))[0]) == 20
    assert connection.flow.outstanding(deaf.client.name) < 2 * WINDOW
    await deaf.hear()
    assert deaf.replies == {"ok": IN_FLIGHT}
    assert await deaf.client.call("Echo", "s", "well again") == ["well again"]
    for bus in buses:
        bus.disconnect()
    await connection.close()


async def test_client_that_neither_reads_nor_stops_calling_is_refused(
    sample: Sample, connection: Connection, client: Client, make_client: MakeClient
) -> None:
    deaf = Deaf(client)
    other = await make_client()
    await deaf.send(other, 200, "Rows", "uu", 200, 1500)
    assert await other.call("Echo", "s", "served") == ["served"]
    assert connection.flow.outstanding(client.name) < 2 * WINDOW
    await deaf.hear()
    assert set(deaf.replies) == {"ok", LIMIT_EXCEEDED}
    assert deaf.replies["ok"] >= IN_FLIGHT


async def test_no_call_is_exempt_for_a_client_that_does_not_read(
    sample: Sample, connection: Connection, client: Client, make_client: MakeClient
) -> None:
    deaf = Deaf(client)
    other = await make_client()
    await deaf.send(other, 20, "Rows", "uu", 200, 1500)
    for message in [client.message("Ping", interface=PEER) for _ in range(150)]:
        await client.bus.send(message)
    await deaf.send(other, 1, "Rows", "uu", 200, 1500)
    assert await other.call("Echo", "s", "served") == ["served"]
    assert connection._turns is not None
    parked = connection._turns._receive.__self__._parked  # type: ignore[attr-defined]
    assert len(parked[client.name]) <= 2 * IN_FLIGHT
    await deaf.hear()


async def test_who_may_be_sent_more_gets_no_more_than_fits(
    sample: Sample, connection: Connection, client: Client, make_client: MakeClient
) -> None:
    """Not all that was asked for: it has begun to read, and may stop again."""
    deaf = Deaf(client)
    other = await make_client()
    await deaf.send(other, IN_FLIGHT, "Rows", "uu", 200, 1500)
    await other.call("Echo", "s", "served")
    before = connection.flow.outstanding(client.name)
    assert before >= WINDOW
    connection.flow.read(client.name)
    assert before < connection.flow.outstanding(client.name) < before + WINDOW / 8
    await deaf.hear()
    assert deaf.replies == {"ok": IN_FLIGHT}


async def test_who_has_far_too_much_to_read_is_not_told_of_refusals_either(
    sample: Sample, client: Client, make_client: MakeClient
) -> None:
    other = await make_client()
    await client.call("Nothing")
    deaf = Deaf(client)
    told: list[Message] = []
    client.bus.add_message_handler(lambda message: told.append(message) if message.error_name else None)
    await deaf.send(other, 1, "Rows", "uu", 200, 10 * MIB // 200)
    await deaf.send(other, IN_FLIGHT, "Nothing", "")
    for _ in range(IN_FLIGHT):
        await client.bus.send(client.message("Nothing"))
    await deaf.send(other, 0, "Nothing", "")
    assert await other.call("Echo", "s", "served") == ["served"]
    await deaf.hear()
    assert deaf.replies == {"ok": 1 + IN_FLIGHT}
    assert told == []


async def test_descriptors_do_not_wait_for_who_does_not_read(
    sample: Sample, connection: Connection, client: Client, make_client: MakeClient
) -> None:
    deaf = Deaf(client)
    other = await make_client()
    await deaf.send(other, IN_FLIGHT // 2, "Rows", "uu", 200, 1500)
    await other.call("Echo", "s", "served")
    reader, writer = os.pipe()
    os.close(writer)
    before = descriptors()
    await deaf.send(other, IN_FLIGHT // 4, "ReadFd", "h", 0, fds=[reader] * 16)
    await other.call("Echo", "s", "served")
    kept = descriptors() - before
    os.close(reader)
    await deaf.hear()
    assert kept == 0
    assert deaf.replies == {"ok": IN_FLIGHT // 2, LIMIT_EXCEEDED: IN_FLIGHT // 4}


async def test_client_that_leaves_without_reading_is_forgotten(
    sample: Sample, connection: Connection, client: Client, make_client: MakeClient
) -> None:
    deaf = Deaf(client)
    other = await make_client()
    await deaf.send(other, 40, "Rows", "uu", 200, 1500)
    await other.call("Echo", "s", "served")
    assert connection.flow.blocked(client.name)
    left = client.name
    client.bus.disconnect()
    client.bus._finalize(None)
    async with asyncio.timeout(10):
        while connection.flow.outstanding(left):
            await other.call("Echo", "s", "served")
    assert await other.call("Rows", "uu", 1, 1)


async def test_calls_in_flight_are_limited_a_client(sample: Sample, client: Client, make_client: MakeClient) -> None:
    other = await make_client()
    waiting = [asyncio.create_task(client.call("Wait")) for _ in range(IN_FLIGHT)]
    await client.settle()
    name, text = await client.error("Echo", "s", "one too many")
    assert name == LIMIT_EXCEEDED
    assert "64" in text
    assert await client.call("Ping", interface=PEER) == []
    assert await other.call("Echo", "s", "served") == ["served"]
    sample.release.set()
    assert await asyncio.gather(*waiting) == [["released"]] * IN_FLIGHT
    assert await client.call("Echo", "s", "again") == ["again"]


async def test_bus_that_takes_nothing_counts_as_lost(
    sample: Sample, connection: Connection, private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "TOTAL_LIMIT", MIB)
    with private_bus.paused():
        sample.Burst(4000)
        assert connection.congested
        sample.Burst(4000)
        with pytest.raises(errors.BusLost, match="does not take"):
            await connection.lost()


async def test_calls_are_refused_while_the_bus_is_congested(
    sample: Sample, connection: Connection, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue only has to be longer than the limit at the moment at which the call is read."""
    monkeypatch.setattr(connection_module, "TOTAL_LIMIT", -1)
    monkeypatch.setattr(connection, "_lose", lambda error: None)
    assert (await client.error("Echo", "s", "now"))[0] == LIMIT_EXCEEDED
    monkeypatch.undo()
    assert await client.call("Echo", "s", "later") == ["later"]
    assert sample.calls == ["later"]


async def test_message_that_is_too_large_is_refused(sample: Sample, client: Client) -> None:
    name, text = await client.error("Rows", "uu", 1, 17 * MIB)
    assert name == LIMIT_EXCEEDED
    assert str(16 * MIB) in text
    assert await client.call("Echo", "s", "alive") == ["alive"]


async def test_bus_that_does_not_tell_what_was_read_holds_nothing_back(
    sample: Sample, connection: Connection, client: Client
) -> None:
    connection.flow._supported = False
    replies = await asyncio.gather(*(client.raw("Rows", "uu", 200, 1500) for _ in range(30)))
    assert {reply.message_type for reply in replies} == {MessageType.METHOD_RETURN}
    assert connection.flow.outstanding(client.name) == 0

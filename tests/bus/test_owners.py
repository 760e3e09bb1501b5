"""Clients that leave, and subscriptions to signals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from dbus_fast import Message

from pubsub_cached.bus import Connection, Match, Owners, RemoteError, Signal, caller
from pubsub_cached.bus.addresses import BUS, BUS_PATH
from pubsub_cached.bus.matches import Matches
from tests.bus.conftest import MakeClient
from tests.bus.sample import ROOT, SAMPLE, Client, Sample
from tests.support.bus import PrivateBus

NAME, OLD, NEW = "test.WellKnown", ":1.1", ":1.2"


async def leave(client: Client) -> None:
    client.bus.disconnect()
    await client.bus.wait_for_disconnect()


async def test_each_callback_is_called_once_when_the_name_leaves(
    connection: Connection, make_client: MakeClient
) -> None:
    owners = Owners(connection)
    client = await make_client()
    gone: asyncio.Queue[str] = asyncio.Queue()
    await asyncio.gather(
        owners.watch(client.name, gone.put_nowait), owners.watch(client.name, lambda name: gone.put_nowait("two"))
    )
    assert gone.empty()
    name = client.name
    await leave(client)
    async with asyncio.timeout(10):
        assert {await gone.get(), await gone.get()} == {name, "two"}
    assert not await owners.has_owner(name)
    assert gone.empty()
    assert not connection._matches._subscriptions


async def test_name_that_is_gone_already_is_told_at_once(connection: Connection, make_client: MakeClient) -> None:
    client = await make_client()
    name = client.name
    await leave(client)
    gone: list[str] = []
    await Owners(connection).watch(name, gone.append)
    assert gone == [name]


async def test_nothing_is_told_after_unwatching(connection: Connection, make_client: MakeClient) -> None:
    owners = Owners(connection)
    client, other = await make_client(), await make_client()
    gone: list[str] = []
    told = asyncio.Event()
    await owners.watch(client.name, gone.append)
    await owners.watch(other.name, lambda name: told.set())
    owners.unwatch(client.name, gone.append)
    owners.unwatch(client.name, print)
    await leave(client)
    await leave(other)
    async with asyncio.timeout(10):
        await told.wait()
    assert gone == []
    assert not connection._matches._subscriptions


async def test_well_known_name_can_be_watched(connection: Connection, bus_address: str) -> None:
    other = await Connection.open(bus_address)
    await other.own(NAME)
    gone = asyncio.Event()
    await Owners(connection).watch(NAME, lambda name: gone.set())
    await other.close()
    async with asyncio.timeout(10):
        await gone.wait()


async def test_forged_departure_is_ignored(connection: Connection, sample: Sample, client: Client) -> None:
    owners = Owners(connection)
    gone: list[str] = []
    await owners.watch(client.name, gone.append)
    forged = client.message("NameOwnerChanged", "sss", client.name, client.name, "", path="/org/freedesktop/DBus")
    forged.interface = "org.freedesktop.DBus"
    forged.message_type = forged.message_type.SIGNAL
    await client.bus.send(forged)
    await client.settle()
    assert gone == []


async def test_subscription_gets_what_fits_until_it_is_cancelled(
    connection: Connection, sample: Sample, bus_address: str
) -> None:
    other = await Connection.open(bus_address)
    heard: asyncio.Queue[Signal] = asyncio.Queue()
    match = Match(sender=connection.unique_name, path=ROOT, interface=SAMPLE, member="Said")
    subscription = await other.subscribe(heard.put_nowait, match)
    sample.level = 2
    sample.changed()
    sample.emit("Said", 1, "one")
    async with asyncio.timeout(10):
        signal = await heard.get()
    assert signal == Signal(connection.unique_name, ROOT, SAMPLE, "Said", "us", [1, "one"])
    subscription.cancel()
    subscription.cancel()
    sample.emit("Said", 2, "two")
    await other.call(connection.unique_name, ROOT, SAMPLE, "Nothing")
    assert heard.empty()
    await other.close()


async def test_signals_of_a_well_known_name_are_those_of_its_owner(
    connection: Connection, client: Client, bus_address: str
) -> None:
    """Whoever has it, and whether they go to everybody or to one client alone."""
    heard = asyncio.Queue[Signal]()
    others = [await Connection.open(bus_address) for _ in range(2)]
    await others[0].own(NAME)
    await connection.subscribe(heard.put_nowait, Match(NAME, member="Said"))

    def say(owner: Connection | None) -> None:
        for other in others:
            for to in (None, connection.unique_name):
                other.signal(ROOT, SAMPLE, "Said", "us", [int(other is owner), "x"], to)

    for owner in (*others, None):
        if owner is not None:
            await owner.own(NAME)
        say(owner)
        for other in others:
            await other.call_bus("GetId")
        await connection.call_bus("GetId")
        said = [heard.get_nowait() for _ in range(heard.qsize())]
        expected = [owner.unique_name] * 2 if owner is not None else []
        assert [(each.sender, each.body[0]) for each in said] == [(one, 1) for one in expected]
        if owner is not None:
            await owner.call_bus("ReleaseName", "s", [NAME])
    for other in others:
        await other.close()


class Changing:
    """A bus that tells of another owner of ``NAME`` just before it is heard who the owner was."""

    def __init__(self) -> None:
        self.matches = Matches(self)  # type: ignore[arg-type]

    async def call_bus(self, member: str, signature: str, body: Sequence[str]) -> list[str]:
        if member != "GetNameOwner":
            return []
        self.signal(BUS, BUS, "NameOwnerChanged", NAME, OLD, NEW)
        return [OLD]

    def signal(self, sender: str, interface: str, member: str, *body: str) -> None:
        message = Message.new_signal(BUS_PATH, interface, member, "s" * len(body), list(body))
        message.sender = sender
        self.matches.deliver(message)


async def test_an_owner_that_came_while_the_bus_was_asked_is_not_missed() -> None:
    bus, heard = Changing(), list[Signal]()
    await bus.matches.add(heard.append, Match(NAME, member="Said"))
    for sender in (OLD, NEW):
        bus.signal(sender, SAMPLE, "Said")
    assert [signal.sender for signal in heard] == [NEW]


async def test_the_bus_forgets_a_rule_that_is_not_waited_for_any_more(connection: Connection) -> None:
    statistics = (BUS, BUS_PATH, f"{BUS}.Debug.Stats", "GetAllMatchRules")
    subscribing = asyncio.create_task(connection.subscribe(print, Match(member="Said")))
    await asyncio.sleep(0)
    subscribing.cancel()
    await asyncio.wait([subscribing])
    (rules,) = await connection.call(*statistics)
    assert rules.get(connection.unique_name, []) == []


async def test_a_rule_that_the_bus_refuses_takes_no_other_with_it(make_bus: Callable[..., PrivateBus]) -> None:
    """Two subscriptions that are the same have two rules that are the same."""
    bus = make_bus(limits={"max_match_rules_per_connection": 1})
    connection, heard = await Connection.open(bus.address), asyncio.Queue[Signal]()
    await connection.subscribe(heard.put_nowait, Match(member="Said"))
    with pytest.raises(RemoteError, match="not allowed to add more"):
        await connection.subscribe(print, Match(member="Said"))
    connection.signal(ROOT, SAMPLE, "Said", "us", [1, "x"])
    await connection.call_bus("GetId")
    assert heard.qsize() == 1
    await connection.close()


async def test_what_another_callback_has_cancelled_hears_nothing_more(connection: Connection) -> None:
    heard: list[str] = []
    subscriptions = [await connection.subscribe(lambda signal: end("one"), Match(member="Said"))]
    subscriptions.append(await connection.subscribe(lambda signal: end("two"), Match(member="Said")))

    def end(who: str) -> None:
        heard.append(who)
        for subscription in subscriptions:
            subscription.cancel()

    connection.signal(ROOT, SAMPLE, "Said", "us", [1, "x"])
    await connection.call_bus("GetId")
    assert heard == ["one"]


async def test_a_callback_that_fails_keeps_no_other_from_hearing(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Signal] = []

    def fail(signal: Signal) -> None:
        raise RuntimeError("unheard")

    for callback in (fail, heard.append):
        await connection.subscribe(callback, Match(member="Said"))
    connection.signal(ROOT, SAMPLE, "Said", "us", [1, "x"])
    await connection.call_bus("GetId")
    assert len(heard) == 1
    assert "A callback for test.Sample.Said failed" in caplog.text


async def test_nobody_is_the_caller_while_a_signal_is_delivered(
    connection: Connection, sample: Sample, client: Client
) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    def listen(signal: Signal) -> None:
        try:
            heard.put_nowait(caller())
        except LookupError:
            heard.put_nowait("nobody")

    await connection.subscribe(listen, Match(member="Said"))
    await client.call("Who")
    assert (await client.error("Raise", "s", "tree"))[0]
    sample.emit("Said", 1, "x")
    async with asyncio.timeout(10):
        assert await heard.get() == "nobody"


def test_match_rule_is_quoted() -> None:
    assert Match(member="Said", arg0="it's").rule == "type='signal',member='Said',arg0='it'\\''s'"

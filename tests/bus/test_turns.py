"""Whose call is next: a client with many calls in flight keeps nobody else waiting for all of them."""

from __future__ import annotations

import asyncio
import time

import pytest
from dbus_fast import Message

from pubsub_cached.bus import turns
from pubsub_cached.bus.turns import SLICE, Turns

from .sample import Client, Sample


class Handled:
    """Takes a while for each call, and notes in which order they came."""

    def __init__(self, seconds: float = SLICE / 5) -> None:
        self.seconds = seconds
        self.calls: list[tuple[str, int]] = []

    def __call__(self, call: Message) -> None:
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            pass
        self.calls.append((str(call.sender), call.serial))

    def of(self, sender: str) -> list[int]:
        return [serial for name, serial in self.calls if name == sender]


def call(sender: str, serial: int) -> Message:
    return Message(path="/a", interface="a.b", member="C", sender=sender, serial=serial)


def refused(call: Message) -> None:
    raise AssertionError(f"{call.serial} of {call.sender} was refused")


async def test_a_call_is_handed_on_at_once_while_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLICE", 60.0)
    handled = Handled(seconds=0)
    found = Turns(handled, refused)
    found.begin()
    found.receive(call(":1.1", 1))

    assert handled.calls == [(":1.1", 1)]


async def test_others_have_their_turn_after_a_slice_and_clients_take_turns() -> None:
    handled = Handled()
    found = Turns(handled, refused)
    found.begin()
    for serial in range(40):
        found.receive(call(":1.1", serial))
    found.receive(call(":1.2", 7))
    at_once = len(handled.calls)
    iterations = 0
    while len(handled.calls) < 41:
        await asyncio.sleep(0)
        iterations += 1

    assert at_once < 40
    assert iterations > 1
    assert handled.of(":1.1") == list(range(40))
    assert handled.calls.index((":1.2", 7)) <= at_once + 1


async def test_all_that_wait_are_handed_on_before_the_end() -> None:
    handled = Handled()
    found = Turns(handled, refused)
    found.begin()
    for serial in range(20):
        found.receive(call(":1.1", serial))
    found.flush()

    assert handled.of(":1.1") == list(range(20))


async def test_what_waits_of_one_client_is_bounded_and_what_is_beyond_is_refused() -> None:
    handled, beyond = Handled(seconds=0), Handled(seconds=0)
    found = Turns(handled, beyond)
    many = turns.AT_MOST + 5
    for serial in range(many):
        found.receive(call(":1.1", serial))
    found.receive(call(":1.2", 7))

    assert handled.calls == []
    assert beyond.of(":1.1") == list(range(turns.AT_MOST, many))
    found.flush()
    assert handled.of(":1.1") == list(range(turns.AT_MOST))
    assert handled.calls[1] == (":1.2", 7)


class Bus:
    """Whether answers wait for the bus to take them."""

    def __init__(self) -> None:
        self.full = False


async def test_who_has_no_call_waiting_stands_behind_nobody_elses() -> None:
    handled = Handled()
    found = Turns(handled, refused)
    found.begin()
    for serial in range(40):
        found.receive(call(":1.1", serial))
    assert len(handled.calls) < 40
    found.begin()
    found.receive(call(":1.2", 7))
    found.receive(call(":1.1", 40))

    assert handled.calls[-1] == (":1.2", 7)
    found.flush()
    assert handled.of(":1.1") == list(range(41))


async def test_while_answers_wait_for_the_bus_each_client_gets_one_more() -> None:
    handled, bus = Handled(seconds=0), Bus()
    found = Turns(handled, refused, lambda: bus.full)
    found.begin()
    found.receive(call(":1.1", 0))
    bus.full = True
    for serial in range(1, 20):
        found.receive(call(":1.1", serial))
    for serial in range(3):
        found.receive(call(":1.2", serial))
    for _ in range(5):
        await asyncio.sleep(0)

    assert handled.calls == [(":1.1", 0), (":1.1", 1), (":1.2", 0)]


async def test_each_client_gets_one_more_each_time_that_answers_wait() -> None:
    handled, bus = Handled(seconds=0), Bus()
    found = Turns(handled, refused, lambda: bus.full)
    for serial, bus.full in enumerate([True, False, True]):
        found.receive(call(":1.1", serial))
        await asyncio.sleep(0)

    assert handled.of(":1.1") == [0, 1, 2]


async def test_calls_go_on_by_turns_when_the_bus_has_taken_what_waited() -> None:
    handled, bus = Handled(seconds=0), Bus()
    found = Turns(handled, refused, lambda: bus.full)
    bus.full = True
    for serial in range(20):
        found.receive(call(":1.1", serial))
    for serial in range(3):
        found.receive(call(":1.2", serial))
    await asyncio.sleep(0)
    bus.full = False
    found.go_on()
    while len(handled.calls) < 23:
        await asyncio.sleep(0)

    assert handled.of(":1.1") == list(range(20))
    assert handled.of(":1.2") == [0, 1, 2]
    assert [sender for sender, _ in handled.calls[:6]] == [":1.1", ":1.2"] * 3


async def test_many_calls_over_the_bus_are_answered_in_order(sample: Sample, client: Client) -> None:
    replies = await asyncio.gather(*(client.call("Echo", "s", str(number)) for number in range(60)))

    assert replies == [[str(number)] for number in range(60)]

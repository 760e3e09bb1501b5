"""Reading a stream in turns: what comes in a burst keeps nothing else waiting, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import ssl
import time
import xml.etree.ElementTree as ET
from typing import Any

from pubsub_cached.xmpp.stream import SLICE, Stream

GREETING = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1' from='localhost' "
    b"version='1.0'>"
)
BURST = 200
MESSAGE = "<message from='pubsub.localhost'><n>{}</n><filler>" + "x" * 1000 + "</filler></message>"


class Reading(Stream):
    """A stream on which every stanza takes a while to be dealt with."""

    plain = True

    def __init__(self) -> None:
        super().__init__("alice@localhost", "", ssl_context=ssl.create_default_context())
        self.numbers: list[int] = []
        self.refused: list[str] = []

    @property
    def place(self) -> str:
        return "localhost"

    @property
    def over(self) -> bool:
        return bool(self.refused)

    def refuse(self, message: str, *, final: bool = False) -> None:
        self.refused.append(message)

    def _spawn_event(self, xml: ET.Element) -> None:
        until = time.perf_counter() + SLICE / 10
        while time.perf_counter() < until:
            pass
        number = next(child for child in xml if child.tag.endswith("}n"))
        self.numbers.append(int(number.text or ""))


class Transport(asyncio.Transport):
    """What a stream does with its transport while it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def write(self, data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return False


def opened() -> tuple[Reading, Transport]:
    stream, transport = Reading(), Transport()
    stream.connection_made(transport)
    stream.data_received(GREETING)
    return stream, transport


def burst() -> bytes:
    return "".join(MESSAGE.format(number) for number in range(BURST)).encode()


async def test_others_have_their_turn_while_a_burst_is_read_in_order() -> None:
    stream, transport = opened()
    stream.data_received(burst())
    seen = [len(stream.numbers)]
    assert transport.paused
    while transport.paused:
        await asyncio.sleep(0)
        seen.append(len(stream.numbers))

    assert stream.numbers == list(range(BURST))
    assert len(set(seen)) > 3
    assert not stream.refused


async def test_what_comes_meanwhile_has_to_wait_for_its_turn() -> None:
    stream, transport = opened()
    stream.data_received(burst())
    stream.data_received(MESSAGE.format(BURST).encode())
    while transport.paused:
        await asyncio.sleep(0)

    assert stream.numbers == list(range(BURST + 1))


async def test_what_came_before_the_end_counts() -> None:
    stream, transport = opened()
    stream.data_received(burst())
    assert transport.paused
    stream.connection_lost(None)

    assert stream.numbers == list(range(BURST))

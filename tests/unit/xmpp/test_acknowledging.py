"""Answers to the server's question how much has arrived (XEP-0198 4)."""

from __future__ import annotations

import asyncio
import re
import ssl
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pubsub_cached.xmpp.management import StreamManagement
from pubsub_cached.xmpp.stream import Stream

GREETING = (
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1' from='localhost' "
    "version='1.0'>"
)
ENABLED = "<enabled xmlns='urn:xmpp:sm:3' id='1' resume='true'/>"
MESSAGE = "<message from='pubsub.localhost'/>"
REQUEST = "<r xmlns='urn:xmpp:sm:3'/>"


class Managed(Stream):
    """A stream whose messages are handed on as the events in them are: by the loop, to somebody who waits."""

    plain = True
    place = "localhost"
    over = False

    def __init__(self) -> None:
        super().__init__("alice@localhost", "", ssl_context=ssl.create_default_context())
        self.register_plugin(StreamManagement.name)
        self.queue: asyncio.Queue[None] = asyncio.Queue()

    def _complete(self, xml: ET.Element, depth: int) -> None:
        super()._complete(xml, depth)
        if xml.tag.endswith("}message"):
            self.queue.put_nowait(None)


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self, done: list[str]) -> None:
        super().__init__()
        self._done = done

    def write(self, data: Any) -> None:
        if found := re.search(rb"<a [^>]*h=[\"'](\d+)[\"']", data):
            self._done.append(f"answered {int(found[1])}")

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False


@pytest.fixture
def done() -> list[str]:
    """What was done, in order."""
    return []


@pytest.fixture
async def stream(done: list[str]) -> AsyncIterator[Managed]:
    managed = Managed()

    async def hand_on() -> None:
        while True:
            await managed.queue.get()
            done.append("handed on")

    task = asyncio.create_task(hand_on())
    await asyncio.sleep(0)
    managed.connection_made(Transport(done))
    managed.data_received((GREETING + ENABLED).encode())
    yield managed
    task.cancel()


async def turns(count: int = 3) -> None:
    """Let the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_came_with_the_question_is_handed_on_before_it_is_answered(stream: Managed, done: list[str]) -> None:
    stream.data_received((MESSAGE + REQUEST).encode())
    await turns()

    assert done == ["handed on", "answered 1"]


async def test_the_answer_counts_all_that_came_until_then(stream: Managed, done: list[str]) -> None:
    stream.data_received((MESSAGE + REQUEST + MESSAGE).encode())
    await turns()

    assert done == ["handed on", "handed on", "answered 2"]


async def test_every_question_is_answered_in_order(stream: Managed, done: list[str]) -> None:
    for _ in range(3):
        stream.data_received((MESSAGE + REQUEST).encode())
        await turns()

    assert [each for each in done if each != "handed on"] == ["answered 1", "answered 2", "answered 3"]


async def test_a_connection_that_is_lost_meanwhile_is_not_answered_and_its_count_stays(
    stream: Managed, done: list[str]
) -> None:
    stream.data_received((MESSAGE + REQUEST).encode())
    stream.connection_lost(None)
    await turns()

    assert done == ["handed on"]
    carried = stream.plugin[StreamManagement.name].carry()
    assert carried is not None
    assert carried.handled == 1

"""Answers to the server's question how much has arrived (XEP-0198 4)."""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from pubsub_cached.xmpp.client import Client, Owner
from pubsub_cached.xmpp.management import ANSWERED_AFTER, StreamManagement
from pubsub_cached.xmpp.port import Endpoint
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
        plugins: Any = self.plugin
        self.management: StreamManagement = plugins[StreamManagement.name]
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
        elif b"</stream:stream>" in data:
            self._done.append("closed")

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


class Listener:
    """An owner that writes down the messages it gets."""

    def __init__(self, done: list[str]) -> None:
        self._done = done

    def message(self, xml: ET.Element) -> None:
        self._done.append(f"message {xml.get('id')}")


def authenticated(done: list[str]) -> Client:
    """A client that has logged in."""
    client = Client(Endpoint("alice@localhost", "localhost", tls="none"), "", None, cast("Owner", Listener(done)))
    client.connection_made(Transport(done))
    client.authenticated = True
    client.data_received((GREETING + ENABLED).encode())
    return client


async def answered(done: list[str], count: int = 1) -> None:
    """Return once so many answers were written."""
    async with asyncio.timeout(30):
        while len(answers(done)) < count:
            await asyncio.sleep(ANSWERED_AFTER)


def answers(done: list[str]) -> list[str]:
    return [each for each in done if each.startswith("answered")]


async def test_what_came_with_the_question_is_handed_on_before_it_is_answered(stream: Managed, done: list[str]) -> None:
    stream.data_received((MESSAGE + REQUEST).encode())
    await answered(done)

    assert done == ["handed on", "answered 1"]


async def test_questions_that_come_meanwhile_are_answered_with_the_first(stream: Managed, done: list[str]) -> None:
    stream.data_received((MESSAGE + REQUEST + MESSAGE + REQUEST + MESSAGE).encode())
    await answered(done)
    # One that was asked later is answered later: nothing else can come before it.
    stream.data_received((MESSAGE + REQUEST).encode())
    await answered(done, 2)

    assert answers(done) == ["answered 3", "answered 4"]


async def test_a_connection_that_is_lost_meanwhile_is_not_answered_and_its_count_stays(
    stream: Managed, done: list[str]
) -> None:
    stream.data_received((MESSAGE + REQUEST).encode())
    stream.connection_lost(None)
    stream.management.answer()
    await asyncio.sleep(0)

    assert done == ["handed on"]
    carried = stream.management.carry()
    assert carried is not None
    assert carried.handled == 1


async def test_a_stream_that_is_closed_is_answered_before(done: list[str]) -> None:
    client = Client(Endpoint("alice@localhost", "localhost", tls="none"), "", None, cast("Owner", None))
    client.connection_made(Transport(done))
    client.data_received((GREETING + ENABLED + REQUEST).encode())
    client.close_stream()

    assert done == ["answered 0", "closed"]


async def test_messages_count_as_all_stanzas_do(done: list[str]) -> None:
    client = authenticated(done)
    client.data_received(b"<message id='1'/><presence/><message id='2'/><r xmlns='urn:xmpp:sm:3'/>")
    client.close_stream()

    assert done == ["message 1", "message 2", "answered 3", "closed"]


async def test_before_stream_management_begins_nothing_is_counted(done: list[str]) -> None:
    client = authenticated(done)
    client.management.enabled_in = False
    client.data_received(b"<message id='1'/><presence/>")
    client.data_received((ENABLED + "<message id='2'/>" + REQUEST).encode())
    client.close_stream()

    assert done == ["message 1", "message 2", "answered 1", "closed"]


async def test_an_event_is_made_no_object_and_tried_by_no_handler_of_the_library(done: list[str]) -> None:
    client = authenticated(done)
    ran: set[str] = set()
    sys.setprofile(lambda frame, kind, _: ran.add(frame.f_code.co_name) if kind == "call" else None)
    client.data_received((MESSAGE + REQUEST).encode())
    sys.setprofile(None)

    assert done == ["message None"]
    assert "_spawn_event" in ran
    assert not ran & {"_build_stanza", "recv_stanza", "match", "__getitem__"}

"""Replies of megabytes: from the socket to records in slices, between which everybody else has their turn."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from benchmarks import content
from pubsub_cached.xmpp.client import Client
from pubsub_cached.xmpp.port import Endpoint
from pubsub_cached.xmpp.session import Session
from tests.support.callbacks import watched
from tests.support.recorder import Recorder

pytestmark = pytest.mark.usefixtures("uncollected")

ACCOUNT = "alice@localhost"
ITEMS = 2_000
# Of the processor's time for the whole, one callback may take this part.
PART = 1 / 6
# What a transport hands on at once.
READ = 256 * 1024
GREETING = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1' from='localhost' "
    b"version='1.0'>"
)
REPLY = "<iq type='result' id='{}' from='" + ACCOUNT + "'>{}</iq>"


class Transport(asyncio.Transport):
    """Hands on what the server says for as long as it is read."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client
        self._left: list[bytes] = []
        self._reading = True

    def say(self, text: str) -> None:
        said = text.encode()
        self._left = [said[start : start + READ] for start in range(0, len(said), READ)]
        self.resume_reading()

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        asyncio.get_running_loop().call_soon(self._read)

    def _read(self) -> None:
        if self._reading and self._left:
            self._client.data_received(self._left.pop(0))
            if self._reading:
                self.resume_reading()

    def write(self, data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return False


class Answered(Client):
    """A client whose server gives the same answer to every request."""

    def __init__(self, session: Session, answer: str) -> None:
        super().__init__(Endpoint(ACCOUNT, "localhost", tls="none"), "", None, session)  # type: ignore[arg-type]
        self._answer = answer
        self._server = Transport(self)
        self.connection_made(self._server)
        self.data_received(GREETING)

    def request(self, kind: str, to: str, id_: str, child: ET.Element) -> None:
        self._server.say(REPLY.format(id_, self._answer))


def answered(answer: str) -> Session:
    """A session that gets the same answer to every request."""
    session = Session(Endpoint(ACCOUNT, "localhost", tls="none"), lambda: "", Recorder())
    session.attached(Answered(session, answer))
    session.up(True)
    return session


async def test_all_items_of_a_node_are_read_in_slices() -> None:
    items = "".join(f"<item id='{number}'>{content.entry(f'post-{number}', 1500)}</item>" for number in range(ITEMS))
    answer = f"<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'>{items}</items></pubsub>"
    session = answered(answer)
    with watched() as found:
        page = await asyncio.create_task(session.get_items(ACCOUNT, "n"))
    assert found.longest[0].seconds < found.total * PART, str(found)
    assert [item.id for item in page.items] == [str(number) for number in range(ITEMS)]
    assert all(item.payload for item in page.items)

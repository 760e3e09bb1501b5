"""Requests with large payloads: written without taking apart what was written already."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from typing import Any

from pubsub_cached.xmpp import payload
from pubsub_cached.xmpp.client import Client
from pubsub_cached.xmpp.port import Endpoint
from pubsub_cached.xmpp.session import Session
from tests.support.callbacks import taking, watched
from tests.support.recorder import Recorder

ACCOUNT = "alice@localhost"
# As many elements as fit into a stanza.
LARGE = f'<x xmlns="urn:x">{"<y/>" * 64_000}</x>'


class Server(asyncio.Transport):
    """Answers the request that came last once it has come to its end."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.heard = ""
        self._session = session

    def write(self, data: Any) -> None:
        self.heard += bytes(data).decode()
        _, begun, request = self.heard.rpartition("<iq ")
        if begun and request.endswith("</iq>"):
            id_ = ET.fromstring(begun + request.partition(">")[0] + "/>").get("id", "")
            self._session.iq(ET.fromstring(f"<iq xmlns='jabber:client' type='result' id='{id_}' from='{ACCOUNT}'/>"))

    def is_closing(self) -> bool:
        return False


async def test_a_payload_is_sent_as_it_was_written() -> None:
    session = Session(Endpoint(ACCOUNT, "localhost", tls="none"), lambda: "", Recorder())
    client = Client(Endpoint(ACCOUNT, "localhost", tls="none"), "", None, session)  # type: ignore[arg-type]
    server = Server(session)
    session.attached(client)
    client.connection_made(server)
    client.event("session_start")
    sending = asyncio.create_task(client.run_filters())
    session.up(False)
    server.heard = ""
    alone = taking(lambda: payload.serialise(ET.fromstring(LARGE)))
    with watched() as found:
        await asyncio.create_task(session.publish(ACCOUNT, "n", "i", LARGE))
    sending.cancel()
    assert f'<item id="i">{LARGE}</item>' in server.heard
    assert found.longest[0].seconds < alone / 8, str(found)

"""``python -m benchmarks.observer FILE USER``: a raw slixmpp client that says when an event came.

FILE says how to reach the server (``tests.support.known``). Prints ``ready``, then a line for each event: the item's
id and the monotonic clock in nanoseconds, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from slixmpp import ClientXMPP
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from tests.support.known import Running
from tests.support.server import Server

EVENT = "{http://jabber.org/protocol/pubsub#event}"


class Observer(ClientXMPP):
    """A client with stream management (XEP-0198), and no other plugin."""

    def __init__(self, server: Server, user: str) -> None:
        context = ssl.create_default_context(cafile=server.ca_file)
        super().__init__(server.jid(user), server.passwords[user], ssl_context=context)
        self.enable_direct_tls = False
        # As every client that must not lose what it is sent, so that the server has the same to do for it.
        self.register_plugin("xep_0198")
        self.add_event_handler("session_start", self.started)
        self.register_handler(Callback("events", MatchXPath(f"{{jabber:client}}message/{EVENT}event"), self.seen))

    async def started(self, _: object) -> None:
        """Become available; the server answers in order."""
        self.send_presence()
        await self.get_roster()
        print("ready", flush=True)

    def seen(self, stanza: Any) -> None:
        """An event came."""
        now = time.monotonic_ns()
        for item in stanza.xml.iter(f"{EVENT}item"):
            print(item.get("id"), now, flush=True)


async def observe(file: Path, user: str) -> None:
    """Observe until the process is ended."""
    server = Running.of(file)
    observer = Observer(server, user)
    observer.connect(server.host, server.port)
    await observer.disconnected


if __name__ == "__main__":
    asyncio.run(observe(Path(sys.argv[1]), sys.argv[2]))

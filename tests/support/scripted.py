"""A peer that says what a test has it say: servers that are hostile or broken do not come in packages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

STREAM = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
    "id='1' from='localhost' version='1.0'>"
)
FEATURES = "<stream:features>{}</stream:features>"
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"


class Scripted:
    """Listens on loopback; says ``greeting`` once the client has opened its stream.

    replies: what is said, once, when the client has said something that holds the key; a function is given all that
    was heard on the connection. heard: everything the client sent. connections: how often it came.
    """

    def __init__(self, greeting: str | bytes, replies: Mapping[str, str | Callable[[str], str]] | None = None) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.heard = ""
        self.connections = 0
        self._greeting = greeting.encode() if isinstance(greeting, str) else greeting
        self._replies = dict(replies or {})
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(OSError):
            heard, greeted, left = "", False, dict(self._replies)
            while data := await reader.read(65536):
                text = data.decode("latin-1")
                heard += text
                self.heard += text
                if not greeted and "<stream:stream" in heard:
                    greeted = True
                    writer.write(self._greeting)
                for key in [key for key in left if key in heard]:
                    reply = left.pop(key)
                    writer.write((reply if isinstance(reply, str) else reply(heard)).encode())
        writer.transport.abort()

"""A network that can be cut, slowed and halved: a TCP relay between a client and a server."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class Proxy:
    """Relays connections to ``host:port`` from its own ``port`` on loopback.

    cut: drop every connection without a word, as a network does. hold: bytes of both directions wait until
    ``heal``. While ``silent``, bytes of the server are lost; while ``deaf``, those of the client: a connection that
    lost some carries nothing more in that direction, whatever happens later. While ``refusing``, new connections are
    dropped once the client has said something. ``target`` is where new ones lead.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.silent = False
        self.deaf = False
        self.refusing = False
        self.target = (host, port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._halved: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def disturbed(self) -> bool:
        """Whether anything but plain relaying goes on."""
        return self.silent or self.deaf or self.refusing or bool(self._halved) or not self._flowing.is_set()

    def cut(self) -> None:
        """Drop all connections."""
        for writer in self._writers:
            writer.transport.abort()

    def hold(self) -> None:
        """Keep what comes back, and let it through later."""
        self._flowing.clear()

    def heal(self) -> None:
        """Relay plainly again; connections that lost bytes are of no use any more and dropped."""
        self.silent = self.deaf = self.refusing = False
        for writer in self._halved:
            writer.transport.abort()
        self._flowing.set()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self.refusing:
            await reader.read(1)
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(back)
        for source, sink, from_server in ((reader, back, False), (there, writer, True)):
            task = asyncio.create_task(self._relay(source, sink, from_server))
            self._tasks.add(task)

    async def _relay(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, from_server: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._flowing.wait()
                if self.silent if from_server else self.deaf:
                    self._halved.add(sink)
                if sink not in self._halved:
                    sink.write(data)
                    await sink.drain()
        sink.transport.abort()
        self._halved.discard(sink)

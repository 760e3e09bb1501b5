"""The library's connection with its writer and reader replaced; nothing else subclasses the library."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from typing import Self

from dbus_fast.aio import MessageBus

from .reader import BYTES_AT_MOST, Reader, Socket, Unreadable
from .writer import Writer


class Transport(MessageBus):
    """A connection to the bus that negotiates file descriptors and survives bursts.

    unreadable: see Reader. gone: called once when the connection ends, with the reason or None when we ended it.
    """

    def __init__(self, address: str, unreadable: Unreadable, gone: Callable[[BaseException | None], None]) -> None:
        super().__init__(bus_address=address, negotiate_unix_fd=True, auth_timeout=10)
        self.writer: Writer | None = None
        self.begin: Callable[[], None] = lambda: None
        """Called before the messages of one turn of the loop are read."""
        self._unreadable = unreadable
        self._gone = gone

    async def connect(self) -> Self:
        await super().connect()
        if not str(self.unique_name).startswith(":"):
            # The library takes what is said of an error for the name.
            self._finalize()
            raise ConnectionRefusedError(self.unique_name)
        # The library's reader was stopped right after the greeting, between two messages.
        sock, fd = self._sock, self._fd
        assert isinstance(sock, Socket)
        assert fd is not None
        sock.paused = None
        sock.frame.clear()
        self._loop.remove_reader(fd)
        self._loop.add_reader(
            fd, Reader(sock, self._process_message, self._unreadable, self._finalize, lambda: self.begin())
        )
        return self

    def shorten(self) -> None:
        """Refuses messages of more than BYTES_AT_MOST."""
        assert isinstance(self._sock, Socket)
        self._sock.most = BYTES_AT_MOST

    @staticmethod
    def _create_socket_for_transport(
        transport: str, options: dict[str, str]
    ) -> tuple[socket.socket, io.BufferedRWPair, bytes | str | tuple[str, int]]:
        sock, stream, address = MessageBus._create_socket_for_transport(transport, options)
        stream.close()
        own = Socket(sock.detach())
        return own, own.makefile("rwb"), address

    async def _authenticate(self) -> None:
        # The first step after the socket is there: nothing has been written by the library's writer yet.
        sock = self._sock
        assert isinstance(sock, Socket)
        sock.paused = self._greeted
        self.writer = Writer(sock, self._finalize)
        self._writer = self.writer  # type: ignore[assignment]
        await super()._authenticate()

    def _greeted(self) -> bool:
        return self.unique_name is not None

    def _finalize(self, err: Exception | None = None) -> None:
        if self._disconnected:
            return
        if self.writer is not None:
            self.writer.close()
        super()._finalize(err)
        self._gone(None if self._user_disconnect else err)

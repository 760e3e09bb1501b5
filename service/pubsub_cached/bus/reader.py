"""What comes in: one message after another, and none of them may harm the connection."""

from __future__ import annotations

import array
import errno
import io
import logging
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from dbus_fast import Message
from dbus_fast._private.unmarshaller import Unmarshaller

from ..errors import LimitExceeded
from . import descriptors

log = logging.getLogger(__name__)

MESSAGES_A_TURN = 64
"""Messages that are dealt with before the rest of the event loop gets its turn."""

SLICE = 0.01
"""Seconds after which it gets its turn before as many were read: some hold tens of thousands of values."""

BYTES_AT_MOST = 1024 * 1024
"""Bytes of a message to who serves. All its values are made in one go, which takes long where there are many."""

_FIXED = 16  # Bytes of the fixed part of a message's header, which is read first.
_PIECE = 256 * 1024  # Of what is passed over so many bytes are read at once.
_ANCILLARY = socket.CMSG_SPACE(253 * array.array("i").itemsize)  # SCM_MAX_FD

Process = Callable[[Message], None]
Unreadable = Callable[[Message, Exception], None]


class TooLong(Exception):
    """A message begins of which so many bytes are still to be read."""

    def __init__(self, left: int) -> None:
        super().__init__(left)
        self.left = left


class Socket(socket.socket):
    """A socket that loses no file descriptor and remembers the message that is being read.

    The library has room for 16 descriptors and leaves them inheritable. It asks for exactly the bytes of one
    message, in two steps, so that ``frame`` begins where a message begins, and a message that is longer than ``most``
    is refused before any of it is read but what says how long it is.
    """

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.frame: list[bytes] = []
        self.fds: list[int] = []
        self.paused: Callable[[], bool] | None = None
        self.most = sys.maxsize

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0) -> Any:
        if self.paused is not None and self.paused():
            raise BlockingIOError(errno.EAGAIN, "Reading is paused")
        if bufsize > self.most:
            raise TooLong(bufsize)
        received = super().recvmsg(bufsize, _ANCILLARY, flags | socket.MSG_CMSG_CLOEXEC)
        self.frame.append(received[0])
        for level, kind, data in received[1]:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self.fds.extend(array.array("i", data))
        return received


class Reader:
    """Called when the socket can be read.

    The library's own reader goes on until nothing is left, so that busy clients keep everything else waiting, and
    it gives up the connection at a message that it can't decode: the bus lets values pass that are nested one level
    deeper than the library accepts. This one stops after a while, and skips what can't be decoded or is too long.

    process: gets each message. unreadable: gets a message without its body, and why that is not read.
    finish: called with the exception that ends the connection. begin: called before each turn.
    """

    def __init__(
        self,
        sock: Socket,
        process: Process,
        unreadable: Unreadable,
        finish: Callable[[Exception], None],
        begin: Callable[[], None],
    ) -> None:
        self._sock = sock
        self._process = process
        self._unreadable = unreadable
        self._finish = finish
        self._begin = begin
        self._unmarshaller = Unmarshaller(None, sock)
        # Of a message that is too long: all its bytes, and those that are still to be passed over.
        self._size = self._left = 0

    def __call__(self) -> None:
        self._begin()
        until = time.monotonic() + SLICE
        for _ in range(MESSAGES_A_TURN):
            try:
                if self._left:
                    self._pass_over()
                elif (message := self._unmarshaller.unmarshall()) is not None:
                    self._read(message)
                else:
                    return
            except BlockingIOError:
                return
            except TooLong as message:
                self._size, self._left = _FIXED + message.left, message.left
                self._sock.frame[:] = [b"".join(self._sock.frame)]
            except (OSError, EOFError) as error:
                self._finish(error)
                return
            except Exception as error:
                if not self._skip(error):
                    self._finish(error)
                    return
            if time.monotonic() > until:
                return

    def _read(self, message: Message) -> None:
        """A message is there."""
        self._sock.frame.clear()
        self._sock.fds.clear()
        if not message.unix_fds:
            # The library gives several messages the same empty list, and puts descriptors of a later one into it.
            message.unix_fds = []
        try:
            self._process(message)
        except Exception:
            log.exception("A message was not dealt with")

    def _pass_over(self) -> None:
        """Reads a piece of a message that is too long, of which the header is kept.

        Raises LimitExceeded after the last one, BlockingIOError, EOFError.
        """
        sock = self._sock
        in_body = self._size - self._left >= _body_begin(sock.frame[0])
        (data, *_) = sock.recvmsg(min(self._left, _PIECE))
        if not data:
            raise EOFError
        if in_body:
            sock.frame.pop()
        self._left -= len(data)
        if not self._left:
            raise LimitExceeded(
                f"The message has {self._size} bytes, and about {sock.most} is the most; say it in several."
            )

    def _skip(self, error: Exception) -> bool:
        """Passes over the message that was read but can't be decoded; False when even its length is not known."""
        frame = b"".join(self._sock.frame)
        self._sock.frame.clear()
        descriptors.close(self._sock.fds)
        self._sock.fds.clear()
        if len(frame) <= _FIXED:
            return False
        self._unmarshaller = Unmarshaller(None, self._sock)
        header = _header(frame)
        log.warning("A message from %s is not read: %s", header.sender if header else "a client", error)
        if header is not None:
            self._unreadable(header, error)
        return True


def _header(frame: bytes) -> Message | None:
    """The message in ``frame`` without its body."""
    emptied = frame[:4] + bytes(4) + frame[8 : _body_begin(frame)]
    return Unmarshaller(io.BytesIO(emptied)).unmarshall()  # type: ignore[arg-type]


def _body_begin(frame: bytes) -> int:
    """Where the body begins, by the fixed part of the header."""
    length = int.from_bytes(frame[12:_FIXED], "little" if frame[:1] == b"l" else "big")
    return -(-(_FIXED + length) // 8) * 8

"""What comes in: one message after another, and none of them may harm the connection."""

from __future__ import annotations

import array
import errno
import io
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any

from dbus_fast import Message, MessageType
from dbus_fast._private.unmarshaller import Unmarshaller

from . import descriptors

log = logging.getLogger(__name__)

MESSAGES_A_TURN = 64
"""Messages that are dealt with before the rest of the event loop gets its turn."""

_FIXED = 16  # Bytes of the fixed part of a message's header, which is read first.
_ANCILLARY = socket.CMSG_SPACE(253 * array.array("i").itemsize)  # SCM_MAX_FD

Process = Callable[[Message], None]
Unreadable = Callable[[Message, Exception], None]


class Socket(socket.socket):
    """A socket that loses no file descriptor and remembers the message that is being read.

    The library has room for 16 descriptors and leaves them inheritable. It asks for exactly the bytes of one
    message, in two steps, so that ``frame`` begins where a message begins.
    """

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.frame: list[bytes] = []
        self.fds: list[int] = []
        self.paused: Callable[[], bool] | None = None

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0) -> Any:
        if self.paused is not None and self.paused():
            raise BlockingIOError(errno.EAGAIN, "Reading is paused")
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
    deeper than the library accepts. This one stops after a while, and skips what can't be decoded.

    process: gets each message. unreadable: gets a message without its body, and why that can't be read.
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

    def __call__(self) -> None:
        sock = self._sock
        self._begin()
        for _ in range(MESSAGES_A_TURN):
            try:
                message = self._unmarshaller.unmarshall()
            except (OSError, EOFError) as error:
                self._finish(error)
                return
            except Exception as error:
                if not self._skip(error):
                    self._finish(error)
                    return
                continue
            if message is None:
                return
            sock.frame.clear()
            sock.fds.clear()
            if not message.unix_fds:
                # The library gives several messages the same empty list, and puts descriptors of a later one into it.
                message.unix_fds = []
            try:
                self._process(message)
            except Exception:
                log.exception("A message was not dealt with")

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
        log.warning("A message from %s can't be read: %s", header.sender if header else "a client", error)
        if header is not None and header.message_type is MessageType.METHOD_CALL:
            self._unreadable(header, error)
        return True


def _header(frame: bytes) -> Message | None:
    """The message in ``frame`` without its body."""
    (length,) = struct.unpack_from("<I" if frame[:1] == b"l" else ">I", frame, 12)
    padded = -(-(_FIXED + length) // 8) * 8
    emptied = frame[:4] + bytes(4) + frame[8:padded]
    return Unmarshaller(io.BytesIO(emptied)).unmarshall()  # type: ignore[arg-type]

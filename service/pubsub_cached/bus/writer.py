"""What goes out: a queue in front of the socket that outlasts any burst."""

from __future__ import annotations

import array
import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from . import descriptors

if TYPE_CHECKING:
    from dbus_fast import Message

_NO_FDS: tuple[int, ...] = ()


class Writer:
    """Writes messages in order; what the socket does not take waits here.

    The library's own writer takes a full socket for a broken one. ``failed`` is called once, when the socket is
    really broken.
    """

    def __init__(self, sock: socket.socket, failed: Callable[[Exception], None]) -> None:
        self.queued = 0
        """Bytes that wait here, not yet taken by the socket."""
        self.taken: Callable[[], None] = lambda: None
        """Called when the socket has taken some of them."""
        self._sock = sock
        self._fd = sock.fileno()
        self._loop = asyncio.get_running_loop()
        self._failed = failed
        self._queue: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._drained: list[asyncio.Future[None]] = []
        self._closed = False

    def schedule_write(self, msg: Message | None = None, future: asyncio.Future[None] | None = None) -> None:
        """The library's entry: its own messages (it calls without one after the greeting)."""
        if msg is not None:
            self.write(msg._marshall(True), msg.unix_fds)
        if future is not None and not future.done():
            future.set_result(None)

    def write(self, data: bytearray, fds: Sequence[int] = _NO_FDS) -> int:
        """Sends or queues a marshalled message and returns its size in bytes; closes ``fds`` once they are sent."""
        size = len(data)
        if self._closed:
            descriptors.close(fds)
            return size
        self._queue.append((memoryview(data), fds))
        self.queued += size
        if len(self._queue) == 1 and not self._flush():
            self._loop.add_writer(self._fd, self._writable)
        return size

    async def drain(self) -> None:
        """Returns once everything queued has been taken by the socket, or the connection is gone."""
        if not self._queue:
            return
        future = self._loop.create_future()
        self._drained.append(future)
        await future

    def close(self) -> None:
        """Drops what is queued (closing its file descriptors) and releases whoever waits."""
        self._closed = True
        for _, fds in self._queue:
            descriptors.close(fds)
        self._queue.clear()
        self.queued = 0
        self._release()

    def _writable(self) -> None:
        if self._flush():
            self._loop.remove_writer(self._fd)
        self.taken()

    def _flush(self) -> bool:
        """Writes until the queue is empty (True) or the socket is full (False)."""
        try:
            while self._queue:
                data, fds = self._queue[0]
                sent = self._transmit(data, fds)
                self.queued -= sent
                if sent == len(data):
                    self._queue.popleft()
                else:
                    self._queue[0] = (data[sent:], _NO_FDS)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self.close()
            self._failed(error)
        self._release()
        return True

    def _transmit(self, data: memoryview, fds: Sequence[int]) -> int:
        if not fds:
            return self._sock.send(data)
        # File descriptors travel with the first byte, so after a short write they must not go out again.
        sent = self._sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
        descriptors.close(fds)
        return sent

    def _release(self) -> None:
        waiting, self._drained = self._drained, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

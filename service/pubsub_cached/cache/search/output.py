"""A descriptor of a client that is written to, at the pace at which somebody reads it.

The client holds the other end and may stall or leave. The loop does not write then, and neither does a pool that
others wait for: it has a thread to itself meanwhile. The descriptor's own mode is left alone, for the client shares it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import threading
from functools import partial

from ... import errors
from ...threads import in_thread

# What a pipe that has room takes without blocking (pipe(7)), and a file at a time.
_PIPE_BYTES = select.PIPE_BUF
_FILE_BYTES = 1 << 20

_GONE = frozenset({errno.EPIPE, errno.ECONNRESET})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Output:
    """Writes to a copy of ``descriptor``. Raises InvalidArgs for one that can't be written to."""

    def __init__(self, descriptor: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise errors.InvalidArgs("The output can't be written to: the descriptor is open for reading only.")
        self._descriptor = os.dup(descriptor)
        self._at_once = _FILE_BYTES if stat.S_ISREG(os.fstat(descriptor).st_mode) else _PIPE_BYTES
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._ended = threading.Event()
        # Held by who writes, though nobody may wait for that any more.
        self._writing = threading.Lock()

    async def write(self, data: bytes) -> None:
        """Return once everything was written.

        Raises Cancelled when the reader is gone, StorageFull, InvalidArgs for any other fault of the descriptor.
        """
        await in_thread(partial(self._write, data), "output")

    def close(self) -> None:
        """Give up what is not written yet; the reader meets the end."""
        if not self._ended.is_set():
            self._ended.set()
            os.eventfd_write(self._end, 1)
            in_thread(self._close, "output")

    def _close(self) -> None:
        with self._writing:
            os.close(self._descriptor)
            os.close(self._end)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        with self._writing:
            if self._ended.is_set():
                return
            poller = select.poll()
            poller.register(self._descriptor, select.POLLOUT)
            poller.register(self._end, select.POLLIN)
            while rest:
                poller.poll()
                if self._ended.is_set():
                    return
                try:
                    rest = rest[os.write(self._descriptor, rest[: self._at_once]) :]
                except BlockingIOError:
                    # The client's own mode: there was less room than asked for, and no sign of when there is more.
                    self._ended.wait(0.01)
                except OSError as error:
                    raise _explained(error) from None


def _explained(error: OSError) -> errors.PubSubCachedError:
    if error.errno in _GONE:
        return errors.Cancelled("Nobody reads the output any more.")
    if error.errno in _FULL:
        return errors.StorageFull(f"The output can't be written: {error.strerror}.")
    return errors.InvalidArgs(f"The output can't be written: {error.strerror}.")

"""A secret that a client hands over as a file descriptor: read to its end, within bounds, off the loop."""

from __future__ import annotations

import fcntl
import os
import select
import time
from functools import partial

from ..errors import InvalidArgs, Timeout
from ..threads import in_thread

BYTES_AT_MOST = 64 * 1024
SECONDS = 20.0


async def read(descriptor: int, seconds: float = SECONDS) -> str:
    """The text behind ``descriptor``, without one newline at its end; the descriptor stays open.

    Raises InvalidArgs (empty, too long, no UTF-8, unreadable) and Timeout (the end did not come in ``seconds``).
    """
    # The client holds the other end and may stall or take the bytes away again, whatever the mode of the descriptor is.
    return _checked(await in_thread(partial(_read_and_close, os.dup(descriptor), seconds), "secret"))


def _read_and_close(descriptor: int, seconds: float) -> bytes:
    try:
        return _to_the_end(descriptor, seconds)
    except OSError as error:
        raise InvalidArgs(f"The secret can't be read: {error.strerror}.") from None
    finally:
        os.close(descriptor)


def _to_the_end(descriptor: int, seconds: float) -> bytes:
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
        raise InvalidArgs("The secret can't be read: the descriptor is open for writing only.")
    data = bytearray()
    deadline = time.monotonic() + seconds
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    while len(data) <= BYTES_AT_MOST:
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            raise Timeout(f"The secret did not end within {seconds:g} s; close the writing end of the pipe.")
        try:
            chunk = os.read(descriptor, BYTES_AT_MOST + 1 - len(data))
        except BlockingIOError:
            continue
        if not chunk:
            return bytes(data)
        data += chunk
    raise InvalidArgs(f"The secret is longer than {BYTES_AT_MOST} bytes.")


def _checked(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgs(f"The secret is not UTF-8 at byte {error.start}.") from None
    text = text.removesuffix("\n")
    if not text:
        raise InvalidArgs("The secret is empty; a file has to be at its beginning when it is handed over.")
    if "\0" in text:
        raise InvalidArgs("The secret has a NUL in it.")
    return text

"""Work that blocks and may never end, in a thread that can be left behind.

A pool would do for what ends: here a keyring, a command, another client's file or a plugin's parser decides, and who
else needs the pool would wait for it as well, and so would the end of the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_thread(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Do blocking work in a thread of its own, which ends with the process at the latest.

    The future has what the work returns or raises; what is no Exception, such as a panic of a library in Rust, and
    StopIteration, which no future takes, become a RuntimeError. To cancel it does not end the work.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(set_outcome: Callable[[], None]) -> None:
        if not future.done():
            set_outcome()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            failure = error if isinstance(error, Exception) and not isinstance(error, StopIteration) else _named(error)
            outcome = lambda: future.set_exception(failure)  # noqa: E731
        else:
            outcome = lambda: future.set_result(result)  # noqa: E731
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, outcome)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def _named(error: BaseException) -> RuntimeError:
    """An error that says which one there was, and has it as its cause."""
    named = RuntimeError(f"{type(error).__name__}: {error}")
    named.__cause__ = error
    return named

"""Work that blocks and may never end, in a thread that can be left behind.

A pool of so many would do for what ends: here a keyring, a command, another client's file or a plugin's parser decides,
and who else needs the pool would wait for it as well, and so would the end of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Seconds for which a thread that has nothing to do waits for more: to start one costs five times as much.
IDLE_SECONDS = 5.0

# What a thread is to do; it then says so by what that gave.
_Work = Callable[[], Callable[[], None]]


def in_thread(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Do blocking work in a thread that does nothing else meanwhile, and ends with the process at the latest.

    The future has what the work returns or raises; what is no Exception, such as a panic of a library in Rust, and
    StopIteration, which no future takes, become a RuntimeError. To cancel it does not end the work.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(set_outcome: Callable[[], None]) -> None:
        if not future.done():
            set_outcome()

    def run() -> Callable[[], None]:
        try:
            result = work()
        except BaseException as error:
            failure = error if isinstance(error, Exception) and not isinstance(error, StopIteration) else _named(error)
            outcome = lambda: future.set_exception(failure)  # noqa: E731
        else:
            outcome = lambda: future.set_result(result)  # noqa: E731
        return lambda: _call_soon(loop, lambda: tell(outcome))

    _idle_one().give(run, name)
    return future


def _call_soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    # On a loop that is closed nobody waits any more.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


class _Thread(threading.Thread):
    """Does one piece of work after the other, and ends where none comes for a while."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._given: queue.SimpleQueue[tuple[_Work, str]] = queue.SimpleQueue()

    def give(self, work: _Work, name: str) -> None:
        """Have work done by a thread that has none."""
        self._given.put((work, name))

    def run(self) -> None:
        """Work until nobody has any more."""
        while self._done():
            continue

    def _done(self) -> bool:
        """Do a piece of work; False where there was none. Nothing of it is held while the thread waits for the next."""
        try:
            work, self.name = self._given.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            with _lock:
                if self in _idle:
                    _idle.remove(self)
                    return False
            # It was taken in this moment.
            work, self.name = self._given.get()
        say = work()
        self.name = "idle"
        # Whoever is told may have more to do at once.
        with _lock:
            _idle.append(self)
        say()
        return True


_lock = threading.Lock()
_idle: list[_Thread] = []


def _idle_one() -> _Thread:
    with _lock:
        if _idle:
            return _idle.pop()
    made = _Thread()
    made.start()
    return made


def _named(error: BaseException) -> RuntimeError:
    """An error that says which one there was, and has it as its cause."""
    named = RuntimeError(f"{type(error).__name__}: {error}")
    named.__cause__ = error
    return named

"""How long the callbacks of a loop take, in time of the processor: what else the machine does changes nothing."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest


class Callback(NamedTuple):
    """A callback that ran, and its seconds of the processor."""

    seconds: float
    what: str


class Callbacks:
    """What the callbacks of one thread took: all of them together, and the longest of them, longest first."""

    MOST = 10

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0
        self.longest: list[Callback] = []

    def ran(self, handle: asyncio.Handle, seconds: float) -> None:
        """A callback has run."""
        self.total += seconds
        self.count += 1
        if len(self.longest) < self.MOST or seconds > self.longest[-1].seconds:
            self.longest.append(Callback(seconds, repr(handle)))
            self.longest.sort(reverse=True)
            del self.longest[self.MOST :]

    def __str__(self) -> str:
        listed = "\n".join(f"{each.seconds * 1000:.1f} ms: {each.what}" for each in self.longest)
        return f"{self.count} callbacks took {self.total:.2f} s; the longest of them:\n{listed}"


@contextmanager
def watched() -> Iterator[Callbacks]:
    """Measure every callback of the loop that runs in this thread, but not what a look for cycles takes.

    What who measures does in its own callback counts until it has seen enough.
    """
    found = Callbacks()
    thread = threading.get_ident()
    run = asyncio.Handle._run
    running: list[tuple[asyncio.Handle, float]] = []

    def measured(handle: asyncio.Handle) -> None:
        if threading.get_ident() != thread:
            run(handle)
            return
        running.append((handle, time.thread_time()))
        run(handle)
        ended()

    def ended() -> None:
        if running:
            handle, began = running.pop()
            found.ran(handle, time.thread_time() - began)

    with uncollected(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.Handle, "_run", measured)
        yield found
        ended()


def taking(work: Callable[[], object]) -> float:
    """Seconds of the processor that some work takes, once what it imports and compiles is there."""
    work()
    with uncollected():
        begun = time.thread_time()
        work()
        return time.thread_time() - begun


@contextmanager
def uncollected() -> Iterator[None]:
    """Nobody looks for cycles meanwhile: what goes goes by itself, and what a look takes falls on nothing measured.

    It is the more the more tests have run.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

"""Reads that may take long: on threads and connections of their own, cut off when their time is over.

The loop goes on meanwhile, and so do the reads on its thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection

from ..errors import DatabaseError, PubSubCachedError, Timeout
from .database import Database, Reader

T = TypeVar("T")

# More than the processor has cores, for a quick read beside slow ones.
THREADS = 4
SECONDS = 5.0
# How long a database may take to hear that a read is to end. One that is frozen does not, and nobody waits for it.
_CUT_OFF_SECONDS = 5.0


class _Leash:
    """Ends a read when its time is over or nobody waits for it any more."""

    def __init__(self, seconds: float | None, what: str) -> None:
        self.seconds = seconds
        self._what = what
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._let_go = False
        self._ends: list[Callable[[], None]] = []

    @property
    def over(self) -> bool:
        """Whether the read is to end."""
        return self._let_go or (self._deadline is not None and time.monotonic() > self._deadline)

    def end(self) -> None:
        """Nobody waits for the read."""
        self._let_go = True
        self.expire()

    def expire(self) -> None:
        """Tell the database, where it does not ask."""
        for end in self._ends:
            end()

    def on_end(self, end: Callable[[], None]) -> None:
        """See ``database.Leash``."""
        self._ends.append(end)
        if self.over:
            end()

    def error(self) -> PubSubCachedError:
        """What the caller is told."""
        if self._let_go:
            return DatabaseError("The database was closed.")
        said = f"The {self._what} took longer than {self.seconds:g} s and was cut off"
        if self._what == "search":
            return Timeout(f"{said}; ask for fewer nodes or types, rarer words, or another order.")
        return DatabaseError(f"{said}; the database is busy, so try again later.")


class Aside:
    """Runs functions with a connection, in one read transaction each.

    translate: what a caller meets for an exception of the database, None for any other. what: the reads are, in
    sentences.
    """

    def __init__(
        self,
        database: Database,
        translate: Callable[[BaseException], PubSubCachedError | None],
        what: str = "search",
    ) -> None:
        self._database = database
        self._what = what
        self._translate = translate
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="store-aside")
        # The one used last first: its cache is warm, and quiet times need one only.
        self._idle: list[Reader] = []
        self._running: set[_Leash] = set()
        self._closed = False

    async def run(self, work: Callable[[Connection], T], seconds: float | None) -> T:
        """The result of ``work``; seconds: from now, None for as long as it takes.

        Raises what ``work`` raises, Timeout of a search, and DatabaseError.
        """
        if self._closed:
            raise DatabaseError("The database is closed.")
        leash = _Leash(seconds, self._what)
        self._running.add(leash)
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._executor, self._work, work, leash)
        future.add_done_callback(lambda _: self._running.discard(leash))
        if seconds is not None:
            deadline = loop.call_later(seconds, leash.expire)
            future.add_done_callback(lambda _: deadline.cancel())
        try:
            await asyncio.wait([future], timeout=None if seconds is None else seconds + _CUT_OFF_SECONDS)
        except asyncio.CancelledError:
            leash.end()
            raise
        finally:
            if not future.done():
                # It fails at last, and nobody asks why.
                future.add_done_callback(lambda done: done.cancelled() or done.exception())
        if not future.done():
            raise leash.error()
        return future.result()

    @property
    def at_work(self) -> bool:
        """Whether a read is under way."""
        return bool(self._running)

    async def close(self) -> None:
        """End what runs, and wait for it."""
        self._closed = True
        for leash in self._running:
            leash.end()
        await asyncio.to_thread(self._executor.shutdown)
        for reader in self._idle:
            reader.close()
        self._idle.clear()

    def _work(self, work: Callable[[Connection], T], leash: _Leash) -> T:
        if leash.over:
            raise leash.error()
        try:
            return self._read(work, leash)
        except Exception as error:
            is_cut_off = leash.over and self._database.is_interrupted(error)
            translated = leash.error() if is_cut_off else self._translate(error)
            if translated is None:
                raise
            raise translated from error

    def _read(self, work: Callable[[Connection], T], leash: _Leash) -> T:
        while True:
            is_new = not self._idle
            reader = self._database.reader() if is_new else self._idle.pop()
            try:
                return reader.run(work, leash)
            except Exception:
                # One that waited here may have lost its server meanwhile; then another is tried.
                if is_new or reader.is_usable or leash.over:
                    raise
            finally:
                if reader.is_usable:
                    self._idle.append(reader)
                else:
                    reader.close()

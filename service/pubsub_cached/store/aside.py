"""Reads that may take long: on threads and connections of their own, cut off when their time is over.

The loop goes on meanwhile, and so do the reads on its thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from ..errors import DatabaseError, PubSubCachedError, Timeout

T = TypeVar("T")

# More than the processor has cores, for a quick read beside slow ones.
THREADS = 4
SECONDS = 5.0
# How often a statement looks whether it may go on, in steps of SQLite's machine: about every millisecond.
_STEPS = 50_000


class _Leash:
    """Ends a read when its time is over or nobody waits for it any more."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._let_go = False

    @property
    def over(self) -> bool:
        """Whether the read is to end."""
        return self._let_go or (self._deadline is not None and time.monotonic() > self._deadline)

    def end(self) -> None:
        """Nobody waits for the read."""
        self._let_go = True

    def error(self) -> PubSubCachedError:
        """What the caller is told."""
        if self._let_go:
            return DatabaseError("The database was closed.")
        return Timeout(
            f"The search took longer than {self.seconds:g} s and was cut off; ask for fewer nodes or types, "
            "rarer words, or another order."
        )


class Aside:
    """Runs functions with a connection, in one read transaction each.

    translate: what a caller meets for an exception of the database, None for any other.
    """

    def __init__(self, engine: Engine, translate: Callable[[BaseException], PubSubCachedError | None]) -> None:
        self._engine = engine
        self._translate = translate
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="store-aside")
        # The one used last first: its cache is warm, and quiet times need one only.
        self._idle: list[Connection] = []
        self._running: set[_Leash] = set()
        self._closed = False

    async def run(self, work: Callable[[Connection], T], seconds: float | None = SECONDS) -> T:
        """The result of ``work``; seconds: from now, None for as long as it takes.

        Raises what ``work`` raises, Timeout, and DatabaseError.
        """
        if self._closed:
            raise DatabaseError("The database is closed.")
        leash = _Leash(seconds)
        self._running.add(leash)
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._work, work, leash)
        future.add_done_callback(lambda _: self._running.discard(leash))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            leash.end()
            # It fails in a moment, and nobody asks why.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise

    async def close(self) -> None:
        """End what runs, and wait for it."""
        self._closed = True
        for leash in self._running:
            leash.end()
        await asyncio.to_thread(self._executor.shutdown)
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _work(self, work: Callable[[Connection], T], leash: _Leash) -> T:
        if leash.over:
            raise leash.error()
        try:
            connection = self._idle.pop() if self._idle else self._open()
            try:
                return self._read(connection, work, leash)
            finally:
                self._idle.append(connection)
        except Exception as error:
            translated = leash.error() if _is_interrupted(error) else self._translate(error)
            if translated is None:
                raise
            raise translated from error

    def _read(self, connection: Connection, work: Callable[[Connection], T], leash: _Leash) -> T:
        driver = _driver(connection)
        driver.set_progress_handler(lambda: leash.over, _STEPS)
        try:
            driver.execute("BEGIN")
            return work(connection)
        finally:
            driver.set_progress_handler(None, 0)
            if driver.in_transaction:
                driver.execute("COMMIT")

    def _open(self) -> Connection:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        _driver(connection).execute("PRAGMA query_only=ON")
        return connection


def _driver(connection: Connection) -> sqlite3.Connection:
    driver: Any = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _is_interrupted(error: BaseException) -> bool:
    cause = getattr(error, "orig", None) or error
    return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT

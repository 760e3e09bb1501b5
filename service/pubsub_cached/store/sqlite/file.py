"""A database in a file, as the store uses it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from .. import dialect
from ..database import Leash
from . import engine as engines
from . import start
from .courtesy import Courtesy

log = logging.getLogger(__name__)

T = TypeVar("T")

# How often a statement looks whether it may go on, in steps of SQLite's machine: about every millisecond.
_STEPS = 50_000
# The size of the write-ahead log beyond which it is brought into the file, and what is left of it then, bytes.
LOG_BYTES = 4 * 1024 * 1024
# What a transaction may change before some of it is written to the log early. A page that changes once more after that
# is written again, and all that follows it in the log is summed up anew. It goes with the commit.
_UNWRITTEN_KIB = 16 * 1024


class File:
    """See ``Database``. Bounded reads run on the loop's thread, for a hop to another costs more than one of them."""

    inline = True
    shared = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self.dialect = dialect.named("sqlite")
        self._engine = engines.engine(path)
        self._courtesy = Courtesy()

    def reader(self) -> Reader:
        return Reader(self._engine, self._courtesy)

    def writer(self) -> Session:
        return Session(self._engine, self._path)

    def show(self, accounts: Collection[int]) -> None:
        """Which accounts a daemon has is in the file."""

    def wait_for(self, account_id: int) -> None:
        """Nobody else is there."""

    translate = staticmethod(engines.translate)
    is_damage = staticmethod(engines.is_damage)
    is_interrupted = staticmethod(engines.is_interrupted)

    def wrote(self, items: int) -> None:
        """What may lead is counted for each search (``drive``)."""

    def suspect(self) -> None:
        start.suspect(self._path)

    def close(self) -> None:
        self._engine.dispose()


class Reader:
    """See ``database.Reader``. driver: what is below the connection. courtesy: for who uses that on the loop."""

    is_usable = True

    def __init__(self, engine: Engine, courtesy: Courtesy) -> None:
        self.courtesy = courtesy
        self._is_courteous = False
        self.connection, self.driver = _connected(engine)
        self.driver.execute("PRAGMA query_only=ON")

    def run(self, work: Callable[[Connection], T], leash: Leash) -> T:
        if not self._is_courteous:
            self.courtesy.prepare(self.driver)
            self._is_courteous = True
        self.driver.set_progress_handler(lambda: leash.over, _STEPS)
        try:
            self.driver.execute("BEGIN")
            return work(self.connection)
        finally:
            self.driver.set_progress_handler(None, 0)
            if self.driver.in_transaction:
                self.driver.execute("COMMIT")

    def close(self) -> None:
        self.connection.close()


class Session:
    """See ``database.Session``."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self.connection, self._driver = _connected(engine)
        # Beside the file itself, and not beside a link to it.
        file = path.resolve()
        self._log = file.with_name(file.name + "-wal")
        # SQLite would do so within a commit, which takes several times as long then.
        self._driver.execute("PRAGMA wal_autocheckpoint=0")
        self._driver.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")
        # Of a number of pages SQLite looks at the last byte to tell whether any is meant.
        self._driver.execute(f"PRAGMA cache_spill=-{_UNWRITTEN_KIB}")

    @property
    def in_transaction(self) -> bool:
        return self._driver.in_transaction

    def begin(self) -> None:
        self._driver.execute("BEGIN IMMEDIATE")

    def execute(self, statement: str) -> None:
        self._driver.execute(statement)

    def commit(self) -> None:
        # Not the driver's own way, which says nothing where there is no transaction to commit any more.
        self._driver.execute("COMMIT")

    def checkpoint(self) -> None:
        try:
            # The log is written from its start again once all of it is in the file, and cut off then.
            if self._log.stat().st_size > LOG_BYTES:
                self._driver.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except (OSError, sqlite3.Error) as error:
            log.info("The write-ahead log grows, for it could not be brought into the database: %s", error)

    def roll_back(self) -> None:
        self._driver.rollback()

    def alone(self, work: Callable[[Any], T]) -> T:
        return work(self._driver)

    # A file has one daemon, which runs every account.

    idle_seconds = None

    def claim(self, account_id: int, lasting: bool) -> None:
        return

    def is_alone(self) -> bool:
        return True

    def hold(self, account_id: int) -> None:
        return

    def release(self, account_id: int) -> None:
        return

    def lost(self) -> frozenset[int]:
        return frozenset()

    def look(self) -> None:
        return

    def close(self) -> None:
        try:
            self._driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            log.warning("The write-ahead log stays beside the database until the next start: %s", error)
        self.connection.close()


def _connected(engine: Engine) -> tuple[Connection, sqlite3.Connection]:
    """A connection, and the driver's below it, where transactions begin and end.

    The driver's own BEGIN and COMMIT are five times as fast as a transaction of the library, which therefore takes the
    connection to commit by itself.
    """
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    return connection, engines.driver_of(connection)

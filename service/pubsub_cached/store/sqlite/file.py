"""A database in a file, as the store uses it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from .. import dialect
from ..database import Leash
from . import engine as engines
from . import start
from .courtesy import Courtesy

log = logging.getLogger(__name__)

T = TypeVar("T")

# How often a statement looks whether it may go on, in steps of SQLite's machine: about every millisecond.
_STEPS = 50_000


class File:
    """See ``Database``. Bounded reads run on the loop's thread, for a hop to another costs more than one of them."""

    inline = True
    shared = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self.dialect = dialect.named("sqlite")
        self._reading = engines.engine(path)
        self._writing = engines.engine(path, begin="BEGIN IMMEDIATE")
        self._courtesy = Courtesy()

    def reader(self) -> Reader:
        return Reader(self._reading, self._courtesy)

    def writer(self) -> Session:
        return Session(self._writing)

    def show(self, accounts: Collection[int]) -> None:
        """Which accounts a daemon has is in the file."""

    def wait_for(self, account_id: int) -> None:
        """Nobody else is there."""

    translate = staticmethod(engines.translate)
    is_damage = staticmethod(engines.is_damage)

    def is_interrupted(self, error: BaseException) -> bool:
        cause = error.orig if isinstance(error, DBAPIError) else error
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT

    def wrote(self, items: int) -> None:
        """What may lead is counted for each search (``drive``)."""

    def suspect(self) -> None:
        start.suspect(self._path)

    def close(self) -> None:
        self._reading.dispose()
        self._writing.dispose()


class Reader:
    """See ``database.Reader``. driver: what is below the connection. courtesy: for who uses that on the loop."""

    is_usable = True

    def __init__(self, engine: Engine, courtesy: Courtesy) -> None:
        self.courtesy = courtesy
        self._is_courteous = False
        # The driver's own BEGIN and COMMIT are five times as fast as a transaction of the library, which therefore
        # takes this connection to commit by itself.
        self.connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self.driver = _driver(self.connection)
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

    def __init__(self, engine: Engine) -> None:
        self.connection = engine.connect()
        self._driver = _driver(self.connection)

    @property
    def in_transaction(self) -> bool:
        return self._driver.in_transaction

    def begin(self) -> None:
        self.connection.begin()

    def execute(self, statement: str) -> None:
        self._driver.execute(statement)

    def commit(self) -> None:
        self.connection.commit()

    def roll_back(self) -> None:
        self.connection.rollback()
        if self._driver.in_transaction:
            # A commit that was refused leaves it open, where the library thinks it over.
            self._driver.execute("ROLLBACK")

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


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver

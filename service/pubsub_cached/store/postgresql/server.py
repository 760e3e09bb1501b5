"""A database on a server, as the store uses it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from ...errors import DatabaseError
from .. import dialect
from ..database import Leash
from . import connection as connections
from .connection import Driver

log = logging.getLogger(__name__)

T = TypeVar("T")

_CANCEL_SECONDS = 5.0
_CANCEL_AGAIN_SECONDS = 0.05
# Who writes holds the counters until its commit, so that daemons that share a database number nothing alike.
_BEGIN = "BEGIN; SELECT value FROM counter ORDER BY name FOR UPDATE"


class Server:
    """See ``Database``. Every read is a journey to the server, so it is made on a thread of its own."""

    inline = False

    def __init__(self, url: URL) -> None:
        self._engine = connections.engine(url)
        self.dialect = dialect.named("postgresql")

    def reader(self) -> Reader:
        return Reader(self._engine)

    def writer(self) -> Session:
        return Session(self._engine)

    translate = staticmethod(connections.translate)
    is_damage = staticmethod(connections.is_damage)
    is_interrupted = staticmethod(connections.is_interrupted)

    def suspect(self) -> None:
        log.error("The server reports damaged data; whoever looks after it has to mend it.")

    def close(self) -> None:
        self._engine.dispose()


class Reader:
    """See ``database.Reader``."""

    def __init__(self, engine: Engine) -> None:
        self.connection = engine.connect()
        self._driver = _driver(self.connection)
        self._cut_off = False

    @property
    def is_usable(self) -> bool:
        return not self._driver.closed and not self._cut_off

    def run(self, work: Callable[[Connection], T], leash: Leash) -> T:
        ended = threading.Event()
        leash.on_end(lambda: self._cancel(ended))
        milliseconds = 0 if leash.seconds is None else max(1, round(leash.seconds * 1000))
        try:
            self._driver.execute(
                f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {milliseconds}",
                prepare=False,
            )
            return work(self.connection)
        finally:
            ended.set()
            if not self._driver.closed:
                with contextlib.suppress(psycopg.Error):
                    self._driver.execute("ROLLBACK")

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.connection.close()

    def _cancel(self, ended: threading.Event) -> None:
        """End the statement under way; on a thread of its own, for it asks the server."""
        # The server may be late to hear of it, so nothing else is asked on this connection.
        self._cut_off = True

        def cancel() -> None:
            # Between two statements the server forgets that it was asked.
            while not ended.wait(_CANCEL_AGAIN_SECONDS):
                with contextlib.suppress(psycopg.Error):
                    self._driver.cancel_safe(timeout=_CANCEL_SECONDS)

        threading.Thread(target=cancel, name="store-cancel", daemon=True).start()


class Session:
    """See ``database.Session``. A connection that was lost is made again where the next transaction begins."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.connection = engine.connect()
        self._driver = _driver(self.connection)

    @property
    def in_transaction(self) -> bool:
        open_ = (TransactionStatus.INTRANS, TransactionStatus.INERROR)
        return not self._driver.closed and self._driver.info.transaction_status in open_

    def begin(self) -> None:
        if not self._driver.closed:
            try:
                self._driver.execute(_BEGIN, prepare=False)
                return
            except psycopg.OperationalError:
                if not self._driver.closed:
                    raise
        self._connect()
        self._driver.execute(_BEGIN, prepare=False)

    def execute(self, statement: str) -> None:
        self._driver.execute(statement)

    def commit(self) -> None:
        if self._driver.execute("COMMIT").statusmessage != "COMMIT":
            raise DatabaseError("The database rolled the transaction back.")

    def roll_back(self) -> None:
        if self.in_transaction:
            self._driver.execute("ROLLBACK")

    def alone(self, work: Callable[[Any], T]) -> T:
        if self._driver.closed:
            self._connect()
        return work(self._driver)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.connection.close()

    def _connect(self) -> None:
        self.close()
        self.connection = self._engine.connect()
        self._driver = _driver(self.connection)
        log.info("The connection to the database was made again.")


def _driver(connection: Connection) -> Driver:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver

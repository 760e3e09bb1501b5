"""A database on a server, as the store uses it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from ...errors import DatabaseError
from .. import dialect
from ..database import InUse, Leash
from . import connection as connections
from .connection import Driver

log = logging.getLogger(__name__)

T = TypeVar("T")

_CANCEL_SECONDS = 5.0
_CANCEL_AGAIN_SECONDS = 0.05
# The number of the transaction is kept, to ask what became of it. Only a transaction that will write has one.
_BEGIN = "BEGIN; SELECT pg_current_xact_id()::text"
_STATUS_AGAIN_SECONDS = 0.05

# Held by the connection that writes: one daemon at a time. The number is nobody else's but by chance.
WRITER_LOCK = 0x7075627375620002
_OWNER = """
SELECT coalesce(client_addr::text, 'this machine'), application_name, backend_start::timestamp(0)::text
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND (classid::bigint << 32) + objid::bigint = %s
"""


class Server:
    """See ``Database``. Every read is a journey to the server, so it is made on a thread of its own."""

    inline = False

    def __init__(self, url: URL) -> None:
        self._engine = connections.engine(url)
        self._name = connections.shown(url)
        self.dialect = dialect.named("postgresql")

    def reader(self) -> Reader:
        return Reader(self._engine)

    def writer(self) -> Session:
        return Session(self._engine, self._name)

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

    def __init__(self, engine: Engine, name: str) -> None:
        """name: of the database, in sentences. Raises InUse."""
        self._engine = engine
        self._name = name
        self._transaction = ""
        self._open()

    @property
    def in_transaction(self) -> bool:
        open_ = (TransactionStatus.INTRANS, TransactionStatus.INERROR)
        return not self._driver.closed and self._driver.info.transaction_status in open_

    def begin(self) -> None:
        if not self._driver.closed:
            try:
                self._begin()
                return
            except psycopg.OperationalError:
                if not self._driver.closed:
                    raise
        self._connect()
        self._begin()

    def execute(self, statement: str) -> None:
        self._driver.execute(statement)

    def commit(self) -> None:
        try:
            said = self._driver.execute("COMMIT").statusmessage
        except psycopg.OperationalError:
            # Nothing says what became of it, but the server does when it is asked again.
            if not self._driver.closed or not self._was_committed():
                raise
            return
        if said != "COMMIT":
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

    def _open(self) -> None:
        self.connection = self._engine.connect()
        self._driver = _driver(self.connection)
        if not _value(self._driver, "SELECT pg_try_advisory_lock(%s)", WRITER_LOCK):
            owner = self._driver.execute(_OWNER, (WRITER_LOCK,)).fetchone()
            self._driver.close()
            by = f" ({owner[1]} on {owner[0]}, since {owner[2]})" if owner else ""
            raise InUse(f"The database {self._name} is used by another daemon{by}.")

    def _connect(self) -> None:
        self.close()
        self._open()
        log.info("The connection to the database was made again.")

    def _begin(self) -> None:
        cursor = self._driver.execute(_BEGIN, prepare=False)
        while cursor.nextset():
            pass
        (self._transaction,) = cursor.fetchone() or ("",)

    def _was_committed(self) -> bool:
        self._connect()
        while (status := _value(self._driver, "SELECT pg_xact_status(%s::xid8)", self._transaction)) == "in progress":
            time.sleep(_STATUS_AGAIN_SECONDS)  # the server has not met the end of the connection yet
        return bool(status == "committed")


def wait_until_free(url: URL) -> None:
    """Return once no daemon uses the database, or it can't be told any more."""
    engine = connections.engine(url)
    try:
        with engine.connect() as connection:
            _driver(connection).execute("SELECT pg_advisory_lock(%s)", (WRITER_LOCK,))
    except Exception as error:
        if connections.translate(error) is None:
            raise
        log.debug("The end of another daemon could not be awaited: %s", connections.said(error))
    finally:
        engine.dispose()


def _value(driver: Driver, statement: str, *values: object) -> Any:
    row = driver.execute(statement, values).fetchone()
    return row[0] if row else None


def _driver(connection: Connection) -> Driver:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver

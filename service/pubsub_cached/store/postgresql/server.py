"""A database on a server, as the store uses it."""

from __future__ import annotations

import contextlib
import logging
import select
import threading
import time
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from ...errors import DatabaseError
from .. import dialect
from ..database import AccountInUse, InUse, Leash
from ..revisions import HEAD
from ..whose import SETTINGS
from . import connection as connections
from . import locks
from .connection import Driver
from .statistics import Statistics

log = logging.getLogger(__name__)

T = TypeVar("T")

_CANCEL_SECONDS = 5.0
_CANCEL_AGAIN_SECONDS = 0.05
_STATUS_AGAIN_SECONDS = 0.05
# How long a server that ended in a commit is waited for: whoever wrote is told what became of it, and a bus waits 25 s.
_RETURN_SECONDS = 10.0
# A connection that broke shows it on its socket, which is looked at so often while nothing is written.
_IDLE_SECONDS = 2.0
# How long others wait, for their turn to write and for accounts, for a daemon whose machine is away, and for one that
# froze, unless the URL or the server says otherwise. The second of these PostgreSQL has since 14.
_AWAY = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
_FROZEN = """
SELECT set_config(name, '60s', false) FROM pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'idle_session_timeout') AND setting = '0'
"""
# What has no such limit is asked now and then all the same.
_SILENT = "SELECT coalesce(nullif(current_setting('idle_session_timeout', true), '0')::interval, '60s')"


class Server:
    """See ``Database``. Every read is a journey to the server, so it is made on a thread of its own."""

    inline = False
    shared = True

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine = connections.engine(url)
        self._name = connections.shown(url)
        self._scope = Scope()
        self._statistics = Statistics(self._engine)
        self.dialect = dialect.named("postgresql")

    def reader(self) -> Reader:
        return Reader(self._engine, self._scope)

    def writer(self) -> Session:
        return Session(self._engine, self._name, self._scope)

    def show(self, accounts: Collection[int]) -> None:
        self._scope.has = frozenset(accounts)

    def wait_for(self, account_id: int) -> None:
        locks.wait_for(self._url, account_id)

    translate = staticmethod(connections.translate)
    is_damage = staticmethod(connections.is_damage)
    is_interrupted = staticmethod(connections.is_interrupted)

    def wrote(self, items: int) -> None:
        self._statistics.wrote(items)

    def suspect(self) -> None:
        log.error("The server reports damaged data; whoever looks after it has to mend it.")

    def close(self) -> None:
        self._statistics.close()
        self._engine.dispose()


class Scope:
    """Ids of the accounts that the daemon has, None for all, and of those that it runs; both threads read them."""

    def __init__(self) -> None:
        self.has: frozenset[int] | None = None
        self.runs = frozenset[int]()

    @property
    def statement(self) -> str:
        """Tells a transaction of them, see ``whose``."""
        if self.has is None:
            return ""
        return "".join(
            f"; SET LOCAL {SETTINGS[name]} = '{{{','.join(map(str, sorted(ids)))}}}'"
            for name, ids in (("has", self.has), ("runs", self.runs))
        )


class Reader:
    """See ``database.Reader``."""

    def __init__(self, engine: Engine, scope: Scope) -> None:
        self.connection = engine.connect()
        self._scope = scope
        self._driver = connections.driver_of(self.connection)
        # A plan that was made without the values, as of a statement that was run five times, takes a rare word for a
        # common one.
        self._driver.execute("SET plan_cache_mode = force_custom_plan", prepare=False)
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
                f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {milliseconds}"
                + self._scope.statement,
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

    def __init__(self, engine: Engine, name: str, scope: Scope) -> None:
        """name: of the database, in sentences. Raises InUse, DatabaseError."""
        self._engine = engine
        self._name = name
        self._scope = scope
        self._transaction = ""
        self._silence = self._asked = 0.0
        self._lost = frozenset[int]()
        self._open()

    @property
    def idle_seconds(self) -> float:
        return min(_IDLE_SECONDS, self._silence)

    @property
    def in_transaction(self) -> bool:
        open_ = (TransactionStatus.INTRANS, TransactionStatus.INERROR)
        return not self._driver.closed and self._driver.info.transaction_status in open_

    def begin(self) -> None:
        if not self._is_lost:
            try:
                self._begin()
                return
            except psycopg.OperationalError:
                if not self._is_lost:
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

    def checkpoint(self) -> None:
        """The server does that by itself."""

    def roll_back(self) -> None:
        if self.in_transaction:
            self._driver.execute("ROLLBACK")

    def alone(self, work: Callable[[Any], T]) -> T:
        if self._is_lost:
            self._connect()
        return work(self._driver)

    def claim(self, account_id: int, lasting: bool) -> None:
        if account_id in self._scope.runs:
            return
        lock = self._locks.account(account_id)
        if lasting or not locks.take(self._driver, lock, "_xact"):
            raise self._refusal(account_id)

    def is_alone(self) -> bool:
        return locks.take(self._driver, self._locks.daemons, "_xact")

    def hold(self, account_id: int) -> None:
        self.look()
        if account_id in self._scope.runs:
            return
        if not locks.take(self._driver, self._locks.account(account_id)):
            raise self._refusal(account_id)
        self._scope.runs |= {account_id}

    def release(self, account_id: int) -> None:
        if account_id in self._scope.runs:
            self._scope.runs -= {account_id}
            self._lost -= {account_id}
            if not self._is_lost:
                locks.release(self._driver, self._locks.account(account_id))

    def lost(self) -> frozenset[int]:
        lost, self._lost = self._lost, frozenset()
        return lost

    def look(self) -> None:
        if not self._is_lost and (
            time.monotonic() - self._asked > self._silence or select.select([self._driver], [], [], 0)[0]
        ):
            # It shows that the daemon lives; or the server says something, though nobody asked: most likely good-bye.
            with contextlib.suppress(psycopg.Error):
                self._driver.execute("SELECT 1")
            self._asked = time.monotonic()
        if self._is_lost:
            self._connect()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.connection.close()

    @property
    def _is_lost(self) -> bool:
        # One that was cut off amid many statements may be left in the mode for those, and the driver not know of it.
        return self._driver.closed or self._driver.info.pipeline_status != PipelineStatus.OFF

    def _open(self) -> None:
        self.connection = self._engine.connect()
        self._driver = connections.driver_of(self.connection)
        try:
            self._driver.execute(_AWAY, prepare=False)
            self._driver.execute(_FROZEN, prepare=False)
            # Often enough to be heard by a server that ends who says nothing.
            self._silence = float(_value(self._driver, _SILENT).total_seconds()) / 3
            self._asked = time.monotonic()
            self._locks = locks.of(self._driver)
            self._join()
            self._hold_again()
        except BaseException:
            self._driver.close()
            raise

    def _join(self) -> None:
        """Become one of the daemons that use the database, which keeps its schema as it is."""
        if not locks.wait(self._driver, self._locks.daemons, "_shared"):
            who = locks.holder(self._driver, self._locks.daemons)
            raise InUse(f"The schema of the database {self._name} is being changed by another daemon{who}.")
        revision = _value(self._driver, "SELECT version_num FROM alembic_version")
        if revision != HEAD:
            raise DatabaseError(
                f"The database {self._name} has the revision '{revision}' by now, and not '{HEAD}': "
                "restart the daemon, or install the newer version."
            )

    def _hold_again(self) -> None:
        """Run what was run by the connection before, as far as nobody else does by now."""
        for account_id in sorted(self._scope.runs):
            if not locks.take(self._driver, self._locks.account(account_id)):
                self._scope.runs -= {account_id}
                self._lost |= {account_id}

    def _refusal(self, account_id: int) -> AccountInUse:
        jid = _value(self._driver, "SELECT jid FROM account WHERE id = %s", account_id)
        who = locks.holder(self._driver, self._locks.account(account_id))
        if who:
            return AccountInUse(f"{jid} is run by another daemon{who} on the same database.")
        return AccountInUse(f"{jid} is not run by this daemon; enable it, and set its password.")

    def _connect(self) -> None:
        self.close()
        self._open()
        log.info("The connection to the database was made again.")

    def _begin(self) -> None:
        # Others that write wait. The number of the transaction is kept, to ask what became of it.
        cursor = self._driver.execute(
            f"BEGIN ISOLATION LEVEL READ COMMITTED{self._scope.statement}; "
            f"SELECT pg_advisory_xact_lock({self._locks.turn.arguments}); SELECT pg_current_xact_id()::text",
            prepare=False,
        )
        while cursor.nextset():
            pass
        (self._transaction,) = cursor.fetchone() or ("",)

    def _connect_at_last(self) -> None:
        deadline = time.monotonic() + _RETURN_SECONDS
        while True:
            try:
                self._connect()
                return
            except Exception as error:
                if not connections.is_lost(connections.cause_of(error)) or time.monotonic() > deadline:
                    raise
            time.sleep(_STATUS_AGAIN_SECONDS)

    def _was_committed(self) -> bool:
        self._connect_at_last()
        while (status := _value(self._driver, "SELECT pg_xact_status(%s::xid8)", self._transaction)) == "in progress":
            time.sleep(_STATUS_AGAIN_SECONDS)  # the server has not met the end of the connection yet
        return bool(status == "committed")


def _value(driver: Driver, statement: str, *values: object) -> Any:
    row = driver.execute(statement, values).fetchone()
    return row[0] if row else None

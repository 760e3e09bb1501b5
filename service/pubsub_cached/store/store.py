"""The store: one connection that reads on the loop's thread, one thread that writes, a few for what takes long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from ..clock import clock
from ..errors import DatabaseError, PubSubCachedError
from ..threads import in_thread
from . import migrate
from .aside import SECONDS, Aside
from .database import Database, TooMuch
from .sqlite.file import Reader
from .touched import Touched
from .transaction import Transaction
from .writer import Writer

__all__ = ["Store", "Transaction"]

# So long a read may keep the loop that is most likely short, in seconds. Looked at after so many steps of SQLite.
BRIEFLY = 0.01
_STEPS = 1000

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """An open database.

    recovered_from: the name that a damaged file was set aside under, or "". inline: reads run on
    the loop's thread, for a hop to another costs more than a bounded read does.
    """

    def __init__(self, database: Database, recovered_from: str = "", clock: Callable[[], int] = clock) -> None:
        self.recovered_from = recovered_from
        self.inline = database.inline
        self.shared = database.shared
        """Whether other daemons may use the database at the same time, each with accounts of its own."""
        self.dialect = database.dialect
        """The SQL of the database."""
        self._database = database
        if database.inline:
            reader = database.reader()
            assert isinstance(reader, Reader)
            self._connection, self._driver, self._courtesy = reader.connection, reader.driver, reader.courtesy
        self._aside = Aside(database, self._translated)
        # Bounded reads do not wait for those that take long.
        self._near = Aside(database, self._translated, "read")
        self._writer = Writer(database, clock, self._suspect)
        self.versions = self._writer.versions
        """Of the items of each node."""
        self.on_commit = self._writer.on_commit
        """Called after each commit that touched something, before the futures of its writes are done."""
        self.on_commit.append(lambda touched: database.wrote(touched.count))
        self.on_lost = self._writer.on_lost
        """Called with the ids of accounts that were held, and that another daemon runs by now."""
        self.on_set_back = self._writer.on_set_back
        """Called when the database has turned out to have lost some of what was committed."""

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], int] = clock) -> Store:
        """Open the database, made, upgraded or recovered as it needs.

        Raises BadConfiguration, NewerDatabase, DatabaseError, InUse, StorageFull.
        """
        recovered_from = migrate.prepare(url)
        database = migrate.open_database(url)
        try:
            return cls(database, recovered_from, clock)
        except Exception as error:
            if (translated := database.translate(error)) is None:
                raise
            raise translated from error

    @staticmethod
    async def free(url: str) -> None:
        """Return once no other daemon uses the database."""
        await in_thread(partial(migrate.wait_until_free, url), "store-free")

    def show(self, accounts: Collection[int]) -> None:
        """Say which accounts the daemon has; from now on nothing is read of others by ``whose``."""
        self._database.show(accounts)

    def hold(self, account_id: int) -> asyncio.Future[None]:
        """Run an account, after what is queued: nobody else writes its rows until ``release``.

        Raises AccountInUse, DatabaseError.
        """
        return self._writer.submit_alone(lambda session: session.hold(account_id))

    def release(self, account_id: int) -> asyncio.Future[None]:
        """Let other daemons run an account, after what is queued."""
        return self._writer.submit_alone(lambda session: session.release(account_id))

    async def released(self, account_id: int) -> None:
        """Return once no other daemon runs an account, or that can't be told any more."""
        await in_thread(partial(self._database.wait_for, account_id), "store-free")

    def changed_elsewhere(self) -> None:
        """Have whoever holds the result of a search look again: another daemon has written what is shown now."""
        touched = Touched()
        touched.all(rewritten=True)
        for callback in self.on_commit:
            callback(touched)

    @property
    def at_work(self) -> bool:
        """Whether anything is under way that somebody may wait for."""
        return self._writer.at_work or self._near.at_work or self._aside.at_work

    @property
    def revision(self) -> int:
        """The latest revision that is committed."""
        return self._writer.revision

    def read_now(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``fn(connection, …)`` in one read transaction: all that it sees was there at one moment.

        Raises what ``fn`` raises, and DatabaseError. Only where reads are ``inline``.
        """
        self._courtesy.begin()
        try:
            try:
                self._driver.execute("BEGIN")
                return fn(self._connection, *args, **kwargs)
            finally:
                # An error of the disk ends the transaction by itself.
                if self._driver.in_transaction:
                    self._driver.execute("COMMIT")
        except Exception as error:
            translated = self._translated(error)
            if translated is None:
                raise
            raise translated from error
        finally:
            self._courtesy.end()

    def read_briefly(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As ``read_now``, for what is most likely short. Raises TooMuch once it is not, for ``read_aside``."""

        def briefly(connection: Connection) -> T:
            end = time.perf_counter() + BRIEFLY
            # Only now: SQLite counts the steps of all runs of a statement, and a BEGIN that is cut off has begun.
            self._driver.set_progress_handler(lambda: time.perf_counter() > end, _STEPS)
            try:
                return fn(connection, *args, **kwargs)
            finally:
                self._driver.set_progress_handler(None, 0)

        try:
            return self.read_now(briefly)
        except DatabaseError as error:
            if error.__cause__ is not None and self._database.is_interrupted(error.__cause__):
                raise TooMuch from None
            raise

    async def read_aside(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As ``read_now``, on a thread and a connection of its own: for what is not bounded.

        Cut off after ``aside.SECONDS``. Raises Timeout as well.
        """
        return await self._aside.run(lambda connection: fn(connection, *args, **kwargs), SECONDS)

    async def read_all(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As ``read_aside``, for as long as somebody waits for it."""
        return await self._aside.run(lambda connection: fn(connection, *args, **kwargs), None)

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As ``read_now``, wherever the database is best read."""
        if not self.inline:
            return await self._near.run(lambda connection: fn(connection, *args, **kwargs), SECONDS)
        return self.read_now(fn, *args, **kwargs)

    def write(
        self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Queue ``fn(transaction, …)``; the future is done once it is committed, in the order of the calls.

        It fails with what ``fn`` raises, which undoes ``fn`` alone, and with StorageFull and
        DatabaseError, which undo everything that was to be committed with it.
        """
        return self._writer.submit(lambda transaction: fn(transaction, *args, **kwargs))

    def maintain(self, fn: Callable[[Any], T]) -> asyncio.Future[T]:
        """Queue ``fn(connection)`` for a moment without a transaction; what is written later waits for it.

        Raises what ``fn`` raises, StorageFull and DatabaseError.
        """
        return self._writer.submit_alone(lambda session: session.alone(fn))

    def is_damage(self, error: DatabaseError) -> bool:
        """Whether a read failed because what is stored is damaged."""
        return error.__cause__ is not None and self._database.is_damage(error.__cause__)

    def suspect(self) -> None:
        """Have the file looked at closely at the next start."""
        self._database.suspect()

    async def close(self) -> None:
        """Write what is queued, put everything into the one file, and close it."""
        await self._aside.close()
        await self._near.close()
        await self._writer.close()
        if self.inline:
            self._connection.close()
        self._database.close()

    def _translated(self, error: BaseException) -> PubSubCachedError | None:
        translated = self._database.translate(error)
        if translated is not None:
            self._suspect(error)
        return translated

    def _suspect(self, error: BaseException) -> None:
        """A file that turns out to be damaged is looked at closely at the next start."""
        if self._database.is_damage(error):
            self._database.suspect()

"""The thread that writes: what is queued goes into the database in groups, in the order it came."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from ..errors import DatabaseError
from .database import Database, Session
from .touched import Touched
from .transaction import Transaction, committed_revision
from .versions import Versions

log = logging.getLogger(__name__)

GROUP_ITEMS = 50
GROUP_SECONDS = 0.05

Work = Callable[[Transaction], Any]


class _Queued(NamedTuple):
    """A function that waits for its turn; ``alone``: between two transactions, with the session."""

    work: Callable[[Any], Any]
    future: asyncio.Future[Any]
    alone: bool = False


class _Outcome(NamedTuple):
    """What a future is to be told; ``error`` wins."""

    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class _Undone(Exception):
    """The database rolled the whole transaction back by itself; the cause says why."""


class Writer:
    """Runs functions inside transactions; ``revision`` is the latest that is committed."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], int],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._database = database
        self._clock = clock
        # Commits that a power failure took back were told to clients: their revisions must not come again. They were
        # given before now and there are fewer than one a millisecond, so the clock is past them.
        self._least = clock()
        self._on_error = on_error
        self.on_commit: list[Callable[[Touched], None]] = []
        """Called on the loop after each commit that touched something, before its futures are done."""
        self.on_lost: list[Callable[[frozenset[int]], None]] = []
        """Called on the loop with the ids of accounts that other daemons run since the connection was lost."""
        self.on_set_back: list[Callable[[], None]] = []
        """Called on the loop when the server has turned out to have lost commits."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self.versions = Versions()
        self._queue: SimpleQueue[_Queued | None] = SimpleQueue()
        # Taken from the queue, and to be run after the transaction under way.
        self._held: _Queued | None = None
        self._closed = False
        # How many futures are not done yet; of the loop's thread.
        self._unsettled = 0
        self._session = database.writer()
        self._connection = self._session.connection
        self.revision = self._stored_revision()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> asyncio.Future[Any]:
        """Queue a function; the future is done after its commit."""
        return self._submit(work, alone=False)

    def submit_alone(self, work: Callable[[Session], Any]) -> asyncio.Future[Any]:
        """Queue a function that is to run outside of any transaction."""
        return self._submit(work, alone=True)

    @property
    def at_work(self) -> bool:
        """Whether a write is queued or under way."""
        return self._unsettled > 0

    async def close(self) -> None:
        """Finish what is queued, and end."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _submit(self, work: Callable[[Any], Any], *, alone: bool) -> asyncio.Future[Any]:
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._closed:
            future.set_exception(DatabaseError("The database is closed."))
        else:
            self._unsettled += 1
            self._queue.put(_Queued(work, future, alone))
        return future

    def _run(self) -> None:
        while (first := self._next()) is not None:
            if first.alone:
                self._alone(first)
            elif self._group(first):
                break
            self._tell_lost()
            self._session.checkpoint()
        self._session.close()

    def _stored_revision(self) -> int:
        self._session.begin()
        try:
            return committed_revision(self._session.connection)
        finally:
            self._session.roll_back()

    def _next(self) -> _Queued | None:
        held, self._held = self._held, None
        while held is None:
            try:
                return self._queue.get(timeout=self._session.idle_seconds)
            except Empty:
                self._look()
        return held

    def _look(self) -> None:
        """Nothing was written for a while; whether anything still can be is found out meanwhile."""
        try:
            self._session.look()
            if self._is_new:
                self._call(self._write_nothing)
        except Exception as error:
            log.debug("The connection to the database can't be made again yet: %s", error)
        self._tell_lost()

    def _tell_lost(self) -> None:
        if lost := self._session.lost():
            self._call(partial(self._lost, lost))

    def _call(self, function: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # nobody is left to hear of it
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function)

    def _write_nothing(self) -> None:
        """Have a commit told that is the first of its connection."""
        # Where it fails there is another one.
        self.submit(lambda _: None).add_done_callback(lambda done: done.cancelled() or done.exception())

    def _set_back(self) -> None:
        for callback in self.on_set_back:
            callback()

    def _lost(self, accounts: frozenset[int]) -> None:
        for callback in self.on_lost:
            callback(accounts)

    def _alone(self, queued: _Queued) -> None:
        if queued.future.cancelled():
            self._tell([_Outcome(queued.future)], Touched())
            return
        try:
            # Whatever it writes is written before it returns.
            with self.versions.changing(Touched()):
                outcome = _Outcome(queued.future, queued.work(self._session))
        except Exception as error:
            outcome = _Outcome(queued.future, error=self._translated(error))
        self._tell([outcome], Touched())

    def _group(self, first: _Queued) -> bool:
        """One transaction of all that is queued, up to the limits; whether the end of the queue was met."""
        taken = [first]
        ended = False
        touched = Touched()
        try:
            transaction = self._begun()
            outcomes = [self._one(transaction, first)]
            deadline = time.monotonic() + GROUP_SECONDS
            while len(taken) < GROUP_ITEMS and time.monotonic() < deadline:
                try:
                    queued = self._queue.get_nowait()
                except Empty:
                    break
                if queued is None:
                    ended = True
                    break
                if queued.alone:
                    self._held = queued
                    break
                taken.append(queued)
                outcomes.append(self._one(transaction, queued))
            transaction.finish()
            # Also where nobody hears how the commit ended.
            touched, self._connection = transaction.touched, transaction.connection
            with self.versions.changing(touched):
                self._session.commit()
            self.revision = transaction.last_revision
        except Exception as error:
            self._roll_back()
            cause = error.__cause__ if isinstance(error, _Undone) and error.__cause__ else error
            told = self._translated(cause)
            log.error("Nothing of a transaction of %d writes was committed: %s", len(taken), told)
            outcomes = [_Outcome(queued.future, error=told) for queued in taken]
        self._tell(outcomes, touched)
        return ended

    def _begun(self) -> Transaction:
        self._session.begin()
        is_new = self._is_new
        if is_new:
            # A server that ended, or another one in its place, may have lost commits as a file does.
            self._least = max(self._clock(), self.revision)
        transaction = Transaction(self._session.connection, self._clock, self._least, self._session)
        if is_new:
            transaction.touched.all(rewritten=True)
            if transaction.last_revision < self.revision:
                transaction.reach(self.revision)
                self._call(self._set_back)
        return transaction

    @property
    def _is_new(self) -> bool:
        """Whether the connection was made again, and nobody has been told since that anything may be different."""
        return self._session.connection is not self._connection

    def _one(self, transaction: Transaction, queued: _Queued) -> _Outcome:
        """Run one function so that its failure undoes nothing but itself."""
        if queued.future.cancelled():
            return _Outcome(queued.future)
        self._session.execute("SAVEPOINT work")
        try:
            result = queued.work(transaction)
        except BaseException as error:
            if not self._session.in_transaction:
                raise _Undone from error
            self._session.execute("ROLLBACK TO work")
            self._session.execute("RELEASE work")
            return _Outcome(queued.future, error=self._translated(error))
        self._session.execute("RELEASE work")
        return _Outcome(queued.future, result)

    def _tell(self, outcomes: list[_Outcome], touched: Touched) -> None:
        """Say what was committed and resolve the futures, on the loop's thread and in order."""
        self._call(partial(self._settle, outcomes, touched))

    def _settle(self, outcomes: list[_Outcome], touched: Touched) -> None:
        for callback in self.on_commit if touched else ():
            try:
                callback(touched)
            except Exception:
                log.exception("What was committed could not be told to everybody")
        for future, result, error in outcomes:
            self._unsettled -= 1
            if future.done():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

    def _roll_back(self) -> None:
        try:
            self._session.roll_back()
        except Exception as error:
            log.error("A failed transaction could not be rolled back: %s", error)

    def _translated(self, error: BaseException) -> BaseException:
        self._on_error(error)
        translated = self._database.translate(error)
        if translated is None:
            # A future refuses this one exception.
            return RuntimeError("StopIteration") if isinstance(error, StopIteration) else error
        translated.__cause__ = error
        return translated

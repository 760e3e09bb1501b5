"""What the planner knows of the tables, kept up while they are filled.

Without it a search for a rare word goes through everything. Autovacuum gathers it too, but up to a minute after a fill,
in which people look at what was fetched, and not where it is turned off.
"""

from __future__ import annotations

import logging
import threading

from psycopg import Error
from sqlalchemy import Engine

from . import connection as connections
from .connection import Driver
from .upkeep import TABLES

log = logging.getLogger(__name__)

# Of fewer items that were written nothing is said anew.
LEAST = 500

_KNOWN = """
SELECT c.reltuples::bigint, EXISTS (
    SELECT 1 FROM pg_stats s WHERE s.schemaname = c.relnamespace::regnamespace::text AND s.tablename = c.relname
) FROM pg_class c WHERE c.oid = 'item'::regclass
"""
# New words wait in a list, which every search goes through.
_LISTED = "SELECT gin_clean_pending_list('ix_item_text_lexemes')"


class Statistics:
    """Gathers it on a thread and a connection of its own, which no read and no write waits for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._written = 0
        self._due = LEAST
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._driver: Driver | None = None
        self._closed = False

    def wrote(self, items: int) -> None:
        """So many items were committed. Once they are as many as the planner knows of, it is told of them."""
        with self._lock:
            self._written += items
            if self._written < self._due or self._thread is not None or self._closed:
                return
            self._thread = threading.Thread(target=self._run, name="store-statistics", daemon=True)
            self._thread.start()

    def wait(self, seconds: float | None = None) -> None:
        """Return once nothing is being gathered."""
        if (thread := self._thread) is not None:
            thread.join(seconds)

    def close(self) -> None:
        """Gather no more."""
        with self._lock:
            self._closed = True
            driver = self._driver
        if driver is not None:
            try:
                driver.cancel_safe(timeout=1)
            except Error as error:
                log.debug("The statistics could not be given up: %s", error)
        self.wait(1)

    def _run(self) -> None:
        written = self._written
        try:
            with self._engine.connect() as connection:
                driver = connections.driver_of(connection)
                with self._lock:
                    self._driver = driver
                due = LEAST if self._closed else self._gather(driver, written)
        except Exception as error:
            # The server may be away, or somebody changes a table just now.
            log.debug("The statistics of the tables could not be gathered: %s", error)
            due = 2 * written
        with self._lock:
            self._driver = self._thread = None
            self._due = max(LEAST, due)

    def _gather(self, driver: Driver, written: int) -> int:
        """After how many items it is to be done again."""
        known, is_analysed = driver.execute(_KNOWN).fetchone() or (0, False)
        if is_analysed and written < known:
            return int(known)
        driver.execute(f"ANALYZE (SKIP_LOCKED) {', '.join(TABLES)}")
        driver.execute(_LISTED)
        with self._lock:
            self._written -= written
        known, _ = driver.execute(_KNOWN).fetchone() or (0, False)
        log.debug("The planner was told of %d items.", known)
        return int(known)

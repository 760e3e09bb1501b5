"""Long reads on threads let the loop's reads go first."""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor, wait

from pubsub_cached.store.sqlite.courtesy import Courtesy

LONG = 60.0
ROWS = "SELECT lowered(column1) FROM (VALUES ('A'), ('Ä'), (1), (NULL))"
SMALL = ["a", "ä", None, None]


def rows(courtesy: Courtesy) -> list[object]:
    """What a connection on a thread makes of some rows."""
    driver = sqlite3.connect(":memory:")
    courtesy.prepare(driver)
    try:
        return [value for (value,) in driver.execute(ROWS)]
    finally:
        driver.close()


def test_rows_are_looked_at_where_the_loop_does_not_read() -> None:
    courtesy = Courtesy(LONG)
    courtesy.begin()
    courtesy.end()

    assert rows(courtesy) == SMALL


def test_no_row_is_looked_at_while_the_loop_reads() -> None:
    courtesy = Courtesy(LONG)
    courtesy.begin()
    with ThreadPoolExecutor(1) as threads:
        reading: Future[list[object]] = threads.submit(rows, courtesy)
        # It can't end before the loop has read, however long that takes.
        assert not wait([reading], 0.2).done
        courtesy.end()
        assert reading.result(LONG) == SMALL


def test_a_loop_that_always_reads_does_not_stop_a_search() -> None:
    courtesy = Courtesy(0)
    courtesy.begin()

    assert rows(courtesy) == SMALL

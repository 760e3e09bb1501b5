"""What SQLite calls for each row that a long read looks at: it lets the reads on the loop go first.

SQLite gives up the interpreter for every row that a read fetches. Who is called for every row takes it at once, and
the read waits for it to be taken away again, 20 times for a page of 20 items.
"""

from __future__ import annotations

import sqlite3
import threading

from . import documents

# So long a row waits at most, in seconds: a loop that reads all the time delays a search, and does not stop it.
LONGEST = 0.005


class Courtesy:
    """Between the loop's reads and the functions of other connections, on their threads."""

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self._free = threading.Event()
        self._free.set()
        self.begin = self._free.clear
        """The loop begins to read."""
        self.end = self._free.set
        """It has read."""

    def prepare(self, driver: sqlite3.Connection) -> None:
        """Give a connection that reads on a thread the functions that searches call, as ``documents`` does."""
        driver.create_function("lowered", 1, self.small_of, deterministic=True)

    def small_of(self, value: object) -> str | None:
        """See ``documents.small_of``; once the loop does not read."""
        if not self._free.is_set():
            self._free.wait(self._longest)
        return documents.small_of(value)

"""The words of a text, as FTS5 of SQLite tells them apart: so that a search finds the same in both databases.

They are not imitated: SQLite, which Python brings with it, is asked, on a table in memory that holds nothing.
"""

from __future__ import annotations

import re
import sqlite3
import threading

# As in migrations/versions/0003.
TOKENIZE = "unicode61 remove_diacritics 2"

_ASCII_WORDS = re.compile(r"[a-z0-9]+").findall
_local = threading.local()


def tokens(text: str) -> list[str]:
    """The words in their order, folded: without capitals and accents."""
    if text.isascii():
        return _ASCII_WORDS(text.lower())
    connection = _connection()
    connection.execute("INSERT INTO texts (rowid, text) VALUES (1, ?)", (text,))
    found = b" ".join([word for (word,) in connection.execute('SELECT term FROM words ORDER BY "offset"')])
    connection.execute("INSERT INTO texts (texts) VALUES ('delete-all')")
    # Of a word longer than 32 KiB there is the beginning, which may end within a character.
    return found.decode(errors="ignore").split()


def _connection() -> sqlite3.Connection:
    """One a thread."""
    found: sqlite3.Connection | None = getattr(_local, "connection", None)
    if found is None:
        found = _local.connection = sqlite3.connect(":memory:", isolation_level=None)
        found.text_factory = bytes
        found.execute(f"CREATE VIRTUAL TABLE texts USING fts5(text, content='', tokenize='{TOKENIZE}')")
        found.execute("CREATE VIRTUAL TABLE words USING fts5vocab('texts', 'instance')")
    return found

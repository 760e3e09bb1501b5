"""Connections to the database, and what its errors mean.

The driver begins no transaction by itself here (``isolation_level=None``): a reader and the writer
each say where theirs begins, and a migration is one transaction with its schema changes in it.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ...errors import DatabaseError, PubSubCachedError, StorageFull
from .documents import prepare

BUSY_SECONDS = 10.0
_COMPANIONS = ("", "-wal", "-shm", "-journal")

# The page cache of each connection. The file is not mapped: a disk error would then be the end of the process.
_CACHE_KIB = 4096


def connect(path: Path) -> sqlite3.Connection:
    """A plain connection with the pragmas that last as long as it does. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            f"cache_size=-{_CACHE_KIB}",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
        prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def engine(path: Path, *, begin: str = "") -> Engine:
    """An engine over one file. begin: how its transactions start; without it nothing begins one."""
    url = URL.create("sqlite", database=str(path))
    # An error would quote what was to be written.
    made = create_engine(url, creator=lambda: connect(path), poolclass=NullPool, hide_parameters=True)
    if begin:

        @event.listens_for(made, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

    return made


def driver_of(connection: Connection) -> sqlite3.Connection:
    """The driver's connection below the library's."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def create_private(path: Path) -> None:
    """Make an empty file that only its owner can read, and the directory it lies in. Raises OSError.

    SQLite gives the files beside it the mode of the database.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def tighten(path: Path) -> None:
    """Take away what others may do with the database and the files beside it. Raises OSError."""
    for file in companions(path):
        if file.stat().st_mode & 0o077:
            file.chmod(0o600)


def companions(path: Path) -> list[Path]:
    """The database and the files that belong to it, as far as they exist."""
    files = (path.with_name(path.name + suffix) for suffix in _COMPANIONS)
    return [file for file in files if file.exists()]


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file is malformed, or no database."""
    return _code(_cause(error)) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_unusable(error: BaseException) -> bool:
    """Whether SQLite may not open or write the file, or another process holds it."""
    return _code(_cause(error)) & 0xFF in (
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )


def is_interrupted(error: BaseException) -> bool:
    """See ``Database``."""
    return _code(_cause(error)) == sqlite3.SQLITE_INTERRUPT


def translate(error: BaseException) -> PubSubCachedError | None:
    """The error that a caller meets for one of the database's; None for any other exception."""
    cause = _cause(error)
    if not isinstance(cause, sqlite3.Error):
        return None
    if _code(cause) & 0xFF == sqlite3.SQLITE_FULL:
        return StorageFull(f"The disk that holds the database is full: {cause}.")
    return DatabaseError(f"The database refused: {cause}.")


def _cause(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def _code(error: BaseException | None) -> int:
    return getattr(error, "sqlite_errorcode", 0) or 0

"""Size, damage, compaction and plans of a file of SQLite."""

from __future__ import annotations

import os
import sqlite3
from typing import Any

from sqlalchemy import Connection

from ..dialect import Truth
from .engine import driver_of

# So many lines of what SQLite has to say of a damaged file are enough.
_LINES = 20


def size(conn: Connection, mine: Truth) -> int:
    """See ``Dialect``: pages in use, without those that the file keeps for later."""
    pages, free, bytes_ = (
        int(conn.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * bytes_


def version(conn: Connection) -> object:
    """See ``Dialect``: the one number tells of the commits of others, the other of what was written here."""
    driver = driver_of(conn)
    return *driver.execute("PRAGMA data_version").fetchone(), driver.total_changes


def free(conn: Connection) -> int | None:
    """See ``Dialect``."""
    (_, _, file), *_ = conn.exec_driver_sql("PRAGMA database_list")
    try:
        disk = os.statvfs(file)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def compact(driver: sqlite3.Connection) -> int:
    """See ``Dialect``: the file is written anew. Needs as much room beside the file as there is in it."""
    # What was written lately stands in the log beside the file.
    driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = _file(driver)
    driver.execute("VACUUM")
    driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return before - _file(driver)


def damage(conn: Connection) -> list[str]:
    """See ``Dialect``: the file itself; its indexes are compared with their tables as well."""
    lines = [str(line) for (line,) in conn.exec_driver_sql(f"PRAGMA integrity_check({_LINES})")]
    return [] if lines == ["ok"] else lines


def rebuild_indexes(conn: Connection) -> None:
    """See ``Dialect``."""
    conn.exec_driver_sql("REINDEX")


def plan(conn: Connection, statement: str, parameters: Any) -> list[str]:
    """See ``Dialect``."""
    depths = {0: 0}
    lines = []
    for number, parent, _, what in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
        depths[number] = depths.get(parent, 0) + 1
        lines.append(f"{'    ' * depths[number]}{what}")
    return lines


def _file(driver: sqlite3.Connection) -> int:
    """The bytes of the file."""
    pages, bytes_ = (driver.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages) * int(bytes_)

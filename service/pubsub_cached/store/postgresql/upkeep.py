"""Size, damage, compaction and plans of a database on a server of PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, column, func, select

from ..dialect import Truth, Value
from ..models import Account, Base, Item, Node
from ..whose import SETTINGS
from .texts import TEXT

TABLES = (*(table.name for table in Base.metadata.sorted_tables), "item_text")
_LISTED = ", ".join(f"'{name}'::regclass" for name in TABLES)

# What a row takes beside its columns, in the table and its indexes.
_ROW = 400


def size(conn: Connection, mine: Truth) -> int:
    """See ``Dialect``: what the items take as they are stored. The files shrink when they are compacted only."""
    taken = _bytes(Item.payload) + _bytes(Item.text) + _bytes(Item.data) + _bytes(column("document"))
    # In the table, and in its index.
    taken += _bytes(TEXT.c.words) + 2 * _bytes(TEXT.c.lexemes)
    found = conn.scalar(
        select(func.coalesce(func.sum(taken + _ROW), 0))
        .select_from(Item)
        .outerjoin(TEXT, TEXT.c.id == Item.id)
        .where(Item.node_id.in_(select(Node.id).join(Account).where(mine)))
    )
    return int(found or 0)


def _bytes(value: Value) -> ColumnElement[int]:
    return func.coalesce(func.pg_column_size(value), 0)


def version(conn: Connection) -> object:
    """See ``Dialect``: which transactions are seen, and whose accounts."""
    cursor = conn.connection.cursor()
    cursor.execute(f"SELECT pg_current_snapshot()::text, current_setting('{SETTINGS['has']}', true)")
    return cursor.fetchone()


def free(conn: Connection) -> int | None:
    """See ``Dialect``: the disk is the server's."""
    return None


def compact(driver: Any) -> int:
    """See ``Dialect``: VACUUM, which frees room for what is written later, and the statistics of the planner."""
    before = _files(driver)
    driver.execute(f"VACUUM (ANALYZE) {', '.join(TABLES)}")
    return before - _files(driver)


def damage(conn: Connection) -> list[str]:
    """See ``Dialect``: every row is read; what can't be is an error that says so."""
    for name in TABLES:
        conn.exec_driver_sql(f"SELECT sum(length(t::text)) FROM {name} AS t").scalar()
    return []


def rebuild_indexes(conn: Connection) -> None:
    """See ``Dialect``."""
    for name in TABLES:
        conn.exec_driver_sql(f"REINDEX TABLE {name}")


def plan(conn: Connection, statement: str, parameters: Any) -> list[str]:
    """See ``Dialect``."""
    return [f"    {line}" for (line,) in conn.exec_driver_sql(f"EXPLAIN {statement}", parameters)]


def _files(driver: Any) -> int:
    """The bytes of all tables and their indexes."""
    found = driver.execute(f"SELECT sum(pg_total_relation_size(name)) FROM unnest(ARRAY[{_LISTED}]) AS name").fetchone()
    return int(found[0])

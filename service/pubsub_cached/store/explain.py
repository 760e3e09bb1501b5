"""How a search goes through the database: the statements that it runs, each with the database's own plan."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event

from .search import Search, find


def explain(conn: Connection, search: Search) -> str:
    """Run the search, and say what it ran: a statement a paragraph, its plan below it."""
    ran: list[tuple[str, Any]] = []

    def note(_: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        ran.append((statement, parameters))

    event.listen(conn, "before_cursor_execute", note)
    try:
        find(conn, search)
    finally:
        event.remove(conn, "before_cursor_execute", note)
    return "\n\n".join(f"{' '.join(statement.split())}\n{_plan(conn, statement, given)}" for statement, given in ran)


def _plan(conn: Connection, statement: str, parameters: Any) -> str:
    if conn.dialect.name != "sqlite":
        return "\n".join(f"    {row[0]}" for row in conn.exec_driver_sql(f"EXPLAIN {statement}", parameters))
    depths = {0: 0}
    lines = []
    for number, parent, _, what in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
        depths[number] = depths.get(parent, 0) + 1
        lines.append(f"{'    ' * depths[number]}{what}")
    return "\n".join(lines)

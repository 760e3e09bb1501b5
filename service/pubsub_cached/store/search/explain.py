"""How a search goes through the database: the statements that it runs, each with the database's own plan."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from .. import dialect
from ..statement import Prepared
from .search import Search, find


def explain(conn: Connection, search: Search) -> str:
    """Run the search, and say what it ran: a statement a paragraph, its plan below it."""
    ran: list[tuple[str, Any]] = []
    Prepared.heard[conn] = ran
    try:
        find(conn, search)
    finally:
        del Prepared.heard[conn]
    spoken = dialect.of(conn)
    paragraphs = (
        (" ".join(statement.split()), *spoken.plan(conn, statement, arguments(given))) for statement, given in ran
    )
    return "\n\n".join("\n".join(lines) for lines in paragraphs)


def arguments(given: Any) -> Any:
    """As the library takes them, where the driver was given a list."""
    return tuple(given) if isinstance(given, list) else given

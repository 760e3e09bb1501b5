"""Analysers that outlive their client."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from ..models import Analyser
from ..transaction import Transaction


def all(conn: Connection) -> dict[str, str]:
    """Definitions as JSON, by name."""
    return {row.name: row.definition for row in conn.execute(select(Analyser.name, Analyser.definition))}


def put(tx: Transaction, name: str, definition: str) -> None:
    """Keep a definition, in place of the one of that name."""
    remove(tx, name)
    tx.connection.execute(insert(Analyser).values(name=name, definition=definition))


def remove(tx: Transaction, name: str) -> None:
    """Forget a definition; one that is not there is no error."""
    tx.connection.execute(delete(Analyser).where(Analyser.name == name))

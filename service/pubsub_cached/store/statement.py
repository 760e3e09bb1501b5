"""Statements compiled once and run through the driver: building one costs more than a bounded read does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from sqlalchemy import Connection
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.elements import ClauseElement

Row = tuple[Any, ...]


class Prepared:
    """A Core statement, ready for the driver of each dialect it has met.

    Results come as the driver gives them, so it is for columns of text and integers, and for
    booleans where 0 and 1 will do.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._compiled: dict[str, _Compiled] = {}

    heard: ClassVar[dict[Connection, list[tuple[str, Any]]]] = {}
    """What was read by connections that somebody listens to: statements and their arguments."""

    def all(self, connection: Connection, **values: object) -> list[Row]:
        """Every row."""
        compiled = self._for(connection)
        arguments = compiled.arguments(values)
        if self.heard and connection in self.heard:
            self.heard[connection].append((compiled.sql, arguments))
        cursor = connection.connection.cursor()
        cursor.execute(compiled.sql, arguments)
        return cursor.fetchall()  # type: ignore[return-value]

    def first(self, connection: Connection, **values: object) -> Row | None:
        """The first row, or None."""
        rows = self.all(connection, **values)
        return rows[0] if rows else None

    def value(self, connection: Connection, **values: object) -> Any:
        """The first column of the first row; None without a row."""
        rows = self.all(connection, **values)
        return rows[0][0] if rows else None

    def run(self, connection: Connection, **values: object) -> int:
        """Change something; the number of rows that were."""
        compiled = self._for(connection)
        cursor = connection.connection.cursor()
        cursor.execute(compiled.sql, compiled.arguments(values))
        return cursor.rowcount

    def each(self, connection: Connection, many: Iterable[Mapping[str, object]]) -> None:
        """Run once for every set of values."""
        compiled = self._for(connection)
        arguments = [compiled.arguments(values) for values in many]
        if arguments:
            connection.connection.cursor().executemany(compiled.sql, arguments)

    def sql(self, connection: Connection) -> str:
        """The statement as the driver gets it."""
        return self._for(connection).sql

    def _for(self, connection: Connection) -> _Compiled:
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            assert isinstance(self._statement, ClauseElement)
            compiled = self._compiled[dialect.name] = _Compiled(self._statement.compile(dialect=dialect))
        return compiled


class _Compiled:
    """SQL, and the order of its arguments."""

    def __init__(self, compiled: Any) -> None:
        self.sql: str = compiled.string
        self._names: list[str] | None = compiled.positiontup if compiled.positional else None
        self._literals = {name: value for name, value in compiled.params.items() if value is not None}

    def arguments(self, values: Mapping[str, object]) -> Any:
        if self._literals:
            values = self._literals | values  # type: ignore[operator]
        if self._names is None:
            return values
        return [values[name] for name in self._names]

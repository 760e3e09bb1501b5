"""Statements compiled once and run through the driver: building one costs more than a bounded read does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, ClassVar, NamedTuple, TypeVar

import msgspec
from sqlalchemy import BigInteger, BindParameter, Connection, Double, Text, bindparam
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

T = TypeVar("T")

Row = tuple[Any, ...]

# So many rows are read at once where they may turn out to be large, and once the first were not.
_FIRST_ROWS = 16
_MORE_ROWS = 64
# So many are named in one statement.
_AT_ONCE = 512
_NAMES = [f"named_{number}" for number in range(1, _AT_ONCE + 1)]

_TYPES: dict[type, type[TypeEngine[Any]]] = {str: Text, int: BigInteger, float: Double}


class Slot(msgspec.Struct, frozen=True, gc=False):
    """The place of a value that is told when the statement is run. kind: str, int or float."""

    number: int
    kind: type


class Values:
    """What was taken out of a question, by the numbers of the slots that stand there instead.

    So questions that are alike but for their values are equal, and one statement serves them all.
    """

    def __init__(self, taken: Iterable[object] = ()) -> None:
        self.taken = [*taken]

    def slot(self, value: str | int | float) -> Slot:
        """A slot for a value."""
        self.taken.append(value)
        return Slot(len(self.taken) - 1, type(value))

    def slots(self, values: Sequence[str | int | float]) -> tuple[Slot, ...]:
        """Slots for a list in which neither order nor repetition matters: their number is a power of two."""
        return tuple(self.slot(value) for value in filled(values))


def filled(values: Sequence[T]) -> Sequence[T]:
    """The values, the last again and again until their number is a power of two; few statements are made so."""
    if not values:
        return ()
    missing = (1 << (len(values) - 1).bit_length()) - len(values)
    return [*values, *repeat(values[-1], missing)]


class _Made(NamedTuple):
    """What a parameter is given: a value, or what a function makes of some."""

    numbers: tuple[int, ...]
    function: Callable[..., Any] | None


def bound(slot: Slot) -> BindParameter[Any]:
    """A parameter of a statement that is filled from a slot."""
    return bindparam(None, _Made((slot.number,), None), _TYPES[slot.kind])


def made(function: Callable[..., Any], type_: type[TypeEngine[Any]], first: Slot, *more: Slot) -> BindParameter[Any]:
    """A parameter that is filled with what a function makes of the values of slots."""
    return bindparam(None, _Made((first.number, *(slot.number for slot in more)), function), type_)


def each(slots: Sequence[Slot]) -> BindParameter[Any]:
    """What stands for all of them behind IN; they are of one kind, where the database looks at that."""
    kind = _TYPES[slots[0].kind] if slots else None
    return bindparam(None, [_Made((slot.number,), None) for slot in slots], kind, expanding=True)


def several(name: str, count: int) -> BindParameter[Any]:
    """So many parameters behind IN, ``name_1`` and so on.

    The library writes them in a loop: made one by one, 512 of them take it ten times as long.
    """
    return bindparam(name, [None] * count, expanding=True)


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

    def all(self, connection: Connection, given: Values | None = None, /, **values: object) -> list[Row]:
        """Every row. given: for its slots."""
        rows: list[Row] = self._executed(connection, given, values).fetchall()
        return rows

    def until(
        self, connection: Connection, enough: Callable[[list[Row]], bool], /, **values: object
    ) -> tuple[list[Row], bool]:
        """The first rows, as many as are asked for before it is ``enough``; whether that is all of them."""
        cursor = self._executed(connection, None, values)
        rows: list[Row] = []
        count = _FIRST_ROWS
        try:
            while some := cursor.fetchmany(count):
                rows += some
                if len(some) < count:
                    break
                if enough(some):
                    return rows, False
                count = _MORE_ROWS
            return rows, True
        finally:
            # Else the transaction would go on until somebody forgets the cursor.
            cursor.close()

    def each_row(self, connection: Connection, given: Values) -> Iterator[Row]:
        """As ``all``, one after the other, for results that may be long."""
        yield from self._executed(connection, given, {})

    def first(self, connection: Connection, **values: object) -> Row | None:
        """The first row, or None."""
        rows = self.all(connection, **values)
        return rows[0] if rows else None

    def value(self, connection: Connection, given: Values | None = None, /, **values: object) -> Any:
        """The first column of the first row; None without a row."""
        rows = self.all(connection, given, **values)
        return rows[0][0] if rows else None

    def run(self, connection: Connection, **values: object) -> None:
        """Change something."""
        self._executed(connection, None, values)

    def each(self, connection: Connection, many: Iterable[Mapping[str, object]]) -> None:
        """Run once for every set of values."""
        compiled = self._for(connection)
        arguments = [compiled.arguments(values) for values in many]
        if arguments:
            connection.connection.cursor().executemany(compiled.sql, arguments)

    def sql(self, connection: Connection) -> str:
        """The statement as the driver gets it."""
        return self._for(connection).sql

    def _executed(self, connection: Connection, given: Values | None, values: Mapping[str, object]) -> Any:
        compiled = self._for(connection)
        arguments = compiled.arguments(values, given)
        if self.heard and connection in self.heard:
            self.heard[connection].append((compiled.sql, arguments))
        cursor = connection.connection.cursor()
        cursor.execute(compiled.sql, arguments)
        return cursor

    def _for(self, connection: Connection) -> _Compiled:
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            assert isinstance(self._statement, ClauseElement)
            compiled = self._compiled[dialect.name] = _Compiled(self._statement.compile(dialect=dialect))
        return compiled


class Several:
    """A statement about as many as are named, of which few forms are kept: each list is filled up to a power of two.

    make: from what stands for all that is named behind IN.
    """

    def __init__(self, make: Callable[[BindParameter[Any]], Executable]) -> None:
        self._make = make
        self._prepared: dict[int, Prepared] = {}

    def all(self, connection: Connection, named: Sequence[object], **values: object) -> list[Row]:
        """Every row about any of them."""
        return [row for one, some in self._pieces(named, values) for row in one.all(connection, **some)]

    def run(self, connection: Connection, named: Sequence[object], **values: object) -> None:
        """Change something about all of them."""
        for one, some in self._pieces(named, values):
            one.run(connection, **some)

    def _pieces(
        self, named: Sequence[object], values: Mapping[str, object]
    ) -> Iterator[tuple[Prepared, dict[str, object]]]:
        for start in range(0, len(named), _AT_ONCE):
            some = filled(named[start : start + _AT_ONCE])
            yield self.form(len(some)), {**values, **dict(zip(_NAMES, some, strict=False))}

    def form(self, count: int) -> Prepared:
        """The statement about so many, whose parameters are ``named_1`` and so on."""
        prepared = self._prepared.get(count)
        if prepared is None:
            prepared = self._prepared[count] = Prepared(self._make(several("named", count)))
        return prepared


class _Compiled:
    """SQL, and the order of its arguments."""

    def __init__(self, compiled: Any) -> None:
        # With as many parameters as there are in each list; values come later.
        expanded = compiled.construct_expanded_state({**compiled.params})
        self.sql: str = expanded.statement
        self._names: list[str] | None = expanded.positiontup
        params = expanded.parameters.items()
        self._made = [(name, *value) for name, value in params if isinstance(value, _Made)]
        self._literals = {name: value for name, value in params if value is not None and not isinstance(value, _Made)}

    def arguments(self, values: Mapping[str, object], given: Values | None = None) -> Any:
        if self._literals:
            values = self._literals | values  # type: ignore[operator]
        if given is not None:
            taken = given.taken
            values = {**values}
            for name, numbers, function in self._made:
                some = [taken[number] for number in numbers]
                values[name] = some[0] if function is None else function(*some)
        if self._names is None:
            return values
        return [values[name] for name in self._names]

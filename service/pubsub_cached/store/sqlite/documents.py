"""Parsed data, strings and indexes in SQLite: its JSON functions, and hints to its planner."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Index,
    Text,
    case,
    exists,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from ...data_path import Step
from ..dialect import COMPARED, Key, Test, Truth, Value, among, small
from ..models import Item
from ..statement import Slot, bound, each, made

_CONSTANTS = {None: "null", True: "true", False: "false"}


def prepare(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that searches call."""
    connection.create_function("lowered", 1, small_of, deterministic=True)


def small_of(value: object) -> str | None:
    """See ``dialect.small``; None for what is no string."""
    return small(value) if isinstance(value, str) else None


# Parsed data


class Spot(NamedTuple):
    """See ``dialect.Spot``. kind: null, true, false, integer, real, text, array or object; NULL when nothing is."""

    value: Value
    kind: Value

    @property
    def text(self) -> Value:
        return self.value

    @property
    def document(self) -> Value:
        # NULL for what is no list or object: a string is none, whatever it says.
        return case((self.kind.in_(("array", "object")), self.value))

    @property
    def is_there(self) -> Truth:
        return self.kind.is_not(None)

    @property
    def is_text(self) -> Truth:
        return self.kind == "text"

    @property
    def is_number(self) -> Truth:
        return self.kind.in_(("integer", "real"))

    def is_constant(self, constants: Sequence[bool | None]) -> Truth:
        return self.kind.in_([_CONSTANTS[constant] for constant in constants])

    def number_is(self, operator: str, number: Slot) -> Truth:
        return COMPARED[operator](self.value, bound(number))

    def number_among(self, numbers: Sequence[Slot]) -> Truth:
        return among(self.value, numbers)


def at(document: Value | None, steps: Sequence[Step]) -> Spot:
    """See ``Dialect``."""
    data = Item.data if document is None else document
    place = literal(_written(steps), Text)
    return Spot(func.json_extract(data, place), func.json_type(data, place, type_=Text))


def any_element(document: Value | None, steps: Sequence[Step], test: Test) -> Truth:
    """See ``Dialect``."""
    data = Item.data if document is None else document
    each = func.json_each(data, literal(_written(steps), Text)).table_valued("key", "value", "type").alias()
    # The members of an object have names for keys, a lone value has none.
    inner = test(Spot(each.c.value, each.c.type))
    return exists(select(literal(1)).select_from(each).where(func.typeof(each.c.key) == "integer", inner))


def narrowed(steps: Sequence[Step], operator: str, given: Any) -> Truth:
    """See ``Dialect``."""
    value = _fixed(steps)
    if operator == "in":
        return value.in_(each(given))
    if operator == "between":
        least, most = map(bound, given)
        return value.between(least, most)
    return COMPARED[operator](value, bound(given))


def sort_keys(steps: Sequence[Step], descending: bool, there: bool) -> list[Key]:
    """See ``Dialect``: one value, which SQLite itself sorts so."""
    value = at(None, steps).value
    if there:
        return [(value, descending)]
    return [(case((value.is_(None), 1), else_=0), False), (value, descending)]


def path_indexes(conn: Connection, prefix: str) -> set[str]:
    """See ``Dialect``."""
    # Asked for each search by a path: what the library adds costs more than the question.
    cursor = conn.connection.cursor()
    cursor.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'item'")
    return {name for (name,) in cursor.fetchall() if name.startswith(prefix)}


def create_path_index(conn: Connection, name: str, steps: Sequence[Step]) -> None:
    """See ``Dialect``: of the items that have something there, for most have not."""
    value = coerced(_fixed(steps))
    index = Index(name, value, sqlite_where=value.is_not(None))
    # An index of the table would be one of the models, and compared with the migrations.
    Item.__table__.indexes.discard(index)  # type: ignore[attr-defined]
    index.create(conn)


def drop_path_index(conn: Connection, name: str) -> None:
    """See ``Dialect``."""
    conn.exec_driver_sql(f"DROP INDEX {name}")


def _fixed(steps: Sequence[Step]) -> Value:
    """What is at a place that is written into the statement, word for word: only so an index is used.

    For paths of analysers, not of users.
    """
    written = _written(steps).replace("'", "''")
    return func.json_extract(Item.data, literal_column(f"'{written}'", Text))


def _written(steps: Sequence[Step]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in steps)


# Strings


def like(value: Value, pattern: Slot) -> Truth:
    """See ``Dialect``."""
    return value.op("GLOB", return_type=Boolean())(made(_glob, Text, pattern))


def ilike(value: Value, pattern: Slot) -> Truth:
    """See ``Dialect``."""
    return lowered(value).op("GLOB", return_type=Boolean())(made(_lowered_glob, Text, pattern))


def lowered(value: Value) -> Value:
    """See ``Dialect``; NULL for what is no string."""
    return func.lowered(value, type_=Text)


def contains(value: Value, text: Slot) -> Truth:
    """See ``Dialect``."""
    return func.instr(value, bound(text)) > 0


def _glob(pattern: str) -> str:
    glob: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character in "%_":
            glob.append("*" if character == "%" else "?")
            continue
        if character == "\\":
            character = next(characters)
        glob.append(f"[{character}]" if character in "*?[" else character)
    return "".join(glob)


def _lowered_glob(pattern: str) -> str:
    return _glob(small(pattern))


# Hints


def unindexed(column: Value) -> Value:
    """See ``Dialect``: without statistics the planner would take any index that fits."""
    plain = coerced(column)
    return UnaryExpression(plain, operator=custom_op("+"), type_=plain.type)


def coerced(column: Value) -> ColumnElement[Any]:
    """A model's attribute as the column that it stands for."""
    if isinstance(column, InstrumentedAttribute):
        return column.__clause_element__()
    return cast(ColumnElement[Any], column)

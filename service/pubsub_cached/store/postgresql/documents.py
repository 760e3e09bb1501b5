"""Parsed data, strings and indexes in PostgreSQL.

``item.data`` is the text that a parser gave; ``item.document`` is generated from it as JSONB, for queries alone.
Strings are compared by their code points (``COLLATE "C"``) and lowered by Unicode's rules (ICU), whatever the
locale of the server is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    Connection,
    Double,
    Integer,
    Numeric,
    Text,
    and_,
    case,
    cast,
    collate,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from ...data_path import Step
from ..dialect import COMPARED, SIGMAS, Key, Test, Truth, Value, small
from ..statement import Slot, bound, made

DOCUMENT: Value = literal_column("item.document", JSONB)
# A row of an index has room for no more than 2,700 bytes; so many characters of a string stand in it.
INDEXED_CHARACTERS = 200
_NUMBERS = "_n"


class Spot(NamedTuple):
    """See ``dialect.Spot``. value: JSONB; NULL when nothing is there."""

    value: Value

    @property
    def kind(self) -> Value:
        return func.jsonb_typeof(self.value, type_=Text)

    @property
    def text(self) -> Value:
        return collate(func.pubsub_cached_text(self.value, type_=Text), "C")

    @property
    def document(self) -> Value:
        return self.value

    @property
    def is_there(self) -> Truth:
        return self.value.is_not(None)

    @property
    def is_text(self) -> Truth:
        return self.kind == "string"

    @property
    def is_number(self) -> Truth:
        return self.kind == "number"

    @property
    def is_list(self) -> Truth:
        return self.kind == "array"

    def is_constant(self, constants: Sequence[bool | None]) -> Truth:
        words = [{None: "null", True: "true", False: "false"}[constant] for constant in constants]
        return and_(self.kind.in_(("null", "boolean")), cast(self.value, Text).in_(words))

    def number_is(self, operator: str, number: Slot) -> Truth:
        return COMPARED[operator]((_number if number.kind is int else _float)(self.value), bound(number))

    def number_among(self, numbers: Sequence[Slot]) -> Truth:
        return or_(*(self.number_is("=", number) for number in numbers))


def at(document: Value | None, steps: Sequence[Step]) -> Spot:
    """See ``Dialect``."""
    value = DOCUMENT if document is None else document
    for step in steps:
        if isinstance(step, int):
            # A lone value would give itself as its element 0.
            value = case((func.jsonb_typeof(value) == "array", value))
        key = literal(step, Integer) if isinstance(step, int) else literal(step, Text)
        value = value.op("->", return_type=JSONB())(key)
    return Spot(value)


def any_element(document: Value | None, steps: Sequence[Step], test: Test) -> Truth:
    """See ``Dialect``."""
    found = at(document, steps)
    each = func.jsonb_array_elements(case((found.is_list, found.value))).table_valued("value").alias()
    element = Spot(cast(each.c.value, JSONB))
    return exists(select(literal(1)).select_from(each).where(test(element)))


def narrowed(steps: Sequence[Step], operator: str, given: Any) -> Truth:
    """See ``Dialect``: the beginnings of strings, and numbers as near as they can be told."""
    fixed: Value = literal_column(_written(steps), JSONB)
    match operator:
        case "in":
            return or_(false(), *(_narrowed(fixed, "=", one) for one in given))
        case "between":
            return and_(_narrowed(fixed, ">=", given[0]), _narrowed(fixed, "<=", given[1]))
    return _narrowed(fixed, operator, given)


def _narrowed(fixed: Value, operator: str, given: Slot) -> Truth:
    loose = operator if operator == "=" else operator[0] + "="
    if given.kind is str:
        # Written out, as in the index.
        left = func.left(func.pubsub_cached_text(fixed), literal_column(str(INDEXED_CHARACTERS)), type_=Text)
        beginning: Value = collate(left, "C")
        return COMPARED[loose](beginning, made(_beginning, Text, given))
    number = _number(fixed)
    if given.kind is int:
        return COMPARED[operator](number, bound(given))
    least, most = (made(function, Numeric, given) for function in (_below, _above))
    ends = {"=": (number >= least, number <= most), ">": (number >= least,), "<": (number <= most,)}
    return and_(*ends[operator[0]])


def sort_keys(steps: Sequence[Step], descending: bool, there: bool) -> list[Key]:
    """See ``Dialect``: whether there is something, whether it is no number, then the number or the string."""
    spot = at(None, steps)
    other = spot.kind.in_(("string", "array", "object"))
    boolean = case((cast(spot.value, Text) == "true", 1.0), else_=0.0)
    number = case((spot.is_number, _float(spot.value)), (spot.kind == "boolean", boolean), else_=0.0)
    text = case((other, spot.value.op("#>>", return_type=Text())(literal_column("'{}'"))), else_="")
    missing = case((other, 0), (spot.kind.in_(("number", "boolean")), 0), else_=1)
    keys: list[Key] = [
        (case((other, 1), else_=0), descending),
        (cast(number, Double), descending),
        (collate(text, "C"), descending),
    ]
    return keys if there else [(missing, False), *keys]


def path_indexes(conn: Connection, prefix: str) -> set[str]:
    """See ``Dialect``."""
    cursor = conn.connection.cursor()
    cursor.execute(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'item'::regclass"
    )
    return {name for (name,) in cursor.fetchall() if name.startswith(prefix) and not name.endswith(_NUMBERS)}


def create_path_index(conn: Connection, name: str, steps: Sequence[Step]) -> None:
    """See ``Dialect``: one of strings and one of numbers, of the items that have such there."""
    place = _written(steps)
    text = f"""(left(pubsub_cached_text({place}), {INDEXED_CHARACTERS}) COLLATE "C")"""
    number = f"(pubsub_cached_number({place}))"
    for called, value in ((name, text), (name + _NUMBERS, number)):
        _as_written(conn, f"CREATE INDEX {called} ON item ({value}) WHERE {value} IS NOT NULL")


def drop_path_index(conn: Connection, name: str) -> None:
    """See ``Dialect``."""
    _as_written(conn, f"DROP INDEX {name}, {name}{_NUMBERS}")


def _as_written(conn: Connection, statement: str) -> None:
    """For a key of a path may hold what looks like a parameter."""
    conn.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _written(steps: Sequence[Step]) -> str:
    """A place that is written into the statement: only so an index is used. For paths of analysers, not of users."""
    written = "item.document"
    for step in steps:
        if isinstance(step, int):
            written = f"(CASE WHEN jsonb_typeof({written}) = 'array' THEN {written} END -> {step})"
        else:
            key = str(step).replace("'", "''")
            written = f"({written} -> '{key}')"
    return written


def _number(value: Value) -> Value:
    """The number as it is written; NULL for anything else."""
    return func.pubsub_cached_number(value, type_=Numeric)


def _float(value: Value) -> Value:
    """The number as other programs read it; NULL for anything else."""
    return func.pubsub_cached_float(value, type_=Double)


def _beginning(text: str) -> str:
    return text[:INDEXED_CHARACTERS]


def _below(number: float) -> Decimal:
    return Decimal(math.nextafter(number, -math.inf))


def _above(number: float) -> Decimal:
    return Decimal(math.nextafter(number, math.inf))


# Strings


def like(value: Value, pattern: Slot) -> Truth:
    """See ``Dialect``: its patterns are PostgreSQL's."""
    return value.op("LIKE", return_type=Boolean())(bound(pattern))


def ilike(value: Value, pattern: Slot) -> Truth:
    """See ``Dialect``."""
    return lowered(value).op("LIKE", return_type=Boolean())(made(small, Text, pattern))


def lowered(value: Value) -> Value:
    """See ``Dialect``."""
    lower = func.lower(collate(value, "und-x-icu"), type_=Text)
    return collate(func.replace(collate(lower, "C"), *SIGMAS, type_=Text), "C")


def contains(value: Value, text: Slot) -> Truth:
    """See ``Dialect``."""
    return func.strpos(value, bound(text)) > 0


# Hints


def unindexed(column: Value) -> Value:
    """See ``Dialect``: the planner has statistics."""
    return column

"""What only SQLite is asked in its own way: JSON, full text, patterns, and hints to its planner.

Everything that a search says in SQL beyond the common language is here, behind the methods of one class, so that
another database needs one more such class and nothing else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, cast

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    SQLColumnExpression,
    Text,
    and_,
    case,
    column,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from .models import Item
from .path import Path, Star, Step
from .words import Term, Words

Value = SQLColumnExpression[Any]
Truth = ColumnElement[bool]
Holds = Callable[[Value, Value], Truth]
"""What has to hold of a value and its kind: null, true, false, integer, real, text, array or object."""

TEXT = table("item_text", column("rowid"))
# So many terms go into one expression of FTS5, whose parser has a limit.
_TERMS_AT_ONCE = 50


def prepare(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that searches call."""
    connection.create_function("lowered", 1, _lowered, deterministic=True)


def _lowered(value: object) -> str | None:
    return value.lower() if isinstance(value, str) else None


# JSON


def kind_of(document: Value, steps: Sequence[Step], *, fixed: bool = False) -> Value:
    """The kind of what is at a place; NULL when nothing is."""
    return func.json_type(document, _place(steps, fixed), type_=Text)


def value_of(document: Value, steps: Sequence[Step], *, fixed: bool = False) -> Value:
    """What is at a place, lists and objects as JSON; NULL when nothing is.

    fixed: the place is written into the statement, for only so an index is used; for paths of analysers, not of users.
    """
    return func.json_extract(document, _place(steps, fixed))


def holds(document: Value, path: Path, test: Holds, *, fixed: bool = False) -> Truth:
    """Whether ``test`` holds at the path, or, where that has ``[*]``, at any of the places it leads to."""
    steps = path.steps
    if path.single:
        return test(value_of(document, steps, fixed=fixed), kind_of(document, steps))
    star = steps.index(Star.ANY)
    each = func.json_each(document, _place(steps[:star], False)).table_valued("key", "value", "type").alias()
    rest = Path(steps[star + 1 :])
    inner = test(each.c.value, each.c.type) if not rest.steps else holds(_nested(each.c.value, each.c.type), rest, test)
    # The members of an object have names for keys, a lone value has none.
    return exists(select(literal(1)).select_from(each).where(func.typeof(each.c.key) == "integer", inner))


def any_element(value: Value, kind: Value, test: Holds) -> Truth:
    """Whether ``test`` holds for an element of a list, or for a value that is neither list nor object."""
    each = func.json_each(case((kind == "array", value))).table_valued("key", "value", "type").alias()
    inside = exists(select(literal(1)).select_from(each).where(test(each.c.value, each.c.type)))
    return or_(and_(kind == "array", inside), and_(kind.not_in(("array", "object")), test(value, kind)))


def _nested(value: Value, kind: Value) -> Value:
    """A value as a document, NULL for one that is no list or object: a string is none, whatever it says."""
    return case((kind.in_(("array", "object")), value))


def _place(steps: Sequence[Step], fixed: bool) -> Value:
    written = "$" + "".join(f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in steps)
    if not fixed:
        return literal(written, Text)
    return literal_column("'" + written.replace("'", "''") + "'", Text)


# Patterns


def like(value: Value, pattern: str) -> Truth:
    """``%`` any characters, ``_`` one, ``\\`` takes the next as it is; capitals differ."""
    return value.op("GLOB", return_type=Boolean())(literal(_glob(pattern), Text))


def ilike(value: Value, pattern: str) -> Truth:
    """As ``like``, but capitals do not differ, in any script."""
    return like(lowered(value), pattern.lower())


def lowered(value: Value) -> Value:
    """A string without capitals; NULL for anything else."""
    return func.lowered(value, type_=Text)


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


# Full text


def text_source() -> FromClause:
    """The index of texts, to go through; its rows are ``item`` by ``text_row``."""
    return TEXT


def text_row() -> Value:
    """The item of a row of ``text_source``."""
    return TEXT.c.rowid


def matching(words: Words) -> list[Truth]:
    """What has to hold of ``text_source``: it has the wanted words, one at least, and not the unwanted."""
    first, *more = _grouped(words.wanted)
    expression = _expression(first, "AND")
    if words.unwanted and len(words.unwanted) <= _TERMS_AT_ONCE:
        return [
            _match(f"({expression}) NOT ({_expression(words.unwanted, 'OR')})"),
            *(TEXT.c.rowid.in_(_rows(group, "AND")) for group in more),
        ]
    return [_match(expression), *_rest(TEXT.c.rowid, more, words.unwanted)]


def holding(words: Words) -> list[Truth]:
    """The same of ``item``, for going through something else; there may be no wanted words."""
    return _rest(unindexed(Item.id), _grouped(words.wanted), words.unwanted)


def holding_each(words: Words) -> list[Truth]:
    """The same, looked up for one item after the other, for going through few: the others that fit cost nothing."""
    wanted = [exists(_row_of_item(group, "AND")) for group in _grouped(words.wanted)]
    return [*wanted, *(~exists(_row_of_item(group, "OR")) for group in _grouped(words.unwanted))]


def _row_of_item(terms: Sequence[Term], joined: str) -> Select[Any]:
    return _rows(terms, joined).where(TEXT.c.rowid == Item.id).correlate(Item)


def _rest(row: Value, wanted: list[Sequence[Term]], unwanted: Sequence[Term]) -> list[Truth]:
    conditions: list[Truth] = [row.in_(_rows(group, "AND")) for group in wanted]
    return [*conditions, *(row.not_in(_rows(group, "OR")) for group in _grouped(unwanted))]


def compare_text_index(conn: Connection) -> None:
    """Raises what SQLite raises when the index is not what the texts would give. Takes a writer, writes nothing."""
    conn.exec_driver_sql("INSERT INTO item_text (item_text, rank) VALUES ('integrity-check', 1)")


def rebuild_text_index(conn: Connection) -> None:
    """Make the index anew from the texts."""
    conn.exec_driver_sql("INSERT INTO item_text (item_text) VALUES ('rebuild')")


def _grouped(terms: Sequence[Term]) -> list[Sequence[Term]]:
    return [terms[start : start + _TERMS_AT_ONCE] for start in range(0, len(terms), _TERMS_AT_ONCE)]


def _rows(terms: Sequence[Term], joined: str) -> Select[Any]:
    return select(TEXT.c.rowid).where(_match(_expression(terms, joined)))


def _match(expression: str) -> Truth:
    return literal_column(TEXT.name).op("MATCH", return_type=Boolean())(literal(expression, Text))


def _expression(terms: Sequence[Term], joined: str) -> str:
    """An expression of FTS5, everything that was typed inside of its quotes."""
    return f" {joined} ".join(f'"{term.text}"' + " *" * term.prefix for term in terms)


# Hints


def unindexed(column: Value) -> Value:
    """The column, but no index on it is used: without statistics the planner would take any that fits."""
    return UnaryExpression(coerced(column), operator=custom_op("+"))


def coerced(column: Value) -> ColumnElement[Any]:
    """A model's attribute as the column that it stands for."""
    if isinstance(column, InstrumentedAttribute):
        return column.__clause_element__()
    return cast(ColumnElement[Any], column)


def index_names(conn: Connection, prefix: str) -> set[str]:
    """The names of the indexes on items that begin so."""
    found = conn.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'item'")
    return {name for (name,) in found if name.startswith(prefix)}

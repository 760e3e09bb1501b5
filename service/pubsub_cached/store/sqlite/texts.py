"""Full text in SQLite: FTS5 without a copy of the texts, kept up by triggers on the table of items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    FromClause,
    Select,
    Text,
    column,
    exists,
    literal,
    literal_column,
    select,
    table,
)
from sqlalchemy.exc import DBAPIError

from ..dialect import Truth, Value
from ..models import Item
from ..words import Term, Words
from .documents import unindexed

TEXT = table("item_text", column("rowid"))
# So many terms go into one expression of FTS5, whose parser has a limit.
_TERMS_AT_ONCE = 50


def text_source() -> FromClause:
    """See ``Dialect``."""
    return TEXT


def text_row() -> Value:
    """See ``Dialect``."""
    return TEXT.c.rowid


def matching(words: Words) -> list[Truth]:
    """See ``Dialect``."""
    first, *more = _grouped(words.wanted)
    expression = _expression(first, "AND")
    if words.unwanted and len(words.unwanted) <= _TERMS_AT_ONCE:
        return [
            _match(f"({expression}) NOT ({_expression(words.unwanted, 'OR')})"),
            *(TEXT.c.rowid.in_(_rows(group, "AND")) for group in more),
        ]
    return [_match(expression), *_rest(TEXT.c.rowid, more, words.unwanted)]


def holding(words: Words) -> list[Truth]:
    """See ``Dialect``."""
    return _rest(unindexed(Item.id), _grouped(words.wanted), words.unwanted)


def holding_each(words: Words) -> list[Truth]:
    """See ``Dialect``; the others that fit cost nothing."""
    wanted = [exists(_row_of_item(group, "AND")) for group in _grouped(words.wanted)]
    return [*wanted, *(~exists(_row_of_item(group, "OR")) for group in _grouped(words.unwanted))]


def store_texts(conn: Connection, node_id: int, texts: Iterable[tuple[str, str]]) -> None:
    """See ``Dialect``: triggers do it."""


def compare_text_index(conn: Connection) -> bool:
    """See ``Dialect``."""
    try:
        conn.exec_driver_sql("INSERT INTO item_text (item_text, rank) VALUES ('integrity-check', 1)")
    except DBAPIError:
        return False
    return True


def rebuild_text_index(conn: Connection) -> None:
    """See ``Dialect``."""
    conn.exec_driver_sql("INSERT INTO item_text (item_text) VALUES ('rebuild')")


def _row_of_item(terms: Sequence[Term], joined: str) -> Select[Any]:
    return _rows(terms, joined).where(TEXT.c.rowid == Item.id).correlate(Item)


def _rest(row: Value, wanted: list[Sequence[Term]], unwanted: Sequence[Term]) -> list[Truth]:
    conditions: list[Truth] = [row.in_(_rows(group, "AND")) for group in wanted]
    return [*conditions, *(row.not_in(_rows(group, "OR")) for group in _grouped(unwanted))]


def _grouped(terms: Sequence[Term]) -> list[Sequence[Term]]:
    return [terms[start : start + _TERMS_AT_ONCE] for start in range(0, len(terms), _TERMS_AT_ONCE)]


def _rows(terms: Sequence[Term], joined: str) -> Select[Any]:
    return select(TEXT.c.rowid).where(_match(_expression(terms, joined)))


def _match(expression: str) -> Truth:
    return literal_column(TEXT.name).op("MATCH", return_type=Boolean())(literal(expression, Text))


def _expression(terms: Sequence[Term], joined: str) -> str:
    """An expression of FTS5, everything that was typed inside of its quotes."""
    return f" {joined} ".join(f'"{term.text}"' + " *" * term.prefix for term in terms)

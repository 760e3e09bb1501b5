"""Full text in SQLite: FTS5 without a copy of the texts, kept up by triggers on the table of items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Boolean,
    Connection,
    FromClause,
    Select,
    Text,
    column,
    exists,
    literal_column,
    select,
    table,
)
from sqlalchemy.exc import DBAPIError

from ..dialect import Match, Matches, Truth, Value
from ..models import Item
from ..statement import Values, bound, made
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


def matches(words: Words, values: Values) -> Matches:
    """See ``Dialect``."""
    return Matches(
        tuple(Match(values.slot(_expression(group, "AND"))) for group in _grouped(words.wanted)),
        tuple(Match(values.slot(_expression(group, "OR"))) for group in _grouped(words.unwanted)),
    )


def matching(words: Matches) -> list[Truth]:
    """See ``Dialect``."""
    first, *more = words.wanted
    if len(words.unwanted) == 1:
        both = made(_without, Text, first.expression, words.unwanted[0].expression)
        return [_match(both), *_rest(TEXT.c.rowid, more, ())]
    return [_match(bound(first.expression)), *_rest(TEXT.c.rowid, more, words.unwanted)]


def holding(words: Matches) -> list[Truth]:
    """See ``Dialect``."""
    return _rest(unindexed(Item.id), words.wanted, words.unwanted)


def holding_each(words: Matches) -> list[Truth]:
    """See ``Dialect``; the others that fit cost nothing."""
    wanted = [exists(_row_of_item(match)) for match in words.wanted]
    return [*wanted, *(~exists(_row_of_item(match)) for match in words.unwanted)]


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


def _row_of_item(match: Match) -> Select[Any]:
    return _rows(match).where(TEXT.c.rowid == Item.id).correlate(Item)


def _rest(row: Value, wanted: Sequence[Match], unwanted: Sequence[Match]) -> list[Truth]:
    conditions: list[Truth] = [row.in_(_rows(match)) for match in wanted]
    return [*conditions, *(row.not_in(_rows(match)) for match in unwanted)]


def _grouped(terms: Sequence[Term]) -> list[Sequence[Term]]:
    return [terms[start : start + _TERMS_AT_ONCE] for start in range(0, len(terms), _TERMS_AT_ONCE)]


def _rows(match: Match) -> Select[Any]:
    return select(TEXT.c.rowid).where(_match(bound(match.expression)))


def _match(expression: BindParameter[Any]) -> Truth:
    return literal_column(TEXT.name).op("MATCH", return_type=Boolean())(expression)


def _without(wanted: str, unwanted: str) -> str:
    return f"({wanted}) NOT ({unwanted})"


def _expression(terms: Sequence[Term], joined: str) -> str:
    """An expression of FTS5, everything that was typed inside of its quotes."""
    return f" {joined} ".join(f'"{term.text}"' + " *" * term.prefix for term in terms)

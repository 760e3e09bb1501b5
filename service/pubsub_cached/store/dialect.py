"""What each database says in SQL of its own; everything else in the store is common to them.

A room a database, ``sqlite`` and ``postgresql``, each with these names. docs/databases.md compares what they do.
"""

from __future__ import annotations

import operator as operators
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec
from sqlalchemy import ColumnElement, Connection, FromClause, SQLColumnExpression

from ..data_path import Step
from .statement import Slot, Values, bound, each
from .words import Words

Value = SQLColumnExpression[Any]
Truth = ColumnElement[bool]
Key = tuple[Value, bool]
"""What to sort by, and whether it descends."""

COMPARED: dict[str, Callable[[Any, Any], Truth]] = {
    "=": operators.eq,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}

# What is made of a capital at the end of a word, and anywhere else.
SIGMAS = ("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}")


class Match(msgspec.Struct, frozen=True):
    """What the index of texts is asked for, in its own language, and strings that stand in the words besides."""

    expression: Slot
    strings: tuple[Slot, ...] = ()


class Matches(msgspec.Struct, frozen=True):
    """Words as an index of texts takes them: each of the wanted is to be there, and none of the unwanted."""

    wanted: tuple[Match, ...] = ()
    unwanted: tuple[Match, ...] = ()


class Spot(Protocol):
    """What is at a place in a document, if anything is.

    text: the string, where it is one. document: what it is made of, to look into.
    """

    @property
    def text(self) -> Value: ...
    @property
    def document(self) -> Value: ...
    @property
    def is_there(self) -> Truth: ...
    @property
    def is_text(self) -> Truth: ...
    @property
    def is_number(self) -> Truth: ...

    def is_constant(self, constants: Sequence[bool | None]) -> Truth:
        """One of true, false and null."""

    def number_is(self, operator: str, number: Slot) -> Truth:
        """``=``, ``<``, ``<=``, ``>`` or ``>=`` a number, where it is one."""

    def number_among(self, numbers: Sequence[Slot]) -> Truth:
        """One of these numbers, where it is one."""


Test = Callable[[Spot], Truth]


class Dialect(Protocol):
    """The SQL of one database. Values of a question are given as slots, of numbers and strings."""

    NAME: str

    # Parsed data

    def at(self, document: Value | None, steps: Sequence[Step]) -> Spot:
        """What is at a place without ``[*]``; document: None for an item's own data."""

    def any_element(self, document: Value | None, steps: Sequence[Step], test: Test) -> Truth:
        """Whether ``test`` holds for an element of the list at a place; false when none is there."""

    def narrowed(self, steps: Sequence[Step], operator: str, given: Any) -> Truth:
        """What the index on a path can tell of a comparison, which may be more than that lets through."""

    def sort_keys(self, steps: Sequence[Step], descending: bool, there: bool) -> list[Key]:
        """How to sort by what is at a place: numbers, then strings, and what has nothing last, either way.

        there: whether every item has something there. None of the values is NULL but where nothing is there.
        """

    def path_indexes(self, conn: Connection, prefix: str) -> set[str]:
        """The names of the indexes on paths, which begin so."""

    def create_path_index(self, conn: Connection, name: str, steps: Sequence[Step]) -> None:
        """Make an index on a path."""

    def drop_path_index(self, conn: Connection, name: str) -> None:
        """Remove one."""

    # Strings

    def like(self, value: Value, pattern: Slot) -> Truth:
        r"""``%`` any characters, ``_`` one, ``\`` takes the next as it is; capitals differ."""

    def ilike(self, value: Value, pattern: Slot) -> Truth:
        """As ``like``, but capitals do not differ, in any script."""

    def lowered(self, value: Value) -> Value:
        """A string without capitals, as ``small``."""

    def contains(self, value: Value, text: Slot) -> Truth:
        """Whether a string has another in it, exactly."""

    # Full text

    def matches(self, words: Words, values: Values) -> Matches:
        """The words as the index takes them."""

    def text_source(self) -> FromClause:
        """The index of texts, to go through; its rows are ``item`` by ``text_row``."""

    def text_row(self) -> Value:
        """The item of a row of ``text_source``."""

    def matching(self, words: Matches) -> list[Truth]:
        """What has to hold of ``text_source``: it has the wanted words, one at least, and not the unwanted."""

    def holding(self, words: Matches) -> list[Truth]:
        """The same of ``item``, for going through something else; there may be no wanted words."""

    def holding_each(self, words: Matches) -> list[Truth]:
        """The same, looked up for one item after the other, for going through few."""

    def store_texts(self, conn: Connection, node_id: int, texts: Iterable[tuple[str, str]]) -> None:
        """Have the index follow items that were written: ids of a node, and their texts."""

    def compare_text_index(self, conn: Connection) -> bool:
        """Whether the index is what the texts give. Takes a writer, writes nothing."""

    def rebuild_text_index(self, conn: Connection) -> None:
        """Make the index anew from the texts."""

    # The planner

    def unindexed(self, column: Value) -> Value:
        """The column, where no index on it shall be used: some planners would take any that fits."""

    def version(self, conn: Connection) -> object:
        """What is equal as long as the transaction would see what an earlier one of the connection saw.

        After a first read of the transaction.
        """

    def plan(self, conn: Connection, statement: str, parameters: Any) -> list[str]:
        """How the database would run a statement, a step a line."""

    # Upkeep

    def size(self, conn: Connection, mine: Truth) -> int:
        """Bytes that the items take of the accounts of which this holds, or the whole where there are no others."""

    def free(self, conn: Connection) -> int | None:
        """Bytes free on its disk; None when that can't be told from here."""

    def compact(self, driver: Any) -> int:
        """Give back the room that nothing needs; the bytes. Outside of a transaction."""

    def damage(self, conn: Connection) -> list[str]:
        """What is wrong with the stored data itself, a sentence each."""

    def rebuild_indexes(self, conn: Connection) -> None:
        """Make every index anew from its table."""


def small(text: str) -> str:
    """A string without capitals, in which sigma is one letter: where a pattern goes on is no end of a word."""
    return text.lower().replace(*SIGMAS)


def among(value: Value, given: Sequence[Slot]) -> Truth:
    """One of these values."""
    return value == bound(given[0]) if len(given) == 1 else value.in_(each(given))


def of(conn: Connection) -> Dialect:
    """The dialect that a connection speaks."""
    return named(conn.dialect.name)


def named(name: str) -> Dialect:
    """The dialect of a database."""
    if name == "postgresql":
        from . import postgresql

        return postgresql
    from . import sqlite

    return sqlite

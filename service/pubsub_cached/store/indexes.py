"""Indexes on paths of the parsed data, made for the analysers that ask for them.

An index is found only by a statement that has the path written into it, word for word: see ``Dialect.narrowed``. Its
name is made from the path, so what there is can be read from the database itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import blake2b

from sqlalchemy import Connection

from ..data_path import Path, parse_single
from . import dialect
from .transaction import Transaction

PREFIX = "ix_data_"


def ensure(tx: Transaction, written: Collection[str]) -> None:
    """Make the indexes that are missing. With many items that takes seconds.

    Raises ValueError for what is no path, or leads to many places.
    """
    wanted, there = _named(written), names(tx.connection)
    for called, path in wanted.items():
        if called not in there:
            dialect.of(tx.connection).create_path_index(tx.connection, called, path.steps)


def keep(tx: Transaction, written: Collection[str]) -> None:
    """Make these and remove all others: what the analysers that there are ask for. Raises ValueError.

    Beside other daemons, which may have other analysers, nothing is removed.
    """
    ensure(tx, written)
    if tx.is_alone:
        for called in names(tx.connection) - _named(written).keys():
            dialect.of(tx.connection).drop_path_index(tx.connection, called)


def among(conn: Connection, candidates: Iterable[Path]) -> frozenset[Path]:
    """Those of the paths that have an index."""
    asked = {path: name(path) for path in candidates if path.single}
    if not asked:
        return frozenset()
    there = names(conn)
    return frozenset(path for path, called in asked.items() if called in there)


def _named(written: Collection[str]) -> dict[str, Path]:
    return {name(path): path for path in map(parse_single, written)}


def name(path: Path) -> str:
    """The name of the path's index."""
    return PREFIX + blake2b(repr(path.steps).encode(), digest_size=8).hexdigest()


def names(conn: Connection) -> set[str]:
    """The names of all of these indexes."""
    return dialect.of(conn).path_indexes(conn, PREFIX)

"""Indexes on paths of the parsed data, made for the analysers that ask for them.

An index is found only by a statement that has the path written into it, word for word: see ``Dialect.narrowed``. Its
name is made from the path, so what there is can be read from the database itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from sqlalchemy import Connection

from . import dialect
from . import path as paths
from .path import Path
from .transaction import Transaction

PREFIX = "ix_data_"


def ensure(tx: Transaction, written: Iterable[str]) -> list[str]:
    """Make the indexes that are missing; the paths that got one. With many items that takes seconds.

    Raises ValueError for what is no path, or leads to many places.
    """
    wanted = {text_: parse(text_) for text_ in written}
    there = names(tx.connection)
    made: list[str] = []
    for text_, path in wanted.items():
        if name(path) not in there:
            there.add(name(path))
            made.append(text_)
            dialect.of(tx.connection).create_path_index(tx.connection, name(path), path.steps)
    return made


def drop(tx: Transaction, written: Iterable[str]) -> list[str]:
    """Remove indexes; the paths that had one. Raises ValueError."""
    there = names(tx.connection)
    dropped: list[str] = []
    for text_ in dict.fromkeys(written):
        if (called := name(parse(text_))) in there:
            there.remove(called)
            dropped.append(text_)
            dialect.of(tx.connection).drop_path_index(tx.connection, called)
    return dropped


def keep(tx: Transaction, written: Iterable[str]) -> None:
    """Make these and remove all others: what the analysers that there are ask for. Raises ValueError.

    Beside other daemons, which may have other analysers, nothing is removed.
    """
    wanted = list(written)
    ensure(tx, wanted)
    if not tx.is_alone:
        return
    for called in names(tx.connection) - {name(parse(text_)) for text_ in wanted}:
        dialect.of(tx.connection).drop_path_index(tx.connection, called)


def among(conn: Connection, candidates: Iterable[Path]) -> frozenset[Path]:
    """Those of the paths that have an index."""
    asked = {path: name(path) for path in candidates if path.single}
    if not asked:
        return frozenset()
    there = names(conn)
    return frozenset(path for path, called in asked.items() if called in there)


def parse(written: str) -> Path:
    """A path that can have an index. Raises ValueError."""
    path = paths.parse(written)
    if not path.single:
        raise ValueError(f"'{written}' leads to many places, and an index holds one of each item")
    return path


def name(path: Path) -> str:
    """The name of the path's index."""
    return PREFIX + blake2b(repr(path.steps).encode(), digest_size=8).hexdigest()


def names(conn: Connection) -> set[str]:
    """The names of all of these indexes."""
    return dialect.of(conn).path_indexes(conn, PREFIX)

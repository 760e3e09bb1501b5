"""Databases that older versions wrote, one for each revision of the schema, survive the way up and back down."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from pubsub_cached.store import migrate, revisions
from tests.support.postgresql import PostgreSQL

from .test_migrations import alembic

STORED = sorted((Path(__file__).parent / "stored").glob("*.sqlite3.gz"))
DUMPS = sorted((Path(__file__).parent / "stored").glob("*.postgresql.sql.gz"))

# What each table has to hold for its rows to be tried; tables and columns that every later revision has.
WHAT = {
    "account": "jid, origin, enabled",
    "node": "service, node, state, completeness, type, subtype, analyser, title",
    "item": "item_id, payload, data, type, publisher, created_at, modified_at, revision",
    "flag": "account, service, node, item_id, flag",
    "analyser": "name, definition",
    "outbox": "service, node, action, payload, items",
    "tombstone": "item_id, revision",
}
LATER = {
    "0005": {"service": "service, moved, kept, paging", "node": WHAT["node"] + ", whole_at, described_at"},
    "0010": {"subscription": "service, node, subid"},
}


Rows = Iterable[tuple[object, ...]]


def rows(select: Callable[[str], Rows], revision: str) -> dict[str, list[tuple[object, ...]]]:
    """What is stored that a revision knows, in an order of its own."""
    what = dict(WHAT)
    for since, more in LATER.items():
        what |= more if since <= revision else {}
    return {table: sorted(select(f"SELECT {columns} FROM {table}"), key=repr) for table, columns in what.items()}


def content(path: Path, revision: str) -> dict[str, list[tuple[object, ...]]]:
    """The rows of a file."""
    connection = sqlite3.connect(path)
    try:
        return rows(connection.execute, revision)
    finally:
        connection.close()


@pytest.fixture(params=STORED, ids=lambda file: file.name.partition(".")[0])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """A copy of a stored database, and its revision."""
    file: Path = request.param
    path = tmp_path / "cache.sqlite3"
    path.write_bytes(gzip.decompress(file.read_bytes()))
    return path, file.name.partition(".")[0]


def test_there_is_a_stored_database_of_the_first_release_or_later() -> None:
    assert STORED


def test_nothing_is_lost_on_the_way_up_and_back_down(stored: tuple[Path, str]) -> None:
    path, revision = stored
    before = content(path, revision)
    assert all(before.values()), "each table has rows"

    assert migrate.prepare(f"sqlite:///{path}") == ""

    assert content(path, revision) == before
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (revisions.HEAD,)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert connection.execute("SELECT count(*) FROM item_text WHERE item_text MATCH 'mushroom*'").fetchone() != (0,)
    connection.close()

    alembic(path.parent, "-x", f"url=sqlite:///{path}", "downgrade", revision)
    assert content(path, revision) == before


@pytest.mark.parametrize("dump", DUMPS, ids=lambda file: file.name.partition(".")[0])
def test_nothing_is_lost_of_a_database_on_a_server(postgresql: PostgreSQL, dump: Path, tmp_path: Path) -> None:
    revision = dump.name.partition(".")[0]
    name = postgresql.restore(gzip.decompress(dump.read_bytes()))
    url = postgresql.url(name)

    def select(statement: str) -> Rows:
        return postgresql.execute(statement, name)

    before = rows(select, revision)
    assert all(before.values()), "each table has rows"

    assert migrate.prepare(url) == ""

    assert rows(select, revision) == before
    assert select("SELECT version_num FROM alembic_version") == [(revisions.HEAD,)]
    assert select("SELECT 1 FROM item_text WHERE lexemes @@ 'mushroom:*'")

    alembic(tmp_path, "-x", f"url={url}", "downgrade", revision)
    assert rows(select, revision) == before
    assert select("SELECT version_num FROM alembic_version") == [(revision,)]
    postgresql.drop(name)

"""A database a test, copied from one that the migrations made; and a way to write without the thread."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest
from sqlalchemy import make_url

from pubsub_cached import paths
from pubsub_cached.address import Address
from pubsub_cached.store import dialect, revisions, urls
from pubsub_cached.store.accounts import accounts, nodes
from pubsub_cached.store.postgresql import connection as connections
from pubsub_cached.store.revisions import Migrations
from pubsub_cached.store.rows import NodeRow
from pubsub_cached.store.sqlite import engine as engines
from pubsub_cached.store.store import Store
from pubsub_cached.store.transaction import Transaction
from tests.support import sqlite
from tests.support.postgresql import PostgreSQL

P = ParamSpec("P")
T = TypeVar("T")

ACCOUNT = "alice@example.org"
DATABASES = ("sqlite", "postgresql")
LATER = '''
"""A colour for every node"""
import os
import sqlalchemy as sa
from alembic import op

revision = "later"
down_revision = "HEAD"

def upgrade():
    op.add_column("node", sa.Column("colour", sa.Text, nullable=False, server_default=""))
    if os.environ.get("FAIL"):
        raise ValueError("no such colour")

def downgrade():
    op.drop_column("node", "colour")
'''


class Database:
    """Runs functions on one connection, each in its own committed transaction; the clock is ``now``."""

    def __init__(self, url: str, running: PostgreSQL | None = None) -> None:
        self.url = url
        self.server = running
        self.now = 1_700_000_000_000
        server = urls.server_of(url)
        if server is None:
            self._engine = engines.engine(self.path, begin="BEGIN IMMEDIATE")
            self.connection = self._engine.connect()
        else:
            self._engine = connections.engine(server)
            self.connection = self._engine.connect().execution_options(isolation_level="READ COMMITTED")
        self.dialect = dialect.of(self.connection)
        self._numbers = itertools.count()

    @property
    def path(self) -> Path:
        """The file, of SQLite."""
        return urls.path_of(self.url)

    def write(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self.connection.begin():
            transaction = Transaction(self.connection, lambda: self.now)
            result = fn(transaction, *args, **kwargs)
            transaction.finish()
        return result

    def read(self, fn: Callable[..., T], *args: Any) -> T:
        with self.connection.begin():
            return fn(self.connection, *args)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """What a statement gives; parameters are written ``?``."""
        if self.dialect.NAME == "postgresql":
            sql = sql.replace("?", "%s")
        with self.connection.begin():
            return [tuple(row) for row in self.connection.exec_driver_sql(sql, values)]

    def node(self, **columns: object) -> NodeRow:
        """A new node with an address of its own."""
        address = Address(ACCOUNT, "pubsub.example.org", f"node-{next(self._numbers)}")
        row = self.write(nodes.ensure, address)
        return self.write(lambda tx: nodes.update(tx, row.id, **columns)) if columns else row

    def again(self, node: NodeRow) -> NodeRow:
        """The row as it is now."""
        row = self.read(nodes.by_id, node.id)
        assert row is not None
        return row

    def superuser(self, *statements: str) -> None:
        """What only the owner of a server may do."""
        assert self.server is not None
        self.server.execute("; ".join(statements), str(make_url(self.url).database))

    def close(self) -> None:
        self.connection.close()
        self._engine.dispose()


def pytest_configure(config: pytest.Config) -> None:
    for name in DATABASES:
        config.addinivalue_line("markers", f"{name}: of this database alone")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What asks for a database is run on both, unless it is marked to be of one, or asks for the file of SQLite."""
    if "backend" not in metafunc.fixturenames:
        return
    marked = [name for name in DATABASES if metafunc.definition.get_closest_marker(name)]
    names = marked or (["sqlite"] if "path" in metafunc.fixturenames else DATABASES)
    metafunc.parametrize("backend", names, scope="session")


@pytest.fixture(scope="session")
def server(postgresql: PostgreSQL) -> PostgreSQL:
    """The server of this session."""
    return postgresql


@pytest.fixture(scope="session")
def reused(server: PostgreSQL, template: str) -> str:
    """A database that one test after the other may have."""
    return server.url(server.create(template))


@pytest.fixture
def name(server: PostgreSQL, template: str) -> Iterator[str]:
    """A new database of this test alone."""
    made = server.create(template)
    yield made
    server.drop(made)


def with_later(directory: Path, migration: str) -> Migrations:
    """Migrations with one more than there is, whose text says HEAD for what it follows."""
    scripts = directory / "migrations"
    shutil.copytree(paths.migrations(), scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "later.py").write_text(migration.replace("HEAD", revisions.HEAD))
    return Migrations(scripts, "later")


@pytest.fixture
def later(tmp_path: Path) -> Migrations:
    """Migrations with one more than there is."""
    return with_later(tmp_path, LATER)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of this test alone."""
    return sqlite.place(tmp_path / "data" / "cache.sqlite3")


@pytest.fixture
def url(backend: str, request: pytest.FixtureRequest) -> str:
    """A database of this test alone."""
    if backend == "sqlite":
        return url_of(request.getfixturevalue("path"))
    url: str = request.getfixturevalue("reused")
    request.getfixturevalue("server").empty(str(make_url(url).database))
    return url


@pytest.fixture
def db(url: str, backend: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    database = Database(url, request.getfixturevalue("server") if backend == "postgresql" else None)
    database.write(accounts.ensure, ACCOUNT)
    yield database
    database.close()


@pytest.fixture(scope="module")
def shared(
    backend: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Database]:
    """For generated cases, each of which makes a node of its own."""
    if backend == "sqlite":
        database = Database(url_of(sqlite.place(tmp_path_factory.mktemp("shared") / "cache.sqlite3")))
    else:
        server: PostgreSQL = request.getfixturevalue("server")
        database = Database(server.url(server.create(request.getfixturevalue("template"))))
    database.write(accounts.ensure, ACCOUNT)
    yield database
    database.close()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    opened = Store.open(url)
    await opened.write(accounts.ensure, ACCOUNT)
    yield opened
    await opened.close()


@pytest.fixture
def address() -> Address:
    return Address(ACCOUNT, "pubsub.example.org", "blog")


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"

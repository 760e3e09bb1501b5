"""A database a test, copied from one that the migrations made; and a way to write without the thread."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest

from pubsub_cached.address import Address
from pubsub_cached.store import accounts, dialect, migrate, nodes
from pubsub_cached.store.rows import NodeRow
from pubsub_cached.store.sqlite import engine as engines
from pubsub_cached.store.store import Store
from pubsub_cached.store.transaction import Transaction

P = ParamSpec("P")
T = TypeVar("T")

ACCOUNT = "alice@example.org"


class Database:
    """Runs functions on one connection, each in its own committed transaction; the clock is ``now``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 1_700_000_000_000
        self._engine = engines.engine(path, begin="BEGIN IMMEDIATE")
        self.connection = self._engine.connect()
        self._numbers = itertools.count()
        self.dialect = dialect.of(self.connection)

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

    def close(self) -> None:
        self.connection.close()
        self._engine.dispose()


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database with nothing in it."""
    path = tmp_path_factory.mktemp("store") / "pristine.sqlite3"
    migrate.prepare(url_of(path))
    return path


@pytest.fixture
def path(tmp_path: Path, pristine: Path) -> Path:
    """A database of this test alone."""
    path = tmp_path / "data" / "cache.sqlite3"
    path.parent.mkdir(mode=0o700)
    shutil.copy(pristine, path)
    return path


@pytest.fixture
def url(path: Path) -> str:
    return url_of(path)


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    database = Database(path)
    database.write(accounts.ensure, ACCOUNT)
    yield database
    database.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, pristine: Path) -> Iterator[Database]:
    """For generated cases, each of which makes a node of its own."""
    path = tmp_path_factory.mktemp("shared") / "cache.sqlite3"
    shutil.copy(pristine, path)
    database = Database(path)
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


def milliseconds() -> int:
    return time.time_ns() // 1_000_000

"""Alembic's environment, for the daemon (which gives its connection) and for an operator's command."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.config import fileConfig

from alembic import context
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine

from pubsub_cached import paths
from pubsub_cached.errors import BadConfiguration
from pubsub_cached.store.database import InUse
from pubsub_cached.store.models import Base, for_postgresql
from pubsub_cached.store.sqlite import engine as engines
from pubsub_cached.store.sqlite.alone import alone
from pubsub_cached.store.sqlite.start import check_foreign_keys
from pubsub_cached.store.urls import path_of, server_of


def _url() -> str:
    return context.get_x_argument(as_dictionary=True).get("url") or paths.database_url()


_APART = {"table": "item_text", "column": "document", "index": ("ix_data_", "ix_item_text")}


def _in_models(name: str | None, kind: str, parents: object) -> bool:
    """Whether the models say of it: not of the index of texts, of what is generated for queries, and of the indexes
    that analysers ask for."""
    return name is None or not name.startswith(_APART.get(kind, "\0"))


def _run(connection: Connection) -> None:
    metadata = for_postgresql() if connection.dialect.name == "postgresql" else Base.metadata
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, include_name=_in_models)
    with context.begin_transaction():
        context.run_migrations()


def _run_checked(connection: Connection) -> None:
    """One transaction with the references between tables checked at its end, not on the way."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        with connection.begin():
            _run(connection)
        return
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        with connection.begin():
            _run(connection)
            check_foreign_keys(driver)
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    """Of the database that an operator names; of a file that no daemon is at."""
    server = server_of(url)
    if server is not None:
        yield create_engine(server)
        return
    path = path_of(url)
    with alone(path):
        engines.create_private(path)
        yield engines.engine(path, begin="BEGIN IMMEDIATE")


def _offline() -> None:
    named = _url()
    url = server_of(named) or named
    context.configure(url=url, target_metadata=Base.metadata, literal_binds=True, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


def _online() -> None:
    given = context.config.attributes.get("connection")
    if isinstance(given, Connection):
        # In the caller's transaction.
        _run(given)
        return
    if isinstance(given, Engine):
        _connected(given)
        return
    if context.config.config_file_name is not None:
        fileConfig(context.config.config_file_name, disable_existing_loggers=False)
    _by_hand(_named)


def _named() -> None:
    with _engine(_url()) as engine:
        _connected(engine)


def _by_hand(run: Callable[[], None]) -> None:
    """For an operator, who is told in a line what is wrong with the database that is named, or in the way."""
    try:
        run()
    except (BadConfiguration, InUse) as error:
        raise CommandError(str(error)) from error


def _connected(engine: Engine) -> None:
    with engine.connect() as connection:
        _run_checked(connection)


if context.is_offline_mode():
    _by_hand(_offline)
else:
    _online()

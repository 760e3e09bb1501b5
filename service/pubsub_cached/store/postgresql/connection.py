"""Connections to a server, and what its errors mean. Nothing here says a password."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import errors
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ...errors import DatabaseError, PubSubCachedError, StorageFull

Driver = psycopg.Connection[Any]

# Where a server does not answer any more: seconds for a connection to be made, then libpq's own ways to notice.
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}


class _Text(StrDumperUnknown):
    """A string. PostgreSQL has no room for the character NUL; it stands for U+0001, as in ``item.document``."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\x01") if "\0" in obj else obj)


def engine(url: URL) -> Engine:
    """An engine whose connections begin no transaction by themselves."""
    given = {"application_name": "pubsub-cached", **_PATIENCE}
    arguments = {key: value for key, value in given.items() if key not in url.query}
    made = create_engine(
        url, poolclass=NullPool, pool_reset_on_return=None, isolation_level="AUTOCOMMIT", connect_args=arguments
    )

    @event.listens_for(made, "connect")
    def _connected(driver: Driver, _: object) -> None:
        driver.adapters.register_dumper(str, _Text)
        # Compiling costs more than any of these statements takes.
        driver.execute("SET jit = off")

    return made


def driver_of(connection: Connection) -> Driver:
    """The driver's connection below the library's."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def shown(url: URL) -> str:
    """How a database is named in a sentence."""
    return f"'{url.database or ''}' of the server {url.host or 'on this machine'}"


def cause_of(error: BaseException) -> BaseException | None:
    """The driver's error below the library's."""
    return error.orig if isinstance(error, DBAPIError) else error


def said(error: BaseException | None) -> str:
    """The first line of what the driver says, without a full stop."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else "no reason was given"


def is_lost(error: BaseException | None) -> bool:
    """Whether an error means that the connection is no more, or could not be made."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or (
        error.sqlstate[:2] in ("08", "57") and not isinstance(error, errors.QueryCanceled)
    )


def translate(error: BaseException) -> PubSubCachedError | None:
    """See ``Database``."""
    cause = cause_of(error)
    if not isinstance(cause, psycopg.Error):
        return None
    if isinstance(cause, errors.DiskFull):
        return StorageFull(f"The disk that holds the database is full: {said(cause)}.")
    if is_lost(cause):
        return DatabaseError(
            f"The database can't be reached: {said(cause)}. The connection is made again at the next access."
        )
    return DatabaseError(f"The database refused: {said(cause)}.")


def is_damage(error: BaseException) -> bool:
    """See ``Database``."""
    return isinstance(cause_of(error), errors.DataCorrupted | errors.IndexCorrupted)


def is_interrupted(error: BaseException) -> bool:
    """See ``Database``."""
    return isinstance(cause_of(error), errors.QueryCanceled)

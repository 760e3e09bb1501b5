"""A database on a server at the start: made, upgraded or refused, before anything reads it.

Changes of the schema are part of the transaction here, so that an upgrade which fails never happened and no copy is
made before; copies are the business of whoever looks after the server. Of several daemons one upgrades at a time.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from sqlalchemy.engine import URL

from ...errors import BadConfiguration, DatabaseError, Fatal, PubSubCachedError
from ..database import InUse
from ..revisions import HEAD, Migrations, check_known, run

if TYPE_CHECKING:
    from .connection import Driver

log = logging.getLogger(__name__)

OLDEST = 13
_OURS = ("account", "counter", "flag", "node", "item", "tombstone")
_AUTHENTICATION = ("authentication", "role", "does not exist", "pg_hba", "no password", "permission")


def prepare(url: URL, wanted: Migrations) -> None:
    """Make the database ready for this version.

    Raises NewerDatabase, BadConfiguration (it can't be used so), DatabaseError (not now), StorageFull.
    """
    try:
        import psycopg
    except ImportError:
        raise BadConfiguration(
            "PostgreSQL needs the driver psycopg, which is not installed: pip install 'pubsub-cached[postgresql]'"
        ) from None
    from . import connection as connections

    name = connections.shown(url)
    engine = connections.engine(url)
    try:
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            _check_server(driver, name)
            _bring_up(connection, driver, name, wanted)
    except (Fatal, PubSubCachedError):
        raise
    except Exception as error:
        raise _explained(name, error) from error
    finally:
        engine.dispose()


def _check_server(driver: Driver, name: str) -> None:
    if driver.info.server_version < OLDEST * 10_000:
        raise BadConfiguration(
            f"The database {name} is of PostgreSQL {driver.info.server_version // 10_000}; {OLDEST} is the oldest."
        )
    encoding = driver.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise BadConfiguration(
            f"The database {name} has the encoding {encoding}, which can't hold every text; "
            "make one with: createdb --encoding=UTF8 --template=template0"
        )
    if not driver.execute("SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'").fetchone():
        raise BadConfiguration(f"The server of the database {name} was built without ICU, which searches need.")


def _bring_up(connection: Connection, driver: Driver, name: str, wanted: Migrations) -> None:
    from . import locks

    while (revision := state(driver, name)) != wanted.head:
        if revision:
            check_known(f"The database {name}", revision, wanted)
        lock = locks.of(driver).daemons
        if locks.is_shared(driver, lock):
            who = locks.holder(driver, lock)
            raise InUse(
                f"The database {name} is used by a daemon of an older version{who}, and is upgraded from {revision} "
                f"to {wanted.head} once that has ended."
            )
        # Perhaps after another daemon, which changes the schema just now.
        if locks.wait(driver, lock):
            if state(driver, name) == revision:
                _upgrade(connection, driver, name, revision, wanted)
            locks.release(driver, lock)


def _upgrade(connection: Connection, driver: Driver, name: str, revision: str, wanted: Migrations) -> None:
    if revision:
        log.info("The database %s is upgraded from %s to %s", name, revision, wanted.head)
    driver.execute("BEGIN")
    try:
        run(connection, wanted)
        driver.execute("COMMIT")
    finally:
        if not driver.closed and driver.info.transaction_status:
            driver.execute("ROLLBACK")


def wait_until_free(url: URL) -> None:
    """Return once the database can be used: no other daemon changes its schema, or keeps it as it has to change.

    Or that can't be told any more.
    """
    from . import connection as connections
    from . import locks

    engine = connections.engine(url)
    try:
        with engine.connect() as connection:
            is_ready = state(connections.driver_of(connection), connections.shown(url)) == HEAD
    except Exception as error:
        log.debug("The end of another daemon could not be awaited: %s", error)
        return
    finally:
        engine.dispose()
    locks.wait_for(url, None, "_shared" if is_ready else "")


def state(driver: Driver, name: str) -> str:
    """The revision of the schema, "" when there is none. Raises BadConfiguration for something else's tables."""
    found = driver.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
    tables = {table for (table,) in found}
    if "alembic_version" in tables:
        row = driver.execute("SELECT version_num FROM alembic_version").fetchone()
        if row is not None and {"counter", "item"} <= tables:
            return str(row[0])
        if row is None and not tables.intersection(_OURS):
            return ""
    elif not tables.intersection(_OURS):
        return ""
    raise BadConfiguration(
        f"The database {name} holds tables of something else; make one for pubsub-cached alone and name it with "
        "--database or in [database] url."
    )


def _explained(name: str, error: Exception) -> Exception:
    """A sentence for what the driver or a migration raised."""
    import psycopg
    from psycopg import errors

    from . import connection as connections

    cause = connections.cause_of(error)
    translated = connections.translate(error)
    if translated is None:
        return DatabaseError(f"The database {name} could not be upgraded, and is as it was: {error}.")
    said = connections.said(cause)
    is_option = isinstance(cause, psycopg.ProgrammingError) and cause.sqlstate is None
    if is_option or isinstance(cause, errors.InsufficientPrivilege):
        return BadConfiguration(f"The database {name} can't be used: {said}.")
    if connections.is_lost(cause):
        if any(word in said for word in _AUTHENTICATION):
            return BadConfiguration(f"The database {name} can't be used: {said}.")
        return DatabaseError(f"The database {name} can't be reached: {said}. Is the server running?")
    return type(translated)(f"The database {name} could not be made ready: {translated.message}")

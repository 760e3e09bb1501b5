"""Advisory locks: who runs an account, whose turn it is to write, and who may change the schema.

Each is two numbers. Those of accounts are the table and the row, so that databases, and schemas in one database, are
apart; a daemon holds them as long as it runs the account, by the connection that writes: whoever lost it, or was
killed, runs nothing any more. The other two are held by all daemons together while they run, and by one alone while it
changes the schema; and by whoever has a transaction that writes, so that each number of a counter is given once, and
what has a higher one is committed later.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from psycopg import errors
from sqlalchemy.engine import URL

from . import connection as connections
from .connection import Driver

log = logging.getLogger(__name__)

# Nobody else's but by chance; the second number is the schema's.
_DAEMONS = 0x70756273
_TURNS = 0x70756274
# Seconds that changing a schema takes at most, as a rule.
_PATIENCE = 10

_NAMES = "SELECT coalesce(to_regclass('account')::oid::bigint, 0), current_schema()::regnamespace::oid::bigint"
# The server shows those of all its databases.
_GRANTED = """
locktype = 'advisory' AND granted AND objsubid = 2
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND classid = %s::bigint::oid AND objid = %s::bigint::oid
"""
_SHARED = f"SELECT 1 FROM pg_locks WHERE mode = 'ShareLock' AND {_GRANTED}"
_HOLDER = f"""
SELECT application_name, coalesce(host(client_addr), 'this machine'), backend_start::timestamp(0)::text
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE pid <> pg_backend_pid() AND {_GRANTED} ORDER BY backend_start LIMIT 1
"""


class Lock(NamedTuple):
    """Two numbers, as PostgreSQL has them: of 32 bits, without a sign."""

    kind: int
    number: int

    @property
    def arguments(self) -> str:
        """For the functions, which take them with a sign."""
        return f"{_signed(self.kind)}, {_signed(self.number)}"


class Locks(NamedTuple):
    """The locks of one schema."""

    accounts: int
    schema: int

    @property
    def daemons(self) -> Lock:
        """Shared by all daemons that run."""
        return Lock(_DAEMONS, self.schema)

    @property
    def turn(self) -> Lock:
        """Held during a transaction that writes."""
        return Lock(_TURNS, self.schema)

    def account(self, account_id: int) -> Lock:
        """Held by the daemon that runs an account."""
        return Lock(self.accounts, account_id % 2**32)


def of(driver: Driver) -> Locks:
    """Those of the schema that a connection works in."""
    accounts, schema = driver.execute(_NAMES).fetchone() or (0, 0)
    return Locks(accounts, schema or 0)


def take(driver: Driver, lock: Lock, how: str = "") -> bool:
    """Whether a lock could be had at once. how: ``_xact`` for the transaction, or for the session."""
    row = driver.execute(f"SELECT pg_try_advisory{how}_lock({lock.arguments})").fetchone()
    return bool(row and row[0])


def wait(driver: Driver, lock: Lock, how: str = "") -> bool:
    """Whether a lock of the session could be had in time. how: ``_shared``, or alone."""
    driver.execute(f"SET lock_timeout = '{_PATIENCE}s'")
    try:
        driver.execute(f"SELECT pg_advisory_lock{how}({lock.arguments})")
    except errors.LockNotAvailable:
        return False
    finally:
        if not driver.closed:
            driver.execute("SET lock_timeout = 0")
    return True


def is_shared(driver: Driver, lock: Lock) -> bool:
    """Whether somebody has a lock together with others."""
    return driver.execute(_SHARED, (lock.kind, lock.number)).fetchone() is not None


def release(driver: Driver, lock: Lock, how: str = "") -> None:
    """Give a lock of the session back."""
    driver.execute(f"SELECT pg_advisory_unlock{how}({lock.arguments})")


def holder(driver: Driver, lock: Lock) -> str:
    """Who has a lock, in parentheses, for a sentence; "" when nobody has it any more."""
    row = driver.execute(_HOLDER, (lock.kind, lock.number)).fetchone()
    return f" ({row[0]} on {row[1]}, since {row[2]})" if row else ""


def wait_for(url: URL, account_id: int | None, how: str = "") -> None:
    """Return once the lock of an account can be had, or for None that of daemons; or that can't be told any more."""
    engine = connections.engine(url)
    try:
        with engine.connect() as connection:
            driver = connections.driver_of(connection)
            locks = of(driver)
            lock = locks.daemons if account_id is None else locks.account(account_id)
            driver.execute(f"SELECT pg_advisory_lock{how}({lock.arguments})")
            release(driver, lock, how)
    except Exception as error:
        if connections.translate(error) is None:
            raise
        log.debug("The end of another daemon could not be awaited: %s", connections.said(error))
    finally:
        engine.dispose()


def _signed(number: int) -> int:
    return number - 2**32 if number >= 2**31 else number

"""An open database of either kind, as the store uses it: who reads, who writes, and what its errors mean."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from ..errors import Conflict, DatabaseError, PubSubCachedError
from .dialect import Dialect

T = TypeVar("T")


class InUse(DatabaseError):
    """Another daemon is in the way: one at the same file, one of another version, or one that changes the schema."""


class TooMuch(Exception):
    """A read has more to do than may be done while everybody waits."""


class AccountInUse(Conflict):
    """Another daemon runs the account, and nobody else writes its rows."""


class Leash(Protocol):
    """Held by whoever waits for a read. seconds: left at its start, None for as long as it takes."""

    seconds: float | None

    @property
    def over(self) -> bool:
        """Whether the read is to end."""

    def on_end(self, end: Callable[[], None]) -> None:
        """Have a function called, on any thread, when the read is to end."""


class Reader(Protocol):
    """A connection that only reads."""

    @property
    def is_usable(self) -> bool:
        """Whether it can be read with again; else it is to be closed."""

    def run(self, work: Callable[[Connection], T], leash: Leash) -> T:
        """What ``work`` gives, in one transaction; all that it sees was there at one moment. Raises what it raises."""

    def close(self) -> None:
        """Close the connection."""


class Session(Protocol):
    """The connection that writes."""

    @property
    def connection(self) -> Connection:
        """To write with, inside of a transaction."""

    @property
    def in_transaction(self) -> bool:
        """Whether one is open: some errors end it."""

    def begin(self) -> None:
        """Begin a transaction, connecting again where the connection was lost."""

    def execute(self, statement: str) -> None:
        """A statement without result, as it is."""

    def commit(self) -> None:
        """Commit the transaction."""

    def checkpoint(self) -> None:
        """Do what commits leave for later, if it is due. Outside of a transaction, when nobody waits for one."""

    def roll_back(self) -> None:
        """Roll the transaction back, however far it came. Raises what the database raises."""

    def alone(self, work: Callable[[Any], T]) -> T:
        """What ``work`` gives of the driver's connection, outside of a transaction."""

    def claim(self, account_id: int, lasting: bool) -> None:
        """Rows of an account are to be written in this transaction. Raises AccountInUse.

        lasting: nobody may begin to run the account after it either, so it has to be run here.
        """

    def is_alone(self) -> bool:
        """Whether no other daemon uses the database until the end of this transaction."""

    def hold(self, account_id: int) -> None:
        """Run an account until ``release`` or a loss of the connection; outside of a transaction.

        Raises AccountInUse.
        """

    def release(self, account_id: int) -> None:
        """Let others run an account. Outside of a transaction."""

    def lost(self) -> frozenset[int]:
        """Accounts that others run since the connection was lost; each is told once."""

    @property
    def idle_seconds(self) -> float | None:
        """How long nothing may be written until ``look`` is called; None for as long as you like."""

    def look(self) -> None:
        """See whether the connection is still there, and make it again where it is not. Raises what that raises."""

    def close(self) -> None:
        """Put everything where it is to stay, and close the connection."""


class Database(Protocol):
    """A database that is ready to be used."""

    @property
    def dialect(self) -> Dialect:
        """Its SQL."""

    @property
    def inline(self) -> bool:
        """Whether a bounded read costs less than a hop to another thread does."""

    @property
    def shared(self) -> bool:
        """Whether other daemons may use it at the same time, each with accounts of its own."""

    def show(self, accounts: Collection[int]) -> None:
        """What is read from now on is of these accounts: ``whose``."""

    def wait_for(self, account_id: int) -> None:
        """Return once nobody else runs the account, or that can't be told any more."""

    def reader(self) -> Reader:
        """A new connection that reads."""

    def writer(self) -> Session:
        """A new connection that writes. Raises InUse, and DatabaseError when the schema is another version's."""

    def translate(self, error: BaseException) -> PubSubCachedError | None:
        """The error that a caller meets for one of the database's; None for any other exception."""

    def is_damage(self, error: BaseException) -> bool:
        """Whether the database says that what it stored is damaged."""

    def is_interrupted(self, error: BaseException) -> bool:
        """Whether a read was ended by its leash."""

    def wrote(self, items: int) -> None:
        """So many items were written and committed, which the planner may have to be told of."""

    def suspect(self) -> None:
        """Have what is stored looked at closely at the next start, where that can be done."""

    def close(self) -> None:
        """Let go of what is left."""

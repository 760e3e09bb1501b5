"""What a function that writes is given."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, bindparam, select, update

from .database import Session
from .models import Counter
from .statement import Prepared
from .touched import Touched

# Places in an order are this far apart, so that what turns up late fits between two of them.
STRIDE = 1 << 20

_ALL = Prepared(select(Counter.name, Counter.value))
_VALUE = Prepared(select(Counter.value).where(Counter.name == bindparam("counter")))
_SET = Prepared(update(Counter).where(Counter.name == bindparam("counter")).values(value=bindparam("number")))


class Transaction:
    """One transaction of the writer.

    connection: inside the transaction; a function never commits it. now: the clock at its start, in milliseconds.
    touched: every write of an item, and of whether its node is shown, says so here.
    """

    def __init__(
        self, connection: Connection, clock: Callable[[], int], least: int = 0, session: Session | None = None
    ) -> None:
        """Begin to count from what is stored. least: every new revision is later than this.

        session: whose transaction it is; None where nobody else uses the database.
        """
        self.connection = connection
        self._session = session
        self.now = clock()
        self.touched = Touched()
        self._least = least
        self._stored: dict[str, int] = dict(_ALL.all(connection))
        self._revision, self._sequence = self._stored["revision"], self._stored["sequence"]

    def own(self, account_id: int, *, lasting: bool = False) -> None:
        """Rows of an account are about to be written. Raises AccountInUse where another daemon runs it.

        lasting: as in ``Session.claim``.
        """
        if self._session is not None:
            self._session.claim(account_id, lasting)

    @property
    def is_alone(self) -> bool:
        """Whether no other daemon uses the database."""
        return self._session is None or self._session.is_alone()

    def next_revision(self) -> int:
        """A revision that was never given before."""
        self._revision = max(self._revision, self._least) + 1
        return self._revision

    @property
    def last_revision(self) -> int:
        """The latest revision given."""
        return self._revision

    def reach(self, revision: int = 0, place: int = 0) -> None:
        """Have the counters go on after these numbers, if they are not past them."""
        self._revision = max(self._revision, revision)
        self._sequence = max(self._sequence, place)

    def next_place(self) -> int:
        """A place in an order after every one given before, ``STRIDE`` on."""
        self._sequence += STRIDE
        return self._sequence

    def finish(self) -> None:
        """Write the counters down; the last thing before the commit."""
        now = {"revision": self._revision, "sequence": self._sequence}
        changed = [{"counter": name, "number": now[name]} for name in now if now[name] != self._stored[name]]
        _SET.each(self.connection, changed)


def committed_revision(connection: Connection) -> int:
    """The daemon's revision as the connection sees it."""
    value: int = _VALUE.value(connection, counter="revision")
    return value


def committed_sequence(connection: Connection) -> int:
    """The last place that was given, as the connection sees it."""
    value: int = _VALUE.value(connection, counter="sequence")
    return value

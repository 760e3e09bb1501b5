"""The queue of events: one for all accounts, in the order of arrival.

What services publish to one node in one go is given as one event with several items, as XEP-0060 has them too (7.1.2):
most of what an event costs is not for its item.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec

from ...xmpp.port import Event, ItemsEvent
from ..accounts.account import Account

# So many are one event; nobody else has a turn while their items are parsed.
TOGETHER = 10


class Arrival(NamedTuple):
    """An event, whose it is, and when it came.

    came: by the clock of ``Unapplied``. session: the account's ``epoch``. early: what was live in the session before
    may not have been demoted yet.
    """

    account: Account
    event: Event
    came: float
    session: int
    early: bool

    def joined(self, other: Arrival) -> Arrival | None:
        """Both as one, where both do nothing but publish to the same node, and not the same item: each counts then."""
        mine, its = _publication(self.event), _publication(other.event)
        if mine is None or its is None or other.account is not self.account:
            return None
        if (other.session, other.early) != (self.session, self.early):
            return None
        if (mine.service, mine.node) != (its.service, its.node):
            return None
        if not {item.id for item in mine.items}.isdisjoint(item.id for item in its.items):
            return None
        return self._replace(event=msgspec.structs.replace(mine, items=mine.items + its.items), came=other.came)


class Arrivals:
    """What was let in and is not applied yet."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Arrival | asyncio.Future[None]] = asyncio.Queue()

    def put(self, account: Account, event: Event, came: float) -> None:
        """An event that was let in."""
        self._queue.put_nowait(Arrival(account, event, came, account.epoch, not account.ready))

    async def reached(self) -> None:
        """Wait until all that has come so far was given, and more is asked for."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(turn)
        await turn

    async def exhausted(self) -> None:
        """Wait until all that has come was given, and more is asked for."""
        await self._queue.join()

    async def __aiter__(self) -> AsyncIterator[Arrival]:
        """All of them, without end."""
        held: Arrival | asyncio.Future[None] | None = None
        while True:
            taken, held = held if held is not None else await self._queue.get(), None
            count = 1
            if isinstance(taken, asyncio.Future):
                if not taken.done():
                    taken.set_result(None)
            else:
                while count < TOGETHER and not self._queue.empty():
                    held = self._queue.get_nowait()
                    both = taken.joined(held) if isinstance(held, Arrival) else None
                    if both is None:
                        break
                    taken, held = both, None
                    count += 1
                yield taken
            for _ in range(count):
                self._queue.task_done()


def _publication(event: Event) -> ItemsEvent | None:
    """The event, if it does nothing but publish; what may be old is looked at by itself."""
    return event if isinstance(event, ItemsEvent) and not event.delayed and not event.retracted else None

"""A synchronisation under way, joined by later callers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...store.rows import NodeRow
from .batches import Progress
from .turnstile import Ticket


class Running:
    """What is known of it so far.

    full: everything has to be fetched, whatever is known, and the metadata too. whole: the last pass did. touched: ids
    that events changed meanwhile; touched_since: since the service was first asked for items; since_a_gap: before
    it began, after others may have been missed; later: by now in this session, after whatever was missed before it.
    disturbed: the whole node changed meanwhile. forgotten: its row was removed from the cache meanwhile, and
    failed: that is being written down, so that nobody joins it any more. subscribing: its subscription is looked at,
    and the service asked for items after that. subscribed: the number of the session in which that was done; made: the
    row with what was found or made. declines, claims: of its subscription, before the row was read. doubts: of access,
    before the service was asked. most: as many items as there is room for, None for all that are kept. last: the last
    item that the service gave, "" for none.
    """

    def __init__(self, *, urgent: bool, pin: bool, full: bool) -> None:
        # Set by whoever begins it.
        self.task: asyncio.Task[NodeRow]
        self.later: Callable[[], frozenset[str]]
        self.waiters = 0
        self.urgent = urgent
        self.pin = pin
        self.full = full
        self.whole = False
        self.touched: set[str] = set()
        self.touched_since: set[str] = set()
        self.since_a_gap: frozenset[str] = frozenset()
        self.disturbed = False
        self.forgotten = False
        self.failed = False
        self.subscribing = False
        self.subscribed = 0
        self.made: NodeRow | None = None
        self.declines = 0
        self.claims = 0
        self.doubts = 0
        self.most: int | None = None
        self.last = ""
        self.progress: list[Progress] = []
        # For the turnstile of its domain.
        self.ticket = Ticket()

    @property
    def in_vain(self) -> bool:
        """Whether it ends without a result: its row went, it has failed, or all that waited for it gave up."""
        return self.forgotten or self.failed or self.task.cancelling() > 0

    async def ended(self) -> None:
        """Wait for the end, whatever it is."""
        await asyncio.wait([self.task])

    def say(self, done: int, total: int) -> None:
        """Tell whoever waits how far it is."""
        for progress in self.progress:
            progress(done, total)

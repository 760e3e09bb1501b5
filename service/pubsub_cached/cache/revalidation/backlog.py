"""Nodes that are due and wait for their domain: as addresses, for a login has thousands of them at once.

A few of each domain are handed on at a time, in the order in which they came. What waits here is due in the database
as well, so that it may be forgotten at any time: it is found again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from ...address import Address
from ...pace import Pace
from ...tasks import end

log = logging.getLogger(__name__)

# More than may be synchronised at once, so that the places of a domain never wait for this.
AHEAD = 4

Begin = Callable[[Address], Awaitable[asyncio.Task[Any] | None]]


class Backlog:
    """Hands addresses on. begin: gives the task that deals with one, or None where there is nothing to do any more."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._waiting: dict[str, OrderedDict[Address, None]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}

    def add(self, address: Address) -> None:
        """Deal with a node in its turn; once, however often it is added until then."""
        domain = address.domain
        self._waiting.setdefault(domain, OrderedDict())[address] = None
        if domain not in self._workers:
            self._workers[domain] = asyncio.create_task(self._work(domain), name=f"backlog of {domain}")

    async def settled(self) -> None:
        """Wait until nothing waits any more, and what was handed on is done."""
        while self._workers:
            await asyncio.wait(self._workers.values())

    async def close(self) -> None:
        """Hand nothing on any more."""
        await end(self._workers.values())

    async def _work(self, domain: str) -> None:
        waiting = self._waiting[domain]
        begun: set[asyncio.Task[Any]] = set()
        pace = Pace()
        try:
            while waiting or begun:
                while waiting and len(begun) < AHEAD:
                    address, _ = waiting.popitem(last=False)
                    if (task := await self._begun(address)) is not None:
                        begun.add(task)
                    await pace.kept()
                if begun:
                    _, begun = await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._waiting[domain], self._workers[domain]

    async def _begun(self, address: Address) -> asyncio.Task[Any] | None:
        try:
            return await self._begin(address)
        except Exception:
            # A full disk does not last for ever, and it is due until then.
            log.exception("%s is due, and could not be looked after", address)
            return None

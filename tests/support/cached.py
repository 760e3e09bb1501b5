"""A cache over the fake world and a database of its own, as the cache's tests drive it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pubsub_cached import config
from pubsub_cached.address import Address
from pubsub_cached.analysers.builtin import registry
from pubsub_cached.cache.house import House
from pubsub_cached.cache.options import ReadOptions
from pubsub_cached.records import InfoRecord, ItemRecord, NodeRecord
from pubsub_cached.secrets import Secrets
from pubsub_cached.store.store import Store
from pubsub_cached.xmpp.fake import World

from . import sqlite

T = TypeVar("T")

ALICE = "alice@example.org"
ENTRY = (
    "<entry xmlns='http://www.w3.org/2005/Atom'><id>tag:{0}</id><title>{0}</title>"
    "<updated>2026-11-01T00:00:00Z</updated></entry>"
)


async def answered(answer: T | Awaitable[T]) -> T:
    """An answer that is there at once, or later."""
    return await answer if isinstance(answer, Awaitable) else answer


class Clock:
    """A clock that tests set, ms."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, *, seconds: float = 0, hours: float = 0, days: float = 0) -> None:
        self.now += int((seconds + hours * 3600 + days * 86400) * 1000)


class _Errors(logging.Handler):
    """Keeps records of level error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Cached:
    """A house over a world; ``told`` holds the signals in order."""

    def __init__(self, world: World, directory: Path, *accounts: str, url: str = "", **limits: int) -> None:
        """url: of the database; a file in the directory when it is ""."""
        self.world = world
        self.url = url or f"sqlite:///{sqlite.place(directory / 'cache.sqlite3')}"
        self.directory = directory
        self.clock = Clock()
        self.told: list[tuple[Any, ...]] = []
        self.settings = config.Config(
            cache=config.Cache(**limits), account=tuple(self._account(jid) for jid in accounts or (ALICE,))
        )
        # Draws waits from the next start on.
        self.chance: random.Random | None = None
        self.house: House
        self.store: Store
        self._log = _Errors()

    async def start(self, *, online: bool = True) -> Cached:
        logging.getLogger("pubsub_cached").addHandler(self._log)
        self.store = Store.open(self.url, clock=lambda: self.clock())
        if not self.store.inline:
            # Else a test sees what is under way on the loop alone, as it is written for.
            self.world.at_work = lambda: self.store.at_work
        secrets = Secrets(self.directory / "secrets.json")
        self.house = House(
            self.settings, self.store, registry(), self.world.connector, secrets, self.clock, chance=self.chance
        )
        self.house.changes.on_items.append(lambda *told: self.told.append(told))
        self.house.changes.on_node.append(lambda *told: self.told.append(told))
        await self.house.start()
        if online:
            await self.house.connect()
            await self.idle()
        return self

    async def stop(self) -> None:
        logging.getLogger("pubsub_cached").removeHandler(self._log)
        await self.house.close()
        await self.store.close()

    async def restart(self, *, online: bool = True) -> None:
        await self.stop()
        await self.start(online=online)

    async def idle(self) -> None:
        """Return once nothing is under way: no event, no request, no synchronisation, no write."""
        for _ in range(3):
            await self.world.settle()
            await self.house.events.settled()
            await self.house.revalidation.settled()
            await self.house.revalidation.validated()
            await self.house.sync.settled()
            await self.house.unsubscribing.settled()
            await self.house.removal.dropped()
            await self.store.write(lambda tx: None)
        await self.house.changes.settled()

    async def read(
        self, service: str, node: str = "blog", *, account: str = ALICE, **options: Any
    ) -> tuple[list[ItemRecord], str, InfoRecord]:
        return await answered(self.house.reads.get_items(Address(account, service, node), ReadOptions(**options)))

    async def keep(self, service: str, node: str = "blog", **options: Any) -> None:
        """Read a node, and wait until it is kept."""
        await self.read(service, node, **options)
        await self.idle()

    async def ids(self, service: str, node: str = "blog", **options: Any) -> list[str]:
        items, *_ = await self.read(service, node, **options)
        return [item["id"] for item in items]

    async def node(self, service: str, node: str = "blog", account: str = ALICE) -> NodeRecord:
        return await self.house.node_reads.get(Address(account, service, node))

    def signals(self, change: str | None = None) -> list[tuple[Any, ...]]:
        """Signals of nodes (address, change), or of items (address, changed, removed, revision)."""
        return [told for told in self.told if len(told) == 2 and change in (None, told[1])]

    def failures(self) -> list[str]:
        """What the daemon logged as an error: something it did not expect."""
        return [record.getMessage() for record in self._log.records]

    def removed(self) -> list[str]:
        """All ids that were told to be removed."""
        return [id_ for told in self.told if len(told) == 4 for id_ in told[2]]

    def _account(self, jid: str) -> config.Account:
        file = self.directory / f"{jid}.password"
        file.write_text("secret\n")
        file.chmod(0o600)
        return config.Account(jid=jid, password_file=str(file))


Make = Callable[..., Any]


@pytest.fixture
def cache_url() -> str:
    """The database of ``cached``, "" for a file of the test's own; some rooms have another."""
    return ""


@pytest.fixture
async def cached(tmp_path: Path, cache_url: str) -> AsyncIterator[Make]:
    """Makes a started cache over a world: ``await cached(world)``; stopped at the end."""
    made: list[Cached] = []

    async def make(world: World, *accounts: str, online: bool = True, **limits: int) -> Cached:
        for jid in accounts or (ALICE,):
            if jid not in world.accounts:
                world.account(jid)
        found = Cached(world, tmp_path, *accounts, url=cache_url, **limits)
        made.append(found)
        return await found.start(online=online)

    yield make
    for found in made:
        await asyncio.shield(found.stop())

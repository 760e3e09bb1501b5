"""A daemon that is killed between any two commits: the next one converges to what the service has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.store.accounts import outbox
from pubsub_cached.store.rows import KEPT
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, Service, World
from tests.support.cached import ALICE, ENTRY, Cached
from tests.support.postgresql import PostgreSQL

from .blog import MICROBLOG, PUBSUB

NODES = [f"{MICROBLOG}/{name}" for name in ("kept", "forgotten", "deleted", "closed")]
KEPT_ONE, FORGOTTEN, DELETED, CLOSED = NODES
# So many tests share the commits of a history.
PARTS = 4


class Cut:
    """The connection that writes, of a process that is killed after so many commits."""

    def __init__(self, session: Any, commits: int, killed: Callable[[], None]) -> None:
        self._session = session
        self.left = commits
        self._killed = killed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def begin(self) -> None:
        if self.left <= 0:
            raise errors.DatabaseError("The process was killed.")
        self._session.begin()

    def commit(self) -> None:
        self._session.commit()
        self.left -= 1
        if not self.left:
            self._killed()


class History:
    """A cache over a service of four nodes, to which all that a daemon does happens."""

    def __init__(self, directory: Path, url: str, profile: Profile) -> None:
        self.world = World()
        self.service: Service = self.world.service(PUBSUB, profile=profile)
        for name in NODES:
            self.service.create_node(name, node_type=MICROBLOG, owner=ALICE if name == KEPT_ONE else "")
            for number in range(3):
                self.service.publish(name, f"i{number}", ENTRY.format(number))
        self.world.account(ALICE)
        self.cache = Cached(self.world, directory, url=url)
        self._cut = asyncio.Event()

    async def run(self, commits: int) -> bool:
        """Have it all happen to a daemon that is killed after so many commits; whether it made as many."""
        await self.cache.start(online=False)
        loop = asyncio.get_running_loop()
        writer: Any = self.cache.store._writer
        writer._session = Cut(writer._session, commits, lambda: loop.call_soon_threadsafe(self._killed))
        tasks = [asyncio.create_task(self._happen()), asyncio.create_task(self._cut.wait())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        (error, *_) = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(error, Exception) and not self._cut.is_set():
            raise error
        return self._cut.is_set()

    def _killed(self) -> None:
        self.world.kill(ALICE)
        self._cut.set()

    async def _happen(self) -> None:
        await self.cache.house.connect()
        await self.cache.idle()
        for step in (self._begin, self._events, self._writes, self._forget, self._lose, self._reconnect):
            await step()
            await self.cache.idle()

    async def _begin(self) -> None:
        for name in NODES:
            await self.cache.house.sync.start(Address(ALICE, PUBSUB, name), False, "", "")
        await self.cache.idle()

    async def _events(self) -> None:
        for name in NODES:
            self.service.publish(name, "new", ENTRY.format("new"))
            self.service.publish(name, "i0", ENTRY.format("again"))
            self.service.retract(name, "i1")

    async def _writes(self) -> None:
        address = Address(ALICE, PUBSUB, KEPT_ONE)
        await self.cache.house.outbox.publish(address, "mine", ENTRY.format("mine"), {}, "", "")
        await self.cache.house.outbox.retract(address, ["i2"], True, "", "")

    async def _forget(self) -> None:
        # The row goes without its subscription.
        self.service.fail_next("internal-server-error", request="unsubscribe")
        await self.cache.house.removal.purge(PurgeFilter(nodes=(FORGOTTEN,), forget=True)).wait()

    async def _lose(self) -> None:
        self.service.delete(DELETED)
        self.service.configure(CLOSED, access_model="whitelist")

    async def _reconnect(self) -> None:
        self.world.cut(ALICE)
        self.service.publish(KEPT_ONE, "missed", ENTRY.format("missed"))
        self.world.restore(ALICE)
        await self.cache.idle()

    async def check(self) -> None:
        """What the next daemon has, after a while."""
        await self.cache.stop()
        self.cache._log.records.clear()
        await self.cache.start()
        for hours in (0.1, 1, 7):
            self.cache.clock.advance(hours=hours)
            self.cache.house.revalidation.wake()
            await self.cache.idle()
        for name in NODES:
            node = await self.cache.house.nodes.find(Address(ALICE, PUBSUB, name))
            there = name in self.service.nodes
            follows = there and self.service.node(name).subscribed(ALICE)
            assert (node is not None and node.subscribed) == follows, (name, node)
            if node is None or node.state not in KEPT:
                assert node is None or node.state in ("gone", "denied"), node
                continue
            assert node.state == "live", node
            items, *_ = await self.cache.read(PUBSUB, name, policy="cache", limit=500)
            held = {item.id: item.payload for item in self.service.visible(name, ALICE)}
            assert {item["id"]: item["payload"] for item in items} == held, name
        assert await self.cache.store.read(outbox.all) == []
        assert self.cache.failures() == []


@pytest.fixture
def empty(backend: str, request: pytest.FixtureRequest) -> Callable[[], str]:
    """Gives an empty database, "" for a file of the test's own."""
    if backend == "sqlite":
        return str
    server: PostgreSQL = request.getfixturevalue("postgresql")
    name: str = request.getfixturevalue("reused")

    def emptied() -> str:
        server.empty(name)
        return server.url(name)

    return emptied


@pytest.mark.long
@pytest.mark.parametrize("backend", ["sqlite", "postgresql"], scope="session", indirect=True)
@pytest.mark.parametrize("profile", [PROSODY, EJABBERD], ids=["prosody", "ejabberd"])
@pytest.mark.parametrize("part", range(PARTS))
async def test_a_daemon_that_is_killed_between_any_two_commits_converges(
    tmp_path: Path, empty: Callable[[], str], profile: Profile, part: int
) -> None:
    commits, cut = part + 1 - PARTS, True
    while cut:
        commits += PARTS
        directory = tmp_path / str(commits)
        directory.mkdir()
        history = History(directory, empty(), profile)
        try:
            async with asyncio.timeout(60):
                cut = await history.run(commits)
                await history.check()
        except BaseException as error:
            error.add_note(f"after {commits} commits")
            raise
        finally:
            await history.cache.stop()
    assert commits > 20

"""The revalidation ladder at real servers: what they are seen to do, and what a look then costs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

from pubsub_cached.address import Address
from pubsub_cached.cache.revalidation.silence import LISTED_MS
from pubsub_cached.cache.sync.rounds import POLL_MS, SILENCE_MS
from pubsub_cached.clock import clock
from tests.support.cached import ENTRY
from tests.support.ejabberd import Ejabberd
from tests.support.following import Following
from tests.support.prosody import Prosody
from tests.support.proxy import Proxy
from tests.support.publisher import Publisher

SETTINGS = {"persist_items": True, "max_items": 200, "access_model": "open"}
LONG = "x" * 2000


class Later:
    """The clock, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return clock() + self.ahead


class Follower(NamedTuple):
    """Bob's cache, and alice, whose blog it follows."""

    cache: Following
    alice: Publisher
    service: str
    node: str
    clock: Later

    @property
    def address(self) -> Address:
        return Address(self.cache.account.jid, self.service, self.node)

    async def publish(self, id_: str, text: str = "") -> None:
        await self.alice.publish(self.service, self.node, id_, ENTRY.format(f"{id_}{text}"))

    async def begin(self, count: int, text: str = "") -> None:
        """A blog that the cache follows."""
        await self.alice.create(self.service, self.node, SETTINGS)
        for number in range(count):
            await self.publish(f"i{number:02}", text)
        await self.read("default")
        await self.cache.idle()
        assert await self.state() == "live"

    async def read(self, policy: str) -> list[str]:
        return await self.cache.ids(self.service, self.node, account=self.address.account, policy=policy, limit=500)

    async def state(self) -> str:
        return (await self.cache.node(self.service, self.node, self.address.account))["state"]

    async def new_session(self) -> None:
        await self.cache.account.disconnect()
        await self.cache.account.connect()
        await self.cache.idle()

    async def wait(self, milliseconds: int) -> None:
        self.clock.ahead += milliseconds
        self.cache.house.revalidation.wake()
        await self.cache.idle()

    async def is_right(self) -> None:
        truth = [*await self.alice.items(self.service, self.node)]
        assert sorted(await self.read("cache")) == sorted(truth)
        assert await self.state() == "live"


@asynccontextmanager
async def followed(server: Prosody | Ejabberd, directory: Path, *, own: bool = False) -> AsyncIterator[Follower]:
    """Bob's cache of a blog of alice's; of one of his own, written elsewhere, where it is ``own``."""
    user = f"bob{uuid4().hex[:8]}"
    server.add_user(user)
    writer = await Publisher.open(server, user if own else "alice")
    async with Proxy(server.host, server.port) as proxy:
        cache = Following(server, user, proxy, directory)
        cache.clock = later = Later()  # type: ignore[assignment]
        await cache.start()
        try:
            service = server.jid(user) if own else server.pubsub
            yield Follower(cache, writer, service, f"urn:xmpp:microblog:0/{uuid4().hex}", later)
        finally:
            await cache.stop()
            await writer.close()


@pytest.fixture
async def follower(server: Prosody | Ejabberd, tmp_path: Path) -> AsyncIterator[Follower]:
    async with followed(server, tmp_path) as follower:
        yield follower


@pytest.fixture
async def owner(server: Prosody | Ejabberd, tmp_path: Path) -> AsyncIterator[Follower]:
    async with followed(server, tmp_path, own=True) as owner:
        yield owner


async def edited(follower: Follower) -> None:
    """Two posts were edited while the cache followed."""
    for number in (12, 13):
        await follower.publish(f"i{number}", f" edited {LONG}")
        await follower.cache.idle()


async def test_where_an_overwritten_item_goes_is_seen(follower: Follower, server: Prosody | Ejabberd) -> None:
    await follower.begin(20, LONG)
    await edited(follower)
    facts = follower.cache.house.sync.facts
    assert facts.moves(follower.address) is (server.name == "prosody")
    assert (facts.of(follower.address).kept > 0) is (server.name == "ejabberd")
    assert facts.of(follower.address).paging == ("none" if server.name == "prosody" else "pages")


async def test_what_was_missed_is_found_by_the_cheapest_rung(
    follower: Follower, server: Prosody | Ejabberd, caplog: pytest.LogCaptureFixture
) -> None:
    await follower.begin(20, LONG)
    await edited(follower)
    await follower.cache.account.disconnect()
    await follower.publish("missed")
    await follower.publish("i05", " edited")
    await follower.alice.retract(follower.service, follower.node, "i03", notify=False)
    with caplog.at_level(logging.INFO, "pubsub_cached"):
        await follower.new_session()
    await follower.is_right()
    assert f"by rung {4 if server.name == 'prosody' else 5}" in caplog.text


async def test_a_small_node_is_one_answer(follower: Follower, caplog: pytest.LogCaptureFixture) -> None:
    await follower.begin(5)
    await follower.cache.account.disconnect()
    await follower.publish("missed")
    await follower.publish("i02", " edited")
    with caplog.at_level(logging.DEBUG, "pubsub_cached"):
        await follower.new_session()
    await follower.is_right()
    assert "by rung 5" in caplog.text
    assert "fetched by" not in caplog.text


async def test_a_subscription_that_a_change_of_access_ended_is_missed(follower: Follower) -> None:
    await follower.begin(3)
    await follower.wait(1)
    for model in ("whitelist", "open"):
        await follower.alice.configure(follower.service, follower.node, {"access_model": model})
    await follower.publish("missed")
    await follower.wait(LISTED_MS)
    await follower.is_right()
    await follower.publish("next")
    await follower.cache.idle()
    await follower.is_right()


async def test_a_node_made_again_in_silence_is_found(follower: Follower) -> None:
    await follower.begin(3)
    await follower.alice.delete(follower.service, follower.node)
    await follower.alice.create(follower.service, follower.node, SETTINGS)
    await follower.publish("first")
    await follower.cache.idle()
    if await follower.state() == "gone":
        # It was told; whoever reads finds it again.
        await follower.read("network")
        await follower.cache.idle()
    await follower.wait(SILENCE_MS)
    await follower.is_right()
    await follower.publish("next")
    await follower.cache.idle()
    await follower.is_right()


async def test_items_that_expire_are_there_until_the_service_has_removed_them(
    owner: Follower, server: Prosody | Ejabberd
) -> None:
    await owner.alice.create(owner.service, owner.node, SETTINGS | {"item_expire": "1"})
    await owner.publish("old")
    await owner.read("default")
    await owner.cache.idle()
    if isinstance(server, Prosody):
        # It has no such setting.
        await owner.is_right()
        return
    assert await owner.state() == "polled"
    # The server's own time, which nobody can put forward.
    await asyncio.sleep(1.1)
    assert [*await owner.alice.items(owner.service, owner.node)] == ["old"]
    await owner.wait(2000)
    assert await owner.read("cache") == ["old"]
    assert owner.cache.removed() == []
    async with asyncio.timeout(30):
        while await owner.alice.items(owner.service, owner.node):
            server.remove_expired()
    await owner.wait(POLL_MS)
    assert await owner.read("cache") == []
    assert owner.cache.removed() == ["old"]
    assert await owner.state() == "polled"


async def test_a_node_that_notifies_nobody_is_polled(owner: Follower) -> None:
    await owner.alice.create(owner.service, owner.node, SETTINGS | {"deliver_notifications": "0"})
    await owner.publish("old")
    await owner.read("default")
    await owner.cache.idle()
    assert await owner.state() == "polled"
    await owner.publish("new")
    await owner.wait(POLL_MS)
    assert await owner.read("cache") == ["new", "old"]
    assert await owner.state() == "polled"

"""A cache with an outbox, and what may happen to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.jobs import Job
from pubsub_cached.cache.options import NEWEST_FIRST, REPLY_BYTES, Order
from pubsub_cached.replies import weight
from pubsub_cached.store.accounts import outbox
from pubsub_cached.xmpp.fake import Service, World
from tests.support.cached import ALICE, Cached

from ..blog import BLOG, MICROBLOG, PUBSUB, post, reaching, writer_busy

CLIENT = ":1.42"
BOX = Address(ALICE, PUBSUB, "box")
OLDEST_FIRST: Order = (("modified", False),)


class Scene:
    """A cache that follows Alice's blog of two posts, and is offline."""

    def __init__(self, world: World, cache: Cached, service: Service) -> None:
        self.world = world
        self.cache = cache
        self.service = service

    async def publish(self, item_id: str = "", text: str = "new", token: str = "", **options: Any) -> str:
        outbox = self.cache.house.outbox
        return await outbox.publish(BLOG, item_id, post(text), options, CLIENT, token)

    async def retract(self, *ids: str, token: str = "") -> None:
        await self.cache.house.outbox.retract(BLOG, ids, True, CLIENT, token)

    async def cut(self) -> None:
        self.world.cut(ALICE)
        await self.cache.idle()

    async def sending(self, *texts: str) -> None:
        """Publications of one item, named after their texts: the first is held up as it is sent, the others wait."""
        await self.restore()
        self.service.hold()
        for text in texts:
            await self.publish("i0", text, token=text)
        await reaching(self.service, "publish")

    async def kill_once_sent(self) -> None:
        """The first is sent, and its session ends before anything else is."""
        self.service.release(1)
        await self.job("one").wait()
        self.world.kill(ALICE)
        self.service.expire()
        self.service.release()

    async def restore(self) -> None:
        self.world.restore(ALICE)
        await self.settled()

    async def settled(self) -> None:
        for _ in range(5):
            await self.cache.idle()

    @property
    def jobs(self) -> list[Job]:
        return [job for job in self.cache.house.jobs.list() if job.kind == "outbox"]

    def job(self, token: str) -> Job:
        (found,) = [job for job in self.jobs if job.path == f"/im/pubsubcache1/job/1_42/{token}"]
        return found

    def truth(self) -> dict[str, str]:
        return {item.id: item.payload for item in self.service.items(MICROBLOG)}

    async def shown(self, **options: Any) -> list[tuple[str, bool]]:
        items, *_ = await self.cache.read(PUBSUB, MICROBLOG, **options)
        return [(item["id"], item.get("pending", False)) for item in items]

    async def walk(self, limit: int, order: Order = NEWEST_FIRST, **begin: Any) -> list[str]:
        """The ids of all pages; begin: the place of the first one."""
        found: list[str] = []
        place = begin
        while True:
            items, cursor, _ = await self.cache.read(PUBSUB, MICROBLOG, limit=limit, order=order, **place)
            assert len(items) <= limit
            assert sum(map(weight, items)) <= REPLY_BYTES
            found += [item["id"] for item in items]
            if not cursor:
                return found
            place = {"cursor": cursor}

    def sent(self, kind: str = "publish") -> int:
        return self.world.count(kind, PUBSUB, MICROBLOG)


@contextlib.contextmanager
def looked(cache: Cached, which: Callable[..., Any] = outbox.all) -> Iterator[asyncio.Event]:
    """What is read of the whole outbox, or of something else, is there as it was, once this is set."""
    gate, read = asyncio.Event(), cache.store.read

    async def late(function: Callable[..., Any], *arguments: Any) -> Any:
        found = await read(function, *arguments)
        if function is which:
            await gate.wait()
        return found

    cache.store.read = late  # type: ignore[method-assign]
    try:
        yield gate
    finally:
        del cache.store.read


@contextlib.contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, name: str, error: errors.PubSubCachedError) -> Iterator[None]:
    """The database refuses one kind of write to the outbox."""

    def fails(*arguments: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(outbox, name, fails)
        yield


async def sending(cache: Cached, service: Service, item: str, payload: str, until: str, address: Address = BLOG) -> Job:
    """The job of a publication that has come to a request of this name, which is held up."""
    service.hold()
    await cache.house.outbox.publish(address, item, payload, {}, CLIENT, "q")
    await reaching(service, until)
    (job,) = [job for job in cache.house.jobs.list() if job.kind == "outbox"]
    return job


@contextlib.asynccontextmanager
async def answered_and_not_written_down(cache: Cached, service: Service) -> AsyncIterator[None]:
    """What happens in here comes once the service has answered, and before anything is written down."""
    with writer_busy(cache):
        service.release()
        await cache.world.settle()
        yield
        await cache.world.settle()

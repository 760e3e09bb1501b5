"""Job on the bus: what a client sees of long work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from dbus_fast import Message, MessageType

from pubsub_cached import errors
from pubsub_cached.api.job import Job
from pubsub_cached.bus import Connection, Tree
from pubsub_cached.cache.jobs import Job as CachedJob
from pubsub_cached.cache.jobs import Jobs
from tests.bus.sample import Client

INTERFACE = "im.pubsubcache1.Job"

Work = Callable[[CachedJob], Awaitable[str]]


class Watched:
    """A job on the bus and the signals a client got from it."""

    def __init__(self, client: Client, tree: Tree) -> None:
        self.client = client
        self.tree = tree
        self.jobs = Jobs()
        self.signals: list[tuple[str, Any]] = []
        self.path = ""
        self._news = asyncio.Event()
        client.bus.add_message_handler(self._received)

    def start(self, work: Work) -> CachedJob:
        self.jobs.on_added.append(self._export)
        return self.jobs.start("sync", work, ":1.7", "t")

    async def finished(self) -> tuple[str, str, str]:
        await self.until(lambda: any(member == "Finished" for member, _ in self.signals))
        ((state, error, message),) = [body for member, body in self.signals if member == "Finished"]
        return state, error, message

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once signals have made it so."""
        while not holds():
            self._news.clear()
            await self._news.wait()

    def changes(self, *names: str) -> list[dict[str, Any]]:
        """PropertiesChanged that hold one of the names."""
        found = []
        for member, body in self.signals:
            if member == "PropertiesChanged":
                values = {name: variant.value for name, variant in body[1].items()}
                if not names or values.keys() & set(names):
                    found.append(values)
        return found

    async def call(self, member: str) -> list[Any]:
        return await self.client.call(member, path=self.path, interface=INTERFACE)

    def _export(self, job: CachedJob) -> None:
        interface = Job(job)
        job.on_change.append(interface.changed)
        job.on_progress.append(interface.progress)
        job.on_finished.append(lambda _: interface.finish())
        self.path = job.path
        self.tree.export(job.path, interface, managed=True)

    def _received(self, message: Message) -> None:
        if message.message_type == MessageType.SIGNAL and message.path == self.path:
            self.signals.append((message.member or "", message.body))
            self._news.set()


@pytest.fixture
async def watched(connection: Connection, tree: Tree, client: Client) -> AsyncIterator[Watched]:
    tree.open()
    await client.listen(f"type='signal',sender='{connection.unique_name}'")
    watched = Watched(client, tree)
    yield watched
    await watched.jobs.close()


async def test_a_job_ends_with_its_message(watched: Watched) -> None:
    async def work(job: CachedJob) -> str:
        job.progress(3, 3, "Counting")
        return "Three."

    watched.start(work)
    assert await watched.finished() == ("done", "", "Three.")
    assert await watched.call("Wait") == ["Three."]
    assert watched.changes() == [
        {"State": "running"},
        {"Done": 3, "Total": 3, "Message": "Counting"},
        {"State": "done", "Message": "Three."},
    ]


async def test_a_failed_job_answers_with_its_error(watched: Watched) -> None:
    async def work(job: CachedJob) -> str:
        raise errors.NoSuchNode("There is no such node.")

    watched.start(work)
    name = "im.pubsubcache1.Error.NoSuchNode"
    assert await watched.finished() == ("failed", name, "There is no such node.")
    assert await watched.client.error("Wait", path=watched.path, interface=INTERFACE) == (
        name,
        "There is no such node.",
    )


async def test_a_cancelled_job_answers_those_who_wait(watched: Watched) -> None:
    async def work(job: CachedJob) -> str:
        await asyncio.Event().wait()
        return ""

    watched.start(work)
    waiting = asyncio.create_task(watched.client.error("Wait", path=watched.path, interface=INTERFACE))
    assert await watched.call("Cancel") == []
    assert (await waiting)[0] == "im.pubsubcache1.Error.Cancelled"
    assert (await watched.finished())[:2] == ("cancelled", "im.pubsubcache1.Error.Cancelled")
    assert await watched.call("Cancel") == []


async def test_progress_is_told_at_most_four_times_a_second(watched: Watched) -> None:
    steps = 60
    began: list[float] = []
    ended: list[float] = []
    now = asyncio.get_running_loop().time

    async def work(job: CachedJob) -> str:
        began.append(now())
        for step in range(1, steps + 1):
            # Before the step: of the last one nothing can be told before the end.
            await asyncio.sleep(0.02)
            job.progress(step, steps, f"Step {step}")
        ended.append(now())
        return "All steps."

    watched.start(work)
    await watched.finished()
    told = watched.changes("Done", "Total", "Message")
    assert told[0]["Done"] == 1
    assert told[-1] == {"State": "done", "Done": steps, "Message": "All steps."}
    assert len(told) >= 3, "progress came nowhere between"
    assert len(told) <= 4 * (ended[0] - began[0]) + 1
    assert all(earlier["Done"] <= later["Done"] for earlier, later in pairwise(told))


async def test_of_progress_only_what_is_different_is_told(watched: Watched) -> None:
    go_on = asyncio.Event()

    async def work(job: CachedJob) -> str:
        job.progress(1, 9)
        job.progress(1, 9)
        await go_on.wait()
        raise errors.NoSuchNode("There is no such node.")

    watched.start(work)
    await watched.until(lambda: bool(watched.changes("Done")))
    go_on.set()
    await watched.finished()
    assert watched.changes() == [
        {"State": "running"},
        {"Done": 1, "Total": 9},
        {"State": "failed", "Error": errors.NoSuchNode.dbus_name, "ErrorMessage": "There is no such node."},
    ]


async def test_the_last_progress_before_a_pause_is_told(watched: Watched) -> None:
    go_on = asyncio.Event()

    async def work(job: CachedJob) -> str:
        job.progress(1, 9)
        job.progress(2, 9)
        await go_on.wait()
        return ""

    watched.start(work)
    await watched.until(lambda: any(values.get("Done") == 2 for values in watched.changes()))
    go_on.set()
    await watched.finished()


async def test_a_job_is_in_the_object_manager(watched: Watched) -> None:
    async def work(job: CachedJob) -> str:
        return "Done."

    watched.start(work)
    await watched.finished()
    (objects,) = await watched.client.call(
        "GetManagedObjects", path="/im/pubsubcache1", interface="org.freedesktop.DBus.ObjectManager"
    )
    assert watched.path == "/im/pubsubcache1/job/1_7/t"
    assert objects[watched.path][INTERFACE]["Kind"].value == "sync"
    assert objects[watched.path][INTERFACE]["State"].value == "done"

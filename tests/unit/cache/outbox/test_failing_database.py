"""What the database refuses for a while is neither lost nor sent twice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.writing import outbox as outboxes
from pubsub_cached.cache.writing.sending import ATTEMPTS_AT_MOST
from pubsub_cached.store.accounts import nodes, outbox

from ..blog import MICROBLOG, PUBSUB
from .scene import Scene, failing


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not at once: nothing would ever be settled.
    monkeypatch.setattr(outboxes, "AGAIN", 0.1)


@pytest.mark.parametrize("error", errors.STORAGE)
async def test_it_waits_where_the_attempt_can_t_be_written_down(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: type[errors.PubSubCachedError]
) -> None:
    await scene.publish("mine", token="mine")
    with failing(monkeypatch, "tried", error("No room.")):
        for _ in range(ATTEMPTS_AT_MOST + 1):
            await scene.restore()
            await scene.cut()
    job = scene.job("mine")
    assert (job.state, "No room." in job.message, scene.sent()) == ("running", True, 0)
    assert await scene.shown() == [("mine", True), ("i1", False), ("i0", False)]
    await scene.restore()
    assert (job.state, scene.sent()) == ("done", 1)
    assert "mine" in scene.truth()


async def test_what_was_sent_is_not_sent_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = scene.cache.house.writing
    followed, failures = writing._followed, [errors.DatabaseError("It has gone.")]

    async def fails_once(address: Address) -> bool:
        if failures:
            raise failures.pop()
        return await followed(address)

    monkeypatch.setattr(writing, "_followed", fails_once)
    await scene.publish("mine", token="mine")
    await scene.restore()
    await scene.settled()
    assert (scene.job("mine").state, scene.sent()) == ("done", 1)
    assert "mine" in await scene.cache.ids(PUBSUB, MICROBLOG, policy="cache")


@pytest.mark.parametrize("cancelled", [False, True], ids=["sent", "cancelled"])
async def test_it_is_not_over_before_it_is_removed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    await scene.publish("mine", token="mine")
    job = scene.job("mine")
    with failing(monkeypatch, "remove", errors.DatabaseError("It has gone.")):
        if cancelled:
            await scene.settled()
            job.cancel()
        else:
            await scene.restore()
        await scene.settled()
        assert not job.finished
    with contextlib.suppress(errors.Cancelled):
        await job.wait()
    assert job.state == ("cancelled" if cancelled else "done")
    assert await scene.cache.store.read(outbox.all) == []


async def test_the_daemon_ends_though_nothing_can_be_removed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await scene.publish("mine", token="mine")
    told: list[str] = []
    scene.job("mine").on_finished.append(lambda job: told.append(job.state))
    with failing(monkeypatch, "remove", errors.DatabaseError("It has gone.")):
        await scene.restore()
        await scene.cache.restart()
    assert told == [], "it goes on"
    await scene.job("mine").wait()
    assert scene.sent() == 1
    assert await scene.cache.store.read(outbox.all) == []


@pytest.mark.parametrize("waiting", [1, 0], ids=["queued", "sent"])
async def test_whoever_can_t_be_told_of_it_changes_nothing(scene: Scene, waiting: int) -> None:
    read, failed = scene.cache.store.read, 0

    async def fails(function: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal failed
        if function is nodes.find and len(await read(outbox.all)) == waiting and scene.sent() == 1 - waiting:
            failed += 1
            raise errors.DatabaseError("It has gone.")
        return await read(function, *arguments)

    scene.cache.store.read = fails  # type: ignore[method-assign]
    await scene.publish("mine", token="mine")
    if not waiting:
        await scene.restore()
    del scene.cache.store.read
    assert failed
    await scene.restore()
    assert (scene.job("mine").state, scene.sent()) == ("done", 1)

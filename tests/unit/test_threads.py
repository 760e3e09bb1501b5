"""Work in a thread that does nothing else meanwhile: whatever it ends with, whoever waits for it is told."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pubsub_cached import threads
from pubsub_cached.threads import in_thread


class Panic(BaseException):
    """As libraries in Rust raise."""


def ending_with(outcome: BaseException) -> None:
    raise outcome


async def test_what_it_returns() -> None:
    assert await in_thread(lambda: 1, "work") == 1


async def test_an_exception_as_it_is() -> None:
    with pytest.raises(ValueError, match="words"):
        await in_thread(lambda: ending_with(ValueError("words")), "work")


@pytest.mark.parametrize(
    "outcome", [SystemExit(3), KeyboardInterrupt(), Panic("words"), GeneratorExit(), StopIteration()]
)
async def test_what_would_end_more_than_the_work_says_what_it_was(outcome: BaseException) -> None:
    with pytest.raises(RuntimeError, match=type(outcome).__name__) as raised:
        await in_thread(lambda: ending_with(outcome), "work")
    assert raised.value.__cause__ is outcome


async def test_work_that_does_not_end_holds_no_other_up() -> None:
    begun, release = threading.Event(), threading.Event()

    def hang() -> bool:
        begun.set()
        return release.wait(20)

    hanging = in_thread(hang, "work")
    await in_thread(lambda: begun.wait(20), "work")
    assert not hanging.done()
    release.set()
    assert await hanging


async def test_a_thread_that_has_done_its_work_is_given_the_next() -> None:
    first = await in_thread(threading.current_thread, "one")
    second = await in_thread(lambda: (threading.current_thread(), threading.current_thread().name), "two")
    assert second == (first, "two")


async def test_a_thread_that_is_given_no_more_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = await in_thread(threading.current_thread, "work")
    monkeypatch.setattr(threads, "IDLE_SECONDS", 0.001)
    assert await in_thread(threading.current_thread, "work") is thread
    await asyncio.to_thread(thread.join, 20)
    assert not thread.is_alive()
    assert await in_thread(lambda: 1, "work") == 1


def test_a_loop_that_is_closed_meanwhile_costs_no_other_its_work() -> None:
    release = threading.Event()

    async def leave() -> None:
        in_thread(lambda: release.wait(20), "left behind")

    async def work() -> list[int]:
        return await asyncio.wait_for(asyncio.gather(*(in_thread(lambda: 1, "work") for _ in range(4))), 20)

    asyncio.run(leave())
    release.set()
    assert asyncio.run(work()) == [1] * 4

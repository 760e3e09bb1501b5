"""Work in a thread of its own: whatever it ends with, whoever waits for it is told."""

from __future__ import annotations

import pytest

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

"""Answers that are there at once, or later: a method without ``await`` costs a reader less."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def then(answer: T | Awaitable[T], make: Callable[[T], R]) -> R | Awaitable[R]:
    """``make`` of the answer: now if it is there, else as an awaitable."""
    if isinstance(answer, Awaitable):
        return _later(answer, make)
    return make(answer)


async def _later(answer: Awaitable[T], make: Callable[[T], R]) -> R:
    return make(await answer)

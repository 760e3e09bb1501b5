"""Measuring: two things in turn, medians, and the row of the table that comes of it."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

Action = Callable[[], Awaitable[Any]]


class Row(msgspec.Struct, kw_only=True):
    """One row of the table.

    ours, floor: seconds, medians of ``count`` each. most: what ``ours / floor`` may be; least: how many times as fast
    as the floor ours must be; within: seconds that ours may take. Exactly one of these three is given.
    """

    name: str
    what: str
    against: str
    ours: float
    floor: float
    count: int
    most: float | None = None
    least: float | None = None
    within: float | None = None

    @property
    def ratio(self) -> float:
        """Ours by the floor; the other way round where ours is to be the faster."""
        return self.floor / self.ours if self.least is not None else self.ours / self.floor

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        if self.within is not None:
            return self.ours <= self.within
        return self.ratio >= self.least if self.least is not None else self.ratio <= (self.most or 0)

    @property
    def target(self) -> str:
        """The target as the table shows it."""
        if self.within is not None:
            return f"≤ {duration(self.within)}"
        return f"≥ {self.least:g}× faster" if self.least is not None else f"≤ {self.most:g}×"

    def record(self) -> dict[str, object]:
        """The row with what follows from it, for JSON."""
        return {**msgspec.structs.asdict(self), "ratio": self.ratio, "target": self.target, "met": self.met}


async def seconds(action: Action) -> float:
    """How long an action takes."""
    begin = time.perf_counter()
    await action()
    return time.perf_counter() - begin


async def in_turn(ours: Action, floor: Action, count: int, *, block: int = 10, warm: int = 3) -> tuple[float, float]:
    """Medians in seconds of two actions, ``count`` times each after some that do not count.

    They take turns after every ``block``: a process that has just waited for the other one to finish costs twice as
    much at its first call, and the quick one of the two would bear all of that.
    """
    for _ in range(warm):
        await ours()
        await floor()
    taken: tuple[list[float], list[float]] = ([], [])
    # What the client's own collector costs would fall on whoever happens to be measured.
    gc.collect()
    gc.disable()
    try:
        for start in range(0, count, block):
            repeat = range(start, min(start + block, count))
            taken[0].extend([await seconds(ours) for _ in repeat])
            taken[1].extend([await seconds(floor) for _ in repeat])
    finally:
        gc.enable()
    return statistics.median(taken[0]), statistics.median(taken[1])


def duration(value: float) -> str:
    """Seconds for people."""
    if value >= 1:
        return f"{value:.2f} s"
    if value >= 0.001:
        return f"{value * 1000:.3g} ms"
    return f"{value * 1e6:.0f} µs"

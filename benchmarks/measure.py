"""Measuring: two things in turn, medians, and the row of the table that comes of it."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

Action = Callable[[], Awaitable[Any]]


class Row(msgspec.Struct, kw_only=True):
    """One row of the table.

    ours, floor: medians of ``count`` each in ``unit``, seconds or MiB; floor is None where there is nothing to compare
    with. most: what ``ours / floor`` may be; least: how many times as fast as the floor ours must be; within: what ours
    may take. Exactly one of these three is given. paired: the ratio where it was taken block by block.
    """

    name: str
    what: str
    ours: float
    count: int
    against: str = ""
    floor: float | None = None
    unit: Literal["s", "MiB"] = "s"
    most: float | None = None
    least: float | None = None
    within: float | None = None
    paired: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours by the floor; the other way round where ours is to be the faster."""
        if self.floor is None:
            return None
        ratio = self.paired if self.paired is not None else self.ours / self.floor
        return 1 / ratio if self.least is not None else ratio

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        if self.within is not None:
            return self.ours <= self.within
        ratio = self.ratio or 0
        return ratio >= self.least if self.least is not None else ratio <= (self.most or 0)

    @property
    def target(self) -> str:
        """The target as the table shows it."""
        if self.within is not None:
            return f"≤ {self.amount(self.within)}"
        return f"≥ {self.least:.3g}× faster" if self.least is not None else f"≤ {self.most:.3g}×"

    def amount(self, value: float | None) -> str:
        """A value in the row's unit, for people."""
        if value is None:
            return "–"
        return duration(value) if self.unit == "s" else f"{value:.0f} {self.unit}"

    def record(self) -> dict[str, object]:
        """The row with what follows from it, for JSON."""
        return {**msgspec.structs.asdict(self), "ratio": self.ratio, "target": self.target, "met": self.met}


class Missing(Exception):
    """A row needs what this machine does not have."""


class Failed(msgspec.Struct, kw_only=True):
    """A row that could not be measured, and why. skipped: this machine does not have what it needs."""

    name: str
    error: str
    skipped: bool = False

    def record(self) -> dict[str, object]:
        """For JSON."""
        return msgspec.structs.asdict(self)


class Pair(NamedTuple):
    """Two things measured in turn: medians in seconds, and the median of the ratios of neighbouring blocks."""

    ours: float
    floor: float
    paired: float


async def seconds(action: Action) -> float:
    """How long an action takes."""
    begin = time.perf_counter()
    await action()
    return time.perf_counter() - begin


async def in_turn(ours: Action, floor: Action, count: int, *, block: int = 10, warm: int = 3) -> Pair:
    """Two actions, ``count`` times each after some that do not count.

    They take turns after every ``block``: a process that has just waited for the other one to finish costs twice as
    much at its first call, and the quick one of the two would bear all of that. What else the machine does changes more
    slowly than the turns, so that it cancels out of the ratios of neighbouring blocks.
    """
    for _ in range(warm):
        await ours()
        await floor()
    mine: list[float] = []
    its: list[float] = []
    ratios: list[float] = []
    # What the client's own collector costs would fall on whoever happens to be measured.
    gc.collect()
    gc.disable()
    try:
        for start in range(0, count, block):
            repeat = range(start, min(start + block, count))
            mine.extend([await seconds(ours) for _ in repeat])
            its.extend([await seconds(floor) for _ in repeat])
            ratios.append(statistics.median(mine[start:]) / statistics.median(its[start:]))
    finally:
        gc.enable()
    return Pair(statistics.median(mine), statistics.median(its), statistics.median(ratios))


def ninety_ninth(times: Sequence[float]) -> float:
    """What 99 of 100 do not exceed."""
    return sorted(times)[math.ceil(len(times) * 0.99) - 1]


def duration(value: float) -> str:
    """Seconds for people."""
    if value >= 1:
        return f"{value:.2f} s"
    if value >= 0.001:
        return f"{value * 1000:.3g} ms"
    return f"{value * 1e6:.0f} µs"

"""The start with a database that exists: until the name is owned, until the first read is answered."""

from __future__ import annotations

import statistics
import sys
import time

from tests.support.daemon import NAME, Daemon

from . import content
from .measure import Row, seconds
from .stage import Measurement, Stage, owned, read

IMPORT = "import dbus_fast.aio"


class Starts:
    """Both rows come of the same starts."""

    def __init__(self) -> None:
        self._taken: tuple[float, float, float] | None = None

    async def name(self, stage: Stage) -> Row:
        """Until the bus name is owned."""
        name, _, bare = await self._measured(stage)
        return self._row(stage, "start-name", "bus name owned", name, bare, within=0.15)

    async def answer(self, stage: Stage) -> Row:
        """Until the first cached read is answered."""
        _, answer, bare = await self._measured(stage)
        return self._row(stage, "start-answer", "first cached answer", answer, bare, within=0.4)

    async def _measured(self, stage: Stage) -> tuple[float, float, float]:
        if self._taken is None:
            daemon = await stage.offline(stage.scale.big)
            if daemon.process is not None and daemon.process.poll() is None:
                await daemon.end()
            await start(daemon)
            rounds = [(*await start(daemon), await seconds(lambda: bare(stage, daemon))) for _ in _times(stage)]
            name, answer, floor = (statistics.median(column) for column in zip(*rounds, strict=True))
            self._taken = name, answer, floor
        return self._taken

    def _row(self, stage: Stage, name: str, what: str, ours: float, floor: float, within: float) -> Row:
        return Row(
            name=name,
            what=f"{what}, database of {stage.scale.big:,} items",
            against="Python importing dbus-fast",
            ours=ours,
            floor=floor,
            count=stage.scale.starts,
            within=within,
        )


def _times(stage: Stage) -> range:
    return range(stage.scale.starts)


async def start(daemon: Daemon) -> tuple[float, float]:
    """Start the daemon, read, and end it: seconds until the name was owned and until the read was answered."""
    begin = time.perf_counter()
    daemon.launch()
    await owned(daemon.client, NAME)
    name = time.perf_counter() - begin
    try:
        items, *_ = await read(daemon.client, content.SERVICE, content.address(0).node, 20, account=content.ACCOUNT)()
        answer = time.perf_counter() - begin
        if len(items) != 20:
            raise RuntimeError(f"{len(items)} items came, not 20")
    finally:
        await daemon.end()
    return name, answer


async def bare(stage: Stage, daemon: Daemon) -> None:
    """An interpreter that imports the library and ends."""
    process = await stage.process(daemon.bus, "-c", IMPORT)
    if await process.wait():
        raise RuntimeError(f"{sys.executable} could not {IMPORT}")


_starts = Starts()
ROWS: dict[str, Measurement] = {"start-name": _starts.name, "start-answer": _starts.answer}

"""The latest items of one node, in a small and in a large database."""

from __future__ import annotations

from itertools import cycle
from typing import Any

from tests.support.daemon import Daemon

from . import content
from .measure import Action, Row, in_turn
from .stage import Measurement, Stage, read

NODES = 10


async def growth(stage: Stage) -> Row:
    """Pages of 20 items, read from ten nodes by turns, in both databases."""
    scale = stage.scale
    large, small = await stage.running(scale.big), await stage.running(scale.small)
    taken = await in_turn(_reads(large, scale.big), _reads(small, scale.small), scale.reads, warm=20)
    return Row(
        name="growth",
        what=f"20 items of a node, database of {scale.big:,} items",
        against=f"the same, {scale.small:,} items",
        **taken._asdict(),
        count=scale.reads,
        most=1.3,
    )


def _reads(daemon: Daemon, count: int) -> Action:
    nodes = count // content.PER_NODE
    numbers = sorted({nodes * part // NODES for part in range(NODES)})
    # Another page each time, for those that were just sent are kept.
    reads = cycle(
        read(daemon.client, content.SERVICE, content.address(number).node, 20, account=content.ACCOUNT, index=index)
        for index in range(content.PER_NODE - 19)
        for number in numbers
    )

    async def action() -> list[Any]:
        reply: list[Any] = await next(reads)()
        if len(reply[0]) != 20:
            raise RuntimeError(f"{len(reply[0])} items came, not 20")
        return reply

    return action


ROWS: dict[str, Measurement] = {"growth": growth}

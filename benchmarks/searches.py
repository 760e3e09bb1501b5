"""Searches in a large database, over the bus; beside them a GetItems of as many items of the same daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from pubsub_cached.bus import Variant
from tests.support.daemon import NAME, ROOT

from . import content
from .measure import Row, in_turn
from .stage import CACHE, TIMEOUT, Measurement, Stage, read


class Question:
    """A search; ``bounded``: it says that only some of what fits was put into order. index: what it has to go by."""

    def __init__(
        self, what: str, text: str, query: str, within: float, *, bounded: bool = False, index: str = ""
    ) -> None:
        self.what = what
        self.text = text
        self.query = query
        self.within = within
        self.bounded = bounded
        self.index = index
        self.options: Mapping[str, Any] = {"limit": Variant("u", 20)}


QUESTIONS = {
    "search-rare": Question("search for a rare word", content.RARE, "", 0.002),
    "search-common": Question("search for a word in every item, by rank", content.COMMON, "", 0.05, bounded=True),
    "where": Question(
        "search by an indexed path",
        "",
        f'{{"where":[["{content.INDEXED}","=","{content.published(7)}"]]}}',
        0.002,
        index="ix_data_",
    ),
}


async def search(stage: Stage, name: str) -> Row:
    """The first 20 of what fits, all fields."""
    question = QUESTIONS[name]
    scale = stage.scale
    daemon = await stage.running(scale.big)

    async def action() -> int:
        items, _, info = await daemon.client.call(
            NAME, ROOT, CACHE, "Search", "ssa{sv}", [question.text, question.query, question.options]
        )
        if not items or (question.bounded and scale.big > 1000 and "ranked" not in info):
            raise RuntimeError(f"{len(items)} items came, of which were ranked: {info.get('ranked')}")
        return len(items)

    async with asyncio.timeout(TIMEOUT):
        # What analysers ask for is made after the start.
        while question.index not in await daemon.call("Debug", "Explain", "ssa{sv}", question.text, question.query, {}):
            await asyncio.sleep(0.1)
    found = await action()
    floor = read(daemon.client, content.SERVICE, content.address(0).node, found, account=content.ACCOUNT)
    pair = await in_turn(action, floor, scale.searches)
    return Row(
        name=name,
        what=f"{question.what}, {scale.big:,} items",
        against=f"GetItems of {found}",
        ours=pair.ours,
        floor=pair.floor,
        paired=pair.paired,
        count=scale.searches,
        within=question.within,
    )


ROWS: dict[str, Measurement] = {name: partial(search, name=name) for name in QUESTIONS}

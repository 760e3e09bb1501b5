"""Searches in a large database, over the bus; beside them a GetItems of as many items of the same daemon."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from pubsub_cached.bus import RemoteError, Variant
from tests.support.daemon import NAME, ROOT, Daemon

from . import content
from .measure import Row, in_turn
from .stage import CACHE, TIMEOUT, Measurement, Stage, read


class Question:
    """A search; ``bounded``: it says that only some of what fits was put into order. index: what it has to go by.

    new: it is written in another way each time, so that no answer comes again.
    """

    def __init__(
        self,
        what: str,
        text: str,
        query: str,
        within: float,
        *,
        bounded: bool = False,
        index: str = "",
        new: bool = False,
    ) -> None:
        self.what = what
        self.text = text
        self.query = query
        self.within = within
        self.bounded = bounded
        self.index = index
        self.new = new
        self.options: Mapping[str, Any] = {"limit": Variant("u", 20)}


QUESTIONS = {
    "search-rare": Question("search for a rare word", content.RARE, "", 0.002),
    "search-rare-new": Question("search for a rare word, written in another way", content.RARE, "", 0.002, new=True),
    "search-common": Question("search for a word in every item, by rank", content.COMMON, "", 0.05, bounded=True),
    "where": Question(
        "search by an indexed path",
        "",
        f'{{"where":[["{content.INDEXED}","=","{content.published(7)}"]]}}',
        0.002,
        index="ix_data_",
    ),
}


def spellings(word: str) -> Iterator[str]:
    """A word in small and capital letters, each time others."""
    for way in itertools.product(*((letter, letter.upper()) for letter in word)):
        yield "".join(way)


async def search(stage: Stage, name: str) -> Row:
    """The first 20 of what fits, all fields."""
    question = QUESTIONS[name]
    scale = stage.scale
    daemon = await stage.running(scale.big)

    spelled = spellings(question.text) if question.new else itertools.repeat(question.text)

    async def action() -> int:
        items, _, info = await daemon.client.call(
            NAME, ROOT, CACHE, "Search", "ssa{sv}", [next(spelled), question.query, question.options]
        )
        if not items or (question.bounded and scale.big > 1000 and "ranked" not in info):
            raise RuntimeError(f"{len(items)} items came, of which were ranked: {info.get('ranked')}")
        return len(items)

    async with asyncio.timeout(TIMEOUT):
        # What analysers ask for is made after the start.
        while question.index not in await _explained(daemon, question):
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


async def _explained(daemon: Daemon, question: Question) -> str:
    """How the database goes about it; "" when that was cut off, for without its index a search looks at every item."""
    try:
        return str(await daemon.call("Debug", "Explain", "ssa{sv}", question.text, question.query, {}))
    except RemoteError as error:
        if not error.name.endswith(".Timeout"):
            raise
        return ""


ROWS: dict[str, Measurement] = {name: partial(search, name=name) for name in QUESTIONS}

"""Parsing: what a built-in parser costs, and what an agent that does its worst costs everybody else."""

from __future__ import annotations

import asyncio
import json
import signal
import statistics
import time
from functools import partial
from weakref import WeakKeyDictionary

from pubsub_cached.analysers import xml
from pubsub_cached.analysers.builtin import registry
from pubsub_cached.analysers.registry import ItemContext
from pubsub_cached.bus import Interface, Match, Signal, Tree, Variant
from tests.support.daemon import NAME, ROOT

from . import content
from .agent import BEHAVIOURS
from .events import QUIET
from .measure import Action, Row, seconds
from .online import Online
from .stage import CACHE, TIMEOUT, Measurement, Stage, read

BATCH = 100
LEAST = 5_000
ITEMS = 64
NODE, OTHER, WANTED = "beside", "other", "agents"
BLOCK = 25


async def parse(stage: Stage) -> Row:
    """Items of 1.5 KB through the blog's parser, against reading their XML alone; both in time of the processor."""
    analysers = registry()
    where = content.address(0)
    payloads = [content.entry(f"post-{number}", 1500) for number in range(BATCH)]
    contexts = [ItemContext(where, str(number), payload, content.ATOM) for number, payload in enumerate(payloads)]

    def ours() -> None:
        for context in contexts:
            analysers.parse("blog", context)

    def floor() -> None:
        for payload in payloads:
            xml.parse(payload)

    if analysers.parse("blog", contexts[0]).data is None:
        raise RuntimeError("The parser makes nothing of the items.")
    count = max(2, stage.scale.reads // 10)
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(count):
        for action, times in zip((ours, floor), taken, strict=True):
            begin = time.process_time()
            action()
            times.append(time.process_time() - begin)
    mine, its = map(statistics.median, taken)
    return Row(
        name="parse",
        what="an item through the blog's parser, CPU",
        against="lxml, the XML alone",
        ours=mine / BATCH,
        floor=its / BATCH,
        count=count * BATCH,
        within=1 / LEAST,
    )


class Worst:
    """An agent of one behaviour in a process of its own, with a node of items that it is to parse."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def of(cls, stage: Stage, online: Online, behaviour: str) -> Worst:
        """Idle; the same one for each row."""
        started = _started.setdefault(online, {})
        if behaviour not in started:
            await online.node(WANTED, ITEMS)
            await online.keep(WANTED)
            process = await stage.process(online.daemon.bus, "-m", "benchmarks.agent", behaviour, WANTED)
            started[behaviour] = cls(process)
            await started[behaviour]._said("idle")
        return started[behaviour]

    async def work(self, working: bool) -> None:
        """Have it do its worst, or nothing."""
        self._process.send_signal(signal.SIGUSR1 if working else signal.SIGUSR2)
        await self._said("working" if working else "idle")

    async def _said(self, word: str) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(TIMEOUT):
            while line := (await self._process.stdout.readline()).decode().strip():
                if line == word:
                    return
        raise RuntimeError(f"The agent ended before it was {word}.")


_started: WeakKeyDictionary[Online, dict[str, Worst]] = WeakKeyDictionary()


async def beside(worst: Worst, action: Action, count: int, pause: float = 0) -> tuple[float, float]:
    """Medians of an action while an agent does its worst, and while it does nothing; pause: before each."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(3):
        await action()
    for _ in range(0, count, BLOCK):
        for working, times in zip((True, False), taken, strict=True):
            if working:
                await worst.work(True)
            for _ in range(min(BLOCK, count)):
                await asyncio.sleep(pause)
                times.append(await seconds(action))
            if working:
                await worst.work(False)
    return statistics.median(taken[0]), statistics.median(taken[1])


async def reads(stage: Stage, behaviour: str) -> Row:
    """A cached read of 20 items beside the agent."""
    online = await stage.online()
    await online.node(NODE, 20)
    await online.keep(NODE)
    worst = await Worst.of(stage, online, behaviour)
    mine, its = await beside(worst, read(online.daemon.client, online.service, NODE, 20), stage.scale.reads // 2 or 1)
    return _row("read", f"cached GetItems beside an agent that is {behaviour}", behaviour, mine, its, stage)


async def others(stage: Stage, behaviour: str) -> Row:
    """From a new version of another analyser, whose agent behaves, to the signal that its item is parsed again."""
    online = await stage.online()
    await online.node(OTHER, 1)
    await online.keep(OTHER)
    good = await Good.of(online)
    worst = await Worst.of(stage, online, behaviour)
    mine, its = await beside(worst, good.again, stage.scale.reads // 10 or 1, QUIET)
    await good.close()
    return _row("other", f"another analyser beside an agent that is {behaviour}", behaviour, mine, its, stage)


class Good(Interface):
    """An agent that answers at once, in this process."""

    name = f"{NAME}.AnalyserAgent"

    def __init__(self, online: Online) -> None:
        super().__init__()
        self._online = online
        self._version = 0
        self._told = asyncio.Event()
        self._tree = Tree(online.daemon.client, "/good")

    @classmethod
    async def of(cls, online: Online) -> Good:
        """Exported."""
        good = cls(online)
        good._tree.export("/good", good)
        good._tree.open()
        match = Match(sender=NAME, interface=CACHE, member="ItemsChanged")
        good._subscription = await online.daemon.client.subscribe(good._signalled, match)
        return good

    async def close(self) -> None:
        """Unregister, and no longer exported."""
        await self._online.daemon.call("Analysers", "Unregister", "s", "bench-good")
        self._subscription.cancel()
        await self._tree.close()

    async def again(self) -> None:
        """Have the item parsed again, and wait until that is told."""
        self._version += 1
        self._told.clear()
        rules = {
            "type": Variant("s", "bench"),
            "node": Variant("s", OTHER),
            "exact": Variant("b", True),
            "to-sync": Variant("b", True),
            "agent": Variant("o", "/good"),
            "callbacks": Variant("as", ["parse"]),
            "version": Variant("u", self._version),
        }
        client = self._online.daemon.client
        await client.call(NAME, ROOT, f"{NAME}.Analysers", "Register", "sa{sv}", ["bench-good", rules])
        if self._version == 1:
            await self._online.daemon.call("Analysers", "Reanalyse", "a{sv}", {"nodes": Variant("as", [OTHER])})
        async with asyncio.timeout(TIMEOUT):
            await self._told.wait()

    def Parse(self, account: str, service: str, node: str, id: str, item: str) -> str:
        return json.dumps({"version": self._version})

    def Match(self, account: str, service: str, node: str, analysis: str) -> str:
        return analysis

    def Release(self, reason: str) -> None:
        raise RuntimeError(f"released: {reason}")

    def _signalled(self, signal: Signal) -> None:
        if signal.body[2] == OTHER:
            self._told.set()


def _row(kind: str, what: str, behaviour: str, mine: float, its: float, stage: Stage) -> Row:
    return Row(
        name=f"{kind}-{behaviour.replace(' ', '-')}",
        what=what,
        against="the same while it does nothing",
        ours=mine,
        floor=its,
        count=stage.scale.reads,
        most=1.3,
    )


ROWS: dict[str, Measurement] = {
    "parse": parse,
    **{f"read-{each.replace(' ', '-')}": partial(reads, behaviour=each) for each in BEHAVIOURS},
    **{f"other-{each.replace(' ', '-')}": partial(others, behaviour=each) for each in BEHAVIOURS},
}

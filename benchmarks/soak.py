"""``scripts/bench --soak``: random work for a long time, and whether anything grew, slowed down or went astray."""

from __future__ import annotations

import asyncio
import os
import random
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from pubsub_cached.bus import Connection, RemoteError, Variant
from tests.support.daemon import NAME, ROOT

from . import content, pump
from .measure import Action, seconds
from .memory import resident
from .online import Online
from .stage import CACHE, QUICK, TIMEOUT, Stage, read
from .verdict import WARM, WORKERS, Sample, Verdict, described, growth, report, tracebacks

NODES = ("soak-a", "soak-b", "soak-c")
ITEMS = 40
PUMPED = "soak-pumped"
# So many reads are looked at each time.
READS = 25
# How often is looked at in all, the first third of which only warms up.
SAMPLES = 60
# What a client may be told while the account comes and goes and nodes are purged.
EXPECTED = frozenset({"Cancelled", "Conflict", "LimitExceeded", "NoSuchItem", "NoSuchNode", "NotCached", "Offline"})
_TITLE = re.compile(r"<(?:\w+:)?title[^>]*>([^<]*)<")


Publish = Callable[[int], Awaitable[object]]


class Soak:
    """The work, and what it is done to."""

    def __init__(self, online: Online, pumped: Publish, chance: random.Random) -> None:
        self._online = online
        self._pumped = pumped
        self._chance = chance
        self._serial = 0
        # All of it is taken by whoever wants to look in peace.
        self._at_work = asyncio.Semaphore(WORKERS)
        self.actions = 0
        self.errors: Counter[str] = Counter()
        self._work: dict[Callable[[Connection], Awaitable[object]], int] = {
            self._read: 30,
            self._read_lines: 20,
            self._search: 10,
            self._publish: 20,
            self._retract: 5,
            self._mark: 10,
            self._view: 10,
            self._leave: 4,
            self._synchronise: 2,
            self._purge: 1,
            self._flood: 2,
            self._reconnect: 1,
        }

    async def worker(self, end: float) -> None:
        """One thing after the other until the time is over."""
        client = await Connection.open(self._online.daemon.bus.address)
        try:
            while time.monotonic() < end:
                (action,) = self._chance.choices(list(self._work), list(self._work.values()))
                async with self._at_work:
                    await self._does(action, client)
                await asyncio.sleep(self._chance.random() * 0.02)
        finally:
            await client.close()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Nothing is begun meanwhile, and what was begun is over."""
        for _ in range(WORKERS):
            await self._at_work.acquire()
        try:
            yield
        finally:
            for _ in range(WORKERS):
                self._at_work.release()

    async def _does(self, action: Callable[[Connection], Awaitable[object]], client: Connection) -> None:
        self.actions += 1
        try:
            await action(client)
        except RemoteError as error:
            self.errors[error.name.rpartition(".")[2]] += 1

    @property
    def _node(self) -> str:
        return self._chance.choice(NODES)

    async def _call(self, client: Connection, member: str, signature: str, *body: object) -> list[object]:
        return await client.call(NAME, ROOT, CACHE, member, signature, body, timeout=TIMEOUT)

    async def _read(self, client: Connection) -> None:
        options = {
            "limit": Variant("u", self._chance.randint(1, 60)),
            "index": Variant("u", self._chance.randint(0, 9)),
        }
        await self._call(client, "GetItems", "sssa{sv}", "", self._online.service, self._node, options)

    async def _read_lines(self, client: Connection) -> None:
        body = ["", self._online.service, self._node, {"limit": Variant("u", self._chance.choice((20, 100, 1000)))}]
        descriptor, _, _ = await client.call(NAME, ROOT, f"{NAME}.Json", "ReadItems", "sssa{sv}", body, timeout=TIMEOUT)
        os.close(descriptor)

    async def _search(self, client: Connection) -> None:
        text = self._chance.choice(("sleeper", "kaleidoscope", "post", ""))
        await self._call(client, "Search", "ssa{sv}", text, "", {"limit": Variant("u", 20)})

    async def _publish(self, _: Connection) -> None:
        self._serial += 1
        entry = content.entry(f"version-{self._serial}", 1500)
        id_ = f"post-{self._chance.randrange(2 * ITEMS)}"
        await self._online.bob.publish(self._online.service, self._node, id_, entry)

    async def _retract(self, _: Connection) -> None:
        node = self._node
        items = (await self._online.daemon.items(self._online.service, node))[0]
        if len(items) > ITEMS // 2:
            id_ = self._chance.choice(items)["id"]
            try:
                await self._online.daemon.call(
                    "PubSub", "Retract", "sssasa{sv}", "", self._online.service, node, [id_], {}
                )
            except RemoteError as error:
                if not error.name.endswith("Xmpp.ItemNotFound"):
                    raise
                # Another worker retracted it meanwhile.

    async def _mark(self, client: Connection) -> None:
        ids = [f"post-{self._chance.randrange(ITEMS)}"]
        await self._call(client, "SetFlags", "sssasasas", "", self._online.service, self._node, ids, ["read"], [])

    async def _view(self, client: Connection) -> None:
        (path,) = await self._call(client, "CreateView", "ssa{sv}", "", '{"types":["blog"]}', {})
        for member in ("Start", "Close"):
            await client.call(NAME, str(path), f"{NAME}.View", member)

    async def _leave(self, _: Connection) -> None:
        """A client that opens views, asks, and is gone before it was answered."""
        leaving = await Connection.open(self._online.daemon.bus.address)
        for member, text in [("CreateView", ""), ("Search", "sleeper")] * 4:
            leaving.call_no_reply(NAME, ROOT, CACHE, member, "ssa{sv}", (text, "", {}))
        await leaving.close()

    async def _synchronise(self, client: Connection) -> None:
        options = {"full": Variant("b", True)}
        (job,) = await self._call(client, "Sync", "sssa{sv}", "", self._online.service, self._node, options)
        await client.call(NAME, str(job), f"{NAME}.Job", "Wait", timeout=TIMEOUT)

    async def _purge(self, client: Connection) -> None:
        (job,) = await self._call(client, "Purge", "a{sv}", {"nodes": Variant("as", [self._node])})
        await client.call(NAME, str(job), f"{NAME}.Job", "Wait", timeout=TIMEOUT)

    async def _flood(self, _: Connection) -> None:
        await self._pumped(100)

    async def _reconnect(self, client: Connection) -> None:
        path = await self._online.daemon.call("Manager", "GetAccount", "s", self._online.alice.jid)
        for member in ("Disconnect", "Connect"):
            await client.call(NAME, path, f"{NAME}.Account", member)


async def soak(minutes: float) -> Verdict:
    """Work for so long, then compare what is kept with what the service holds."""
    async with Stage(QUICK) as stage:
        online = await stage.online()
        pumped = await stage.pump(online)
        for node in NODES:
            await online.node(node, ITEMS)
            await online.keep(node)
        await online.keep_at(pump.DOMAIN, PUMPED)
        lock = asyncio.Lock()

        async def publish(count: int) -> None:
            async with lock:
                await pumped.events(PUMPED, count, 1000)

        work = Soak(online, publish, random.Random(7))
        begin = time.monotonic()
        end = begin + minutes * 60
        workers = [asyncio.create_task(work.worker(end)) for _ in range(WORKERS)]
        samples = await _samples(stage, online, work, end, minutes * 60 / SAMPLES)
        await asyncio.gather(*workers)
        grown = growth(samples) if minutes * 60 >= WARM else []
        failures = [
            *grown,
            *_strange(work.errors),
            *await astray(online),
            *tracebacks(online.daemon.log.read_text(encoding="utf-8")),
        ]
        return Verdict(time.monotonic() - begin, work.actions, samples, dict(work.errors), failures)


async def _samples(stage: Stage, online: Online, work: Soak, end: float, pause: float) -> list[Sample]:
    """Looks at the daemon now and then, while nobody else wants anything of it."""
    client = online.daemon.client
    where = await stage.echo(online)
    ours = read(client, online.service, NODES[0], 20)
    await client.call(*where, "Keep", "aa{sv}sa{sv}", await ours())
    floor = read(client, online.service, NODES[0], 20, destination=where)
    assert online.daemon.process is not None
    process = Path(f"/proc/{online.daemon.process.pid}")
    samples = []
    while time.monotonic() < end:
        async with work.paused():
            mine, ratio, dear = await _reads(ours, floor, process)
        samples.append(Sample(resident(online.daemon), len(os.listdir(process / "fd")), ratio, mine, dear))
        print(f"  {described(samples[-1])}", file=sys.stderr, flush=True)
        await asyncio.sleep(max(0.0, min(pause, end - time.monotonic())))
    return samples


async def _reads(ours: Action, floor: Action, process: Path) -> tuple[float, float, float]:
    """Medians of some reads: the seconds, by that of the echo right after it, and seconds of the processor."""
    taken: list[tuple[float, float, float]] = []
    async with asyncio.timeout(TIMEOUT):
        while len(taken) < READS:
            before = _worked(process)
            try:
                mine = await seconds(ours)
            except RemoteError:
                # Purged or offline in this moment, but not for long; the next one counts.
                await asyncio.sleep(0.05)
            else:
                worked = _worked(process) - before
                taken.append((mine, mine / await seconds(floor), worked))
    mine, ratio, worked = (statistics.median(column) for column in zip(*taken, strict=True))
    return mine, ratio, worked


def _worked(process: Path) -> float:
    """How long the first thread of a process, which has the loop, was on a processor, seconds."""
    return int((process / "task" / process.name / "schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def _strange(errors: Counter[str]) -> list[str]:
    return [f"{count} calls failed with {name}." for name, count in errors.items() if name not in EXPECTED]


async def astray(online: Online) -> list[str]:
    """Nodes that do not become what the service holds."""
    path = await online.daemon.call("Manager", "GetAccount", "s", online.alice.jid)
    await online.daemon.client.call(NAME, path, f"{NAME}.Account", "Connect")
    found = []
    for node in NODES:
        wanted = await online.contents(node)
        try:
            async with asyncio.timeout(TIMEOUT):
                while await _kept(online, node) != wanted:
                    await asyncio.sleep(0.2)
        except TimeoutError:
            found.append(f"{node} did not become what the service holds: {await _said(online, node)}.")
    return found


async def _kept(online: Online, node: str) -> dict[str, str]:
    """The titles that the cache has, by id; nothing while it does not say that they are right."""
    options = {"limit": Variant("u", 500), "policy": Variant("s", "cache")}
    try:
        items, _, info = await online.daemon.items(online.service, node, **options)
    except RemoteError as error:
        if error.name.endswith("NotCached"):
            # Purged as the last thing, and synchronised again once somebody reads it.
            with suppress(RemoteError):
                await online.daemon.items(online.service, node)
        return {}
    return {item["id"]: title(item["payload"]) for item in items} if info["freshness"] == "live" else {}


async def _said(online: Online, node: str) -> str:
    """What the daemon says of a node, for whoever has to find out what went wrong."""
    told = await online.daemon.call("Cache", "GetNode", "sssa{sv}", "", online.service, node, {})
    keys = ("state", "reason", "completeness", "items", "last-sync", "next-sync")
    return ", ".join(f"{key} {told[key]}" for key in keys if key in told)


def title(payload: str) -> str:
    """The title of an entry."""
    found = _TITLE.search(payload)
    return found[1] if found is not None else ""


def run(minutes: float) -> int:
    """Print the verdict; 1 when it is a bad one."""
    verdict = asyncio.run(soak(minutes))
    print(report(verdict))
    return 1 if verdict.failures else 0

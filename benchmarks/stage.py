"""What the rows run on, made when the first of them asks: buses, a server, daemons as processes, databases."""

from __future__ import annotations

import asyncio
import compileall
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import msgspec

from pubsub_cached.bus import Connection, Match, RemoteError, Variant
from tests.support import ejabberd
from tests.support.bus import PrivateBus
from tests.support.daemon import DBUS, NAME, ROOT, Daemon
from tests.support.known import note
from tests.support.prosody import Prosody
from tests.support.publisher import Publisher
from tests.support.server import Server, kept_ports

from . import content, echo, pump
from .databases import FILES, Databases
from .kept import Kept
from .measure import Action, Missing, Row
from .online import Online

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGE = CHECKOUT / "service"
CACHE = f"{NAME}.Cache"
TIMEOUT = 120.0
# So many times as long as its rate says may the pump take.
SLOWER = 10
# Else the end of a reply beyond 8 KB waits for the client's delayed acknowledgement, 40 ms that would flatter us.
SERVER = "network_settings = {{ nagle = false }}\ncomponent_ports = {{ {port} }}\n"
COMPONENT = f'Component "{pump.DOMAIN}"\n    component_secret = "{pump.SECRET}"\n'


class Scale(msgspec.Struct, frozen=True):
    """How much is measured.

    reads, searches, starts, events, syncs: repetitions; small, big, sync_items, load_items, memory_items: items;
    accounts, follows: how many, with so many nodes each; flood: seconds; longest: seconds that a row may take, and
    budget all of them together.
    """

    reads: int = 1000
    small: int = 1_000
    big: int = 200_000
    searches: int = 200
    starts: int = 15
    events: int = 100
    sync_items: int = 2_000
    syncs: int = 5
    load_items: int = 5_000
    memory_items: int = 20_000
    accounts: int = 5
    follows: int = 50
    flood: float = 10.0
    longest: float = 180.0
    budget: float = 1400.0


FULL = Scale(big=1_000_000, memory_items=100_000, accounts=20, follows=60, flood=60.0, longest=1800.0, budget=14_400.0)
QUICK = Scale(
    reads=5,
    small=200,
    big=400,
    searches=2,
    starts=1,
    events=2,
    sync_items=50,
    syncs=1,
    load_items=50,
    memory_items=50,
    accounts=2,
    follows=3,
    flood=0.5,
)


class Pump:
    """What tells the pump what to do (``benchmarks.pump``)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ready(self) -> None:
        """Return once it is connected to the server."""
        await self._line("ready")

    async def events(self, node: str, count: int, rate: int) -> float:
        """Have it publish so many items to a node; how long that took, seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{node} {count} {rate}\n".encode())
        # A busy machine has no time for the rate, and the row says which one it was.
        return float((await self._line("sent", TIMEOUT + SLOWER * count / rate)).split()[1])

    async def asked(self) -> list[int]:
        """How many requests came in each second since the first one, of those since this was asked last."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"asked\n")
        return [int(count) for count in (await self._line("asked")).split()[1:]]

    async def _line(self, start: str, within: float = TIMEOUT) -> str:
        assert self._process.stdout is not None
        return await line(self._process.stdout, start, within)


class Stage:
    """A context manager; at the end everything is stopped and removed."""

    def __init__(self, scale: Scale, where: str = FILES, keep: Path | None = None) -> None:
        """where: the databases of the daemons are, see ``Databases``; keep: where copies of full ones are kept."""
        self.scale = scale
        self._kept = Kept(keep)
        self._databases = Databases(where)
        self._stack = AsyncExitStack()
        self._online: Online | None = None
        self._echo = False
        self._filled: dict[int, asyncio.Task[Daemon]] = {}
        self._pump: Pump | None = None
        self.directory: Path

    async def __aenter__(self) -> Self:
        # As an installed daemon is; else a start would measure the compiler where Python writes no bytecode by itself.
        compileall.compile_dir(PACKAGE, quiet=1)
        name = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        self.directory = Path(name)
        self._stack.enter_context(self._databases)
        return self

    async def __aexit__(self, kind: object, error: object, at: object) -> None:
        if isinstance(error, Exception):
            self.say_logs()
        await self._stack.aclose()

    def say_logs(self) -> None:
        """Print how the logs of the daemons end."""
        for log in sorted(self.directory.glob("*/daemon.log")):
            print(f"{log.parent.name}: the daemon's log ends with\n{log.read_text()[-2000:]}", file=sys.stderr)

    async def online(self) -> Online:
        """The server and its daemon, made once."""
        if self._online is None:
            server, component_port = self._served()
            self._online = await self.at(server, self.directory / "online", component_port)
        return self._online

    async def at(self, server: Server, home: Path, component_port: int = 0) -> Online:
        """The same at a server that runs; home: the directory of its daemon, which is made."""
        known = note(server, self.directory / f"{server.name}.json")
        daemon = await self.connected(server, home)
        alice = await Publisher.open(server, "alice")
        # It only writes: the server would deliver each event to it as well, to one of the two first.
        alice.send("<presence type='unavailable'/>")
        self._stack.push_async_callback(alice.close)
        bob = await Publisher.open(server, "bob")
        self._stack.push_async_callback(bob.close)
        return Online(server, daemon, alice, bob, known, component_port)

    async def ejabberd(self) -> Online:
        """An ejabberd and its daemon. Raises Missing."""
        if not ejabberd.available():
            raise Missing("ejabberd is not installed")
        server = self._stack.enter_context(ejabberd.Ejabberd(self.directory / "ejabberd"))
        return await self.at(server, self.directory / "at-ejabberd")

    @asynccontextmanager
    async def fresh(self, online: Online) -> AsyncIterator[Daemon]:
        """A daemon of its own at the same server, which has done nothing but connect; ended at the end."""
        with tempfile.TemporaryDirectory(prefix="fresh-", dir=self.directory) as name:
            daemon = await self.connected(online.server, Path(name) / "home")
            yield daemon
            await daemon.end()

    def _served(self) -> tuple[Prosody, int]:
        """A server, and the port that components connect to."""
        server = Prosody(self.directory / "prosody")
        (kept,) = kept_ports(1)
        component_port = self._stack.enter_context(kept).getsockname()[1]
        configuration = server.configuration.read_text(encoding="utf-8")
        configuration = SERVER.format(port=component_port) + configuration + COMPONENT
        server.configuration.write_text(configuration, encoding="utf-8")
        self._stack.enter_context(server)
        server.add_user("carol")
        return server, component_port

    async def connected(self, server: Server, home: Path, users: Sequence[str] = ("alice",)) -> Daemon:
        """A daemon with the accounts of some users, online."""
        daemon = await self._daemon(home)
        self._databases.of(daemon)
        with daemon.config.open("a", encoding="utf-8") as config:
            config.write("[cache]\nitems-per-node = 10000\n")
        for user in users:
            daemon.account(server, user)
        await daemon.start()
        for user in users:
            await daemon.state(server.jid(user), "online")
        return daemon

    async def echo(self, online: Online) -> tuple[str, str, str]:
        """An echo beside the daemon, made once: destination, path and interface."""
        if not self._echo:
            self._echo = True
            await self.process(online.daemon.bus, "-m", "benchmarks.echo")
            await owned(online.daemon.client, echo.NAME)
        return echo.NAME, echo.PATH, echo.NAME

    async def offline(self, count: int) -> Daemon:
        """A daemon on a bus of its own; its database has ``count`` items and is made once.

        A row that has no time left for that leaves it to the next one that needs it.
        """
        if count not in self._filled:
            self._filled[count] = filling = asyncio.create_task(self._fill(count))
            self._stack.push_async_callback(_cancelled, filling)
        return await asyncio.shield(self._filled[count])

    async def _fill(self, count: int) -> Daemon:
        daemon = await self._daemon(self.directory / f"items-{count}")
        url = self._databases.of(daemon)
        with daemon.config.open("a", encoding="utf-8") as config:
            config.write(f'[cache]\ntotal-size = {2**40}\n\n[[account]]\njid = "{content.ACCOUNT}"\nenabled = false\n')
        analysers = daemon.config.parent / "analysers"
        analysers.mkdir()
        (analysers / "indexes.toml").write_text(content.INDEXES, encoding="utf-8")
        file = daemon.database if url.startswith(FILES) else None
        if file is None or not await asyncio.to_thread(self._kept.take, count, file):
            await content.fill(url, count, size=600)
            if file is not None:
                await asyncio.to_thread(self._kept.put, count, file)
        return daemon

    async def running(self, count: int) -> Daemon:
        """The same, started if it does not run."""
        daemon = await self.offline(count)
        if daemon.process is None or daemon.process.poll() is not None:
            await daemon.start()
        return daemon

    async def pump(self, online: Online) -> Pump:
        """A service with as many items and events as are asked for, made once."""
        if self._pump is None:
            process = await self.process(online.daemon.bus, "-m", "benchmarks.pump", str(online.component_port))
            self._pump = Pump(process)
            await self._pump.ready()
        return self._pump

    async def process(self, bus: PrivateBus, *arguments: str) -> asyncio.subprocess.Process:
        """Start a Python process that sees a bus; ended with the stage."""
        environment = bus.environment | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *filter(None, sys.path)])}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=CHECKOUT,
        )
        self._stack.push_async_callback(_end, process)
        return process

    async def _daemon(self, home: Path) -> Daemon:
        bus = self._stack.enter_context(PrivateBus())
        daemon = await Daemon(bus, home).connect()
        self._stack.push_async_callback(daemon.close)
        return daemon


Measurement = Callable[[Stage], Awaitable[Row]]


def read(
    client: Connection,
    service: str,
    node: str,
    limit: int,
    *,
    account: str = "",
    index: int = 0,
    destination: tuple[str, str, str] = (NAME, ROOT, CACHE),
) -> Action:
    """A GetItems of all fields, ready to be called often."""
    place = {"index": Variant("u", index)} if index else {}
    body = [account, service, node, {"limit": Variant("u", limit)} | place]

    async def action() -> list[Any]:
        return await client.call(*destination, "GetItems", "sssa{sv}", body)

    return action


async def line(stream: asyncio.StreamReader, start: str, within: float = TIMEOUT) -> str:
    """The next line of a process that begins with a word; seconds."""
    async with asyncio.timeout(within):
        while said := (await stream.readline()).decode():
            if said.split()[0] == start:
                return said
    raise RuntimeError(f"The process ended before it said {start!r}")


async def owned(client: Connection, name: str) -> None:
    """Return once a bus name has an owner."""
    seen = asyncio.Event()
    match = Match(sender=DBUS, interface=DBUS, member="NameOwnerChanged", arg0=name)
    subscription = await client.subscribe(lambda _: seen.set(), match)
    try:
        async with asyncio.timeout(TIMEOUT):
            if not (await client.call(DBUS, "/", DBUS, "NameHasOwner", "s", [name]))[0]:
                await seen.wait()
    except RemoteError as error:
        raise RuntimeError(f"{name} could not be awaited: {error}") from error
    finally:
        subscription.cancel()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])

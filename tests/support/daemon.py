"""The daemon as a process on a private bus, and a client of it in the test."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import pytest

from pubsub_cached.bus import Connection, Match, RemoteError, Signal, Variant

from . import sqlite
from .bus import PrivateBus
from .server import Server

NAME = "im.pubsubcache1"
ROOT = "/im/pubsubcache1"
DBUS = "org.freedesktop.DBus"


class Daemon:
    """``pubsub-cached`` with directories of its own; ``account`` adds one of a server to its configuration."""

    def __init__(self, bus: PrivateBus, directory: Path) -> None:
        self.bus = bus
        self.directory = directory
        self.database = directory / "data" / "pubsub-cached" / "cache.sqlite3"
        self.process: subprocess.Popen[str] | None = None
        self.log = directory / "daemon.log"
        self.client: Connection
        self.signals: list[Signal] = []
        self._woken = asyncio.Event()
        (directory / "config" / "pubsub-cached").mkdir(parents=True)
        self.config = directory / "config" / "pubsub-cached" / "config.toml"

    def account(self, server: Server, user: str) -> None:
        """Add an account to the configuration."""
        password = self.directory / f"{user}.password"
        password.write_text(server.passwords[user])
        password.chmod(0o600)
        with self.config.open("a", encoding="utf-8") as config:
            config.write(
                f'[[account]]\njid = "{server.jid(user)}"\npassword-file = "{password}"\n'
                f'host = "{server.host}"\nport = {server.port}\nca-file = "{server.ca_file}"\n'
            )

    @property
    def environment(self) -> dict[str, str]:
        """What the process is started with."""
        return self.bus.environment | {
            "XDG_CONFIG_HOME": str(self.directory / "config"),
            "XDG_DATA_HOME": str(self.directory / "data"),
        }

    async def connect(self) -> Self:
        """Connect the client, which hears every signal of the daemon."""
        self.client = await Connection.open(self.bus.address)
        await self.client.subscribe(self._hear, Match(sender=NAME))
        return self

    async def start(self, *arguments: str) -> Self:
        """Start the process and wait until it answers."""
        self.launch(*arguments)
        while True:
            assert self.process is not None
            if self.process.poll() is not None:
                raise RuntimeError(f"the daemon ended with {self.process.returncode}: {self.log.read_text()}")
            try:
                await self.call("Cache", "ListNodes", "a{sv}", {})
            except RemoteError as error:
                # Nothing owns the name yet, or what does took longer to begin than it lets a call wait.
                if error.name not in (f"{DBUS}.Error.ServiceUnknown", f"{NAME}.Error.Timeout"):
                    raise
                await asyncio.sleep(0.01)  # its owner changing would be told as well
            else:
                return self

    def launch(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the process and do not wait; what it would make of a new database is there."""
        sqlite.place(self.database)
        with self.log.open("a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pubsub_cached", *arguments], env=self.environment, stderr=log, text=True
            )
        return self.process

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, 20)

    async def close(self) -> None:
        """Stop whatever runs."""
        if self.process is not None and self.process.poll() is None:
            await self.end()
        await self.client.close()

    async def call(self, interface: str, member: str, signature: str = "", *body: Any, path: str = ROOT) -> Any:
        """Call a method; the value of the reply, or a list of several."""
        reply = plain(await self.client.call(NAME, path, f"{NAME}.{interface}", member, signature, body, timeout=60))
        return reply[0] if len(reply) == 1 else reply

    async def get(self, interface: str, name: str, path: str = ROOT) -> Any:
        """A property."""
        reply = await self.client.call(NAME, path, f"{DBUS}.Properties", "Get", "ss", [f"{NAME}.{interface}", name])
        return plain(reply)[0]

    async def items(
        self, service: str, node: str, *, account: str = "", **options: Variant
    ) -> tuple[list[dict[str, Any]], str, dict[str, Any]]:
        """GetItems of the only account, or of one of them."""
        items, cursor, info = await self.call("Cache", "GetItems", "sssa{sv}", account, service, node, options)
        return items, cursor, info

    async def until(self, wanted: Callable[[Signal], bool]) -> Signal:
        """The first signal that fits, heard already or yet to come."""
        seen = 0
        while True:
            for heard in self.signals[seen:]:
                if wanted(heard):
                    return heard
            seen = len(self.signals)
            self._woken.clear()
            await self._woken.wait()

    async def state(self, account: str, wanted: str) -> None:
        """Wait until an account has a state."""
        path = await self.call("Manager", "GetAccount", "s", account)
        async with asyncio.timeout(30):
            while True:
                # Before it is asked for, or what is told meanwhile is missed.
                self._woken.clear()
                if await self.get("Account", "State", path) == wanted:
                    return
                await self._woken.wait()

    async def settled(self, service: str, node: str, *states: str, account: str = "") -> dict[str, Any]:
        """Wait until a node has one of the states; its record."""
        async with asyncio.timeout(30):
            while True:
                self._woken.clear()
                try:
                    arguments = (account, service, node, {})
                    record: dict[str, Any] = await self.call("Cache", "GetNode", "sssa{sv}", *arguments)
                except RemoteError as error:
                    if not error.name.endswith("NoSuchNode"):
                        raise
                    record = {}
                if record.get("state") in states:
                    return record
                await self._woken.wait()

    def busctl(self, *arguments: str) -> Any:
        """What busctl prints as JSON."""
        done = subprocess.run(
            ["busctl", f"--address={self.bus.address}", "--json=short", *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return json.loads(done.stdout) if done.stdout.strip() else None

    def _hear(self, signal: Signal) -> None:
        self.signals.append(signal)
        self._woken.set()


def plain(value: Any) -> Any:
    """Values without variants."""
    if isinstance(value, Variant):
        return plain(value.value)
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value


@pytest.fixture
async def daemon(private_bus: PrivateBus, tmp_path: Path) -> AsyncIterator[Daemon]:
    """A daemon that is not started yet, with a connected client; stopped at the end."""
    found = await Daemon(private_bus, tmp_path / "home").connect()
    yield found
    await found.close()
    assert "Traceback" not in (text := found.log.read_text() if found.log.exists() else ""), text

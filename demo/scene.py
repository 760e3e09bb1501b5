"""What the demonstration runs on: a directory, a server, a bus and the daemon, and the end of each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from pubsub_cached.bus import Connection, Match, RemoteError, Signal
from pubsub_cached.errors import BusLost
from pubsub_cached.object_path import of_name
from tests.support.bus import PrivateBus
from tests.support.known import note
from tests.support.prosody import Prosody

from . import publish
from .sample import Node, fill
from .terminal import Failed, Terminal

NAME = "im.pubsubcache1"
BUS = "org.freedesktop.DBus"
TIMEOUT = 60.0

CONFIGURATION = """\
[[account]]
jid = "{jid}"
password-file = "{password_file}"
host = "{host}"
port = {port}
ca-file = "{ca_file}"
"""


class Scene:
    """Everything that runs; ``client`` is a connection of our own to the same bus."""

    def __init__(self, directory: Path, server: Prosody, nodes: list[Node], address: str, *, private: bool) -> None:
        self.directory = directory
        self.server = server
        self.nodes = nodes
        self.address = address
        self.private = private
        self.account = server.jid("alice")
        self.account_path = of_name("account", self.account)
        self.log_file = directory / "daemon.log"
        self.client: Connection
        self._daemon: asyncio.subprocess.Process | None = None

    @property
    def exports(self) -> dict[str, str]:
        """What another terminal needs in its environment; the daemon's own directories are among it."""
        return {
            "DBUS_SESSION_BUS_ADDRESS": self.address,
            "XDG_CONFIG_HOME": str(self.directory / "config"),
            "XDG_DATA_HOME": str(self.directory / "data"),
        }

    @property
    def daemon_command(self) -> list[str]:
        """The daemon as a process of this checkout."""
        return [interpreter(), "-m", "pubsub_cached"]

    @property
    def daemon_line(self) -> str:
        """The same as one would type it, after the exports."""
        return f"{shlex.join(self.daemon_command)} 2>{shlex.quote(str(self.log_file))} &"

    def configure(self) -> Path:
        """Write the daemon's configuration; the file."""
        file = self.directory / "config" / "pubsub-cached" / "config.toml"
        file.parent.mkdir(parents=True)
        password = self.directory / "alice.password"
        password.touch(mode=0o600)
        password.write_text(self.server.passwords["alice"] + "\n", encoding="utf-8")
        file.write_text(
            CONFIGURATION.format(
                jid=self.account,
                password_file=password,
                host=self.server.host,
                port=self.server.port,
                ca_file=self.server.ca_file,
            ),
            encoding="utf-8",
        )
        return file

    def log_tail(self) -> str:
        """The end of the daemon's log."""
        if not self.log_file.exists():
            return ""
        return self.log_file.read_text(encoding="utf-8", errors="replace")[-2000:]

    async def start_daemon(self) -> None:
        """Start the daemon and return once it owns its name."""
        with self.log_file.open("ab") as log:
            self._daemon = await asyncio.create_subprocess_exec(
                *self.daemon_command,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, **self.exports},
                start_new_session=True,
            )
        await self._while_daemon_runs(self._until_owned())

    async def until_account(self, *states: str) -> str:
        """Return once Alice's account is in one of the states; the state."""
        return await self._while_daemon_runs(self._until_account(states))

    async def stop_daemon(self) -> None:
        """End the daemon as a service manager does."""
        process, self._daemon = self._daemon, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _until_owned(self) -> str:
        seen = asyncio.Event()
        match = Match(sender=BUS, interface=BUS, member="NameOwnerChanged", arg0=NAME)
        subscription = await self.client.subscribe(lambda _: seen.set(), match)
        try:
            if not (await self.client.call(BUS, "/", BUS, "NameHasOwner", "s", [NAME]))[0]:
                await seen.wait()
        finally:
            subscription.cancel()
        return NAME

    async def _until_account(self, states: tuple[str, ...]) -> str:
        changed = asyncio.Event()

        def signalled(_: Signal) -> None:
            changed.set()

        # Of any path: the account may not be there yet.
        match = Match(sender=NAME, interface="org.freedesktop.DBus.Properties", member="PropertiesChanged")
        subscription = await self.client.subscribe(signalled, match)
        try:
            while (state := await self._account_state()) not in states:
                await changed.wait()
                changed.clear()
            return state
        finally:
            subscription.cancel()

    async def _account_state(self) -> str:
        body = ["im.pubsubcache1.Account", "State"]
        state: list[Any] = await self.client.call(
            NAME, self.account_path, "org.freedesktop.DBus.Properties", "Get", "ss", body
        )
        return str(state[0].value)

    async def _while_daemon_runs(self, wait: Any) -> str:
        """Await something that comes only while the daemon is there."""
        assert self._daemon is not None
        ended = asyncio.create_task(self._daemon.wait())
        wanted: asyncio.Task[str] = asyncio.create_task(wait)
        try:
            await asyncio.wait({ended, wanted}, timeout=TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            if wanted.done():
                return wanted.result()
            state = f"ended with status {ended.result()}" if ended.done() else "did not get ready in time"
            raise Failed(f"The daemon {state}.")
        finally:
            ended.cancel()
            wanted.cancel()


@asynccontextmanager
async def opened() -> AsyncIterator[Scene]:
    """Start the server and the bus, fill the nodes, write the configuration; the daemon is left to ``start_daemon``.

    At the end everything is stopped and removed.
    """
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pubsub-cached-demo-")))
        server = Prosody(directory / "prosody")
        stack.callback(server.stop)
        server.start()
        nodes = await fill(server)
        note(server, directory / publish.FILE)
        address = await session_bus()
        private = not address
        if private:
            address = stack.enter_context(PrivateBus()).address
        scene = Scene(directory, server, nodes, address, private=private)
        scene.client = await Connection.open(address)
        stack.push_async_callback(scene.client.close)
        stack.push_async_callback(scene.stop_daemon)
        scene.configure()
        yield scene


async def session_bus() -> str:
    """Address of the desktop's own bus when it is there and the daemon's name is free, else ""."""
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS", "")
    if not address:
        return ""
    try:
        connection = await Connection.open(address)
        try:
            (owned,) = await connection.call(BUS, "/", BUS, "NameHasOwner", "s", [NAME])
        finally:
            await connection.close()
    except (BusLost, RemoteError):
        return ""
    return "" if owned else address


def interpreter() -> str:
    """This interpreter, as briefly as it can be typed in the checkout."""
    inside = Path(sys.executable).is_relative_to(Path.cwd())
    return os.path.relpath(sys.executable) if inside else sys.executable


def terminal(scene: Scene) -> Terminal:
    """A terminal whose commands see the scene's bus."""
    return Terminal(scene.address)

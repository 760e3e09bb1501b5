"""``pubsub-cachectl`` as a process, with pipes or on a terminal of its own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shlex
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from pubsub_cached.bus import Connection, RemoteError

PROGRAM = (sys.executable, "-c", "from pubsub_cached.cli import main; main(prog_name='pubsub-cachectl')")
SECONDS = 30
BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")


class Done(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str

    @property
    def records(self) -> list[Any]:
        """What was printed as JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Command:
    """Runs ``pubsub-cachectl`` as a process in an environment of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    async def start(self, *arguments: str, **streams: Any) -> asyncio.subprocess.Process:
        """Start it with pipes, or the streams given."""
        pipe = asyncio.subprocess.PIPE
        given = {"stdin": asyncio.subprocess.DEVNULL, "stdout": pipe, "stderr": pipe} | streams
        return await asyncio.create_subprocess_exec(*PROGRAM, *arguments, env=self.environment, **given)

    async def __call__(self, *arguments: str, stdin: str | None = None) -> Done:
        """Run it to its end, with no terminal anywhere."""
        process = await self.start(*arguments, stdin=asyncio.subprocess.PIPE if stdin is not None else None)
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate(None if stdin is None else stdin.encode())
        assert process.returncode is not None
        assert "Traceback" not in err.decode(), err.decode()
        return Done(process.returncode, out.decode(), err.decode())

    async def in_shell(self, line: str) -> Done:
        """Run a line of the shell, in which ``ctl`` is the command."""
        pipe = asyncio.subprocess.PIPE
        script = f'ctl() {{ {shlex.join(PROGRAM)} "$@"; }}\n{line}'
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", script, env=self.environment, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())

    async def ok(self, *arguments: str, stdin: str | None = None) -> Done:
        """Run it; it has to end well."""
        done = await self(*arguments, stdin=stdin)
        assert done.status == 0, done
        return done

    async def listening(self, process: asyncio.subprocess.Process, rules: int) -> None:
        """Return once the process listens to so many signals, and the daemon has answered what it asked before."""
        connection = await Connection.open(self.environment["DBUS_SESSION_BUS_ADDRESS"])
        try:
            async with asyncio.timeout(SECONDS):
                while await _rules(connection, process.pid) < rules:
                    await asyncio.sleep(0.01)  # the bus tells nobody about match rules
                await connection.call("im.pubsubcache1", "/", f"{BUS[0]}.Peer", "Ping")
        finally:
            await connection.close()

    async def on_terminal(
        self,
        *arguments: str,
        prompt: str = "",
        typed: str = "",
        shown: Callable[[], None] = lambda: None,
        columns: int = 100,
    ) -> Done:
        """Run it on a terminal of its own, all of stdin, stdout and stderr; type when the prompt shows, and tell."""
        outside, inside = pty.openpty()
        os.set_blocking(outside, False)
        environment = self.environment | {"COLUMNS": str(columns), "TERM": "xterm"}
        try:
            process = await asyncio.create_subprocess_exec(
                *PROGRAM, *arguments, env=environment, stdin=inside, stdout=inside, stderr=inside
            )
        finally:
            os.close(inside)
        try:
            async with asyncio.timeout(SECONDS):
                read = await _until(outside, prompt.encode()) if prompt else b""
                os.write(outside, typed.encode())
                shown()
                read += await _until(outside, b"")
                status = await process.wait()
        finally:
            os.close(outside)
        return Done(status, read.decode().replace("\r\n", "\n"), "")


async def _until(terminal: int, expected: bytes) -> bytes:
    """What is shown until the text came, or without one until the last program has left the terminal."""
    loop = asyncio.get_running_loop()
    shown = b""
    readable = asyncio.Event()
    loop.add_reader(terminal, readable.set)
    try:
        while not expected or expected not in shown:
            await readable.wait()
            readable.clear()
            try:
                shown += os.read(terminal, 65536)
            except BlockingIOError:
                continue
            except OSError:  # Linux says so of a terminal that nobody has open any more.
                return shown
    finally:
        loop.remove_reader(terminal)
    return shown


async def _rules(connection: Connection, pid: int) -> int:
    """How many match rules a process has, by the bus's statistics."""
    (names,) = await connection.call(*BUS, "ListNames")
    for name in names:
        if name.startswith(":"):
            try:
                if await connection.call(*BUS, "GetConnectionUnixProcessID", "s", [name]) == [pid]:
                    stats = (BUS[0], BUS[1], f"{BUS[0]}.Debug.Stats")
                    (found,) = await connection.call(*stats, "GetConnectionStats", "s", [name])
                    return int(found["MatchRules"].value)
            except RemoteError:  # It left the bus meanwhile.
                continue
    return 0

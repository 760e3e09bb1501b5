"""Everything of some kinds that crosses a bus, as the bytes it is sent in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from .bus import PrivateBus


class Monitor:
    """``heard``: all messages so far, as they were on the wire."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.heard = b""
        self._process = process
        self._more = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def holds(self, text: str) -> None:
        """Return once something with this text was heard."""
        async with asyncio.timeout(30):
            while text.encode() not in self.heard:
                self._more.clear()
                await self._more.wait()

    async def close(self) -> None:
        """Stop."""
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while data := await self._process.stdout.read(65536):
            self.heard += data
            self._more.set()


@contextlib.asynccontextmanager
async def monitored(bus: PrivateBus, *rules: str) -> AsyncIterator[Monitor]:
    """Monitor a bus for messages that fit one of the match rules."""
    command = ("dbus-monitor", "--address", bus.address, "--binary", *rules, "type='signal',member='NameAcquired'")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    monitor = Monitor(process)
    try:
        # Its own, with which it begins.
        await monitor.holds("NameAcquired")
        yield monitor
    finally:
        await monitor.close()

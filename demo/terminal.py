"""What the reader sees: sentences, the commands that are run, and what they answer."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

BOLD, DIM, GREEN, PLAIN = "\033[1m", "\033[2m", "\033[32m", "\033[0m"
HEAD, TAIL = 3, 3
TIMEOUT = 60.0


class Failed(Exception):
    """The demonstration did not show what it should; the message says what came instead."""


class Answer(NamedTuple):
    """What a command printed, and how long it took in seconds, its own start included."""

    text: str
    seconds: float


class Terminal:
    """Prints, and runs commands that see ``bus`` as the session bus."""

    def __init__(self, bus: str = "") -> None:
        self.environment = {**os.environ, "NO_COLOR": "1", "PAGER": "cat"}
        if bus:
            self.environment["DBUS_SESSION_BUS_ADDRESS"] = bus
        self._coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._width = min(shutil.get_terminal_size((110, 24)).columns, 110)
        self._chapter = 0
        self._fresh = True

    def chapter(self, title: str) -> None:
        """Begin a part."""
        self._chapter += 1
        self._print(f"\n{self._chapter}. {title}", BOLD)
        self._print("─" * min(self._width, len(title) + 3), DIM)
        self._fresh = True

    def farewell(self, text: str) -> None:
        """The last line."""
        self._print(f"\n{text}")

    def say(self, text: str) -> None:
        """A paragraph."""
        self._gap()
        self._print(textwrap.fill(text, self._width, break_on_hyphens=False))

    def point(self, text: str) -> None:
        """A line of a list."""
        self._print(self._indented(text, "  • "))

    def result(self, text: str) -> None:
        """What the last answer means."""
        self._print(self._indented(text, "→ "), GREEN)

    def commands(self, *lines: str) -> None:
        """Command lines, each in one piece so that it can be copied."""
        self.lines(*(f"$ {line}" for line in lines))

    def lines(self, *lines: str) -> None:
        """Lines as they are, so that they can be copied all at once."""
        self._gap()
        for line in lines:
            self._print(line, BOLD)

    def output(self, text: str) -> None:
        """What a command printed, shortened in the middle where it is long."""
        for line in shortened(text, self._width - 4):
            self._print(f"    {line}", DIM)

    async def run(self, *command: str, quiet: bool = False) -> Answer:
        """Print a command, run it, print its answer; raises Failed when it fails."""
        self.commands(shlex.join(command))
        start = time.perf_counter()
        process = await self._start(command)
        try:
            async with asyncio.timeout(TIMEOUT):
                out, error = await process.communicate()
        finally:
            await _end(process)
        seconds = time.perf_counter() - start
        if process.returncode:
            raise Failed(f"{command[0]} ended with status {process.returncode}: {error.decode().strip()}")
        if not quiet:
            self.output(out.decode())
        return Answer(out.decode(), seconds)

    @asynccontextmanager
    async def background(self, *command: str, ready: str) -> AsyncIterator[asyncio.StreamReader]:
        """Print a command and start it, once it has said ``ready``; what it prints, until the end of the block."""
        self.commands(f"{shlex.join(command)} &")
        process = await self._start(command)
        assert process.stdout is not None
        try:
            line = await self.line(process.stdout, ready)
            self.output(line)
            yield process.stdout
        finally:
            await _end(process)

    async def line(self, stream: asyncio.StreamReader, text: str) -> str:
        """The next line that holds ``text``."""
        async with asyncio.timeout(TIMEOUT):
            while line := (await stream.readline()).decode():
                if text in line:
                    return line.rstrip()
        raise Failed(f"A command ended before it said {text!r}.")

    async def _start(self, command: Sequence[str]) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=self.environment
        )

    def _gap(self) -> None:
        """An empty line, except at the beginning of a part."""
        if not self._fresh:
            self._print("")
        self._fresh = False

    def _indented(self, text: str, first: str) -> str:
        rest = " " * len(first)
        return textwrap.fill(text, self._width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)

    def _print(self, text: str, style: str = "") -> None:
        print(f"{style}{text}{PLAIN}" if self._coloured and style else text, flush=True)


def shortened(text: str, width: int) -> list[str]:
    """Lines of at most ``width``, those in the middle replaced by a note of how much there was."""
    lines = [
        part
        for line in text.rstrip().splitlines()
        for part in (textwrap.wrap(line, width, break_on_hyphens=False) or [""])
    ]
    if len(lines) <= HEAD + TAIL + 1:
        return lines
    left_out = sum(len(line) for line in lines[HEAD:-TAIL])
    return [*lines[:HEAD], f"[… {left_out:,} more characters …]", *lines[-TAIL:]]


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()

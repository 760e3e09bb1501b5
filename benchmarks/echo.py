"""``python -m benchmarks.echo``: a process that answers GetItems with replies it was given before."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any, ClassVar

from pubsub_cached.bus import Connection, Interface, Tree, Variant

NAME = "benchmark.Echo"
PATH = "/benchmark"

Lines = tuple[int, str, str]
Reply = tuple[list[dict[str, Variant]], str, dict[str, Variant]]


class Echo(Interface):
    """The same arguments, the same records, the same library as ``Cache.GetItems``, and nothing else."""

    name: ClassVar[str] = NAME
    directory: ClassVar[Path | None] = Path(__file__).parent / "interfaces"

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[int, Reply] = {}
        self._lines: dict[int, Lines] = {}

    def Keep(self, items: list[dict[str, Variant]], cursor: str, info: dict[str, Variant]) -> None:
        self._kept[len(items)] = items, cursor, info

    def KeepLines(self, count: int, lines: int, cursor: str, info: str) -> None:
        self._lines[count] = os.dup(lines), cursor, info

    def ReadItems(self, account: str, service: str, node: str, options: dict[str, Any]) -> Lines:
        lines, cursor, info = self._lines[options["limit"].value]
        return os.dup(lines), cursor, info

    def GetItems(self, account: str, service: str, node: str, options: dict[str, Any]) -> Reply:
        return self._kept[options["limit"].value]


async def serve() -> None:
    """Serve until SIGTERM."""
    connection = await Connection.open()
    tree = Tree(connection, PATH)
    tree.export(PATH, Echo())
    tree.open()
    await connection.own(NAME)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await tree.close()
    await connection.close()


if __name__ == "__main__":
    asyncio.run(serve())

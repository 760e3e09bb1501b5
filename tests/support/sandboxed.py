"""A client of the bus that lives in a root of its own with a ``.flatpak-info``, as Flatpak's do.

``python -m tests.support.sandboxed`` is that client: it reads one call a line on stdin, and writes what came of it, and
each signal, a line on stdout.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pubsub_cached.bus import Connection, Match, RemoteError, Signal, Variant

from .daemon import plain

PROJECT = Path(__file__).parents[2]
SECONDS = 30

# Everything of this machine's root is there, but the root itself is another one. $1: where, the rest is the program.
_ENTER = """set -e
root=$1
shift
for each in /*; do
    if [ -L "$each" ]; then cp -P "$each" "$root$each"
    elif [ -d "$each" ]; then mkdir "$root$each"; mount --rbind "$each" "$root$each"
    fi
done
exec chroot "$root" "$@"
"""


class Sandboxed:
    """A client in a sandbox. ``signals`` has what it has heard: interface, member, arguments."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.name = ""
        self.signals: list[tuple[str, str, list[Any]]] = []
        self._process = process

    async def call(self, interface: str, member: str, signature: str = "", *body: Any, path: str, name: str) -> Any:
        """The values of the reply. Raises RemoteError. body: numbers, strings, and what JSON makes of those."""
        assert self._process.stdin is not None
        call = {"name": name, "path": path, "interface": interface, "member": member, "signature": signature}
        self._process.stdin.write(json.dumps(call | {"body": body}).encode() + b"\n")
        answer = await self._next()
        if "error" in answer:
            raise RemoteError(*answer["error"])
        return answer["reply"]

    async def _next(self) -> dict[str, Any]:
        """The next answer; signals that come before it are kept."""
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while True:
                said: dict[str, Any] = json.loads(await self._process.stdout.readline())
                if "signal" not in said:
                    return said
                interface, member, body = said["signal"]
                self.signals.append((interface, member, body))


def _unshare() -> list[str]:
    user = [] if os.getuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    return ["unshare", *user, "--mount"]


@pytest.fixture
async def sandbox() -> AsyncIterator[Callable[..., Awaitable[Sandboxed]]]:
    """Starts clients: of the bus at an address, with this text as ``.flatpak-info``."""
    trial = subprocess.run([*_unshare(), "true"], capture_output=True, text=True)
    if trial.returncode:
        pytest.skip(f"nobody may have a root of their own here: {trial.stderr.strip()}")
    processes: list[asyncio.subprocess.Process] = []
    with tempfile.TemporaryDirectory(prefix="root-") as directory:

        async def start(address: str, info: str) -> Sandboxed:
            root = Path(directory) / str(len(processes))
            root.mkdir()
            (root / ".flatpak-info").write_text(info)
            process = await asyncio.create_subprocess_exec(
                *(*_unshare(), "sh", "-c", _ENTER, "sh", str(root)),
                *(sys.executable, "-m", "tests.support.sandboxed", address),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'service'}"},
            )
            processes.append(process)
            client = Sandboxed(process)
            client.name = (await client._next())["reply"]
            return client

        yield start
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()


def _value(given: Any) -> Any:
    """JSON's values for the bus: a pair ``{"v": [signature, value]}`` is a variant."""
    if isinstance(given, dict):
        if given.keys() == {"v"}:
            return Variant(*given["v"])
        return {key: _value(value) for key, value in given.items()}
    return [_value(value) for value in given] if isinstance(given, list) else given


async def _main(address: str) -> None:
    def say(**said: Any) -> None:
        print(json.dumps(said, default=str), flush=True)

    def heard(signal: Signal) -> None:
        say(signal=[signal.interface, signal.member, plain(signal.body)])

    client = await Connection.open(address)
    await client.subscribe(heard, Match(path=None))
    say(reply=client.unique_name)
    while line := await asyncio.to_thread(sys.stdin.readline):
        call = json.loads(line)
        at = [call[key] for key in ("name", "path", "interface", "member", "signature")]
        try:
            say(reply=plain(await client.call(*at, _value(call["body"]))))
        except RemoteError as error:
            say(error=[error.name, error.message])
    await client.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))

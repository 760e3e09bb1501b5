"""A real systemd user manager with its own bus, in directories, a mount namespace and a cgroup of its own.

It needs root and the cgroup hierarchy "name=systemd" (version 1), which can be mounted anew for it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pubsub_cached.bus import Connection
from pubsub_cached.errors import BusLost

SYSTEMD = Path("/lib/systemd/systemd")
SECONDS = 30
START = 60.0
BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
# $1 is the name of the cgroup. What is mounted is seen by these processes alone, and ends with them.
SCRIPT = """
set -eu
mount -t tmpfs -o mode=755 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd none /sys/fs/cgroup/systemd
mkdir -p /run/systemd/system
group=/sys/fs/cgroup/systemd/$1
mkdir "$group"
sh -c 'echo $$ >"$0/cgroup.procs"; exec /lib/systemd/systemd --user' "$group" &
manager=$!
trap 'kill $manager' TERM
wait $manager || wait $manager || true
# The kernel lets go of a group a moment after its last process.
until find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; do sleep 0.05; done
"""


class UserManager:
    """systemd --user; a context manager. ``environment`` is what a program of its session has."""

    def __init__(self, directory: Path) -> None:
        self._runtime = Path(tempfile.mkdtemp(prefix="user-"))
        self.address = f"unix:path={self._runtime}/bus"
        self.config = directory / "config"
        self.environment = os.environ | {
            "HOME": str(directory / "home"),
            "XDG_CONFIG_HOME": str(self.config),
            "XDG_DATA_HOME": str(directory / "data"),
            "XDG_RUNTIME_DIR": str(self._runtime),
            "DBUS_SESSION_BUS_ADDRESS": self.address,
        }
        for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            Path(self.environment[name]).mkdir()
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> UserManager:
        environment = {name: value for name, value in self.environment.items() if name != "DBUS_SESSION_BUS_ADDRESS"}
        command = ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", self._runtime.name]
        self._process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        try:
            asyncio.run(self._started())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=SECONDS)
        shutil.rmtree(self._runtime, ignore_errors=True)

    async def _started(self) -> None:
        """Return once it is on its bus."""
        async with asyncio.timeout(START):
            client = await self._connected()
            try:
                while not (await client.call(*BUS, "NameHasOwner", "s", ["org.freedesktop.systemd1"]))[0]:
                    await asyncio.sleep(0.02)
            finally:
                await client.close()

    async def _connected(self) -> Connection:
        """A client, once the manager listens on the socket of the bus."""
        while True:
            assert self._process.poll() is None, self._process.communicate()[1].decode()
            try:
                return await Connection.open(self.address)
            except BusLost:
                await asyncio.sleep(0.02)

    def systemctl(self, *arguments: str) -> str:
        """What ``systemctl --user`` prints; it has to end well."""
        command = ["systemctl", "--user", "--no-pager", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def show(self, *properties: str) -> list[str]:
        """Properties of the daemon's unit."""
        named = self.systemctl("show", "--property", ",".join(properties), "pubsub-cached.service").splitlines()
        found = dict(line.split("=", 1) for line in named)
        return [found[name] for name in properties]


def missing() -> str:
    """Why there can be none here, or ""."""
    if os.geteuid() != 0:
        return "mounting a cgroup hierarchy needs root"
    if not SYSTEMD.exists():
        return "systemd is not installed"
    if "name=systemd" not in Path("/proc/self/cgroup").read_text():
        return "there is no cgroup hierarchy name=systemd (version 1)"
    return ""


@pytest.fixture
def user_manager(tmp_path: Path) -> Iterator[UserManager]:
    """A user manager that knows nothing of the daemon."""
    if reason := missing():
        pytest.skip(reason)
    with UserManager(tmp_path) as manager:
        yield manager

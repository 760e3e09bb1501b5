"""What ``pubsub-cachectl setup`` installs, under a real systemd user manager."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pubsub_cached import __version__
from pubsub_cached.bus import Connection, Owners
from pubsub_cached.errors import PubSubCachedError
from tests.support.usermanager import BUS, SECONDS, UserManager

NAME, ROOT = "im.pubsubcache1", "/im/pubsubcache1"
PROPERTIES = "org.freedesktop.DBus.Properties"


@pytest.fixture
async def client(user_manager: UserManager) -> AsyncIterator[Connection]:
    connection = await Connection.open(user_manager.address)
    yield connection
    await connection.close()


def cachectl(manager: UserManager, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed command in the manager's session."""
    program = Path(sys.executable).with_name("pubsub-cachectl")
    return subprocess.run(
        [program, *arguments], env=manager.environment, capture_output=True, text=True, timeout=2 * SECONDS
    )


@pytest.fixture
def installed(user_manager: UserManager) -> UserManager:
    done = cachectl(user_manager, "setup")
    assert done.returncode == 0, done.stderr
    return user_manager


async def version(client: Connection) -> str:
    """A property of the daemon; the call starts it."""
    (found,) = await client.call(NAME, ROOT, PROPERTIES, "Get", "ss", ["im.pubsubcache1.Manager", "DaemonVersion"])
    return str(found.value)


async def process(client: Connection) -> int:
    """The process that owns the name."""
    (found,) = await client.call(*BUS, "GetConnectionUnixProcessID", "s", [NAME])
    return int(found)


async def left(client: Connection) -> asyncio.Event:
    """Set once the daemon that runs now has left the bus."""
    gone = asyncio.Event()
    (owner,) = await client.call(*BUS, "GetNameOwner", "s", [NAME])
    await Owners(client).watch(owner, lambda _: gone.set())
    return gone


async def test_a_call_starts_the_unit_which_is_restricted(installed: UserManager, client: Connection) -> None:
    assert installed.show("LoadState", "ActiveState") == ["loaded", "inactive"]

    assert await version(client) == __version__

    assert installed.show("ActiveState", "MainPID") == ["active", str(await process(client))]
    status = Path(f"/proc/{await process(client)}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


@pytest.mark.long
async def test_systemctl_sets_the_level_of_the_log(installed: UserManager, client: Connection) -> None:
    await version(client)

    assert installed.systemctl("service-log-level", "pubsub-cached.service").strip() == "info"
    installed.systemctl("service-log-level", "pubsub-cached.service", "debug")
    assert installed.systemctl("service-log-level", "pubsub-cached.service").strip() == "debug"


@pytest.mark.long
async def test_a_killed_daemon_is_started_again_and_a_stopped_one_is_not(
    installed: UserManager, client: Connection
) -> None:
    await version(client)
    before = await process(client)

    gone = await left(client)
    os.kill(before, signal.SIGKILL)
    async with asyncio.timeout(SECONDS):
        await gone.wait()
    # The call waits until it is back.
    assert await version(client) == __version__
    assert await process(client) != before

    installed.systemctl("stop", "pubsub-cached.service")
    assert installed.show("ActiveState", "Result", "ExecMainStatus") == ["inactive", "success", "0"]


async def test_a_daemon_that_can_not_be_configured_is_not_tried_again_and_doctor_says_why(
    installed: UserManager,
) -> None:
    file = installed.config / "pubsub-cached" / "config.toml"
    file.parent.mkdir()
    file.write_text("log-level = 3\n")

    with pytest.raises(AssertionError):
        installed.systemctl("start", "pubsub-cached.service")

    assert installed.show("ActiveState", "ExecMainStatus", "NRestarts") == ["failed", "2", "0"]
    done = cachectl(installed, "doctor")
    assert done.returncode == 5
    assert f"PROBLEM  configuration: Configuration file {file}: log-level: " in done.stdout


@pytest.mark.long
async def test_after_uninstalling_nothing_starts_it(installed: UserManager, client: Connection) -> None:
    await version(client)

    gone = await left(client)
    assert cachectl(installed, "setup", "--uninstall").returncode == 0
    async with asyncio.timeout(SECONDS):
        await gone.wait()

    with pytest.raises(PubSubCachedError) as raised:
        await version(client)
    assert raised.value.name == "org.freedesktop.DBus.Error.ServiceUnknown"

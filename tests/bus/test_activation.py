"""The session bus starts the daemon that ``pubsub-cachectl setup`` installed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from pubsub_cached import __version__
from pubsub_cached.bus import Connection, Owners
from pubsub_cached.errors import PubSubCachedError
from tests.support.bus import PrivateBus

NAME, ROOT, MANAGER = "im.pubsubcache1", "/im/pubsubcache1", "im.pubsubcache1.Manager"
PROPERTIES = "org.freedesktop.DBus.Properties"
BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")

Cachectl = Callable[..., str]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home of its own for the bus and what it starts."""
    return {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }


@pytest.fixture
def bus(make_bus: Callable[..., PrivateBus], tmp_path: Path, environment: dict[str, str]) -> PrivateBus:
    """A bus that looks for activation files where a session bus does, and finds none yet."""
    services = tmp_path / "data/dbus-1/services"
    services.mkdir(parents=True)
    return make_bus(servicedir=services, environment=environment)


@pytest.fixture
def cachectl(bus: PrivateBus, environment: dict[str, str]) -> Cachectl:
    """Run the installed ``pubsub-cachectl`` on the bus."""
    program = Path(sys.executable).with_name("pubsub-cachectl")

    def run(*arguments: str) -> str:
        command = [program, *arguments]
        return subprocess.run(
            command, env={**bus.environment, **environment}, check=True, capture_output=True, text=True
        ).stdout

    return run


@pytest.fixture
async def client(bus: PrivateBus) -> AsyncIterator[Connection]:
    connection = await Connection.open(bus.address)
    yield connection
    await connection.close()


async def has_owner(client: Connection) -> bool:
    (owned,) = await client.call(*BUS, "NameHasOwner", "s", [NAME])
    return bool(owned)


async def read(client: Connection, name: str) -> Any:
    """A property of the daemon's manager; the call starts the daemon when it does not run."""
    (variant,) = await client.call(NAME, ROOT, PROPERTIES, "Get", "ss", [MANAGER, name])
    return variant.value


async def stop(client: Connection) -> None:
    """End the running daemon as a service manager does, and wait until it has left the bus."""
    gone = asyncio.Event()
    owners = Owners(client)
    (owner,) = await client.call(*BUS, "GetNameOwner", "s", [NAME])
    await owners.watch(owner, lambda _: gone.set())
    (pid,) = await client.call(*BUS, "GetConnectionUnixProcessID", "s", [NAME])
    os.kill(pid, signal.SIGTERM)
    await gone.wait()


async def test_a_call_starts_the_daemon_that_setup_installed(client: Connection, cachectl: Cachectl) -> None:
    cachectl("setup")
    assert not await has_owner(client)

    assert await read(client, "Version") == 1
    assert await read(client, "DaemonVersion") == __version__
    assert await has_owner(client)


async def test_a_call_starts_a_stopped_daemon_again(client: Connection, cachectl: Cachectl) -> None:
    cachectl("setup")
    await read(client, "Version")
    await stop(client)
    assert not await has_owner(client)

    assert await read(client, "Version") == 1


async def test_a_bus_without_user_manager_is_said_to_start_the_daemon_itself(cachectl: Cachectl) -> None:
    assert "the bus itself will start the daemon" in cachectl("setup")


async def test_nothing_starts_the_daemon_before_setup_and_after_uninstall(
    client: Connection, cachectl: Cachectl
) -> None:
    with pytest.raises(PubSubCachedError) as before:
        await read(client, "Version")
    cachectl("setup")
    assert await read(client, "Version") == 1
    await stop(client)

    said = cachectl("setup", "--uninstall")

    with pytest.raises(PubSubCachedError) as after:
        await read(client, "Version")
    assert before.value.name == after.value.name == "org.freedesktop.DBus.Error.ServiceUnknown"
    assert "removed: " in said
    assert "will start the daemon" not in said

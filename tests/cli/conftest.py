"""The command line against a daemon over a fake world, on a private bus."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from pubsub_cached.daemon import Daemon
from pubsub_cached.xmpp.fake import World
from tests.bus.api_service import daemon as daemon_over
from tests.bus.api_service import frontend, world
from tests.support.bus import PrivateBus
from tests.support.command import Command


@pytest.fixture
def home(tmp_path: Path, private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directories of the test's own for daemon and command, and no other bus."""
    for variable, name in (("XDG_CONFIG_HOME", "config"), ("XDG_DATA_HOME", "data"), ("HOME", "home")):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setenv(variable, str(tmp_path / name))
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", private_bus.address)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path


@pytest.fixture
def ctl(home: Path) -> Command:
    """The command, on the private bus, whether or not there is a daemon."""
    return Command(dict(os.environ))


@pytest.fixture
def made() -> World:
    """The fake world of the daemon: Alice, and a service with a blog of three posts."""
    return world()


@pytest.fixture
async def running(made: World, home: Path, private_bus: PrivateBus) -> AsyncIterator[Daemon]:
    """A daemon with Alice online."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(daemon_over(made, private_bus.address, home))
        await stack.enter_async_context(frontend(private_bus.address))
        yield service

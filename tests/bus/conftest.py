"""A service and its clients on one private bus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from dbus_fast.aio import MessageBus

from pubsub_cached.bus import Connection, Tree
from pubsub_cached.xmpp.fake import World
from tests.bus import api_service
from tests.bus.sample import ROOT, Client, Sample
from tests.support.bus import PrivateBus

MakeClient = Callable[[], Awaitable[Client]]


@pytest.fixture
async def connection(bus_address: str) -> AsyncIterator[Connection]:
    connection = await Connection.open(bus_address)
    yield connection
    await connection.close()


@pytest.fixture
async def tree(connection: Connection) -> Tree:
    return Tree(connection)


@pytest.fixture
async def sample(tree: Tree) -> Sample:
    """The sample at the root of an open tree."""
    sample = Sample()
    tree.export(ROOT, sample)
    tree.open()
    return sample


@pytest.fixture
async def make_client(connection: Connection, bus_address: str) -> AsyncIterator[MakeClient]:
    buses: list[MessageBus] = []

    async def make() -> Client:
        bus = await MessageBus(bus_address, negotiate_unix_fd=True).connect()
        buses.append(bus)
        return Client(bus, connection.unique_name)

    yield make
    for bus in buses:
        if bus.connected:
            bus.disconnect()
            await bus.wait_for_disconnect()


@pytest.fixture
def session_bus(private_bus: PrivateBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the bus that is the session's for this process, whose user has files of this test alone."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", private_bus.address)
    return private_bus.address


@pytest.fixture
async def frontend(world: World, session_bus: str, tmp_path: Path) -> AsyncIterator[api_service.Frontend]:
    """A client of a daemon over the ``world`` of the test's module."""
    async with api_service.daemon(world, session_bus, tmp_path), api_service.frontend(session_bus) as client:
        yield client


@pytest.fixture
async def client(make_client: MakeClient) -> Client:
    return await make_client()

"""A service and its clients on one private bus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from dbus_fast.aio import MessageBus

from pubsub_cached.bus import Connection, Tree
from tests.bus.sample import ROOT, Client, Sample

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
async def client(make_client: MakeClient) -> Client:
    return await make_client()

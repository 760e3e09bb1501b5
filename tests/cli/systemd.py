"""What ``doctor`` reads of a systemd user manager, on a bus of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from pubsub_cached.bus import Connection, Interface, Tree

DIRECTORY = Path(__file__).parent / "interfaces"
ROOT = "/org/freedesktop/systemd1"
UNIT = f"{ROOT}/unit/pubsub_2dcached_2eservice"


class Manager(Interface):
    """Knows one unit."""

    name: ClassVar[str] = "org.freedesktop.systemd1.Manager"
    directory = DIRECTORY

    def LoadUnit(self, name: str) -> str:
        assert name == "pubsub-cached.service"
        return UNIT


class Unit(Interface):
    """The unit's states."""

    name: ClassVar[str] = "org.freedesktop.systemd1.Unit"
    directory = DIRECTORY

    LoadState = "loaded"
    ActiveState = "active"
    UnitFileState = "disabled"


class Service(Interface):
    """The unit as a service."""

    name: ClassVar[str] = "org.freedesktop.systemd1.Service"
    directory = DIRECTORY

    NRestarts = 0
    Result = "success"


@asynccontextmanager
async def systemd(address: str, **properties: object) -> AsyncIterator[None]:
    """A user manager whose unit has these properties."""
    unit, service = Unit(), Service()
    for name, value in properties.items():
        setattr(service if hasattr(service, name) else unit, name, value)
    connection = await Connection.open(address)
    tree = Tree(connection, root=ROOT)
    tree.export(ROOT, Manager())
    tree.export(UNIT, unit, service)
    tree.open()
    await connection.own("org.freedesktop.systemd1")
    try:
        yield
    finally:
        await connection.close()

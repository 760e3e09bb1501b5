"""NetworkManager and logind say that the network or the machine is back: nobody waits any longer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pubsub_cached import network
from pubsub_cached.bus import Connection, Variant
from pubsub_cached.network import Network
from tests.bus import api_service
from tests.support.bus import PrivateBus
from tests.support.dbusmock import SystemBus
from tests.support.passing import passed

CONNECTED_GLOBAL, CONNECTED_LOCAL, CONNECTING, DISCONNECTED = 70, 50, 40, 20
FULL, LIMITED = 4, 3
SLEEP = ("/org/freedesktop/login1", "org.freedesktop.login1.Manager")
MANAGER = ("/org/freedesktop/NetworkManager", "org.freedesktop.NetworkManager")


class Heard:
    """What a network tells, one after the other."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[bool] = asyncio.Queue()
        self.network = Network(self._told.put_nowait)

    async def next(self) -> bool:
        async with asyncio.timeout(20):
            return await self._told.get()

    @property
    def nothing(self) -> bool:
        return self._told.empty()


@pytest.fixture
async def heard(system_bus: SystemBus, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Heard]:
    """A network that listens, and tells every signal by itself."""
    monkeypatch.setattr(network, "WINDOW", 0.0)
    heard = Heard()
    task = asyncio.create_task(heard.network.run())
    async with asyncio.timeout(20):
        await heard.network.listening.wait()
    yield heard
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize(
    ("state", "up"), [(CONNECTED_GLOBAL, True), (CONNECTED_LOCAL, True), (CONNECTING, False), (DISCONNECTED, False)]
)
async def test_a_state_of_network_manager_is_told(system_bus: SystemBus, heard: Heard, state: int, up: bool) -> None:
    await system_bus.network_state(state)
    assert await heard.next() is up


async def test_full_connectivity_is_told_and_a_lesser_one_is_not(system_bus: SystemBus, heard: Heard) -> None:
    await system_bus.connectivity(LIMITED)
    await system_bus.connectivity(FULL)
    assert await heard.next() is True
    assert heard.nothing


@pytest.mark.parametrize(("path", "up"), [("/org/freedesktop/NetworkManager/ActiveConnection/2", True), ("/", False)])
async def test_another_connection_of_the_machine_is_told(
    system_bus: SystemBus, heard: Heard, path: str, up: bool
) -> None:
    await system_bus.property("PrimaryConnection", Variant("o", path))
    assert await heard.next() is up


async def test_other_properties_say_nothing(system_bus: SystemBus, heard: Heard) -> None:
    await system_bus.property("WirelessEnabled", Variant("b", True))
    await system_bus.connectivity(FULL)
    assert await heard.next() is True
    assert heard.nothing


async def test_waking_up_is_told_and_going_to_sleep_is_not(system_bus: SystemBus, heard: Heard) -> None:
    await system_bus.sleep(True)
    await system_bus.sleep(False)
    assert await heard.next() is True
    assert heard.nothing


async def test_only_the_services_themselves_are_believed(system_bus: SystemBus, heard: Heard) -> None:
    """What is sent to one client alone reaches it whatever that has subscribed to."""
    stranger = await Connection.open(system_bus.address)
    (names,) = await stranger.call_bus("ListNames")
    for to in (None, *(name for name in names if name[0] == ":")):
        stranger.signal(*SLEEP, "PrepareForSleep", "b", [False], to)
        stranger.signal(*MANAGER, "StateChanged", "u", [CONNECTED_GLOBAL], to)
    await stranger.close()
    await system_bus.network_state(DISCONNECTED)
    assert await heard.next() is False


async def test_many_signals_of_one_change_are_told_twice_at_most(
    system_bus: SystemBus, heard: Heard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pubsub_cached.network")
    is_up = asyncio.Event()

    def hear(record: logging.LogRecord) -> bool:
        if record.getMessage() == "The network changed":
            is_up.set()
        return True

    caplog.handler.addFilter(hear)
    monkeypatch.setattr(network, "WINDOW", 3600.0)
    for state in (DISCONNECTED, CONNECTING, CONNECTING, CONNECTED_LOCAL, CONNECTED_GLOBAL):
        await system_bus.network_state(state)
    assert await heard.next() is False
    await is_up.wait()
    assert heard.nothing
    # The last of them at the end of the window.
    passed(3600.0, monkeypatch)
    assert await heard.next() is True
    assert heard.nothing


async def test_without_a_system_bus_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pubsub_cached")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")
    await Network(lambda up: pytest.fail("told")).run()
    [record] = [record for record in caplog.records if record.name == "pubsub_cached.network"]
    assert record.levelno == logging.DEBUG
    assert f"The system bus at unix:path={tmp_path}/nothing can't be reached" in record.getMessage()


async def test_a_system_bus_that_goes_away_is_no_more_than_a_line_in_the_log(
    private_bus: PrivateBus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pubsub_cached")
    found = Network(lambda up: pytest.fail("told"), private_bus.address)
    running = asyncio.create_task(found.run())
    await found.listening.wait()
    private_bus.stop()
    async with asyncio.timeout(20):
        await running
    assert "are not heard of any more: The system bus went away" in caplog.text


async def test_the_daemon_s_waiting_accounts_connect_when_the_machine_wakes_up(
    bus_address: str, system_bus: SystemBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    world = api_service.world()
    world.reconnect = False
    async with api_service.daemon(world, bus_address, tmp_path) as daemon:
        account = daemon.house.accounts.get(api_service.ALICE)
        await world.settle()
        world.cut(api_service.ALICE)
        await world.settle()
        assert account.state == "waiting"
        async with asyncio.timeout(20):
            while account.state != "online":
                # As often as it takes: nothing tells when the daemon has begun to listen.
                await system_bus.sleep(False)
                await world.settle()

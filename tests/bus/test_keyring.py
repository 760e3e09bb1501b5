"""Accounts whose password is in a keyring that is locked, or hangs: nobody waits for it, and it can be tried again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.bus.api_service import ACCOUNT, MANAGER, daemon, frontend, world
from tests.support.bus import PrivateBus
from tests.support.dbusmock import secret_service_mock

BOB = "bob@example.org"
SECRET = "bob's"


@pytest.fixture(autouse=True)
def session(private_bus: PrivateBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", private_bus.address)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


async def test_nobody_waits_for_a_keyring_that_hangs(private_bus: PrivateBus, tmp_path: Path) -> None:
    made = world()
    made.account(BOB, password=SECRET)
    with secret_service_mock(private_bus, "completed", BOB, SECRET) as keyring:
        keyring.send_signal(signal.SIGSTOP)
        async with daemon(made, private_bus.address, tmp_path), frontend(private_bus.address) as client:
            (path,) = await client.call("AddAccount", "sa{sv}", BOB, {}, interface=MANAGER)
            assert await client.get("State", ACCOUNT, path) == "offline"
            await client.call(
                "GetItems",
                "sssa{sv}",
                "alice@example.org",
                "pubsub.example.org",
                "blog",
                {},
                interface="im.pubsubcache1.Cache",
            )
            keyring.send_signal(signal.SIGCONT)
            await client.property_is(path, ACCOUNT, "State", "online")
        keyring.kill()


async def test_a_dismissed_prompt_is_told_as_such_and_connect_asks_again(
    private_bus: PrivateBus, tmp_path: Path
) -> None:
    made = world()
    made.account(BOB, password=SECRET)
    with secret_service_mock(private_bus, "dismissed", BOB, SECRET) as keyring:
        async with daemon(made, private_bus.address, tmp_path), frontend(private_bus.address) as client:
            (path,) = await client.call("AddAccount", "sa{sv}", BOB, {}, interface=MANAGER)
            await client.property_is(path, ACCOUNT, "State", "failed")
            assert "its prompt was dismissed" in await client.get("ErrorMessage", ACCOUNT, path)
            keyring.kill()
            keyring.wait()
            with secret_service_mock(private_bus, "completed", BOB, SECRET) as unlocked:
                await client.call("Connect", path=path, interface=ACCOUNT)
                await client.property_is(path, ACCOUNT, "State", "online")
                unlocked.kill()

"""The services of a system bus: python-dbusmock's templates on a private one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pubsub_cached.bus import Connection, RemoteError, Variant

from .bus import PrivateBus

# Debian's package is for Debian's interpreter.
PYTHON = "/usr/bin/python3"
MOCK = "org.freedesktop.DBus.Mock"
NETWORK_MANAGER = "org.freedesktop.NetworkManager"
LOGIND = "org.freedesktop.login1"
_PATH = "/org/freedesktop/NetworkManager"
_MAIN = {NETWORK_MANAGER: "/org/freedesktop", LOGIND: "/org/freedesktop/login1"}


def secret_service_mock(bus: PrivateBus, prompt: str, jid: str, secret: str) -> subprocess.Popen[bytes]:
    """A locked Secret Service that has an account's password; prompt: see ``secrets_template``. It owns its name."""
    attributes = {"service": "im.pubsubcache1", "jid": jid}
    parameters = json.dumps({"prompt": prompt, "attributes": attributes, "secret": secret})
    template = str(Path(__file__).parent / "secrets_template.py")
    process = subprocess.Popen(
        [PYTHON, "-m", "dbusmock", "--session", "--template", template, "--parameters", parameters],
        env={"DBUS_SESSION_BUS_ADDRESS": bus.address, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
    )
    # The object that is made last; the name is there long before.
    last = "/org/freedesktop/secrets/prompt/p1"
    look = ["busctl", f"--address={bus.address}", "introspect", "org.freedesktop.secrets", last]
    while subprocess.run(look, capture_output=True).returncode:
        if process.poll() is not None:
            raise RuntimeError("python-dbusmock ended at once.")
        time.sleep(0.02)  # the bus tells nobody about objects
    return process


class SystemBus:
    """A system bus with NetworkManager and logind, and a client that has them do things."""

    def __init__(self, bus: PrivateBus) -> None:
        self.address = bus.address
        self._processes: list[subprocess.Popen[bytes]] = []
        self._client: Connection

    async def start(self) -> None:
        """Start the services and wait until they answer."""
        self._client = await Connection.open(self.address)
        for template, name in (("networkmanager", NETWORK_MANAGER), ("logind", LOGIND)):
            self._processes.append(
                subprocess.Popen(
                    [PYTHON, "-m", "dbusmock", "--system", "--template", template],
                    env={"DBUS_SYSTEM_BUS_ADDRESS": self.address, "PATH": "/usr/bin:/bin"},
                    stdout=subprocess.DEVNULL,
                )
            )
            await self._answers(name)
        # The template lacks it.
        body = [NETWORK_MANAGER, "PrimaryConnection", Variant("o", "/")]
        await self._client.call(NETWORK_MANAGER, _PATH, MOCK, "AddProperty", "ssv", body)

    async def stop(self) -> None:
        """End the services."""
        for process in self._processes:
            process.terminate()
            await asyncio.to_thread(process.wait, 10)
        await self._client.close()

    async def network_state(self, state: int) -> None:
        """NetworkManager's State becomes this NMState."""
        await self._mock(NETWORK_MANAGER, "SetGlobalConnectionState", "u", [state])

    async def connectivity(self, state: int) -> None:
        """NetworkManager's Connectivity becomes this NMConnectivityState."""
        await self._mock(NETWORK_MANAGER, "SetConnectivity", "u", [state])

    async def property(self, name: str, value: Variant) -> None:
        """A property of NetworkManager changes."""
        await self._mock(NETWORK_MANAGER, "SetProperty", "sssv", [_PATH, NETWORK_MANAGER, name, value])

    async def sleep(self, begins: bool) -> None:
        """The machine is about to sleep, or has woken up."""
        body = [f"{LOGIND}.Manager", "PrepareForSleep", "b", [Variant("b", begins)]]
        await self._mock(LOGIND, "EmitSignal", "sssav", body)

    async def _mock(self, service: str, member: str, signature: str, body: Sequence[Any]) -> None:
        await self._client.call(service, _MAIN[service], MOCK, member, signature, body)

    async def _answers(self, name: str) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    await self._client.call(name, _MAIN[name], "org.freedesktop.DBus.Peer", "Ping")
                except RemoteError:
                    await asyncio.sleep(0.02)  # nothing owns the name yet, or its objects are still being made
                else:
                    return


@pytest.fixture
async def system_bus(make_bus: Callable[..., PrivateBus], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SystemBus]:
    """A private system bus, which DBUS_SYSTEM_BUS_ADDRESS names."""
    bus = SystemBus(make_bus())
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
    try:
        await bus.start()
        yield bus
    finally:
        await bus.stop()

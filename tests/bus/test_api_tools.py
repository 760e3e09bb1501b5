"""The one-liners of the contract, typed into busctl and gdbus."""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from pubsub_cached.xmpp.fake import World
from tests.bus import api_service as bus
from tests.bus.api_service import ACCOUNT, ALICE_PATH
from tests.support.bus import PrivateBus

BUSCTL = "busctl --user {} im.pubsubcache1 /im/pubsubcache1"
CACHE = "im.pubsubcache1.Cache"

Shell = Callable[[str], Awaitable[tuple[int, str, str]]]


@pytest.fixture
def world() -> World:
    return bus.world()


@pytest.fixture
def client(frontend: bus.Frontend) -> bus.Frontend:
    return frontend


@pytest.fixture
def shell(client: bus.Frontend, private_bus: PrivateBus, tmp_path: Path) -> Shell:
    """Runs a line; status, output and errors."""

    async def run(line: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_shell(
            line,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=private_bus.environment,
            cwd=tmp_path,
        )
        output, said = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode(), said.decode()

    return run


@pytest.fixture
def root_level() -> Iterator[None]:
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


async def succeeds(shell: Shell, line: str) -> str:
    status, output, said = await shell(line)
    assert (status, said) == (0, "")
    return output


async def test_busctl_introspects(shell: Shell) -> None:
    shown = await succeeds(shell, BUSCTL.format("introspect"))
    for member in (".GetItems", ".ItemsChanged", ".Revision", ".AddAccount", ".Match", ".GetManagedObjects"):
        assert member in shown
    assert "@limit" not in shown


async def test_busctl_reads_items(shell: Shell) -> None:
    line = f"{BUSCTL.format('call')} {CACHE} GetItems 'sssa{{sv}}' '' pubsub.example.org blog 1 limit u 2"
    shown = await succeeds(shell, line)
    assert shown.startswith("aa{sv}sa{sv} 2 ")
    assert '"id" s "post-2"' in shown
    assert "post-0" not in shown


async def test_busctl_gives_json(shell: Shell) -> None:
    line = f"{BUSCTL.format('--json=short call')} {CACHE} GetItems 'sssa{{sv}}' '' pubsub.example.org blog 0"
    items, cursor, info = json.loads(await succeeds(shell, line))["data"]
    assert [item["id"]["data"] for item in items] == ["post-2", "post-1", "post-0"]
    assert cursor == ""
    assert info["source"] == {"type": "s", "data": "network"}


async def test_busctl_shows_the_sentence_of_an_error(shell: Shell) -> None:
    line = f"{BUSCTL.format('call')} {CACHE} GetItems 'sssa{{sv}}' '' pubsub.example.org blog 1 limt u 2"
    status, _, said = await shell(line)
    assert status != 0
    assert "GetItems does not know the option 'limt'" in said


async def test_busctl_waits_for_a_job(shell: Shell) -> None:
    line = f"{BUSCTL.format('call')} {CACHE} Sync 'sssa{{sv}}' '' pubsub.example.org blog 0"
    kind, job = shlex.split(await succeeds(shell, line))
    assert kind == "o"
    wait = f"busctl --user --timeout=600 call im.pubsubcache1 {job} im.pubsubcache1.Job Wait"
    assert "3 items" in await succeeds(shell, wait)


async def test_the_service_manager_sets_the_log_level(shell: Shell, root_level: None) -> None:
    # The calls of "systemctl --user service-log-level pubsub-cached.service debug".
    place = "im.pubsubcache1 /org/freedesktop/LogControl1 org.freedesktop.LogControl1 LogLevel"
    await succeeds(shell, f"busctl --user set-property {place} s debug")
    assert await succeeds(shell, f"busctl --user get-property {place}") == 's "debug"\n'
    assert logging.getLogger().level == logging.DEBUG


async def test_gdbus_hands_over_a_password(shell: Shell, client: bus.Frontend, world: World, tmp_path: Path) -> None:
    world.account("bob@example.org", password="hunter2")
    (tmp_path / "bob").write_text("hunter2\n")
    call = "gdbus call --session -d im.pubsubcache1 -o {} -m {} {}"
    manager = "im.pubsubcache1.Manager.AddAccount"
    path = ALICE_PATH.replace("alice", "bob")
    assert path in await succeeds(shell, call.format("/im/pubsubcache1", manager, "bob@example.org '{}'"))
    assert await succeeds(shell, call.format(path, f"{ACCOUNT}.SetPassword", "3 3<bob")) == "()\n"
    await client.property_is(path, ACCOUNT, "State", "online")


async def test_gdbus_monitors_what_changes(
    shell: Shell, client: bus.Frontend, world: World, private_bus: PrivateBus
) -> None:
    await client.synchronised()
    monitor = await asyncio.create_subprocess_exec(
        *("gdbus", "monitor", "--session", "-d", "im.pubsubcache1"),
        stdout=asyncio.subprocess.PIPE,
        env=private_bus.environment,
    )
    try:
        assert monitor.stdout is not None
        lines = [await monitor.stdout.readline(), await monitor.stdout.readline()]
        assert b"is owned by" in lines[1]
        world.services["pubsub.example.org"].publish("blog", "post-3", bus.entry(3))
        async with asyncio.timeout(20):
            while b"ItemsChanged" not in lines[-1]:
                lines.append(await monitor.stdout.readline())
        assert b"'blog', ['post-3'], @as []" in lines[-1]
        assert b"Number 3" not in b"".join(lines)
    finally:
        monitor.terminate()
        await monitor.wait()

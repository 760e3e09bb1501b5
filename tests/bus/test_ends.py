"""How the daemon ends: with which status, and what it says."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from pubsub_cached.address import Address
from pubsub_cached.bus import Connection, RemoteError
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.rows import StoredItem
from pubsub_cached.store.store import Store, Transaction
from tests.support import sqlite as sqlite_files
from tests.support.bus import PrivateBus
from tests.support.daemon import NAME, ROOT, Daemon
from tests.support.stored import publish

# The interpreter imports it at its start: a module of the daemon is missing.
BROKEN = """
import sys
sys.modules["pubsub_cached.cache.house"] = None
"""
# A plugin whose parser reads what nobody writes.
HANGING = """
from pathlib import Path
from pubsub_cached.analysers.definition import Definition

def register(registry):
    registry.register(Definition(name="hanging", type="thing", namespace="urn:x", to_sync=True, parser=parse))

def parse(item):
    return {{"text": Path("{}").read_text()}}
"""


def store_unparsed(tx: Transaction) -> None:
    """An item of a node that is to be parsed again by its analyser."""
    node = nodes.ensure(tx, Address("alice@example.org", "pubsub.example.org", "things"))
    nodes.update(tx, node.id, state="stale", analyser="hanging", type="thing", namespace="urn:x")
    publish(tx, node.id, [StoredItem("1", "<x xmlns='urn:x'/>", "urn:x")])


async def status(daemon: Daemon, *arguments: str) -> tuple[int, str]:
    """The exit status of a daemon that is not meant to stay, and its last line."""
    process = daemon.launch(*arguments)
    code = await asyncio.to_thread(process.wait, 30)
    return code, daemon.log.read_text().splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_status_0(daemon: Daemon, number: signal.Signals) -> None:
    await daemon.start()
    assert await daemon.end(number) == 0


async def test_running_calls_are_answered_before_the_end(daemon: Daemon) -> None:
    await daemon.start()
    job = await daemon.call("Cache", "Reset", "a{sv}", {})
    waiting = [asyncio.create_task(daemon.call("Job", "Wait", path=job)) for _ in range(10)]
    assert await daemon.end() == 0
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, str) or (isinstance(outcome, RemoteError) and "NoReply" not in outcome.name)


async def test_a_plugin_s_parser_that_hangs_does_not_hold_it_up(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, hanging = tmp_path / "site", tmp_path / "hanging"
    information = site / "hanging-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: hanging\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[pubsub_cached.analysers]\nhanging = hanging:register\n")
    (site / "hanging.py").write_text(HANGING.format(hanging))
    os.mkfifo(hanging)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *sys.path]))
    await daemon.start()
    await daemon.call("Manager", "AddAccount", "sa{sv}", "alice@example.org", {})
    await daemon.end()
    store = Store.open(f"sqlite:///{daemon.database}")
    await store.write(store_unparsed)
    await store.close()
    await daemon.start()
    # The parser is at work once it reads.
    with await asyncio.to_thread(hanging.open, "w"):
        assert await daemon.end() == 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colour = 'red'", ["colour"]),
        ("log-level = 3", ["log-level"]),
        ("[cache]\nitems-per-node = 'many'", ["items-per-node"]),
        ("[[account]]\njid = 'alice@example.org'\ntls = 'none'\nhost = 'example.org'", ["tls"]),
        ("[[account]\n", ["config.toml"]),
    ],
    ids=["unknown key", "wrong type", "nested", "tls none", "no TOML"],
)
async def test_a_bad_configuration_is_named_with_status_2(daemon: Daemon, text: str, named: list[str]) -> None:
    daemon.config.write_text(text)
    code, said = await status(daemon)
    assert code == 2
    assert "config.toml" in said
    assert all(name in said for name in named)


async def test_a_configuration_that_is_not_there_is_status_2(daemon: Daemon) -> None:
    code, said = await status(daemon, "--config", str(daemon.directory / "nowhere.toml"))
    assert code == 2
    assert "nowhere.toml" in said


async def test_a_newer_database_is_left_alone_with_status_2(daemon: Daemon) -> None:
    await daemon.start()
    await daemon.end()
    with sqlite3.connect(daemon.database) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    code, said = await status(daemon)
    assert code == 2
    assert "9999" in said
    with sqlite3.connect(daemon.database) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


@pytest.fixture
async def activating(
    servicedir: Path, make_bus: Callable[..., PrivateBus], tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[RemoteError]]]:
    """Has the bus start the daemon by a call; the error that answers that."""
    clients: list[Connection] = []

    async def activate(*arguments: str) -> RemoteError:
        command = " ".join((sys.executable, "-m", "pubsub_cached", *arguments))
        (servicedir / f"{NAME}.service").write_text(f"[D-BUS Service]\nName={NAME}\nExec={command}\n")
        environment = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
        bus = make_bus(servicedir=servicedir, environment=environment)
        clients.append(await Connection.open(bus.address))
        with pytest.raises(RemoteError) as told:
            await clients[0].call(NAME, ROOT, f"{NAME}.Cache", "ListNodes", "a{sv}", [{}], timeout=30)
        return told.value

    yield activate
    for client in clients:
        await client.close()


async def test_who_had_it_started_is_told_why_it_can_not_start(
    activating: Callable[..., Awaitable[RemoteError]], tmp_path: Path
) -> None:
    path = sqlite_files.place(tmp_path / "newer.sqlite3")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    told = await activating("--database", f"sqlite:///{path}")
    assert told.name == f"{NAME}.Error.DatabaseError"
    assert "has the revision '9999'" in told.message


async def test_who_had_it_started_is_told_of_a_defect(
    activating: Callable[..., Awaitable[RemoteError]], tmp_path: Path
) -> None:
    """To call again would start it in vain."""
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    assert (await activating()).name == f"{NAME}.Error.Internal"


async def test_a_call_that_waits_for_the_start_is_answered_when_the_daemon_is_stopped_before(daemon: Daemon) -> None:
    await daemon.start()
    with PrivateBus() as other:
        environment = daemon.environment | {"DBUS_SESSION_BUS_ADDRESS": other.address}
        process = subprocess.Popen(
            [sys.executable, "-m", "pubsub_cached"], env=environment, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        await asyncio.to_thread(lambda: next(line for line in lines if "used by another daemon" in line))
        client = await Connection.open(other.address)
        call = asyncio.create_task(client.call(NAME, ROOT, f"{NAME}.Cache", "ListNodes", "a{sv}", [{}], timeout=30))
        await asyncio.sleep(0)
        # It is read after the call.
        await client.call(NAME, ROOT, "org.freedesktop.DBus.Properties", "GetAll", "s", [f"{NAME}.Manager"])
        process.terminate()
        with pytest.raises(RemoteError, match="is stopping") as told:
            await call
        assert told.value.name == f"{NAME}.Error.Cancelled"
        assert await asyncio.to_thread(process.wait, 20) == 0
        process.stderr.close()
        await client.close()


async def test_a_second_daemon_says_that_the_name_is_taken_with_status_3(daemon: Daemon) -> None:
    await daemon.start()
    second = subprocess.run(
        [sys.executable, "-m", "pubsub_cached"], env=daemon.environment, capture_output=True, text=True, timeout=30
    )
    assert second.returncode == 3
    assert "im.pubsubcache1" in second.stderr
    assert await daemon.get("Manager", "State") == "running"


async def test_a_second_daemon_at_the_same_file_ends_with_status_1_whatever_bus_it_is_on(daemon: Daemon) -> None:
    await daemon.start()
    assert daemon.process is not None
    command = [sys.executable, "-m", "pubsub_cached"]
    with PrivateBus() as other:
        environment = daemon.environment | {"DBUS_SESSION_BUS_ADDRESS": other.address}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        _, said = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 1
    assert f"is used by another daemon, the process {daemon.process.pid};" in said.splitlines()[-1]
    daemon.process.kill()
    daemon.process.wait()
    await daemon.start()


async def test_one_that_ends_for_its_bus_went_away_is_followed_by_that_of_the_next_bus(
    daemon: Daemon, private_bus: PrivateBus
) -> None:
    await daemon.start()
    assert daemon.process is not None
    with PrivateBus() as other:
        environment = daemon.environment | {"DBUS_SESSION_BUS_ADDRESS": other.address}
        process = subprocess.Popen(
            [sys.executable, "-m", "pubsub_cached"], env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stderr is not None
            lines = iter(process.stderr.readline, "")
            said = await asyncio.to_thread(lambda: next(line for line in lines if "used by another daemon" in line))
            assert "Calls are answered once that is done." in said
            private_bus.stop()
            client = await Connection.open(other.address)
            await client.call(NAME, ROOT, f"{NAME}.Cache", "ListNodes", "a{sv}", [{}], timeout=30)
            await client.close()
        finally:
            process.terminate()
            assert await asyncio.to_thread(process.wait, 20) == 0
            process.stderr.close()


async def test_without_a_bus_it_ends_with_status_4(daemon: Daemon, tmp_path: str) -> None:
    environment = daemon.environment | {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path}/nothing"}
    alone = subprocess.run(
        [sys.executable, "-m", "pubsub_cached"], env=environment, capture_output=True, text=True, timeout=30
    )
    assert alone.returncode == 4
    assert "bus" in alone.stderr


async def test_a_bus_that_goes_away_ends_it_with_status_4(daemon: Daemon, private_bus: PrivateBus) -> None:
    await daemon.start()
    private_bus.stop()
    assert daemon.process is not None
    assert await asyncio.to_thread(daemon.process.wait, 20) == 4
    assert "bus" in daemon.log.read_text().splitlines()[-1]


async def test_a_damaged_database_is_set_aside_and_a_fresh_one_made(daemon: Daemon) -> None:
    daemon.database.parent.mkdir(parents=True)
    daemon.database.write_bytes(b"this is no database" * 1000)
    await daemon.start()
    aside = [path for path in daemon.database.parent.iterdir() if path.name != daemon.database.name]
    assert any(path.read_bytes().startswith(b"this is no database") for path in aside)
    assert "set aside" in daemon.log.read_text()


async def test_version_is_printed() -> None:
    done = subprocess.run([sys.executable, "-m", "pubsub_cached", "--version"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("pubsub-cached ")

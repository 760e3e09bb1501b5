"""What a client sees of a daemon that is starting or stopping."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pubsub_cached import __version__
from pubsub_cached.api.exports import Exports
from pubsub_cached.bus import RemoteError, Tree
from tests.bus import api_service as bus
from tests.bus.api_service import MANAGER
from tests.bus.sample import INTROSPECTABLE, PROPERTIES, Client
from tests.support.command import Command
from tests.support.daemon import Daemon

LOG_CONTROL = "org.freedesktop.LogControl1"
# The interpreter imports it at its start: a module is executed once the pipe was read to its end. Whoever looks for a
# module keeps all others from it, so that this would hold up the codec that the loop looks for.
SLOW = """
import sys
from importlib.machinery import PathFinder

class Slow(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != {module!r}:
            return None
        spec = super().find_spec(name, path, target)
        execute = spec.loader.exec_module

        def execute_later(module):
            with open({pipe!r}) as pipe:
                pipe.read()
            execute(module)

        spec.loader.exec_module = execute_later
        return spec

sys.meta_path.insert(0, Slow)
"""


async def test_a_starting_daemon_can_be_looked_at(tree: Tree, client: Client) -> None:
    Exports(tree, [])
    assert await client.get("State", MANAGER) == "starting"
    assert await client.get("Version", MANAGER) == 1
    assert await client.get("Features", MANAGER) == ["secret-service", "fts", "agents"]
    assert await client.get("SyslogIdentifier", LOG_CONTROL, f"/{LOG_CONTROL.replace('.', '/')}") == "pubsub-cached"
    (served,) = await client.call("Introspect", interface=INTROSPECTABLE)
    assert '<method name="GetItems">' in served


@pytest.fixture
def loading(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Launches a daemon that waits with a module until a pipe, which it reads, was opened and closed."""

    def launch(module: str) -> Path:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        (tmp_path / "sitecustomize.py").write_text(SLOW.format(pipe=str(pipe), module=module))
        with monkeypatch.context() as launching:
            launching.setenv("PYTHONPATH", str(tmp_path))
            daemon.launch("--database", f"sqlite:///{tmp_path / 'new.sqlite3'}")
        return pipe

    return launch


# The second is imported to make a database or upgrade it.
@pytest.mark.parametrize("module", ["pubsub_cached.cache.house", "alembic"])
async def test_a_daemon_is_looked_at_while_it_loads(
    daemon: Daemon, loading: Callable[[str], Path], module: str
) -> None:
    # It is opened once the daemon imports that, with the name owned.
    with await asyncio.to_thread(loading(module).open, "w"):
        async with asyncio.timeout(20):
            assert await daemon.get("Manager", "State") == "starting"
    assert await daemon.call("Cache", "ListNodes", "a{sv}", {}) == [[], ""]


async def test_doctor_says_what_a_daemon_is_once_it_has_started(daemon: Daemon, loading: Callable[[str], Path]) -> None:
    with await asyncio.to_thread(loading("pubsub_cached.cache.house").open, "w"):
        doctor = await Command(daemon.environment).start("doctor", "--json")
        assert doctor.stdout is not None
        while json.loads(await doctor.stdout.readline())["subject"] != "unit":
            continue
    found = json.loads(await doctor.stdout.readline())
    await doctor.communicate()
    assert (found["subject"], found["sentence"]) == ("daemon", f"running, version {__version__}.")


async def test_a_person_without_an_account_is_told_how_to_add_one(daemon: Daemon) -> None:
    await daemon.start()
    with pytest.raises(RemoteError, match="'pubsub-cachectl account add JID'") as refused:
        await daemon.call("Cache", "GetItems", "sssa{sv}", "", "pubsub.example.org", "blog", {})
    assert refused.value.name == "im.pubsubcache1.Error.NoSuchAccount"


async def test_the_state_is_told_until_the_end(
    bus_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    service = bus.daemon(bus.world(), bus_address, tmp_path)
    await service.__aenter__()
    async with bus.frontend(bus_address) as client:
        assert await client.get("State", MANAGER) == "running"
        closing = asyncio.create_task(service.__aexit__(None, None, None))
        message = await client.signal()
        while message.interface != PROPERTIES or message.body[0] != MANAGER:
            message = await client.signal()
        assert message.body[1]["State"].value == "stopping"
        await closing

"""What is under examples/ works as it is: fields, an application's analyser whose agent the bus starts, a plugin."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dbus_fast import Variant
from dbus_fast.aio import MessageBus

from pubsub_cached.address import Address
from pubsub_cached.analysers import files, plugins
from pubsub_cached.analysers.builtin import registry
from pubsub_cached.analysers.registry import ItemContext
from tests.bus import api_service
from tests.bus.api_service import SERVICE
from tests.bus.test_api_analysers import AgentClient
from tests.support.bus import PrivateBus
from tests.support.daemon import Daemon

EXAMPLES = Path(__file__).parents[2] / "examples"
AGENT = EXAMPLES / "analyser-agent"
PLUGIN = EXAMPLES / "analyser-plugin"
FIELDS = EXAMPLES / "analyser-fields" / "recipes.toml"


@pytest.fixture
def installed(tmp_path: Path, servicedir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The application's files where its package puts them, but its analyser; the result is where that goes."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "share"))
    service = (AGENT / "org.example.Tickets.service").read_text()
    command = f"{sys.executable} {AGENT / 'tickets_agent.py'}"
    (servicedir / "org.example.Tickets.service").write_text(service.replace("/usr/libexec/tickets-agent", command))
    directory = tmp_path / "share" / "pubsub-cached" / "analysers"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def bus(installed: Path, activating_bus: PrivateBus) -> PrivateBus:
    """It finds the application's service file, and the daemon on it the application's analysers."""
    return activating_bus


async def test_an_installed_application_is_started_to_parse(bus: PrivateBus, installed: Path, tmp_path: Path) -> None:
    world = api_service.world()
    service = world.services[SERVICE]
    service.create_node("tickets")
    ticket = "<ticket xmlns='urn:example:ticket' priority='2'><summary>The lamp is broken</summary></ticket>"
    service.publish("tickets", "t0", ticket)
    async with api_service.daemon(world, bus.address, tmp_path), api_service.frontend(bus.address):
        client = AgentClient(await MessageBus(bus.address).connect(), "im.pubsubcache1")
        try:
            await client.items("tickets")
            assert await client.analyser("example.tickets") == {}
            shutil.copy(AGENT / "tickets.toml", installed)
            await client.is_("active", "example.tickets")
            await client.live()
            assert await client.data(1) == {"t0": {"summary": "The lamp is broken", "priority": 2}}
            assert (await client.analyser("example.tickets"))["origin"] == "file"
            (installed / "tickets.toml").write_text("name = 3")
            await client.is_("invalid", "tickets")
            (installed / "tickets.toml").unlink()
            await client.is_("", "tickets")
        finally:
            client.bus.disconnect()


async def test_an_agent_that_can_not_be_started_leaves_its_items_waiting(
    bus: PrivateBus, servicedir: Path, tmp_path: Path
) -> None:
    world = api_service.world()
    world.services[SERVICE].create_node("tickets")
    world.services[SERVICE].publish("tickets", "t0", "<ticket xmlns='urn:example:ticket'/>")
    async with api_service.daemon(world, bus.address, tmp_path), api_service.frontend(bus.address):
        client = AgentClient(await MessageBus(bus.address).connect(), "im.pubsubcache1")
        try:
            await client.items("tickets")
            await client.register(
                agent=Variant("o", "/agent"),
                callbacks=Variant("as", ["parse"]),
                to_sync=Variant("b", True),
                persist=Variant("b", True),
                bus_name=Variant("s", "org.example.Nobody"),
            )
            client.bus.disconnect()
            client = AgentClient(await MessageBus(bus.address).connect(), "im.pubsubcache1")
            await client.is_("waiting")
            assert "org.example.Nobody" in (await client.analyser())["reason"]
            # Whoever takes the name is called.
            client.serve(lambda call: '{"by": "name"}')
            await client.bus.request_name("org.example.Nobody")
            await client.live()
            assert await client.data(1) == {"t0": {"by": "name"}}
        finally:
            client.bus.disconnect()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which the plugin was installed, as pip does it."""
    directory = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-index", "--no-deps", "--no-build-isolation", "--target", directory, PLUGIN], check=True)
    return directory


async def test_the_daemon_has_the_analysers_of_an_installed_plugin(
    daemon: Daemon, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *sys.path]))
    await daemon.start()
    (entry,) = [each for each in await daemon.call("Analysers", "List") if each["name"] == "example.recipes"]
    assert (entry["origin"], entry["state"], entry["has-parser"]) == ("plugin", "active", True)


def test_what_the_plugin_makes_of_an_item(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(site))
    made = registry()
    plugins.load(made)

    entry = made.entry("example.recipes")
    assert entry is not None
    assert (entry.origin, entry.state) == ("plugin", "active")
    soup = "<recipe xmlns='urn:example:recipe' serves='4'><name>Leek soup</name><step>Cook.</step></recipe>"
    address = Address("a@example.org", "pubsub.example.org", "recipes")
    parsed = made.parse("example.recipes", ItemContext(address, "1", soup, "urn:example:recipe"))
    assert json.loads(parsed.data or "") == {"name": "Leek soup", "steps": ["Cook."], "serves": 4}
    bad = made.parse("example.recipes", ItemContext(address, "2", "<recipe xmlns='urn:example:recipe'/>", ""))
    assert bad.errors == ("A recipe has to have a name.",)


def test_fields_need_no_code() -> None:
    made = registry()
    made.register(files.read(FIELDS), "file")

    soup = (
        "<recipe xmlns='urn:example:recipe' serves='4'><name>Leek soup</name>"
        "<step>Cut.</step><step>Cook.</step></recipe>"
    )
    address = Address("a@example.org", "pubsub.example.org", "recipes")
    parsed = made.parse("example.recipes", ItemContext(address, "1", soup, "urn:example:recipe"))
    assert json.loads(parsed.data or "") == {"name": "Leek soup", "steps": ["Cut.", "Cook."], "serves": 4}

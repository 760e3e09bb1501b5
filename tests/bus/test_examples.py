"""What is under examples/ works as it is: fields, an application's analyser whose agent the bus starts, a plugin."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
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


def test_the_plugin_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    points = project["entry-points"][plugins.GROUP]
    installed = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    lines = "\n".join(f"{name} = {value}" for name, value in points.items())
    (installed / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{lines}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(PLUGIN))

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

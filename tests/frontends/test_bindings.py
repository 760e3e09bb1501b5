"""What the D-Bus bindings that authors use make of the daemon, by introspection and without."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import DBusError, Variant
from dbus_fast.aio import MessageBus

from demo.sample import BLOG
from tests.support.daemon import NAME, ROOT

from .conftest import Desktop

CLIENTS = Path(__file__).parent / "clients"
NEWEST = ["mushrooms", "what-a-cache-is-for"]
TITLE = "Forty-one species in one morning"
REFUSAL = [
    "org.freedesktop.DBus.Error.InvalidArgs",
    "GetItems does not know the option 'limits'; "
    "it knows after, before, cursor, fields, ids, index, limit, order, policy and timeout.",
]
SECONDS = 60

pytestmark = pytest.mark.prosody


async def run(interpreter: str, program: str, desktop: Desktop) -> dict[str, Any]:
    """What a client prints."""
    process = await asyncio.create_subprocess_exec(
        *(interpreter, CLIENTS / program, desktop.server.pubsub, BLOG),
        env=desktop.daemon.bus.environment,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS):
        out, _ = await process.communicate()
    assert process.returncode == 0
    got: dict[str, Any] = json.loads(out)
    return got


async def test_glib_proxies_work_without_generated_code(desktop: Desktop) -> None:
    got = await run("/usr/bin/python3", "glib_proxies.py", desktop)
    assert (got["version"], got["state"]) == (1, "online")
    assert got["properties"] == ["DaemonVersion", "Features", "State", "Version"]
    assert (got["items"], got["data"]) == (NEWEST, TITLE)
    assert (got["info"]["source"], got["info"]["freshness"]) == ("cache", "live")
    assert got["error"] == REFUSAL
    assert {"im.pubsubcache1.Cache", "org.freedesktop.DBus.ObjectManager"} <= set(got["interfaces"])
    assert desktop.account in got["objects"]
    assert got["heard"][0] == "ItemsChanged"
    assert got["heard"][1][1:4] == [desktop.server.pubsub, BLOG, NEWEST[:1]]


async def test_pyside_reads_everything_by_the_interface_json(desktop: Desktop) -> None:
    got = await run(sys.executable, "pyside_json.py", desktop)
    assert got["valid"]
    assert (got["items"], got["data"]) == (NEWEST, TITLE)
    assert (got["info"]["source"], got["info"]["freshness"]) == ("cache", "live")
    assert got["found"] == NEWEST[:1]
    assert BLOG in got["nodes"]
    assert (got["record"]["title"], got["record"]["state"]) == ("Bob’s notebook", "live")
    assert got["accounts"] == [desktop.server.jid("alice")]
    assert got["error"] == REFUSAL


async def test_dbus_fast_makes_its_proxies_of_what_is_introspected(desktop: Desktop) -> None:
    bus = await MessageBus(desktop.daemon.bus.address).connect()
    try:
        root = bus.get_proxy_object(NAME, ROOT, await bus.introspect(NAME, ROOT))
        cache: Any = root.get_interface(f"{NAME}.Cache")
        items, cursor, info = await cache.call_get_items("", desktop.server.pubsub, BLOG, {"limit": Variant("u", 2)})
        assert [item["id"].value for item in items] == NEWEST
        assert cursor
        assert await cache.get_revision() >= info["revision"].value
        heard: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()
        cache.on_items_changed(lambda *values: heard.set_result(values))
        await cache.call_set_flags("", desktop.server.pubsub, BLOG, NEWEST[:1], ["starred"], [])
        async with asyncio.timeout(SECONDS):
            assert (await heard)[1:4] == (desktop.server.pubsub, BLOG, NEWEST[:1])
        with pytest.raises(DBusError, match="does not know the option 'limits'"):
            await cache.call_get_items("", desktop.server.pubsub, BLOG, {"limits": Variant("u", 2)})
    finally:
        bus.disconnect()

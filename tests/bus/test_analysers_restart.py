"""Analysers that are registered from a shell, or wait in a file for a name, against the real process."""

from __future__ import annotations

import asyncio
from typing import Any

from pubsub_cached.bus import Connection, Variant
from tests.support.daemon import NAME, ROOT, Daemon

RULES = "type s ticket namespace s jabber:x:data to-sync b true persist b true"


async def test_an_analyser_registered_from_a_shell_survives_a_restart(daemon: Daemon) -> None:
    await daemon.start()
    call = ("call", NAME, ROOT, f"{NAME}.Analysers")
    registered = daemon.busctl(*call, "Register", "sa{sv}", "ticket", "4", *RULES.split())
    assert registered["data"] == ["/im/pubsubcache1/analyser/ticket"]
    for restarted in (False, True):
        if restarted:
            assert await daemon.end() == 0
            await daemon.start()
        (found,) = [each for each in await daemon.call("Analysers", "List") if each["name"] == "ticket"]
        assert (found["type"], found["origin"], found["to-sync"], found["state"]) == ("ticket", "bus", True, "active")
    daemon.busctl(*call, "Unregister", "s", "ticket")
    assert "ticket" not in [each["name"] for each in await daemon.call("Analysers", "List")]


async def test_a_file_takes_a_name_once_it_is_free(daemon: Daemon) -> None:
    await daemon.start()

    async def told(name: str) -> None:
        async with asyncio.timeout(20):
            await daemon.until(lambda heard: heard.member == "Registered" and heard.body == [name])
        daemon.signals.clear()

    async def listed() -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in await daemon.call("Analysers", "List")}

    rules = {"type": Variant("s", "ticket"), "namespace": Variant("s", "jabber:x:data"), "persist": Variant("b", True)}
    other = await Connection.open(daemon.bus.address)
    try:
        await other.call(NAME, ROOT, f"{NAME}.Analysers", "Register", "sa{sv}", ["ticket", rules])
        await told("ticket")
        directory = daemon.config.parent / "analysers"
        directory.mkdir()
        (directory / "mine.toml").write_text('name = "ticket"\ntype = "of-a-file"\nnode = "tickets"\n')
        await told("mine")
        assert "taken by a client, until somebody unregisters it" in (await listed())["mine"]["reason"]
    finally:
        await other.close()
    (directory / "mine.toml").write_text('name = "ticket"\ntype = "of-a-file"\nnode = "ticket"\n')
    (directory / "second.toml").write_text('name = "ticket"\ntype = "second"\nnode = "ticket"\n')
    await told("second")
    assert "taken by a client, until somebody unregisters it" in (await listed())["mine"]["reason"]
    daemon.busctl("call", NAME, ROOT, f"{NAME}.Analysers", "Unregister", "s", "ticket")
    await told("ticket")
    found = await listed()
    assert (found["ticket"]["origin"], found["ticket"]["type"]) == ("file", "of-a-file")
    assert "mine" not in found

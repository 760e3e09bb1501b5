"""The one-liner that registers an analyser from a shell, against the real process, and over its restart."""

from __future__ import annotations

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

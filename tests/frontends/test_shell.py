"""Every command for busctl and gdbus in the README does what it says, with the real daemon and a real server."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from .conftest import NEWS, ROOT, Desktop

COMMAND = re.compile(r"^ {4}(.*\b(?:busctl|gdbus) .*)$", re.MULTILINE)
COMMANDS = COMMAND.findall((ROOT / "README.md").read_text(encoding="utf-8"))
# What stands in the README for things that everybody has of their own.
NAMES = {"pubsub.example.org": "pubsub.localhost", "alice@example.org": "carol@localhost", " gtk ": " mushrooms "}
MONITOR = "gdbus monitor"
SECONDS = 60

pytestmark = pytest.mark.prosody


class Ran(NamedTuple):
    """What a command printed, and where it ran."""

    text: str
    desktop: Desktop
    directory: Path


Check = Callable[[Ran], Awaitable[None]]


def prints(*parts: str) -> Check:
    """The output has all of these."""

    async def check(ran: Ran) -> None:
        assert [part for part in parts if part not in ran.text] == [], ran.text

    return check


async def exports(ran: Ran) -> None:
    """The file has every item, an object a line."""
    job = re.search(r"'(/im/\S+)'", ran.text)
    assert job, ran.text
    await ran.desktop.daemon.call("Job", "Wait", path=job[1])
    lines = [json.loads(line) for line in (ran.directory / "backup.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {"mushrooms", "repair-cafe"} <= {line["id"] for line in lines}


async def adds(ran: Ran) -> None:
    """The account is there."""
    accounts = await ran.desktop.daemon.call("Json", "ListAccounts")
    assert "carol@localhost" in [json.loads(account)["jid"] for account in accounts]


async def registers(ran: Ran) -> None:
    """The analyser is there, though its client has gone."""
    found = {one["name"]: one for one in await ran.desktop.daemon.call("Analysers", "List")}
    assert found["ticket"]["state"] == "active"


# By what tells a command from the others.
CHECKS: dict[str, Check] = {
    "introspect": prints(".GetItems ", "im.pubsubcache1.Manager ", ".ItemsChanged "),
    "Cache GetItems": prints('"mushrooms"', '"source" s "cache"', '"freshness" s "live"'),
    "Cache Sync": prints(),  # its job is what the next one waits for
    "Job Wait": prints("are live."),
    "Cache Search": prints('"mushrooms"', '"completeness":{"type":"s","data":"full"}'),
    "Cache.Export": exports,
    "Analysers Register": registers,
    MONITOR: prints(f"Cache.ItemsChanged ('alice@localhost', 'pubsub.localhost', '{NEWS}', ['heard'], @as [], "),
    "Manager AddAccount": adds,  # last, for with two accounts "" is none of them any more
}


def kind(command: str) -> str:
    """The one check for a command."""
    (found,) = (part for part in CHECKS if part in command)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_readme_has_a_check(command: str) -> None:
    assert kind(command)


async def test_every_command_of_the_readme_works(desktop: Desktop, tmp_path: Path) -> None:
    commands = {kind(command): command for command in COMMANDS}
    assert set(commands) == set(CHECKS)
    monitor = await asyncio.create_subprocess_exec(
        *commands.pop(MONITOR).split(), env=desktop.daemon.bus.environment, stdout=asyncio.subprocess.PIPE
    )
    assert monitor.stdout is not None
    try:
        async with asyncio.timeout(SECONDS):
            heard = ""
            while "is owned by" not in heard:
                heard = (await monitor.stdout.readline()).decode()
            script = "".join(f"{{ {commands[part]}\n}} >'{part}' || exit\n" for part in CHECKS if part in commands)
            for name, own in NAMES.items():
                script = script.replace(name, own)
            await _bash(script, desktop, tmp_path)
            for part in commands:
                await CHECKS[part](Ran((tmp_path / part).read_text(encoding="utf-8"), desktop, tmp_path))
            await desktop.publish("heard", "Heard on the bus")
            while "'heard'" not in heard:
                heard = (await monitor.stdout.readline()).decode()
            await CHECKS[MONITOR](Ran(heard, desktop, tmp_path))
    finally:
        monitor.terminate()
        await monitor.wait()


async def _bash(script: str, desktop: Desktop, directory: Path) -> None:
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"set -o pipefail\n{script}"),
        env=desktop.daemon.bus.environment,
        cwd=directory,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaints = await shell.communicate()
    assert (shell.returncode, complaints.decode()) == (0, ""), sorted(path.name for path in directory.iterdir())

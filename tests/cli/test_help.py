"""Help, manual pages and start-up: everything is said, said once, and costs little."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from manual.pages import pages
from pubsub_cached.cli import main
from pubsub_cached.cli.failure import MEANINGS, Status
from tests.bus.api_service import SERVICE
from tests.support.command import SECONDS, Command

DIRECTORY = Path(__file__).resolve().parents[2] / "docs" / "man"
HEAVY = {"rich", "sqlalchemy", "slixmpp", "alembic", "lxml"}
BUS = {"dbus_fast", "asyncio"}
WATCHED = (
    "import sys, atexit, json\n"
    "tell = lambda: print(json.dumps([name for name in sys.modules if '.' not in name]), file=sys.stderr)\n"
    "atexit.register(tell)\n"
    "from pubsub_cached.cli import main\n"
    "main(prog_name='pubsub-cachectl')\n"
)

WANTED = {
    *("setup", "status", "account", "nodes", "get", "search", "watch", "sync", "purge", "reset", "publish", "retract"),
    *("subscribe", "unsubscribe", "discover", "analysers", "match", "export", "check", "doctor", "completion"),
}


def commands(group: click.Group = main) -> Iterator[click.Command]:
    """Every command, however deep."""
    for command in group.commands.values():
        yield command
        if isinstance(command, click.Group):
            yield from commands(command)


def test_the_commands_are_there() -> None:
    assert set(main.commands) >= WANTED


@pytest.mark.parametrize("command", [*commands()], ids=lambda command: command.name)
def test_each_command_and_option_says_what_it_is_for(command: click.Command) -> None:
    assert command.help
    assert command.help.split("\n\n")[0].endswith(".")
    undocumented = [option.name for option in command.params if isinstance(option, click.Option) and not option.help]
    assert undocumented == []


@pytest.mark.parametrize("command", [*commands()], ids=lambda command: command.name)
def test_each_line_in_the_list_of_commands_is_whole(command: click.Command) -> None:
    assert not command.get_short_help_str(80).endswith("...")


def test_exit_statuses_are_told() -> None:
    shown = " ".join(main.get_help(click.Context(main)).split())

    assert set(MEANINGS) == set(Status)
    for status, meaning in MEANINGS.items():
        assert f"{int(status)} {meaning}" in shown


# The manual


@pytest.mark.parametrize("name", pages())
def test_manual_pages_are_up_to_date(name: str) -> None:
    assert (DIRECTORY / name).read_text("utf-8") == pages()[name], "run scripts/manpages"


def test_no_page_is_left_over() -> None:
    assert {path.name for path in DIRECTORY.iterdir()} == set(pages())


@pytest.mark.parametrize("name", pages())
def test_manual_pages_are_well_formed(name: str) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-Kutf8", "-P-cbou", DIRECTORY / name],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
    assert "NAME" in done.stdout


def test_manual_has_every_command_and_option() -> None:
    text = pages()["pubsub-cachectl.1"].replace("\\-", "-")

    for command in commands():
        assert f" {command.name}" in text or f'"{command.name}' in text
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.opts[0] in text


# What is imported


async def modules(ctl: Command, *arguments: str) -> set[str]:
    """The modules a command has imported by its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        WATCHED,
        *arguments,
        env=ctl.environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS):
        _, err = await process.communicate()
    assert process.returncode == 0, err
    found: list[str] = json.loads(err.splitlines()[-1])
    return set(found)


@pytest.mark.parametrize("arguments", [("--help",), ("get", "--help"), ("completion", "bash"), ("--version",)])
async def test_help_needs_nothing_that_is_slow(ctl: Command, arguments: tuple[str, ...]) -> None:
    found = await modules(ctl, *arguments)

    assert "click" in found
    assert found & (HEAVY | BUS) == set()


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("arguments", [("get", SERVICE, "blog"), ("nodes", "--json"), ("status",)])
async def test_reads_need_the_bus_and_nothing_more(ctl: Command, arguments: tuple[str, ...]) -> None:
    found = await modules(ctl, *arguments)

    assert found >= BUS
    assert found & HEAVY == set()

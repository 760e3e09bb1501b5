"""Completion in the shell."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from pubsub_cached.xmpp.fake import World
from tests.bus.api_service import ALICE, SERVICE
from tests.support.command import PROGRAM, Command


async def completed(ctl: Command, *words: str) -> list[str]:
    """What bash offers for the last word."""
    ctl.environment |= {
        "_PUBSUB_CACHECTL_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("pubsub-cachectl", *words)),
        "COMP_CWORD": str(len(words)),
    }
    try:
        done = await ctl.ok()
    finally:
        del ctl.environment["_PUBSUB_CACHECTL_COMPLETE"]
    assert done.err == ""
    return [line.partition(",")[2] for line in done.out.splitlines() if line]


async def test_commands_and_options_are_completed(ctl: Command) -> None:
    assert await completed(ctl, "a") == ["account", "analysers"]
    assert await completed(ctl, "account", "re") == ["remove"]
    assert "--policy" in await completed(ctl, "get", "--p")


@pytest.mark.usefixtures("running")
async def test_services_nodes_and_accounts_of_the_running_daemon_are_completed(ctl: Command) -> None:
    await ctl.ok("sync", SERVICE, "blog")

    assert await completed(ctl, "get", "pub") == [SERVICE]
    assert await completed(ctl, "get", SERVICE, "b") == ["blog"]
    assert await completed(ctl, "get", "nowhere.example.org", "b") == []
    assert await completed(ctl, "account", "connect", "al") == [ALICE]
    assert await completed(ctl, "purge", "--service", "pub") == [SERVICE]


async def test_without_a_daemon_nothing_is_offered_and_nothing_said(ctl: Command) -> None:
    assert await completed(ctl, "get", "pub") == []
    ctl.environment["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/nonexistent"
    assert await completed(ctl, "get", "pub") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_each_shell_has_a_script(ctl: Command, shell: str) -> None:
    script = (await ctl.ok("completion", shell)).out

    assert "pubsub-cachectl" in script
    assert f"_PUBSUB_CACHECTL_COMPLETE={shell}_complete" in script


async def in_shell(ctl: Command, tmp_path: Path, shell: str, commands: str) -> list[str]:
    """What a shell prints for commands that come after its script."""
    program = tmp_path / "pubsub-cachectl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{PROGRAM[2]}" "$@"\n')
    program.chmod(0o755)
    script = (await ctl.ok("completion", shell)).out
    process = await asyncio.create_subprocess_exec(
        shell,
        "-c",
        f"{script}\n{commands}",
        env=ctl.environment | {"PATH": f"{tmp_path}:{ctl.environment['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().splitlines()


async def in_bash(ctl: Command, tmp_path: Path, typed: str, word: str) -> list[str]:
    """What the script has bash put in the place of the word that it takes for the last."""
    given = f"COMP_LINE={shlex.quote(typed)}; COMP_POINT=${{#COMP_LINE}}"
    call = f"_pubsub_cachectl_completion pubsub-cachectl {shlex.quote(word)}"
    return await in_shell(ctl, tmp_path, "bash", f'{given}\n{call}\nprintf "%s\\n" "${{COMPREPLY[@]}}"')


async def test_bash_completes_with_the_script(ctl: Command, tmp_path: Path) -> None:
    assert await in_bash(ctl, tmp_path, "pubsub-cachectl acc", "acc") == ["account"]
    assert "connect" in await in_bash(ctl, tmp_path, "pubsub-cachectl account ", "")


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    ("typed", "word", "put"),
    [
        ("account connect al", "al", ALICE),
        ("account connect alice@", "", "example.org"),
        ("account connect alice@ex", "ex", "example.org"),
        (f"get {SERVICE} urn:example:", "", "notes:0"),
        (f"get {SERVICE} urn:example:no", "no", "notes:0"),
    ],
)
async def test_bash_completes_behind_what_it_takes_for_the_end_of_a_word(
    ctl: Command, made: World, tmp_path: Path, typed: str, word: str, put: str
) -> None:
    made.services[SERVICE].create_node("urn:example:notes:0")
    await ctl.ok("sync", SERVICE, "urn:example:notes:0")

    assert await in_bash(ctl, tmp_path, f"pubsub-cachectl {typed}", word) == [put]


@pytest.mark.usefixtures("running")
async def test_a_node_is_no_command_of_the_shell_that_completes_it(ctl: Command, made: World, tmp_path: Path) -> None:
    for name in ("x;touch $(pwd)/y", "x *", "x\\y", "x\nplain,y", "x\x1b[2J"):
        made.services[SERVICE].create_node(name)
        await ctl.ok("sync", SERVICE, name)

    found = await in_bash(ctl, tmp_path, f"pubsub-cachectl get {SERVICE} x", "x")

    assert sorted(found) == [r"x\ \*", r"x\;touch\ \$\(pwd\)/y", r"x\\y"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
@pytest.mark.usefixtures("running")
async def test_fish_is_given_nodes_and_descriptions_as_they_are(ctl: Command, made: World, tmp_path: Path) -> None:
    for name in ("x,y", "x\ty", "x:y z"):
        made.services[SERVICE].create_node(name)
        await ctl.ok("sync", SERVICE, name)

    nodes = await in_shell(ctl, tmp_path, "fish", f"complete -C 'pubsub-cachectl get {SERVICE} x'")
    commands = await in_shell(ctl, tmp_path, "fish", "complete -C 'pubsub-cachectl account pa'")

    assert sorted(nodes) == ["x,y", "x:y z"]
    assert commands == ["password\tSet the password of an account, and connect."]

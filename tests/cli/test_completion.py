"""Completion in the shell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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


async def test_bash_completes_with_the_script(ctl: Command, tmp_path: Path) -> None:
    program = tmp_path / "pubsub-cachectl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{PROGRAM[2]}" "$@"\n')
    program.chmod(0o755)
    script = (await ctl.ok("completion", "bash")).out
    call = "_pubsub_cachectl_completion pubsub-cachectl acc pubsub-cachectl"
    typed = f"COMP_WORDS=(pubsub-cachectl acc); COMP_CWORD=1; {call}"

    done = subprocess.run(
        ["bash", "-c", f'{script}\n{typed}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'],
        env=ctl.environment | {"PATH": f"{tmp_path}:{ctl.environment['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "account\n"

"""The user unit as systemd itself reads it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pubsub_cached.cli.setup import UNIT, program_directory, render


def verify(unit: Path) -> str:
    """What ``systemd-analyze verify`` has to complain about, "" when nothing."""
    runtime = unit.parent / "runtime"
    runtime.mkdir(mode=0o700)
    result = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime), "HOME": str(unit.parent)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.stdout or result.returncode == 0
    return result.stdout


def write(directory: Path, program: Path, *, replace: tuple[str, str] = ("", "")) -> Path:
    (text,) = (text for path, text in render(program).items() if path.name == UNIT)
    assert replace[0] in text
    unit = directory / UNIT
    unit.write_text(text.replace(*replace) if replace[0] else text)
    return unit


def test_unit_is_right(tmp_path: Path) -> None:
    assert verify(write(tmp_path, program_directory())) == ""


@pytest.mark.parametrize("name", ["with space", "50%", "$HOME", "é", "(x) & y;"])
def test_unit_is_right_for_a_program_in_a_directory_with_an_unusual_name(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    program = directory / "pubsub-cached"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    assert verify(write(tmp_path, directory)) == ""


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("NoNewPrivileges=", "NewPrivileges=", "Unknown key"),
        ("@system-service", "@service", "Unknown system call group"),
        ("/pubsub-cached\n", "/missing\n", "not executable"),
    ],
)
def test_systemd_would_see_a_mistake(tmp_path: Path, right: str, wrong: str, complaint: str) -> None:
    assert complaint in verify(write(tmp_path, program_directory(), replace=(right, wrong)))

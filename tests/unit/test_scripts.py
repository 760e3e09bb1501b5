"""``scripts/environment``: what it says when it may not install."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def source(*packages: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Source the file with programs in ``path`` before the real ones."""
    return subprocess.run(
        ["bash", "-c", '. "$0" "$@"; echo "$PYTHON"', str(SCRIPTS / "environment"), *packages],
        env={**os.environ, "PATH": f"{path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )


def program(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def nobody(tmp_path: Path) -> Path:
    """Programs that make this user one who is neither root nor has sudo."""
    program(tmp_path, "id", "echo 1000")
    program(tmp_path, "sudo", "exit 1")
    program(tmp_path, "apt-get", "echo apt-get was called; exit 1")
    return tmp_path


def test_missing_packages_are_named_in_one_sentence(nobody: Path) -> None:
    result = source("dpkg", "no-such-package-1", "no-such-package-2", path=nobody)

    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "environment: These packages are missing; run: sudo apt-get install no-such-package-1 no-such-package-2"
    ]

"""``scripts/environment``: what it says when it may not install, and what it leaves ready."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def source(*packages: str, path: Path, script: Path = SCRIPTS / "environment") -> subprocess.CompletedProcess[str]:
    """Source the file with programs in ``path`` before the real ones."""
    return subprocess.run(
        ["bash", "-c", '. "$0" "$@"; echo "$PYTHON"', str(script), *packages],
        env={**os.environ, "PATH": f"{path}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1", "EXTRAS": ""},
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


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A project of one module, whose environment is made already."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPTS / "environment", tmp_path / "scripts")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "module.py").write_text("made = 1\n")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    program(tmp_path / ".venv" / "bin", "python", f'exec "{sys.executable}" "$@"')
    (tmp_path / "programs").mkdir()
    program(tmp_path / "programs", "python3", f'exec "{sys.executable}" "$@"')
    version = subprocess.run([sys.executable, "-VV"], capture_output=True, check=True).stdout
    stamp = hashlib.sha256(version + (tmp_path / "pyproject.toml").read_bytes()).hexdigest()
    (tmp_path / ".venv" / "stamp").write_text(f"{stamp}  -\ntest\n")
    return tmp_path


def test_modules_are_compiled_also_where_python_writes_no_bytecode(checkout: Path) -> None:
    result = source("dpkg", path=checkout / "programs", script=checkout / "scripts" / "environment")

    assert result.stdout.strip() == str(checkout / ".venv" / "bin" / "python"), result.stderr
    assert Path(importlib.util.cache_from_source(str(checkout / "service" / "module.py"))).exists()

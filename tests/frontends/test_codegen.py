"""The code generators that frontends use accept every interface file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pubsub_cached import paths

FILES = sorted(paths.interfaces().glob("*.xml"))


def run(*command: str | Path) -> None:
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_gdbus_codegen_makes_c_of_it(file: Path, tmp_path: Path) -> None:
    run("gdbus-codegen", "--header", "--output", tmp_path / "made.h", file)
    run("gdbus-codegen", "--body", "--output", tmp_path / "made.c", file)
    assert (tmp_path / "made.h").stat().st_size > 1000
    assert (tmp_path / "made.c").stat().st_size > 1000


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_gdbus_codegen_makes_documentation_of_it(file: Path, tmp_path: Path) -> None:
    run("gdbus-codegen", "--generate-docbook", tmp_path / "made", file)
    (made,) = tmp_path.glob("made*")
    assert "FIXME" not in made.read_text()


@pytest.mark.parametrize("kind", ["-p", "-a"], ids=["proxy", "adaptor"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_qdbusxml2cpp_makes_cpp_of_it(file: Path, kind: str, tmp_path: Path) -> None:
    run("qdbusxml2cpp", kind, tmp_path / "made", file)
    made = (tmp_path / "made.h").read_text()
    assert ("QVariantMap" in made) == ("a{sv}" in file.read_text())

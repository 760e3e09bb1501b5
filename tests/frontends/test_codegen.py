"""The code generators that frontends use accept every interface file, and compilers what they make of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pubsub_cached import paths

FILES = sorted(paths.interfaces().glob("*.xml"))
# Where the programs of a version are, by its name for pkg-config.
PROGRAMS = {"Qt5": "host_bins", "Qt6": "bindir"}


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def flags(*packages: str) -> list[str]:
    """What a compiler has to know of libraries."""
    done = subprocess.run(["pkg-config", "--cflags", *packages], capture_output=True, text=True, check=True)
    return done.stdout.split()


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


@pytest.fixture(scope="module", params=sorted(PROGRAMS))
def qt(request: pytest.FixtureRequest) -> str:
    """A version of Qt."""
    version: str = request.param
    return version


@pytest.fixture(scope="module")
def qdbusxml2cpp(qt: str) -> str:
    """Its program of that name."""
    command = ["pkg-config", f"--variable={PROGRAMS[qt]}", f"{qt}Core"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return f"{done.stdout.strip()}/qdbusxml2cpp"


@pytest.mark.parametrize("kind", ["-p", "-a"], ids=["proxy", "adaptor"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_qdbusxml2cpp_makes_cpp_of_it(qdbusxml2cpp: str, file: Path, kind: str, tmp_path: Path) -> None:
    run(qdbusxml2cpp, kind, tmp_path / "made", file)
    made = (tmp_path / "made.h").read_text()
    assert ("QVariantMap" in made) == ("a{sv}" in file.read_text())


def test_what_gdbus_codegen_makes_is_c(tmp_path: Path) -> None:
    names = ("--c-namespace", "Cached", "--interface-prefix", "im.pubsubcache1.", "--c-generate-object-manager")
    run("gdbus-codegen", "--generate-c-code", tmp_path / "made", *names, *FILES)
    strict = ("-Wall", "-Werror", "-fsyntax-only")
    run("gcc", *strict, *flags("gio-unix-2.0"), tmp_path / "made.c")


def test_what_qdbusxml2cpp_makes_is_cpp(qt: str, qdbusxml2cpp: str, tmp_path: Path) -> None:
    names = [f"{file.stem.rpartition('.')[2].lower()}_interface" for file in FILES]
    for file, name in zip(FILES, names, strict=True):
        run(qdbusxml2cpp, "-p", tmp_path / name, file)
    everything = tmp_path / "everything.cpp"
    everything.write_text("".join(f'#include "{name}.cpp"\n' for name in names))
    strict = ("-std=c++17", "-fPIC", "-Wall", "-Werror", "-fsyntax-only")
    run("g++", *strict, *flags(f"{qt}DBus"), "-I", tmp_path, everything)

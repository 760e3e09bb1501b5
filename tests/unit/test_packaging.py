"""The wheel holds what the program needs, and what is installed can be started."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from pubsub_cached import __version__

CHECKOUT = Path(__file__).resolve().parents[2]

INSIDE = {
    "service/pubsub_cached": "pubsub_cached",
    "interfaces": "pubsub_cached/interfaces",
    "migrations": "pubsub_cached/migrations",
    "systemd": "pubsub_cached/systemd",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from the source distribution, which is built from the checkout."""
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(CHECKOUT)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (path,) = directory.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def unpacked(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    wheel.extractall(directory)
    return directory


def test_wheel_holds_every_file_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    expected = {
        f"{inside}/{path.relative_to(CHECKOUT / beside)}"
        for beside, inside in INSIDE.items()
        for path in (CHECKOUT / beside).rglob("*")
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in path.parts)
    }
    expected |= {
        f"pubsub_cached-{__version__}.data/data/share/man/man{page.suffix[1:]}/{page.name}"
        for page in (CHECKOUT / "docs/man").iterdir()
    }
    expected |= {
        f"pubsub_cached-{__version__}.data/data/share/pubsub-cached/{path.relative_to(CHECKOUT / 'interfaces')}"
        for path in (CHECKOUT / "interfaces/schemas").rglob("*.json")
    }
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert found == expected


def test_wheel_says_licence_and_version(wheel: zipfile.ZipFile) -> None:
    information = f"pubsub_cached-{__version__}.dist-info"

    assert b"MIT License" in wheel.read(f"{information}/licenses/LICENSE")
    assert f"\nVersion: {__version__}\n" in wheel.read(f"{information}/METADATA").decode()


def test_installed_package_finds_its_own_files(unpacked: Path, tmp_path: Path) -> None:
    program = (
        "from pubsub_cached import paths; print(paths.interfaces(), paths.migrations(), paths.systemd(), sep='\\n')"
    )
    output = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    package = unpacked / "pubsub_cached"
    assert output.split() == [str(package / name) for name in ("interfaces", "migrations", "systemd")]


@pytest.mark.parametrize("name", ["pubsub-cached", "pubsub-cachectl"])
def test_program_can_be_loaded_and_knows_its_version(name: str) -> None:
    (entry,) = entry_points(group="console_scripts", name=name)
    assert callable(entry.load())

    program = Path(sys.executable).parent / name
    output = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout

    assert __version__ in output


def test_debian_package_has_the_version() -> None:
    assert (CHECKOUT / "debian/changelog").read_text().startswith(f"pubsub-cached ({__version__}) ")


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.skipif(os.geteuid() != 0, reason="a fresh machine is a chroot, which needs root")
@pytest.mark.parametrize("way", ["debian", "pipx"])
def test_a_fresh_machine_runs_what_was_installed_on_it(way: str) -> None:
    if way == "debian":
        subprocess.run([CHECKOUT / "scripts/debian-package"], check=True)
    output = subprocess.run(
        [CHECKOUT / "scripts/clean-machine", way], check=True, stdout=subprocess.PIPE, text=True
    ).stdout

    assert f"pubsub-cached {__version__}\n" in output
    assert f'v s "{__version__}"\n' in output
    assert "ok       activation: the session bus can start the daemon.\n" in output


def test_every_dependency_has_a_lower_bound() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]

    assert [name for name in project["dependencies"] + extras if ">=" not in name] == []

"""``pubsub-cachectl setup`` into a home of its own, without a session bus."""

from __future__ import annotations

import configparser
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from pubsub_cached import __version__
from pubsub_cached.cli import main
from pubsub_cached.cli.setup import dbus_escape, program_directory, render, systemd_escape


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home directory without a session bus."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")
    for variable in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


@pytest.fixture
def unit(home: Path) -> Path:
    return home / ".local/share/systemd/user/pubsub-cached.service"


@pytest.fixture
def activation(home: Path) -> Path:
    return home / ".local/share/dbus-1/services/im.pubsubcache1.service"


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def files(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if path.is_file()}


def keys(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path, "utf-8")
    return parser


def test_both_files_start_the_installed_program(unit: Path, activation: Path) -> None:
    run("setup")

    program = program_directory() / "pubsub-cached"
    assert program.is_absolute()
    assert keys(unit)["Service"]["ExecStart"] == str(program)
    assert keys(activation)["D-BUS Service"]["Exec"] == str(program)


def test_unit_and_activation_file_speak_of_each_other_and_of_the_bus_name(unit: Path, activation: Path) -> None:
    run("setup")

    assert keys(unit)["Service"]["Type"] == "dbus"
    assert keys(unit)["Service"]["BusName"] == "im.pubsubcache1"
    assert keys(activation)["D-BUS Service"]["Name"] == "im.pubsubcache1"
    assert keys(activation)["D-BUS Service"]["SystemdService"] == unit.name


def test_data_home_is_followed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))

    run("setup")

    assert files(home) == {
        home / "data/systemd/user/pubsub-cached.service",
        home / "data/dbus-1/services/im.pubsubcache1.service",
    }


def test_second_run_changes_nothing_and_says_so(unit: Path, activation: Path) -> None:
    assert f"installed: {unit}\ninstalled: {activation}\n" in run("setup").output
    before = unit.read_bytes(), activation.read_bytes()

    assert f"unchanged: {unit}\nunchanged: {activation}\n" in run("setup").output

    assert (unit.read_bytes(), activation.read_bytes()) == before


def test_older_file_is_updated(unit: Path) -> None:
    run("setup")
    right = unit.read_bytes()
    unit.write_text("[Service]\nExecStart=/old/pubsub-cached\n")

    assert f"updated: {unit}" in run("setup").output

    assert unit.read_bytes() == right


def test_it_says_what_to_do_next(home: Path) -> None:
    output = run("setup").output

    assert "systemctl --user enable --now pubsub-cached.service" in output
    assert f"{home}/.config/pubsub-cached/config.toml" in output


def test_without_a_session_bus_it_says_from_when_the_change_counts() -> None:
    assert "No session bus is running here" in run("setup").output


def test_print_shows_both_files_and_writes_neither(home: Path, unit: Path, activation: Path) -> None:
    output = run("setup", "--print").output

    assert files(home) == set()
    run("setup")
    assert output == f"# {unit}\n{unit.read_text()}\n# {activation}\n{activation.read_text()}"


def test_uninstall_removes_both_files_and_keeps_the_rest(home: Path, unit: Path, activation: Path) -> None:
    run("setup")
    other = activation.with_name("org.example.Other.service")
    data = home / ".local/share/pubsub-cached/cache.sqlite3"
    data.parent.mkdir()
    for path in (other, data):
        path.write_text("kept")

    output = run("setup", "--uninstall").output

    assert files(home) == {other, data}
    assert f"removed: {unit}\nremoved: {activation}\n" in output
    assert str(data.parent) in output


def test_uninstall_without_an_installation_is_no_error(unit: Path) -> None:
    output = run("setup", "--uninstall").output

    assert f"not there: {unit}" in output
    assert output.count("No session bus is running here") == 1


def test_directory_that_can_not_be_written_is_named(home: Path) -> None:
    (home / ".local").write_text("not a directory")

    result = CliRunner().invoke(main, ["setup"])

    assert result.exit_code == 1
    assert f"{home}/.local/share/systemd/user/pubsub-cached.service: Not a directory" in result.output


@pytest.mark.parametrize("name", ['a"b', "a'b", "a\\b", "a\nb", "a\udce9b"])
def test_directory_that_systemd_can_not_start_from_is_refused(name: str) -> None:
    with pytest.raises(click.ClickException, match="systemd can't start"):
        render(Path("/opt") / name)


def test_special_characters_are_escaped() -> None:
    assert systemd_escape("/a b/50%/$x/é") == "/a\\x20b/50%%/\\x24x/é"
    assert dbus_escape("/a b/50%/$x/é") == "/a\\\\ b/50%/\\\\$x/é"


def test_version_is_the_package_s() -> None:
    assert run("--version").output == f"pubsub-cachectl, version {__version__}\n"

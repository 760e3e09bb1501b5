"""``pubsub-cachectl setup``: let the session start the daemon when a program first asks for it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import paths
from ..errors import BusLost, PubSubCachedError
from .failure import RESTART, SYSTEMD, UNIT
from .running import run_alone

if TYPE_CHECKING:
    from ..bus import Connection

PROGRAM = "pubsub-cached"
ACTIVATION = "im.pubsubcache1.service"

# What systemd refuses in a program's name, however it is quoted, and what is no UTF-8.
_REFUSED = re.compile(r"[\x00-\x1f\x7f\"'\\\ud800-\udfff]")
NO_MANAGER = "No systemd user manager is on this bus: the bus itself will start the daemon."
_UNSAFE = re.compile(r"[^\w@%+=:,./\x80-\U0010ffff-]")


@click.command()
@click.option("--uninstall", is_flag=True, help="Remove both files again; cached data stay.")
@click.option("--print", "show", is_flag=True, help="Show what would be written, and write nothing.")
def setup(*, uninstall: bool, show: bool) -> None:
    """Install the user unit and the D-Bus activation file.

    For this user alone. Needed once after an installation with pip or pipx; a distribution's package brings both.
    """
    if uninstall:
        _uninstall()
        return
    files = render(program_directory())
    if show:
        click.echo("\n".join(f"# {path}\n{text}" for path, text in files.items()), nl=False)
        return
    for path, text in files.items():
        click.echo(f"{_write(path, text)}: {path}")
    said = run_alone(_with_bus(_reload))
    said.append(f"The daemon now starts when a program first calls it. Its accounts are in {paths.config_file()}.")
    if NO_MANAGER not in said:
        said += [
            f"To start it at login as well: systemctl --user enable --now {UNIT}",
            f"After an upgrade:             {RESTART}",
        ]
    for sentence in said:
        click.echo(sentence)


def render(directory: Path) -> dict[Path, str]:
    """The files to install, path to text, for a daemon whose program is in ``directory``."""
    refused = _REFUSED.search(str(directory))
    if refused:
        raise click.ClickException(f"systemd can't start a program in {directory}, as its name has {refused[0]!a}.")
    unit, activation = _targets()
    templates = paths.systemd()
    return {
        unit: (templates / UNIT).read_text("utf-8").replace("@BIN@", systemd_escape(str(directory))),
        activation: (templates / ACTIVATION).read_text("utf-8").replace("@BIN@", dbus_escape(str(directory))),
    }


def program_directory() -> Path:
    """The absolute directory of the installed daemon's program: beside this interpreter, this command, or on PATH.

    Raises click.ClickException.
    """
    for place in (Path(sysconfig.get_path("scripts")), Path(sys.argv[0]).absolute().parent):
        if os.access(place / PROGRAM, os.X_OK):
            return place
    found = shutil.which(PROGRAM)
    if found is None:
        raise click.ClickException(f"The program {PROGRAM} is neither beside {sys.executable} nor on PATH.")
    return Path(found).absolute().parent


def systemd_escape(text: str) -> str:
    """Text as a part of the first word of ``ExecStart=`` (systemd.service(5), "Command lines")."""
    return _UNSAFE.sub(lambda match: f"\\x{ord(match[0]):02x}", text).replace("%", "%%")


def dbus_escape(text: str) -> str:
    """Text as a part of a word of ``Exec=``: first as a shell would read it, then as a key file does."""
    return _UNSAFE.sub(r"\\\g<0>", text).replace("\\", "\\\\")


def _targets() -> tuple[Path, Path]:
    """Unit and activation file; both directories are for what the user installed (systemd.unit(5), D-Bus)."""
    home = paths.data_home()
    return home / "systemd" / "user" / UNIT, home / "dbus-1" / "services" / ACTIVATION


def _write(path: Path, text: str) -> str:
    """Write a file unless it is like that already; says what happened."""
    data = text.encode()
    try:
        there = path.exists()
        if there and path.read_bytes() == data:
            return "unchanged"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o644)
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from None
    return "updated" if there else "installed"


def _uninstall() -> None:
    said = run_alone(_with_bus(_stop))
    for sentence in said:
        click.echo(sentence)
    for path in _targets():
        try:
            path.unlink()
        except FileNotFoundError:
            click.echo(f"not there: {path}")
        except OSError as error:
            raise click.ClickException(f"{path}: {error.strerror}") from None
        else:
            click.echo(f"removed: {path}")
    for sentence in run_alone(_with_bus(_reload)):
        if sentence not in (*said, NO_MANAGER):
            click.echo(sentence)
    click.echo(f"Cached data stay in {paths.data_dir()}; stored passwords stay in the keyring, or there.")


async def _with_bus(work: Callable[[Connection], Awaitable[list[str]]]) -> list[str]:
    """What ``work`` has to say, or why there is no session bus to do it on."""
    from ..bus import Connection

    try:
        connection = await Connection.open()
    except BusLost:
        return ["No session bus is running here: what changed counts from the next login."]
    try:
        return await work(connection)
    finally:
        await connection.close()


async def _reload(connection: Connection) -> list[str]:
    """Ask the bus and the user manager to read their files again; says which of them could not."""
    said = []
    try:
        await connection.call_bus("ReloadConfig")
    except PubSubCachedError as error:
        said.append(f"The session bus did not read its files again ({error}); log out and in.")
    try:
        await _manager(connection, "Reload")
    except PubSubCachedError:
        said.append(NO_MANAGER)
    return said


async def _stop(connection: Connection) -> list[str]:
    """Stop and disable the unit, so that nothing of it stays; says what could not be done."""
    try:
        await _manager(connection, "StopUnit", "ss", (UNIT, "replace"))
        await _manager(connection, "DisableUnitFiles", "asb", ([UNIT], False))
    except PubSubCachedError as error:
        if error.name == f"{SYSTEMD}.NoSuchUnit":
            return []
        return ["A daemon that is running goes on until you log out: no systemd user manager is on this bus."]
    return []


async def _manager(connection: Connection, member: str, signature: str = "", body: Sequence[Any] = ()) -> None:
    """Call the systemd user manager. Raises PubSubCachedError."""
    await connection.call(SYSTEMD, "/org/freedesktop/systemd1", f"{SYSTEMD}.Manager", member, signature, body)

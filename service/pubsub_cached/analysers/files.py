"""Analysers that an installed application ships as a file: TOML with the keys of a definition."""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from .. import paths
from ..errors import Conflict, InvalidAnalyser
from .definition import Definition, from_mapping
from .item import readable
from .registry import Registry

MOST_BYTES = 65536
SUFFIX = ".toml"

log = logging.getLogger(__name__)


def directories() -> list[Path]:
    """Where files are looked for, the user's first (XDG Base Directory Specification); they need not exist."""
    shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    bases = [
        paths.config_home(),
        paths.data_home(),
        *(Path(base) for base in shared.split(":") if base.startswith("/")),
    ]
    return list(dict.fromkeys(base / paths.APPLICATION / "analysers" for base in bases))


def read(path: Path) -> Definition:
    """The definition in a file.

    Raises InvalidAnalyser, with a sentence that names the key or what is wrong with the file.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidAnalyser(f"The file is larger than {MOST_BYTES} bytes.")
        values = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise InvalidAnalyser(f"The file can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidAnalyser("The file is not in UTF-8.") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidAnalyser(f"The file is no TOML: {error}.") from None
    definition = from_mapping(values)
    if definition.agent and not definition.bus_name:
        raise InvalidAnalyser("'agent' needs 'bus-name' in a file: the well-known name by which the bus starts it.")
    return definition


def load(registry: Registry, where: Iterable[Path] | None = None) -> None:
    """Make the registry's analysers of origin ``file`` those of the directories, as they are now.

    What did not change stays as it is. Of files with the same name the first directory's counts; one that
    can't be used is listed as invalid under its stem.
    """
    good: dict[str, tuple[Path, Definition]] = {}
    bad: dict[str, str] = {}
    for path in _found(directories() if where is None else where):
        try:
            definition = read(path)
        except InvalidAnalyser as error:
            bad[path.stem] = f"{path}: {error.message}"
        else:
            if definition.name in good:
                bad[path.stem] = f"{path}: The name '{definition.name}' is that of {good[definition.name][0]}, too."
            else:
                good[definition.name] = path, definition
    _drop(registry, {name: definition for name, (_, definition) in good.items()})
    for name, (path, definition) in good.items():
        before = registry.get(name)
        if before is not None and before.to_json() == definition.to_json():
            continue
        try:
            registry.register(definition, "file")
        except Conflict as error:
            bad[path.stem] = f"{path}: {error.message}"
    _list_invalid(registry, bad)


def _found(where: Iterable[Path]) -> Iterator[Path]:
    """The files of the directories, sorted by name, each name once."""
    seen: set[str] = set()
    for directory in where:
        try:
            names = sorted(directory.glob(f"*{SUFFIX}"))
        except OSError:
            continue
        for path in names:
            # Path.is_file raises for a link to where nothing may be looked at.
            if path.name not in seen and os.path.isfile(path):
                seen.add(path.name)
                yield path


def _drop(registry: Registry, good: dict[str, Definition]) -> None:
    """Remove what came from files and is not there any more, or not like that; what is invalid only for its name."""
    for name in _of_files(registry):
        before, now = registry.get(name), good.get(name)
        if (before and before.to_json()) != (now and now.to_json()):
            registry.unregister(name)


def _list_invalid(registry: Registry, bad: dict[str, str]) -> None:
    """List just these as invalid, by stem with the reason; those that were stay as they are."""
    wanted: dict[str, str] = {}
    for stem, reason in bad.items():
        # A name that somebody else has stays theirs; a file's may be anything, and so may what is quoted of it.
        name = stem if stem.strip() and registry.get(stem) is None else f"{stem}{SUFFIX}"
        wanted[readable(name.strip().lower())] = readable(reason)
    for name, reason in _of_files(registry).items():
        if registry.get(name) is None and wanted.get(name) != reason:
            registry.unregister(name)
    for name in wanted.keys() - _of_files(registry).keys():
        log.warning("%s", wanted[name])
        registry.register_invalid(name, wanted[name], "file")


def _of_files(registry: Registry) -> dict[str, str]:
    """The names of what comes from files, with the reasons why it can't be used."""
    return {record["name"]: record["reason"] for record in registry.records() if record["origin"] == "file"}

"""Where files are, by the XDG Base Directory Specification."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pubsub_cached import paths
from pubsub_cached.errors import BadConfiguration
from pubsub_cached.store.urls import path_of


def test_shipped_directories_exist_and_hold_what_they_are_for() -> None:
    assert (paths.interfaces() / "im.pubsubcache1.Cache.xml").is_file()
    assert (paths.migrations() / "env.py").is_file()
    assert (paths.systemd() / "pubsub-cached.service").is_file()


def test_shipped_directories_are_looked_for_once() -> None:
    # Every signal asks for its interface's description, and so where that is.
    assert paths.interfaces() is paths.interfaces()


def test_missing_shipped_directory_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-directory"):
        paths.shipped("no-such-directory")


def test_base_directories_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    assert paths.config_file() == tmp_path / "config/pubsub-cached/config.toml"
    assert paths.data_dir() == tmp_path / "data/pubsub-cached"
    assert paths.secrets_file().parent == paths.data_dir()
    assert paths.database_url() == f"sqlite:///{tmp_path}/data/pubsub-cached/cache.sqlite3"


@pytest.mark.parametrize("value", [None, "", "relative/path"])
def test_unset_empty_and_relative_variables_give_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        if value is None:
            monkeypatch.delenv(variable, raising=False)
        else:
            monkeypatch.setenv(variable, value)

    assert paths.config_home() == tmp_path / ".config"
    assert paths.data_home() == tmp_path / ".local/share"


@pytest.mark.parametrize("name", ["with space % and #", "50%25", "what?", "what?mode=memory", "\udcff"])
def test_database_url_opens_the_named_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / name))

    assert path_of(paths.database_url()) == paths.data_dir() / "cache.sqlite3"


def test_who_has_no_home_directory_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**32 - 2)

    with pytest.raises(BadConfiguration, match="set HOME or XDG_CONFIG_HOME"):
        paths.config_file()

"""Where files are: those that ship with the package, and the user's own (XDG Base Directory Specification).

Nothing here creates anything, and every call looks at the environment anew. What ships stays where it was found.
Those of the user raise BadConfiguration where there is no home directory.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from .errors import BadConfiguration

APPLICATION = "pubsub-cached"

_PACKAGE = Path(__file__).resolve().parent


@cache
def shipped(name: str) -> Path:
    """A directory that ships with the package: inside it when installed, beside it in a checkout.

    Raises FileNotFoundError.
    """
    for directory in (_PACKAGE / name, _PACKAGE.parent.parent / name):
        if directory.is_dir():
            return directory
    raise FileNotFoundError(f"The directory '{name}' is missing from the installation at {_PACKAGE}.")


def interfaces() -> Path:
    """The D-Bus introspection files, the contract."""
    return shipped("interfaces")


def migrations() -> Path:
    """Alembic's environment and versions."""
    return shipped("migrations")


def systemd() -> Path:
    """The templates of the user unit and of the D-Bus activation file."""
    return shipped("systemd")


def config_home() -> Path:
    """``$XDG_CONFIG_HOME``, or its default."""
    return _base("XDG_CONFIG_HOME", ".config")


def data_home() -> Path:
    """``$XDG_DATA_HOME``, or its default."""
    return _base("XDG_DATA_HOME", ".local/share")


def config_file() -> Path:
    """The configuration that is read when no other is named; it need not exist."""
    return config_home() / APPLICATION / "config.toml"


def data_dir() -> Path:
    """Where the daemon keeps its database and, without a Secret Service, its secrets."""
    return data_home() / APPLICATION


def database_url() -> str:
    """The database that is used when no other is named, as SQLAlchemy writes it."""
    file = str(data_dir() / "cache.sqlite3")
    return "sqlite:///" + file.replace("%", "%25").replace("?", "%3F")


def secrets_file() -> Path:
    """The passwords' file where no Secret Service runs; mode 0600."""
    return data_dir() / "secrets.json"


def _base(variable: str, default: str) -> Path:
    """A base directory; a relative value is invalid and ignored, as the specification says."""
    value = os.environ.get(variable, "")
    if value.startswith("/"):
        return Path(value)
    try:
        return Path.home() / default
    except RuntimeError:
        raise BadConfiguration(f"The user has no home directory; set HOME or {variable}.") from None

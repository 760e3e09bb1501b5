"""URLs of databases, as SQLAlchemy writes them. A password in one is never part of a sentence."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from ..errors import BadConfiguration

_EXAMPLES = "write sqlite:////absolute/path, or postgresql+psycopg://user@host/database"


def path_of(url: str) -> Path:
    """The file behind a URL of SQLite. Raises BadConfiguration."""
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite":
        raise BadConfiguration(f"The database URL '{_shown(url)}' is not of SQLite; write sqlite:////absolute/path.")
    if not parsed.database or parsed.database == ":memory:":
        raise BadConfiguration(f"The database URL '{url}' names no file; write sqlite:////absolute/path.")
    if "?" in url:
        raise BadConfiguration(f"The database URL '{url}' has a '?'; write %3F for that of a file, and %25 for a '%'.")
    try:
        return Path(parsed.database).expanduser().absolute()
    except RuntimeError as error:
        raise BadConfiguration(f"The database URL '{url}' can't be used: {error}") from None


def server_of(url: str) -> URL | None:
    """The URL of a database of PostgreSQL with the driver that is used; None for SQLite. Raises BadConfiguration."""
    parsed = _parsed(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return None
    if backend != "postgresql":
        raise BadConfiguration(f"The database URL '{_shown(url)}' is of a database that is not known; {_EXAMPLES}.")
    if parsed.drivername not in ("postgresql", "postgresql+psycopg"):
        raise BadConfiguration(
            f"The database URL '{_shown(url)}' names a driver that is not used; write postgresql+psycopg://…"
        )
    return parsed.set(drivername="postgresql+psycopg")


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        raise BadConfiguration(f"The database URL '{_shown(url)}' is no URL; {_EXAMPLES}.") from None


def _shown(url: str) -> str:
    """What may be said of something that could hold a password."""
    return url if "@" not in url and "password" not in url else url.split(":", 1)[0] + ":…"

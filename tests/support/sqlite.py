"""New databases of SQLite: what the migrations make is made once, and copied."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pubsub_cached.store import migrate
from pubsub_cached.store.sqlite.engine import create_private


def place(path: Path) -> Path:
    """Put a database of the store with nothing in it where there is no file yet."""
    if not path.exists():
        create_private(path)
        path.write_bytes(_empty())
    return path


@cache
def _empty() -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "empty.sqlite3"
        migrate.prepare(f"sqlite:///{path}")
        return path.read_bytes()

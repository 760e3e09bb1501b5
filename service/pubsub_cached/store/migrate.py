"""The database at the start: made, upgraded, refused or set aside, before anything reads it."""

from __future__ import annotations

from .database import Database
from .revisions import Migrations, newest
from .urls import path_of, server_of


def prepare(url: str, migrations: Migrations | None = None) -> str:
    """Make the database ready for this version; the name a damaged file was set aside under, or "".

    Raises NewerDatabase, BadConfiguration (it can't be opened or written), DatabaseError, StorageFull.
    """
    wanted = migrations or newest()
    server = server_of(url)
    if server is not None:
        from .postgresql import start as server_start

        server_start.prepare(server, wanted)
        return ""
    from .sqlite import start as file_start

    return file_start.prepare(path_of(url), wanted)


def wait_until_free(url: str) -> None:
    """Return once no other daemon uses the database, or that can't be told any more."""
    server = server_of(url)
    if server is not None:
        from .postgresql import start as server_start

        server_start.wait_until_free(server)
        return
    from .sqlite import alone

    alone.wait_until_free(path_of(url))


def open_database(url: str) -> Database:
    """A database that ``prepare`` made ready."""
    server = server_of(url)
    if server is not None:
        from .postgresql.server import Server

        return Server(server)
    from .sqlite.file import File

    return File(path_of(url))

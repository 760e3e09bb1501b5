"""Revisions of the schema: which there are, and how a database gets to the newest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection

from .. import paths
from ..errors import DatabaseError, NewerDatabase

if TYPE_CHECKING:
    from alembic.config import Config

# The newest revision in migrations/versions; a test compares the two.
HEAD = "0013"


class Migrations(NamedTuple):
    """Where the scripts are, and which revision they lead to."""

    scripts: Path
    head: str


def newest() -> Migrations:
    """Those of this version."""
    return Migrations(paths.migrations(), HEAD)


def check_known(database: str, revision: str, wanted: Migrations) -> None:
    """Raises NewerDatabase when the revision of a database is none of these. database: a sentence's beginning."""
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError

    scripts = ScriptDirectory.from_config(configuration(wanted.scripts))
    try:
        known = {script.revision for script in scripts.iterate_revisions(wanted.head, "base")}
    except CommandError as error:
        raise DatabaseError(f"The migrations in {wanted.scripts} can't be used: {error}.") from error
    if revision not in known:
        raise NewerDatabase(
            f"{database} has the revision '{revision}', which is newer than this version's '{wanted.head}'. "
            "Install the newer version again, or name another database with --database or in [database] url."
        )


def run(connection: Connection, wanted: Migrations) -> None:
    """Run the scripts up to the head in the connection's transaction. Raises what the database raises."""
    from alembic import command

    config = configuration(wanted.scripts)
    config.attributes["connection"] = connection
    command.upgrade(config, wanted.head)


def configuration(scripts: Path) -> Config:
    """Alembic's configuration without its file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config

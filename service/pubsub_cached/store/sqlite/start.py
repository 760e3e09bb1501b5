"""The file at the start: made, upgraded, refused or set aside, before anything reads it.

Its state is read with a plain connection; Alembic is imported only when there is something to do.
An upgrade is one transaction, so that one which is interrupted never happened: the next start does
it again. Before it, the file is copied.
"""

from __future__ import annotations

import glob
import logging
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from ...errors import BadConfiguration, DatabaseError, Fatal, PubSubCachedError
from ..revisions import Migrations, check_known, run
from . import engine as engines

log = logging.getLogger(__name__)

BACKUPS_KEPT = 2


def prepare(path: Path, wanted: Migrations) -> str:
    """Make the database ready for this version; the name a damaged file was set aside under, or "".

    Raises NewerDatabase, BadConfiguration (it can't be opened or written), DatabaseError, StorageFull.
    """
    try:
        engines.create_private(path)
        recovered_from = _set_aside(path) if _is_damaged(path) else ""
        if recovered_from:
            engines.create_private(path)
        _bring_up(path, wanted)
        engines.tighten(path)
    except (Fatal, PubSubCachedError):
        raise
    except OSError as error:
        raise BadConfiguration(f"The database {path} can't be used: {error.strerror or error}.") from error
    except Exception as error:
        raise _explained(path, error) from error
    return recovered_from


def suspect(path: Path) -> None:
    """Have the whole file looked at at the next start, for it turned out to be damaged; if that can be written down."""
    try:
        _suspicion(path).touch(mode=0o600)
    except OSError as error:
        log.warning("That the database %s is damaged can't be written down beside it: %s", path, error.strerror)


def state(path: Path) -> str | None:
    """The revision of the file: "" when it is empty, None when it holds something else. Raises sqlite3.Error."""
    # Without our pragmas, some of which would change a file that turns out not to be ours.
    connection = sqlite3.connect(path, timeout=engines.BUSY_SECONDS, isolation_level=None)
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" not in tables:
            return None if tables else ""
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        if row is None:
            return None if tables != {"alembic_version"} else ""
        revision = str(row[0])
        if "counter" in tables:
            connection.execute("SELECT * FROM counter").fetchall()
        return revision
    finally:
        connection.close()


def _bring_up(path: Path, wanted: Migrations) -> None:
    revision = state(path)
    if revision == wanted.head:
        return
    if revision is None:
        raise BadConfiguration(
            f"The database {path} is not one of pubsub-cached; name another file with --database or in [database] url."
        )
    if revision:
        check_known(f"The database {path}", revision, wanted)
        backup = _copy(path, revision)
        log.info(
            "The database %s is upgraded from %s to %s; the copy before is %s", path, revision, wanted.head, backup
        )
    upgrade(path, wanted)


def upgrade(path: Path, wanted: Migrations) -> None:
    """Run the migrations up to the head in one transaction. Raises what the database raises."""
    engine = engines.engine(path, begin="BEGIN IMMEDIATE")
    try:
        with engine.connect() as connection:
            # A parent table that is made anew would otherwise take its children with it.
            # Inside a transaction this has no effect.
            driver = engines.driver_of(connection)
            driver.execute("PRAGMA foreign_keys=OFF")
            with connection.begin():
                run(connection, wanted)
                check_foreign_keys(driver)
    finally:
        engine.dispose()


def check_foreign_keys(driver: sqlite3.Connection) -> None:
    """Raises DatabaseError when a row refers to another that is not there."""
    broken = driver.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        tables = ", ".join(sorted({row[0] for row in broken}))
        raise DatabaseError(f"The upgrade would have left {len(broken)} rows without what they refer to ({tables}).")


def _copy(path: Path, revision: str) -> Path:
    """A copy of the database beside it, private, complete or not there at all."""
    unfinished = path.with_name(path.name + ".backup-unfinished")
    unfinished.unlink(missing_ok=True)
    engines.create_private(unfinished)
    try:
        with closing(engines.connect(path)) as source, closing(sqlite3.connect(unfinished)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
        _synchronise(unfinished)
    except BaseException:
        # There may be no room for it, and it takes what there was.
        unfinished.unlink()
        raise
    backup = _dated(path, f"backup-{revision}")
    unfinished.rename(backup)
    _synchronise(path.parent)
    copies = path.parent.glob(f"{glob.escape(path.name)}.backup-*")
    for old in sorted(copies, key=lambda file: file.stat().st_mtime)[:-BACKUPS_KEPT]:
        old.unlink()
    return backup


def _is_damaged(path: Path) -> bool:
    suspicion = _suspicion(path)
    damaged: bool
    try:
        state(path)
        if not suspicion.exists():
            return False
        connection = engines.connect(path)
        try:
            damaged = connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if not engines.is_damage(error):
            raise
        damaged = True
    suspicion.unlink(missing_ok=True)
    return damaged


def _set_aside(path: Path) -> str:
    """Give a damaged file, and those that belong to it, a dated name; the name."""
    aside = _dated(path, "damaged")
    for file in engines.companions(path):
        file.rename(aside.with_name(aside.name + file.name.removeprefix(path.name)))
    log.error("The database %s is damaged. It was set aside as %s, and a new one is made.", path, aside)
    return str(aside)


def _dated(path: Path, what: str) -> Path:
    """A name beside the database that is not taken."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name = f"{path.name}.{what}-{stamp}"
    number = 1
    while (file := path.with_name(name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return file


def _suspicion(path: Path) -> Path:
    return path.with_name(path.name + ".suspect")


def _synchronise(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _explained(path: Path, error: Exception) -> Exception:
    """A sentence for what the driver or a migration raised."""
    translated = engines.translate(error)
    if translated is None:
        return DatabaseError(f"The database {path} could not be upgraded, and is as it was: {error}.")
    if engines.is_unusable(error):
        return BadConfiguration(f"The database {path} can't be used: {error}.")
    return type(translated)(f"The database {path} could not be made ready: {translated.message}")

"""What the start does with the file it finds."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pubsub_cached.errors import BadConfiguration, DatabaseError, NewerDatabase
from pubsub_cached.store import revisions
from pubsub_cached.store.accounts import accounts, nodes
from pubsub_cached.store.migrate import prepare
from pubsub_cached.store.revisions import Migrations
from pubsub_cached.store.rows import ItemsQuery, NodesQuery
from pubsub_cached.store.sqlite import start
from pubsub_cached.store.store import Store
from tests.support.stored import publish

from .conftest import Database, url_of, with_later
from .content import item, slice_of

pytestmark = pytest.mark.sqlite

# A later version of the schema: the parent of all items is made anew, and its rows are changed.
LATER = '''
"""A colour for every node"""
import os, sys
import sqlalchemy as sa
from alembic import op

revision = "later"
down_revision = "HEAD"

def upgrade():
    with op.batch_alter_table("node", recreate="always") as batch:
        batch.add_column(sa.Column("colour", sa.Text, nullable=False, server_default=""))
    op.execute("UPDATE node SET colour = 'red'")
    if os.environ.get("STOP_HALF_WAY"):
        print("half way", flush=True)
        sys.stdin.read()
    if os.environ.get("BREAK_A_REFERENCE"):
        op.execute("DELETE FROM node")
    if os.environ.get("FAIL"):
        raise ValueError("no such colour")

def downgrade():
    op.drop_column("node", "colour")
'''


@pytest.fixture
def later(tmp_path: Path) -> Migrations:
    return with_later(tmp_path, LATER)


@pytest.fixture
def filled(db: Database) -> Path:
    """A database with a node of three items, closed."""
    node = db.node(title="Blog")
    db.write(publish, node.id, [item("a"), item("b"), item("c")])
    db.close()
    return db.path


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def value(path: Path, sql: str) -> object:
    return rows(path, sql)[0][0]


def others(path: Path) -> list[Path]:
    return sorted(file for file in path.parent.iterdir() if file.name != path.name)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_new_file_and_its_directory_are_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "data" / "cache.sqlite3"
    before = os.umask(0)
    try:
        store = Store.open(url_of(path))
        await store.write(accounts.ensure, "alice@example.org")
        files = list(path.parent.iterdir())
        assert {file.name for file in files} == {path.name, path.name + "-wal", path.name + "-shm"}
        assert {mode(file) for file in files} == {0o600}
        assert mode(path.parent) == 0o700
        await store.close()
    finally:
        os.umask(before)


def test_a_file_that_others_could_read_is_tightened(filled: Path) -> None:
    filled.chmod(0o644)
    prepare(url_of(filled))
    assert mode(filled) == 0o600


def test_nothing_to_do_imports_no_migrations_and_changes_nothing(filled: Path) -> None:
    before = filled.read_bytes()
    script = (
        "import sys; from pubsub_cached.store.migrate import prepare; "
        f"assert prepare({url_of(filled)!r}) == ''; assert not any(name.startswith('alembic') for name in sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", script], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert filled.read_bytes() == before
    assert others(filled) == []


def test_an_older_database_is_copied_and_upgraded_with_everything_in_it(filled: Path, later: Migrations) -> None:
    before = rows(filled, "SELECT * FROM item ORDER BY id")
    assert prepare(url_of(filled), later) == ""
    assert value(filled, "SELECT version_num FROM alembic_version") == "later"
    assert value(filled, "SELECT colour FROM node") == "red"
    assert rows(filled, "SELECT * FROM item ORDER BY id") == before
    assert value(filled, "SELECT count(*) FROM pragma_foreign_key_check") == 0
    (copy,) = others(filled)
    assert copy.name.startswith(f"{filled.name}.backup-{revisions.HEAD}-")
    assert mode(copy) == 0o600
    assert value(copy, "SELECT version_num FROM alembic_version") == revisions.HEAD
    assert value(copy, "SELECT count(*) FROM item") == 3
    assert value(copy, "PRAGMA integrity_check") == "ok"


def test_what_is_still_in_the_write_ahead_log_is_in_the_copy(filled: Path, later: Migrations) -> None:
    writer = sqlite3.connect(filled)
    writer.execute("PRAGMA wal_autocheckpoint=0")
    writer.execute("UPDATE node SET title = 'Latest'")
    writer.commit()
    prepare(url_of(filled), later)
    writer.close()
    (copy,) = [file for file in others(filled) if ".backup-" in file.name]
    assert value(copy, "SELECT title FROM node") == "Latest"


@pytest.mark.parametrize("name", ["cache.sqlite3", "[old].sqlite3"])
def test_old_copies_do_not_pile_up(filled: Path, later: Migrations, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("FAIL", "1")
    path = filled.rename(filled.with_name(name))
    for _ in range(4):
        with pytest.raises(DatabaseError):
            prepare(url_of(path), later)
    assert len(others(path)) == start.BACKUPS_KEPT


@pytest.mark.parametrize(("failure", "said"), [("FAIL", "no such colour"), ("BREAK_A_REFERENCE", "item")])
def test_an_upgrade_that_fails_leaves_the_database_as_it_was(
    filled: Path, later: Migrations, monkeypatch: pytest.MonkeyPatch, failure: str, said: str
) -> None:
    monkeypatch.setenv(failure, "1")
    with pytest.raises(DatabaseError, match=said):
        prepare(url_of(filled), later)
    assert prepare(url_of(filled)) == ""
    assert value(filled, "SELECT count(*) FROM item") == 3
    assert value(filled, "SELECT count(*) FROM pragma_table_info('node') WHERE name = 'colour'") == 0
    monkeypatch.delenv(failure)
    prepare(url_of(filled), later)
    assert value(filled, "SELECT colour FROM node") == "red"


def half_way(path: Path, migrations: Migrations) -> None:
    """Upgrade in another process, and kill it in the middle."""
    script = (
        "import sys; from pathlib import Path; from pubsub_cached.store.migrate import prepare; "
        "from pubsub_cached.store.revisions import Migrations; "
        "prepare(sys.argv[1], Migrations(Path(sys.argv[2]), sys.argv[3]))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "STOP_HALF_WAY": "1"}
    command = [sys.executable, "-c", script, url_of(path), str(migrations.scripts), migrations.head]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half way\n"
        process.kill()


def test_a_killed_upgrade_never_happened_for_the_version_before(filled: Path, later: Migrations) -> None:
    half_way(filled, later)
    assert prepare(url_of(filled)) == ""
    assert value(filled, "SELECT count(*) FROM item") == 3
    assert value(filled, "SELECT title FROM node") == "Blog"
    assert value(filled, "SELECT count(*) FROM pragma_table_info('node') WHERE name = 'colour'") == 0
    assert value(filled, "PRAGMA integrity_check") == "ok"


def test_a_killed_upgrade_is_finished_by_the_next_start(filled: Path, later: Migrations) -> None:
    half_way(filled, later)
    assert prepare(url_of(filled), later) == ""
    assert value(filled, "SELECT colour FROM node") == "red"
    assert value(filled, "SELECT count(*) FROM item") == 3
    assert value(filled, "PRAGMA integrity_check") == "ok"
    assert value(filled, "SELECT count(*) FROM pragma_foreign_key_check") == 0


def test_a_creation_that_was_killed_is_done_again(tmp_path: Path, later: Migrations) -> None:
    path = tmp_path / "new.sqlite3"
    half_way(path, later)
    assert prepare(url_of(path)) == ""
    assert value(path, "SELECT count(*) FROM counter") == 2


def test_a_copy_that_was_interrupted_is_made_again(filled: Path, later: Migrations) -> None:
    filled.with_name(filled.name + ".backup-unfinished").write_bytes(b"SQLite format 3\0 and then nothing")
    prepare(url_of(filled), later)
    (copy,) = others(filled)
    assert value(copy, "SELECT count(*) FROM item") == 3


def test_a_copy_that_there_is_no_room_for_is_not_left(filled: Path, later: Migrations) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As on a full disk: no file may grow as large as the database is.
    resource.setrlimit(resource.RLIMIT_FSIZE, (filled.stat().st_size // 2, before[1]))
    try:
        with pytest.raises(DatabaseError, match="could not be made ready"):
            prepare(url_of(filled), later)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not any("backup" in file.name for file in others(filled))
    prepare(url_of(filled), later)
    assert value(filled, "SELECT colour FROM node") == "red"


def test_a_newer_database_is_refused_by_name_revision_and_remedy(filled: Path, later: Migrations) -> None:
    prepare(url_of(filled), later)
    before = filled.read_bytes()
    with pytest.raises(NewerDatabase) as refused:
        Store.open(url_of(filled))
    assert refused.value.status == 2
    for said in (str(filled), "'later'", f"'{revisions.HEAD}'", "newer version"):
        assert said in str(refused.value)
    assert filled.read_bytes() == before


DAMAGES = {
    "no database": lambda content: b"This is no database.\n" * 1000,
    "first page overwritten": lambda content: b"\0" * 4096 + content[4096:],
    "schema overwritten": lambda content: content[:100] + b"\xa5" * 3996 + content[4096:],
    "cut in half": lambda content: content[: len(content) // 2],
    "a few bytes": lambda content: content[:50],
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_file_is_set_aside_and_a_new_one_made(filled: Path, damage: str) -> None:
    broken = DAMAGES[damage](filled.read_bytes())
    filled.write_bytes(broken)
    filled.with_name(filled.name + "-wal").write_bytes(b"log of the old one")
    store = Store.open(url_of(filled))
    aside = Path(store.recovered_from)
    assert aside.parent == filled.parent
    assert aside.name.startswith(filled.name + ".damaged-")
    assert aside.read_bytes()[: len(broken)] == broken
    assert store.read_now(accounts.all) == []
    await store.write(accounts.ensure, "alice@example.org")
    assert mode(filled) == 0o600
    await store.close()
    store = Store.open(url_of(filled))
    assert store.recovered_from == ""
    assert len(store.read_now(accounts.all)) == 1
    await store.close()


def test_damaged_files_of_the_same_second_do_not_replace_each_other(filled: Path) -> None:
    names = set()
    for number in range(3):
        filled.write_bytes(b"no database %d\n" % number * 1000)
        names.add(prepare(url_of(filled)))
    assert len(names) == 3
    assert all(Path(name).exists() for name in names)


def test_a_suspicion_that_proves_wrong_changes_nothing(filled: Path) -> None:
    start.suspect(filled)
    assert prepare(url_of(filled)) == ""
    assert value(filled, "SELECT count(*) FROM item") == 3
    assert others(filled) == []


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "empty.sqlite3"
    path.touch()
    assert prepare(url_of(path)) == ""
    assert value(path, "SELECT count(*) FROM counter") == 2


def test_somebody_elses_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite3"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE song (title TEXT)")
    with pytest.raises(BadConfiguration, match="not one of pubsub-cached"):
        prepare(url_of(path))
    assert value(path, "SELECT count(*) FROM sqlite_master") == 1
    assert value(path, "PRAGMA journal_mode") == "delete"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "no URL"),
        ("mysql://user:hidden@host/data", "is not "),
        ("postgresql+psycopg2://user:hidden@host/data", "names a driver that is not used"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////proc/what?/cache.sqlite3", r"has a '\?'; write %3F"),
        ("sqlite:////dev/null/cache.sqlite3", "can't be used"),
        ("sqlite:////proc/cache.sqlite3", "can't be used"),
        ("sqlite:////tmp", "can't be used"),
        ("sqlite:///~nobody-of-this-name/cache.sqlite3", "home directory"),
    ],
)
def test_a_place_that_can_not_be_used(url: str, said: str) -> None:
    with pytest.raises(BadConfiguration, match=said) as refused:
        prepare(url)
    assert "hidden" not in str(refused.value)


def test_a_database_that_another_process_is_upgrading(
    filled: Path, later: Migrations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pubsub_cached.store.sqlite.engine.BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(filled, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BadConfiguration, match="locked"):
            prepare(url_of(filled), later)
    prepare(url_of(filled), later)


def test_a_database_that_can_not_be_written_is_said_in_a_sentence(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pubsub_cached.store.sqlite.engine.BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(filled, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseError, match="locked"):
            Store.open(url_of(filled))


async def test_what_was_stored_is_served_after_a_restart(filled: Path) -> None:
    store = Store.open(url_of(filled))
    (node,) = store.read_now(nodes.listing, NodesQuery())
    assert node.address.service == "pubsub.example.org"
    found = store.read_now(slice_of, node.id, ItemsQuery())
    assert [record["id"] for record in found.items] == ["c", "b", "a"]
    await store.close()

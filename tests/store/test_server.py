"""What only a database on a server meets: its start, other tables, lost connections, several daemons at once."""

from __future__ import annotations

import asyncio
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pubsub_cached import paths
from pubsub_cached.address import Address
from pubsub_cached.errors import BadConfiguration, DatabaseError, NewerDatabase
from pubsub_cached.store import accounts, items, maintenance, migrate, nodes
from pubsub_cached.store.migrate import Migrations, prepare
from pubsub_cached.store.postgresql import start
from pubsub_cached.store.rows import ItemsQuery
from pubsub_cached.store.store import Store
from tests.support.postgresql import PASSWORD, PostgreSQL

from .conftest import ACCOUNT, Database, milliseconds
from .content import item
from .searching import ids, parsed, served

pytestmark = pytest.mark.postgresql

LATER = '''
"""A colour for every node"""
import os
import sqlalchemy as sa
from alembic import op

revision = "later"
down_revision = "HEAD"

def upgrade():
    op.add_column("node", sa.Column("colour", sa.Text, nullable=False, server_default=""))
    if os.environ.get("FAIL"):
        raise ValueError("no such colour")

def downgrade():
    op.drop_column("node", "colour")
'''


@pytest.fixture
def later(tmp_path: Path) -> Migrations:
    scripts = tmp_path / "migrations"
    shutil.copytree(paths.migrations(), scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "later.py").write_text(LATER.replace("HEAD", migrate.HEAD))
    return Migrations(scripts, "later")


@pytest.fixture
def name(server: PostgreSQL, template: str) -> Iterator[str]:
    """A new database of this test alone."""
    made = server.create(template)
    yield made
    server.drop(made)


@pytest.fixture
def own() -> Iterator[PostgreSQL]:
    """A server that this test may stop."""
    running = PostgreSQL().start()
    yield running
    running.remove()


def tables(server: PostgreSQL, name: str) -> set[str]:
    return {table for (table,) in server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name)}


# The start


def test_the_revision_of_a_new_database_starts_at_the_clock(server: PostgreSQL) -> None:
    name = server.create()
    before = milliseconds()
    assert prepare(server.url(name)) == ""
    (found,) = server.execute("SELECT value FROM counter WHERE name = 'revision'", name)
    assert before <= found[0] <= milliseconds()
    assert prepare(server.url(name)) == ""
    server.drop(name)


def test_daemons_that_start_together_make_the_tables_once(server: PostgreSQL) -> None:
    name = server.create()
    failed: list[BaseException] = []

    def begin() -> None:
        try:
            prepare(server.url(name))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=begin) for _ in range(3)]
    with psycopg.connect(server.url(name).replace("+psycopg", "")) as other:
        other.execute(f"SELECT pg_advisory_xact_lock({start.UPGRADE_LOCK})")
        for thread in threads:
            thread.start()
        while len(server.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")) < len(threads):
            time.sleep(0.01)
        assert tables(server, name) == set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert "item" in tables(server, name)
    server.drop(name)


def test_an_upgrade_that_fails_never_happened(
    server: PostgreSQL, name: str, later: Migrations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(DatabaseError, match="could not be upgraded, and is as it was: no such colour"):
        prepare(server.url(name), later)
    assert prepare(server.url(name)) == ""
    monkeypatch.delenv("FAIL")
    prepare(server.url(name), later)
    with pytest.raises(NewerDatabase, match="revision 'later', which is newer than this version's"):
        prepare(server.url(name))


def test_tables_of_something_else_are_left_alone(server: PostgreSQL) -> None:
    name = server.create()
    server.execute("CREATE TABLE item (song text)", name)
    with pytest.raises(BadConfiguration, match="holds tables of something else"):
        prepare(server.url(name))
    assert tables(server, name) == {"item"}
    server.execute("DROP TABLE item; CREATE TABLE song (title text)", name)
    prepare(server.url(name))
    server.drop(name)


def test_what_a_server_refuses_is_said_without_the_password(server: PostgreSQL, name: str) -> None:
    def refused(url: str, kind: type[Exception]) -> str:
        with pytest.raises(kind) as error:
            prepare(url)
        causes = [error.value, error.value.__cause__]
        assert all("guess" not in str(cause) for cause in causes)
        return str(error.value)

    good = server.url(name, password=True)
    prepare(good)
    wrong = good.replace(PASSWORD.replace(" ", "%20"), "guess")
    assert "password authentication failed" in refused(wrong, BadConfiguration)
    assert "does not exist" in refused(server.url("nowhere"), BadConfiguration)
    assert "colour" in refused(server.url(name) + "&colour=red", BadConfiguration)
    down = wrong.replace(str(server.port), "1")
    assert "Is the server running?" in refused(down, DatabaseError)
    latin = f"latin{server.port}"
    server.execute(f"CREATE DATABASE {latin} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc")
    assert "createdb --encoding=UTF8" in refused(server.url(latin), BadConfiguration)
    server.drop(latin)


def test_without_the_driver_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "pubsub_cached.store.postgresql.connection", raising=False)
    with pytest.raises(BadConfiguration, match=r"pip install 'pubsub-cached\[postgresql\]'"):
        prepare("postgresql+psycopg://me@127.0.0.1/cache")


# Lost connections


async def test_reads_and_writes_go_on_after_every_connection_was_cut(
    server: PostgreSQL, name: str, address: Address
) -> None:
    store = Store.open(server.url(name))
    await store.write(accounts.ensure, ACCOUNT)
    node = await store.write(nodes.ensure, address)
    for number in range(3):
        assert await store.read(nodes.find, address) is not None
        assert server.disconnect(name) >= 2
        assert (await store.write(items.publish, node.id, [item(str(number))])).changed == [str(number)]
    assert nodes.must(await store.read(nodes.find, address)).item_count == 3
    await store.close()


async def test_a_server_that_is_away_is_an_error_and_nothing_acknowledged_is_lost(
    own: PostgreSQL, address: Address
) -> None:
    url = own.url(own.create())
    store = Store.open(url)
    await store.write(accounts.ensure, ACCOUNT)
    node = await store.write(nodes.ensure, address)
    acknowledged = await store.write(items.publish, node.id, [item("a")])
    own.kill()
    for _ in range(2):
        with pytest.raises(DatabaseError, match="can't be reached"):
            await store.read(nodes.find, address)
        with pytest.raises(DatabaseError, match="can't be reached"):
            await store.write(items.publish, node.id, [item("b")])
    own.start()
    found = await store.read(items.page, node.id, ItemsQuery())
    assert [record["id"] for record in found.items] == ["a"]
    assert (await store.write(items.publish, node.id, [item("c")])).revision > acknowledged.revision
    assert store.revision == await store.read(maintenance.revision)
    await store.close()


async def test_a_write_that_was_under_way_is_undone_whole(server: PostgreSQL, name: str, address: Address) -> None:
    store = Store.open(server.url(name))
    await store.write(accounts.ensure, ACCOUNT)
    node = await store.write(nodes.ensure, address)

    def cut(tx: object) -> None:
        items.publish(tx, node.id, [item("half")])  # type: ignore[arg-type]
        server.disconnect(name)
        items.publish(tx, node.id, [item("other half")])  # type: ignore[arg-type]

    before = store.revision
    with pytest.raises(DatabaseError, match="can't be reached"):
        await store.write(cut)
    assert store.revision == before
    assert (await store.write(items.publish, node.id, [item("b")])).changed == ["b"]
    found = await store.read(items.page, node.id, ItemsQuery())
    assert [record["id"] for record in found.items] == ["b"]
    await store.close()


# Several daemons


async def test_daemons_that_share_a_database_number_nothing_alike(server: PostgreSQL, name: str) -> None:
    stores = [Store.open(server.url(name)) for _ in range(2)]
    given: list[int] = []
    for number, store in enumerate(stores):
        await store.write(accounts.ensure, f"account{number}@example.org")
    for _ in range(20):
        given += await asyncio.gather(*(store.write(lambda tx: tx.next_revision()) for store in stores))
    assert len(set(given)) == len(given)
    assert max(given) == await stores[0].read(maintenance.revision)
    for store in stores:
        await store.close()


# What JSONB and TEXT can't hold


def test_what_has_no_room_in_jsonb_is_found_all_the_same(db: Database) -> None:
    node = served(db)
    written = {
        "nul": '{"title":"a\\u0000b","n":1}',
        "backslash": '{"title":"a\\\\u0000b","n":2}',
        "huge": '{"n":1e400}',
        "tiny": '{"n":1e-400}',
        "long": '{"title":"' + "x" * 3000 + '"}',
        "broken": "{",
    }
    stored = [parsed(id_) for id_ in written]
    from msgspec.structs import replace

    db.write(items.publish, node.id, [replace(one, data=written[one.id]) for one in stored])
    found = db.read(items.page, node.id, ItemsQuery(limit=10)).items
    assert {record["id"]: record["data"] for record in found} == written
    assert ids(db, wanted={"where": [["title", "=", "a\0b"]]}) == ["nul"]
    assert ids(db, wanted={"where": [["title", "=", "a\\u0000b"]]}) == ["backslash"]
    assert sorted(ids(db, wanted={"where": [["n", ">", 2]]})) == ["huge"]
    assert sorted(ids(db, wanted={"where": [["n", "<", 0.5]]})) == ["tiny"]
    assert ids(db, order="data.n desc")[:3] == ["huge", "backslash", "nul"]
    assert ids(db, wanted={"ids": ["nul\0"]}) == []


def test_an_index_on_a_path_takes_long_strings(db: Database) -> None:
    from pubsub_cached.store import indexes

    node = served(db)
    db.write(indexes.keep, ["s"])
    texts = {"a": "x" * 5000, "b": "x" * 5000 + "y", "c": "x" * 4999}
    db.write(items.publish, node.id, [parsed(id_, {"s": text}) for id_, text in texts.items()])
    assert ids(db, wanted={"where": [["s", "=", texts["a"]]]}) == ["a"]
    assert ids(db, wanted={"where": [["s", ">", texts["a"]]]}) == ["b"]
    assert sorted(ids(db, wanted={"where": [["s", "<=", texts["a"]]]})) == ["a", "c"]

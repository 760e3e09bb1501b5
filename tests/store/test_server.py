"""What only a database on a server meets: its start, other tables, lost connections, several daemons at once."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
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
from pubsub_cached.store.database import InUse
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


@pytest.mark.parametrize("reaches", [True, False], ids=["committed", "undone"])
async def test_a_connection_that_breaks_in_a_commit_is_made_again_to_see_what_became_of_it(
    server: PostgreSQL, name: str, address: Address, reaches: bool
) -> None:
    with Breaking(server) as relay:
        store = Store.open(server.url(name, password=True).replace(str(server.port), str(relay.port)))
        await store.write(accounts.ensure, ACCOUNT)
        node = await store.write(nodes.ensure, address)
        relay.break_at_commit(reaches)
        written = store.write(items.publish, node.id, [item("a")])
        if reaches:
            assert (await written).changed == ["a"]
        else:
            with pytest.raises(DatabaseError, match="can't be reached"):
                await written
        assert (await store.write(items.publish, node.id, [item("b")])).changed == ["b"]
        found = await store.read(items.page, node.id, ItemsQuery())
        assert [record["id"] for record in found.items] == (["b", "a"] if reaches else ["b"])
        await store.close()


class Breaking:
    """A relay to a server that can break a connection at its next COMMIT, before the server hears of it or after."""

    def __init__(self, server: PostgreSQL) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._break: bool | None = None

    def break_at_commit(self, reaches: bool) -> None:
        self._break = reaches

    def __enter__(self) -> Breaking:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((self._server.host, self._server.port))
                threading.Thread(target=self._to_server, args=(near, far), daemon=True).start()
                threading.Thread(target=self._to_client, args=(far, near), daemon=True).start()

    def _to_server(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                if self._break is None or b"COMMIT" not in data:
                    far.sendall(data)
                    continue
                reaches, self._break = self._break, None
                # The server answers nobody.
                near.shutdown(socket.SHUT_RDWR)
                if reaches:
                    far.sendall(data)
                break
            far.shutdown(socket.SHUT_WR)

    def _to_client(self, far: socket.socket, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                near.sendall(data)
            near.shutdown(socket.SHUT_RDWR)


# Several daemons


async def test_a_second_daemon_waits_until_the_first_has_ended(server: PostgreSQL, name: str) -> None:
    url = server.url(name)
    first = Store.open(url)
    with pytest.raises(InUse, match=r"is used by another daemon \(pubsub-cached on this machine, since 20"):
        Store.open(url)
    freed = asyncio.create_task(Store.free(url))
    while not server.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
        await asyncio.sleep(0.01)
    assert not freed.done()
    await first.close()
    await asyncio.wait_for(freed, 20)
    second = Store.open(url)
    assert await second.write(lambda tx: tx.next_revision()) == second.revision
    await second.close()


async def test_who_lost_the_connection_does_not_write_beside_another(server: PostgreSQL, name: str) -> None:
    url = server.url(name)
    first = Store.open(url)
    server.disconnect(name)
    second = Store.open(url)
    with pytest.raises(DatabaseError, match="is used by another daemon"):
        await first.write(lambda tx: tx.next_revision())
    await second.write(lambda tx: tx.next_revision())
    await second.close()
    assert await first.write(lambda tx: tx.next_revision()) > second.revision
    await first.close()


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

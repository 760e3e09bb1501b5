"""What only a database on a server meets: its start, other tables, lost connections, several daemons at once."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pubsub_cached import paths
from pubsub_cached.address import Address
from pubsub_cached.errors import BadConfiguration, DatabaseError, NewerDatabase
from pubsub_cached.store import accounts, indexes, items, maintenance, migrate, nodes, schedule, services
from pubsub_cached.store.changes import since
from pubsub_cached.store.database import AccountInUse, InUse
from pubsub_cached.store.migrate import Migrations, prepare
from pubsub_cached.store.postgresql import locks
from pubsub_cached.store.rows import ItemsQuery, NodesQuery
from pubsub_cached.store.store import Store
from pubsub_cached.store.transaction import Transaction
from tests.support.postgresql import PASSWORD, USER, PostgreSQL

from .conftest import ACCOUNT, Database, milliseconds
from .content import item
from .searching import ids, parsed, served

pytestmark = pytest.mark.postgresql

BOB = "bob@example.org"
COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_name = 'node'"
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
        other.execute(f"SELECT pg_advisory_xact_lock({locks.of(other).daemons.arguments})")
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


@pytest.mark.parametrize("kept", ["file of passwords", "service"])
def test_the_password_may_be_kept_where_libpq_finds_it(
    server: PostgreSQL, name: str, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = f"{server.host}:{server.port}"
    file = tmp_path / "kept"
    if kept == "service":
        file.write_text(
            f"[cache]\nhost={server.host}\nport={server.port}\ndbname={name}\nuser={USER}\npassword={PASSWORD}\n"
        )
        monkeypatch.setenv("PGSERVICEFILE", str(file))
        url = "postgresql+psycopg:///?service=cache"
    else:
        file.write_text(f"{where}:{name}:{USER}:{PASSWORD}\n")
        monkeypatch.setenv("PGPASSFILE", str(file))
        url = f"postgresql+psycopg://{USER}@{where}/{name}"
    file.chmod(0o600)
    assert prepare(url) == ""
    # Nothing else lets it in.
    file.write_text(file.read_text().replace(PASSWORD, "wrong"))
    with pytest.raises(BadConfiguration, match="password authentication failed"):
        prepare(url)


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
                if self._break is None or b"COMMIT\0" not in data:
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


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = Store.open(url)
    yield store
    await store.close()


async def waiting(server: PostgreSQL, kind: str = "advisory") -> None:
    """Return once somebody waits for a lock."""
    while not server.execute(f"SELECT 1 FROM pg_locks WHERE locktype = '{kind}' AND NOT granted"):
        await asyncio.sleep(0.01)


async def run_each(first: Store, second: Store) -> None:
    """Each daemon has and runs an account of its own."""
    for store, jid in ((first, ACCOUNT), (second, BOB)):
        row = await store.write(accounts.ensure, jid)
        store.show({row.id})
        await store.hold(row.id)


async def test_daemons_with_other_accounts_write_side_by_side(server: PostgreSQL, name: str) -> None:
    url = server.url(name)
    async with opened(url) as first, opened(url) as second:
        await run_each(first, second)
        revisions: list[list[int]] = []
        for store, jid in ((first, ACCOUNT), (second, BOB)):
            node = await store.write(nodes.ensure, Address(jid, "pubsub.example.org", "blog"))
            given = [store.write(items.publish, node.id, [item(f"i{number}")]) for number in range(100)]
            revisions.append([delta.revision for delta in await asyncio.gather(*given)])
        found = [await store.read(nodes.listing, NodesQuery()) for store in (first, second)]
        assert [[node.address.account for node in rows] for rows in found] == [[ACCOUNT], [BOB]]
    assert not set(revisions[0]) & set(revisions[1])


async def test_writes_of_two_daemons_take_turns_so_that_a_later_revision_is_seen_later(
    server: PostgreSQL, name: str
) -> None:
    url = server.url(name)
    async with opened(url) as first, opened(url) as second:
        entered, leave = threading.Event(), threading.Event()

        def hold(tx: Transaction) -> int:
            revision = tx.next_revision()
            entered.set()
            assert leave.wait(30)
            return revision

        earlier = first.write(hold)
        assert await asyncio.to_thread(entered.wait, 30)
        later = second.write(lambda tx: tx.next_revision())
        await waiting(server)
        assert not later.done()
        leave.set()
        assert await later > await earlier


async def test_of_an_account_that_another_daemon_runs_nothing_is_written(server: PostgreSQL, name: str) -> None:
    url = server.url(name)
    address = Address(ACCOUNT, "pubsub.example.org", "blog")
    async with opened(url) as first, opened(url) as second:
        row = await first.write(accounts.ensure, ACCOUNT)
        node = await first.write(nodes.ensure, address)
        await first.hold(row.id)
        refused: tuple[Callable[[Transaction], object], ...] = (
            lambda tx: nodes.ensure(tx, Address(ACCOUNT, "pubsub.example.org", "other")),
            lambda tx: nodes.update(tx, node.id, title="Other"),
            lambda tx: nodes.forget(tx, node.id),
            lambda tx: items.publish(tx, node.id, [item("a")]),
            lambda tx: items.set_flags(tx, address, ["a"], ["read"], []),
            lambda tx: services.put(tx, ACCOUNT, "pubsub.example.org", services.Observed()),
            lambda tx: accounts.ensure(tx, ACCOUNT, enabled=False),
            lambda tx: accounts.remove(tx, ACCOUNT),
        )
        for write in refused:
            with pytest.raises(
                AccountInUse, match=r"alice@example.org is run by another daemon \(pubsub-cached on this"
            ):
                await second.write(write)
        with pytest.raises(AccountInUse):
            await second.hold(row.id)
        # The rest of the group is written all the same.
        await second.write(accounts.ensure, BOB)
        assert await second.read(nodes.find, address) == node


async def test_what_nobody_runs_can_be_written_but_for_what_is_to_be_sent(server: PostgreSQL, name: str) -> None:
    url = server.url(name)
    async with opened(url) as store:
        await store.write(accounts.ensure, ACCOUNT)
        node = await store.write(nodes.ensure, Address(ACCOUNT, "pubsub.example.org", "blog"))
        await store.write(items.publish, node.id, [item("a")])
        with pytest.raises(AccountInUse, match="is not run by this daemon"):
            await store.write(accounts.own, ACCOUNT, lasting=True)


async def test_an_account_is_awaited_until_the_other_daemon_has_let_it_go_or_ended(
    server: PostgreSQL, name: str
) -> None:
    url = server.url(name)
    first = Store.open(url)
    row = await first.write(accounts.ensure, ACCOUNT)
    async with opened(url) as second:
        for end in (first.release, lambda _: first.close()):
            await first.hold(row.id)
            freed = asyncio.create_task(second.released(row.id))
            await waiting(server)
            assert not freed.done()
            await end(row.id)
            await asyncio.wait_for(freed, 20)
            await second.hold(row.id)
            await second.release(row.id)


async def test_a_connection_that_was_lost_is_noticed_without_a_write_and_the_account_with_it(
    server: PostgreSQL, name: str
) -> None:
    url = server.url(name)
    async with opened(url) as first, opened(url) as second:
        row = await first.write(accounts.ensure, ACCOUNT)
        await first.hold(row.id)
        told: asyncio.Queue[frozenset[int]] = asyncio.Queue()
        first.on_lost.append(told.put_nowait)
        writer = first._writer._session._driver.info.backend_pid  # type: ignore[attr-defined]
        with psycopg.connect(server.url(name).replace("+psycopg", ""), autocommit=True) as other:
            # The next in the queue gets it, before the first daemon could have made its connection again.
            lock = locks.of(other).account(row.id)
            taken = asyncio.create_task(asyncio.to_thread(other.execute, f"SELECT pg_advisory_lock({lock.arguments})"))
            await waiting(server)
            server.execute(f"SELECT pg_terminate_backend({writer})")
            assert await asyncio.wait_for(told.get(), 20) == {row.id}
            await taken
            with pytest.raises(AccountInUse):
                await first.write(accounts.own, ACCOUNT)
            assert await first.write(lambda tx: tx.next_revision()) == first.revision
        # The server is late to notice who left.
        await asyncio.wait_for(first.released(row.id), 20)
        await first.hold(row.id)
        with pytest.raises(AccountInUse):
            await second.hold(row.id)


def impatient(url: str, seconds: int) -> str:
    """The URL, for a server that waits so long for who says nothing."""
    return f"{url}&options=-c%20idle_session_timeout%3D{seconds}s"


async def test_who_says_nothing_for_long_runs_nothing_any_more(server: PostgreSQL, name: str) -> None:
    url = impatient(server.url(name), 1)
    async with opened(url) as first, opened(server.url(name)) as second:
        row = await first.write(accounts.ensure, ACCOUNT)
        await first.hold(row.id)
        told: asyncio.Queue[frozenset[int]] = asyncio.Queue()
        first.on_lost.append(told.put_nowait)
        # As good as frozen: the thread that writes does nothing.
        thaw = threading.Event()
        frozen = first.maintain(lambda driver: thaw.wait(60))
        await asyncio.wait_for(second.released(row.id), 20)
        await second.hold(row.id)
        thaw.set()
        assert await frozen
        with pytest.raises(AccountInUse, match="is run by another daemon"):
            await first.write(accounts.own, ACCOUNT)
        assert await asyncio.wait_for(told.get(), 20) == {row.id}


async def test_who_has_nothing_to_write_keeps_its_accounts(server: PostgreSQL, name: str) -> None:
    url = impatient(server.url(name), 2)
    async with opened(url) as first, opened(url) as second:
        row = await first.write(accounts.ensure, ACCOUNT)
        await first.hold(row.id)
        freed = asyncio.create_task(second.released(row.id))
        # Longer than the server waits for a word.
        assert not (await asyncio.wait({freed}, timeout=5))[0]
        with pytest.raises(AccountInUse):
            await second.hold(row.id)
        freed.cancel()


async def test_an_account_that_nobody_took_meanwhile_is_held_again(server: PostgreSQL, name: str) -> None:
    url = server.url(name)
    async with opened(url) as first:
        row = await first.write(accounts.ensure, ACCOUNT)
        await first.hold(row.id)
        server.disconnect(name)
        await first.write(accounts.own, ACCOUNT, lasting=True)
        async with opened(url) as second:
            with pytest.raises(AccountInUse):
                await second.hold(row.id)


async def test_the_schema_is_upgraded_once_daemons_of_an_older_version_have_ended(
    server: PostgreSQL, name: str, later: Migrations
) -> None:
    url = server.url(name)
    first = Store.open(url)
    with pytest.raises(InUse, match=r"used by a daemon of an older version \(pubsub-cached on this machine, since 20"):
        prepare(url, later)
    await first.close()
    prepare(url, later)
    assert "colour" in {column for (column,) in server.execute(COLUMNS, name)}


async def test_daemons_of_another_database_and_of_another_schema_keep_nobody_from_an_upgrade(
    server: PostgreSQL, name: str
) -> None:
    other = server.create()
    server.execute("CREATE SCHEMA apart AUTHORIZATION pubsub", name)
    async with opened(server.url(name)):
        for url in (server.url(other), f"{server.url(name)}&options=-csearch_path%3Dapart"):
            prepare(url)
            async with opened(url) as store:
                row = await store.write(accounts.ensure, ACCOUNT)
                await store.hold(row.id)
    server.drop(other)


async def test_a_daemon_writes_nothing_into_a_schema_that_was_upgraded_meanwhile(
    server: PostgreSQL, name: str, later: Migrations
) -> None:
    url = server.url(name)
    async with opened(url) as store:
        writer = store._writer._session._driver.info.backend_pid  # type: ignore[attr-defined]
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
            lock = locks.of(other).daemons
            upgrading = asyncio.create_task(
                asyncio.to_thread(other.execute, f"SELECT pg_advisory_lock({lock.arguments})")
            )
            await waiting(server)
            server.execute(f"SELECT pg_terminate_backend({writer})")
            await upgrading
            server.execute("UPDATE alembic_version SET version_num = 'later'", name)
        with pytest.raises(DatabaseError, match="has the revision 'later' by now"):
            await store.write(lambda tx: tx.next_revision())


async def test_an_index_that_another_daemon_may_need_is_kept(server: PostgreSQL, name: str) -> None:
    url = server.url(name)
    async with opened(url) as first:
        async with opened(url) as second:
            await first.write(indexes.keep, ["start"])
            await second.write(indexes.keep, ["end"])
            assert len(await first.read(indexes.names)) == 2
        while len(server.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'")) > 1:
            await asyncio.sleep(0.01)  # the server is late to notice who left
        await first.write(indexes.keep, ["start"])
        assert len(await first.read(indexes.names)) == 1


async def test_what_is_done_for_all_is_done_for_the_accounts_that_are_run(server: PostgreSQL, name: str) -> None:
    url = server.url(name)
    async with opened(url) as first, opened(url) as second:
        await run_each(first, second)
        for store, jid in ((first, ACCOUNT), (second, BOB)):
            address = Address(jid, "pubsub.example.org", "blog")
            node = await store.write(nodes.ensure, address)
            await store.write(nodes.update, node.id, state="live", next_sync=1, completeness="full", subscribed=True)
            await store.write(items.publish, node.id, [item("a"), item("b")])
            await store.write(items.set_flags, address, ["a"], ["read"], [])
            await store.write(items.retract, node.id, ["b"])
        for look in (schedule.subscribed, schedule.followed):
            assert [entry.address.account for entry in await second.read(look)] == [BOB]
        assert [entry.address.account for entry in await second.read(schedule.due, 2, ("live",))] == [BOB]
        demoted = await second.write(nodes.demote, None, "restart")
        assert [row.address.account for row in demoted] == [BOB]
        assert await second.write(maintenance.expire_tombstones, 2**62) == 1
        own = await second.read(maintenance.size)
        assert await second.write(maintenance.reset) == 1
        assert (await second.read(maintenance.size), own > 0) == (0, True)
        address = Address(ACCOUNT, "pubsub.example.org", "blog")
        node = await first.read(nodes.find, address)
        assert node is not None
        assert (node.state, node.item_count, await first.read(nodes.unread, node)) == ("live", 1, 0)
        changes = await first.read(since, address, node.floor)
        assert (changes.removed, changes.complete) == (["b"], True)


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

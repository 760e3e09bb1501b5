"""Connections to a server that are lost: what was acknowledged stays, and what was under way is whole or undone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from pubsub_cached.address import Address
from pubsub_cached.errors import DatabaseError
from pubsub_cached.store.accounts import accounts, nodes
from pubsub_cached.store.items.changes import since
from pubsub_cached.store.postgresql import server as postgresql
from pubsub_cached.store.postgresql.connection import driver_of
from pubsub_cached.store.rows import ItemsQuery, NodeRow
from pubsub_cached.store.store import Store
from pubsub_cached.store.transaction import Transaction, committed_revision
from tests.support.postgresql import PostgreSQL
from tests.support.stored import publish

from .conftest import ACCOUNT
from .content import item, slice_of

pytestmark = pytest.mark.postgresql


@pytest.fixture
def own() -> Iterator[PostgreSQL]:
    """A server that this test may stop."""
    running = PostgreSQL().start()
    yield running
    running.remove()


async def opened(url: str, address: Address) -> tuple[Store, NodeRow]:
    """A store with a node in it."""
    store = Store.open(url)
    await store.write(accounts.ensure, ACCOUNT)
    return store, await store.write(nodes.ensure, address)


async def test_reads_and_writes_go_on_after_every_connection_was_cut(
    server: PostgreSQL, name: str, address: Address
) -> None:
    store, node = await opened(server.url(name), address)
    for number in range(3):
        assert await store.read(nodes.find, address) is not None
        assert server.disconnect(name) >= 2
        assert (await store.write(publish, node.id, [item(str(number))])).changed == [str(number)]
    assert nodes.must(await store.read(nodes.find, address)).item_count == 3
    await store.close()


async def test_a_server_that_is_away_is_an_error_and_nothing_acknowledged_is_lost(
    own: PostgreSQL, address: Address
) -> None:
    url = own.url(own.create())
    store, node = await opened(url, address)
    acknowledged = await store.write(publish, node.id, [item("a")])
    own.kill()
    for _ in range(2):
        with pytest.raises(DatabaseError, match="can't be reached"):
            await store.read(nodes.find, address)
        with pytest.raises(DatabaseError, match="can't be reached"):
            await store.write(publish, node.id, [item("b")])
    own.start()
    found = await store.read(slice_of, node.id, ItemsQuery())
    assert [record["id"] for record in found.items] == ["a"]
    assert (await store.write(publish, node.id, [item("c")])).revision > acknowledged.revision
    assert store.revision == await store.read(committed_revision)
    await store.close()


async def test_a_write_that_was_under_way_is_undone_whole(server: PostgreSQL, name: str, address: Address) -> None:
    store, node = await opened(server.url(name), address)

    def cut(tx: object) -> None:
        publish(tx, node.id, [item("half")])  # type: ignore[arg-type]
        server.disconnect(name)
        publish(tx, node.id, [item("other half")])  # type: ignore[arg-type]

    before = store.revision
    with pytest.raises(DatabaseError, match="can't be reached"):
        await store.write(cut)
    assert store.revision == before
    assert (await store.write(publish, node.id, [item("b")])).changed == ["b"]
    found = await store.read(slice_of, node.id, ItemsQuery())
    assert [record["id"] for record in found.items] == ["b"]
    await store.close()


async def test_a_connection_of_which_the_driver_does_not_know_that_it_ended_is_made_again(
    server: PostgreSQL, name: str, address: Address
) -> None:
    store, node = await opened(server.url(name), address)

    def end(tx: Transaction) -> None:
        publish(tx, node.id, [item("half")])
        # As it is left where a connection ends amid many statements, now and then.
        driver_of(tx.connection).pgconn.enter_pipeline_mode()

    with pytest.raises(DatabaseError, match="can't be reached"):
        await store.write(end)
    assert (await store.write(publish, node.id, [item("b")])).changed == ["b"]
    found = await store.read(slice_of, node.id, ItemsQuery())
    assert [record["id"] for record in found.items] == ["b"]
    await store.close()


@pytest.mark.parametrize("reaches", [True, False], ids=["committed", "undone"])
async def test_a_connection_that_breaks_in_a_commit_is_made_again_to_see_what_became_of_it(
    server: PostgreSQL, name: str, address: Address, reaches: bool
) -> None:
    with Breaking(server) as relay:
        store, node = await opened(server.url(name, password=True).replace(str(server.port), str(relay.port)), address)
        relay.break_at_commit(reaches)
        written = store.write(publish, node.id, [item("a")])
        if reaches:
            assert (await written).changed == ["a"]
        else:
            with pytest.raises(DatabaseError, match="can't be reached"):
                await written
        assert (await store.write(publish, node.id, [item("b")])).changed == ["b"]
        found = await store.read(slice_of, node.id, ItemsQuery())
        assert [record["id"] for record in found.items] == (["b", "a"] if reaches else ["b"])
        await store.close()


async def test_a_server_that_ends_in_a_commit_is_waited_for_to_see_what_became_of_it(
    server: PostgreSQL, name: str, address: Address
) -> None:
    with Breaking(server) as relay:
        store, node = await opened(server.url(name, password=True).replace(str(server.port), str(relay.port)), address)
        relay.break_at_commit(reaches=True, lasting=True)
        written = store.write(publish, node.id, [item("a")])
        assert await asyncio.to_thread(relay.refused.wait, 30)
        relay.mend()
        assert (await written).changed == ["a"]
        await store.close()


async def test_who_listens_looks_again_where_nobody_can_tell_what_became_of_a_commit(
    server: PostgreSQL, name: str, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_RETURN_SECONDS", 0.0)
    with Breaking(server) as relay:
        store, node = await opened(server.url(name, password=True).replace(str(server.port), str(relay.port)), address)
        heard: list[set[str]] = []
        store.on_commit.append(lambda touched: heard.append(touched.keys()))
        relay.break_at_commit(reaches=True, lasting=True)
        with pytest.raises(DatabaseError, match="can't be reached"):
            await store.write(publish, node.id, [item("a")])
        assert heard == [{address.key("a")}]
        relay.mend()
        found = await store.read(slice_of, node.id, ItemsQuery())
        assert [record["id"] for record in found.items] == ["a"]
        await store.close()


async def test_what_a_server_lost_when_it_ended_is_looked_at_again_and_its_revisions_are_not_given_again(
    server: PostgreSQL, name: str, address: Address
) -> None:
    store, node = await opened(server.url(name), address)
    before = store.revision
    lost = await store.write(publish, node.id, [item(str(number)) for number in range(20)])
    # As without synchronous_commit, or where a replica takes over.
    forgotten = f"DELETE FROM item; UPDATE counter SET value = {before} WHERE name = 'revision'"
    server.execute(f"{forgotten}; UPDATE node SET item_count = 0, revision = {before}", name)
    server.disconnect(name)
    again: list[bool] = []
    store.on_commit.append(lambda touched: again.append(touched.everything and touched.rewritten))
    assert (await store.write(publish, node.id, [item("a")])).revision > lost.revision
    assert (await store.read(since, address, lost.revision)).changed == ["a"]
    await store.write(publish, node.id, [item("b")])
    assert again == [True, False]
    await store.close()


async def test_what_a_server_lost_is_looked_at_again_though_the_first_write_after_it_fails(
    server: PostgreSQL, name: str
) -> None:
    store = Store.open(server.url(name))
    await store.write(accounts.ensure, ACCOUNT)
    server.disconnect(name)
    again: list[bool] = []
    store.on_commit.append(lambda touched: again.append(touched.everything and touched.rewritten))
    with pytest.raises(DatabaseError, match="out of range"):
        await store.write(lambda tx: tx.reach(revision=2**64))
    for _ in range(2):
        await store.write(lambda tx: tx.next_revision())
    assert again == [True]
    await store.close()


async def test_what_a_server_lost_is_looked_at_again_though_nobody_writes(server: PostgreSQL, name: str) -> None:
    store = Store.open(server.url(name))
    await store.write(accounts.ensure, ACCOUNT)
    again: asyncio.Queue[bool] = asyncio.Queue()
    store.on_commit.append(lambda touched: again.put_nowait(touched.everything and touched.rewritten))
    for _ in range(2):
        server.disconnect(name)
        assert await asyncio.wait_for(again.get(), 60)
    await store.write(lambda tx: tx.next_revision())
    assert again.empty()
    await store.close()


async def test_who_cancels_a_statement_is_not_taken_for_the_end_of_its_time(server: PostgreSQL, name: str) -> None:
    store = Store.open(server.url(name))
    reading = asyncio.create_task(store.read_all(lambda conn: conn.exec_driver_sql("SELECT pg_sleep(60)").scalar()))
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    while not server.execute(cancel):
        await asyncio.sleep(0.01)
    with pytest.raises(DatabaseError, match="canceling statement due to user request"):
        await reading
    await store.close()


class Breaking:
    """A relay to a server that can break a connection at its next COMMIT, before the server hears of it or after.

    lasting: nothing goes through after it, until ``mend``.
    """

    def __init__(self, server: PostgreSQL) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._break: bool | None = None
        self._lasting = self._broken = False
        # Somebody came while nothing went through.
        self.refused = threading.Event()

    def break_at_commit(self, reaches: bool, lasting: bool = False) -> None:
        self._break, self._lasting = reaches, lasting

    def mend(self) -> None:
        self._broken = False

    def __enter__(self) -> Breaking:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._broken:
                    near.close()
                    self.refused.set()
                    continue
                far = socket.create_connection((self._server.host, self._server.port))
                threading.Thread(target=self._to_server, args=(near, far), daemon=True).start()
                threading.Thread(target=self._to_client, args=(far, near), daemon=True).start()

    def _to_server(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                if self._break is None or b"COMMIT\0" not in data:
                    far.sendall(data)
                    continue
                reaches, self._break, self._broken = self._break, None, self._lasting
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

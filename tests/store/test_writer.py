"""The thread that writes: groups, isolation, order, failure, the end."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from pubsub_cached.address import Address
from pubsub_cached.clock import clock
from pubsub_cached.errors import DatabaseError, StorageFull
from pubsub_cached.store import migrate
from pubsub_cached.store.accounts import accounts, nodes
from pubsub_cached.store.items.changes import since
from pubsub_cached.store.items.pages import read_items
from pubsub_cached.store.rows import ItemsQuery, NodeRow
from pubsub_cached.store.sqlite.file import LOG_BYTES
from pubsub_cached.store.store import Store
from pubsub_cached.store.transaction import Transaction, committed_revision
from pubsub_cached.store.writer import GROUP_ITEMS
from tests.support.stored import publish

from .conftest import url_of
from .content import item, slice_of


class Gate:
    """Holds the writer's thread until it is opened, so that a test decides what is queued meanwhile."""

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._opened = threading.Event()

    def hold(self, tx: Transaction) -> Transaction:
        self._entered.set()
        assert self._opened.wait(30)
        return tx

    async def entered(self) -> None:
        assert await asyncio.to_thread(self._entered.wait, 30)

    def open(self) -> None:
        self._opened.set()


async def behind_a_gate(store: Store) -> tuple[Gate, asyncio.Future[Transaction]]:
    gate = Gate()
    held = store.write(gate.hold)
    await gate.entered()
    return gate, held


async def test_a_write_is_seen_once_its_future_is_done(store: Store, address: Address) -> None:
    node = await store.write(nodes.ensure, address)
    delta = await store.write(publish, node.id, [item("a")])
    _, revision, found = await store.read(read_items, address, ItemsQuery())
    assert found is not None
    assert [record["id"] for record in found.items] == ["a"]
    assert revision == delta.revision == store.revision
    assert await store.read(nodes.find, address) == await store.read(nodes.find, address)


async def test_what_is_queued_meanwhile_is_one_transaction(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pubsub_cached.store.writer.GROUP_SECONDS", 60.0)
    gate, held = await behind_a_gate(store)
    together = [store.write(lambda tx: tx) for _ in range(GROUP_ITEMS - 1)]
    later = store.write(lambda tx: tx)
    gate.open()
    first = await held
    assert all([await future is first for future in together])
    assert await later is not first


async def test_a_group_that_took_long_is_committed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pubsub_cached.store.writer.GROUP_SECONDS", 0.0)
    gate, held = await behind_a_gate(store)
    others = [store.write(lambda tx: tx) for _ in range(3)]
    gate.open()
    transactions = [await held, *[await future for future in others]]
    assert len({id(transaction) for transaction in transactions}) == 4


async def test_a_full_group_is_committed_before_the_next_begins(store: Store) -> None:
    await store.write(lambda tx: tx.next_revision())
    gate, held = await behind_a_gate(store)
    begun: list[int] = []

    def committed(tx: Transaction) -> int:
        begun.append(store.revision)
        return tx.next_revision()

    futures = [store.write(committed) for _ in range(3 * GROUP_ITEMS)]
    before = store.revision
    gate.open()
    given = await asyncio.gather(*futures)
    assert given == list(range(before + 1, before + 1 + len(given)))
    groups = sorted(set(begun))
    assert len(groups) >= 3
    assert max(begun.count(revision) for revision in groups) <= GROUP_ITEMS
    await held


async def test_futures_are_done_in_the_order_of_the_calls(store: Store) -> None:
    done: list[int] = []

    def work(tx: Transaction, number: int) -> None:
        if number % 7 == 3:
            raise ValueError(number)

    def tell(number: int) -> None:
        done.append(number)

    futures = []
    for number in range(200):
        future = store.write(work, number)
        future.add_done_callback(lambda _, number=number: tell(number))  # type: ignore[misc]
        futures.append(future)
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert done == list(range(200))
    assert [number for number, result in enumerate(results) if isinstance(result, ValueError)] == list(range(3, 200, 7))


async def test_a_function_that_fails_undoes_itself_alone(store: Store, address: Address) -> None:
    node = await store.write(nodes.ensure, address)

    def half(tx: Transaction) -> None:
        publish(tx, node.id, [item("half")])
        raise RuntimeError("half way")

    gate, held = await behind_a_gate(store)
    first = store.write(publish, node.id, [item("a")])
    second = store.write(half)
    third = store.write(publish, node.id, [item("b")])
    refused = store.write(lambda tx: tx.connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)"))
    gate.open()
    await held
    with pytest.raises(RuntimeError, match="half way"):
        await second
    with pytest.raises(DatabaseError, match="nowhere"):
        await refused
    assert (await first).changed == ["a"]
    assert (await third).changed == ["b"]
    row, _, found = await store.read(read_items, address, ItemsQuery())
    assert row is not None
    assert found is not None
    assert [record["id"] for record in found.items] == ["b", "a"]
    assert row.item_count == 2


async def test_a_failed_commit_fails_everything_in_it(
    store: Store, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pubsub_cached.store.writer.GROUP_SECONDS", 60.0)
    node = await store.write(nodes.ensure, address)

    def broken(tx: Transaction) -> None:
        if tx.connection.dialect.name == "sqlite":
            tx.connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
            tx.connection.exec_driver_sql("INSERT INTO tombstone VALUES (999, 'a', 1, 1)")
        else:
            tx.connection.exec_driver_sql("CREATE TEMP TABLE one (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
            tx.connection.exec_driver_sql("INSERT INTO one VALUES (1), (1)")

    gate, held = await behind_a_gate(store)
    futures = [held, store.write(publish, node.id, [item("a")]), store.write(broken)]
    before = store.revision
    gate.open()
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [DatabaseError] * 3
    assert store.revision == before
    assert (await store.write(publish, node.id, [item("b")])).changed == ["b"]
    found = await store.read(slice_of, node.id, ItemsQuery())
    assert [record["id"] for record in found.items] == ["b"]


@pytest.mark.sqlite
async def test_a_full_disk_is_said_and_undoes_the_write(store: Store, address: Address) -> None:
    node = await store.write(nodes.ensure, address)

    def fill(tx: Transaction) -> None:
        pages = tx.connection.exec_driver_sql("PRAGMA page_count").scalar()
        tx.connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    await store.write(fill)
    with pytest.raises(StorageFull, match="full"):
        await store.write(publish, node.id, [item(str(n), "x" * 5000) for n in range(50)])
    assert (await store.read(slice_of, node.id, ItemsQuery())).items == []
    await store.write(lambda tx: tx.connection.exec_driver_sql("PRAGMA max_page_count=1000000"))
    assert (await store.write(publish, node.id, [item("a")])).changed == ["a"]


async def test_a_read_sees_one_moment(store: Store, path: Path, address: Address) -> None:
    node = await store.write(nodes.ensure, address)

    def twice(connection: Connection) -> tuple[str, str]:
        before = nodes.must(nodes.find(connection, address)).state
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE node SET state = 'live' WHERE id = ?", [node.id])
        return before, nodes.must(nodes.find(connection, address)).state

    assert await store.read(twice) == ("unknown", "unknown")
    assert nodes.must(await store.read(nodes.find, address)).state == "live"


async def test_a_failing_read_ends_its_transaction(store: Store, address: Address) -> None:
    with pytest.raises(DatabaseError, match="nowhere"):
        await store.read(lambda connection: connection.exec_driver_sql("SELECT * FROM nowhere"))
    with pytest.raises(ZeroDivisionError):
        await store.read(lambda connection: 1 // 0)
    await store.write(nodes.ensure, address)
    assert await store.read(nodes.find, address) is not None


async def test_a_read_can_not_write(store: Store) -> None:
    with pytest.raises(DatabaseError, match=r"read-?only"):
        await store.read(lambda connection: connection.exec_driver_sql("DELETE FROM account"))


async def test_no_exception_stops_the_writer(store: Store) -> None:
    def stop(tx: Transaction) -> None:
        raise StopIteration

    def leave(tx: Transaction) -> None:
        raise SystemExit

    futures = [store.write(stop), store.write(leave), store.write(lambda tx: "written")]
    stopped, left, written = await asyncio.gather(*futures, return_exceptions=True)
    assert isinstance(stopped, RuntimeError)
    assert isinstance(left, SystemExit)
    assert written == "written"


async def test_who_fails_to_hear_of_a_commit_keeps_nobody_else_from_it(store: Store, address: Address) -> None:
    node = await store.write(nodes.ensure, address)
    heard: list[set[str]] = []
    store.on_commit.append(lambda touched: heard[1])  # type: ignore[arg-type, return-value]
    store.on_commit.append(lambda touched: heard.append(touched.keys()))
    written = store.write(publish, node.id, [item("a")])
    assert (await asyncio.wait_for(written, 60)).changed == ["a"]
    assert heard == [{address.key("a")}]
    assert not store.at_work


async def test_a_cancelled_write_that_has_not_begun_is_left_out(store: Store, address: Address) -> None:
    gate, held = await behind_a_gate(store)
    unwanted = store.write(nodes.ensure, address)
    unwanted.cancel()
    gate.open()
    await held
    await store.write(lambda tx: None)
    assert await store.read(nodes.find, address) is None


async def test_closing_writes_what_is_queued_into_the_one_file(url: str, path: Path, address: Address) -> None:
    store = Store.open(url)
    await store.write(accounts.ensure, address.account)
    node = await store.write(nodes.ensure, address)
    futures = [store.write(publish, node.id, [item(str(number))]) for number in range(120)]
    await store.close()
    assert all(future.result().changed for future in futures)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with pytest.raises(DatabaseError, match="closed"):
        await store.write(nodes.ensure, address)
    plain = sqlite3.connect(path)
    assert plain.execute("SELECT count(*) FROM item").fetchone() == (120,)
    plain.close()


async def test_the_revision_goes_on_after_a_restart(url: str, address: Address) -> None:
    store = Store.open(url)
    await store.write(accounts.ensure, address.account)
    node = await store.write(nodes.ensure, address)
    delta = await store.write(publish, node.id, [item("a")])
    await store.close()
    store = Store.open(url)
    assert store.revision == await store.read(committed_revision) == delta.revision
    assert (await store.write(publish, node.id, [item("b")])).revision > delta.revision
    await store.close()


async def test_revisions_that_a_power_failure_took_back_are_not_given_again(path: Path, address: Address) -> None:
    store = Store.open(url_of(path))
    await store.write(accounts.ensure, address.account)
    node = await store.write(nodes.ensure, address)
    await store.close()
    before = path.read_bytes()
    store = Store.open(url_of(path))
    lost = await store.write(publish, node.id, [item(str(number)) for number in range(20)])
    await store.close()
    path.write_bytes(before)
    later = clock() + 1000
    store = Store.open(url_of(path), clock=lambda: later)
    assert not (await store.read(since, address, lost.revision)).complete
    again = await store.write(publish, node.id, [item("a")])
    assert again.revision > lost.revision
    assert (await store.read(since, address, lost.revision)).changed == ["a"]
    await store.close()


async def test_a_locked_database_fails_the_write_and_not_the_thread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pubsub_cached.store.sqlite.engine.BUSY_SECONDS", 0.05)
    store = Store.open(url_of(path))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseError, match="locked"):
        await store.write(lambda tx: tx.next_revision())
    other.execute("ROLLBACK")
    other.close()
    assert await store.write(lambda tx: tx.next_revision()) == store.revision
    await store.close()


def log_of(path: Path) -> int:
    """The bytes of the write-ahead log."""
    return path.with_name(path.name + "-wal").stat().st_size


@pytest.mark.sqlite
async def test_a_checkpoint_keeps_nobody_waiting_who_waits_for_its_commit(store: Store, address: Address) -> None:
    node = await store.write(nodes.ensure, address)
    told = threading.Event()
    was_told: list[bool] = []

    def look(statement: str) -> None:
        # On the writer's thread, which does nothing else until this returns.
        if "wal_checkpoint" in statement:
            was_told.append(told.wait(30))

    await store.maintain(lambda driver: driver.set_trace_callback(look))
    written = store.write(publish, node.id, [item(str(number), "x" * 60_000) for number in range(100)])
    written.add_done_callback(lambda _: told.set())
    await written
    await store.maintain(lambda driver: driver.set_trace_callback(None))
    assert was_told[:1] == [True]


@pytest.mark.sqlite
async def test_the_log_stays_small(store: Store, path: Path, address: Address) -> None:
    node = await store.write(nodes.ensure, address)
    for number in range(40):
        # One after the other, or they would be one commit.
        await store.write(publish, node.id, [item(str(number), "x" * 200_000)])
    assert log_of(path) < 2 * LOG_BYTES


@pytest.mark.sqlite
async def test_the_log_of_a_file_that_a_link_leads_to_stays_small(tmp_path: Path, address: Address) -> None:
    link, path = tmp_path / "link.sqlite3", tmp_path / "elsewhere.sqlite3"
    link.symlink_to(path)
    store = Store.open(url_of(link))
    await store.write(accounts.ensure, address.account)
    node = await store.write(nodes.ensure, address)
    for number in range(40):
        await store.write(publish, node.id, [item(str(number), "x" * 200_000)])
    assert log_of(path) < 2 * LOG_BYTES
    await store.close()


@pytest.mark.sqlite
async def test_the_log_of_a_large_commit_is_cut_off(store: Store, path: Path, address: Address) -> None:
    node = await store.write(nodes.ensure, address)
    await store.write(publish, node.id, [item(str(number), "x" * 200_000) for number in range(50)])
    assert log_of(path) > 2 * LOG_BYTES
    await store.write(publish, node.id, [item("one more")])
    assert log_of(path) <= LOG_BYTES


@pytest.mark.sqlite
async def test_nothing_of_a_large_transaction_is_written_before_its_end(
    store: Store, path: Path, address: Address
) -> None:
    node = await store.write(nodes.ensure, address)
    before = log_of(path)

    def written(tx: Transaction) -> int:
        publish(tx, node.id, [item(str(number), "x" * 3000) for number in range(2000)])
        return log_of(path)

    assert await store.write(written) == before
    assert log_of(path) > before


@pytest.mark.sqlite
async def test_a_log_that_is_read_from_is_brought_into_the_file_later(
    store: Store, path: Path, address: Address
) -> None:
    node = await store.write(nodes.ensure, address)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM item").fetchall()
        for number in range(40):
            await store.write(publish, node.id, [item(str(number), "x" * 200_000)])
        assert log_of(path) > 2 * LOG_BYTES
        reader.execute("COMMIT")
    for number in range(3):
        await store.write(publish, node.id, [item(f"then {number}")])
    assert log_of(path) <= LOG_BYTES


async def damaged(path: Path, address: Address) -> NodeRow:
    """A node whose items can't be read any more, in a file that is opened all the same."""
    store = Store.open(url_of(path))
    await store.write(accounts.ensure, address.account)
    node = await store.write(nodes.ensure, address)
    await store.write(publish, node.id, [item(str(number), "x" * 3000) for number in range(200)])
    await store.close()
    with path.open("r+b") as file:
        file.seek(200_000)
        file.write(b"\xa5" * 300_000)
    assert migrate.prepare(url_of(path)) == ""
    return node


@pytest.mark.sqlite
async def test_damage_met_while_running_is_looked_at_at_the_next_start(url: str, path: Path, address: Address) -> None:
    node = await damaged(path, address)
    store = Store.open(url)
    with pytest.raises(DatabaseError, match="malformed"):
        await store.read(slice_of, node.id, ItemsQuery(limit=200))
    await store.close()
    store = Store.open(url)
    assert ".damaged-" in store.recovered_from
    assert await store.read(accounts.all) == []
    await store.close()


@pytest.mark.sqlite
async def test_damage_that_can_not_be_written_down_does_not_stop_the_writer(
    url: str, path: Path, address: Address
) -> None:
    node = await damaged(path, address)
    path.with_name(path.name + ".suspect").symlink_to(path / "nowhere")
    store = Store.open(url)
    with pytest.raises(DatabaseError, match="malformed"):
        await asyncio.wait_for(store.maintain(store.dialect.compact), 60)
    with pytest.raises(DatabaseError, match="malformed"):
        await store.read(slice_of, node.id, ItemsQuery(limit=200))
    assert await store.write(lambda tx: tx.next_revision()) == store.revision
    await store.close()

"""Several daemons on one database of a server: each writes what is its own, and an upgrade waits for the others."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest

from pubsub_cached.address import Address
from pubsub_cached.errors import DatabaseError
from pubsub_cached.store import indexes
from pubsub_cached.store.accounts import accounts, nodes, outbox, schedule, services, subscriptions
from pubsub_cached.store.database import AccountInUse, InUse
from pubsub_cached.store.items import items
from pubsub_cached.store.items.changes import since
from pubsub_cached.store.migrate import prepare
from pubsub_cached.store.postgresql import locks
from pubsub_cached.store.revisions import Migrations
from pubsub_cached.store.rows import NodesQuery
from pubsub_cached.store.store import Store
from pubsub_cached.store.transaction import Transaction
from pubsub_cached.store.upkeep import maintenance
from tests.support.postgresql import PostgreSQL
from tests.support.stored import publish, retract

from .conftest import ACCOUNT
from .content import item

pytestmark = pytest.mark.postgresql

BOB = "bob@example.org"
COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_name = 'node'"


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = Store.open(url)
    yield store
    await store.close()


def waiting_entry(account: str) -> outbox.Entry:
    """Something that waits to be sent."""
    address = Address(account, "pubsub.example.org", "blog")
    return outbox.Entry(address=address, action="publish", items={"a": None}, path=f"/{account}", queued_at=1)


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
            given = [store.write(publish, node.id, [item(f"i{number}")]) for number in range(100)]
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
        entry = await first.write(outbox.add, waiting_entry(ACCOUNT))
        refused: tuple[Callable[[Transaction], object], ...] = (
            lambda tx: nodes.ensure(tx, Address(ACCOUNT, "pubsub.example.org", "other")),
            lambda tx: nodes.update(tx, node.id, title="Other"),
            lambda tx: nodes.forget(tx, node.id),
            lambda tx: publish(tx, node.id, [item("a")]),
            lambda tx: items.set_flags(tx, address, ["a"], ["read"], []),
            lambda tx: services.put(tx, ACCOUNT, "pubsub.example.org", services.Observed()),
            lambda tx: accounts.ensure(tx, ACCOUNT, enabled=False),
            lambda tx: accounts.enable(tx, ACCOUNT, False),
            lambda tx: accounts.remove(tx, ACCOUNT),
            lambda tx: accounts.remove(tx, ACCOUNT, keep_cache=True),
            lambda tx: outbox.add(tx, waiting_entry(ACCOUNT)),
            lambda tx: outbox.tried(tx, entry),
            lambda tx: outbox.remove(tx, entry),
            lambda tx: outbox.remove_all(tx, ACCOUNT),
            lambda tx: subscriptions.leave(tx, node),
            lambda tx: subscriptions.take(tx, row.id, address),
            lambda tx: subscriptions.ended(tx, address),
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
        assert await first.read(outbox.all) == [entry]


async def test_what_one_daemon_forgot_is_dropped_by_several_at_once(server: PostgreSQL, name: str) -> None:
    url = server.url(name)
    async with opened(url) as first, opened(url) as second:
        await run_each(first, second)
        node = await first.write(nodes.ensure, Address(ACCOUNT, "pubsub.example.org", "blog"))
        await first.write(publish, node.id, [item(str(number)) for number in range(1200)])
        await first.write(accounts.remove, ACCOUNT)
        while any(await asyncio.gather(*(store.write(items.drop_discarded) for store in (first, second)))):
            pass
    assert server.execute("SELECT count(*) FROM item UNION ALL SELECT count(*) FROM account", name) == [(0,), (1,)]


async def test_what_nobody_runs_can_be_written_but_for_what_is_to_be_sent(server: PostgreSQL, name: str) -> None:
    url = server.url(name)
    async with opened(url) as store:
        await store.write(accounts.ensure, ACCOUNT)
        node = await store.write(nodes.ensure, Address(ACCOUNT, "pubsub.example.org", "blog"))
        await store.write(publish, node.id, [item("a")])
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
            await store.write(publish, node.id, [item("a"), item("b")])
            await store.write(items.set_flags, address, ["a"], ["read"], [])
            await store.write(retract, node.id, ["b"])
            await store.write(outbox.add, waiting_entry(jid))
        for entries in (outbox.all, schedule.subscribed):
            assert [entry.address.account for entry in await second.read(entries)] == [BOB]
        for services in (schedule.subscribed_services, schedule.followed_services):
            assert await second.read(services) == [(BOB, "pubsub.example.org")]
        due = await second.read(schedule.due, (0, 0), 2)
        assert [entry.address.account for entry in due] == [BOB]
        demoted = await second.write(nodes.demote, None, "restart")
        assert [address.account for address in demoted] == [BOB]
        assert await second.write(maintenance.expire_tombstones, 2**62) == 1
        own = await second.read(maintenance.size)
        assert len(await second.write(maintenance.reset)) == 1
        assert (await second.read(maintenance.size), own > 0) == (0, True)
        address = Address(ACCOUNT, "pubsub.example.org", "blog")
        node = await first.read(nodes.find, address)
        assert node is not None
        assert (node.state, node.item_count, await first.read(nodes.unread, [node])) == ("live", 1, [0])
        changes = await first.read(since, address, node.floor)
        assert (changes.removed, changes.complete) == (["b"], True)

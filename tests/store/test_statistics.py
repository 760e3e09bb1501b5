"""What the planner of a server knows of a cache that is being filled, also where nobody but the daemon tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from pubsub_cached.address import Address
from pubsub_cached.store.accounts import accounts, nodes
from pubsub_cached.store.postgresql.server import Server
from pubsub_cached.store.postgresql.statistics import LEAST
from pubsub_cached.store.store import Store
from tests.support.postgresql import PostgreSQL
from tests.support.stored import publish

from .conftest import ACCOUNT
from .searching import parsed

pytestmark = pytest.mark.postgresql


class Filled:
    """A database that autovacuum leaves alone."""

    def __init__(self, server: PostgreSQL) -> None:
        self.server = server
        self.name = server.create()
        self.store = Store.open(server.url(self.name))
        for table in ("item", "item_text"):
            server.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)", self.name)
        self._count = 0

    async def write(self, count: int) -> None:
        """Store so many new items, and wait until what that leads to is over."""
        await self.store.write(accounts.ensure, ACCOUNT)
        node = await self.store.write(nodes.ensure, Address(ACCOUNT, "pubsub.example.org", "blog"))
        new = [parsed(str(number), {"title": f"w{number}"}) for number in range(self._count, self._count + count)]
        self._count += count
        await self.store.write(publish, node.id, new)
        self.database._statistics.wait()

    @property
    def database(self) -> Server:
        assert isinstance(self.store._database, Server)
        return self.store._database

    def known(self) -> list[int]:
        """How many rows of each table the planner knows of, 0 for none or nothing."""
        statement = "SELECT reltuples FROM pg_class WHERE oid = ANY ('{item,item_text}'::regclass[]) ORDER BY relname"
        return [max(0, int(rows)) for (rows,) in self.server.execute(statement, self.name)]

    def waiting(self) -> int:
        """Pages of words that are not in the index yet."""
        self.server.execute("CREATE EXTENSION IF NOT EXISTS pgstattuple", self.name)
        ((pages,),) = self.server.execute("SELECT pending_pages FROM pgstatginindex('ix_item_text_lexemes')", self.name)
        return int(pages)


@pytest.fixture
async def filled(server: PostgreSQL) -> AsyncIterator[Filled]:
    made = Filled(server)
    yield made
    await made.store.close()
    server.drop(made.name)


async def test_it_hears_of_as_many_items_as_it_knew(filled: Filled) -> None:
    await filled.write(LEAST - 1)
    assert filled.known() == [0, 0]
    assert filled.waiting() > 0
    await filled.write(1)
    assert filled.known() == [LEAST, LEAST]
    assert filled.waiting() == 0
    await filled.write(LEAST - 1)
    assert filled.known() == [LEAST, LEAST]
    await filled.write(1)
    assert filled.known() == [2 * LEAST, 2 * LEAST]


async def test_what_it_knows_already_is_not_said_again(filled: Filled) -> None:
    await filled.write(LEAST + 2)
    await filled.store.close()
    filled.store = Store.open(filled.server.url(filled.name))
    await filled.write(LEAST)
    assert filled.known() == [LEAST + 2] * 2
    await filled.write(2)
    assert filled.known() == [2 * LEAST + 4] * 2


async def test_a_table_that_is_held_keeps_nobody(filled: Filled) -> None:
    with psycopg.connect(filled.server.url(filled.name).replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE item IN SHARE UPDATE EXCLUSIVE MODE")
        await filled.write(LEAST)
        assert filled.known()[0] == 0
    await filled.write(LEAST)
    assert filled.known() == [2 * LEAST, 2 * LEAST]


async def test_closing_does_not_wait_for_it(filled: Filled) -> None:
    with psycopg.connect(filled.server.url(filled.name).replace("+psycopg", "")) as other:
        other.execute("REINDEX INDEX ix_item_text_lexemes")
        filled.database.wrote(LEAST)
        while not filled.server.execute("SELECT 1 FROM pg_locks WHERE locktype = 'relation' AND NOT granted"):
            await asyncio.sleep(0.01)
        await filled.store.close()
        assert not filled.server.execute("SELECT 1 FROM pg_locks WHERE locktype = 'relation' AND NOT granted")
    assert filled.known()[1] == 0

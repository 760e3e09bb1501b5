"""``kill -9`` in the middle of writes: the database opens, and what was acknowledged is there."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pubsub_cached.address import Address
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.store import Store

from .conftest import url_of

# Publishes, overwrites and retracts without end, and says what was committed.
WRITER = """
import asyncio, os, sys
from pubsub_cached.address import Address
from pubsub_cached.store.accounts import accounts, nodes
from pubsub_cached.store.rows import StoredItem
from pubsub_cached.store.store import Store
from tests.support.stored import publish, retract

async def main(url):
    store = Store.open(url)
    await store.write(accounts.ensure, "alice@example.org")
    node = await store.write(nodes.ensure, Address("alice@example.org", "pubsub.example.org", "blog"))
    number = 0
    while True:
        futures = []
        for _ in range(40):
            futures.append(store.write(publish, node.id, [StoredItem(f"i{number}", "<x>" + "y" * 900 + "</x>")]))
            number += 1
        if number % 400 == 0:
            futures.append(store.write(retract, node.id, [f"i{number - 1}"]))
        for future in futures:
            delta = await future
            line = "".join(f"+{i} {delta.revision}\\n" for i in delta.changed)
            line += "".join(f"-{i} {delta.revision}\\n" for i in delta.removed)
            os.write(1, line.encode())

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("lines", [1, 150, 1700])
async def test_acknowledged_writes_survive(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "cache.sqlite3"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, url_of(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        said += process.stdout.readlines()
    acknowledged: dict[str, tuple[str, int]] = {}
    for line in said:
        if line.endswith("\n"):
            id_, revision = line.split()
            acknowledged[id_[1:]] = (id_[0], int(revision))
    assert len(acknowledged) >= min(lines, 3)

    store = Store.open(url_of(path))
    assert store.recovered_from == ""
    node = store.read_now(nodes.find, Address("alice@example.org", "pubsub.example.org", "blog"))
    await store.close()
    assert node is not None
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        stored = dict(connection.execute("SELECT item_id, revision FROM item"))
        buried = dict(connection.execute("SELECT item_id, revision FROM tombstone"))
        (revision,) = connection.execute("SELECT value FROM counter WHERE name = 'revision'").fetchone()
    for id_, (sign, given) in acknowledged.items():
        if sign == "+":
            assert stored.get(id_) == given or buried.get(id_, 0) > given
        else:
            assert buried.get(id_) == given
    assert node.item_count == len(stored)
    assert max([*stored.values(), *buried.values()]) <= node.revision <= revision

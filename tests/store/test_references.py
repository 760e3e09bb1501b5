"""Foreign keys hold, and the files are nobody else's."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from tests.support.stored import publish

from .conftest import Database
from .content import item


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO tombstone VALUES (999, 'a', 1, 1)",
        "UPDATE item SET node_id = 999",
        "UPDATE node SET account_id = 999",
        "INSERT INTO item (node_id, item_id, revision, created, modified, created_at, modified_at, seen, hash,"
        " namespace, publisher, type, subtype, flags, errors, payload)"
        " SELECT node_id, item_id, 1, 1, 1, 1, 1, seen, '', '', '', '', '', '', '', '' FROM item",
    ],
)
def test_what_refers_to_nothing_or_is_there_twice_is_refused(db: Database, sql: str) -> None:
    node = db.node()
    db.write(publish, node.id, [item("a")])
    with pytest.raises(IntegrityError):
        db.write(lambda tx: tx.connection.exec_driver_sql(sql))


@pytest.mark.sqlite
def test_pragmas(db: Database) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 10_000}
    assert {name: db.rows(f"PRAGMA {name}")[0][0] for name in wanted} == wanted

"""Searches that everybody waits for: what is bounded is answered so, everything else is left to a thread."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, insert, text, update

from pubsub_cached.store import indexes
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.database import TooMuch
from pubsub_cached.store.models import Node
from pubsub_cached.store.search import drive, scope, search
from pubsub_cached.store.search.scope import Shown
from pubsub_cached.store.search.search import Search
from pubsub_cached.store.statement import Prepared
from pubsub_cached.store.store import Store
from tests.support.stored import publish

from .conftest import ACCOUNT, Database
from .searching import BLANK, ids, parsed, served, sought

pytestmark = pytest.mark.sqlite

MANY = drive.BRIEF + 2


@pytest.fixture
def full(db: Database) -> Database:
    """One item has ``rare``, ``MANY`` have ``common``."""
    node = served(db)
    titles = [f"common n{number}" for number in range(MANY)]
    data = [{"title": title, "start": "2026-01", "n": number} for number, title in enumerate(titles)]
    data[7] |= {"title": "common rare Ärger ☀", "start": "2026-07"}
    db.write(publish, node.id, [parsed(str(number), one) for number, one in enumerate(data)])
    db.write(indexes.ensure, ["start"])
    return db


def briefly(db: Database, wanted: Search) -> tuple[list[str] | None, int]:
    """The ids, None where that is too much; and how many statements it took."""

    def asked(conn: Connection) -> tuple[list[str] | None, int]:
        Prepared.heard[conn] = ran = []
        try:
            return [item["id"] for item in search.find(conn, replace(wanted, briefly=True)).items], len(ran)
        except TooMuch:
            return None, len(ran)
        finally:
            del Prepared.heard[conn]

    return db.read(asked)


def where(*clause: Any) -> dict[str, Any]:
    return {"where": [list(clause)]}


@pytest.mark.parametrize(
    ("words", "wanted", "order", "expected"),
    [
        ("rare", None, "", ["7"]),
        ("arger", None, "modified desc", ["7"]),
        ("common rare", None, "", ["7"]),
        ("rare -n3", {"types": []}, "", ["7"]),
        ("rare -common", None, "", []),
        ("never", None, "", []),
        ("rare", where("n", "<", 5), "", []),
        ("rare", {"accounts": [ACCOUNT]}, "", ["7"]),
        ("rare", {"accounts": ["nobody@example.org"]}, "", []),
        ("", where("start", "=", "2026-07"), "", ["7"]),
        ("", where("start", "in", ["2026-07", "2026-08"]), "data.n desc", ["7"]),
    ],
)
def test_little_is_found_at_once(full: Database, words: str, wanted: Any, order: str, expected: list[str]) -> None:
    briefly(full, sought(words, wanted, order))
    found, statements = briefly(full, sought(words, wanted, order))
    assert found == expected
    # What leads, the rows, their records, and the revision; of two words each may have to be counted.
    assert statements <= (5 if " " in words else 4)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("", None),
        ("-rare", None),
        ("common", None),
        ("rar*", None),
        ('"rare common"', None),
        ("rare -com*", None),
        ("rare ☀", None),
        ("rare -☀", None),
        ("w1 w2 w3 w4 rare", None),
        ("слово", None),
        ("rare", {"nodes": ["blog"]}),
        ("rare", where("title", "like", "%a%")),
        ("rare", {"where": [{"not": ["n", "=", 1]}]}),
        ("rare", where("n", "in", list(range(100)))),
        ("", where("start", "=", "2026-01")),
        ("", where("n", "=", 7)),
        ("rare", where("tags", "overlap", ["x"])),
        ("common", where("start", "=", "2026-07")),
        ("", {"ids": ["7"]}),
    ],
)
def test_nobody_waits_for_more(full: Database, words: str, wanted: Any) -> None:
    found, statements = briefly(full, sought(words, wanted))
    assert found is None
    # What might lead was counted, no further than to what may be looked at.
    assert statements <= 1


def test_long_texts_are_no_little(full: Database) -> None:
    node = served(full, "long")
    long = {"title": "vast", "content": "x " * 20_000}
    full.write(publish, node.id, [parsed(f"long{number}", long) for number in range(3)])
    assert briefly(full, sought("vast"))[0] is None
    assert (
        ids(full, "vast") == briefly(full, sought("vast", fields=frozenset({"id"})))[0] == ["long2", "long1", "long0"]
    )
    heavy = replace(parsed("heavy", {"title": "heavy"}), payload=f"<x>{'x' * search._BRIEF_BYTES}</x>")
    full.write(publish, node.id, [heavy])
    assert briefly(full, sought("heavy"))[0] is None
    assert ids(full, "heavy") == briefly(full, sought("heavy", fields=frozenset({"id"})))[0] == ["heavy"]


@pytest.mark.parametrize(
    ("state", "analysers", "expected"),
    [("live", None, ["7"]), ("polled", None, None), ("live", frozenset({"x"}), None)],
)
def test_many_nodes_that_have_to_be_looked_at_are_looked_at_elsewhere(
    full: Database, state: str, analysers: frozenset[str] | None, expected: list[str] | None
) -> None:
    wanted = sought("rare")
    wanted = replace(wanted, matching=replace(wanted.matching, shown=Shown(("live", "polled"), analysers)))
    full.write(lambda tx: tx.connection.execute(update(Node).values(analyser="x")))
    assert briefly(full, wanted)[0] == ["7"]
    account = full.rows("SELECT id FROM account")[0][0]
    known = {"account_id": account, "service": "s", "state": state, "completeness": "full"}
    rows = [known | {"node": f"n{number}", "analyser": "x"} for number in range(scope._BRIEF + 1)]
    full.write(lambda tx: tx.connection.execute(insert(Node), [BLANK | row for row in rows]))
    assert briefly(full, wanted)[0] == expected
    # Once they were, they are known.
    full.read(search.find, wanted)
    assert briefly(full, wanted)[0] == ["7"]


async def test_what_turns_out_to_take_long_is_cut_off(store: Store) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(TooMuch):
        store.read_briefly(lambda conn: conn.execute(text(endless)))
    # The connection goes on, and nothing is cut off any more.
    assert store.read_briefly(search.find, replace(sought("rare"), briefly=True)).items == []
    counted = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 300000) SELECT count(*) FROM n"
    assert store.read_now(lambda conn: conn.execute(text(counted)).scalar()) == 300_000


async def test_a_read_that_is_cut_off_wherever_that_may_be_leaves_no_transaction(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite counts the steps of a statement over all its runs, so that one in some hundred BEGINs is looked at too."""
    # As where the machine was busy with something else since the read began.
    monkeypatch.setattr("pubsub_cached.store.store.BRIEFLY", -1.0)
    cut = 0
    for _ in range(3000):
        try:
            store.read_briefly(search.find, replace(sought("rare"), briefly=True))
        except TooMuch:
            cut += 1
    assert cut
    assert await store.read(nodes.run) == []

"""How fresh the nodes of a search are: the same, whichever way it is found."""

from __future__ import annotations

import itertools
import random
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from pubsub_cached.address import Address
from pubsub_cached.store import dialect
from pubsub_cached.store.accounts import accounts
from pubsub_cached.store.models import Account, Node
from pubsub_cached.store.rows import KEPT, UNPROVED
from pubsub_cached.store.search import explain, scope
from pubsub_cached.store.search.query import Query
from pubsub_cached.store.search.scope import Part, Shown
from pubsub_cached.store.statement import Prepared
from tests.support.postgresql import PostgreSQL

from .conftest import Database
from .searching import BLANK

ACCOUNTS = ("alice@example.org", "bob@example.org", "removed@example.org")
STATES = ("live", "polled", "stale", "discovered")


def expected(rows: list[dict[str, Any]], names: dict[int, str], shown: Shown) -> set[Part]:
    """From a look at each row."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        seen = row["completeness"] != "none" and row["reason"] != UNPROVED and row["account_id"] in names
        hidden = names.get(row["account_id"]), row["service"], row["node"]
        if hidden in shown.hidden:
            continue
        if seen and row["state"] in shown.states and (shown.analysers is None or row["analyser"] in shown.analysers):
            group = names[row["account_id"]], row["state"], row["completeness"]
            groups.setdefault(group, []).append(row)

    def first(of: list[dict[str, Any]], time: str) -> int | None:
        times = [row[time] for row in of]
        return None if None in times else min(times)

    return {
        Part(*group, first(of, "validated_at"), first(of, "next_sync") if group[1] == "polled" else None)
        for group, of in groups.items()
    }


@pytest.mark.parametrize("seed", range(12))
def test_any_nodes(db: Database, seed: int) -> None:
    chance = random.Random(seed)
    ids = [db.write(accounts.ensure, jid).id for jid in ACCOUNTS]
    db.write(lambda tx: tx.connection.execute(update(Account).where(Account.id == ids[-1]).values(removed=True)))
    rows: list[dict[str, Any]] = [
        {
            "account_id": chance.choice(ids),
            "service": "s",
            "node": f"n{number}",
            "state": chance.choice(STATES),
            "completeness": chance.choice(("none", "window", "full")),
            "reason": chance.choice(("", "x", UNPROVED)),
            "analyser": chance.choice(("a", "b")),
            "validated_at": chance.choice((None, 1, 2, 3)) if seed % 2 else chance.randrange(9),
            "next_sync": chance.choice((None, 1, 2, 3)) if seed % 3 else chance.randrange(9),
        }
        for number in range(chance.choice((0, 3, 40)))
    ]
    if rows:
        db.write(lambda tx: tx.connection.execute(insert(Node), [BLANK | row for row in rows]))
    names = dict(itertools.islice(zip(ids, ACCOUNTS, strict=True), 2))
    hidden = frozenset(Address(ACCOUNTS[0], "s", f"n{number}") for number in range(seed))
    for shown in (
        Shown(tuple(KEPT)),
        Shown(("polled",)),
        Shown(tuple(KEPT), frozenset({"a"})),
        Shown(tuple(KEPT), None, hidden),
        Shown(tuple(KEPT), frozenset({"a"}), hidden),
    ):
        told = expected(rows, names, shown)
        found = db.read(scope.parts, Query(), shown)
        assert (set(found), len(found)) == (told, len(told))
        # The other way, by what names them all.
        found = db.read(scope.parts, Query(services=("s",)), shown)
        assert (set(found), len(found)) == (told, len(told))
        if some := rows[::3]:
            found = db.read(scope.parts, Query(nodes=tuple(row["node"] for row in some)), shown)
            assert set(found) == expected(some, names, shown)
        found = db.read(scope.parts, Query(accounts=ACCOUNTS[1:]), shown)
        assert set(found) == {part for part in told if part.account in ACCOUNTS[1:]}


def heard(conn: Connection, shown: Shown) -> tuple[str, Any]:
    """What the database is asked about all nodes, with its arguments."""
    Prepared.heard[conn] = ran = []
    try:
        scope._all(shown).all(conn)
    finally:
        del Prepared.heard[conn]
    ((statement, given),) = ran
    return statement, given


def steps(conn: Connection) -> list[str]:
    """How the database goes about all nodes."""
    statement, given = heard(conn, Shown(tuple(KEPT)))
    return dialect.of(conn).plan(conn, statement, explain.arguments(given))


def test_a_statement_is_no_longer_where_many_nodes_are_hidden(db: Database) -> None:
    """While the database fails that may be thousands, and more than it takes parameters."""

    def asked(count: int) -> tuple[str, int]:
        hidden = frozenset(Address(ACCOUNTS[0], "s", f"n{number}") for number in range(count))
        statement, given = db.read(heard, Shown(tuple(KEPT), None, hidden))
        return statement, len(given)

    assert asked(3000) == asked(1)


@pytest.mark.parametrize("states", [("live",), STATES], ids=["one state", "several"])
def test_a_server_does_not_read_all_nodes(server: PostgreSQL, name: str, states: tuple[str, ...]) -> None:
    """Neither before it has statistics nor with them."""
    with closing(Database(server.url(name), server)) as db:
        account = db.write(accounts.ensure, ACCOUNTS[0]).id
        row = {"account_id": account, "service": "s", "completeness": "full", "validated_at": 1}
        rows = [
            row | {"node": f"n{number}", "state": states[number % len(states)], "next_sync": number}
            for number in range(4000)
        ]
        db.write(lambda tx: tx.connection.execute(insert(Node), [BLANK | row for row in rows]))
        before = db.read(steps)
        db.write(lambda tx: tx.connection.exec_driver_sql("ANALYZE node"))
        for step in (*before, *db.read(steps)):
            assert "Scan on node" not in step or "Index" in step

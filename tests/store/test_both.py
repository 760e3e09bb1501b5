"""What one database finds the other finds, too: the same contents and the same questions put to both."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Text, column, select, values

from pubsub_cached.store.accounts import accounts, nodes
from tests.support import sqlite
from tests.support.postgresql import PostgreSQL
from tests.support.stored import publish

from .conftest import ACCOUNT, Database, url_of
from .searching import ids, parsed, served

Both = tuple[Database, Database]

# Scripts, capitals and accents of every kind, also as characters of their own, and what stands between words.
LETTERS = "aAbBzZéÉe\u0301o\u0308öÖßẞİ\u0131Σ\u03c3ςЖжæﬁªçñ中文字กขअआ\u093f٣3½\ue000\u0345\u0361"
INITIALS = "aBä😀\uffff"
BETWEEN = " -_.,'\"*:()\n\t\u00a0\u2019\u200b😀+&%\\"
WORDS = st.text(alphabet=LETTERS, min_size=1, max_size=4)
TEXTS = st.lists(WORDS | st.sampled_from(list(BETWEEN)), max_size=8).map(" ".join) | st.text(
    alphabet=LETTERS + BETWEEN, max_size=20
)
TERMS = st.builds(
    lambda minus, text, star, quotes: f'{minus}"{text}"{star}' if quotes else f"{minus}{text}{star}",
    st.sampled_from(["", "", "-"]),
    TEXTS | st.sampled_from(["a", "é", "straße", "ΣΑΣ", "中文", "x" * 600]),
    st.sampled_from(["", "", "*"]),
    st.booleans(),
)
ORDERS = ["id", "id desc", "data.title", "data.title desc, id", "data.n, id", "data.n desc, id"]
NUMBERS = st.sampled_from([None, True, False, 0, -1, 2, 2.5, 2**60, "10", "9", "a", "B", "ä", "😀", "\uffff", ""])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, server: PostgreSQL, template: str) -> Iterator[Both]:
    path = sqlite.place(tmp_path_factory.mktemp("both") / "cache.sqlite3")
    pair = (Database(url_of(path)), Database(server.url(server.create(template))))
    for database in pair:
        database.write(accounts.ensure, ACCOUNT)
    yield pair
    for database in pair:
        database.close()


@given(
    st.lists(st.tuples(TEXTS, NUMBERS), min_size=1, max_size=5),
    st.lists(st.lists(TERMS, max_size=3).map(" ".join), min_size=1, max_size=6),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_words_find_the_same_items_in_the_same_order(
    both: Both, contents: list[tuple[str, object]], queries: list[str]
) -> None:
    stored = []
    for number, (text, value) in enumerate(contents):
        data = {"title": text} if value is None else {"title": text, "n": value}
        stored.append(parsed(f"{INITIALS[number % 5]}{number}", data))
    rows = []
    for database in both:
        node = served(database)
        database.write(publish, node.id, stored)
        rows.append(node.id)
    try:
        for number, query in enumerate(queries):
            order = ORDERS[number % len(ORDERS)]
            there, here = (ids(database, query, order=order) for database in both)
            assert there == here, (query, order)
            assert [ids(database, query) for database in both] == [ids(both[0], query)] * 2
    finally:
        for database, row in zip(both, rows, strict=True):
            database.write(nodes.forget, row)


def test_every_character_is_lowered_alike(both: Both) -> None:
    known = [chr(code) for code in range(1, 0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
    capitals = [character for character in known if character.lower() != character] + list("aß中")
    database = both[1]
    given_ = values(column("letter", Text), name="given").data([(letter,) for letter in capitals])
    lowered = database.dialect.lowered(given_.c.letter)
    found = database.read(lambda conn: dict(conn.execute(select(given_.c.letter, lowered)).fetchall()))
    assert found == {letter: letter.lower() for letter in capitals}


@pytest.mark.parametrize(
    "clause",
    [
        ["title", "ilike", "%ÄÖ_%"],
        ["title", "ilike", "ΣΑΣ%"],
        ["title", "like", "%\\%%"],
        ["title", "between", ["B", "ä"]],
        ["title", "ioverlap", ["STRASSE", "STRAßE"]],
        ["n", "between", [1, 2.5]],
        ["n", "in", [True, 2, "2"]],
        ["n", ">", 9007199254740992],
        ["n", "=", 9007199254740993.0],
        ["n", "<=", -0.5],
    ],
    ids=json.dumps,
)
def test_clauses_that_databases_see_differently(both: Both, clause: list[object]) -> None:
    titles = ["äöü", "ÄÖÜ", "σας", "ΣΑΣ", "100%", "straße", "a", "B", "b", "Ä", "ä"]
    numbers = [0, 1, 1.0, 2, 2.5, "2", True, False, None, 9007199254740993, 9007199254740992, -1, -0.5]
    stored = [parsed(f"t{number}", {"title": title}) for number, title in enumerate(titles)]
    stored += [parsed(f"n{number}", {"n": value}) for number, value in enumerate(numbers)]
    found = []
    for database in both:
        node = served(database, "clauses")
        database.write(publish, node.id, stored)
        found.append(ids(database, wanted={"where": [clause]}, order="id", limit=100))
    assert found[0] == found[1] != []

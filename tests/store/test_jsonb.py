"""What JSONB and TEXT of PostgreSQL can't hold is found all the same."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pubsub_cached.store import indexes
from pubsub_cached.store.rows import ItemsQuery
from tests.support.stored import publish

from .conftest import Database
from .content import slice_of
from .searching import ids, parsed, served

pytestmark = pytest.mark.postgresql


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
    db.write(publish, node.id, [replace(one, data=written[one.id]) for one in stored])
    found = db.read(slice_of, node.id, ItemsQuery(limit=10)).items
    assert {record["id"]: record["data"] for record in found} == written
    assert ids(db, wanted={"where": [["title", "=", "a\0b"]]}) == ["nul"]
    assert ids(db, wanted={"where": [["title", "=", "a\\u0000b"]]}) == ["backslash"]
    assert sorted(ids(db, wanted={"where": [["n", ">", 2]]})) == ["huge"]
    assert sorted(ids(db, wanted={"where": [["n", "<", 0.5]]})) == ["tiny"]
    assert ids(db, order="data.n desc")[:3] == ["huge", "backslash", "nul"]
    assert ids(db, wanted={"ids": ["nul\0"]}) == []


def test_an_index_on_a_path_takes_long_strings(db: Database) -> None:
    node = served(db)
    db.write(indexes.keep, ["s"])
    texts = {"a": "x" * 5000, "b": "x" * 5000 + "y", "c": "x" * 4999}
    db.write(publish, node.id, [parsed(id_, {"s": text}) for id_, text in texts.items()])
    assert ids(db, wanted={"where": [["s", "=", texts["a"]]]}) == ["a"]
    assert ids(db, wanted={"where": [["s", ">", texts["a"]]]}) == ["b"]
    assert sorted(ids(db, wanted={"where": [["s", "<=", texts["a"]]]})) == ["a", "c"]

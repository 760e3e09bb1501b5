"""Documents as they are stored: no deeper than every database can read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached import documents
from pubsub_cached.records import ItemRecord

TEXTS = st.text(alphabet='ab"\\[]{}', max_size=4)
JSON = st.recursive(
    TEXTS | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(JSON)
def test_the_depth_is_that_of_objects_and_lists(value: Any) -> None:
    assert documents._depth(documents._encoder.encode(value).decode()) == depth(value)


def nested(levels: int) -> dict[str, Any]:
    found: Any = {"[{": '"[{'}
    for _ in range(levels - 2):
        found = [found]
    return {"a": found}


def test_what_is_nested_too_deep_is_refused() -> None:
    assert documents.stored(nested(128)).count("[") == 126 + 2
    with pytest.raises(OverflowError, match="nested deeper than 128"):
        documents.stored(nested(129))


@given(st.integers(0, 400), st.integers(300, 320), st.integers(0, 400))
def test_a_number_that_no_database_can_order_by_is_refused(before: int, digits: int, after: int) -> None:
    number = 10 ** (digits - 1)
    texts = {"before": "x" * before, "digits": "1" * 400, "after": "x" * after}
    assert documents.stored(texts).count("1") == 400
    if digits <= 308:
        assert f'"number":{number},' in documents.stored({"before": texts["before"], "number": number} | texts)
    else:
        with pytest.raises(OverflowError, match="more than 308 digits"):
            documents.stored({"before": texts["before"], "number": -number} | texts)


@given(st.lists(st.integers(0, 3), max_size=200))
def test_pieces_together_are_the_lines(sizes: list[int]) -> None:
    items: list[ItemRecord] = [{"id": f"{number}", "payload": "x" * 40_000 * size} for number, size in enumerate(sizes)]
    made = [*documents.pieces(items)]
    assert b"".join(made) == documents.lines(items)
    # The first shows how large they are.
    assert all(len(piece) <= 5 * 1024 * 1024 for piece in made)


def test_many_that_stand_side_by_side_are_not_deep() -> None:
    assert documents.stored({"a": [[]] * 1000}).startswith('{"a":[[],[]')

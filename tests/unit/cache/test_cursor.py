"""Cursors: opaque, bound to their call, and refused with a sentence."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.cache import cursor
from pubsub_cached.errors import InvalidCursor


@given(st.text(), st.one_of(st.integers(0, 2**60), st.lists(st.text() | st.integers(0, 2**60))))
def test_a_position_comes_back(purpose: str, position: object) -> None:
    assert cursor.decode(purpose, cursor.encode(purpose, position)) == position


def test_a_cursor_of_another_call_is_refused() -> None:
    with pytest.raises(InvalidCursor, match="begin again without a cursor"):
        cursor.decode("ListNodes", cursor.encode("GetItems", 1))


def test_what_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(InvalidCursor):
        cursor.decode("GetItems", base64.urlsafe_b64encode(b"[" * 100_000).decode())


def test_what_no_reply_has_room_for_is_refused() -> None:
    with pytest.raises(InvalidCursor):
        cursor.decode("GetItems", cursor.encode("GetItems", "x" * 1024 * 1024))


@given(st.text())
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        cursor.decode("GetItems", text)

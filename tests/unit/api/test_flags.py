"""Names of flags."""

from __future__ import annotations

import pytest

from pubsub_cached.api import flags
from pubsub_cached.errors import InvalidArgs


@pytest.mark.parametrize("flag", ["read", "starred", "a", "x-my-app2", "a" * 64])
def test_a_flag_is_a_lower_case_word(flag: str) -> None:
    flags.check([], [flag], [])
    flags.check([], [], [flag])


@pytest.mark.parametrize("flag", ["", "Read", "2x", "-read", "a b", "a_b", "é", "read\n", "a" * 65])
def test_what_is_no_flag_is_named(flag: str) -> None:
    for add, remove in (([flag], []), (["read"], [flag])):
        with pytest.raises(InvalidArgs, match="is no flag") as caught:
            flags.check([], add, remove)
        assert f"'{flag}'" in caught.value.message


def test_a_flag_is_not_added_and_removed_at_once() -> None:
    with pytest.raises(InvalidArgs, match="'read'"):
        flags.check([], ["starred", "read"], ["read"])


def test_no_more_are_set_than_one_transaction_can_take() -> None:
    many = [f"f{number}" for number in range(17)]
    flags.check(["id"] * 10_000, many[:8], many[8:16])
    with pytest.raises(InvalidArgs, match="given 17 flags, and 16 is the most"):
        flags.check([], many[:8], many[8:])
    with pytest.raises(InvalidArgs, match="given 10001 ids, and 10000 is the most"):
        flags.check(["id"] * 10_001, ["read"], [])

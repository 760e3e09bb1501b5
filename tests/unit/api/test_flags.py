"""Names of flags."""

from __future__ import annotations

import pytest

from pubsub_cached.api import flags
from pubsub_cached.errors import InvalidArgs


@pytest.mark.parametrize("flag", ["read", "starred", "a", "x-my-app2"])
def test_a_flag_is_a_lower_case_word(flag: str) -> None:
    flags.check([flag], [])
    flags.check([], [flag])


@pytest.mark.parametrize("flag", ["", "Read", "2x", "-read", "a b", "a_b", "é", "read\n"])
def test_what_is_no_flag_is_named(flag: str) -> None:
    for add, remove in (([flag], []), (["read"], [flag])):
        with pytest.raises(InvalidArgs, match="is no flag") as caught:
            flags.check(add, remove)
        assert f"'{flag}'" in caught.value.message


def test_a_flag_is_not_added_and_removed_at_once() -> None:
    with pytest.raises(InvalidArgs, match="'read'"):
        flags.check(["starred", "read"], ["read"])

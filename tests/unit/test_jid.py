"""JIDs: what is none is refused, and soon."""

from __future__ import annotations

import pytest

from pubsub_cached import jid
from pubsub_cached.errors import InvalidJid


def test_as_long_as_they_may_be() -> None:
    longest = f"{'A' * 1023}@example.org/{'R' * 1023}"
    assert jid.normalise(longest) == f"{'a' * 1023}@example.org/{'R' * 1023}"


@pytest.mark.parametrize("text", ["é" * 4000, f"A@example.org/{'x' * 4000}", f"{'a.' * 4000}org"])
def test_what_is_longer_is_not_prepared(text: str) -> None:
    with pytest.raises(InvalidJid, match=f"it has {len(text)} characters, and 3071 is the most"):
        jid.normalise(text)


@pytest.mark.parametrize(
    "text", ["example.org", "a@example.org", "A@example.org", "a@example.org/Home.", "é@example.org"]
)
def test_the_dot_that_may_end_a_domain_is_no_part_of_it(text: str) -> None:
    """RFC 7622 3.2."""
    bare, slash, resource = text.partition("/")
    assert jid.normalise(f"{bare}.{slash}{resource}") == jid.normalise(text)

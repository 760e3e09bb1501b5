"""What a walk through a node has given so far, in so few bytes that a cursor can carry it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

_BITS = (1 << 62) - 1


class Given(msgspec.Struct, frozen=True, array_like=True):
    """A set of item ids: how many, and a sum over them that tells it from others, in whatever order they came."""

    count: int = 0
    sum: int = 0

    def and_also(self, ids: Iterable[str]) -> Given:
        """With these, none of which was in it."""
        count, total = self.count, self.sum
        for id_ in ids:
            count += 1
            total += int.from_bytes(hashlib.blake2b(id_.encode(), digest_size=8).digest())
        return Given(count, total & _BITS)

"""Jitter: what many nodes or many daemons would do at one moment is spread over a while."""

from __future__ import annotations

import random

# First and longest wait before what failed is tried again, ms.
RETRY_FIRST = 30_000
RETRY_LONGEST = 6 * 3_600_000


class Jitter:
    """Draws waits; ``chance`` is given where they have to be known beforehand."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()

    def within(self, wait: int, share: float = 0.25) -> int:
        """A wait of at most ``wait``, shorter by up to ``share`` of it; ms."""
        return wait - int(self._chance.random() * share * wait)

    def retry(self, failures: int) -> int:
        """A wait before what failed so often is tried again; ms."""
        return self.within(min(RETRY_FIRST << min(failures, 20), RETRY_LONGEST), share=0.5)

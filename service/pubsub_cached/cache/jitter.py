"""Jitter: what many nodes or many daemons would do at one moment is spread over a while."""

from __future__ import annotations

import random


class Jitter:
    """Draws waits; ``chance`` is given where they have to be known beforehand."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()

    def within(self, wait: int, share: float = 0.25) -> int:
        """A wait of at most ``wait``, shorter by up to ``share`` of it; ms."""
        return wait - int(self._chance.random() * share * wait)

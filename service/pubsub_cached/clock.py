"""The clock, as whatever is stored and told has it."""

from __future__ import annotations

import time


def clock() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000

"""How many, and which, in sentences for people."""

from __future__ import annotations

from collections.abc import Iterable


def counted(count: int, noun: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def are(count: int) -> str:
    """What so many do that are something."""
    return "is" if count == 1 else "are"


def were(count: int) -> str:
    """What so many did that were something."""
    return "was" if count == 1 else "were"


def listed(choices: Iterable[str], last: str = "or") -> str:
    """``a, b or c``."""
    *most, end = choices
    return f"{', '.join(most)} {last} {end}" if most else end

"""Times for people: in local time, relative where that says more. All are milliseconds since the epoch, UTC."""

from __future__ import annotations

import re
from datetime import datetime

from ..clock import clock

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_STEPS = (("days", _UNITS["d"]), ("h", _UNITS["h"]), ("min", _UNITS["m"]))
_AGE = re.compile(r"(\d{1,9})([smhdw])")


def moment(time_ms: int) -> str:
    """Local date and time: ``2026-11-21 10:46``."""
    try:
        return datetime.fromtimestamp(time_ms / 1000).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"


def relative(time_ms: int, at: int | None = None) -> str:
    """``5 min ago``, ``in 2 h``; what is more than a week off as date and time."""
    seconds = ((clock() if at is None else at) - time_ms) / 1000
    size = abs(seconds)
    if size < 60:
        return "just now" if seconds >= 0 else "in a moment"
    if size >= _UNITS["w"]:
        return moment(time_ms)
    word, unit = next((word, unit) for word, unit in _STEPS if size >= unit)
    count = int(size // unit)
    said = "1 day" if (word, count) == ("days", 1) else f"{count} {word}"
    return f"{said} ago" if seconds >= 0 else f"in {said}"


def parse(text: str) -> int:
    """``2026-11-21``, ``2026-11-21T10:46`` (local time unless it says its zone), or an age: ``30d``, ``12h``.

    Raises ValueError.
    """
    age = _AGE.fullmatch(text.strip())
    if age is not None:
        return clock() - int(age[1]) * _UNITS[age[2]] * 1000
    return int(datetime.fromisoformat(text.strip()).timestamp() * 1000)


def of_document(text: str) -> str:
    """A parser's date (``2026-10-04T08:00:00Z``) in local time; what is none stays as it is."""
    try:
        return moment(int(datetime.fromisoformat(text).timestamp() * 1000))
    except (OverflowError, ValueError, OSError):
        return text

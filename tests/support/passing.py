"""Time that passes at once for whatever waits for it on the running loop."""

from __future__ import annotations

import asyncio

import pytest


def passed(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many seconds are over: who waits so long at most, or for that, does so no more."""
    loop = asyncio.get_running_loop()
    before = loop.time
    monkeypatch.setattr(loop, "time", lambda: before() + seconds)

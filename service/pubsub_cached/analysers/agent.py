"""Agents: the parts of an analyser that are in another process, as far as the cache knows of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

# answered: with a text. failed: with an error, or something that is no text. missing: there is no such object or
# method. gone: nobody has the name, or it left the bus before it answered. late: no answer in time.
Outcome = Literal["answered", "failed", "missing", "gone", "late"]


class Reply(msgspec.Struct, frozen=True):
    """What became of a call; text: the answer, or why there is none."""

    outcome: Outcome
    text: str = ""


class Peers(Protocol):
    """The other programs on the bus."""

    async def call(self, destination: str, path: str, member: str, body: Sequence[str], seconds: float) -> Reply:
        """Call a method of ``AnalyserAgent``; never raises."""

    def release(self, destination: str, path: str, reason: str) -> None:
        """Tell an agent that it is not called any more; there is no answer."""

    async def start(self, name: str, seconds: float) -> Reply:
        """Have the bus start what owns a well-known name, unless it runs."""

    async def gone(self, name: str, callback: Callable[[str], None]) -> None:
        """Call back once, when a unique name leaves the bus; at once if it has left."""

    async def follow(self, name: str, callback: Callable[[bool], None]) -> Callable[[], None]:
        """Call back whenever a well-known name gets an owner, with True, or loses it; the result ends that."""

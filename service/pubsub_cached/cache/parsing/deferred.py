"""What an analyser's deferred parser is allowed, and what its failures lead to.

Ten seconds a call, four calls at a time, a document of 256 KiB. Three time-outs in a row suspend the analyser until
``resume``. The same for an agent in another process and for a coroutine in this one.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import msgspec

from ...analysers.item import ItemContext, Parsed
from ...analysers.registry import Registry

log = logging.getLogger(__name__)

SECONDS = 10.0
AT_ONCE = 4
FAILURES_AT_MOST = 3
RESULT_AT_MOST = 256 * 1024


class Failed(Exception):
    """The answer can't be used; the message is a sentence."""


class Unanswered(Exception):
    """There is no answer; ``tried``: this call reached something that did not give one."""

    def __init__(self, *, tried: bool) -> None:
        super().__init__()
        self.tried = tried


def noted(name: str, made: Parsed) -> Parsed:
    """What a parser made of an item; of nothing it is said, or the item would count among those it is yet to get."""
    if made.data is not None or made.errors:
        return made
    return msgspec.structs.replace(made, errors=(f"The parser of '{name}' made nothing of it.",))


class Deferred(ABC):
    """A parser that answers later, and how far it may still be called; its state is the registry's."""

    def __init__(self, name: str, registry: Registry, usable: Callable[[], None]) -> None:
        """usable: called when it can be called again."""
        self.name = name
        self.closed = False
        self._registry = registry
        self._usable = usable
        self._failures = 0
        self.begin()

    @property
    def usable(self) -> bool:
        """Whether calls are let through."""
        entry = self._registry.entry(self.name)
        return not self.closed and entry is not None and entry.state == "active"

    @abstractmethod
    async def watch(self) -> None:
        """Notice when what is to be called appears; again and again is once."""

    def close(self) -> None:
        """Forget it."""
        self.closed = True

    def resume(self) -> None:
        """Try again what was suspended."""
        self.begin()
        if self.usable:
            self._usable()

    @abstractmethod
    async def parse(self, context: ItemContext, made: Parsed) -> Parsed:
        """An item with what comes of it; made: as it is stored meanwhile. Raises Unanswered."""

    def begin(self) -> None:
        """Nothing has failed yet."""
        self._failures = 0
        self.set("active")

    def answered(self) -> None:
        """A call was answered in time."""
        if self._failures and self.usable:
            self._failures = 0
            self.set("active")

    def unanswered(self) -> bool:
        """A call was not answered in time; whether that was one too many."""
        if not self.usable:
            return False
        self._failures += 1
        if self._failures < FAILURES_AT_MOST:
            self.set("active")
            return False
        self.suspend(f"It did not answer {self._failures} calls in a row; Resume calls it again.")
        return True

    def suspend(self, reason: str) -> None:
        """Call it no more, until it is resumed."""
        log.warning("the analyser '%s' is suspended: %s", self.name, reason)
        self.set("suspended", reason)

    def set(self, state: Literal["active", "waiting", "suspended"], reason: str = "") -> None:
        """Write down how it is."""
        if not self.closed:
            self._registry.set_state(self.name, state, reason, failures=self._failures)

"""Parsers that are functions, on threads: bounded as agents are, as far as a thread can be, which nobody can end."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict

from ...analysers.item import ItemContext, Parsed
from ...analysers.parse import Begun, InHand, finish
from ...analysers.registry import Registry
from ...tasks import Tasks
from ...threads import in_thread
from .deferred import AT_ONCE, FAILURES_AT_MOST, SECONDS, noted

log = logging.getLogger(__name__)


class _Calls:
    """The calls of one analyser. left: those that nobody waits for any more, until they end after all."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(AT_ONCE)
        self.left: set[asyncio.Future[Parsed]] = set()


class Functions:
    """Calls the parsers of all analysers on threads.

    What takes too long goes on behind its item's back; while three calls of an analyser do, it is suspended.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._calls: defaultdict[str, _Calls] = defaultdict(_Calls)
        self._tasks = Tasks()
        # Another definition is another parser.
        registry.on_change.append(lambda name, _: self._forget(name))

    async def parse(self, name: str, analyser: str, context: ItemContext) -> Parsed:
        """As ``Registry.parse``; what the parser does not end with in time has that as its error.

        name: of the analyser whose parser it is. What is begun is watched over also where nobody waits for it any more.
        """
        return await asyncio.shield(self._tasks.begin(self._parse(name, analyser, context)))

    def resume(self, name: str) -> None:
        """Call a suspended parser again, whatever became of the calls before."""
        calls = self._calls.get(name)
        if calls is not None and len(calls.left) >= FAILURES_AT_MOST:
            self._forget(name)
            self._registry.set_state(name, "active")

    def _forget(self, name: str) -> None:
        self._calls.pop(name, None)

    async def _parse(self, name: str, analyser: str, context: ItemContext) -> Parsed:
        calls = self._calls[name]
        begun: list[Begun] = []
        async with calls.slots:
            is_asked = len(calls.left) < FAILURES_AT_MOST

            def work() -> Parsed:
                begun.append(self._registry.begin(analyser, context))
                is_plugins = self._registry.may_hang(name)
                if is_asked:
                    made = finish(begun[0])
                    # Of what it was not given it made nothing either.
                    return noted(name, made) if is_plugins and isinstance(begun[0], InHand) else made
                if name == analyser and is_plugins:
                    # As of one that has not been asked yet: it is, once it is active.
                    return _unread(begun)
                return _unread(begun, f"The parser of '{name}' is suspended; Reanalyse parses this once it is active.")

            running = in_thread(work, "parser")
            await asyncio.wait([running], timeout=SECONDS)
        if running.done():
            return running.result()
        log.warning(
            "the parser of analyser '%s' did not end in time with the item '%s' of %s",
            name,
            context.id,
            context.address,
        )
        self._leave(name, calls, running)
        return _unread(begun, f"The parser of '{name}' did not end within {SECONDS:g} s.")

    def _leave(self, name: str, calls: _Calls, running: asyncio.Future[Parsed]) -> None:
        def ended(_: object) -> None:
            calls.left.discard(running)
            self._tell(name, calls)

        calls.left.add(running)
        running.add_done_callback(ended)
        self._tell(name, calls)

    def _tell(self, name: str, calls: _Calls) -> None:
        """Say how the analyser is, unless it is another one by now, or was resumed."""
        if self._calls.get(name) is not calls:
            return
        failures = len(calls.left)
        if failures < FAILURES_AT_MOST:
            self._registry.set_state(name, "active", failures=failures)
            return
        reason = f"{failures} calls of its parser have not ended; it gets no item until one has, or Resume is called."
        log.warning("the analyser '%s' is suspended: %s", name, reason)
        self._registry.set_state(name, "suspended", reason, failures=failures)


def _unread(begun: list[Begun], error: str = "") -> Parsed:
    """An item of which nothing is made, for a reason or yet; of what may have secrets yet nothing is stored."""
    if not begun:
        return Parsed(payload="", errors=(error,))
    if isinstance(begun[0], Parsed):
        return begun[0]
    item = begun[0].item
    if error:
        item.error(error)
    return item.parsed(deferred=True)

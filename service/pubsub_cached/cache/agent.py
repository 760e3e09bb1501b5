"""One analyser's agent: whether it can be called, and what comes of it when it does not answer.

Ten seconds a call, four calls at a time. Three time-outs in a row suspend it until ``resume``. One whose owner
left the bus waits for it; one that the bus can start is started.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..analysers.agent import Peers, Reply
from ..analysers.registry import Registry

log = logging.getLogger(__name__)

CALL_SECONDS = 10.0
START_SECONDS = 60.0
AT_ONCE = 4
FAILURES_AT_MOST = 3


class Failed(Exception):
    """The agent answered with something that can't be used; the message is a sentence."""


class Unanswered(Exception):
    """There is no answer; ``tried``: this call reached an agent that did not give one."""

    def __init__(self, *, tried: bool) -> None:
        super().__init__()
        self.tried = tried


class Agent:
    """The agent of an analyser that has callbacks; its state is the registry's."""

    def __init__(self, name: str, registry: Registry, peers: Peers, usable: Callable[[], None]) -> None:
        """usable: called when it can be called again."""
        definition = registry.get(name)
        entry = registry.entry(name)
        assert definition is not None
        assert entry is not None
        self.name = name
        self._owner = entry.owner
        self._bus_name = definition.bus_name
        self._path = definition.agent
        self._registry = registry
        self._peers = peers
        self._usable = usable
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._starting = asyncio.Lock()
        self._started = False
        self._failures = 0
        self._watching: Callable[[], None] | None = None
        self._closed = False
        self._begin()

    @property
    def usable(self) -> bool:
        """Whether calls are let through."""
        entry = self._registry.entry(self.name)
        return not self._closed and entry is not None and entry.state == "active"

    async def watch(self) -> None:
        """Notice when what has the well-known name appears."""
        if self._bus_name and not self._owner:
            self._watching = await self._peers.appears(self._bus_name, self._appeared)
            if self._closed:
                self._watching()

    def close(self) -> None:
        """Forget it; calls under way still end."""
        self._closed = True
        if self._watching is not None:
            self._watching()

    def resume(self) -> None:
        """Try again what was suspended."""
        self._begin()
        if self.usable:
            self._usable()

    async def call(self, member: str, *body: str) -> str:
        """Call a method; the text it returns. Raises Failed, Unanswered."""
        async with self._slots:
            if not self.usable or not await self._running():
                raise Unanswered(tried=False)
            destination = self._owner or self._bus_name
            reply = await self._peers.call(destination, self._path, member, body, CALL_SECONDS)
        if self._closed:
            raise Unanswered(tried=False)
        match reply.outcome:
            case "answered":
                self._answered()
                return reply.text
            case "failed":
                self._answered()
                raise Failed(f"The agent of '{self.name}' failed: {reply.text[:200]}")
            case "missing":
                self._suspend(f"Its agent has no {member} at {self._path}: {reply.text[:200]}")
                raise Unanswered(tried=False)
            case "gone" if self._owner:
                # Whoever watches the owner decides what becomes of the analyser.
                self._set("waiting", "Its owner is not on the bus.")
                raise Unanswered(tried=False)
        self._started = self._started and reply.outcome == "late"
        self._unanswered(reply)
        raise Unanswered(tried=True)

    def _begin(self) -> None:
        self._failures = 0
        if self._owner or self._bus_name:
            self._set("active")
        else:
            self._set("waiting", "Its owner is not on the bus, and no 'bus-name' says how to start it.")

    async def _running(self) -> bool:
        """Have the bus start an agent without owner, once."""
        if self._owner:
            return True
        async with self._starting:
            if not self._started and self.usable:
                reply = await self._peers.start(self._bus_name, START_SECONDS)
                self._started = reply.outcome == "answered"
                if not self._started:
                    self._set("waiting", f"'{self._bus_name}' is not on the bus. {reply.text[:200]}")
            return self._started and self.usable

    def _appeared(self) -> None:
        entry = self._registry.entry(self.name)
        if entry is not None and entry.state == "waiting" and not self._closed:
            self.resume()

    def _answered(self) -> None:
        if self._failures and self.usable:
            self._failures = 0
            self._set("active")

    def _unanswered(self, reply: Reply) -> None:
        if not self.usable:
            return
        self._failures += 1
        if self._failures < FAILURES_AT_MOST:
            self._set("active")
        else:
            self._suspend(f"It did not answer {self._failures} calls in a row; Resume calls it again.")
            if reply.outcome == "late":
                self._peers.release(self._owner or self._bus_name, self._path, "timeout")

    def _suspend(self, reason: str) -> None:
        log.warning("the agent of analyser '%s' is suspended: %s", self.name, reason)
        self._set("suspended", reason)

    def _set(self, state: str, reason: str = "") -> None:
        if not self._closed:
            assert state in ("active", "waiting", "suspended")
            self._registry.set_state(self.name, state, reason, failures=self._failures)  # type: ignore[arg-type]

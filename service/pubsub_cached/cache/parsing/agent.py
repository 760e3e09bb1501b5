"""One analyser's agent: what is called to parse and to match, and what comes of it when it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from ... import documents
from ...analysers.agent import Peers, Reply
from ...analysers.item import ItemContext, Parsed
from ...analysers.registry import Registry
from ...xmpp.payload import quoted
from .deferred import AT_ONCE, RESULT_AT_MOST, SECONDS, Deferred, Failed, Unanswered

START_SECONDS = 60.0
# How long until what could not be started is tried again, s; doubled each time. A package may bring the analyser's file
# before that of the bus.
RETRY_FIRST = 10.0
RETRY_LONGEST = 3600.0
PUBSUB = "http://jabber.org/protocol/pubsub"


class Agent(Deferred):
    """The agent of an analyser that has callbacks, in another process.

    One whose owner left the bus waits for it; one that the bus can start is started.
    """

    def __init__(self, name: str, registry: Registry, peers: Peers, usable: Callable[[], None]) -> None:
        definition = registry.get(name)
        entry = registry.entry(name)
        assert definition is not None
        assert entry is not None
        self._owner = entry.owner
        self._bus_name = definition.bus_name
        self._path = definition.agent
        self._peers = peers
        # Items come so many at a time, but what nodes are is asked of all at once.
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._starting = asyncio.Lock()
        self._started = False
        self._watching: Callable[[], None] | None = None
        self._retrying: asyncio.TimerHandle | None = None
        self._patience = RETRY_FIRST
        super().__init__(name, registry, usable)

    async def watch(self) -> None:
        """Notice when what has the well-known name appears."""
        if self._bus_name and not self._owner and self._watching is None:
            self._watching = await self._peers.follow(self._bus_name, self._followed)
            if self.closed:
                self._watching()

    def close(self) -> None:
        """Forget it; calls under way still end."""
        super().close()
        self._retry_no_more()
        if self._watching is not None:
            self._watching()

    async def parse(self, context: ItemContext, made: Parsed) -> Parsed:
        """An item with what the agent makes of it. Raises Unanswered."""
        try:
            text = await self.call("Parse", *context.address, context.id, whole(context, made.payload))
            data = documents.stored(document(text, self.name))
        except (Failed, OverflowError) as error:
            return msgspec.structs.replace(made, deferred=False, errors=(*made.errors, str(error)))
        return msgspec.structs.replace(made, deferred=False, data=data)

    async def call(self, member: str, *body: str) -> str:
        """Call a method; the text it returns. Raises Failed, Unanswered."""
        async with self._slots:
            if not self.usable or not await self._running():
                raise Unanswered(tried=False)
            destination = self._owner or self._bus_name
            reply = await self._peers.call(destination, self._path, member, body, SECONDS)
        if self.closed:
            raise Unanswered(tried=False)
        match reply.outcome:
            case "answered":
                self.answered()
                return reply.text
            case "failed":
                self.answered()
                raise Failed(f"The agent of '{self.name}' failed: {reply.text[:200]}")
            case "missing":
                self.suspend(f"Its agent has no {member} at {self._path}: {reply.text[:200]}")
                raise Unanswered(tried=False)
            case "gone" if self._owner:
                # Whoever watches the owner decides what becomes of the analyser.
                self.set("waiting", "Its owner is not on the bus.")
                raise Unanswered(tried=False)
        self._started = self._started and reply.outcome == "late"
        self._unanswered(reply)
        raise Unanswered(tried=True)

    def begin(self) -> None:
        """As any deferred parser, unless there is nobody to call."""
        super().begin()
        self._retry_no_more()
        if not self._owner and not self._bus_name:
            self.set("waiting", "Its owner is not on the bus, and no 'bus-name' says how to start it.")

    async def _running(self) -> bool:
        """Have the bus start an agent without owner, once."""
        if self._owner:
            return True
        async with self._starting:
            if not self._started and self.usable:
                reply = await self._peers.start(self._bus_name, START_SECONDS)
                self._started = reply.outcome == "answered"
                if self._started:
                    self._patience = RETRY_FIRST
                else:
                    self.set("waiting", f"'{self._bus_name}' is not on the bus. {reply.text[:200]}")
                    self._retry()
            return self._started and self.usable

    def _retry(self) -> None:
        if not self.closed:
            self._retrying = asyncio.get_running_loop().call_later(self._patience, self._appeared)
            self._patience = min(2 * self._patience, RETRY_LONGEST)

    def _retry_no_more(self) -> None:
        if self._retrying is not None:
            self._retrying.cancel()
            self._retrying = None

    def _followed(self, there: bool) -> None:
        # One that ends when it has nothing to do is started again, which may take longer than a call.
        self._started = there
        if there:
            self._appeared()

    def _appeared(self) -> None:
        entry = self._registry.entry(self.name)
        if entry is not None and entry.state == "waiting":
            self.resume()

    def _unanswered(self, reply: Reply) -> None:
        if self.unanswered() and reply.outcome == "late":
            self._peers.release(self._owner or self._bus_name, self._path, "timeout")


def whole(item: ItemContext, payload: str) -> str:
    """The ``<item/>`` that a payload came in (XEP-0060 6.5)."""
    attributes = f" id={quoted(item.id)}"
    if item.publisher:
        attributes += f" publisher={quoted(item.publisher)}"
    # A payload without a namespace must not get that of its parent.
    prefix, declared = ("", "xmlns") if item.namespace else ("pubsub:", "xmlns:pubsub")
    return f"<{prefix}item {declared}='{PUBSUB}'{attributes}>{payload}</{prefix}item>"


def document(text: str, name: str) -> dict[str, Any]:
    """The JSON object that an agent gave. Raises Failed."""
    if len(text) > RESULT_AT_MOST or len(text.encode()) > RESULT_AT_MOST:
        raise Failed(f"The agent of '{name}' gave more than {RESULT_AT_MOST} bytes.")
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Failed(f"The agent of '{name}' gave no JSON object: {str(error)[:200]}.") from None

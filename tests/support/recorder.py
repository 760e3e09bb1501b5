"""A listener that writes down what a session tells, in order, and lets a test wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

from pubsub_cached.xmpp.port import Event, SessionState

WAIT = 30.0

_E = TypeVar("_E", bound=Event)


class State(NamedTuple):
    """session_changed."""

    state: SessionState
    error: str
    message: str


class Started(NamedTuple):
    """session_started."""

    resumed: bool


Told = State | Started | Literal["ended"] | Event


class Recorder:
    """port.Listener. services: other services whose events were asked for."""

    def __init__(self, *services: str) -> None:
        self.services = set(services)
        self.told: list[Told] = []
        self._read = 0
        self._more = asyncio.Event()

    def session_changed(self, state: SessionState, error: str, message: str) -> None:
        self._tell(State(state, error, message))

    def session_started(self, resumed: bool) -> None:
        self._tell(Started(resumed))

    def session_ended(self) -> None:
        self._tell("ended")

    def event(self, event: Event) -> None:
        self._tell(event)

    def solicited(self, service: str) -> bool:
        return service in self.services

    @property
    def states(self) -> list[SessionState]:
        """All states so far."""
        return [told.state for told in self.told if isinstance(told, State)]

    @property
    def events(self) -> list[Event]:
        """All events so far."""
        return [told for told in self.told if isinstance(told, Event)]

    async def next(self, matches: Callable[[Told], bool]) -> Told:
        """The next thing told that matches; what came before it is passed over."""
        async with asyncio.timeout(WAIT):
            while True:
                while self._read < len(self.told):
                    told = self.told[self._read]
                    self._read += 1
                    if matches(told):
                        return told
                self._more.clear()
                await self._more.wait()

    async def state(self, state: SessionState) -> State:
        """The next time the session says it is in this state."""
        told = await self.next(lambda each: isinstance(each, State) and each.state == state)
        assert isinstance(told, State)
        return told

    async def started(self) -> Started:
        """The next start of a session."""
        told = await self.next(lambda each: isinstance(each, Started))
        assert isinstance(told, Started)
        return told

    async def event_of(self, kind: type[_E], node: str) -> _E:
        """The next event of a kind and node."""
        told = await self.next(lambda each: isinstance(each, kind) and each.node == node)
        assert isinstance(told, kind)
        return told

    def _tell(self, told: Told) -> None:
        self.told.append(told)
        self._more.set()

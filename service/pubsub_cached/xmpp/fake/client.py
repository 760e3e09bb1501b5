"""A plain client of the fake: a listener that keeps what it is told, and the session it listens to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..port import Endpoint, Event, SessionState
from .session import FakeSession

if TYPE_CHECKING:
    from .world import World


class Client:
    """Watches one account from the outside, for tests of the fake and beside a cache (``port.Listener``).

    events, states, starts: what came, in order; ``starts`` holds whether each start was a resumption.
    told: the same and the ends of streams, as words. services: solicited ones, None for any.
    """

    def __init__(self, world: World, jid: str, *, interests: Iterable[str] = (), password: str = "secret") -> None:
        self.world = world
        self.events: list[Event] = []
        self.states: list[tuple[SessionState, str, str]] = []
        self.starts: list[bool] = []
        self.told: list[str] = []
        self.services: frozenset[str] | None = None
        self.session: FakeSession = world.connector(Endpoint(jid=jid), lambda: password, self)
        self.session.set_interests(frozenset(interests))

    async def start(self) -> FakeSession:
        """Connect and wait until the world is quiet."""
        self.session.connect()
        await self.world.settle()
        return self.session

    def session_changed(self, state: SessionState, error: str, message: str) -> None:
        """Keep a state."""
        self.states.append((state, error, message))
        self.told.append(state)

    def session_started(self, resumed: bool) -> None:
        """Keep a start."""
        self.starts.append(resumed)
        self.told.append("resumed" if resumed else "started")

    def session_ended(self) -> None:
        """Keep an end."""
        self.told.append("ended")

    def event(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)
        self.told.append("event")

    def solicited(self, service: str) -> bool:
        """Whether the service is one of ``services``."""
        return self.services is None or service in self.services

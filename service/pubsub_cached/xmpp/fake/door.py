"""How requests reach a service of the fake: answered, held, refused, or never answered at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import NoAnswer, StanzaError

if TYPE_CHECKING:
    from .service import Service
    from .world import Request, World


class Unanswered(Exception):
    """The service never answers this request."""


@dataclass(eq=False)
class Call:
    """A request on its way: what computes the reply, and the future that waits for it."""

    request: Request
    answer: Callable[[Service], object]
    future: asyncio.Future[Any]
    timeout: float

    def resolve(self, result: object) -> None:
        """The reply arrived; nobody waits any more after a lost stream."""
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        """An error arrived instead."""
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self) -> None:
        """No reply arrived in time."""
        self.fail(NoAnswer(f"{self.request.service} did not answer within {self.timeout:g} seconds."))


class Door:
    """What a test may do to requests of one service."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._held = False
        self._waiting: list[Call] = []
        self._arrived = asyncio.Event()
        self._planned: list[tuple[str, StanzaError | None]] = []
        self._unheard: list[str] = []
        self._down: StanzaError | None = None
        self._answering = True

    @property
    def available(self) -> bool:
        """Whether the service is up; events of one that is down are lost."""
        return self._down is None and self._answering

    def down(self, condition: str | None = "remote-server-timeout") -> None:
        """Every request gets this error, or with None never an answer, until ``up``."""
        self._down = StanzaError(condition) if condition else None
        self._answering = condition is not None

    def up(self) -> None:
        """Requests are answered again."""
        self._down = None
        self._answering = True

    def hold(self) -> None:
        """Requests wait, as at a slow service, until ``release``; they are answered with what is true by then."""
        self._held = True

    def release(self, count: int | None = None, *, request: str = "", node: str | None = None) -> None:
        """Let the oldest ``count`` held requests of this kind ("" any), about this node (None any), through.

        Without a count all are, and no more are held.
        """
        if count is None:
            self._held = False
        fitting = (call for call in self._waiting if request in ("", call.request.kind))
        released = [call for call in fitting if node in (None, call.request.node)][:count]
        self._waiting = [call for call in self._waiting if call not in released]
        for call in released:
            self.world.enqueue(self._serve, call)

    def expire(self) -> None:
        """The requests held so far are never answered: their callers time out."""
        expired, self._waiting = self._waiting, []
        for call in expired:
            self.world.enqueue(call.expire)

    @property
    def held(self) -> tuple[Request, ...]:
        """The requests that are being held, oldest first."""
        return tuple(call.request for call in self._waiting)

    async def holding(self, count: int) -> None:
        """Return once at least so many requests are being held."""
        while len(self._waiting) < count:
            self._arrived.clear()
            await self._arrived.wait()

    def fail_next(
        self, condition: str, text: str = "", pubsub_condition: str = "", *, request: str = "get_items", times: int = 1
    ) -> None:
        """The next requests of this kind ("" any) get an error."""
        self._planned += [(request, StanzaError(condition, text, pubsub_condition))] * times

    def ignore_next(self, *, request: str = "get_items", times: int = 1) -> None:
        """The next requests of this kind ("" any) are never answered."""
        self._planned += [(request, None)] * times

    def lose_next(self, *, request: str) -> None:
        """The reply to the next request of this kind is lost, once the service has done what was asked."""
        self._unheard.append(request)

    @property
    def planned(self) -> int:
        """How many requests are still to be refused or ignored."""
        return len(self._planned)

    def plan_nothing(self) -> None:
        """The next requests are answered after all."""
        self._planned.clear()

    def receive(self, call: Call) -> None:
        """A request arrived."""
        if self._held:
            self._waiting.append(call)
            self._arrived.set()
        else:
            self._serve(call)

    def answer(self, call: Call) -> object:
        """The reply to a request; raises StanzaError or Unanswered."""
        raise NotImplementedError

    def _serve(self, call: Call) -> None:
        try:
            self._obstruct(call.request.kind)
            result = self.answer(call)
        except StanzaError as error:
            self.world.enqueue(call.fail, error)
        except Unanswered:
            self.world.never(call)
        else:
            if call.request.kind in self._unheard:
                self._unheard.remove(call.request.kind)
                self.world.never(call)
            else:
                self.world.enqueue(call.resolve, result)

    def _obstruct(self, kind: str) -> None:
        """Raise what was planned for this request, or what the service's state brings."""
        for place, (wanted, error) in enumerate(self._planned):
            if wanted in ("", kind):
                del self._planned[place]
                raise error or Unanswered
        if self._down:
            raise self._down
        if not self._answering:
            raise Unanswered

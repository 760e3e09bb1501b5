"""Subscriptions to signals."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .addresses import BUS, BUS_PATH

if TYPE_CHECKING:
    from dbus_fast import Message

    from .connection import Connection

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal that arrived."""

    sender: str
    path: str
    interface: str
    member: str
    signature: str
    body: list[Any]


Callback = Callable[[Signal], None]


@dataclass(frozen=True, slots=True)
class Match:
    """What a signal must have, as in the bus's match rules; None is anything."""

    sender: str | None = None
    path: str | None = None
    interface: str | None = None
    member: str | None = None
    arg0: str | None = None

    @property
    def rule(self) -> str:
        """The rule as ``AddMatch`` takes it."""
        keys = ("sender", "path", "interface", "member", "arg0")
        given = ((key, getattr(self, key)) for key in keys)
        return ",".join(["type='signal'", *(f"{key}={_quoted(value)}" for key, value in given if value is not None)])

    def fits(self, signal: Signal) -> bool:
        """Whether a signal is meant. A well-known sender can't be compared: the bus has done it."""
        if self.sender is not None and self.sender != signal.sender and (self.sender[0] == ":" or self.sender == BUS):
            return False
        return (
            self.path in (None, signal.path)
            and self.interface in (None, signal.interface)
            and self.member in (None, signal.member)
            and (self.arg0 is None or (bool(signal.body) and signal.body[0] == self.arg0))
        )


class Subscription:
    """One callback for one match; ``cancel`` ends it."""

    def __init__(self, matches: Matches, callback: Callback, match: Match) -> None:
        self.callback = callback
        self.match = match
        self._matches = matches

    def cancel(self) -> None:
        """Ends the subscription at once; can be repeated."""
        self._matches.drop(self)


class Matches:
    """The subscriptions of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._subscriptions: dict[Subscription, None] = {}

    async def add(self, callback: Callback, match: Match) -> Subscription:
        """Subscribes; the bus knows the rule when this returns."""
        subscription = Subscription(self, callback, match)
        self._subscriptions[subscription] = None
        try:
            await self._connection.call_bus("AddMatch", "s", [match.rule])
        except BaseException:
            self._subscriptions.pop(subscription, None)
            raise
        return subscription

    def drop(self, subscription: Subscription) -> None:
        """Unsubscribes."""
        if subscription in self._subscriptions:
            del self._subscriptions[subscription]
            rule = subscription.match.rule
            self._connection.call_no_reply(BUS, BUS_PATH, BUS, "RemoveMatch", "s", [rule])

    def deliver(self, message: Message) -> None:
        """Hands a signal to whom it concerns; an exception of one does not keep it from the others."""
        if not self._subscriptions:
            return
        signal = Signal(
            str(message.sender),
            str(message.path),
            str(message.interface),
            str(message.member),
            message.signature,
            message.body,
        )
        for subscription in list(self._subscriptions):
            if subscription in self._subscriptions and subscription.match.fits(signal):
                try:
                    subscription.callback(signal)
                except Exception:
                    log.exception("A callback for %s.%s failed", signal.interface, signal.member)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"

"""Subscriptions to signals."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .addresses import BUS, BUS_PATH
from .errors import RemoteError

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

    @property
    def well_known(self) -> bool:
        """Whether the sender is named by what others may own as well."""
        return self.sender is not None and self.sender[0] != ":" and self.sender != BUS

    def fits(self, signal: Signal, owners: Mapping[str, str]) -> bool:
        """Whether a signal is meant; owners: the unique names behind well-known ones."""
        return (
            (self.sender is None or owners.get(self.sender, self.sender) == signal.sender)
            and self.path in (None, signal.path)
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
        # Of the well-known names that signals are expected from: what is sent to us alone passes no rule of the bus.
        self._owners: dict[str, str] = {}

    async def add(self, callback: Callback, match: Match) -> Subscription:
        """Subscribes; the bus knows the rule when this returns."""
        if match.well_known:
            await self._learn(str(match.sender))
        subscription = Subscription(self, callback, match)
        self._subscriptions[subscription] = None
        try:
            await self._connection.call_bus("AddMatch", "s", [match.rule])
        except RemoteError:
            del self._subscriptions[subscription]
            raise
        except BaseException:
            # The bus has been told, or will be.
            self.drop(subscription)
            raise
        return subscription

    async def _learn(self, name: str) -> None:
        """Know who owns a well-known name, from now on."""
        if name in self._owners:
            return
        await self.add(lambda signal: self._owners.update({name: signal.body[2]}), owner_of(name))
        try:
            (owner,) = await self._connection.call_bus("GetNameOwner", "s", [name])
        except RemoteError:
            owner = ""
        # What was signalled meanwhile may be newer.
        self._owners.setdefault(name, owner)

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
            if subscription in self._subscriptions and subscription.match.fits(signal, self._owners):
                try:
                    subscription.callback(signal)
                except Exception:
                    log.exception("A callback for %s.%s failed", signal.interface, signal.member)


def owner_of(name: str) -> Match:
    """What the bus says when a name gets an owner, has another, or loses it."""
    return Match(BUS, BUS_PATH, BUS, "NameOwnerChanged", name)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"

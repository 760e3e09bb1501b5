"""Which clients are still on the bus."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .matches import Signal, Subscription, owner_of

if TYPE_CHECKING:
    from .connection import Connection

Gone = Callable[[str], None]


class Owners:
    """Tells when a name leaves the bus."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._watches: dict[str, list[Gone]] = {}
        self._subscriptions: dict[str, Subscription] = {}

    async def watch(self, name: str, callback: Gone) -> None:
        """Calls ``callback(name)`` once, when ``name`` (unique or well-known) has no owner any more.

        A name that is gone already is told before this returns. Any number of callbacks a name.
        """
        self._watches.setdefault(name, []).append(callback)
        try:
            await self._begin(name)
        except BaseException:
            self.unwatch(name, callback)
            raise

    async def _begin(self, name: str) -> None:
        if name not in self._subscriptions:
            subscription = await self._connection.subscribe(self._changed, owner_of(name))
            if name not in self._watches or name in self._subscriptions:
                subscription.cancel()
            else:
                self._subscriptions[name] = subscription
        if not await self.has_owner(name):
            self._gone(name)

    def unwatch(self, name: str, callback: Gone) -> None:
        """Forgets a callback; unknown ones are ignored."""
        callbacks = self._watches.get(name, [])
        if callback in callbacks:
            callbacks.remove(callback)
        if not callbacks:
            self._forget(name)

    async def follow(self, name: str, callback: Callable[[bool], None]) -> Subscription:
        """Calls back whenever ``name`` gets an owner or loses it."""
        return await self._connection.subscribe(lambda signal: callback(bool(signal.body[2])), owner_of(name))

    async def has_owner(self, name: str) -> bool:
        """Whether ``name`` is on the bus right now."""
        reply = await self._connection.call_bus("NameHasOwner", "s", [name])
        return bool(reply[0])

    def _changed(self, signal: Signal) -> None:
        name, _, owner = signal.body
        if not owner:
            self._gone(name)

    def _gone(self, name: str) -> None:
        for callback in self._forget(name):
            callback(name)

    def _forget(self, name: str) -> list[Gone]:
        subscription = self._subscriptions.pop(name, None)
        if subscription is not None:
            subscription.cancel()
        return self._watches.pop(name, [])

"""What events say of a node while something is written to its service: whether a write is told is known by them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...address import Address
from ...xmpp.port import DeleteEvent, Event, ItemsEvent, PurgeEvent, SubscriptionEvent


class Watch:
    """What events said of one node while something was written to it.

    last: whether the last thing said of an item is that it was published, else that it was retracted. subscription: the
    last state that was said of it, or "".
    """

    def __init__(self) -> None:
        self.last: dict[str, bool] = {}
        self.kinds: set[type[Event]] = set()
        self.subscription = ""

    def tells_of(self, id_: str) -> bool:
        """Whether anything was said of an item, or of all that the node had."""
        return id_ in self.last or not self.kinds.isdisjoint((DeleteEvent, PurgeEvent))

    def see(self, event: Event) -> None:
        """An event arrived; one that may be old or leaves the content open says nothing."""
        if event.delayed:
            return
        self.kinds.add(type(event))
        if isinstance(event, ItemsEvent):
            self.last |= {item.id: True for item in event.items if item.payload}
            self.last |= dict.fromkeys(event.retracted, False)
        elif isinstance(event, SubscriptionEvent):
            self.subscription = event.state


class Watches:
    """Those who watch, by node."""

    def __init__(self) -> None:
        self._watches: dict[Address, list[Watch]] = {}

    def see(self, address: Address, event: Event) -> None:
        """An event of a node arrived."""
        for watch in self._watches.get(address, ()):
            watch.see(event)

    @contextmanager
    def watch(self, address: Address) -> Iterator[Watch]:
        """See what arrives of a node meanwhile."""
        watch = Watch()
        self._watches.setdefault(address, []).append(watch)
        try:
            yield watch
        finally:
            self._watches[address].remove(watch)
            if not self._watches[address]:
                del self._watches[address]

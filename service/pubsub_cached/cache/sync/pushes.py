"""Pushes: last items that services send of themselves when a session begins (XEP-0163 4.3.4).

Of a node that counts only its newest item they are all there is to know, and cost nothing. Source: the coherence model,
"Revalidation ladder".
"""

from __future__ import annotations

from collections.abc import Callable

from ...address import Address
from ...recent import Recent
from ...store.rows import NodeRow
from ...xmpp.port import Event, ItemsEvent
from ..accounts.account import Account

# Reasons of a stale node of which nothing is doubted but what happened while there was no session.
GAPS = frozenset({"session", "restart"})
# Nodes of which it is known; another is asked for its newest item.
CAME_AT_MOST = 16_384


class Pushes:
    """Of which nodes an item came in which session, and when."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._came: Recent[Address, tuple[int, int]] = Recent(CAME_AT_MOST)

    def event(self, account: Account, event: Event) -> bool:
        """Note an event; whether a node's newest item came with it."""
        address = Address(account.jid, event.service, event.node)
        if not _brings_newest(event):
            self._came.pop(address, None)
            return False
        if not expected(account, address):
            return False
        self._came[address] = account.epoch, self._clock()
        return True

    def came(self, account: Account, address: Address) -> int | None:
        """When the node's newest item came in this session, ms; None if not, or something was said against it."""
        epoch, at = self._came.get(address, (0, 0))
        return at if epoch == account.epoch and expected(account, address) else None

    def tell(self, account: Account, node: NodeRow, keep: int | None, *, moves: bool) -> bool:
        """Whether what came is all that a validation could find.

        moves: an item that is overwritten becomes the newest. Else the one that came last need not be the newest,
        unless there was no other.
        """
        alone = node.completeness == "full" and node.item_count == 1
        missed = node.state == "stale" and node.reason in GAPS and node.completeness != "none"
        return keep == 1 and missed and (moves or alone) and self.came(account, node.address) is not None


def _brings_newest(event: Event) -> bool:
    if not isinstance(event, ItemsEvent) or event.delayed or event.retracted or not event.items:
        return False
    return all(item.payload for item in event.items)


def expected(account: Account, address: Address) -> bool:
    """Whether the account's presence brings the node's last item, and its events."""
    return address.node in account.interests and (address.own or address.service in account.session.contacts)

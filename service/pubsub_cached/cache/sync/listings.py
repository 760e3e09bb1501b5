"""Listings: what services answer when they are asked for all subscriptions of an account. Source: XEP-0060 5.6."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

import msgspec

from ... import errors
from ...address import Address, drop_account
from ...tasks import TasksByKey
from ...xmpp.port import Session, Subscription

log = logging.getLogger(__name__)

# Some services never answer for all nodes, and those that do answer at once: soon the node alone is asked about.
LISTING_TIMEOUT = 3.0


class Listing(msgspec.Struct, frozen=True):
    """What a service answered: by node, None where it does not say. number: the later the higher. at: asked, ms."""

    number: int
    at: int
    nodes: dict[str, tuple[Subscription, ...]] | None


class Listings:
    """The latest listing of each service, for which it is asked once for all nodes that have to know."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._listed: dict[tuple[str, str], Listing] = {}
        self._asking: TasksByKey[tuple[str, str]] = TasksByKey()
        # Of the one that was asked for last.
        self.number = 0

    def of(self, address: Address) -> Listing | None:
        """The latest of the node's service."""
        return self._listed.get((address.account, address.service))

    def forget(self, account: str) -> None:
        """A new session: what was listed may have changed."""
        drop_account(account, self._listed, self._asking)

    def drop(self, address: Address) -> None:
        """The latest of the node's service is no more to be believed."""
        self._listed.pop((address.account, address.service), None)

    def ask_anew(self, account: str, service: str) -> None:
        """What others wait for may be older than what the caller knows: the next who asks does not join them."""
        self._asking.pop((account, service), None)

    def ids(self, address: Address) -> set[str]:
        """The ids of the subscriptions that are listed under the node's name."""
        listing = self.of(address)
        nodes = listing.nodes if listing is not None else None
        return {found.subid for found in (nodes or {}).get(address.node, ())}

    def elsewhere(self, address: Address, subid: str) -> bool:
        """Whether another service lists the same subscription, so that it may be to that one's node."""
        others = {service for account, service in self._listed if account == address.account} - {address.service}
        return bool(subid) and any(subid in self.ids(address._replace(service=service)) for service in others)

    async def ask(self, session: Session, account: str, service: str) -> Listing:
        """Ask the service, once for all who ask meanwhile. Raises Offline."""
        key = account, service
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking.begin(key, self._ask(session, key), f"subscriptions at {service}")
            # Nobody may be left to whom it matters that the session went.
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        # The others wait for the same answer, whoever gives up.
        listing: Listing = await asyncio.shield(asking)
        return listing

    async def _ask(self, session: Session, key: tuple[str, str]) -> Listing:
        self.number += 1
        number, at, nodes = self.number, self._clock(), None
        try:
            nodes = by_node(await session.subscriptions(key[1], timeout=LISTING_TIMEOUT))
        except (errors.StanzaError, errors.Timeout) as refusal:
            log.info("%s does not list subscriptions: %s", key[1], refusal.message)
        listing = Listing(number, at, nodes)
        if self._asking.get(key) is asyncio.current_task():
            # Else a new session has begun meanwhile, or it was asked anew.
            self._listed[key] = listing
        return listing


def by_node(listed: Iterable[Subscription]) -> dict[str, tuple[Subscription, ...]]:
    """The account's own of those that a service lists: what a resource subscribed to brings others nothing."""
    nodes: dict[str, tuple[Subscription, ...]] = {}
    for found in listed:
        if "/" not in found.jid:
            nodes[found.node] = (*nodes.get(found.node, ()), found)
    return nodes


def chosen(listed: Sequence[Subscription], subid: str) -> Subscription | None:
    """Of several to one node (XEP-0060 6.1.6) the one of this id, else one that brings events."""
    return max(
        listed, key=lambda found: (bool(subid) and found.subid == subid, found.state == "subscribed"), default=None
    )

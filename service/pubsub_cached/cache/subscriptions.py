"""Subscriptions: what evidence there is that events of a node flow, made where there is none.

A subscription that existed before is remembered as such, and only one that the daemon made is ever given
up. Source: the coherence model, "Synchronisation" and "Unit and states"; XEP-0060 6.1, 5.6; XEP-0163 4.
"""

from __future__ import annotations

import logging

import msgspec

from .. import errors
from ..address import Address
from ..store.rows import NodeRow
from ..xmpp.port import Session, Subscription

log = logging.getLogger(__name__)

# Some services never answer for all nodes, and those that do answer at once: soon the node alone is asked about.
LISTING_TIMEOUT = 3.0
ALONE_TIMEOUT = 10.0


class Evidence(msgspec.Struct, frozen=True):
    """Whether events flow, and by what.

    live: publishes are notified. own: the daemon made the subscription. guarantee: strong, normal, weak.
    """

    live: bool
    subscribed: bool
    own: bool
    subid: str
    guarantee: str


class Subscriptions:
    """The account's subscriptions as the services list them, asked once a session and service."""

    def __init__(self) -> None:
        self._listed: dict[tuple[str, str], dict[str, Subscription] | None] = {}
        self._solicited: set[tuple[str, str]] = set()

    def solicit(self, account: str, service: str) -> None:
        """Events of this service are wanted by the account."""
        self._solicited.add((account, service))

    def solicited(self, account: str, service: str) -> bool:
        """Whether the account asked for events of this service."""
        return (account, service) in self._solicited

    def forget(self, account: str) -> None:
        """A new session: what was listed may have changed."""
        for key in [key for key in self._listed if key[0] == account]:
            del self._listed[key]

    def remember(self, address: Address, found: Subscription) -> None:
        """The subscription is this one now."""
        listed = self._listed.get((address.account, address.service))
        if listed is not None:
            listed[address.node] = found

    async def subscribe(self, session: Session, node: NodeRow, interests: frozenset[str]) -> Evidence:
        """Evidence for a node, after subscribing where there was no subscription.

        Raises Offline and Timeout; a refused subscription is no error.
        """
        address = node.address
        # Before the request, for the first event may come before its reply.
        self.solicit(address.account, address.service)
        weak = address.node in interests and (address.own or address.service in session.contacts)
        try:
            found = await self._find(session, node)
            own = node.own_subscription if found is not None else False
            if found is None or found.state in ("none", "unconfigured"):
                if node.declined:
                    # A client unsubscribed the account: that is not undone by itself.
                    return Evidence(weak, False, False, "", "weak")
                # A service that lists nothing may still hold the subscription that somebody else made.
                known = node.subscribed and not node.own_subscription and not self._lists(address)
                found = await session.subscribe(address.service, address.node)
                own = not known
        except errors.StanzaError as refusal:
            log.info("%s cannot be subscribed to: %s", address, refusal.message)
            return Evidence(weak, False, False, "", "weak")
        self.remember(address, found)
        if found.state == "subscribed":
            return Evidence(True, True, own, found.subid, "normal")
        return Evidence(weak, False, own, found.subid, "weak")

    async def _find(self, session: Session, node: NodeRow) -> Subscription | None:
        address = node.address
        key = (address.account, address.service)
        if key not in self._listed:
            self._listed[key] = await self._list(session, address.service)
        listed = self._listed[key]
        if listed is not None:
            return listed.get(address.node)
        try:
            alone = await session.subscriptions(address.service, address.node, timeout=ALONE_TIMEOUT)
        except (errors.StanzaError, errors.Timeout):
            return None
        return next((found for found in alone if found.jid.split("/")[0] == address.account), None)

    async def _list(self, session: Session, service: str) -> dict[str, Subscription] | None:
        try:
            listed = await session.subscriptions(service, timeout=LISTING_TIMEOUT)
        except (errors.StanzaError, errors.Timeout) as refusal:
            log.info("%s does not list subscriptions: %s", service, refusal.message)
            return None
        return {found.node: found for found in listed}

    def _lists(self, address: Address) -> bool:
        return self._listed.get((address.account, address.service)) is not None

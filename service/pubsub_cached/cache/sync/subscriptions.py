"""Subscriptions: what evidence there is that events of a node flow, made where there is none.

A subscription that existed before is remembered as such, and only one that the daemon made is ever given
up. Source: the coherence model, "Synchronisation" and "Unit and states"; XEP-0060 6.1, 5.6; XEP-0163 4.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from ... import errors
from ...address import Address, drop_account
from ...recent import Recent
from ...store.rows import NodeRow
from ...xmpp.port import Session, Subscription
from ..accounts.account import Account
from ..nodes.refusals import says_none
from .acts import CHANGED_AT_MOST, Acts
from .listings import Listing, Listings, by_node, chosen
from .pushes import expected

log = logging.getLogger(__name__)

ALONE_TIMEOUT = 10.0
# For so long it is believed that there is no subscription to a node, for others may make one meanwhile.
NONE_MS = 60_000
# For so long a listed one is believed of a node that is new to the session, for others may end it meanwhile.
LISTED_MS = 3_600_000


class Evidence(msgspec.Struct, frozen=True):
    """Whether events flow, and by what.

    live: publishes are notified. own: the daemon made the subscription. guarantee: strong, normal, weak.
    """

    live: bool
    subscribed: bool
    own: bool
    subid: str
    guarantee: str


class _Known(NamedTuple):
    """A subscription that was made or given up at this time, ms, since the listing of that number."""

    number: int
    at: int
    found: Subscription


class Subscriptions:
    """The account's subscriptions as the services list them, asked once for all nodes that have to know."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._listings = Listings(clock)
        # Made or given up since a listing that may have been on its way before that.
        self._known: Recent[Address, _Known] = Recent(CHANGED_AT_MOST)
        # Of these, those by which a node was validated: the next time the service is asked, which may have ended it.
        self._relied: set[Address] = set()
        # Made by the daemon, which is not written down yet: else they would look like older ones.
        self._unwritten: set[Address] = set()
        # The listing in which each node was looked up: the next look has to be at a later one.
        self._seen: dict[Address, int] = {}
        # Looked at or made in this session, of nodes that were not said to be deleted since.
        self._sure: set[Address] = set()
        self._solicited: set[tuple[str, str]] = set()
        self.acts = Acts()

    def solicit(self, account: str, service: str) -> None:
        """Events of this service are wanted by the account."""
        self._solicited.add((account, service))

    def solicited(self, account: str, service: str) -> bool:
        """Whether the account asked for events of this service."""
        return (account, service) in self._solicited

    def forget(self, account: str) -> None:
        """A new session: what was listed may have changed."""
        self._listings.forget(account)
        drop_account(account, self._known, self._relied, self._sure, self._seen)

    def forget_node(self, address: Address) -> None:
        """The node's row is no more."""
        self._seen.pop(address, None)
        self._sure.discard(address)
        self._relied.discard(address)

    def forget_account(self, account: str) -> None:
        """The account is no more."""
        self.forget(account)
        drop_account(account, self._unwritten, self._solicited)

    def remember(self, address: Address, found: Subscription) -> None:
        """A client or the service changed the subscription to this one."""
        self._known[address] = _Known(self._listings.number, self._clock(), found)
        self._relied.discard(address)
        self._note(address, found)
        if found.state == "none":
            self._unwritten.discard(address)

    def relied_on(self, address: Address) -> None:
        """A node is live by what was remembered: the next time that it is validated its service is asked."""
        self._relied.add(address)

    def doubt(self, address: Address) -> None:
        """The node may have been deleted, and its subscription with it."""
        self.unsure(address)
        self._sure.discard(address)

    def has_ended(self, address: Address) -> bool:
        """Whether the last that a client or the service changed is that there is no subscription."""
        known = self._known.get(address)
        return known is not None and known.found.state == "none"

    def has_begun(self, address: Address) -> bool:
        """Whether the last that a client or the service changed is that there is one."""
        known = self._known.get(address)
        return known is not None and known.found.state != "none"

    def _note(self, address: Address, found: Subscription) -> None:
        listing = self._listings.of(address)
        if listing is not None and listing.nodes is not None:
            if found.state == "none":
                listing.nodes.pop(address.node, None)
            else:
                listing.nodes[address.node] = (found,)

    def claim(self, address: Address) -> None:
        """A client has subscribed, and the row is about to say so, or says so by now."""
        self._unwritten.discard(address)
        self.acts.claim(address)

    @contextmanager
    def writing(self, address: Address, *, own: bool) -> Iterator[None]:
        """It is written down whose the subscription is; where that fails, one of the daemon's is known to be so."""
        if own:
            self._unwritten.add(address)
        yield
        self._unwritten.discard(address)

    def _is_declined(self, node: NodeRow, declines: int) -> bool:
        return node.declined or self.acts.is_declined(node.address, declines)

    async def subscribe(
        self, account: Account, node: NodeRow, intend: Callable[[], Awaitable[object]], *, anew: bool, declines: int
    ) -> Evidence:
        """Evidence for a node, after subscribing where there was no subscription.

        intend: writes down that one is about to be made. anew: what was known before does not count, for services drop
        subscriptions without a word. declines: what it was before the row was read. Raises Offline and Timeout; a
        refused subscription is no error.
        """
        address, session = node.address, account.session
        # Before the request, for the first event may come before its reply.
        self.solicit(address.account, address.service)
        weak = expected(account, address)
        # What comes late may be a last item that a service sends to each new subscriber: that must come to an end.
        anew = address not in self._sure or (anew and node.reason != "delayed-event")
        try:
            claiming = not self._is_own(node) and not self._is_declined(node, declines)
            found = await self._find(session, node, anew, claiming=claiming)
            # A client may have subscribed meanwhile.
            own = self._is_own(node)
            if found is None or found.state in ("none", "unconfigured"):
                if self._is_declined(node, declines):
                    # A client unsubscribed the account: that is not undone by itself.
                    return Evidence(weak, False, False, "", "weak")
                # Of a service that does not say that there is none it may be somebody else's.
                if not own and found is not None and found.state == "none":
                    own = True
                    if not self.acts.is_claiming(address):
                        # Should no reply come, what is listed from then on must not look like an older one.
                        await intend()
                found = await self._subscribe(session, address, declines)
            elif anew and await self._is_hearsay(session, node, found):
                if not self._is_declined(node, declines):
                    listed = self._listings.ids(address) | {found.subid}
                    found = await self._subscribe(session, address, declines, () if own else listed)
                    own = own or found.subid not in listed
                elif await self._is_elsewhere(session, address, found.subid):
                    return Evidence(weak, False, False, "", "weak")
        except errors.StanzaError as refusal:
            log.info("%s cannot be subscribed to: %s", address, refusal.message)
            self._sure.add(address)
            return Evidence(weak, False, False, "", "weak")
        self._sure.add(address)
        self._note(address, found)
        if found.state == "subscribed":
            return Evidence(True, True, own, found.subid, "normal")
        return Evidence(weak, False, own and found.state != "none", found.subid, "weak")

    def _is_own(self, node: NodeRow) -> bool:
        """Whether the daemon made the subscription, also where that is not written down yet."""
        return node.own_subscription or node.address in self._unwritten

    async def _is_hearsay(self, session: Session, node: NodeRow, found: Subscription) -> bool:
        """Whether a listed subscription has to be made again to be believed.

        Prosody goes on listing one to a node that was deleted and made again, and sends nothing; ejabberd lists under
        a node's name those to the nodes of that name of all accounts. Where subscriptions have no ids there is one a
        JID at most (XEP-0060 6.1.6); ejabberd gives the one that there is. Openfire's pubsub service makes a second
        one, and then refuses reads that do not name one of the two.
        """
        if found.state != "subscribed":
            return False
        if not found.subid:
            return not node.declined
        if node.address in self._known or (node.subscribed and found.subid == node.subid):
            return False
        return "@" in node.address.service or await self._is_elsewhere(session, node.address, found.subid)

    async def _is_elsewhere(self, session: Session, address: Address, subid: str) -> bool:
        """Whether another service lists a subscription, among them the one that lists those to all accounts' nodes."""
        own = self._listings.of(address._replace(service=address.account))
        if not self._listings.elsewhere(address, subid) and (own is None or not self._is_recent(own.at)):
            await self._listings.ask(session, address.account, address.account)
        return self._listings.elsewhere(address, subid)

    async def _subscribe(
        self, session: Session, address: Address, declines: int, theirs: Collection[str] = ()
    ) -> Subscription:
        """What came of it: none when a client unsubscribed meanwhile, whichever of the two the service saw first.

        One that can't be undone then is there, and the daemon's to give up. theirs: ids of those that are not, which
        stay when the node was only forgotten.
        """
        unsubscribes = self.acts.unsubscribes(address)
        try:
            found = await session.subscribe(address.service, address.node)
        except (errors.Offline, errors.Timeout, asyncio.CancelledError):
            self.unsure(address)
            raise
        self._known.pop(address, None)
        stays = found.subid in theirs and self.acts.unsubscribes(address) == unsubscribes
        if stays or not self.acts.is_declined(address, declines):
            return found
        try:
            await session.unsubscribe(address.service, address.node, found.subid)
        except errors.StanzaError as error:
            if not says_none(error):
                return found
        self.remember(address, Subscription(address.node, address.account, "none"))
        return Subscription(address.node, address.account, "none")

    async def _find(self, session: Session, node: NodeRow, anew: bool, *, claiming: bool) -> Subscription | None:
        address = node.address
        known = self._known.get(address)
        if known is not None:
            listing, subscribed = self._listings.of(address), known.found.state == "subscribed"
            later = listing is not None and listing.number > known.number
            if later or (not node.subscribed if subscribed else claiming or not self._is_recent(known.at)):
                del self._known[address]
                if not later:
                    # What was asked before that was made, or ended, may say what was then.
                    self._listings.drop(address)
            elif anew and subscribed:
                if address in self._relied:
                    self.unsure(address)
                    # What is asked already may be from before it was made.
                    self._listings.ask_anew(address.account, address.service)
                self.relied_on(address)
        if address in self._known:
            return self._known[address].found
        found = await self._look_up(session, address, anew, node.subid, not node.subscribed, claiming=claiming)
        # A client may have changed it meanwhile.
        return self._known[address].found if address in self._known else found

    async def _look_up(
        self,
        session: Session,
        address: Address,
        anew: bool,
        subid: str = "",
        lost: bool = False,
        *,
        claiming: bool = False,
    ) -> Subscription | None:
        """The subscription as the service lists it, one of state ``none`` included; None where it does not say.

        claiming: one that is made then would be the daemon's, so that an older listing does not say that there is none.
        """
        none = Subscription(address.node, address.account, "none")
        listing = self._listings.of(address)
        seen = self._seen.get(address)
        outdated = listing is not None and seen is None and not self._is_recent(listing.at, LISTED_MS)
        if asked := listing is None or outdated or self._may_lack(listing, address):
            listing = await self._listings.ask(session, address.account, address.service)
        claimed = chosen(listing.nodes.get(address.node, ()), subid) if listing.nodes is not None else None
        # What was gone or denied has lost it since, though it was listed with others after it was looked up.
        old = anew and seen is not None and (lost or seen == listing.number) and claimed is not None and claimed.subid
        self._seen[address] = listing.number
        if listing.nodes is not None and not old and (claimed is not None or asked or not claiming):
            return claimed or none
        try:
            alone = await session.subscriptions(address.service, address.node, timeout=ALONE_TIMEOUT)
        except (errors.StanzaError, errors.Timeout):
            if listing.nodes is None:
                return None
            # A service that lists all subscriptions and not those to one node.
            again = await self._listings.ask(session, address.account, address.service)
            if again.nodes is None:
                return None
            return chosen(again.nodes.get(address.node, ()), subid) or none
        return chosen(by_node(alone).get(address.node, ()), subid) or none

    def _may_lack(self, listing: Listing, address: Address) -> bool:
        """Whether somebody may have subscribed to the node since the service was asked."""
        lacks = listing.nodes is not None and address.node not in listing.nodes
        return lacks and not self._is_recent(listing.at)

    def _is_recent(self, at: int, within: int = NONE_MS) -> bool:
        """Whether nobody will have changed a subscription since."""
        return 0 <= self._clock() - at < within

    async def find_out(self, session: Session, address: Address) -> Subscription | None:
        """What the service says of the subscription now, None where it does not. Raises Offline."""
        self.unsure(address)
        return await self._look_up(session, address, anew=False)

    async def look(self, session: Session, account: str, service: str) -> dict[str, tuple[Subscription, ...]] | None:
        """The account's subscriptions as the service lists them from now on, by node; None where it does not."""
        self._listings.ask_anew(account, service)
        try:
            return (await self._listings.ask(session, account, service)).nodes
        except errors.Offline:
            return None

    async def give_up(self, session: Session, address: Address, subid: str, claims: int) -> bool:
        """End a subscription that the daemon itself made, unless that was done already.

        claims: what it was before it was read whose it is. False where a client has it by now, or is about to, and
        that is not written down yet. Raises Offline, Timeout and StanzaError; then it may still be there.
        """
        if self.acts.is_claiming(address) or self.acts.claims(address) != claims:
            return False
        if not self.has_ended(address):
            # Before the request, for whoever subscribes meanwhile does so after it.
            ended = Subscription(address.node, address.account, "none")
            self.remember(address, ended)
            try:
                await session.unsubscribe(address.service, address.node, subid)
            except errors.PubSubCachedError as error:
                if not says_none(error):
                    self.unsure(address, ended)
                    raise
        return True

    def unsure(self, address: Address, supposed: Subscription | None = None) -> None:
        """What was taken for granted, or whatever was, was not said by the service, which is asked anew."""
        known = self._known.get(address)
        if known is not None and (supposed is None or known.found is supposed):
            del self._known[address]
        self._listings.drop(address)

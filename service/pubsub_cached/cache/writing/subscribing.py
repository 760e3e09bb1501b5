"""Subscriptions that clients make and give up; the daemon's own are in ``subscriptions``.

What a client subscribed to is never given up by the daemon, and what a client unsubscribed from is not
subscribed to by the daemon until a client does. What a service did is its asker's though the database fails: it is
written down once that works. Source: dbus-api.md "PubSub", coherence.md "Synchronisation".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from ... import errors
from ...address import Address
from ...store.accounts import nodes as node_store
from ...store.rows import KEPT, NodeRow
from ...store.store import Store, Transaction
from ...tasks import TasksByKey, end
from ...xmpp.port import Fields, Session, Subscription
from ..accounts.account import Account
from ..accounts.accounts import Accounts
from ..changes import Changes
from ..events.watches import Watch
from ..nodes import refusals
from ..nodes.nodes import Nodes
from ..nodes.transitions import UNSUBSCRIBED
from ..options import TIMEOUT
from ..revalidation.distrust import Distrust
from ..sync.pushes import expected
from ..sync.rounds import POLL_MS
from ..sync.sync import Sync
from .writing import FOLLOW_TIMEOUT, UNANSWERED

log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]

# States of nodes that are looked at anew once they are subscribed to.
_WORTH_A_LOOK = KEPT | {"unknown", "gone", "denied"}
# Seconds until it is tried again to write, where the database fails.
AGAIN = 5.0


class Subscribing:
    """Subscribes and unsubscribes the account. Everything raises Offline, Timeout and StanzaError."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        nodes: Nodes,
        sync: Sync,
        changes: Changes,
        distrust: Distrust,
        watch: Callable[[Address], AbstractContextManager[Watch]],
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._nodes = nodes
        self._sync = sync
        self._changes = changes
        self._distrust = distrust
        self._watch = watch
        self._clock = clock
        # What a service did not answer, or the database did not take, until it is written down what came of it.
        self._finding_out: TasksByKey[Address] = TasksByKey()

    def forget_account(self, account: str) -> None:
        """The account is no more."""
        for address, task in self._finding_out.items():
            if address.account == account:
                task.cancel()

    async def settled(self) -> None:
        """Wait until all is known that can be, while there is a session."""
        await self._finding_out.settled()

    async def close(self) -> None:
        """Stop; what is not known is shown once the node is synchronised."""
        await end(self._finding_out.values())

    async def subscribe(self, address: Address, options: Fields) -> str:
        """Subscribe the account's bare JID; the state: subscribed, pending, unconfigured or none."""
        session, seconds = await self._accounts.get(address.account).session_within(TIMEOUT)
        # Before the request, for the first event may come before its reply.
        self._sync.subscriptions.solicit(address.account, address.service)
        with self._sync.subscriptions.acts.claiming(address), self._watch(address) as watch:
            try:
                async with self._distrust.if_refused(address, "gone", "denied"):
                    found = await session.subscribe(address.service, address.node, options=options, timeout=seconds)
            except UNANSWERED:
                self._find_out(address, given_up=False)
                raise
            await self._came(address, found, partial(self._made, session, address, found), given_up=False)
            if watch.subscription not in ("", found.state):
                # An owner's bot may answer at once; whether it came before the reply or after it can't be told.
                self._find_out(address, given_up=False)
        return found.state

    async def _remember(self, address: Address, found: Subscription) -> None:
        # What events have said so far is older, and must not be written on top of it.
        await self._sync.caught_up()
        self._nodes.negatives.clear(address)
        self._sync.subscriptions.remember(address, found)

    async def _made(self, session: Session, address: Address, found: Subscription) -> None:
        if await self._nodes.find(address) is None:
            await self._learn(session, address)
        if found.state != "none" and self._sync.subscriptions.has_ended(address):
            # A client has unsubscribed meanwhile, or the service has ended it.
            return
        self._sync.subscriptions.claim(address)
        written = self._store.write(_subscribed, address, found)
        before, node = await self._changes.after(written, self._nodes.told)
        # Once more, for whoever has read meanwhile whose it was.
        self._sync.subscriptions.claim(address)
        if before is None or before.state != "live" or not before.subscribed:
            if node.state in _WORTH_A_LOOK:
                self._sync.in_background(address)
        elif found.state != "subscribed" or not found.subid or found.subid != before.subid:
            # Where it has no id, or another, the one before may have ended without a word.
            await self._distrust.of(address, "subscription")
        else:
            self._sync.subscriptions.relied_on(address)

    async def unsubscribe(self, address: Address, subid: str = "") -> None:
        """Unsubscribe the account's bare JID; by ``subid``, or the one that the cache knows."""
        account = self._accounts.get(address.account)
        session, seconds = await account.session_within(TIMEOUT)
        node = await self._nodes.find(address)
        known = subid or (node.subid if node is not None else "")
        # A synchronisation may be about to subscribe, or wait for the answer.
        with self._sync.declining(address):
            try:
                await session.unsubscribe(address.service, address.node, known, timeout=seconds)
            except UNANSWERED:
                self._find_out(address, given_up=True)
                raise
            except errors.StanzaError as refusal:
                gone = refusals.meaning(refusal) == "gone"
                # Of another subscription it says nothing of the one that the cache knows.
                if gone or (refusals.says_none(refusal) and (node is None or node.subid in ("", known))):
                    await self._ended(account, address)
                    if gone or (node is not None and node.subscribed):
                        # It had ended without a word.
                        await self._distrust.of(address, "subscription")
                raise
            await self._ended(account, address)

    async def _ended(self, account: Account, address: Address) -> None:
        none = Subscription(address.node, address.account, "none")
        await self._came(address, none, partial(self._unsubscribed, account, address), given_up=True)

    async def _unsubscribed(self, account: Account, address: Address) -> None:
        if self._sync.subscriptions.has_begun(address):
            # A client has subscribed meanwhile, or the service says so.
            return
        # Presence brings the events of PEP nodes all the same (XEP-0163 4.3).
        pushed = expected(account, address)
        first = self._sync.running(address)
        written = self._store.write(_decline, address, pushed, self._clock() + POLL_MS, first)
        # A synchronisation under way took the subscription for granted: it begins again.
        self._sync.disturbed(address)
        await self._changes.after(written, self._nodes.told)

    async def _came(self, address: Address, found: Subscription, written: Work, *, given_up: bool) -> None:
        """Write down what came of it, for which nobody waits where the database fails."""
        await self._remember(address, found)
        self._known(address)
        try:
            await written()
        except errors.STORAGE:
            self._begin(address, written, given_up=given_up)

    def _known(self, address: Address) -> None:
        """A service has said what is so now: what it did before that is of no interest any more."""
        if (earlier := self._finding_out.get(address)) is not None:
            earlier.cancel()

    def _find_out(self, address: Address, *, given_up: bool) -> None:
        """Whether the service did what it was asked is not known: what it then has is shown as soon as it says so.

        given_up: it was asked to end the subscription. If it did, that is a client's, and stays so.
        """
        self._sync.subscriptions.unsure(address)
        self._begin(address, partial(self._ask, address, given_up), given_up=given_up)

    def _begin(self, address: Address, work: Work, *, given_up: bool) -> None:
        self._known(address)
        self._finding_out.begin(address, self._guarded(address, work, given_up), f"subscription to {address}")

    async def _guarded(self, address: Address, work: Work, given_up: bool) -> None:
        try:
            # No synchronisation subscribes again before it is known.
            with self._sync.declining(address) if given_up else nullcontext():
                # A node that is kept is looked at as a whole.
                await self._distrust.of(address, "subscription")
                while True:
                    try:
                        return await work()
                    except errors.STORAGE as error:
                        log.warning("What the subscription to %s is can't be written down yet: %s", address, error)
                    await asyncio.sleep(AGAIN)
        except errors.PubSubCachedError as error:
            log.warning("Whether %s is subscribed to could not be found out: %s", address, error)

    async def _ask(self, address: Address, given_up: bool) -> None:
        node = await self._nodes.find(address)
        if not given_up and node is not None and node.state in KEPT:
            # It is looked at by the synchronisation.
            return
        account, subscriptions = self._accounts.get(address.account), self._sync.subscriptions
        while True:
            session = await account.session_at_last()
            with subscriptions.acts.claiming(address):
                acts = subscriptions.acts.claims(address), subscriptions.acts.declines(address)
                try:
                    found = await subscriptions.find_out(session, address)
                except errors.Offline:
                    continue
                node = await self._nodes.find(address)
                if found is None or acts != (subscriptions.acts.claims(address), subscriptions.acts.declines(address)):
                    # Or a client has done something since, which says more.
                    return
                subscribed = node is not None and node.subscribed
                if found.state == "none" and given_up:
                    await self._remember(address, found)
                    await self._unsubscribed(account, address)
                elif found.state == "none" and subscribed:
                    await self._nodes.decide(address, lambda _: UNSUBSCRIBED)
                elif found.state != "none" and not subscribed:
                    await self._remember(address, found)
                    await self._made(session, address, found)
                return

    async def _learn(self, session: Session, address: Address) -> None:
        """Find out what can be learnt of a node that was not known."""
        try:
            async with asyncio.timeout(FOLLOW_TIMEOUT):
                await self._nodes.discover(session, address)
        except TimeoutError:
            log.info("%s was subscribed to; what it is can be told once its service has said so", address)
        except errors.PubSubCachedError as error:
            # Pending subscribers may not read yet.
            log.info("%s was subscribed to and can't be read: %s", address, error)


def _subscribed(tx: Transaction, address: Address, found: Subscription) -> tuple[NodeRow | None, NodeRow]:
    """A client's subscription, of a node that may have been removed from the cache meanwhile."""
    before = node_store.find(tx.connection, address)
    row = before or node_store.ensure(tx, address)
    columns: dict[str, Any] = {"subscribed": found.state == "subscribed", "subid": found.subid, "declined": False}
    return before, node_store.update(tx, row.id, **columns, own_subscription=False)


def _decline(
    tx: Transaction, address: Address, pushed: bool, next_sync: int, first: bool
) -> tuple[NodeRow, NodeRow] | None:
    """The row before and after; None where there is none. first: a synchronisation is about to make it."""
    node = node_store.ensure(tx, address) if first else node_store.find(tx.connection, address)
    if node is None:
        return None
    columns = UNSUBSCRIBED | {"declined": True, "guarantee": "weak" if node.guarantee else ""}
    if node.state == "live" and not pushed:
        columns |= {"state": "polled", "reason": "", "next_sync": next_sync}
    return node, node_store.update(tx, node.id, **columns)

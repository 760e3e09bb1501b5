"""Silence: a service may end a subscription without a word, and then a live node's publishes are missed.

So the evidence is looked at again: a service's list of subscriptions after an hour in which it said nothing of one of
its live nodes, and whenever a client asks for it; and a live node itself, by the ladder, after several hours
(``rounds.SILENCE_MS``). Time without a stream is no silence. Source: the coherence model, "Unit and states" (continuity
breaks on long silence) and "What the protocol forces".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from ...address import Address, drop_account
from ...recent import Recent
from ...store.accounts import nodes as node_store
from ...store.accounts import schedule
from ...store.store import Store
from ...xmpp.port import Subscription
from ..accounts.account import Account
from ..jitter import Jitter
from ..sync.listings import chosen
from ..sync.subscriptions import Subscriptions

log = logging.getLogger(__name__)

LISTED_MS = 3_600_000
# Nodes of which it is known when they were heard of, whoever they are; another is asked about sooner.
HEARD_AT_MOST = 16_384


class Silence:
    """When something was last heard of nodes, and whether their subscriptions are still there."""

    def __init__(self, store: Store, subscriptions: Subscriptions, jitter: Jitter, clock: Callable[[], int]) -> None:
        self._store = store
        self._subscriptions = subscriptions
        self._jitter = jitter
        self._clock = clock
        self._heard: Recent[Address, int] = Recent(HEARD_AT_MOST)
        self._resumed: dict[str, int] = {}
        # When each service is to be asked next, by account and service.
        self._due: dict[tuple[str, str], int] = {}
        # Says that a node can't be believed any more; set by whoever applies events.
        self.distrust: Callable[[Address, str], Awaitable[None]]

    def heard(self, address: Address) -> None:
        """An event of the node came: its subscription is there."""
        self._heard[address] = self._clock()

    def last_heard(self, address: Address) -> int:
        """When an event of the node came, or would have come had there been one before, ms; 0 for never."""
        now = self._clock()
        # Not what was heard before the clock was set back behind it.
        return max(
            at if at <= now else 0 for at in (self._heard.get(address, 0), self._resumed.get(address.account, 0))
        )

    def resumed(self, account: Account) -> None:
        """The stream goes on: whatever was said meanwhile is heard now."""
        self._resumed[account.jid] = self._clock()

    def new_session(self, account: Account) -> None:
        """Everything of the account is validated from the ground."""
        self._resumed.pop(account.jid, None)
        drop_account(account.jid, self._due, self._heard)

    async def look(self, accounts: dict[str, Account], now: int) -> int | None:
        """Ask the services that are due; when the next one is, ms, or None."""
        services = await self._store.read(schedule.followed_services)
        self._due = {key: self._when(key, now) for key in services if key[0] in accounts}
        due = [key for key, at in self._due.items() if at <= now]
        for key in due:
            self._due[key] = now + self._jitter.within(LISTED_MS)
        await asyncio.gather(*(self._ask(accounts[jid], service, now) for jid, service in due))
        return min(self._due.values(), default=None)

    def _when(self, key: tuple[str, str], now: int) -> int:
        at = self._due.get(key)
        # Another plan than one for the next hour was made by a clock that was set back since.
        return at if at is not None and at <= now + LISTED_MS else now + self._jitter.within(LISTED_MS)

    async def _ask(self, account: Account, service: str, now: int) -> None:
        live = await self.followed(account.jid, service)
        silent = [address for address in live if self.last_heard(address) <= now - LISTED_MS]
        if not silent:
            return
        listed = await self._subscriptions.look(account.session, account.jid, service)
        if listed is not None:
            await self.compare(silent, listed)

    async def followed(self, account: str, service: str) -> list[Address]:
        """An account's nodes of one service that are live because they are subscribed to."""
        return [entry.address for entry in await self._store.read_all(schedule.followed, account, service)]

    async def compare(self, followed: Iterable[Address], listed: Mapping[str, Sequence[Subscription]]) -> None:
        """Doubt what is still said to be subscribed to and is not.

        followed: what was so before the service was asked. listed: what it answered, by node.
        """
        for address in followed:
            node = await self._store.read(node_store.find, address)
            if node is None or not node.subscribed:
                # It was given up meanwhile.
                continue
            found = chosen(listed.get(address.node, ()), node.subid)
            # One without an id may be any; another's, by its id, is of a node of the same name elsewhere.
            others = found is not None and "" not in (node.subid, found.subid) and found.subid != node.subid
            if found is None or found.state != "subscribed" or others:
                log.warning("%s: the subscription is gone, and nothing was said of it", address)
                # A synchronisation under way may have seen it before it went.
                self._subscriptions.unsure(address)
                await self.distrust(address, "subscription")

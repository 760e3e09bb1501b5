"""Unsubscribing: what the daemon itself subscribed to is given up once nothing needs it.

A node that is kept no more has in its row that the subscription is the daemon's until the service has ended it, and one
whose row goes leaves it behind. So nobody waits for a service that is slow or away: it is asked again, in this session
or the next. Source: the coherence model, "Synchronisation".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import NamedTuple

from ... import errors
from ...address import Address, drop_account
from ...store.accounts import subscriptions
from ...store.rows import NodeRow
from ...store.store import Store
from ...tasks import TasksByKey, end
from ..jitter import RETRY_LONGEST, Jitter
from ..nodes.nodes import Nodes
from ..nodes.transitions import untold
from .sync import Sync
from .turnstile import Turnstile

log = logging.getLogger(__name__)

AT_ONCE_A_DOMAIN = 2


class _Again(NamedTuple):
    """failures: how often a service did not end a subscription. at: when it is asked again, ms."""

    failures: int
    at: int


class Unsubscribing:
    """Gives up the daemon's own subscriptions, and never another."""

    def __init__(self, store: Store, nodes: Nodes, sync: Sync, clock: Callable[[], int], jitter: Jitter) -> None:
        self._store = store
        self._nodes = nodes
        self._sync = sync
        self._clock = clock
        self._jitter = jitter
        self._turnstile = Turnstile(AT_ONCE_A_DOMAIN)
        self._running: TasksByKey[Address] = TasksByKey()
        self._again: dict[Address, _Again] = {}
        self._once_more: set[Address] = set()
        self._closed = False

    def begin(self, address: Address) -> None:
        """A node that has a subscription is kept no more; nobody waits until that is given up."""
        if address in self._running:
            # It may have been subscribed to anew since that began.
            self._once_more.add(address)
        elif address not in self._again:
            self._begin(address)

    def _begin(self, address: Address) -> None:
        if address not in self._running and not self._closed:
            task = self._running.begin(address, self._guarded(address), f"unsubscribe {address}")
            task.add_done_callback(lambda _: self._ended(address))

    def _ended(self, address: Address) -> None:
        if address in self._once_more:
            self._once_more.remove(address)
            self.begin(address)

    async def session_began(self, account: str) -> None:
        """Begin with all that earlier sessions left."""
        self.forget_account(account)
        for address in await self._store.read(subscriptions.in_vain, account):
            self.begin(address)

    def look(self, online: Collection[str], now: int) -> int | None:
        """Ask again where that is due; when it is next, ms, or None."""
        waiting = {address: again.at for address, again in self._again.items() if address.account in online}
        # What is planned later than anything can be was planned before the clock was set back.
        for address in [address for address, at in waiting.items() if not now < at <= now + RETRY_LONGEST]:
            self._begin(address)
            del waiting[address]
        return min(waiting.values(), default=None)

    async def forsake(self, row: NodeRow, claims: int) -> None:
        """Give up what there is of a node whose row is about to go; claims: see ``Acts.claims``.

        So no event makes the node known again. Where it can't be now the row leaves it, to ``begin`` with.
        """
        self._forget(row.address)
        # One that is only about to be made is given up once that has ended.
        if row.own_subscription and row.subscribed:
            again = self._clock() + self._jitter.retry(1)
            # Should the row stay after all; and a synchronisation under way took the subscription for granted.
            await self._nodes.decide(row.address, lambda now: untold(now, again))
            self._sync.disturbed(row.address)
            if self._is_failing(row.address):
                self._later(row.address)
            else:
                await self._ask(row.address, row.subid, claims)

    def _is_failing(self, address: Address) -> bool:
        """Whether the service did not end another subscription just now: of many only the first is waited for."""
        now, place = self._clock(), (address.account, address.service)
        return any(again.failures and now < again.at for other, again in self._again.items() if other[:2] == place)

    def _forget(self, address: Address) -> None:
        self._again.pop(address, None)

    def forget_account(self, account: str) -> None:
        """The account is no more, or everything of it is looked at anew."""
        drop_account(account, self._again)

    async def settled(self) -> None:
        """Wait until no service is asked."""
        await self._running.settled()

    async def close(self) -> None:
        """Stop; what is left is given up in the next session."""
        self._closed = True
        await end(self._running.values())

    async def _guarded(self, address: Address) -> None:
        try:
            await self._give_up(address)
        except errors.PubSubCachedError as error:
            log.warning("That the subscription to %s ended could not be written down: %s", address, error.message)
            self._later(address)
        except Exception:
            log.exception("the subscription to %s could not be given up", address)

    async def _give_up(self, address: Address) -> None:
        async with self._turnstile.pass_(address.domain, urgent=False):
            # It may end with the node kept again, and needs what it was subscribed by.
            await self._sync.ended(address)
            claims = self._sync.subscriptions.acts.claims(address)
            subid = await self._store.read(subscriptions.find, address)
            if subid is None:
                self._forget(address)
            elif await self._ask(address, subid, claims):
                await self._nodes.given_up(address)

    async def _ask(self, address: Address, subid: str, claims: int) -> bool:
        """Whether the service has ended it; else it is asked again."""
        try:
            ended = await self._sync.unsubscribe(address, subid, claims)
        except errors.NoSuchAccount:
            self._forget(address)
            return False
        except errors.PubSubCachedError as error:
            log.warning("The subscription to %s could not be given up yet: %s", address, error.message)
            self._later(address)
            return False
        if ended:
            self._forget(address)
        else:
            # As soon as there is a session, unless a client has it by then.
            self._again[address] = _Again(0, self._clock())
        return ended

    def _later(self, address: Address) -> None:
        failures = self._again.get(address, _Again(0, 0)).failures + 1
        self._again[address] = _Again(failures, self._clock() + self._jitter.retry(failures))

"""Synchronisation by mark and sweep: subscribe, fetch, and put the result in place of the old at once.

Readers see the old content until then; a failed synchronisation keeps it. Source: the coherence model,
"Synchronisation: mark and sweep".
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from .. import errors
from ..address import Address
from ..store import items as item_store
from ..store import nodes as node_store
from ..store import schedule
from ..store.rows import UNPROVED, Delta, NodeRow, StoredItem
from ..store.store import Store, Transaction
from ..xmpp.port import Session, Subscription
from . import fetch
from .accounts import Account, Accounts
from .changes import Changes
from .jobs import Job, Jobs
from .nodes import Nodes, metadata
from .parsing import Parsing
from .subscriptions import Subscriptions
from .turnstile import Turnstile

log = logging.getLogger(__name__)

AT_ONCE_A_DOMAIN = 2
# How long an answer of a node without events counts as the truth.
POLL_MS = 15 * 60_000
# A node purged again and again while it is fetched is left for later.
ROUNDS_AT_MOST = 5

# States of nodes that are kept, whether or not there is a copy yet.
KEPT = frozenset({"syncing", "live", "polled", "stale", "unreachable"})

Progress = Callable[[int, int], None]


class _Running:
    """A synchronisation under way, joined by later callers."""

    def __init__(self) -> None:
        self.task: asyncio.Task[NodeRow] | None = None
        self.waiters = 0
        self.urgent = False
        self.pin = False
        self.touched: set[str] = set()
        self.disturbed = False
        self.subscribed = False
        self.progress: list[Progress] = []

    def say(self, done: int, total: int) -> None:
        for progress in self.progress:
            progress(done, total)


class Sync:
    """Brings nodes to what their service holds, one synchronisation a node at a time."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        nodes: Nodes,
        parsing: Parsing,
        changes: Changes,
        jobs: Jobs,
        *,
        clock: Callable[[], int],
        items_per_node: int,
        audit_ms: int,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._nodes = nodes
        self._parsing = parsing
        self._changes = changes
        self._jobs = jobs
        self._clock = clock
        self._items_per_node = items_per_node
        self._audit_ms = audit_ms
        self._subscriptions = Subscriptions()
        self._turnstile = Turnstile(AT_ONCE_A_DOMAIN)
        self._running: dict[Address, _Running] = {}
        # Waits for the events that have come so far; set by whoever applies them.
        self.caught_up: Callable[[], Awaitable[None]]

    async def start(self, address: Address, full: bool, sender: str, token: str) -> Job:
        """A job that synchronises and pins the node; ``full`` fetches everything whatever is known.

        Raises NotSupported for an excluded node, Conflict, LimitExceeded.
        """
        node = await self._nodes.find(address)
        named = self._nodes.match_name(address)
        if named.excluded or (node is not None and node.state == "excluded"):
            raise errors.NotSupported(f"Nothing of {address} is ever stored; read it with GetItems.")
        return self.job(address, sender, token, pin=True)

    def job(self, address: Address, sender: str = "", token: str = "", *, pin: bool = False) -> Job:
        """A job that synchronises the node, or joins the synchronisation under way."""

        async def work(job: Job) -> str:
            node = await self.run(address, pin=pin, progress=job.progress)
            return f"{node.item_count} items of {address} are {node.state}."

        return self._jobs.start("sync", work, sender, token, private=self._nodes.privacy.private(address))

    def in_background(self, address: Address) -> None:
        """Synchronise without anybody waiting; a failure is written down in the node."""
        if address not in self._running:
            running = self._begin(address, urgent=False, pin=False)
            running.waiters += 1
            assert running.task is not None
            running.task.add_done_callback(_log_failure)

    async def run(self, address: Address, *, pin: bool = False, progress: Progress | None = None) -> NodeRow:
        """Synchronise now and wait; raises what a read would raise."""
        running = self._running.get(address)
        if running is None:
            running = self._begin(address, urgent=True, pin=pin)
        elif pin:
            running.pin = True
        assert running.task is not None
        if progress is not None:
            running.progress.append(progress)
        running.waiters += 1
        try:
            return await asyncio.shield(running.task)
        except asyncio.CancelledError:
            mine = asyncio.current_task()
            if running.task.cancelled() and mine is not None and not mine.cancelling():
                # Joined in the moment in which whoever waited before gave up.
                raise errors.Cancelled(f"The synchronisation of {address} was cancelled.") from None
            if running.waiters == 1:
                running.task.cancel()
            raise
        finally:
            running.waiters -= 1
            if progress is not None:
                running.progress.remove(progress)

    def running(self, address: Address) -> bool:
        """Whether the node is being synchronised."""
        return address in self._running

    def touched(self, address: Address, ids: list[str]) -> None:
        """An event changed these items; a synchronisation under way leaves them as they are."""
        if (running := self._running.get(address)) is not None:
            running.touched.update(ids)

    def disturbed(self, address: Address) -> None:
        """The whole node changed; what a synchronisation under way has fetched counts for nothing."""
        if (running := self._running.get(address)) is not None:
            running.disturbed = True

    async def load(self) -> None:
        """Know of which services events were asked for before this start."""
        for entry in await self._store.read(schedule.subscribed):
            self._subscriptions.solicit(entry.address.account, entry.address.service)

    def solicited(self, account: str, service: str) -> bool:
        """Whether the account asked for events of this service."""
        return self._subscriptions.solicited(account, service)

    def all_disturbed(self) -> None:
        """Everything is forgotten; what is being fetched counts for nothing."""
        for running in self._running.values():
            running.disturbed = True

    def solicit(self, address: Address) -> None:
        """Events of the node's service are wanted from now on."""
        self._subscriptions.solicit(address.account, address.service)

    def subscription(self, address: Address, found: Subscription) -> None:
        """A client changed the account's subscription to a node."""
        self._subscriptions.remember(address, found)

    def declining(self, address: Address) -> AbstractContextManager[None]:
        """A client unsubscribed the account, which is being written down."""
        return self._subscriptions.declining(address)

    def new_session(self, account: str) -> None:
        """What the service said of subscriptions in an earlier session is forgotten."""
        self._subscriptions.forget(account)

    def can_unsubscribe(self, node: NodeRow) -> bool:
        """Whether there is no subscription to give up, or a session to do it in."""
        return not node.own_subscription or self._accounts.get(node.address.account).online

    async def unsubscribe(self, node: NodeRow) -> None:
        """Give up the subscription that the daemon itself made; never another."""
        account = self._accounts.get(node.address.account)
        if node.own_subscription and account.online:
            address = node.address
            self._subscriptions.remember(address, Subscription(address.node, address.account, "none"))
            await account.session.unsubscribe(address.service, address.node, node.subid)

    async def settled(self) -> None:
        """Wait until no synchronisation runs."""
        while tasks := [running.task for running in self._running.values() if running.task is not None]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stop what runs; the old content stays."""
        tasks = [running.task for running in self._running.values() if running.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, address: Address, *, urgent: bool, pin: bool) -> _Running:
        running = _Running()
        running.urgent, running.pin = urgent, pin
        self._running[address] = running
        running.task = asyncio.create_task(self._guarded(address, running), name=f"sync {address}")
        return running

    async def _guarded(self, address: Address, running: _Running) -> NodeRow:
        try:
            async with self._turnstile.pass_(address.service.rpartition("@")[2], urgent=running.urgent):
                return await self._synchronise(address, running)
        except errors.PubSubCachedError as error:
            raise await self._nodes.failed(address, error) from error
        finally:
            del self._running[address]

    async def _synchronise(self, address: Address, running: _Running) -> NodeRow:
        account = self._accounts.get(address.account)
        session = await account.session_when_ready()
        for number in range(ROUNDS_AT_MOST):
            running.touched.clear()
            running.disturbed = False
            node = await self._nodes.find(address)
            if node is None and number:
                raise _forgotten(address)
            fresh = node is None or node.state in ("unknown", "discovered", "gone", "denied")
            if node is None or fresh or node.reason in ("configuration", UNPROVED):
                node, matched = await self._nodes.discover(session, address, asked=running.urgent)
                if matched.excluded and running.pin:
                    raise errors.NotSupported(f"Nothing of {address} is ever stored; read it with GetItems.")
                if matched.excluded or not (running.pin or node.state in KEPT):
                    return node
            try:
                done = await self._round(account, session, node, running)
            except errors.NoSuchNode:
                # The row went, not the node: a service says so in a stanza.
                raise _forgotten(address) from None
            if done is not None:
                return done
        raise errors.Timeout(f"{address} changed as a whole {ROUNDS_AT_MOST} times while it was fetched.")

    async def _round(self, account: Account, session: Session, node: NodeRow, running: _Running) -> NodeRow | None:
        """One pass; None when the node changed as a whole meanwhile."""
        epoch = account.epoch
        pinned = node.pinned or running.pin
        if node.completeness == "none":
            node = await self._nodes.update(node, state="syncing", pinned=pinned)
        elif pinned != node.pinned:
            node = await self._nodes.update(node, pinned=pinned)
        interests = account.interests
        evidence = await self._subscriptions.subscribe(session, node, interests, anew=not running.subscribed)
        running.subscribed = True
        # Written at once: a subscription that this daemon made must not look like an older one after a crash.
        made = {"subscribed": evidence.subscribed, "own_subscription": evidence.own, "subid": evidence.subid}
        try:
            node = await self._nodes.update(node, **made, guarantee=evidence.guarantee)
        except errors.NoSuchNode:
            # Whoever forgot the node could not know of what was made meanwhile.
            await self.unsubscribe(msgspec.structs.replace(node, **made))
            raise
        info = await self._nodes.describe(session, node.address)
        # What a fetch brings may be as old as its beginning, whoever joins it later.
        asked_at = self._clock()
        fetched = await fetch.fetch(session, node.address, self._keep(node), running.say)
        stored = await self._parsing.all(node, fetched.items)
        # Events that came before the last reply are older than it, and must not be applied on top of it.
        await self.caught_up()
        if running.disturbed:
            return None
        columns = metadata(info) | self._outcome(evidence.live and account.epoch == epoch, fetched.full, asked_at)
        columns["pinned"] = node.pinned or running.pin
        if fetched.items and fetched.items[-1].namespace:
            columns["namespace"] = fetched.items[-1].namespace
        finish = functools.partial(_finish, columns=columns, full=fetched.full, keep=self._keep(node))
        written = self._store.write(finish, node.id, stored, frozenset(running.touched))
        written.add_done_callback(functools.partial(self._finished, node))
        # What is committed is told, even if nobody waits for it any more.
        finished = await asyncio.shield(written)
        if finished is None or running.disturbed:
            return None
        log.info("%s: %d items by %s, now %s", node.address, len(stored), fetched.strategy, finished[1].state)
        return finished[1]

    def _finished(self, node: NodeRow, written: asyncio.Future[tuple[Delta, NodeRow] | None]) -> None:
        """Tell what a round brought, once it is there for everyone to read."""
        if written.cancelled() or written.exception() is not None or (finished := written.result()) is None:
            return
        delta, row = finished
        self._nodes.readable(node.address)
        self._nodes.suspected.discard(node.address)
        self._changes.items(node.address, delta)
        self._nodes.tell(node, row)

    def _keep(self, node: NodeRow) -> int | None:
        """How many of the newest items are kept; None for all."""
        kind = self._parsing.kind(node.analyser)
        return {"map": None, "last": 1}.get(kind, self._items_per_node)

    def _outcome(self, live: bool, full: bool, asked_at: int) -> dict[str, Any]:
        now = self._clock()
        return {
            "state": "live" if live else "polled",
            "reason": "",
            "completeness": "full" if full else "window",
            "validated_at": asked_at,
            "last_sync": now,
            "proof_at": now,
            "next_sync": now + (self._audit_ms if live else POLL_MS),
            "failures": 0,
            "gone_at": None,
        }


def _finish(
    tx: Transaction,
    node_id: int,
    stored: list[StoredItem],
    touched: frozenset[str],
    *,
    columns: dict[str, Any],
    full: bool,
    keep: int | None,
) -> tuple[Delta, NodeRow] | None:
    """None for a node that was denied or went while it was fetched: a refusal outranks what came before it."""
    if node_store.must(node_store.by_id(tx.connection, node_id)).state not in KEPT:
        return None
    delta = item_store.replace(tx, node_id, stored, kept=touched, full=full)
    row = node_store.update(tx, node_id, **columns)
    if keep is not None and row.item_count > keep:
        # Events that came while the newest were fetched.
        item_store.evict(tx, node_id, keep)
        row = node_store.update(tx, node_id)
    return delta, row


def _forgotten(address: Address) -> errors.PubSubCachedError:
    return errors.Cancelled(f"{address} was removed from the cache while it was fetched.")


def _log_failure(task: asyncio.Task[NodeRow]) -> None:
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, errors.PubSubCachedError):
        log.info("%s: %s", task.get_name(), error.message)
    else:
        log.error("%s failed", task.get_name(), exc_info=error)

"""Events: what services push, applied in the order of arrival.

One queue for all accounts (``arrivals``): an event is let in by ``xmpp``, applied by one task here, and committed by
the store in that order. Publishes and retractions are handed to the store without waiting, so that a burst is
one commit; everything else waits for what was handed over before it. Source: the coherence model, "What the
protocol forces".
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Coroutine
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from ... import errors
from ...address import Address
from ...pace import Pace
from ...store.accounts import nodes as node_store
from ...store.items import changes as change_store
from ...store.items import items as item_store
from ...store.items.outline import youngest_beside
from ...store.rows import KEPT, Delta, NodeRow, StoredItem
from ...store.store import Store, Transaction
from ...tasks import Tasks, end
from ...xmpp.port import (
    BounceEvent,
    ConfigurationEvent,
    DeleteEvent,
    Event,
    ItemsEvent,
    PurgeEvent,
    RosterEvent,
    Subscription,
    SubscriptionEvent,
)
from ..accounts.account import Account
from ..changes import Changes
from ..nodes.item_expire import hasten
from ..nodes.nodes import Nodes
from ..parsing.parsing import By, Parsing
from ..parsing.recognition import Recognition
from ..revalidation.distrust import Distrust
from ..sync.overwrites import Question
from ..sync.sync import Sync
from .arrivals import Arrival, Arrivals
from .max_items import MaxItems, exceeds
from .watches import Watch, Watches

log = logging.getLogger(__name__)


class _Applied(NamedTuple):
    """What an event changed.

    unknown: it retracted an item that was never known. overfull: there are more items than the service keeps.
    youngest: the item that was made last, where one that was not the last was overwritten, or "". due: when the node
    has to be compared, ms, where that is before it was planned. node: its row when that was done.
    """

    delta: Delta
    unknown: bool = False
    evicted: bool = False
    overfull: bool = False
    youngest: str = ""
    due: int | None = None
    node: NodeRow | None = None


class Events:
    """Applies events to the cache."""

    def __init__(
        self,
        store: Store,
        nodes: Nodes,
        recognition: Recognition,
        parsing: Parsing,
        sync: Sync,
        changes: Changes,
        distrust: Distrust,
    ) -> None:
        self._store = store
        self._nodes = nodes
        self._recognition = recognition
        self._parsing = parsing
        self._sync = sync
        self._changes = changes
        self._distrust = distrust
        self._max_items = MaxItems(store, nodes, changes)
        self._arrivals = Arrivals()
        self._written: asyncio.Future[_Applied] | None = None
        self._applying = Tasks()
        self._working = Tasks()
        self._watches = Watches()

    def start(self) -> None:
        """Begin to apply what comes."""
        self._applying.begin(self._run(), "events")

    async def close(self) -> None:
        """Stop; what was not applied is found by the next validation."""
        await end(self._working | self._applying)

    async def caught_up(self) -> None:
        """Wait until everything that has come so far is handed to the store."""
        await self._arrivals.reached()

    async def settled(self) -> None:
        """Wait until everything that has come is applied."""
        await self._arrivals.exhausted()
        await self._barrier()
        await self._working.settled()

    def put(self, account: Account, event: Event) -> None:
        """An event that was let in."""
        address = Address(account.jid, event.service, event.node)
        self._watches.see(address, event)
        self._arrivals.put(account, event, self._nodes.unapplied.add(address))

    def watch(self, address: Address) -> AbstractContextManager[Watch]:
        """See what arrives of a node meanwhile."""
        return self._watches.watch(address)

    async def applied(self) -> None:
        """Wait until everything that has come so far is committed, and told."""
        await self.caught_up()
        await self._barrier()

    async def _run(self) -> None:
        pace = Pace()
        async for arrival in self._arrivals:
            await self._guarded(arrival)
            # Nothing above has to wait for anything while there are events.
            await pace.kept()

    async def _guarded(self, arrival: Arrival) -> None:
        address = Address(arrival.account.jid, arrival.event.service, arrival.event.node)
        try:
            await self._apply(address, arrival)
        except errors.NoSuchNode:
            log.debug("%s was removed from the cache before its event was applied", address)
        except Exception as error:
            unforeseen = not isinstance(error, errors.STORAGE)
            log.error("an event of %s could not be applied: %s", address, error, exc_info=unforeseen)
            self._later(self._distrust.of(address, "event"))
        if self._written is None or self._written.done():
            self._nodes.unapplied.applied(address, arrival.came)
        else:
            # It may have written that, and nothing after it.
            self._written.add_done_callback(lambda _: self._nodes.unapplied.applied(address, arrival.came))

    async def _barrier(self) -> None:
        """Wait until what was handed to the store is committed, and told."""
        if self._written is not None:
            # Written in order; for what comes meanwhile nobody waits, or a flood would never let anybody pass. What has
            # just been committed may not be told yet: who waits for that too comes after those who tell it.
            await asyncio.wait([self._written])

    async def _apply(self, address: Address, arrival: Arrival) -> None:
        account, event = arrival.account, arrival.event
        if isinstance(event, BounceEvent):
            await self._distrust.bounced(account.jid, event)
            return
        if not isinstance(event, ItemsEvent):
            await self._barrier()
        if isinstance(event, RosterEvent):
            await self._distrust.roster_changed(account.jid, event.service)
            return
        self._nodes.negatives.clear(address)
        node = await self._nodes.find(address)
        match event:
            case DeleteEvent(delayed=False):
                self._sync.disturbed(address)
                self._sync.subscriptions.remember(address, Subscription(address.node, address.account, "none"))
                await self._nodes.gone(address, event.redirect)
            case SubscriptionEvent() if node is None or node.state not in KEPT:
                await self._subscription(address, node, event)
            case _ if node is None or node.state in ("unknown", "gone"):
                # It has spoken: look at it, and keep it if it is wanted.
                self._sync.in_background(address)
            case _ if node.state == "denied":
                # A denied read outranks every event: only a successful read shows the node again, and may be tried.
                log.debug("%s is denied; its event is not applied", address)
            case _ if node.state in KEPT:
                await self._follow(arrival, node)
                if node.state == "unreachable":
                    # It speaks, so that it can be asked what it said meanwhile.
                    self._sync.in_background(address)
            case _ if node.state == "discovered" and not node.analyser:
                # A node that was empty, or that nobody claimed, is matched again at its first item.
                self._sync.in_background(address)
            case _:
                log.debug("%s is not kept; its event is not applied", address)

    async def _subscription(self, address: Address, node: NodeRow | None, event: SubscriptionEvent) -> None:
        """The subscription to a node that is not kept has changed, and to one that nobody knows yet."""
        self._sync.subscriptions.remember(address, Subscription(address.node, address.account, event.state))
        if node is not None:
            await self._nodes.update(node, subscribed=event.state == "subscribed")
        if event.state == "subscribed":
            # An owner let the account in (XEP-0060 8.6): worth a try, even if it was denied before, or is yet.
            self._sync.begin_anew(address)

    async def _follow(self, arrival: Arrival, node: NodeRow) -> None:
        address = node.address
        match arrival.event:
            case ItemsEvent(delayed=True) if self._sync.subscribing(address):
                # ejabberd sends the last item to each new subscriber, before it says that there is a subscription.
                log.debug("%s is about to be fetched; its delayed event is not looked into", address)
            case ItemsEvent(delayed=True) | PurgeEvent(delayed=True):
                # A replayed notification may be older than what is stored.
                await self._distrust.of(address, "delayed-event")
            case DeleteEvent():
                # So may this be, a delayed one; the node may have been made again since.
                self._sync.subscriptions.doubt(address)
                await self._distrust.of(address, "delayed-event")
            case ItemsEvent() as event:
                await self._items(arrival, node, event)
            case PurgeEvent():
                self._sync.disturbed(address)
                await self._changes.items_after(address, self._store.write(item_store.erase, node.id))
                await self._distrust.of(address, "purged")
            case ConfigurationEvent():
                await self._distrust.of_access(address, "configuration")
            case SubscriptionEvent(state="subscribed"):
                self._sync.subscriptions.remember(address, Subscription(address.node, address.account, "subscribed"))
                if not node.subscribed:
                    await self._distrust.of(address, "subscription")
                else:
                    self._sync.subscriptions.relied_on(address)
            case SubscriptionEvent():
                self._sync.subscriptions.forget(address.account)
                await self._nodes.update(node, subscribed=False)
                await self._distrust.of(address, "subscription")

    async def _items(self, arrival: Arrival, node: NodeRow, event: ItemsEvent) -> None:
        """Publishes and retractions of a node that is kept, as one commit."""
        address = node.address
        node = await self._recognition.recognise(node, next((each.namespace for each in reversed(event.items)), ""))
        if node.state not in KEPT:
            log.debug("%s is not kept, as its first item shows; its event is not applied", address)
            return
        items = self._parsing.named(node.analyser, event.items)
        if len(items) < len(event.items):
            self._changes.node(address, "updated")
        if any(not item.payload for item in items):
            # Content unknown: the ids are told, the payloads stay at the service until they are fetched.
            await self._distrust.of(address, "no-payload")
            items = [item for item in items if item.payload]
        by = self._parsing.by(node)
        stored = await self._parsing.all(node, items)
        retracted = [id_ for id_ in event.retracted if id_]
        touched = [item.id for item in items] + retracted
        missed = node.state != "live" or arrival.early
        self._sync.touched(address, touched, session=arrival.session, missed=missed)
        keep = self._parsing.keep(node.analyser)
        alone = stored[0].id if len(stored) == 1 and not retracted and node.state == "live" else ""
        question = self._sync.overwrites.question(address, alone) if alone else None
        in_place = self._sync.facts.verdict(address) is False
        write = functools.partial(_write, asked=question is not None, behind=by.missing, in_place=in_place)
        self._written = self._store.write(write, node.id, stored, retracted, keep)
        self._written.add_done_callback(functools.partial(self._committed, arrival.account, address, question, by))

    def _committed(
        self, account: Account, address: Address, question: Question | None, by: By, written: asyncio.Future[_Applied]
    ) -> None:
        """Tell what an event changed, once it is there for everyone to read."""
        if question is not None:
            self._ask(question, written)
        if written.cancelled():
            return
        if (error := written.exception()) is not None:
            log.error("an event of %s could not be stored: %s", address, error)
            self._later(self._distrust.of(address, "event"))
            return
        applied = written.result()
        self._changes.items(address, applied.delta)
        if applied.delta.changed and applied.node is not None and self._outdated(applied.node, by):
            self._nodes.parse_again(address)
        if applied.evicted:
            self._changes.node(address, "updated")
        if applied.unknown:
            # Also where it is being fetched, for what has come may be older.
            self._later(self._distrust.of(address, "disagreement"))
        if applied.overfull:
            self._later(self._exceeded(account, address))
        if applied.due is not None:
            self._nodes.due(applied.due)

    def _outdated(self, node: NodeRow, by: By) -> bool:
        """Whether another analyser has the node than the one that parsed, or says something else of it."""
        now = self._parsing.by(node)
        # One that left changes nothing of what it made: it may come back.
        return now.definition is not None and now != by

    async def _exceeded(self, account: Account, address: Address) -> None:
        try:
            told = await self._max_items.exceeded(account, address)
        except errors.PubSubCachedError as error:
            log.warning("what the service of %s evicted could not be written down: %s", address, error)
            told = False
        if not told or self._sync.running(address):
            # What has been fetched may be older.
            await self._distrust.of(address, "max-items")

    def _ask(self, question: Question, written: asyncio.Future[_Applied]) -> None:
        """Find out where the service put an item that was overwritten."""
        applied = None if written.cancelled() or written.exception() is not None else written.result()
        question.sure = applied is not None and applied.node is not None and applied.node.completeness == "full"
        self._sync.ask(question, applied.youngest if applied is not None and applied.delta.changed else "")

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        self._working.begin(work).add_done_callback(_log_failure)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, errors.NoSuchNode):
        # A row that went has nothing that could be doubted.
        log.error("what an event made doubtful could not be written down: %s", error)


def _write(
    tx: Transaction,
    node_id: int,
    stored: list[StoredItem],
    retracted: list[str],
    keep: int | None,
    *,
    asked: bool,
    behind: bool,
    in_place: bool,
) -> _Applied:
    """Apply one event, if the node is still kept in this moment.

    behind: its analyser has to parse once it is back. in_place: the service leaves there what is published again.
    """
    node = node_store.by_id(tx.connection, node_id)
    if node is None or node.state not in KEPT:
        return _Applied(Delta())
    delta, evicted, after, again = item_store.follow(tx, node, stored, retracted, keep, in_place=in_place)
    youngest = youngest_beside(tx.connection, node_id, stored[0].id) if asked and again else ""
    if behind and stored and node.analyser_version:
        node_store.update(tx, node_id, analyser_version=0)
    removed = frozenset(delta.removed)
    unknown = [id_ for id_ in retracted if id_ not in removed]
    # Without a copy nothing is known.
    strange = bool(unknown) and node.completeness != "none" and change_store.any_unknown(tx.connection, node, unknown)
    due = hasten(tx, node).next_sync if node.item_expire is not None and delta.changed else node.next_sync
    sooner = due if due != node.next_sync else None
    return _Applied(delta, strange, evicted > 0, exceeds(node, after.item_count), youngest, sooner, node)

"""Writing to services: the cache follows an own write at once, and exactly once.

An event of an own write that came before the reply is what counts, for it is the service's own word. Where
none came, the reply is taken for the event that is missing, with the item as the service has it now; an event
that comes later then finds nothing to change. Source: dbus-api.md "PubSub", server-facts.md "Events".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager

from ... import errors
from ...address import Address
from ...store.items.pages import read_items
from ...store.rows import KEPT, ItemsQuery
from ...store.store import Store
from ...xmpp import payload as xml
from ...xmpp.port import ConfigurationEvent, DeleteEvent, Fields, FormField, Item, ItemsEvent, PurgeEvent, Session
from ..accounts.account import Account
from ..accounts.accounts import Accounts
from ..events.events import Events
from ..events.watches import Watch
from ..nodes import metadata, refusals
from ..nodes.nodes import Nodes
from ..options import TIMEOUT
from ..revalidation.distrust import Distrust
from ..sync.sync import Sync
from .hearing import Hearing

log = logging.getLogger(__name__)

# For what is asked after a write is done, which a caller waits for: with TIMEOUT it is below the bus's 25 s, too.
FOLLOW_TIMEOUT = 4.0
# What leaves open whether the service did what it was asked.
UNANSWERED = (errors.Timeout, errors.Offline, asyncio.CancelledError)


class Writing:
    """Changes items and nodes at services. Everything raises Offline, Timeout and StanzaError."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        nodes: Nodes,
        events: Events,
        distrust: Distrust,
        sync: Sync,
        hearing: Hearing,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._nodes = nodes
        self._events = events
        self._distrust = distrust
        self._sync = sync
        self._hearing = hearing

    def watch(self, address: Address) -> AbstractContextManager[Watch]:
        """See what events say of a node meanwhile."""
        return self._events.watch(address)

    async def publish(self, address: Address, item_id: str, payload: str, options: Fields) -> str:
        """Publish an item ("" lets the service choose its id); the id, "" where the service does not tell."""
        account, session, seconds = await self._session(address)
        with self._events.watch(address) as watch:
            async with self._answered(address):
                id_ = await session.publish(
                    address.service, address.node, item_id, payload, options=options, timeout=seconds
                )
            async with self._distrust.if_unwritten(address, "write"):
                if await self._followed(address):
                    item = Item(id_, payload, xml.namespace_of(payload))
                    await self._published(account, session, address, item, watch)
        return id_

    async def retract(self, address: Address, ids: Sequence[str], *, notify: bool = True) -> None:
        """Retract items one by one; ends with the first that the service refuses, or after TIMEOUT seconds."""
        account, session, seconds = await self._session(address)
        asked, done = dict.fromkeys(ids), list[str]()
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        with self._events.watch(address) as watch:
            try:
                async with self._answered(address):
                    for id_ in asked:
                        left = until - clock()
                        if done and left <= 0:
                            break
                        timeout = max(round(left, 1), FOLLOW_TIMEOUT)
                        await session.retract(address.service, address.node, id_, notify=notify, timeout=timeout)
                        done.append(id_)
            finally:
                async with self._distrust.if_unwritten(address, "write"):
                    if done and await self._followed(address):
                        await self._retracted(account, address, done, watch)
        if len(done) < len(asked):
            raise errors.Timeout(
                f"{address.service} retracted {len(done)} of {len(asked)} items of '{address.node}' within {seconds:g} "
                "seconds; retract the rest again, or with the option 'queue'."
            )

    async def create(self, address: Address, config: Fields) -> str:
        """Create a node, "" for one that the service names; its name."""
        account, session, seconds = await self._session(address)
        try:
            async with self._answered(address):
                name = await session.create_node(address.service, address.node, config=config, timeout=seconds)
        except errors.StanzaError as refusal:
            if refusal.condition == "conflict":
                # There is one of that name, of which the service may have said before that there is none.
                async with self._distrust.if_unwritten(address, "write"):
                    await self._followed(address)
            raise
        created = address._replace(node=name)
        async with self._distrust.if_unwritten(created, "write"):
            if await self._followed(created):
                # The one of that name before it is gone, though nobody said so.
                self._events.put(account, DeleteEvent(service=created.service, node=name))
                await self._events.applied()
                self._sync.in_background(created)
        return name

    async def configuration(self, address: Address) -> tuple[FormField, ...]:
        """A node's configuration, as its owner sees it."""
        account, session, seconds = await self._session(address)
        async with self._distrust.if_refused(address, "gone"):
            fields = await session.node_configuration(address.service, address.node, timeout=seconds)
        self._hearing.exists(address)
        async with self._distrust.if_unwritten(address, "configuration"):
            await self._hearing.described(account, address, metadata.configured(fields))
        return fields

    async def configure(self, address: Address, config: Fields) -> None:
        """Change fields of a node's configuration; the node is looked at anew."""
        account, session, seconds = await self._session(address)
        with self._events.watch(address) as watch:
            async with self._answered(address):
                await session.configure_node(address.service, address.node, config, timeout=seconds)
            async with self._distrust.if_unwritten(address, "configuration"):
                node = await self._nodes.find(address)
                if node is not None and node.state == "discovered":
                    # Another analyser may want it now.
                    self._sync.in_background(address)
                if await self._followed(address) and ConfigurationEvent not in watch.kinds:
                    self._events.put(account, ConfigurationEvent(service=address.service, node=address.node))
        await self._events.applied()

    async def delete(self, address: Address) -> None:
        """Delete a node; it is gone."""
        account, session, seconds = await self._session(address)
        with self._events.watch(address) as watch:
            async with self._answered(address):
                await session.delete_node(address.service, address.node, timeout=seconds)
            self._nodes.negatives.clear(address)
            if DeleteEvent not in watch.kinds:
                self._events.put(account, DeleteEvent(service=address.service, node=address.node))
        await self._events.applied()

    async def purge(self, address: Address) -> None:
        """Remove all items of a node."""
        account, session, seconds = await self._session(address)
        with self._events.watch(address) as watch:
            async with self._answered(address):
                await session.purge_node(address.service, address.node, timeout=seconds)
            async with self._distrust.if_unwritten(address, "write"):
                if await self._followed(address) and PurgeEvent not in watch.kinds:
                    self._events.put(account, PurgeEvent(service=address.service, node=address.node))
        await self._events.applied()

    @asynccontextmanager
    async def _answered(self, address: Address) -> AsyncIterator[None]:
        """What is asked of a service; of a node of which it is then not known whether it did so nothing is sure.

        Nor that there is none: it may have been made.
        """
        try:
            # The node or an item of it, which the cache may still hold.
            async with self._distrust.if_refused(address, "gone"):
                yield
        except (*UNANSWERED, errors.StanzaError) as error:
            if not isinstance(error, errors.StanzaError) or refusals.meaning(error) == "unreachable":
                async with self._distrust.if_unwritten(address, "write"):
                    await self._followed(address)
                await self._distrust.of(address, "write")
            raise

    async def _session(self, address: Address) -> tuple[Account, Session, float]:
        account = self._accounts.get(address.account)
        return account, *await account.session_within(TIMEOUT)

    async def _followed(self, address: Address) -> bool:
        """Whether the node is kept; one that a write may have brought about is looked at anew."""
        self._nodes.negatives.clear(address)
        node = await self._nodes.find(address)
        if node is None:
            return False
        if node.state in ("unknown", "gone") or (node.state == "discovered" and not node.analyser):
            self._sync.in_background(address)
        return node.state in KEPT

    async def _published(self, account: Account, session: Session, address: Address, item: Item, watch: Watch) -> None:
        """Have the item in the cache, by its event or in place of it."""
        if not item.id:
            await self._distrust.of(address, "write")
            return
        if item.id not in watch.last:
            held = await self._held(session, address, item)
            # What events said meanwhile is newer than the reply.
            if held is not None and not watch.tells_of(item.id):
                self._events.put(account, ItemsEvent(service=address.service, node=address.node, items=(held,)))
            elif item.id not in watch.last:
                await self._distrust.of(address, "write")
        elif not watch.last[item.id]:
            # Published here and retracted by somebody, or the other way round.
            await self._distrust.of(address, "write")
        await self._events.applied()

    async def _held(self, session: Session, address: Address, item: Item) -> Item | None:
        """The item as the service holds it now: with its publisher, and in its writing; None when it does not."""
        try:
            page = await session.get_items(address.service, address.node, ids=[item.id], timeout=FOLLOW_TIMEOUT)
        except errors.PubSubCachedError as error:
            log.info("%s: the item '%s' could not be read after it was published: %s", address, item.id, error)
            if refusals.meaning(error) == "gone":
                return None
            await self._distrust.of(address, "write")
            return item
        return next((found for found in page.items if found.id == item.id and found.payload), None)

    async def _retracted(self, account: Account, address: Address, ids: list[str], watch: Watch) -> None:
        # What was published just before it was retracted is to be found.
        await self._events.applied()
        if any(watch.last.get(id_) for id_ in ids):
            # Published again meanwhile, before or after it was retracted.
            await self._distrust.of(address, "write")
        untold = tuple(id_ for id_ in ids if id_ not in watch.last)
        # An id that the cache does not hold would look like a disagreement.
        query = ItemsQuery(ids=untold, limit=len(untold) + 1, fields=frozenset({"id"}))
        _, _, found = await self._store.read(read_items, address, query)
        stored = (item["id"] for item in found.items) if found is not None else ()
        held = tuple(id_ for id_ in stored if id_ not in watch.last)
        if held:
            self._events.put(account, ItemsEvent(service=address.service, node=address.node, retracted=held))
        await self._events.applied()

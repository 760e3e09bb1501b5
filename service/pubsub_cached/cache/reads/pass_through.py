"""Reads that the service answers, and what they show of the node: what it is, that it may be read and is wanted."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from ... import errors
from ...address import Address
from ...recent import Recent
from ...records import InfoRecord, ItemRecord
from ...store.items import flags
from ...store.items.outline import ids_of
from ...store.rows import KEPT, NodeRow, StoredItem
from ...store.store import Store
from ...xmpp.port import Item, Session
from ..accounts.account import Account
from ..nodes import refusals
from ..nodes.nodes import Nodes
from ..options import LIMIT_AT_MOST, ReadOptions
from ..parsing.parsing import Made, Parsing
from ..parsing.recognition import Recognition
from ..place import Place
from ..policy import expired, servable
from ..sync.batches import by_ids
from ..sync.sync import Sync
from . import service_reads
from .contradiction import contradicts, is_believed
from .in_use import in_use
from .pages import Answer
from .service_reads import ServicePage

# A synchronisation that a read begins, of a copy that could not be validated, is no sooner than so long after the last
# that one began; ms. And of how many nodes that is known.
AGAIN = 10_000
REMEMBERED = 4096


class PassThrough:
    """Asks the service for items, and has nodes kept that are read for the first time."""

    def __init__(
        self,
        store: Store,
        nodes: Nodes,
        recognition: Recognition,
        parsing: Parsing,
        sync: Sync,
        clock: Callable[[], int],
        distrust: Callable[[Address, str], Awaitable[None]],
    ) -> None:
        """distrust: says that what is stored of a node may be wrong, and why, and has it synchronised."""
        self._store = store
        self._nodes = nodes
        self._recognition = recognition
        self._parsing = parsing
        self._sync = sync
        self._clock = clock
        self._distrust = distrust
        # When a read last began a synchronisation.
        self._begun: Recent[Address, int] = Recent(REMEMBERED)

    async def read(
        self, account: Account, address: Address, options: ReadOptions, place: Place, node: NodeRow | None
    ) -> Answer:
        """What the service says; node: its row, if there is one. Raises what ``Reads.get_items`` does."""
        session, doubts, before = account.require_session(), self._nodes.proofs.doubts, node
        begun, known = self._store.revision, node is not None
        # The cursor goes on: too much in one request may cost the service its stream.
        options = msgspec.structs.replace(options, limit=min(options.limit, LIMIT_AT_MOST))
        try:
            held = await self._held(node, options, place)
            page = await service_reads.read(session, address, options, place, held)
            unknown = node is None or node.state in ("unknown", "gone", "denied") or self._wanted(node, page.newest)
            if unknown:
                # What can't be kept is answered all the same.
                node, _ = await self._nodes.discover(session, address, page.newest, doubts=doubts, anyway=True)
            elif node is not None and node.state in KEPT and page.newest is not None:
                node = await self._recognised(session, node, page.newest, doubts)
        except errors.NoSuchItem as gone:
            raise refusals.no_such_item(options, place) from gone
        except errors.NotSupported:
            # The service has answered, and says nothing against what is stored.
            raise
        except errors.PubSubCachedError as error:
            raise await self._nodes.failed(address, error) from error
        assert node is not None
        node = await self._nodes.proved(node, doubts)
        info: InfoRecord = {
            "source": "network",
            "freshness": "validated",
            "validated-at": self._clock(),
            "completeness": node.completeness if servable(node) else "none",
            "revision": await self._told_from(address, begun, known),
        }
        if node.state in KEPT:
            # A window whose items were all retracted has lost what it was kept for.
            lost = not servable(node) or (node.completeness == "window" and not node.item_count)
            # One that could not be reached has just been.
            if unknown or lost or node.state == "unreachable":
                self.validate(node, info)
            in_use(self._store, node, self._clock())
        made: Made = {}
        records = await self.records(address, node, page.items, made)
        if await self.compare(before, page, place.ids, made):
            info["job"] = self._sync.job(address).path
        past_window = bool(held) or place.past_window
        return service_reads.answer(records, page, options, place, info, past_window=past_window)

    async def look(self, session: Session, address: Address, item_id: str) -> Item | None:
        """One item as the service has it, None where it has none; what that shows of the node is noted."""
        before = await self._nodes.find(address)
        try:
            items = await by_ids(session, address, [item_id])
        except errors.PubSubCachedError as error:
            await self._nodes.failed(address, error)
            raise
        await self.compare(before, ServicePage(items, more=False), [item_id])
        return items[0] if items else None

    async def records(
        self, address: Address, node: NodeRow | None, items: Sequence[Item], made: Made | None = None
    ) -> list[ItemRecord]:
        """Items that are shown without being stored, with their marks, which are local. made: see ``Parsing.all``."""
        records = await self._parsing.records(address, node, items, made)
        marks = await self._store.read(flags.of, address, [record["id"] for record in records])
        for record in records:
            record["flags"] = marks.get(record["id"], [])
        return records

    async def compare(
        self, before: NodeRow | None, page: ServicePage, ids: Sequence[str] | None = None, made: Made | None = None
    ) -> bool:
        """Hold an answer against what is stored; whether that was found to be wrong, and is looked into.

        before: the row when the service was asked. ids: what was asked for by name. made: see ``Parsing.all``.
        """
        if before is None or not is_believed(before):
            return False
        items = await self._parsing.all(before, page.items, made)
        return await self._judge(before, items, page, ids)

    async def listed(self, before: NodeRow | None, ids: Sequence[str], *, whole: bool) -> None:
        """As ``compare``, of the ids that a node's items have. whole: it has no others."""
        if before is not None and is_believed(before):
            # A service may name one twice.
            ids = [*dict.fromkeys(ids)]
            items = [StoredItem(id_) for id_ in ids]
            page = ServicePage(tuple(map(Item, ids)), more=not whole, total=len(ids) if whole else None)
            await self._judge(before, items, page, None)

    async def _judge(
        self, before: NodeRow, items: Sequence[StoredItem], page: ServicePage, ids: Sequence[str] | None
    ) -> bool:
        contradicted = functools.partial(contradicts, before=before, items=items, page=page, ids=ids)
        if not await self._store.read(contradicted):
            return False
        # What came before the answer may not be written yet.
        await self._sync.caught_up()
        try:
            is_wrong = await self._store.write(lambda tx: contradicted(tx.connection))
        except errors.STORAGE:
            # Nothing else changes it either.
            is_wrong = True
        if is_wrong:
            await self._distrust(before.address, "disagreement")
        return is_wrong

    async def _recognised(self, session: Session, node: NodeRow, newest: Item, doubts: int) -> NodeRow:
        """The row as the newest item shows it."""
        try:
            return await self._recognition.recognise(node, newest.namespace)
        except errors.NoSuchNode:
            # The row went, not the node: a service says so in a stanza.
            return (await self._nodes.discover(session, node.address, newest, doubts=doubts))[0]

    async def _told_from(self, address: Address, begun: int, known: bool) -> int:
        """From which revision on changes have to be told to whoever was answered by the service.

        What happened since it was asked, after ``begun``, may not be in the answer. known: there was a row then.
        """
        row = await self._nodes.find(address)
        # Nothing is stored yet of a node that was just met: all that will be is told after this.
        return row.floor if row is not None and not known and not row.item_count else begun

    async def _held(self, node: NodeRow | None, options: ReadOptions, place: Place) -> frozenset[str]:
        """Items of a window, which come before its end, also where the service has them behind it.

        None of them in a walk that began at the service: what it has shown may be newer than the window. Nor where the
        service alone is asked: nothing of the window was given.
        """
        began = (place.walks or options.policy == "network") and not place.past_window
        if not place.after or began or node is None or not servable(node) or not options.newest_first:
            return frozenset()
        return frozenset(await self._store.read(ids_of, node.id)) if node.completeness == "window" else frozenset()

    def _wanted(self, node: NodeRow, newest: Item | None) -> bool:
        """A node that is only kept once somebody has read it, or whose first item tells what it is, which is now."""
        if node.state != "discovered":
            return False
        if node.analyser or node.namespace:
            return self._parsing.on_demand(node.analyser)
        return newest is not None and newest.namespace != ""

    def validate(self, node: NodeRow, info: InfoRecord) -> None:
        """Begin a synchronisation, unless one runs or the last one failed too recently.

        Of a copy that is not left to the time planned after so many failures: somebody reads what may be wrong, and the
        service may be well by now.
        """
        now = self._clock()
        failing = node.failures > 0 and not expired(node, now)
        lately = 0 <= now - self._begun.get(node.address, -AGAIN) < AGAIN
        if not (failing and (lately or not servable(node))) and not self._sync.running(node.address):
            self._begun[node.address] = now
            info["job"] = self._sync.job(node.address).path

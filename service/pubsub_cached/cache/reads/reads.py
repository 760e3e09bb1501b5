"""Reads: from the cache where it is the truth, else from the service, and the answer says which."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from ... import errors
from ...address import Address
from ...records import InfoRecord, ItemRecord
from ...store.accounts.outbox import Entry
from ...store.items.pages import read_items
from ...store.rows import UNPROVED, ItemsQuery, ItemsSlice, NodeRow
from ...store.store import Store
from ...xmpp.port import Item
from ..accounts.account import BEGINNING, Account
from ..accounts.accounts import Accounts
from ..nodes import refusals
from ..nodes.nodes import Nodes
from ..nodes.suspected import stale
from ..options import LIMIT_AT_MOST, REPLY_BYTES, ReadOptions
from ..place import Place
from ..policy import Decision, decide, freshness, servable
from ..sync.pushes import expected
from ..sync.sync import Sync
from . import completeness, pending, service_reads
from .in_use import in_use
from .pages import Answer, Form, MadeAnswer, Pages, WantedItems, answered
from .pass_through import PassThrough
from .rows import Rows

log = logging.getLogger(__name__)

_FROM_CACHE = frozenset({Decision.CACHE, Decision.FLAGGED})


class Reads:
    """Answers reads of items."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        nodes: Nodes,
        pass_through: PassThrough,
        sync: Sync,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._nodes = nodes
        self._pass_through = pass_through
        self._sync = sync
        self._proofs = nodes.proofs
        self._clock = clock
        self.pages = Pages(store.versions)
        self._rows = Rows(store)
        # What waits to be sent, by node; set by whoever sends it.
        self.waiting: Mapping[Address, Sequence[Entry]] = {}

    def get_made(self, address: Address, options: ReadOptions, form: Form) -> MadeAnswer | Awaitable[MadeAnswer]:
        """As ``get_items``, with what the form makes of the items."""
        wanted = self.pages.wanted(address, options, form)
        return answered(self.get_items(address, options, wanted), wanted)

    def get_items(
        self, address: Address, options: ReadOptions, wanted: WantedItems | None = None
    ) -> Answer | Awaitable[Answer]:
        """Items, a cursor ("" at the end), and how the answer may differ from the service's.

        wanted: what they are to become. Raises NoSuchNode, Denied, NotCached, NoSuchItem, InvalidCursor, Offline,
        Timeout.
        """
        shows_waiting = options.policy in pending.POLICIES
        if shows_waiting and self.waiting and address in self.waiting:
            return self._with_pending(address, options, self.waiting[address])
        try:
            return self._get(address, options, wanted)
        except errors.InvalidCursor:
            if not shows_waiting:
                raise
            # It may be of a page that showed what has been sent since.
            return self._with_pending(address, options, ())

    async def _with_pending(self, address: Address, options: ReadOptions, waiting: Sequence[Entry]) -> Answer:
        """With what waits to be sent to the node."""
        node = await self._nodes.find(address)

        async def records(items: Sequence[Item]) -> list[ItemRecord]:
            return await self._pass_through.records(address, node, items)

        get = functools.partial(self._again, address)
        # Without a copy none is shown, but a cursor may be of a page that showed some.
        shown = waiting if servable(node) else ()
        return await pending.Overlay(address, shown, get, records).read(options)

    def _get(
        self, address: Address, options: ReadOptions, wanted: WantedItems | None = None
    ) -> Answer | Awaitable[Answer]:
        place = Place.of(address, options)
        if place.ids is not None or not self._store.inline:
            # Which of them are there is looked at afterwards; what another daemon writes has no version here.
            wanted = None
        if wanted is not None and wanted.is_held:
            node, revision = self._rows.row(address)
            kept = wanted.find_of(node) if node is not None else None
            if kept is not None:
                return self._answer(address, options, place, wanted, node, revision, kept)
        query = place.query(options)
        if not self._store.inline or options.limit > LIMIT_AT_MOST:
            return self._read_elsewhere(address, options, place, query, wanted)
        # Others wait meanwhile, so bulk is read here only where it would fit into a reply.
        brief = place.query(msgspec.structs.replace(options, max_bytes=REPLY_BYTES)) if options.is_bulk else query
        found = self._rows.read_items(address, brief)
        if options.is_bulk and completeness.was_cut(options, found[2]):
            return self._read_elsewhere(address, options, place, query, wanted)
        return self._answer(address, options, place, wanted, *found)

    async def _read_elsewhere(
        self, address: Address, options: ReadOptions, place: Place, query: ItemsQuery, wanted: WantedItems | None
    ) -> Answer:
        aside = self._store.inline or options.limit > LIMIT_AT_MOST
        # What is read may be older than what ends the doubt meanwhile.
        doubted = address in self._nodes.suspected
        found = await (self._store.read_aside if aside else self._store.read)(read_items, address, query)
        answer = self._answer(address, options, place, wanted, *found, doubted=doubted)
        return answer if isinstance(answer, tuple) else await answer

    def _answer(
        self,
        address: Address,
        options: ReadOptions,
        place: Place,
        wanted: WantedItems | None,
        node: NodeRow | None,
        revision: int,
        found: ItemsSlice | None,
        *,
        doubted: bool = False,
    ) -> Answer | Awaitable[Answer]:
        account = self._accounts.get(address.account)
        online, now = account.online, self._clock()
        if node is not None and (doubted or address in self._nodes.suspected or _unheard(account, node)):
            node = stale(node)
        decision = decide(node, options.policy, online, now)
        if decision in _FROM_CACHE and self._unproved(account, node, options):
            proving = Decision.PROVE if online else Decision.OFFLINE
            decision = proving if options.policy != "cache" else Decision.NOT_CACHED
        if decision in _FROM_CACHE:
            assert node is not None
            in_use(self._store, node, now)
            if place.at_service:
                # Without a session a window has no more for a walk that went past it; all else the service says.
                alone = options.policy == "cache" or not online
                ends = alone and place.past_window and node.completeness == "window"
                found = ItemsSlice([]) if ends else None
            if found is not None and completeness.withheld(node, options, place, found, online):
                return self._past(account, node, options, place)
            if found is None or (online and completeness.past_window(node, options, place, found)):
                return self._beyond(account, node, options, place)
            answer = self._from_cache(account, node, revision, options, place, found)
            if wanted is not None:
                wanted.served_of(node, found)
            if decision is Decision.FLAGGED:
                self._pass_through.validate(node, answer[2])
            return answer
        return self._with_timeout(self._slow(account, address, options, place, node, decision), address, options)

    async def _slow(
        self,
        account: Account,
        address: Address,
        options: ReadOptions,
        place: Place,
        node: NodeRow | None,
        decision: Decision,
    ) -> Answer:
        match decision:
            case Decision.NOT_CACHED:
                raise errors.NotCached(
                    f"There is no copy of {address} that may be served; read it without policy 'cache'."
                )
            case Decision.OFFLINE:
                # A stream that has just begun is ready in a moment.
                await account.session_when_ready(min(BEGINNING, options.timeout * 0.9))
                return await self._again(address, options)
            case Decision.ERROR:
                assert node is not None
                raise refusals.of_node(node)
            case Decision.PROVE:
                await self._prove(account, address, node)
                return await self._again(address, options)
            case Decision.VALIDATE:
                return await self._validated(address, options)
            case Decision.RETRY:
                self._nodes.negatives.check(address)
        if options.policy == "default":
            self._nodes.negatives.check(address)
        return await self._pass_through.read(account, address, options, place, node)

    def _unproved(self, account: Account, node: NodeRow | None, options: ReadOptions) -> bool:
        if node is None:
            return False
        if account.waits:
            # What is doubted of it another daemon knows, and writes down.
            return node.reason == UNPROVED
        if options.policy in ("cache", "validated"):
            # Nothing may be asked, or was just now: what was proved once is shown, unless there is reason to doubt it.
            return self._proofs.in_doubt(node.address)
        return self._proofs.missing(account, node)

    async def _prove(self, account: Account, address: Address, before: NodeRow | None) -> None:
        """One item shows that the account may still read the node."""
        doubts = self._proofs.doubts
        try:
            newest = await self._nodes.newest(account.require_session(), address)
        except errors.PubSubCachedError as error:
            told = await self._nodes.failed(address, error)
            if isinstance(error, errors.Offline):
                # Without a session a reader keeps what it has.
                return
            node = await self._nodes.find(address)
            if refusals.meaning(error) != "unreachable" or node is None or self._proofs.in_doubt(address):
                raise told from error
            return
        if (node := await self._nodes.find(address)) is not None:
            await self._nodes.proved(node, doubts)
            await self._pass_through.compare(before, service_reads.only(newest))

    async def _validated(self, address: Address, options: ReadOptions) -> Answer:
        """Service first; where it can't answer, the cache, which then says that it is stale."""
        validated = msgspec.structs.replace(options, policy="validated")
        try:
            async with asyncio.timeout(options.timeout * 0.9):
                await self._sync.run(address)
        except (errors.NoSuchNode, errors.Denied):
            raise
        except (errors.PubSubCachedError, TimeoutError) as error:
            log.info("%s could not be validated: %s", address, error)
            items, cursor, info = await self._again(address, validated)
            if info["freshness"] in ("live", "validated") and info["source"] == "cache":
                # No event says otherwise, but whoever asked wants the service's word.
                info["freshness"] = "stale"
            return items, cursor, info
        # What is kept no more, or not all of what was asked for, is the service's to answer.
        return await self._again(address, validated)

    async def _again(self, address: Address, options: ReadOptions) -> Answer:
        answer = self._get(address, options)
        return answer if isinstance(answer, tuple) else await answer

    def _from_cache(
        self,
        account: Account,
        node: NodeRow,
        revision: int,
        options: ReadOptions,
        place: Place,
        found: ItemsSlice,
    ) -> Answer:
        items, cursor = found.items, ""
        if place.ids is not None:
            cursor = place.rest(items) if found.position is not None else ""
        elif found.position is not None:
            cursor = place.cursor(["db", found.position, found.last, revision])
        elif items and completeness.goes_on(node, options, account.online):
            cursor = place.cursor(["end", found.place, found.last])
        info: InfoRecord = {
            "source": "cache",
            "freshness": freshness(node, account.online, self._clock()),
            "completeness": node.completeness,
            "revision": revision,
        }
        if node.validated_at is not None:
            info["validated-at"] = node.validated_at
        if node.completeness == "full":
            info["total"] = node.item_count
        if items and found.index is not None and completeness.is_placed(node, options):
            info["first"], info["last"], info["index"] = found.first, found.last, found.index
        return items, cursor, info

    def _past(self, account: Account, node: NodeRow, options: ReadOptions, place: Place) -> Awaitable[Answer]:
        """What the service has past the copy."""
        answer = self._pass_through.read(account, node.address, options, place, node)
        return self._with_timeout(answer, node.address, options)

    def _beyond(self, account: Account, node: NodeRow, options: ReadOptions, place: Place) -> Awaitable[Answer]:
        """A place that the window does not hold, or in another order: the service knows it, or nobody does."""
        asked = options.policy != "cache" and account.online
        if not asked or (node.completeness == "full" and not place.walks):
            raise refusals.no_such_item(options, place)
        return self._past(account, node, options, place)

    async def _with_timeout(
        self, answer: Coroutine[Any, Any, Answer], address: Address, options: ReadOptions
    ) -> Answer:
        try:
            async with asyncio.timeout(options.timeout):
                return await answer
        except TimeoutError:
            raise errors.Timeout(
                f"{address} did not answer within {options.timeout:g} s; try again with a longer 'timeout'."
            ) from None


def _unheard(account: Account, node: NodeRow) -> bool:
    """Whether only the account's presence brought the node's events, and does so no more."""
    weak = node.state == "live" and node.guarantee == "weak" and account.online
    return weak and not expected(account, node.address)

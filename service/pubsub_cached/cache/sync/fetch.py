"""Getting all of a node: by pages, by batches of ids, or in one request, as the service deserves.

What a service advertises decides nothing here; what it does with a probe of one item does. A remote or component
service is never asked for more than a reply it can carry (large replies have been seen to kill a component); the own
server of the account is asked once. Of several replies the next is under way while the last is worked on.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec

from ... import errors, jid
from ...address import Address
from ...store.accounts.services import Observed, Paging
from ...xmpp.port import Item, ItemsPage, Rsm, Session
from .ahead import Ahead
from .by_ids import REPLY_SECONDS, by_ids
from .order import by_id, oldest_first

log = logging.getLogger(__name__)

# What a reply of a service that is not the account's own server may weigh, in bytes.
REPLY_BUDGET = 200 * 1024
PAGE_AT_MOST = 100
# By how much a batch shrinks when its reply did not come.
SMALLER = 4
# So many batches are under way at once, once a reply has borne their size out.
BATCHES_AT_ONCE = 2
# A stanza around each item, beside its payload.
ITEM_OVERHEAD = 200
# So many of the newest bear out that ids which stand in their own order stand in that of publication as well.
BORNE_OUT_BY = 5
# Refusals that do not say that items are never listed: what is stored beside the newest is not given up for them.
_FOR_NOW = frozenset({"internal-server-error", "resource-constraint"})
# More items than this are asked for in one request of the account's own server as "all there are".
EVERYTHING = 100_000

Progress = Callable[[int, int], None]
# What is done with the items of a reply while the next one is under way.
Meanwhile = Callable[[Sequence[Item]], Awaitable[object]]
Strategy = Literal["one request", "pages", "ids"]


class PagingFacts(Protocol):
    """What is known of how services page (``facts.Facts``)."""

    def of(self, address: Address) -> Observed:
        """What was observed of the node's service."""

    def pages(self, address: Address, paging: Paging) -> None:
        """How the service answers a request for a page."""


class Fetched(msgspec.Struct, frozen=True):
    """The newest items of a node, oldest first; ``full`` when the service has no others."""

    items: tuple[Item, ...]
    full: bool
    strategy: Strategy


class _Disagreement(Exception):
    """The service's pages contradict each other or its count. lasting: it would do so again."""

    def __init__(self, fact: str, *, lasting: bool) -> None:
        super().__init__(fact)
        self.lasting = lasting


def own_server(address: Address) -> bool:
    """Whether the service is the account's own server, where large replies are cheap."""
    return address.service in (address.account, jid.domain(address.account))


async def fetch(
    session: Session,
    address: Address,
    keep: int | None,
    progress: Progress,
    facts: PagingFacts | None = None,
    meanwhile: Meanwhile | None = None,
) -> Fetched:
    """The newest ``keep`` items (None: all), by the first strategy that works.

    facts: where how the service pages is known from. meanwhile: is given the items of each reply while the next is
    under way; not all of those that are returned, and some that are not. Raises what the session raises.
    """
    meanwhile = meanwhile or _nothing
    try:
        if own_server(address):
            return await _one_request(session, address, keep, progress, meanwhile)
        probe = await _probe(session, address)
        if len(probe.items) > 1:
            log.info("%s answers %d items when asked for one", address, len(probe.items))
        pages = probe.count is not None and probe.count >= len(probe.items)
        believed = facts is None or facts.of(address).paging != "wrong"
        if facts is not None and believed:
            facts.pages(address, "pages" if pages else "none")
        if pages and believed:
            return await _agreeing(session, address, keep, probe, progress, meanwhile)
    except _Disagreement as fact:
        log.info("%s: %s; taking its items by id", address, fact)
        if facts is not None and fact.lasting:
            facts.pages(address, "wrong")
        probe = await _probe(session, address)
    return await _ids(session, address, keep, probe, progress, meanwhile)


async def some(session: Session, address: Address, ids: Sequence[str], heaviest: int) -> tuple[Item, ...]:
    """Those of the items that are there, in this order; heaviest: characters that a payload is expected to have."""
    return await _by_batches(session, address, ids, _fitting(heaviest), lambda done, total: None, _nothing)


async def _by_batches(
    session: Session, address: Address, ids: Sequence[str], size: int, progress: Progress, meanwhile: Meanwhile
) -> tuple[Item, ...]:
    found: dict[str, Item] = {}

    def say(done: int, total: int) -> None:
        progress(len(found) + done, len(found) + total)

    batches = _Batches(session, address, size)
    # A reply may have been cut: what it lacks is gone where nothing of it comes when it is asked for again.
    while missing := [id_ for id_ in ids if id_ not in found]:
        if not (came := await batches.fetch(missing, say, meanwhile)):
            break
        found |= came
    return tuple(found[id_] for id_ in ids if id_ in found)


async def _nothing(items: Sequence[Item]) -> None:
    """Nothing to do meanwhile."""


async def _probe(session: Session, address: Address) -> ItemsPage:
    """The newest item, and whether a page was honoured."""
    return await session.get_items(address.service, address.node, max_items=1, rsm=Rsm(max=1, before=""))


async def _one_request(
    session: Session, address: Address, keep: int | None, progress: Progress, meanwhile: Meanwhile
) -> Fetched:
    asked = EVERYTHING if keep is None else keep + 1
    page = await session.get_items(address.service, address.node, max_items=None if keep is None else asked)
    items = unique(page.items)
    progress(len(items), len(items))
    if page.rsm and page.count is not None and page.count > len(page.items) and len(items) < asked:
        # The service cut its answer into pages although none were asked for.
        return await _agreeing(session, address, keep, page, progress, meanwhile)
    return newest(items, keep, len(items) < asked, "one request")


async def _agreeing(
    session: Session, address: Address, keep: int | None, probe: ItemsPage, progress: Progress, meanwhile: Meanwhile
) -> Fetched:
    """Pages, and where they disagree others: something may have been published or removed between them."""
    try:
        return await _pages(session, address, keep, probe, progress, meanwhile)
    except _Disagreement as fact:
        log.info("%s: %s; asking for its pages again", address, fact)
    return await _pages(session, address, keep, await _probe(session, address), progress, meanwhile)


async def _pages(
    session: Session, address: Address, keep: int | None, probe: ItemsPage, progress: Progress, meanwhile: Meanwhile
) -> Fetched:
    """Pages from the newest backwards (XEP-0059 2.4), checked against the service's own count."""
    count = probe.count
    if count is None or count < len(probe.items):
        raise _Disagreement("the count of all is not told any more", lasting=False)
    size = _batch(probe.items)
    wanted = count if keep is None else min(keep, count)
    pages: list[tuple[Item, ...]] = []
    got, before = 0, ""
    async with Ahead[ItemsPage]() as ahead:
        while got < wanted:
            await ahead.ask(session.get_items(address.service, address.node, rsm=Rsm(max=size, before=before)))
            if pages:
                await meanwhile(pages[-1])
            page = await ahead.reply()
            if page.count != count:
                raise _Disagreement(f"the count went from {count} to {page.count}", lasting=False)
            if not page.items or not page.first or page.first == before:
                raise _Disagreement(f"the pages ended after {got} of {count} items", lasting=True)
            if not pages and page.items[-1].id not in [item.id for item in probe.items[-1:]]:
                raise _Disagreement("a page of one item and a longer one end with different items", lasting=True)
            if len(page.items) < min(size, count - got):
                log.info("%s: a page had %d items when asked for %d", address, len(page.items), size)
                size = len(page.items)
            pages.append(page.items)
            got += len(page.items)
            before = page.first
            size = min(size, _batch(page.items))
            progress(got, wanted)
    items = unique([item for page in reversed(pages) for item in page])
    if len(items) != got:
        raise _Disagreement(f"{got - len(items)} items came twice", lasting=True)
    return newest(items, keep, got >= count, "pages")


async def _ids(
    session: Session, address: Address, keep: int | None, probe: ItemsPage, progress: Progress, meanwhile: Meanwhile
) -> Fetched:
    """Batches by item id, the ids from disco#items (XEP-0060 5.5)."""
    ids = await _listed(session, address, probe)
    if ids is None:
        # Something was published or removed between the two.
        probe = await _probe(session, address)
        ids = await _listed(session, address, probe)
    if ids is None:
        return await _unordered(session, address, keep, probe, progress)
    wanted = ids if keep is None else ids[-keep:]
    if not wanted:
        return Fetched(probe.items, True, "ids")
    everything = len(ids) == len(wanted)
    size = _batch(probe.items)
    if size >= len(wanted):
        try:
            page = await session.get_items(address.service, address.node, max_items=len(wanted) + 1)
        except errors.Timeout:
            log.info("%s does not answer when asked for %d items", address, len(wanted))
        else:
            items = unique(page.items)
            if {item.id for item in items}.issuperset(wanted):
                # What came beside the ids was published since they were listed, and had to displace none of them.
                progress(len(items), len(items))
                return newest(items, keep, everything, "one request")
            log.info("%s answers %d items when asked for %d", address, len(items), len(wanted))
        size = max(1, len(wanted) // SMALLER)
    return Fetched(await _by_batches(session, address, wanted, size, progress, meanwhile), everything, "ids")


async def _listed(session: Session, address: Address, probe: ItemsPage) -> list[str] | None:
    """All ids, oldest first; None where they are not listed, or in an order that is not that of publication."""
    try:
        listed = await session.disco_items(address.service, address.node)
    except errors.StanzaError as refusal:
        if refusal.condition in _FOR_NOW:
            raise
        log.info("%s does not list its items: %s", address, refusal.message)
        return None
    ids = oldest_first(listed, probe.items)
    if ids is None or not by_id(listed):
        return ids
    few = max(2, min(BORNE_OUT_BY, _batch(probe.items)))
    page = await session.get_items(address.service, address.node, max_items=few)
    last = [item.id for item in unique(page.items) if item.id in ids]
    return ids if last == ids[-len(last) :] else None


async def _unordered(
    session: Session, address: Address, keep: int | None, probe: ItemsPage, progress: Progress
) -> Fetched:
    """As many of the newest as one reply can carry, of a service that lists no ids or those in an order of its own."""
    log.info("%s does not list its items in the order of their publication", address)
    size = _batch(probe.items) if keep is None else min(keep, _batch(probe.items))
    page = await session.get_items(address.service, address.node, max_items=size + 1)
    items = unique(page.items)
    progress(len(items), len(items))
    full = len(items) <= size and (page.count or 0) <= len(page.items)
    return newest(items, size, full, "one request")


class _Batches:
    """Items by id, the newest first; a reply too large to be carried is never asked for again in that size.

    Once a reply has borne a size out, the next batch is asked for while the one before is under way.
    """

    def __init__(self, session: Session, address: Address, size: int) -> None:
        self._session = session
        self._address = address
        # Oldest first, and not asked for.
        self._left: list[str] = []
        self._size = size
        self._borne_out = False
        # What is under way.
        self._batches: deque[list[str]] = deque()

    async def fetch(self, wanted: list[str], progress: Progress, meanwhile: Meanwhile) -> dict[str, Item]:
        """The items that came; raises what the session raises."""
        found: dict[str, Item] = {}
        self._left = wanted
        done, total = 0, len(wanted)
        came: tuple[Item, ...] = ()
        async with Ahead[tuple[Item, ...]]() as ahead:
            while await self._ask(ahead):
                if came:
                    await meanwhile(came)
                try:
                    came = await ahead.reply()
                except errors.Timeout:
                    if len(self._batches[0]) == 1:
                        raise
                    came = ()
                    await ahead.give_up()
                    self._begin_smaller()
                    continue
                done += len(self._batches.popleft())
                found.update((item.id, item) for item in came)
                if came:
                    self._size = min(self._size, _batch(came))
                    self._borne_out = True
                progress(done, total)
        return found

    async def _ask(self, ahead: Ahead[tuple[Item, ...]]) -> bool:
        """Have as many requests under way as may be; whether there is any."""
        while self._left and len(self._batches) < (BATCHES_AT_ONCE if self._borne_out else 1):
            ids = self._left[-self._size :]
            del self._left[-self._size :]
            self._batches.append(ids)
            # It waits for its turn at the service.
            timeout = REPLY_SECONDS * len(self._batches)
            await ahead.ask(by_ids(self._session, self._address, ids, timeout=timeout))
        return bool(self._batches)

    def _begin_smaller(self) -> None:
        """The first of the batches under way was too large to be answered, and the next one has the same size."""
        self._size = max(1, min(self._size, len(self._batches[0])) // SMALLER)
        self._borne_out = False
        while self._batches:
            self._left += self._batches.pop()


def _batch(items: Sequence[Item]) -> int:
    """How many items of this weight fit into one reply."""
    return _fitting(max((len(item.payload) for item in items), default=0))


def _fitting(heaviest: int) -> int:
    """How many items whose payloads have so many characters fit into one reply."""
    return max(1, min(PAGE_AT_MOST, REPLY_BUDGET // (heaviest + ITEM_OVERHEAD)))


def unique(items: Sequence[Item]) -> tuple[Item, ...]:
    """The last of each id, in order; items without an id stay as they are."""
    seen: dict[str, Item] = {}
    for number, item in enumerate(items):
        key = item.id or f"\0{number}"
        seen.pop(key, None)
        seen[key] = item
    return tuple(seen.values())


def newest(items: tuple[Item, ...], keep: int | None, full: bool, strategy: Strategy) -> Fetched:
    if keep is None or len(items) <= keep:
        return Fetched(items, full, strategy)
    return Fetched(items[-keep:], False, strategy)

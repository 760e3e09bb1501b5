"""Getting all of a node: by pages, by batches of ids, or in one request, as the service deserves.

What a service advertises decides nothing here; what it does with a probe of one item does. A remote or component
service is never asked for more than a reply it can carry (large replies have been seen to kill a component); the own
server of the account is asked once. Of several replies the next is under way while the last is worked on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

import msgspec

from ... import errors, jid
from ...address import Address
from ...xmpp.port import Item, ItemsPage, Rsm, Session
from ..nodes.facts import Facts
from .ahead import Ahead
from .batches import SMALLER, Meanwhile, Progress, batch_size, by_batches, nothing
from .order import by_id, oldest_first

log = logging.getLogger(__name__)

# So many of the newest bear out that ids which stand in their own order stand in that of publication as well.
BORNE_OUT_BY = 5
# Refusals that do not say that items are never listed: what is stored beside the newest is not given up for them.
_FOR_NOW = frozenset({"internal-server-error", "resource-constraint"})
# More items than this are asked for in one request of the account's own server as "all there are".
EVERYTHING = 100_000

Strategy = Literal["one request", "pages", "ids"]


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
    facts: Facts | None = None,
    meanwhile: Meanwhile | None = None,
) -> Fetched:
    """The newest ``keep`` items (None: all), by the first strategy that works.

    facts: where how the service pages is known from. meanwhile: is given the items of each reply while the next is
    under way; not all of those that are returned, and some that are not. Raises what the session raises.
    """
    meanwhile = meanwhile or nothing
    try:
        if own_server(address):
            return await _one_request(session, address, keep, progress, meanwhile)
        believed = facts is None or facts.of(address).paging != "wrong"
        probe = await _probe(session, address, paged=believed)
        if len(probe.items) > 1:
            log.info("%s answers %d items when asked for one", address, len(probe.items))
        pages = probe.count is not None and probe.count >= len(probe.items)
        if facts is not None and believed:
            facts.pages(address, "pages" if pages else "none")
        if pages and believed:
            return await _agreeing(session, address, keep, probe, progress, meanwhile)
    except _Disagreement as fact:
        log.info("%s: %s; taking its items by id", address, fact)
        if facts is not None and fact.lasting:
            facts.pages(address, "wrong")
        probe = await _probe(session, address, paged=False)
    return await _ids(session, address, keep, probe, progress, meanwhile)


async def _probe(session: Session, address: Address, *, paged: bool) -> ItemsPage:
    """The newest item, and whether a page was honoured; paged: not where a wrong page may hold another."""
    rsm = Rsm(max=1, before="") if paged else None
    return await session.get_items(address.service, address.node, max_items=1, rsm=rsm)


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
    return await _pages(session, address, keep, await _probe(session, address, paged=True), progress, meanwhile)


async def _pages(
    session: Session, address: Address, keep: int | None, probe: ItemsPage, progress: Progress, meanwhile: Meanwhile
) -> Fetched:
    """Pages from the newest backwards (XEP-0059 2.4), checked against the service's own count."""
    count = probe.count
    if count is None or count < len(probe.items):
        raise _Disagreement("the count of all is not told any more", lasting=False)
    size = batch_size(probe.items)
    wanted = count if keep is None else min(keep, count)
    pages: list[tuple[Item, ...]] = []
    got, before = 0, ""
    async with Ahead[ItemsPage]() as ahead:
        while got < wanted:
            # One more than the count leaves shows whether that leaves any out.
            asked = size + 1 if size == count - got else size
            await ahead.ask(session.get_items(address.service, address.node, rsm=Rsm(max=asked, before=before)))
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
            size = min(size, batch_size(page.items))
            progress(got, wanted)
    items = unique([item for page in reversed(pages) for item in page])
    if len(items) != got:
        raise _Disagreement(f"{got - len(items)} items came twice", lasting=True)
    if got > count:
        raise _Disagreement(f"{got} items came of {count}", lasting=True)
    return newest(items, keep, got >= count, "pages")


async def _ids(
    session: Session, address: Address, keep: int | None, probe: ItemsPage, progress: Progress, meanwhile: Meanwhile
) -> Fetched:
    """Batches by item id, the ids from disco#items (XEP-0060 5.5)."""
    ids = await _listed(session, address, probe)
    if ids is None:
        # Something was published or removed between the two.
        probe = await _probe(session, address, paged=False)
        ids = await _listed(session, address, probe)
    if ids is None:
        return await _unordered(session, address, keep, probe, progress)
    wanted = ids if keep is None else ids[-keep:]
    if not wanted:
        return Fetched(probe.items, True, "ids")
    everything = len(ids) == len(wanted)
    size = batch_size(probe.items)
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
    return Fetched(await by_batches(session, address, wanted, size, progress, meanwhile), everything, "ids")


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
    few = max(2, min(BORNE_OUT_BY, batch_size(probe.items)))
    page = await session.get_items(address.service, address.node, max_items=few)
    last = [item.id for item in unique(page.items) if item.id in ids]
    return ids if last == ids[-len(last) :] else None


async def _unordered(
    session: Session, address: Address, keep: int | None, probe: ItemsPage, progress: Progress
) -> Fetched:
    """As many of the newest as one reply can carry, of a service that lists no ids or those in an order of its own."""
    log.info("%s does not list its items in the order of their publication", address)
    size = batch_size(probe.items) if keep is None else min(keep, batch_size(probe.items))
    page = await session.get_items(address.service, address.node, max_items=size + 1)
    items = unique(page.items)
    progress(len(items), len(items))
    full = len(items) <= size and (page.count or 0) <= len(page.items)
    return newest(items, size, full, "one request")


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

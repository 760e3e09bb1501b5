"""The revalidation ladder below a full fetch: the cheapest look at a service that shows what became of a node.

A copy that once was the service's own is compared with an answer that is as small as possible. What an answer leaves
open is left to the next rung, and what all leave open to a full fetch. Source: the coherence model, "Revalidation
ladder"; XEP-0060 6.5.7, 5.5; XEP-0059 2.7; XEP-0313 4.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

import msgspec

from ... import errors
from ...address import Address
from ...store.items.outline import Outline
from ...store.rows import StoredItem
from ...xmpp.port import DiscoItem, Item, ItemsPage, Rsm, Session
from ..nodes.facts import Facts
from ..parsing.parsing import Parse
from .batches import ITEM_OVERHEAD, PAGE_AT_MOST, REPLY_BUDGET
from .fetch import unique
from .order import oldest_first

log = logging.getLogger(__name__)

# What an answer may weigh that looks at a node, in bytes: a node that fits is fetched as a whole.
LOOK = 32 * 1024
# Beside as many items as there were, so many new ones are asked for; nobody knows what they weigh.
SPARE = 5
NEWEST_AT_MOST = 20
# So many items as they were, at the old end of the newest, show that nothing older was published again.
UNMOVED = 3
# So many pages of an archive are read; where more was missed a full fetch is no dearer.
ARCHIVE_PAGES = 5
# Refusals that say nothing of whether there is an archive.
_ABOUT_THE_NODE = frozenset({"item-not-found", "forbidden", "not-authorized", "not-allowed"})


class Copy(msgspec.Struct, frozen=True):
    """What is stored of a node. full: all of it, else the newest. keep: how many are kept at most, None for all."""

    outline: Outline
    full: bool
    keep: int | None


class Found(msgspec.Struct, frozen=True):
    """What a rung found: ``older`` items as they are stored, then ``newest``, the oldest first, and no others.

    whole: the service sent everything. full: whether it has no others; None when that is as it was. there: ids that
    may be among the others although they are stored as newer; those that were asked for are the first of ``newest``.
    """

    rung: int
    newest: list[StoredItem]
    older: tuple[str, ...] = ()
    whole: bool = False
    full: bool | None = None
    there: frozenset[str] = frozenset()


def is_small(heaviest: int, count: int) -> bool:
    """Whether a node fits into one look; heaviest: characters in a payload."""
    return (heaviest + ITEM_OVERHEAD) * count <= LOOK


class _TooMany(Exception):
    """More was missed than a look can show."""


class Rungs:
    """One climb, at one node.

    followed: whether events of the node come. touched: ids that events change meanwhile, after ``caught_up`` those of
    all that have come.
    """

    def __init__(
        self,
        session: Session,
        address: Address,
        copy: Copy,
        facts: Facts,
        *,
        followed: bool,
        parse: Parse,
        touched: Collection[str],
        caught_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._session = session
        self._address = address
        self._copy = copy
        self._facts = facts
        self._followed = followed
        self._parse = parse
        self._touched = touched
        self._caught_up = caught_up

    async def climb(self) -> Found | None:
        """What the first conclusive rung found; None when only a full fetch tells.

        Raises what the session raises.
        """
        outline = self._copy.outline
        weight = outline.heaviest + ITEM_OVERHEAD
        try:
            if is_small(outline.heaviest, len(outline.lines)):
                return await self._whole(len(outline.lines) + SPARE)
            if self._facts.moves(self._address) and all(line.hash for line in outline.lines):
                archived = await self._archived(weight) if self._facts.archives(self._address) else None
                return archived or await self._newest(max(2 * UNMOVED, min(NEWEST_AT_MOST, LOOK // weight)))
        except _TooMany:
            log.info("%s has more that is new than a look can show", self._address)
        except errors.Timeout:
            # Perhaps what is new is more than the service can send at once.
            log.info("%s did not answer a look at it", self._address)
        return None

    async def _ask(self, most: int) -> ItemsPage:
        """The newest items, with the count where the service pages."""
        if self._facts.of(self._address).paging == "pages":
            return await self._session.get_items(
                self._address.service, self._address.node, rsm=Rsm(max=most, before="")
            )
        return await self._session.get_items(self._address.service, self._address.node, max_items=most)

    async def _whole(self, most: int) -> Found | None:
        """All of a small node in one answer, which is rung 5; where fewer came than there were, rung 4 confirms it."""
        keep = self._copy.keep
        asked = most if keep is None else min(most, keep + 1)
        page = await self._ask(asked)
        items = unique(page.items)
        if len(items) != len(page.items) or len(items) > asked:
            log.info(
                "%s sent %d items, %d of them once, when asked for %d",
                self._address,
                len(page.items),
                len(items),
                asked,
            )
            return None
        if page.rsm and page.count is not None:
            complete = page.count == len(items)
        else:
            complete = len(items) < asked and await self._all_there({item.id for item in items})
        if not complete and (keep is None or len(items) <= keep):
            return None
        kept = items if keep is None else items[-keep:]
        full = complete and len(kept) == len(items)
        return Found(5, await self._parse(kept), whole=True, full=full)

    async def _all_there(self, got: set[str]) -> bool:
        """Whether a reply without a count held everything; items without an id can't be told apart."""
        if self._copy.full and got.issuperset(self._copy.outline.ids):
            return True
        listed = await self._list()
        if listed is None:
            return False
        if missing := {item.name for item in listed} - got - set(self._touched):
            log.info("%s did not send %d of its items when asked for more", self._address, len(missing))
            return False
        return True

    async def _archived(self, weight: int) -> Found | None:
        """Rung 2: what the archive holds after an item of which those that follow are known.

        Where that item was published again meanwhile, or is unknown by now, what comes after it is not what followed.
        """
        lines = self._copy.outline.lines
        if len(lines) <= UNMOVED:
            return None
        after = lines[-1 - min(2 * UNMOVED, len(lines) - 1)].id
        try:
            read = await self._read_archive(after, max(2, min(PAGE_AT_MOST, REPLY_BUDGET // weight)))
        except errors.StanzaError as refusal:
            log.info("the archive of %s can't be read: %s", self._address, refusal.message)
            if refusal.condition not in _ABOUT_THE_NODE:
                self._facts.archive(self._address, False)
            return None
        except errors.Timeout:
            self._facts.archive(self._address, False)
            return None
        if read is None:
            return None
        items, count = read
        return await self._conclude(2, await self._parse(items), count)

    async def _read_archive(self, after: str, most: int) -> tuple[tuple[Item, ...], int | None] | None:
        """All after an item, and how many there are in all; None unless it is the node's items as they follow.

        Each page begins with the last item of the one before it, for an item published meanwhile is elsewhere.
        """
        items: list[Item] = []
        bridges: set[str] = set()
        for _ in range(ARCHIVE_PAGES):
            page = await self._session.get_archive(
                self._address.service, self._address.node, Rsm(max=most, after=after)
            )
            if list(page.ids) != [item.id for item in page.items]:
                self._facts.archive(self._address, False)
                return None
            if len(page.items) < 2 or (items and page.items[0] != items[-1]):
                return None
            items += page.items[1:] if items else page.items
            if page.complete:
                await self._caught_up()
                return None if bridges & set(self._touched) else (unique(items), page.count)
            after = page.ids[-2]
            bridges.update(page.ids[-2:])
        raise _TooMany

    async def _newest(self, most: int) -> Found | None:
        """Rung 3: the newest, and the count or, where there is none, rung 4: the ids."""
        page = await self._ask(most)
        items = unique(page.items)
        if len(items) != len(page.items) or not 0 < len(items) <= most:
            return None
        return await self._conclude(3, await self._parse(items), page.count if page.rsm else None)

    async def _conclude(self, rung: int, newest: list[StoredItem], count: int | None) -> Found | None:
        """What the newest show with the count of all, or else with the ids, which is rung 4 where 3 showed them."""
        older = self._older(newest)
        if older is None:
            return None
        if self._copy.full and count == len(older) + len(newest):
            return Found(rung, newest, tuple(older))
        listed = await self._list()
        if listed is None or not self._agree(listed, newest, older):
            return None
        ids = {item.name for item in listed}
        return Found(4 if rung == 3 else rung, newest, tuple(id_ for id_ in older if id_ in ids))

    def _agree(self, listing: Sequence[DiscoItem], newest: Sequence[StoredItem], older: Sequence[str]) -> bool:
        """Whether all ids that the service lists are accounted for, and stand as they stood."""
        listed = {item.name for item in listing}
        ids = {item.id for item in newest}
        touched = set(self._touched)
        if ids - listed - touched:
            return False
        stored = set(self._copy.outline.ids)
        # Of a window the service has older items, which are not stored; of those that are none may be out of place.
        strange = (listed if self._copy.full else listed & stored) - ids - set(older) - touched
        if strange and self._followed:
            what = f"{len(strange)} items are there that should be among the newest"
            self._facts.contradicted(self._address, what)
        return not strange and self._in_place(listing, newest, [id_ for id_ in older if id_ not in touched])

    def _in_place(self, listing: Sequence[DiscoItem], newest: Sequence[StoredItem], older: Sequence[str]) -> bool:
        """Whether the ids show no older item among those published later; a listing in an order of its own does not."""
        ids = oldest_first(listing, [Item(newest[-1].id)])
        if ids is None:
            return True
        listed, held = set(ids), set(older)
        return [id_ for id_ in ids if id_ in held] == [id_ for id_ in older if id_ in listed]

    def _older(self, newest: Sequence[StoredItem]) -> list[str] | None:
        """What is stored and older than all of these; None unless the first of them stand as they stood."""
        lines = self._copy.outline.lines
        places = {line.id: number for number, line in enumerate(lines)}
        last = -1
        unmoved = 0
        for item in newest:
            place = places.get(item.id)
            if place is None or place <= last or item.id in self._touched or item.hash != lines[place].hash:
                break
            last = place
            unmoved += 1
        # None of them is there to be seen where all came without an id.
        if unmoved < max(1, min(UNMOVED, len(newest))):
            return None
        ids = {item.id for item in newest}
        return [line.id for line in lines[: places[newest[0].id]] if line.id not in ids]

    async def _list(self) -> list[DiscoItem] | None:
        """All items by name; None where the service does not list them."""
        try:
            listed = await self._session.disco_items(self._address.service, self._address.node)
        except errors.StanzaError as refusal:
            log.info("%s does not list its items: %s", self._address, refusal.message)
            return None
        # What came before this reply is older than it.
        await self._caught_up()
        return [item for item in listed if item.name]

"""The revalidation ladder below a full fetch: the cheapest look at a service that shows what became of a node.

A copy that once was the service's own is compared with an answer that is as small as possible. What an answer leaves
open is left to the next rung, and what all leave open to a full fetch. Archives (XEP-0313) are not asked: the only
service known to have one for its nodes counts its items, which makes rung 3 as cheap, and that sees removals. Source:
the coherence model, "Revalidation ladder"; XEP-0060 6.5.7, 5.5; XEP-0059 2.7.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

import msgspec

from .. import errors
from ..address import Address
from ..store.outline import Outline, content
from ..store.rows import StoredItem
from ..store.services import Observed
from ..xmpp.port import Item, ItemsPage, Rsm, Session
from .fetch import ITEM_OVERHEAD, unique

log = logging.getLogger(__name__)

# What an answer may weigh that looks at a node, in bytes: a node that fits is fetched as a whole.
LOOK = 32 * 1024
# Beside as many items as there were, so many new ones are asked for; nobody knows what they weigh.
SPARE = 5
NEWEST_AT_MOST = 20
# So many items as they were, at the old end of the newest, show that nothing older was published again.
UNMOVED = 3


class Copy(msgspec.Struct, frozen=True):
    """What is stored of a node. full: all of it, else the newest. keep: how many are kept at most, None for all."""

    outline: Outline
    full: bool
    keep: int | None


class Found(msgspec.Struct, frozen=True):
    """What a rung found: ``older`` items as they are stored, then ``newest``, the oldest first, and no others.

    whole: the service sent everything. full: whether it has no others; None when that is as it was.
    """

    rung: int
    newest: list[StoredItem]
    older: tuple[str, ...] = ()
    whole: bool = False
    full: bool | None = None


class Rungs:
    """One climb, at one node.

    moves: whether an overwritten item is known to become the newest. followed: whether events of the node come.
    touched: ids that events change meanwhile, after ``caught_up`` those of all that have come.
    """

    def __init__(
        self,
        session: Session,
        address: Address,
        copy: Copy,
        observed: Observed,
        *,
        moves: bool,
        followed: bool,
        parse: Callable[[Sequence[Item]], Awaitable[list[StoredItem]]],
        touched: Collection[str],
        caught_up: Callable[[], Awaitable[None]],
        contradicted: Callable[[Address, str], None],
    ) -> None:
        self._session = session
        self._address = address
        self._copy = copy
        self._observed = observed
        self._moves = moves
        self._followed = followed
        self._parse = parse
        self._touched = touched
        self._caught_up = caught_up
        self._contradicted = contradicted

    async def climb(self) -> Found | None:
        """What the first conclusive rung found; None when only a full fetch tells.

        Raises what the session raises.
        """
        outline = self._copy.outline
        weight = outline.heaviest + ITEM_OVERHEAD
        try:
            if weight * len(outline.lines) <= LOOK:
                return await self._whole(len(outline.lines) + SPARE)
            if self._moves and all(line.hash for line in outline.lines):
                return await self._newest(max(2 * UNMOVED, min(NEWEST_AT_MOST, LOOK // weight)))
        except errors.Timeout:
            # Perhaps what is new is more than the service can send at once.
            log.info("%s did not answer a look at it", self._address)
        return None

    async def _ask(self, most: int) -> ItemsPage:
        """The newest items, with the count where the service pages."""
        if self._observed.paging == "pages":
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
        if got.issuperset(self._copy.outline.ids):
            return True
        listed = await self._list()
        if listed is None:
            return False
        if missing := listed - got - set(self._touched):
            log.info("%s did not send %d of its items when asked for more", self._address, len(missing))
            return False
        return True

    async def _newest(self, most: int) -> Found | None:
        """Rung 3: the newest, and the count or, where there is none, rung 4: the ids."""
        page = await self._ask(most)
        items = unique(page.items)
        if len(items) != len(page.items) or not 0 < len(items) <= most:
            return None
        newest = await self._parse(items)
        older = self._older(newest)
        if older is None:
            return None
        if self._copy.full and page.rsm and page.count == len(older) + len(newest):
            return Found(3, newest, tuple(older))
        listed = await self._list()
        if listed is None or not self._agree(listed, newest, older):
            return None
        return Found(4, newest, tuple(id_ for id_ in older if id_ in listed))

    def _agree(self, listed: set[str], newest: Sequence[StoredItem], older: Sequence[str]) -> bool:
        """Whether all ids that the service lists are accounted for."""
        ids = {item.id for item in newest}
        touched = set(self._touched)
        if ids - listed - touched:
            return False
        stored = set(self._copy.outline.ids)
        # Of a window the service has older items, which are not stored; of those that are none may be out of place.
        strange = (listed if self._copy.full else listed & stored) - ids - set(older) - touched
        if strange and self._followed:
            self._contradicted(self._address, f"{len(strange)} items are there that should be among the newest")
        return not strange

    def _older(self, newest: Sequence[StoredItem]) -> list[str] | None:
        """What is stored and older than all of these; None unless the first of them stand as they stood."""
        lines = self._copy.outline.lines
        places = {line.id: number for number, line in enumerate(lines)}
        last = -1
        unmoved = 0
        for item in newest:
            place = places.get(item.id)
            if place is None or place <= last or item.id in self._touched or content(item) != lines[place].hash:
                break
            last = place
            unmoved += 1
        if unmoved < min(UNMOVED, len(newest)):
            return None
        ids = {item.id for item in newest}
        return [line.id for line in lines[: places[newest[0].id]] if line.id not in ids]

    async def _list(self) -> set[str] | None:
        """The ids of all items; None where the service does not list them."""
        try:
            listed = await self._session.disco_items(self._address.service, self._address.node)
        except errors.StanzaError as refusal:
            log.info("%s does not list its items: %s", self._address, refusal.message)
            return None
        # What came before this reply is older than it.
        await self._caught_up()
        return {item.name for item in listed if item.name}

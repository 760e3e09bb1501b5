"""Facts: what services were observed to do, for what they advertise decides nothing.

Kept by account and service, over restarts; the accounts' own services at one domain are one service. A fact is
believed after it was seen often enough, and forgotten when it is contradicted, which makes it harder to believe again.
Source: the coherence model, "Revalidation ladder" and "What the protocol forces".
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Collection, Sequence

import msgspec

from ... import jid
from ...address import Address, drop_account
from ...store.accounts import services
from ...store.accounts.services import Observed, Paging
from ...store.items.outline import Outline
from ...store.rows import StoredItem
from ...store.store import Store

log = logging.getLogger(__name__)

# One sight of an overwritten item that came last may be an item that was removed in silence and published anew.
ENOUGH = 2
# A service that contradicts itself is believed after twice as many sights each time, up to so many doublings.
DOUBLINGS_AT_MOST = 16

_PAGING: dict[Paging, str] = {
    "pages": "pages are honoured",
    "none": "pages are ignored",
    "wrong": "pages are not to be relied on",
}


class Facts:
    """What is known of services."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._observed: dict[tuple[str, str], Observed] = {}

    async def load(self, account: str = "") -> None:
        """Know what was observed before this start, or by another daemon for an account until now."""
        found = await self._store.read(services.all)
        mine = {key: observed for key, observed in self._observed.items() if account and key[0] != account}
        # What is known here may not be written down yet.
        self._observed = found | mine

    def forget(self) -> None:
        """Everything is forgotten, in the database as well."""
        self._observed.clear()

    def forget_account(self, account: str) -> None:
        """The account was removed."""
        drop_account(account, self._observed)

    def of(self, address: Address) -> Observed:
        """What was observed of the node's service."""
        return self._observed.get(_key(address), Observed())

    def verdict(self, address: Address) -> bool | None:
        """Whether an overwritten item becomes the newest at the node's service; None while that is not known."""
        observed = self.of(address)
        if observed.moved >= ENOUGH << min(observed.kept, DOUBLINGS_AT_MOST):
            return True
        return False if observed.kept else None

    def moves(self, address: Address) -> bool:
        """Whether an overwritten item becomes the newest at the node's service, as far as can be known."""
        return self.verdict(address) is True

    def overwritten(self, address: Address, moved: bool) -> None:
        """An overwritten item was found to be the newest, or in its old place."""
        before = self.of(address)
        if moved:
            self._put(address, msgspec.structs.replace(before, moved=before.moved + 1))
        else:
            self.contradicted(address, f"an overwritten item stayed in its place, and {before.moved} moved before")

    def contradicted(self, address: Address, what: str) -> None:
        """The service did what one that moves overwritten items can't do."""
        before = self.of(address)
        if before.moved:
            log.warning("%s: %s; its nodes are fetched as a whole from now on", address, what)
        self._put(address, msgspec.structs.replace(before, moved=0, kept=before.kept + 1))

    def archives(self, address: Address) -> bool:
        """Whether the archive of the node is known to be its items; an account's is the person's."""
        return "@" not in address.service and self.of(address).archived >= ENOUGH

    def archive(self, address: Address, right: bool) -> None:
        """The archive of the node was found to be its items, or not."""
        before = self.of(address)
        if not right and before.archived:
            log.warning("%s has an archive that is not its items; it is not asked any more", address)
        self._put(address, msgspec.structs.replace(before, archived=before.archived + 1 if right else 0))

    def pages(self, address: Address, paging: Paging) -> None:
        """How the service answers a request for a page."""
        before = self.of(address)
        if paging != before.paging:
            log.info("%s: %s", address, _PAGING[paging])
            self._put(address, msgspec.structs.replace(before, paging=paging))

    def _put(self, address: Address, observed: Observed) -> None:
        account, service = key = _key(address)
        self._observed[key] = observed
        written = self._store.write(services.put, account, service, observed)
        written.add_done_callback(_log_failure)


def learnt(before: Outline, after: Sequence[StoredItem], touched: Collection[str]) -> bool | None:
    """What a gap shows: whether an item that was overwritten in it became the newest; None when it shows nothing.

    before: the copy of before the gap. after: all that the service has now. touched: what events changed meanwhile.
    An item is a witness that stayed as it was, and was both published and made after the overwritten one.
    """
    places = {item.id: number for number, item in enumerate(after)}
    contents = {item.id: item.hash for item in after}
    there = [line for line in before.lines if line.id in places and line.id not in touched and line.hash]
    verdict: bool | None = None
    witnesses = _Witnesses()
    for line in reversed(there):
        if contents[line.id] == line.hash:
            witnesses.add(line.created, places[line.id])
            continue
        last = witnesses.last_place(line.created)
        if last is not None and last > places[line.id]:
            return False
        if last is not None:
            verdict = True
    return verdict


class _Witnesses:
    """Of items that stayed as they were those behind which no other stands that was also made later."""

    def __init__(self) -> None:
        # Made one after the other, each of them standing before the one that was made before it.
        self._created: list[int] = []
        self._places: list[int] = []

    def add(self, created: int, place: int) -> None:
        at = bisect_right(self._created, created)
        if at < len(self._places) and self._places[at] >= place:
            return
        first = at
        while first and self._places[first - 1] <= place:
            first -= 1
        self._created[first:at] = [created]
        self._places[first:at] = [place]

    def last_place(self, created: int) -> int | None:
        """The last place of one that was made later."""
        at = bisect_right(self._created, created)
        return self._places[at] if at < len(self._places) else None


def _key(address: Address) -> tuple[str, str]:
    service = address.service
    return address.account, f"@{jid.domain(service)}" if "@" in service else service


def _log_failure(written: asyncio.Future[None]) -> None:
    if not written.cancelled() and (error := written.exception()) is not None:
        log.warning("what was observed of a service could not be written down: %s", error)

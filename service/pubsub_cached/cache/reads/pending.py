"""What waits in the outbox, shown among the items of a node that is kept.

An item that waits to be published stands before all others in the orders that have the newest first, for that is
where it will be; elsewhere, in pages by ``before`` and ``index`` and those that follow them, and in walks that began at
the service before the node was kept, it takes the place of the one it will replace. One that waits to be retracted
stays where it is. All of them say ``pending``. Nothing of this is in the database: that holds what the service said.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from ... import errors
from ...address import Address
from ...records import InfoRecord, ItemRecord
from ...replies import fitting, trimmed
from ...store.accounts.outbox import Entry
from ...xmpp import payload as xml
from ...xmpp.port import Item
from .. import cursor as cursors
from ..options import ReadOptions
from ..place import Place
from .pages import Answer

# The others are the service's word alone.
POLICIES = frozenset({"default", "cache"})
NEWEST_FIRST = frozenset({("modified", True), ("created", True)})


class Overlay:
    """Answers one read with what waits. get: reads without it. records: what items' payloads say."""

    def __init__(
        self,
        address: Address,
        waiting: Sequence[Entry],
        get: Callable[[ReadOptions], Awaitable[Answer]],
        records: Callable[[Sequence[Item]], Awaitable[list[ItemRecord]]],
    ) -> None:
        self._address = address
        self._get = get
        self._records = records
        last = {id_: entry for entry in waiting for id_ in entry.items}
        newest = reversed(waiting)
        self._published = {
            id_: entry for entry in newest for id_ in entry.items if last[id_] is entry and entry.action == "publish"
        }
        self._retracted = {id_ for id_, entry in last.items() if entry.action == "retract"}

    async def read(self, options: ReadOptions) -> Answer:
        """The items, those that wait among them."""
        newest_first = options.order[0] in NEWEST_FIRST
        place = self._place(options)
        if place is not None and place.ids is not None:
            return await self._named(options, place, place.ids, newest_first)
        if newest_first and (placed := self._placed(options, place)) is not None:
            items, cursor, info = await self._in_place(placed, dropped=False)
            return items, cursors.encode(self._purpose(options, "in place"), cursor) if cursor else "", info
        given = self._given(options) if newest_first else None
        if given is None:
            return await self._in_place(options, dropped=newest_first)
        return await self._in_front(options, given)

    def _place(self, options: ReadOptions) -> Place | None:
        """The place without what waits; None where the cursor is one of those that are made here."""
        try:
            return Place.of(self._address, options)
        except errors.InvalidCursor:
            return None

    def _placed(self, options: ReadOptions, place: Place | None) -> ReadOptions | None:
        """The read without what waits, where its page does not go on from the first of those that do; else None."""
        begun_at_service = place is not None and place.walks and not place.past_window
        if begun_at_service or options.before is not None or options.index is not None:
            return options
        cursor = self._decoded(options, "in place")
        return msgspec.structs.replace(options, cursor=cursor) if isinstance(cursor, str) else None

    def _given(self, options: ReadOptions) -> int | None:
        """How many of those that wait came on earlier pages; None when all did, or the read is not about them."""
        if options.cursor:
            last = self._decoded(options, "in front")
            # The one that came last may be gone, and those before it still wait. Else a place among those that don't.
            return sum(entry.id >= last for entry in self._published.values()) if isinstance(last, int) else None
        if options.after:
            ids = list(self._published)
            return ids.index(options.after) + 1 if options.after in ids else None
        return 0

    async def _in_front(self, options: ReadOptions, given: int) -> Answer:
        """A page that begins among those that wait, and goes on with the first of the others."""
        stored = msgspec.structs.replace(options, cursor="", after=None)
        ids = list(self._published)[given:]
        if not ids:
            return await self._in_place(stored, dropped=True)
        shown = await self._fitting(ids, options)
        if len(shown) == len(ids) < options.limit:
            limit = options.limit - len(shown)
            items, cursor, info = await self._in_place(msgspec.structs.replace(stored, limit=limit), dropped=True)
            if fitting(shown + items, options.max_bytes) == len(shown) + len(items):
                return shown + items, cursor, _scattered(info)
        items, onward, info = await self._get(stored)
        more = len(ids) > len(shown) or onward or any(item["id"] not in self._published for item in items)
        last = self._published[ids[len(shown) - 1]]
        return shown, cursors.encode(self._purpose(options, "in front"), last.id) if more else "", _scattered(info)

    async def _in_place(self, options: ReadOptions, *, dropped: bool) -> Answer:
        """The items with those replaced that wait, or left out where they came before."""
        items, cursor, info = await self._get(options)
        while dropped and cursor and all(item["id"] in self._published for item in items):
            # Whoever sees an empty page may take it for the end.
            options = msgspec.structs.replace(options, cursor=cursor, after=None)
            items, cursor, info = await self._get(options)
        ids = [] if dropped else [item["id"] for item in items if item["id"] in self._published]
        waiting = dict(zip(ids, await self._pending(ids, options), strict=True))
        found = [
            waiting.get(item["id"]) or self._marked(item, options)
            for item in items
            if item["id"] in waiting or item["id"] not in self._published
        ]
        if (fit := fitting(found, options.max_bytes)) < len(found):
            # What waits is larger than what it replaces.
            return await self._in_place(msgspec.structs.replace(options, limit=fit), dropped=dropped)
        return found, cursor, info if len(found) == len(items) else _scattered(info)

    async def _named(self, options: ReadOptions, place: Place, ids: Sequence[str], newest_first: bool) -> Answer:
        waiting = [id_ for id_ in self._published if id_ in ids]
        # Past a window the service is asked, which does not have what waits.
        others = tuple(id_ for id_ in ids if id_ not in self._published)
        items, cursor, info = await self._get(msgspec.structs.replace(options, cursor="", ids=others))
        asked = await self._fitting(waiting, options)
        marked = [self._marked(item, options) for item in items]
        found = asked + marked if newest_first else marked + asked
        found = found[: min(options.limit, fitting(found, options.max_bytes))]
        if cursor or len(found) < len(waiting) + len(items):
            cursor = place.rest(found)
        return found, cursor, info

    async def _fitting(self, ids: Sequence[str], options: ReadOptions) -> list[ItemRecord]:
        """The first of the items that wait to be published, as many as one answer may have."""
        payloads: list[ItemRecord] = [{"payload": self._published[id_].payload} for id_ in ids[: options.limit]]
        records = await self._pending(ids[: fitting(payloads, options.max_bytes)], options)
        return records[: fitting(records, options.max_bytes)]

    async def _pending(self, ids: Sequence[str], options: ReadOptions) -> list[ItemRecord]:
        """Items that wait to be published."""
        entries = [self._published[id_] for id_ in ids]
        records = await self._records(
            [
                Item(id_, entry.payload, xml.namespace_of(entry.payload), entry.address.account)
                for id_, entry in zip(ids, entries, strict=True)
            ]
        )
        for record, entry in zip(records, entries, strict=True):
            record["created"] = record["modified"] = entry.queued_at
            record["pending"] = True
        return [trimmed(record, options.fields) for record in records]

    def _marked(self, item: ItemRecord, options: ReadOptions) -> ItemRecord:
        if item["id"] in self._retracted:
            item["pending"] = True
        return trimmed(item, options.fields)

    def _decoded(self, options: ReadOptions, where: str) -> object:
        """What a cursor says that was made here, None for another."""
        try:
            return cursors.decode(self._purpose(options, where), options.cursor)
        except errors.InvalidCursor:
            return None

    def _purpose(self, options: ReadOptions, where: str) -> str:
        order = ",".join(f"{key} {descending:d}" for key, descending in options.order)
        return "\0".join((f"GetItems pending {where}", *self._address, order))


def _scattered(info: InfoRecord) -> InfoRecord:
    """What is said of the items no longer stands for a range of the node's."""
    kept = {key: value for key, value in info.items() if key not in ("first", "last", "index")}
    return kept  # type: ignore[return-value]

"""Reads answered by the service: passed through, parsed, never stored.

Every answer is newest first unless an order is asked for that only all of the items can give.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ... import errors
from ...address import Address
from ...records import InfoRecord, ItemRecord
from ...replies import fitting, trimmed
from ...xmpp.port import Item, Session
from ..options import ReadOptions
from ..place import Place
from ..sync import fetch
from ..sync.batches import by_ids
from ..sync.order import by_id, oldest_first


class ServicePage(msgspec.Struct, frozen=True):
    """Items in the order that was asked for.

    newest: the newest item where the page shows it. index: of the first item, where known.
    more: whether the node goes on after the page. total: where the service showed it.
    """

    items: tuple[Item, ...]
    more: bool
    newest: Item | None = None
    index: int | None = None
    total: int | None = None


def only(newest: Item | None) -> ServicePage:
    """The newest item, or a node without any."""
    if newest is None:
        return ServicePage((), more=False, total=0)
    return ServicePage((newest,), more=True, newest=newest, index=0)


async def read(
    session: Session,
    address: Address,
    options: ReadOptions,
    place: Place,
    held: frozenset[str] = frozenset(),
) -> ServicePage:
    """A page from the service.

    held: what was given before the place, wherever the service has it: that is not given again.
    Raises NoSuchItem for an unknown place, NotSupported for what the service does not show, and what the session does.
    """
    if place.ids is not None:
        found = await by_ids(session, address, place.ids)
        if options.order[0][0] == "id":
            found = tuple(_ordered(found, options))
        return ServicePage(found[: options.limit], more=len(found) > options.limit)
    positioned = place.after or options.before is not None or options.index is not None
    if not positioned and options.newest_first:
        return await _newest(session, address, options.limit)
    if (options.newest_first or options.oldest_first) and not fetch.own_server(address):
        page = await _from_place(session, address, options, place, held)
        if page is not None:
            return page
    fetched = await fetch.fetch(session, address, None, lambda done, total: None)
    return _from_all(address, fetched, options, place, held)


def answer(
    records: list[ItemRecord],
    page: ServicePage,
    options: ReadOptions,
    place: Place,
    info: InfoRecord,
    *,
    past_window: bool,
) -> tuple[list[ItemRecord], str, InfoRecord]:
    """What is replied with a page's records: as many as fit, and a cursor that goes on behind them.

    past_window: what the cache holds was given before.
    """
    records = [trimmed(record, options.fields) for record in records]
    fit = fitting(records, options.max_bytes)
    more = page.more or fit < len(records)
    records = records[:fit]
    cursor = ""
    if more and place.ids is not None:
        cursor = place.rest(records)
    elif more and records and records[-1]["id"]:
        cursor = place.behind([record["id"] for record in records], past_window=past_window)
    if page.total is not None:
        info["total"] = page.total
    if records and page.index is not None:
        info["first"], info["last"], info["index"] = records[0]["id"], records[-1]["id"], page.index
    return records, cursor, info


async def _newest(session: Session, address: Address, limit: int) -> ServicePage:
    # One more than wanted tells whether there is more.
    page = await session.get_items(address.service, address.node, max_items=limit + 1)
    items = page.items[::-1]
    newest = items[0] if items else None
    # A service may have cut its reply, and says so by the count.
    if len(items) > limit or (page.count or 0) > len(items):
        return ServicePage(items[:limit], True, newest, 0, page.count)
    return ServicePage(items, False, newest, 0, len(items))


def _from_all(
    address: Address, fetched: fetch.Fetched, options: ReadOptions, place: Place, held: frozenset[str]
) -> ServicePage:
    """A page of all that the service shows; NotSupported for a page of others."""
    ordered = _ordered(fetched.items, options)
    items = {item.id: item for item in ordered}
    newest = fetched.items[-1] if fetched.items else None
    try:
        ids, more, index = _page([item.id for item in ordered], options, place, held)
    except errors.NoSuchItem:
        if fetched.full:
            raise
        ids, more, index = [], True, 0
    if fetched.full:
        return ServicePage(tuple(items[id_] for id_ in ids), more, newest, index, len(fetched.items))
    if not ids or not options.newest_first or options.before == "":
        raise errors.NotSupported(f"The service of {address} shows only its {len(fetched.items)} newest items.")
    return ServicePage(tuple(items[id_] for id_ in ids), True, newest, index)


async def _from_place(
    session: Session, address: Address, options: ReadOptions, place: Place, held: frozenset[str]
) -> ServicePage | None:
    """A page somewhere in a large node: the ids are listed, the page is fetched by id; None if they tell no order."""
    try:
        listed = await session.disco_items(address.service, address.node)
    except errors.StanzaError:
        # It may have pages all the same; a refusal of the node is met again.
        return None
    probe = await session.get_items(address.service, address.node, max_items=1)
    ordered = oldest_first(listed, probe.items)
    if ordered is None or ("@" in address.service and by_id(listed)):
        return None
    ids, more, index = _page(ordered[::-1] if options.newest_first else ordered, options, place, held)
    items = await by_ids(session, address, ids)
    newest = probe.items[-1] if probe.items else None
    return ServicePage(items, more, newest, index, len(ordered))


def _ordered(items: Sequence[Item], options: ReadOptions) -> list[Item]:
    """By the first key: the service's own order stands for both times."""
    key, descending = options.order[0]
    if key == "id":
        return sorted(items, key=lambda item: item.id, reverse=descending)
    return list(reversed(items)) if descending else list(items)


def _page(ids: list[str], options: ReadOptions, place: Place, held: frozenset[str]) -> tuple[list[str], bool, int]:
    """The page's own of all ids in the asked order, whether there are others after it, and how many come before it."""
    if options.before is not None:
        end = len(ids) if options.before == "" else _find(ids, options.before)
        start = max(0, end - options.limit)
        return ids[start:end], end < len(ids), start
    start = _behind(ids, options, place, held) if place.after else min(options.index or 0, len(ids))
    given = held.union(place.after)
    rest = [id_ for id_ in ids[start:] if id_ not in given]
    before = len(ids) - len(rest) if held or not rest else ids.index(rest[0])
    return rest[: options.limit], len(rest) > options.limit, before


def _behind(ids: list[str], options: ReadOptions, place: Place, held: frozenset[str]) -> int:
    """Where the items begin that come after those that were given last."""
    last = place.after[-1]
    if place.position is not None and not held.isdisjoint(ids) and (last in held or last not in ids):
        # All of a window was given. Any of its items may be among the oldest here, published again in their places.
        return 0
    key, descending = options.order[0]
    there = [ids.index(id_) for id_ in place.after if id_ in ids]
    if not there:
        return _find(ids, last)
    # What is published again meanwhile is the newest at most services, and so farthest from its place.
    if descending or key == "id":
        return (max(there) if descending and key != "id" else min(there)) + 1
    start = min(there) + 1
    if place.given is not None and start > place.given.count - len(place.after) + place.after.index(ids[start - 1]) + 1:
        # More stands before it than was given before it: all of them went there.
        if place.given.count > len(place.after):
            raise _unknown(last)
        return 0
    return start


def _find(ids: list[str], id_: str) -> int:
    try:
        return ids.index(id_)
    except ValueError:
        raise _unknown(id_) from None


def _unknown(id_: str) -> errors.NoSuchItem:
    return errors.NoSuchItem(f"There is no item '{id_}' to page from; begin again without it.")

"""What a service has for the account: nodes, subscriptions, affiliations, page by page.

Always the service's answer. Pages are cut here where the service does not page (most do not).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from ... import errors
from ...address import Address
from ...records import AffiliationRecord, DiscoveredRecord, SubscriptionRecord
from ...xmpp.port import DiscoItem, Rsm, Session
from .. import cursor as cursors
from ..accounts.account import Account
from ..accounts.accounts import Accounts
from ..nodes.metadata import first
from ..nodes.nodes import Nodes
from ..options import LIMIT, TIMEOUT
from ..reads.pass_through import PassThrough
from ..revalidation.distrust import Distrust
from ..revalidation.silence import Silence
from ..sync.listings import by_node
from .hearing import Hearing

R = TypeVar("R", SubscriptionRecord, AffiliationRecord)

# Nodes whose metadata is asked for at once, and how long (s) a call goes on asking before it ends its page early.
AT_ONCE = 8
ASKING_SECONDS = 8.0
ASK_TIMEOUT = 6.0
LISTING_TIMEOUT = 12.0
# Entries asked of a service that pages.
PAGE = 100


class Discovery:
    """Lists what services have. Everything raises Offline, Timeout, StanzaError and InvalidCursor."""

    def __init__(
        self,
        accounts: Accounts,
        nodes: Nodes,
        silence: Silence,
        distrust: Distrust,
        pass_through: PassThrough,
        hearing: Hearing,
    ) -> None:
        self._accounts = accounts
        self._nodes = nodes
        self._silence = silence
        self._distrust = distrust
        self._pass_through = pass_through
        self._hearing = hearing

    async def subscriptions(
        self, address: Address, limit: int = LIMIT, cursor: str = ""
    ) -> tuple[list[SubscriptionRecord], str]:
        """The account's subscriptions at a service, by node."""
        purpose = _purpose("ListSubscriptions", address)
        after = _key(purpose, cursor)
        session, seconds = await self._session(address)
        followed: list[Address] = []
        async with self._distrust.if_unwritten(address, "subscription"):
            followed = await self._silence.followed(address.account, address.service)
        listed = await session.subscriptions(address.service, timeout=seconds)
        async with self._distrust.if_unwritten(address, "subscription"):
            await self._silence.compare(followed, by_node(listed))
        records: dict[tuple[str, ...], SubscriptionRecord] = {}
        for found in listed:
            record: SubscriptionRecord = {"node": found.node, "jid": found.jid, "state": found.state}
            if found.subid:
                record["subid"] = found.subid
            records[found.node, found.jid, found.subid] = record
        return _cut(purpose, records, limit, after)

    async def affiliations(
        self, address: Address, limit: int = LIMIT, cursor: str = ""
    ) -> tuple[list[AffiliationRecord], str]:
        """What the account is to the nodes of a service, by node."""
        purpose = _purpose("ListAffiliations", address)
        after = _key(purpose, cursor)
        session, seconds = await self._session(address)
        found = await session.affiliations(address.service, timeout=seconds)
        for each in found:
            node = address._replace(node=each.node)
            async with self._distrust.if_unwritten(node, "affiliation"):
                await self._hearing.affiliated(node, each.affiliation)
        records: dict[tuple[str, ...], AffiliationRecord] = {
            (each.node,): {"node": each.node, "affiliation": each.affiliation} for each in found
        }
        return _cut(purpose, records, limit, after)

    async def nodes(
        self, address: Address, type: str = "", limit: int = LIMIT, cursor: str = ""
    ) -> tuple[list[DiscoveredRecord], str]:
        """What a service lists, or one of its nodes (``address.node``); with ``type`` only nodes of this pubsub#type.

        A page may hold fewer than ``limit`` although there is more: the cursor alone says that it is the end.
        """
        purpose = _purpose("Discover", address, type)
        place: Place | None = cursors.decode(purpose, cursor) if cursor else ["page", None, 0]
        account = self._accounts.get(address.account)
        session, seconds = await account.session_within(TIMEOUT)
        clock = asyncio.get_running_loop().time
        deadline, until = clock() + ASKING_SECONDS, clock() + seconds
        found: list[DiscoItem] = []
        while place is not None and len(found) < limit:
            timeout = min(LISTING_TIMEOUT, round(until - ASK_TIMEOUT - clock(), 1))
            batch = await self._batch(session, address, place, timeout)
            looked = 0
            while looked < len(batch.entries) and len(found) < limit and (not looked or clock() < deadline):
                entries = batch.entries[looked : looked + min(AT_ONCE, limit - len(found))]
                found += await self._of_type(account, entries, type)
                looked += len(entries)
            place = batch.following if looked == len(batch.entries) else _further(place, batch, looked)
            if clock() > deadline:
                break
        return [_record(item) for item in found], cursors.encode(purpose, place) if place is not None else ""

    async def _batch(self, session: Session, address: Address, place: Place, timeout: float) -> _Batch:
        before = None
        if address.node:
            async with self._distrust.if_unwritten(address, "disagreement"):
                before = await self._nodes.find(address)
        async with self._distrust.if_refused(address, *(("gone", "denied") if address.node else ())):
            batch = await _batch(session, address, place, timeout)
        for item in batch.entries:
            if item.node:
                self._hearing.exists(address._replace(service=item.jid, node=item.node))
        if address.node and place[0] == "page":
            ids = [item.name for item in batch.entries if item.name and not item.node]
            whole = not batch.paged and len(ids) == len(batch.entries)
            async with self._distrust.if_unwritten(address, "disagreement"):
                await self._pass_through.listed(before, ids, whole=whole)
        return batch

    async def _of_type(self, account: Account, entries: Sequence[DiscoItem], type: str) -> list[DiscoItem]:
        """Those of the entries that are nodes of this type; all of them without one."""
        if not type:
            return list(entries)
        types = await asyncio.gather(*(self._type(account, item) for item in entries))
        return [item for item, its in zip(entries, types, strict=True) if its == type]

    async def _type(self, account: Account, item: DiscoItem) -> str:
        """A node's pubsub#type; "" where it has none, or may not be looked at."""
        if not item.node:
            return ""
        try:
            info = await account.session.disco_info(item.jid, item.node, timeout=ASK_TIMEOUT)
        except (errors.StanzaError, errors.Timeout):
            return ""
        address = Address(account.jid, item.jid, item.node)
        async with self._distrust.if_unwritten(address, "configuration"):
            await self._hearing.described(account, address, info)
        return first(info, "pubsub#type")

    async def _session(self, address: Address) -> tuple[Session, float]:
        return await self._accounts.get(address.account).session_within(TIMEOUT)


# A place in what a service lists. ``["page", after, skip]``: in the service's own pages, after ``skip`` entries of the
# one that follows ``after``. ``["after", jid, node, name]``: in the order made here, for a service that does not page.
Place = list[Any]


class _Batch(NamedTuple):
    """Entries from a place on, whether they are a page of the service, and the place after them (None: the end)."""

    entries: Sequence[DiscoItem]
    paged: bool
    following: Place | None


async def _batch(session: Session, address: Address, place: Place, timeout: float) -> _Batch:
    match place:
        case ["page", (str() | None) as after, int(skip)]:
            page = await session.disco_page(address.service, address.node, Rsm(PAGE, after=after), timeout=timeout)
            if not page.rsm:
                return _Batch(sorted(page.items, key=_order), False, None)
            ended = not page.items or page.last is None or page.last == after
            return _Batch(page.items[skip:], True, None if ended else ["page", page.last, 0])
        case ["after", str(jid), str(node), str(name)]:
            everything = await session.disco_items(address.service, address.node, timeout=timeout)
            rest = [item for item in everything if _order(item) > (jid, node, name)]
            return _Batch(sorted(rest, key=_order), False, None)
    raise errors.InvalidCursor("The cursor was not made by this call; begin again without a cursor.")


def _further(place: Place, batch: _Batch, looked: int) -> Place:
    """The place after some of the entries of a batch."""
    if batch.paged:
        return ["page", place[1], place[2] + looked]
    return ["after", *_order(batch.entries[looked - 1])]


def _order(item: DiscoItem) -> tuple[str, str, str]:
    return item.jid, item.node, item.name


def _record(item: DiscoItem) -> DiscoveredRecord:
    record: DiscoveredRecord = {"jid": item.jid}
    if item.node:
        record["node"] = item.node
    if item.name:
        record["name"] = item.name
    return record


def _purpose(method: str, address: Address, *more: str) -> str:
    return "\0".join((method, *address, *more))


def _key(purpose: str, cursor: str) -> tuple[str, ...]:
    """The key of the last record of the page before; empty at the start."""
    if not cursor:
        return ()
    decoded = cursors.decode(purpose, cursor)
    if not isinstance(decoded, list) or not all(isinstance(part, str) for part in decoded):
        raise cursors.invalid(cursor)
    return tuple(decoded)


def _cut(purpose: str, records: dict[tuple[str, ...], R], limit: int, after: tuple[str, ...]) -> tuple[list[R], str]:
    """The page of records after a key, in the order of the keys."""
    keys = sorted(key for key in records if key > after)
    page = keys[:limit]
    cursor = cursors.encode(purpose, list(page[-1])) if len(keys) > limit else ""
    return [records[key] for key in page], cursor

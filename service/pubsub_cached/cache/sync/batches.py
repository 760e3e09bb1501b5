"""Items by their ids (XEP-0060 6.5.8): in one reply, or in several that a service can carry, two under way at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from ... import errors
from ...address import Address
from ...xmpp.port import Item, Session
from .ahead import Ahead

# How long a service may take for one reply, seconds.
REPLY_SECONDS = 60.0
# What a reply of a service that is not the account's own server may weigh, in bytes.
REPLY_BUDGET = 200 * 1024
PAGE_AT_MOST = 100
# By how much a batch shrinks when its reply did not come.
SMALLER = 4
# So many batches are under way at once, once a reply has borne their size out.
BATCHES_AT_ONCE = 2
# A stanza around each item, beside its payload.
ITEM_OVERHEAD = 200

Progress = Callable[[int, int], None]
# What is done with the items of a reply while the next one is under way.
Meanwhile = Callable[[Sequence[Item]], Awaitable[object]]


async def by_ids(
    session: Session, address: Address, ids: Sequence[str], *, timeout: float = REPLY_SECONDS
) -> tuple[Item, ...]:
    """Items in the order of ``ids``, each once; missing ones are left out, also by services that refuse all then."""
    ids = [id_ for id_ in dict.fromkeys(ids) if id_]
    if not ids:
        return ()
    try:
        page = await session.get_items(address.service, address.node, ids=ids, timeout=timeout)
        found = {item.id: item for item in page.items}
    except errors.StanzaError as error:
        if error.condition != "item-not-found" or error.pubsub_condition:
            raise
        found = await _one_by_one(session, address, ids)
    return tuple(found[id_] for id_ in ids if id_ in found)


async def _one_by_one(session: Session, address: Address, ids: Sequence[str]) -> dict[str, Item]:
    """For services that refuse all ids when one is missing; raises when it is the node that is."""
    await session.get_items(address.service, address.node, max_items=1)
    found: dict[str, Item] = {}
    for id_ in ids if len(ids) > 1 else ():
        try:
            page = await session.get_items(address.service, address.node, ids=[id_])
        except errors.StanzaError as error:
            if error.condition != "item-not-found":
                raise
            continue
        found.update((item.id, item) for item in page.items)
    return found


async def some(session: Session, address: Address, ids: Sequence[str], heaviest: int) -> tuple[Item, ...]:
    """Those of the items that are there, in this order; heaviest: characters that a payload is expected to have."""
    return await by_batches(session, address, ids, fitting(heaviest), lambda done, total: None, nothing)


async def by_batches(
    session: Session, address: Address, ids: Sequence[str], size: int, progress: Progress, meanwhile: Meanwhile
) -> tuple[Item, ...]:
    """Those of the items that are there, in this order; size: of the first batch. Raises what the session raises."""
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


async def nothing(items: Sequence[Item]) -> None:
    """Nothing to do meanwhile."""


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
                    self._size = min(self._size, batch_size(came))
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


def batch_size(items: Sequence[Item]) -> int:
    """How many items of this weight fit into one reply."""
    return fitting(max((len(item.payload) for item in items), default=0))


def fitting(heaviest: int) -> int:
    """How many items whose payloads have so many characters fit into one reply."""
    return max(1, min(PAGE_AT_MOST, REPLY_BUDGET // (heaviest + ITEM_OVERHEAD)))

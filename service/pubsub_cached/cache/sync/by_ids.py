"""Items by their ids (XEP-0060 6.5.8), of services that leave out what is missing and of those that refuse all then."""

from __future__ import annotations

from collections.abc import Sequence

from ... import errors
from ...address import Address
from ...xmpp.port import Item, Session

# How long a service may take for one reply, seconds.
REPLY_SECONDS = 60.0


async def by_ids(
    session: Session, address: Address, ids: Sequence[str], *, timeout: float = REPLY_SECONDS
) -> tuple[Item, ...]:
    """Items in the order of ``ids``, each once; missing ones are left out."""
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

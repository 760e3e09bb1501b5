"""Lacking: stored items that should be among the newest of a service, and were not among those that it gave.

Where a service leaves in its place what is published again, an event may have told of an old item, which is among the
newest here and not there. Such items are told from those that are gone by the ids, and fetched by them. Source: the
coherence model, "What the protocol forces".
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from ... import errors
from ...address import Address
from ...store.items.order import made_room
from ...store.items.outline import Outline
from ...store.rows import StoredItem
from ...xmpp.port import Session
from ..parsing.parsing import Parse
from . import batches
from .rungs import Found

log = logging.getLogger(__name__)


async def look_up(
    session: Session,
    address: Address,
    before: Outline,
    found: Found,
    parse: Parse,
) -> Found:
    """What was found, which is the newest, with what it lacks of the stored as the service has it.

    Of a service that can't be asked what it has, all that is lacking may be there.
    """
    if not (lacking := _lacking(before, found.newest)):
        return found
    try:
        listed = {item.name for item in await session.disco_items(address.service, address.node) if item.name}
    except (errors.StanzaError, errors.Timeout) as refusal:
        log.info("%s does not list its items: %s", address, refusal.message)
        listed = set()
    if not listed:
        return msgspec.structs.replace(found, there=frozenset(lacking))
    if not (there := [id_ for id_ in lacking if id_ in listed]):
        return found
    found = msgspec.structs.replace(found, there=frozenset(there))
    try:
        items = await batches.some(session, address, there, before.heaviest)
    except (errors.StanzaError, errors.Timeout) as refusal:
        log.info("%s does not give its items by their ids: %s", address, refusal.message)
        return found
    return msgspec.structs.replace(found, newest=[*await parse(items), *found.newest])


def _lacking(before: Outline, newest: Sequence[StoredItem]) -> list[str]:
    """What is stored and, by its publication or its creation, not older than the oldest of these that is stored.

    All that is stored where some of these made room for it, and so are older than it, if it is there still.
    """
    places = {line.id: number for number, line in enumerate(before.lines)}
    oldest = next((places[item.id] for item in newest if item.id in places), None)
    if oldest is None:
        return []
    made, came = before.lines[oldest].created, {item.id for item in newest}
    older = made_room((item.id for item in newest), places)
    return [
        line.id
        for number, line in enumerate(before.lines)
        if line.id not in came and (older or number > oldest or line.created > made)
    ]

"""What a service says of a node apart from its items: its configuration, and disco#info (XEP-0060 5.4, 8.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ... import errors
from ...address import Address
from ...store.rows import NodeRow
from ...xmpp.port import TRUE, DiscoInfo, FormField, Session
from .item_expire import seconds

# Fields of a node's metadata, and of its configuration, by the column that they fill (XEP-0060 5.4, 16.4.4).
_METADATA = {
    "pubsub#title": "title",
    "pubsub#description": "description",
    "pubsub#access_model": "access_model",
    "pubsub#type": "node_type",
    "pubsub#max_items": "max_items",
    "pubsub#item_expire": "item_expire",
}
# Those that may be empty: such a field says that there is none.
_MAY_BE_EMPTY = frozenset({"pubsub#title", "pubsub#description", "pubsub#type"})
# A configuration that has these fields leaves nothing to ask disco#info for.
DECISIVE = frozenset({"pubsub#type", "pubsub#access_model"})


async def describe(session: Session, address: Address) -> DiscoInfo:
    """A node's metadata (XEP-0060 5.4); a service that refuses it merely says nothing.

    Of an own node its configuration, which says the same and, to owners only, how many items it keeps, how long.
    disco#info, which costs ejabberd as much as all items and tells nothing, only where that is missing.
    """
    own = await _configuration(session, address)
    if own.metadata.keys() >= DECISIVE:
        return own
    info = await _info(session, address)
    return msgspec.structs.replace(info, metadata=own.metadata | info.metadata)


def configured(fields: Iterable[FormField]) -> DiscoInfo:
    """A node's configuration as its metadata."""
    return DiscoInfo(metadata={each.name: [*each.values] for each in fields if each.name.startswith("pubsub#")})


def first(info: DiscoInfo, name: str) -> str:
    """A field of the metadata form, or ""."""
    values = info.metadata.get(name)
    return values[0] if values else ""


def columns(info: DiscoInfo) -> dict[str, Any]:
    """The columns that a node's metadata fills (XEP-0060 5.4)."""
    # What the service leaves out is not known to have changed.
    found: dict[str, Any] = {
        column: value
        for field, column in _METADATA.items()
        if (value := first(info, field)) or (field in _MAY_BE_EMPTY and field in info.metadata)
    }
    if (most := found.get("max_items")) is not None:
        # A number, or ``max``; no more digits than the database and the bus can carry.
        found["max_items"] = int(most) if most.isdecimal() and len(most) < 19 else None
    if "pubsub#item_expire" in info.metadata:
        found["item_expire"] = seconds(first(info, "pubsub#item_expire"))
    if said := first(info, "pubsub#deliver_notifications"):
        found["notifies"] = said in TRUE
    return found


def stored(node: NodeRow) -> dict[str, list[str]]:
    """A node's metadata as far as it is stored, by the names of its fields."""
    values = {field: getattr(node, column) for field, column in _METADATA.items()}
    return {field: [str(value)] for field, value in values.items() if value not in ("", None)}


def differ(before: NodeRow, after: NodeRow) -> bool:
    """Whether something else is stored of a node's metadata than before."""
    return any(getattr(before, column) != getattr(after, column) for column in _METADATA.values())


async def _info(session: Session, address: Address) -> DiscoInfo:
    try:
        return await session.disco_info(address.service, address.node)
    except (errors.StanzaError, errors.Timeout):
        return DiscoInfo()


async def _configuration(session: Session, address: Address) -> DiscoInfo:
    if not address.own:
        return DiscoInfo()
    try:
        return configured(await session.node_configuration(address.service, address.node))
    except (errors.StanzaError, errors.Timeout):
        return DiscoInfo()

"""Items that only some can read (XEP-0473, XEP-0477): how they are locked, on whichever node they are."""

from __future__ import annotations

from typing import Literal

import msgspec

from .. import uris
from ..definition import Definition
from ..item import Item

OPENPGP = "urn:xmpp:openpgp:pubsub:0"
TARGETED = "urn:xmpp:pte:0"


class Encrypted(msgspec.Struct, omit_defaults=True, kw_only=True):
    """key: id of the shared secret. by: who encrypted it. algorithm: its namespace."""

    scheme: Literal["openpgp-pubsub", "pte"]
    key: str = ""
    by: str = ""
    algorithm: str = ""


SHAPES: dict[str, type[msgspec.Struct]] = {"encrypted/openpgp-pubsub": Encrypted, "encrypted/pte": Encrypted}


def parse(item: Item) -> Encrypted | None:
    """What an encrypted item shows to all."""
    element = item.element
    if element.tag == f"{{{OPENPGP}}}encrypted":
        return Encrypted(scheme="openpgp-pubsub", key=element.get("key", ""))
    if element.tag == f"{{{TARGETED}}}encrypted":
        by = element.get("by", "")
        if by and not uris.normalised_jid(by):
            item.unreadable("<encrypted by>", by, "JID")
        return Encrypted(scheme="pte", by=uris.normalised_jid(by), algorithm=element.get("type", ""))
    item.strange("no encrypted item")
    return None


def _definition(name: str, subtype: str, namespace: str) -> Definition:
    return Definition(
        name=name,
        type="encrypted",
        subtype=subtype,
        namespace=namespace,
        node_type=namespace,
        parser=parse,
        takes_over=frozenset({namespace}),
    )


# A node of which no more is known is not kept: there is nothing to search, and what opens it is elsewhere.
DEFINITIONS = (
    _definition("encrypted-openpgp", "openpgp-pubsub", OPENPGP),
    _definition("encrypted-pte", "pte", TARGETED),
)

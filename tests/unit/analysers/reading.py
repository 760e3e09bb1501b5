"""Puts payloads through the built-in analysers as the cache does: match the node, then parse the item."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from lxml import etree

from pubsub_cached.address import Address
from pubsub_cached.analysers import builtin
from pubsub_cached.analysers.registry import ItemContext, Matched, Parsed, Subject

ACCOUNT = "juliet@capulet.lit"
REGISTRY = builtin.registry()


class Read(NamedTuple):
    """What became of an item."""

    matched: Matched
    parsed: Parsed
    data: Any

    @property
    def kind(self) -> tuple[str, str]:
        """Type and subtype of the item."""
        return self.parsed.type, self.parsed.subtype


def namespace_of(payload: str) -> str:
    """The namespace of a payload as the session would have it, "" when it is no XML."""
    try:
        return etree.QName(etree.fromstring(payload)).namespace or ""
    except (etree.XMLSyntaxError, ValueError):
        return ""


def match(node: str, *, service: str = ACCOUNT, namespace: str = "", node_type: str = "") -> Matched:
    """What the built-in analysers say of a node that an account of Juliet's sees."""
    return REGISTRY.match(Subject(Address(ACCOUNT, service, node), namespace or None, node_type or None))


def read(
    node: str, payload: str, *, service: str = ACCOUNT, publisher: str = "", id: str = "item", node_type: str = ""
) -> Read:
    """An item of a node, by whichever analyser the node has."""
    namespace = namespace_of(payload)
    matched = match(node, service=service, namespace=namespace, node_type=node_type)
    name = matched.definition.name if matched.definition is not None else ""
    context = ItemContext(Address(ACCOUNT, service, node), id, payload, namespace, publisher)
    parsed = REGISTRY.parse(name, context)
    return Read(matched, parsed, None if parsed.data is None else msgspec.json.decode(parsed.data))

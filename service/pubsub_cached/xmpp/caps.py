"""Entity capabilities (XEP-0115): what the account's server reads the ``+notify`` interests from.

The library's plugins are not used: they answer from a cache that lags behind and ask every contact back.
"""

from __future__ import annotations

import base64
import hashlib
import xml.etree.ElementTree as ET

from ..recent import Recent
from .port import PRESENCE_PRIORITY
from .stanzas import CLIENT
from .stanzas import DISCO_INFO as INFO

CAPS = "{http://jabber.org/protocol/caps}"

NODE = "urn:im.pubsubcache1"
IDENTITY = ("client", "bot", "pubsub-cached")
FEATURES = frozenset({"http://jabber.org/protocol/caps", "http://jabber.org/protocol/disco#info"})

# Servers may ask for a hash that they saw in an earlier presence.
REMEMBERED = 8


class Capabilities:
    """The features of the session, by hash."""

    def __init__(self) -> None:
        self._known: Recent[str, frozenset[str]] = Recent(REMEMBERED)
        self.interests: frozenset[str] = frozenset()
        self.announce(frozenset())

    def announce(self, interests: frozenset[str]) -> None:
        """Have these PEP nodes announced with ``+notify`` from now on (XEP-0163 4.3.1)."""
        self.interests = interests
        features = FEATURES | {node + "+notify" for node in interests}
        self.hash = verification(features)
        self._known[self.hash] = features

    def presence(self) -> list[ET.Element]:
        """The children of a presence: its priority and the hash."""
        priority = ET.Element(CLIENT + "priority")
        priority.text = str(PRESENCE_PRIORITY)
        caps = ET.Element(CAPS + "c", {"hash": "sha-1", "node": NODE, "ver": self.hash})
        return [priority, caps]

    def answer(self, node: str) -> ET.Element | None:
        """The disco#info of this entity, or of a hash it announced; None for an unknown node."""
        if node and not node.startswith(NODE + "#"):
            return None
        features = self._known.get(node.partition("#")[2] or self.hash)
        if features is None:
            return None
        query = ET.Element(INFO + "query")
        if node:
            query.set("node", node)
        category, kind, name = IDENTITY
        ET.SubElement(query, INFO + "identity", category=category, type=kind, name=name)
        for feature in sorted(features):
            ET.SubElement(query, INFO + "feature", var=feature)
        return query


def verification(features: frozenset[str]) -> str:
    """The verification string's hash (XEP-0115 5.1)."""
    category, kind, name = IDENTITY
    # "<" is refused in names by XEP-0115 5.4 and sorted as i;octet.
    text = f"{category}/{kind}//{name}<" + "".join(
        each + "<" for each in sorted(features, key=lambda feature: feature.encode())
    )
    return base64.b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()

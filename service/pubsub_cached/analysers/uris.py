"""URIs as payloads hold them: resolved against a base, and XMPP ones taken apart (RFC 5122, XEP-0060 12.22)."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import unquote, urljoin

import msgspec
from lxml.etree import _Element

from .. import jid
from ..address import Address
from . import xml

# A longer base is none: with it each reference in an item would be as long.
LONGEST_BASE = 500


class NodeRef(msgspec.Struct, frozen=True):
    """A node somewhere."""

    service: str
    node: str


class ItemRef(msgspec.Struct, frozen=True):
    """An item of a node somewhere."""

    service: str
    node: str
    item: str


def clean(uri: str) -> str:
    """A URI without white space, which examples wrap it with."""
    return "".join(uri.split())


def resolve(uri: str, base: str = "") -> str:
    """A URI or reference without white space, made absolute where there is a base; an empty one names nothing."""
    uri = clean(uri)
    if not base or not uri:
        return uri
    try:
        return urljoin(base, uri)
    except ValueError:
        return uri


def base(element: _Element, inherited: str = "") -> str:
    """The base for references in an element (XML Base 3)."""
    own = element.get(xml.BASE)
    found = resolve(own, inherited) if own else inherited
    return found if len(found) <= LONGEST_BASE else ""


def normalised_jid(text: str) -> str:
    """The prepared form of a JID, "" when it is none."""
    return jid.normalised(text.strip())


def bare_jid(text: str) -> str:
    """The prepared form of a JID without its resource, "" when it is none."""
    return normalised_jid(text).partition("/")[0]


# A node's items have few authors.
@lru_cache(maxsize=64)
def jid_of(uri: str) -> str:
    """The bare JID that an ``xmpp:`` URI names, "" when it names none."""
    return _parts(uri)[0].partition("/")[0]


def node_ref(uri: str) -> NodeRef | None:
    """The node that an ``xmpp:`` URI names, or None."""
    service, query = _parts(uri)
    node = query.get("node", "")
    return NodeRef(service, node) if service and node else None


def item_ref(uri: str) -> ItemRef | None:
    """The item that an ``xmpp:`` URI names, or None."""
    service, query = _parts(uri)
    node, item = query.get("node", ""), query.get("item", "")
    return ItemRef(service, node, item) if service and node and item else None


def node_in(element: _Element) -> NodeRef | None:
    """The node that the attributes ``jid`` and ``node`` name, or None."""
    service, node = normalised_jid(element.get("jid", "")), element.get("node", "")
    return NodeRef(service, node) if service and node else None


def item_uri(item: ItemRef) -> str:
    """The canonical URI of an item, as the cache writes it."""
    return Address("", item.service, item.node).uri(item.item)


def _parts(uri: str) -> tuple[str, dict[str, str]]:
    """The JID and the pairs of the query component (RFC 5122 2.2); ("", {}) for anything else."""
    scheme, _, rest = clean(uri).partition(":")
    if scheme.lower() != "xmpp":
        return "", {}
    rest, _, query = rest.partition("#")[0].partition("?")
    if rest.startswith("//"):
        # The authority is the account to use, not the one that is named.
        rest = rest[2:].partition("/")[2]
    # The first part is the query type (such as "pubsub"), often left empty.
    pairs = (part.partition("=") for part in query.split(";") if "=" in part)
    return normalised_jid(unquote(rest)), {key: unquote(value) for key, _, value in pairs}

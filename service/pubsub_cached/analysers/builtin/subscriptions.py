"""Who reads what, as people show it: XEP-0330, and XEP-0465 by the service's own account."""

from __future__ import annotations

import msgspec

from .. import uris, xml
from ..definition import Definition
from ..item import Item

LIST_NODE = "urn:xmpp:pubsub:subscription"
LIST = "urn:xmpp:pubsub:subscription:0"
PUBLIC = "urn:xmpp:pps:0"
PUBLIC_SUBSCRIPTIONS = "urn:xmpp:pps:subscriptions:0"
PUBLIC_SUBSCRIBERS = "urn:xmpp:pps:subscribers:0/"


class Subscription(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A node that somebody follows."""

    service: str
    node: str
    id: str = ""
    title: str = ""


class Subscriber(msgspec.Struct):
    """Somebody who follows the node that this node's name ends with."""

    jid: str


SHAPES: dict[str, type[msgspec.Struct]] = {
    "subscription/list": Subscription,
    "subscription/public": Subscription,
    "subscription/subscribers": Subscriber,
}


def parse(item: Item) -> Subscription | Subscriber | None:
    """A subscription, or a subscriber."""
    element = item.element
    if element.tag == f"{{{PUBLIC}}}subscriber":
        jid = element.get("jid", "")
        if normalised := uris.normalised_jid(jid):
            return Subscriber(normalised)
        item.unreadable("<subscriber jid>", jid, "JID")
        return None
    if element.tag == f"{{{LIST}}}subscription":
        attribute = "server"
    elif element.tag == f"{{{PUBLIC}}}subscription":
        attribute = "jid"
    else:
        item.strange("no subscription")
        return None
    service, node = uris.normalised_jid(element.get(attribute, "")), element.get("node", "")
    if not service or not node:
        item.error(f"<subscription>: the attributes '{attribute}' and 'node' name no node.")
        return None
    return Subscription(
        service=service,
        node=node,
        id=xml.child_text(element, f"{{{LIST}}}id"),
        title=xml.child_text(element, f"{{{LIST}}}title"),
    )


def _definition(name: str, subtype: str, node: str, *, exact: bool = True) -> Definition:
    return Definition(
        name=name,
        type="subscription",
        subtype=subtype,
        node=node,
        exact=exact,
        kind="map",
        to_sync=True,
        parser=parse,
    )


DEFINITIONS = (
    _definition("subscriptions", "list", LIST_NODE),
    _definition("subscriptions-public", "public", PUBLIC_SUBSCRIPTIONS),
    _definition("subscribers", "subscribers", PUBLIC_SUBSCRIBERS, exact=False),
)

"""Requests as XML and replies as records (XEP-0004, XEP-0030, XEP-0059, XEP-0060)."""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import cast, get_args

from ..errors import StanzaError
from ..jid import normalised
from ..pace import Pace
from . import forms, payload
from .port import DiscoInfo, DiscoItem, DiscoPage, Fields, Item, ItemsPage, Rsm, Subscription, SubscriptionState

log = logging.getLogger(__name__)

PUBSUB = "{http://jabber.org/protocol/pubsub}"
EVENT = "{http://jabber.org/protocol/pubsub#event}"
PUBSUB_ERRORS = "{http://jabber.org/protocol/pubsub#errors}"
DISCO_INFO = "{http://jabber.org/protocol/disco#info}"
DISCO_ITEMS = "{http://jabber.org/protocol/disco#items}"
RSM = "{http://jabber.org/protocol/rsm}"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
PING = "{urn:xmpp:ping}"
CLIENT = "{jabber:client}"

# Counts of fewer digits fit everything that they are put into.
COUNT_DIGITS = 19

_STATES = frozenset(get_args(SubscriptionState))


# Requests


def items_request(node: str, max_items: int | None, ids: Sequence[str], rsm: Rsm | None) -> ET.Element:
    """Retrieve items (XEP-0060 6.5)."""
    pubsub = ET.Element(PUBSUB + "pubsub")
    items = ET.SubElement(pubsub, PUBSUB + "items", node=node)
    if max_items is not None:
        items.set("max_items", str(max_items))
    for id_ in ids:
        ET.SubElement(items, PUBSUB + "item", id=id_)
    if rsm is not None:
        pubsub.append(rsm_request(rsm))
    return pubsub


def rsm_request(rsm: Rsm) -> ET.Element:
    """A page (XEP-0059 2)."""
    page = ET.Element(RSM + "set")
    ET.SubElement(page, RSM + "max").text = str(rsm.max)
    if rsm.after is not None:
        ET.SubElement(page, RSM + "after").text = rsm.after
    if rsm.before is not None:
        ET.SubElement(page, RSM + "before").text = rsm.before
    return page


def disco_request(namespace: str, node: str, rsm: Rsm | None = None) -> ET.Element:
    """disco#info or disco#items (XEP-0030 3, 4)."""
    query = ET.Element(namespace + "query")
    if node:
        query.set("node", node)
    if rsm is not None:
        query.append(rsm_request(rsm))
    return query


def subscribe_request(node: str, account: str, options: Fields | None = None) -> ET.Element:
    """Subscribe the bare JID (XEP-0060 6.1.1), and configure the subscription with it (6.3.7)."""
    pubsub = ET.Element(PUBSUB + "pubsub")
    ET.SubElement(pubsub, PUBSUB + "subscribe", node=node, jid=account)
    if options:
        container = ET.SubElement(pubsub, PUBSUB + "options", node=node, jid=account)
        container.append(forms.submit(forms.SUBSCRIBE_OPTIONS, options))
    return pubsub


def unsubscribe_request(node: str, account: str, subid: str) -> ET.Element:
    """Unsubscribe the bare JID (XEP-0060 6.2.1)."""
    pubsub = ET.Element(PUBSUB + "pubsub")
    element = ET.SubElement(pubsub, PUBSUB + "unsubscribe", node=node, jid=account)
    if subid:
        element.set("subid", subid)
    return pubsub


def subscriptions_request(node: str) -> ET.Element:
    """The account's subscriptions (XEP-0060 5.6)."""
    pubsub = ET.Element(PUBSUB + "pubsub")
    element = ET.SubElement(pubsub, PUBSUB + "subscriptions")
    if node:
        element.set("node", node)
    return pubsub


# Replies


async def read_items(iq: ET.Element, subject: str, node: str, ids: Sequence[str]) -> ItemsPage:
    """A reply to an items request; items that were not asked for by id are left out.

    It is taken apart in slices of time, for it may be one of megabytes, and nothing is left of it.
    """
    items = _only(iq, f"{PUBSUB}pubsub/{PUBSUB}items", subject)
    _same(items, node, subject)
    found: list[Item] = []
    asked = frozenset(ids)
    pace = Pace()
    for each in items.iterfind(PUBSUB + "item"):
        item = read_item(each)
        if not asked or item.id in asked:
            found.append(item)
        # To free all of it at once takes as long as a slice.
        each.clear()
        await pace.kept()
    page = iq.find(f"{PUBSUB}pubsub/{RSM}set")
    if page is None:
        return ItemsPage(tuple(found))
    return ItemsPage(
        tuple(found),
        rsm=True,
        count=read_count(page),
        first=page.findtext(RSM + "first"),
        last=page.findtext(RSM + "last"),
    )


def read_count(page: ET.Element) -> int | None:
    """How many there are in all (XEP-0059 2.6); None where the service does not say, or says what can't be counted."""
    count = (page.findtext(RSM + "count") or "").strip()
    return int(count) if count.isdecimal() and len(count) < COUNT_DIGITS else None


def read_item(element: ET.Element) -> Item:
    """An ``<item/>`` of a reply or an event; a payload that is excessive counts as none."""
    id_, publisher = element.get("id", ""), normalised(element.get("publisher", ""))
    if not len(element):
        return Item(id_, publisher=publisher)
    child = element[0]
    try:
        return Item(id_, payload.serialise(child), payload.namespace(child), publisher)
    except payload.Excessive as problem:
        log.warning("The payload of item '%s' is left out: %s", id_, problem)
        return Item(id_, publisher=publisher)


def read_disco_info(iq: ET.Element, subject: str, node: str) -> DiscoInfo:
    """A reply to disco#info, with the fields of the metadata form (XEP-0060 5.4)."""
    query = _only(iq, DISCO_INFO + "query", subject)
    _same(query, node, subject)
    metadata: dict[str, list[str]] = {}
    for form in query.iterfind(forms.FORM + "x"):
        fields = forms.values(form)
        if fields.pop(forms.FORM_TYPE, None) == [forms.METADATA]:
            metadata |= fields
    return DiscoInfo(
        identities=tuple(
            (each.get("category", ""), each.get("type", "")) for each in query.iterfind(DISCO_INFO + "identity")
        ),
        features=frozenset(each.get("var", "") for each in query.iterfind(DISCO_INFO + "feature")) - {""},
        metadata=metadata,
    )


def read_disco_items(iq: ET.Element, subject: str, node: str) -> tuple[tuple[DiscoItem, ...], str | None]:
    """A reply to disco#items, and the id to ask on from when the service pages unasked (XEP-0059)."""
    query = _only(iq, DISCO_ITEMS + "query", subject)
    _same(query, node, subject)
    found = tuple(
        DiscoItem(normalised(each.get("jid", "")), each.get("node", ""), each.get("name", ""))
        for each in query.iterfind(DISCO_ITEMS + "item")
    )
    last = query.findtext(f"{RSM}set/{RSM}last")
    return found, last if found else None


def read_disco_page(iq: ET.Element, subject: str, node: str) -> DiscoPage:
    """A reply to disco#items with a page asked for."""
    found, last = read_disco_items(iq, subject, node)
    return DiscoPage(found, iq.find(f"{DISCO_ITEMS}query/{RSM}set") is not None, last)


def read_subscription(iq: ET.Element, subject: str, node: str, account: str) -> Subscription:
    """A reply to a subscribe request; one without a body means success (XEP-0060 6.1.2)."""
    element = iq.find(f"{PUBSUB}pubsub/{PUBSUB}subscription")
    if element is None:
        return Subscription(node, account, "subscribed")
    _same(element, node, subject)
    state = subscription_state(element.get("subscription", "")) or "subscribed"
    return Subscription(node, account, state, element.get("subid", ""))


def read_subscriptions(iq: ET.Element, node: str, account: str) -> tuple[Subscription, ...]:
    """A reply to a subscriptions request; those of other JIDs are left out."""
    element = iq.find(f"{PUBSUB}pubsub/{PUBSUB}subscriptions")
    if element is None:
        return ()
    found = (_subscription(each, node, account) for each in element.iterfind(PUBSUB + "subscription"))
    return tuple(
        each for each in found if each is not None and bare(each.jid) == account and (not node or each.node == node)
    )


def read_error(iq: ET.Element, subject: str) -> StanzaError:
    """What an error stanza says (RFC 6120 8.3)."""
    condition, text, pubsub = "undefined-condition", "", ""
    error = iq.find(CLIENT + "error")
    for child in error if error is not None else ():
        if child.tag == STANZAS + "text":
            text = text or (child.text or "").strip()
        elif child.tag.startswith(STANZAS):
            condition = child.tag[len(STANZAS) :]
            # Where what is gone went (RFC 6120 8.3.3.5).
            text = text or (child.text or "").strip()
        elif child.tag.startswith(PUBSUB_ERRORS):
            pubsub = child.tag[len(PUBSUB_ERRORS) :]
            text = text or child.get("feature", "")
    return StanzaError(condition, text, pubsub, subject=subject)


def bare(text: str) -> str:
    """The normalised bare JID, or "" for what is no JID."""
    return normalised(text).partition("/")[0]


def subscription_state(text: str) -> SubscriptionState | None:
    """A subscription state of XEP-0060 4.2, or None."""
    return cast("SubscriptionState", text) if text in _STATES else None


def _subscription(element: ET.Element, node: str, account: str) -> Subscription | None:
    state = subscription_state(element.get("subscription", "subscribed"))
    subscriber = normalised(element.get("jid", account))
    if state is None or not subscriber:
        return None
    return Subscription(element.get("node", node), subscriber, state, element.get("subid", ""))


def _only(iq: ET.Element, tag: str, subject: str) -> ET.Element:
    element = iq.find(tag)
    if element is None:
        raise StanzaError("undefined-condition", "the reply is empty", subject=subject)
    return element


def _same(element: ET.Element, node: str, subject: str) -> None:
    answered = element.get("node", node)
    if answered != node:
        raise StanzaError("undefined-condition", f"the reply is about node '{answered}'", subject=subject)

"""What services push: which messages are let in, and what they say (XEP-0060 7.1.2, 8; XEP-0163 4.3).

A message counts only when it comes directly from the service that it speaks for, and that service
was asked for its events. Nothing inside carbons, forwards or rooms is looked at.
"""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from collections.abc import Callable, Container
from typing import Any, cast

from ..jid import normalised
from . import stanzas
from .port import (
    BounceEvent,
    ConfigurationEvent,
    DeleteEvent,
    Event,
    ItemsEvent,
    PurgeEvent,
    SubscriptionEvent,
)
from .stanzas import EVENT, PUBSUB

log = logging.getLogger(__name__)

DELAY = "{urn:xmpp:delay}delay"


class Gate:
    """Decides who may tell an account something.

    account: bare JID. contacts: bare JIDs whose PEP events the account gets. solicited: asked for
    every other service.
    """

    def __init__(self, account: str, contacts: Callable[[], Container[str]], solicited: Callable[[str], bool]) -> None:
        self.account = account
        self._contacts = contacts
        self._solicited = solicited

    def sender(self, message: ET.Element) -> str:
        """The service that a message speaks for, or "" when it is not let in."""
        # Without a sender it is the account's own server speaking for the account (RFC 6120 8.1.2.1).
        service = normalised(message.get("from") or self.account)
        if service == self.account or service in self._contacts() or (service and self._solicited(service)):
            return service
        return ""


def read(message: ET.Element, gate: Gate) -> tuple[Event, ...]:
    """The events in a message, in document order; none when it is not let in."""
    kind = message.get("type", "normal")
    # A room's messages speak for its occupants, never for a service.
    if kind == "groupchat":
        return ()
    bounced = kind == "error"
    parts = [child for child in message if child.tag in (EVENT + "event", PUBSUB + "pubsub")]
    if not parts and not bounced:
        return ()
    service = gate.sender(message)
    if not service:
        log.debug("An event of %s was not asked for", message.get("from"))
        return ()
    if bounced:
        return (_bounce(parts, service),)
    delayed = message.find(DELAY) is not None
    read = (_event(child, service, delayed, gate.account) for part in parts for child in part)
    return tuple([event for event in read if event is not None])


def _event(element: ET.Element, service: str, delayed: bool, account: str) -> Event | None:
    """What a part of an event says; None for what is not followed."""
    about: dict[str, Any] = {"service": service, "node": element.get("node", ""), "delayed": delayed}
    if not about["node"]:
        # XEP-0248 collections have no node of their own here; without a node nothing can be said.
        return None
    if element.tag == EVENT + "items":
        # What is retracted and then published again is there.
        last = {id_: each.tag for each in element if (id_ := each.get("id"))}
        items = tuple([stanzas.read_item(each) for each in element if each.tag == EVENT + "item"])
        retracted = tuple([id_ for id_, tag in last.items() if tag == EVENT + "retract"])
        return ItemsEvent(**about, items=items, retracted=retracted)
    if element.tag == EVENT + "purge":
        return PurgeEvent(**about)
    if element.tag == EVENT + "delete":
        redirect = element.find(EVENT + "redirect")
        uri = "" if redirect is None else redirect.get("uri") or (redirect.text or "").strip()
        return DeleteEvent(**about, redirect=uri)
    if element.tag == EVENT + "configuration":
        return ConfigurationEvent(**about)
    # An approval comes in the other namespace (XEP-0060 8.6), and owners are told of others' subscriptions (8.8.2).
    if element.tag in (EVENT + "subscription", PUBSUB + "subscription"):
        state = stanzas.subscription_state(element.get("subscription", ""))
        if state is not None and stanzas.bare(element.get("jid", "")) == account:
            return SubscriptionEvent(**about, state=state)
    return None


def _bounce(parts: list[ET.Element], service: str) -> BounceEvent:
    """A bounce returns what was sent, so the node may be named in it (RFC 6120 8.3.1)."""
    nodes = [child.get("node", "") for part in parts for child in cast("list[ET.Element]", list(part))]
    return BounceEvent(service=service, node=next(filter(None, nodes), ""))

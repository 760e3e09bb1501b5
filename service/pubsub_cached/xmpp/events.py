"""What services push: which messages are let in, and what they say (XEP-0060 7.1.2, 8; XEP-0163 4.3).

A message counts only when it comes directly from the service that it speaks for, and that service
was asked for its events. Nothing inside carbons, forwards or rooms is looked at.
"""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from collections.abc import Callable, Container, Iterator
from typing import cast

from .. import jid
from ..errors import InvalidJid
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
from .stanzas import EVENT

log = logging.getLogger(__name__)

DELAY = "{urn:xmpp:delay}delay"
_ITEM = EVENT + "item"
_RETRACT = EVENT + "retract"

# A room's messages speak for its occupants, never for a service.
_REFUSED_TYPES = frozenset({"groupchat"})


class Gate:
    """Decides who may tell an account something.

    account: bare JID. contacts: bare JIDs whose PEP events the account gets. solicited: asked for
    every other service.
    """

    def __init__(self, account: str, contacts: Callable[[], Container[str]], solicited: Callable[[str], bool]) -> None:
        self.account = account
        self._contacts = contacts
        self._solicited = solicited

    def sender(self, message: ET.Element) -> str | None:
        """The service that a message speaks for, or None when it is not let in."""
        written = message.get("from")
        if not written:
            # The account's own server speaking for the account (RFC 6120 8.1.2.1).
            return self.account
        try:
            service = jid.normalise(written)
        except InvalidJid:
            return None
        if service == self.account or service in self._contacts() or self._solicited(service):
            return service
        return None


def read(message: ET.Element, gate: Gate) -> tuple[Event, ...]:
    """The events in a message, in document order; none when it is not let in."""
    kind = message.get("type", "normal")
    if kind in _REFUSED_TYPES:
        return ()
    bounced = kind == "error"
    parts = list(stanzas.children(message, EVENT + "event", stanzas.PUBSUB + "pubsub"))
    if not parts and not bounced:
        return ()
    service = gate.sender(message)
    if service is None:
        log.debug("An event of %s was not asked for", message.get("from"))
        return ()
    if bounced:
        return (_bounce(parts, service),)
    delayed = message.find(DELAY) is not None
    return tuple(event for part in parts for event in _read_part(part, service, delayed, gate.account))


def _read_part(part: ET.Element, service: str, delayed: bool, account: str) -> Iterator[Event]:
    for child in part:
        reader = _READERS.get(child.tag)
        # XEP-0248 collections have no node of their own here; without a node nothing can be said.
        node = child.get("node", "")
        if reader is not None and node:
            event = reader(child, service, node, delayed, account)
            if event is not None:
                yield event


def _items(element: ET.Element, service: str, node: str, delayed: bool, account: str) -> Event | None:
    # What is retracted and then published again is there.
    last = {id_: each.tag for each in element if (id_ := each.get("id"))}
    return ItemsEvent(
        service=service,
        node=node,
        delayed=delayed,
        items=tuple([stanzas.read_item(each) for each in element if each.tag == _ITEM]),
        retracted=tuple([id_ for id_, tag in last.items() if tag == _RETRACT]),
    )


def _purge(element: ET.Element, service: str, node: str, delayed: bool, account: str) -> Event | None:
    return PurgeEvent(service=service, node=node, delayed=delayed)


def _delete(element: ET.Element, service: str, node: str, delayed: bool, account: str) -> Event | None:
    redirect = element.find(EVENT + "redirect")
    uri = "" if redirect is None else redirect.get("uri") or (redirect.text or "").strip()
    return DeleteEvent(service=service, node=node, delayed=delayed, redirect=uri)


def _configuration(element: ET.Element, service: str, node: str, delayed: bool, account: str) -> Event | None:
    return ConfigurationEvent(service=service, node=node, delayed=delayed)


def _subscription(element: ET.Element, service: str, node: str, delayed: bool, account: str) -> Event | None:
    """A subscription of the account itself; owners are told of others' too (XEP-0060 8.8.2)."""
    state = stanzas.subscription_state(element.get("subscription", ""))
    if state is None or stanzas.bare(element.get("jid", "")) != account:
        return None
    return SubscriptionEvent(service=service, node=node, delayed=delayed, state=state)


_Reader = Callable[[ET.Element, str, str, bool, str], Event | None]
_READERS: dict[str, _Reader] = {
    EVENT + "items": _items,
    EVENT + "purge": _purge,
    EVENT + "delete": _delete,
    EVENT + "configuration": _configuration,
    EVENT + "subscription": _subscription,
    # An approval comes in the other namespace (XEP-0060 8.6).
    stanzas.PUBSUB + "subscription": _subscription,
}


def _bounce(parts: list[ET.Element], service: str) -> BounceEvent:
    """A bounce returns what was sent, so the node may be named in it (RFC 6120 8.3.1)."""
    nodes = [child.get("node", "") for part in parts for child in cast("list[ET.Element]", list(part))]
    return BounceEvent(service=service, node=next(filter(None, nodes), ""))

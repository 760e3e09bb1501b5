"""Requests that change something at a service as XML, and their replies (XEP-0060 7, 8, 5.7)."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ..errors import StanzaError
from . import forms
from .payload import Written
from .port import Affiliation, Fields, FormField
from .stanzas import PUBSUB

OWNER = "{http://jabber.org/protocol/pubsub#owner}"


def publish_request(node: str, item_id: str, payload: str, options: Fields) -> ET.Element:
    """Publish one item (XEP-0060 7.1); no id lets the service choose. payload: as ``serialise`` wrote it."""
    pubsub = ET.Element(PUBSUB + "pubsub")
    item = ET.SubElement(ET.SubElement(pubsub, PUBSUB + "publish", node=node), PUBSUB + "item")
    if item_id:
        item.set("id", item_id)
    item.append(Written(payload))
    if options:
        container = ET.SubElement(pubsub, PUBSUB + "publish-options")
        container.append(forms.submit(forms.PUBLISH_OPTIONS, options))
    return pubsub


def read_published(iq: ET.Element, item_id: str) -> str:
    """The id of what was published; "" where it was the service's to choose and it does not say (7.1.2)."""
    item = iq.find(f"{PUBSUB}pubsub/{PUBSUB}publish/{PUBSUB}item")
    return (item.get("id") if item is not None else "") or item_id


def retract_request(node: str, item_id: str, notify: bool) -> ET.Element:
    """Retract one item (7.2): of several in one request some services heed only the first."""
    pubsub = ET.Element(PUBSUB + "pubsub")
    retract = ET.SubElement(pubsub, PUBSUB + "retract", node=node)
    if notify:
        retract.set("notify", "true")
    ET.SubElement(retract, PUBSUB + "item", id=item_id)
    return pubsub


def create_request(node: str, config: Fields) -> ET.Element:
    """Create a node (8.1); without a name it is an instant node, which the service names."""
    pubsub = ET.Element(PUBSUB + "pubsub")
    create = ET.SubElement(pubsub, PUBSUB + "create")
    if node:
        create.set("node", node)
    if config:
        ET.SubElement(pubsub, PUBSUB + "configure").append(forms.submit(forms.NODE_CONFIG, config))
    return pubsub


def read_created(iq: ET.Element, node: str) -> str:
    """The name of the node that was created; one without a name in the reply has the name that was asked for."""
    create = iq.find(f"{PUBSUB}pubsub/{PUBSUB}create")
    return (create.get("node") if create is not None else "") or node


def read_configuration(iq: ET.Element, subject: str) -> tuple[FormField, ...]:
    """The fields of a node's configuration (8.2.2)."""
    form = iq.find(f"{OWNER}pubsub/{OWNER}configure/{forms.FORM}x")
    if form is None:
        raise StanzaError("undefined-condition", "the reply holds no form", subject=subject)
    return forms.fields(form)


def configure_request(node: str, config: Fields) -> ET.Element:
    """Change a node's configuration (8.2.4); what is not given stays as it is."""
    pubsub = owner_request("configure", node)
    pubsub[0].append(forms.submit(forms.NODE_CONFIG, config))
    return pubsub


def affiliations_request() -> ET.Element:
    """The account's affiliations at a service (5.7)."""
    pubsub = ET.Element(PUBSUB + "pubsub")
    ET.SubElement(pubsub, PUBSUB + "affiliations")
    return pubsub


def read_affiliations(iq: ET.Element) -> tuple[Affiliation, ...]:
    """The account's affiliations, one a node."""
    return tuple(
        Affiliation(each.get("node", ""), each.get("affiliation", "none"))
        for each in iq.iterfind(f"{PUBSUB}pubsub/{PUBSUB}affiliations/{PUBSUB}affiliation")
        if each.get("node")
    )


def owner_request(name: str, node: str) -> ET.Element:
    """Ask for a node's configuration (``configure``, 8.2.1), delete it (8.4), or remove its items (``purge``, 8.5)."""
    pubsub = ET.Element(OWNER + "pubsub")
    ET.SubElement(pubsub, OWNER + name, node=node)
    return pubsub

"""What others attach to an item, and the service's summary of it (XEP-0470, XEP-0471 4.5, XEP-0475)."""

from __future__ import annotations

import msgspec
from lxml.etree import _Element
from msgspec import UNSET, UnsetType

from .. import forms, uris, values, xml
from ..definition import Definition
from ..item import Item
from ..uris import ItemRef
from ..values import Date

NAMESPACE = "urn:xmpp:pubsub-attachments:1"
SUMMARY = "urn:xmpp:pubsub-attachments:summary:1"
PUBSUB = "http://jabber.org/protocol/pubsub"
EVENTS = "urn:xmpp:calendar-events:0"
SIGNING = "urn:xmpp:pubsub-signing:0"

_NUMBER = "participants_number"
# The examples leave the namespace out, so the element has the one of what is around it.
_NAMESPACES = frozenset({NAMESPACE, "", PUBSUB, f"{PUBSUB}#event"})


class Noticed(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Somebody has seen the item."""

    timestamp: Date = ""


class Reactions(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Emojis, each once."""

    timestamp: Date = ""
    values: list[str]


class RsvpAnswer(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Whether somebody comes: attending is yes, no, maybe, or what the form offered; fields: the others' values."""

    attending: str
    participants_number: int | UnsetType = UNSET
    fields: dict[str, list[str]]


class Signature(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A signature that nobody has verified; signers are bare JIDs."""

    signers: list[str]
    time: Date = ""


class Attachments(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One entity's attachments to an item; target is that item's canonical URI, equal to its record's ``uri``.

    unknown: names of other attachments. publisher_ok: the service says that the entity the id names published it.
    """

    target: str = ""
    target_parts: ItemRef | UnsetType = UNSET
    noticed: Noticed | UnsetType = UNSET
    reactions: Reactions | UnsetType = UNSET
    rsvp: RsvpAnswer | UnsetType = UNSET
    signatures: list[Signature] = []
    unknown: list[str] = []
    publisher_ok: bool | UnsetType = UNSET


class NoticedCount(msgspec.Struct, omit_defaults=True, kw_only=True):
    """How many have seen the item."""

    count: int | UnsetType = UNSET


class Reaction(msgspec.Struct, kw_only=True):
    """How many reacted so."""

    value: str
    count: int


class Attendees(msgspec.Struct, omit_defaults=True, kw_only=True):
    """How many come for sure, and at most."""

    confirmed: int
    max: int | UnsetType = UNSET


class Summary(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The service's summary of all attachments to an item."""

    target: str
    target_parts: ItemRef
    noticed: NoticedCount | UnsetType = UNSET
    reactions: list[Reaction] = []
    attendees: Attendees | UnsetType = UNSET
    signers: list[str] = []


SHAPES: dict[str, type[msgspec.Struct]] = {"attachments/item": Attachments, "attachments/summary": Summary}


def parse(item: Item) -> Attachments | None:
    """The attachments of the entity that the item's id names."""
    namespace, _, name = item.element.tag.rpartition("}")
    if name != "attachments" or namespace[1:] not in _NAMESPACES:
        item.strange("no attachments element")
        return None
    data = Attachments()
    _target(item, data)
    # A stranger may write ten thousand.
    unknown: dict[str, None] = {}
    for child in item.element:
        space, _, local = child.tag.rpartition("}")
        match local if space[1:] in _NAMESPACES else child.tag:
            case "noticed":
                data.noticed = Noticed(timestamp=_timestamp(item, child))
            case "reactions":
                found = (xml.text(each) for each in child if xml.local(each) == "reaction")
                reactions = list(dict.fromkeys(value for value in found if value))
                data.reactions = Reactions(timestamp=_timestamp(item, child), values=reactions)
            case tag if tag == f"{{{EVENTS}}}rsvp":
                data.rsvp = _rsvp(item, child)
            case tag if tag == f"{{{SIGNING}}}signature":
                data.signatures.append(_signature(item, child))
            case _:
                unknown[child.tag] = None
    data.unknown = [*unknown]
    data.publisher_ok = _publisher_ok(item)
    return data


def parse_summary(item: Item) -> Summary | None:
    """The summary for the item of the same id on the node that this node's name ends with."""
    if item.element.tag != f"{{{SUMMARY}}}summary":
        item.strange("no summary of attachments")
        return None
    address = item.context.address
    target = ItemRef(address.service, address.node.removeprefix(f"{SUMMARY}/"), item.context.id)
    data = Summary(target=uris.item_uri(target), target_parts=target)
    for child in item.element:
        match child.tag.removeprefix(f"{{{SUMMARY}}}"):
            case "noticed":
                data.noticed = NoticedCount(count=values.natural(item, "<noticed count>", child.get("count")))
            case "reactions":
                data.reactions.extend(_counted(item, child))
            case tag if tag == f"{{{EVENTS}}}attendees":
                data.attendees = _attendees(item, child)
            case tag if tag == f"{{{SIGNING}}}signature":
                data.signers.extend(_signers(item, child))
    return data


def _target(item: Item, data: Attachments) -> None:
    uri = item.context.address.node.removeprefix(f"{NAMESPACE}/")
    if (target := uris.item_ref(uri)) is None:
        item.unreadable("node", uri, "URI of an item")
        return
    data.target, data.target_parts = uris.item_uri(target), target


def _publisher_ok(item: Item) -> bool | UnsetType:
    publisher = uris.bare_jid(item.context.publisher)
    return publisher == uris.normalised_jid(item.context.id) if publisher else UNSET


def _timestamp(item: Item, element: _Element) -> str:
    return values.date(item, f"<{xml.local(element)} timestamp>", element.get("timestamp"))


def _rsvp(item: Item, element: _Element) -> RsvpAnswer | UnsetType:
    form = forms.child(element)
    if form is None or not (attending := form.first("attending")):
        item.error("<rsvp>: the form's field 'attending' is missing.")
        return UNSET
    main = ("attending", _NUMBER)
    return RsvpAnswer(
        attending=attending,
        participants_number=values.integer(item, f"field '{_NUMBER}'", form.first(_NUMBER)),
        fields={field.var: field.values for field in form.fields if field.var not in main},
    )


def _signature(item: Item, element: _Element) -> Signature:
    time = xml.child(element, f"{{{SIGNING}}}time")
    stamp = "" if time is None else values.date(item, "<time stamp>", time.get("stamp"))
    return Signature(signers=_signers(item, element), time=stamp)


def _signers(item: Item, element: _Element) -> list[str]:
    signers = []
    for signer in element.iterchildren(f"{{{SIGNING}}}signer"):
        if normalised := uris.normalised_jid(xml.text(signer)):
            signers.append(normalised)
        else:
            item.unreadable("<signer>", xml.text(signer), "JID")
    return signers


def _counted(item: Item, element: _Element) -> list[Reaction]:
    counted = []
    for child in element.iterchildren(f"{{{SUMMARY}}}reaction"):
        # XEP-0470 4.7.2: a count is given when it is more than one.
        count = values.natural(item, "<reaction count>", child.get("count", "1"))
        if (value := xml.text(child)) and count is not UNSET:
            counted.append(Reaction(value=value, count=count))
    return counted


def _attendees(item: Item, element: _Element) -> Attendees | UnsetType:
    confirmed = values.natural(item, "<attendees confirmed>", element.get("confirmed"))
    if confirmed is UNSET:
        return UNSET
    return Attendees(confirmed=confirmed, max=values.natural(item, "<attendees max>", element.get("max")))


DEFINITIONS = (
    Definition(
        name="attachments",
        type="attachments",
        subtype="item",
        node=f"{NAMESPACE}/",
        kind="map",
        to_sync=True,
        demand=True,
        parser=parse,
    ),
    Definition(
        name="attachments-summary",
        type="attachments",
        subtype="summary",
        node=f"{SUMMARY}/",
        kind="map",
        to_sync=True,
        demand=True,
        parser=parse_summary,
    ),
)

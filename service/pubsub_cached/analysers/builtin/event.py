"""Calendar events and their invitees (XEP-0471)."""

from __future__ import annotations

import msgspec
from lxml.etree import _Element
from msgspec import UNSET, UnsetType

from .. import forms, geoloc, markup, shared_file, uris, values, xml
from ..definition import Definition
from ..forms import Form
from ..geoloc import Geoloc
from ..item import Item
from ..shared_file import File
from ..uris import ItemRef, NodeRef
from ..values import Date, LangText

NAMESPACE = "urn:xmpp:calendar-events:0"
INVITEES = "urn:xmpp:calendar-events:invitees:0"
_CONFERENCE = "{jabber:x:conference}x"


class Description(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What the event is about, as plain text; type: how it was written."""

    lang: str = ""
    type: str
    text: str


class EventCategory(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A tag; wd: its identifier at Wikidata."""

    term: str
    wd: str = ""
    lang: str = ""


class Online(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A place to meet on the network; muc: the JID of a room."""

    name: str = ""
    url: str = ""
    muc: str = ""
    software: str = ""


class Location(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Where the event is."""

    id: str = ""
    geoloc: Geoloc | UnsetType = UNSET
    online: list[Online] = []


class Rsvp(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The form that those who are invited answer."""

    lang: str = ""
    form: Form


class Extra(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What else is known; accessibility by subject, such as ``wheelchair``."""

    website: str = ""
    status: str = ""
    languages: list[str] = []
    accessibility: dict[str, str] = {}


class Event(msgspec.Struct, omit_defaults=True, kw_only=True):
    """An event; dates are UTC."""

    name: list[LangText] = []
    start: Date = ""
    end: Date = ""
    head_picture: File | UnsetType = UNSET
    descriptions: list[Description] = []
    categories: list[EventCategory] = []
    locations: list[Location] = []
    rsvp: list[Rsvp] = []
    invitees: NodeRef | UnsetType = UNSET
    comments: NodeRef | UnsetType = UNSET
    blog: NodeRef | UnsetType = UNSET
    schedule: NodeRef | UnsetType = UNSET
    attachments: list[File] = []
    extra: Extra | UnsetType = UNSET
    external: ItemRef | UnsetType = UNSET


class Invitee(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Somebody who is invited."""

    jid: str
    name: str = ""


SHAPES: dict[str, type[msgspec.Struct]] = {"event/event": Event, "event/invitees": Invitee}


def parse(item: Item) -> Event | Invitee | None:
    """An event, or somebody who is invited to one."""
    name = xml.local(item.element)
    # The example of an invitee has no namespace.
    if name == "invitee":
        item.subtype = "invitees"
        return _invitee(item)
    if item.element.tag != _tag("event"):
        item.strange("no event")
        return None
    item.subtype = "event"
    event = Event()
    language = xml.language(item.element)
    for child in item.element:
        if child.tag.startswith(f"{{{NAMESPACE}}}"):
            _child(item, event, xml.local(child), child, language)
    for key in ("name", "start", "end"):
        if not getattr(event, key) and not any(error.startswith(f"<{key}>") for error in item.errors):
            item.error(f"<{key}> is missing.")
    return event


def _child(item: Item, event: Event, name: str, child: _Element, language: str) -> None:
    match name:
        case "name":
            event.name.extend(values.variants([child], language))
        case "start":
            event.start = values.date(item, "<start>", xml.text(child))
        case "end":
            event.end = values.date(item, "<end>", xml.text(child))
        case "head-picture":
            event.head_picture = next(iter(shared_file.within(item, child)), UNSET)
        case "description":
            if (text := markup.construct(item, child, language)) is not None:
                event.descriptions.append(Description(lang=text.lang, type=text.type, text=text.text))
        case "category":
            _category(item, event, child, language)
        case "location":
            event.locations.append(_location(item, child))
        case "rsvp":
            if (form := forms.child(child)) is not None:
                event.rsvp.append(Rsvp(lang=xml.language(child, language), form=form))
        case "invitees" | "comments" | "blog" | "schedule":
            _link(item, event, name, child)
        case "attachments":
            event.attachments.extend(shared_file.within(item, child))
        case "extra":
            event.extra = _extra(child)
        case "external":
            _external(item, event, child)


def _category(item: Item, event: Event, child: _Element, language: str) -> None:
    if term := child.get("term", "").strip():
        event.categories.append(EventCategory(term=term, wd=child.get("wd", ""), lang=xml.language(child, language)))
    else:
        item.error("<category>: the attribute 'term' is missing.")


def _link(item: Item, event: Event, name: str, child: _Element) -> None:
    if (node := uris.node_in(child)) is not None:
        setattr(event, name, node)
    else:
        item.error(f"<{name}>: the attributes 'jid' and 'node' name no node.")


def _external(item: Item, event: Event, child: _Element) -> None:
    node, id = uris.node_in(child), child.get("item", "")
    if node is not None and id:
        event.external = ItemRef(node.service, node.node, id)
    else:
        item.error("<external>: the attributes 'jid', 'node' and 'item' name no item.")


def _location(item: Item, element: _Element) -> Location:
    location = Location(id=element.get("id", ""))
    for child in element:
        if child.tag == geoloc.TAG:
            location.geoloc = geoloc.parse(item, child) or UNSET
        elif child.tag == _tag("online"):
            online = Online(name=xml.child_text(child, _tag("name")))
            if (url := xml.child(child, shared_file.URL_DATA)) is not None:
                online.url = uris.clean(url.get("target", ""))
            if (room := xml.child(child, _CONFERENCE)) is not None:
                online.muc = uris.normalised_jid(room.get("jid", ""))
            if (software := xml.child(child, _tag("software"))) is not None:
                online.software = software.get("name", "")
            location.online.append(online)
    return location


def _extra(element: _Element) -> Extra | UnsetType:
    if (form := forms.child(element)) is None:
        return UNSET
    extra = Extra(website=form.first("website"), status=form.first("status"), languages=form.all("languages"))
    for field in form.fields:
        subject = field.var.removeprefix("accessibility:")
        if subject != field.var and field.values:
            extra.accessibility[subject] = field.values[0]
    return extra


def _invitee(item: Item) -> Invitee | None:
    jid = item.element.get("jid", "")
    if not (normalised := uris.normalised_jid(jid)):
        item.unreadable("<invitee jid>", jid, "JID")
        return None
    return Invitee(jid=normalised, name=item.element.get("name", ""))


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


DEFINITIONS = (
    Definition(
        name="event",
        type="event",
        subtype="event",
        node=NAMESPACE,
        namespace=NAMESPACE,
        node_type=NAMESPACE,
        kind="map",
        to_sync=True,
        parser=parse,
    ),
    Definition(
        name="event-invitees",
        type="event",
        subtype="invitees",
        node=f"{INVITEES}/",
        kind="map",
        to_sync=True,
        parser=parse,
    ),
)

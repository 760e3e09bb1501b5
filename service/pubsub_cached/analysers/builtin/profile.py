"""What people say of themselves: nickname (XEP-0172) and vCard 4 (XEP-0292, RFC 6351)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from lxml.etree import _Element

from .. import uris, xml
from ..definition import Definition
from ..item import Item

NICK = "http://jabber.org/protocol/nick"
VCARD_NODE = "urn:xmpp:vcard4"
VCARD = "urn:ietf:params:xml:ns:vcard-4.0"

_VALUES = tuple(f"{{{VCARD}}}{name}" for name in ("text", "uri"))


class Nick(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A nickname, left out when it was taken back."""

    nick: str = ""


class VCard(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The part of a vCard that nearly all have; photo: its address, unless the picture itself is in there."""

    fn: str = ""
    nickname: list[str] = []
    email: list[str] = []
    tel: list[str] = []
    url: list[str] = []
    impp: list[str] = []
    note: str = ""
    photo: str = ""


SHAPES: dict[str, type[msgspec.Struct]] = {"profile/nick": Nick, "profile/vcard": VCard}


def parse(item: Item) -> Nick | VCard | None:
    """A nickname or a vCard, by the payload."""
    if item.element.tag == f"{{{NICK}}}nick":
        return Nick(nick=xml.text(item.element))
    if item.element.tag == f"{{{VCARD}}}vcard":
        return _vcard(item.element)
    item.strange("no profile")
    return None


def _vcard(element: _Element) -> VCard:
    card = VCard()
    for child in _properties(element):
        name = xml.local(child)
        found = [text for each in child if each.tag in _VALUES and (text := xml.text(each))]
        if not found:
            continue
        value = found[0]
        match name:
            case "fn" | "note":
                if not getattr(card, name):
                    setattr(card, name, value)
            case "nickname" | "email":
                getattr(card, name).extend(found)
            case "tel" | "url" | "impp":
                getattr(card, name).append(uris.clean(value) if ":" in value else value)
            case "photo":
                if not card.photo and not value.lower().startswith("data:"):
                    card.photo = uris.clean(value)
    return card


def _properties(element: _Element) -> Iterator[_Element]:
    """The properties, also those in groups (RFC 6351 5)."""
    for child in element:
        if child.tag == f"{{{VCARD}}}group":
            yield from child
        elif child.tag.startswith(f"{{{VCARD}}}"):
            yield child


def _definition(name: str, subtype: str, node: str) -> Definition:
    return Definition(
        name=name, type="profile", subtype=subtype, node=node, exact=True, kind="last", to_sync=True, parser=parse
    )


DEFINITIONS = (_definition("profile-nick", "nick", NICK), _definition("profile-vcard", "vcard", VCARD_NODE))

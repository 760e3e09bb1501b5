"""A place on earth as XEP-0080 writes it, wherever it is embedded."""

from __future__ import annotations

import msgspec
from lxml.etree import _Element
from msgspec import UNSET, UnsetType

from . import values, xml
from .item import Item
from .values import Date

NAMESPACE = "http://jabber.org/protocol/geoloc"
TAG = f"{{{NAMESPACE}}}geoloc"


class Geoloc(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The names of XEP-0080 3; degrees, metres and metres per second are numbers."""

    accuracy: float | UnsetType = UNSET
    alt: float | UnsetType = UNSET
    altaccuracy: float | UnsetType = UNSET
    area: str = ""
    bearing: float | UnsetType = UNSET
    building: str = ""
    country: str = ""
    countrycode: str = ""
    datum: str = ""
    description: str = ""
    error: float | UnsetType = UNSET
    floor: str = ""
    lat: float | UnsetType = UNSET
    locality: str = ""
    lon: float | UnsetType = UNSET
    postalcode: str = ""
    region: str = ""
    room: str = ""
    speed: float | UnsetType = UNSET
    street: str = ""
    text: str = ""
    timestamp: Date = ""
    tzo: str = ""
    uri: str = ""


_NUMBERS = frozenset({"accuracy", "alt", "altaccuracy", "bearing", "error", "lat", "lon", "speed"})
_NAMES = frozenset(Geoloc.__struct_fields__)


def parse(item: Item, element: _Element) -> Geoloc | None:
    """The place that a ``<geoloc/>`` holds, None when it is empty."""
    place = Geoloc()
    found = False
    for child in element:
        namespace, _, name = child.tag.rpartition("}")
        if namespace != "{" + NAMESPACE or name not in _NAMES:
            continue
        content = xml.text(child)
        value: str | float | UnsetType = content
        if name in _NUMBERS:
            value = values.decimal(item, f"<{name}>", content)
        elif name == "timestamp":
            value = values.date(item, "<timestamp>", content)
        if value not in ("", UNSET):
            setattr(place, name, value)
            found = True
    return place if found else None

"""What people do and feel right now: mood (XEP-0107), activity (0108), tune (0118), place (0080)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import UNSET, UnsetType

from .. import geoloc, uris, values, xml
from ..definition import Definition
from ..geoloc import Geoloc
from ..item import Item, Parser
from ..values import LangText

MOOD = "http://jabber.org/protocol/mood"
ACTIVITY = "http://jabber.org/protocol/activity"
TUNE = "http://jabber.org/protocol/tune"


class Mood(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A mood by the XEP's name; not active: taken back."""

    active: bool
    mood: str = ""
    text: list[LangText] = []


class Activity(msgspec.Struct, omit_defaults=True, kw_only=True):
    """An activity by the XEP's names; not active: taken back."""

    active: bool
    general: str = ""
    specific: str = ""
    text: list[LangText] = []


class Tune(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What somebody listens to; length in seconds, rating from 1 to 10; not active: nothing."""

    active: bool
    artist: str = ""
    title: str = ""
    source: str = ""
    track: str = ""
    length: int | UnsetType = UNSET
    rating: int | UnsetType = UNSET
    uri: str = ""


class Place(Geoloc, omit_defaults=True, kw_only=True):
    """Where somebody is; not active: not told any more."""

    active: bool


SHAPES: dict[str, type[msgspec.Struct]] = {
    "status/mood": Mood,
    "status/activity": Activity,
    "status/tune": Tune,
    "status/geoloc": Place,
}


def parse_mood(item: Item) -> Mood:
    """The first element of the XEP's own namespace is the mood."""
    mood = Mood(active=False)
    for child in item.element:
        if child.tag == f"{{{MOOD}}}text":
            mood.text.extend(values.variants([child], xml.language(item.element)))
        elif child.tag.startswith(f"{{{MOOD}}}"):
            mood.mood = mood.mood or xml.local(child)
    mood.active = bool(mood.mood or mood.text)
    return mood


def parse_activity(item: Item) -> Activity:
    """The general activity is an element, the specific one its child; those of other namespaces are ignored."""
    activity = Activity(active=False)
    for child in item.element:
        if child.tag == f"{{{ACTIVITY}}}text":
            activity.text.extend(values.variants([child], xml.language(item.element)))
        elif child.tag.startswith(f"{{{ACTIVITY}}}") and not activity.general:
            activity.general = xml.local(child)
            activity.specific = next((xml.local(each) for each in child if each.tag.startswith(f"{{{ACTIVITY}}}")), "")
    activity.active = bool(activity.general or activity.text)
    return activity


def parse_tune(item: Item) -> Tune:
    """The tune's children by their names."""
    tune = Tune(active=False)
    for child in item.element:
        content = xml.text(child)
        match child.tag.removeprefix(f"{{{TUNE}}}"):
            case "artist" | "title" | "source" | "track" as name:
                setattr(tune, name, content)
            case "length":
                tune.length = values.natural(item, "<length>", content)
            case "rating":
                tune.rating = values.natural(item, "<rating>", content)
            case "uri":
                tune.uri = uris.clean(content)
    tune.active = tune != Tune(active=False)
    return tune


def parse_place(item: Item) -> Place:
    """A place, or that it is not told any more."""
    place = geoloc.parse(item, item.element)
    known = {} if place is None else {name: getattr(place, name) for name in place.__struct_fields__}
    return Place(active=place is not None, **known)


def _definition(
    subtype: str, node: str, parser: Callable[[Item], msgspec.Struct], *, to_sync: bool = True
) -> Definition:
    return Definition(
        name=f"status-{subtype}",
        type="status",
        subtype=subtype,
        node=node,
        exact=True,
        kind="last",
        to_sync=to_sync,
        parser=_checked(f"{{{node}}}{subtype}", parser),
    )


def _checked(tag: str, parser: Callable[[Item], msgspec.Struct]) -> Parser:
    """A parser that only gets the element it knows."""

    def parse(item: Item) -> msgspec.Struct | None:
        if item.element.tag != tag:
            item.strange("not what this node is for")
            return None
        return parser(item)

    return parse


DEFINITIONS = (
    _definition("mood", MOOD, parse_mood),
    _definition("activity", ACTIVITY, parse_activity),
    _definition("tune", TUNE, parse_tune),
    # Places of people are not gathered unless the user asks for it.
    _definition("geoloc", geoloc.NAMESPACE, parse_place, to_sync=False),
)

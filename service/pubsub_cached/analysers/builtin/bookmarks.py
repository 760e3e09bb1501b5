"""Rooms that the user keeps (XEP-0402, XEP-0469), without their passwords."""

from __future__ import annotations

import msgspec
from lxml.etree import _Element

from .. import uris, values, xml
from ..definition import Definition
from ..item import Item

NAMESPACE = "urn:xmpp:bookmarks:1"
# The same payload elsewhere (XEP-0503), the version before it, and what it replaced.
NAMESPACES = (NAMESPACE, "urn:xmpp:bookmarks:0", "storage:bookmarks")
_PINNED = "{urn:xmpp:bookmarks-pinning:0}pinned"


class Bookmark(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A room; extensions: names of what clients added.

    has_password: the service has one, which is in no answer and never stored; publishing over the bookmark without it
    takes it away there.
    """

    jid: str
    name: str = ""
    autojoin: bool
    nick: str = ""
    has_password: bool
    pinned: bool
    extensions: list[str] = []


SHAPES: dict[str, type[msgspec.Struct]] = {"bookmark/room": Bookmark}


def parse(item: Item) -> Bookmark | None:
    """A bookmark; the room's JID is the item's id."""
    element = item.element
    if element.tag != f"{{{NAMESPACE}}}conference":
        item.strange("no bookmark")
        return None
    if not (jid := uris.normalised_jid(item.context.id)):
        item.unreadable("id", item.context.id, "JID")
        return None
    extensions = xml.child(element, f"{{{NAMESPACE}}}extensions")
    names = [] if extensions is None else [extension.tag for extension in extensions]
    return Bookmark(
        jid=jid,
        name=element.get("name", ""),
        autojoin=values.boolean(item, "<conference autojoin>", element.get("autojoin")),
        nick=xml.child_text(element, f"{{{NAMESPACE}}}nick"),
        has_password=item.scrubbed,
        pinned=_PINNED in names,
        extensions=list(dict.fromkeys(names)),
    )


def remove_passwords(element: _Element) -> bool:
    """Take every ``<password/>`` out, at any depth and of any namespace; says whether there was one."""
    return _removed(list(element.iter("{*}password")))


def remove_bookmarks_passwords(element: _Element) -> bool:
    """Take every ``<password/>`` of a bookmark out; elsewhere bookmarks may only be mentioned."""
    return _removed([each for each in element.iter("{*}password") if _of_bookmark(each)])


def _of_bookmark(element: _Element) -> bool:
    around = (element, *element.iterancestors())
    return any(each.tag.rpartition("}")[0].removeprefix("{") in NAMESPACES for each in around)


def _removed(passwords: list[_Element]) -> bool:
    for password in passwords:
        parent = password.getparent()
        if parent is None:
            # The payload itself: it stays, empty.
            password.clear()
            continue
        # The text after it belongs to the parent.
        before = password.getprevious()
        if before is not None:
            before.tail = (before.tail or "") + (password.tail or "")
        else:
            parent.text = (parent.text or "") + (password.tail or "")
        parent.remove(password)
    return bool(passwords)


DEFINITIONS = (
    Definition(
        name="bookmarks",
        type="bookmark",
        subtype="room",
        node=NAMESPACE,
        exact=True,
        kind="map",
        to_sync=True,
        private=True,
        own=True,
        parser=parse,
        scrubs={"": remove_passwords, **dict.fromkeys(NAMESPACES, remove_bookmarks_passwords)},
    ),
)

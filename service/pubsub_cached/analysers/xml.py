"""Payloads into elements: no entities, no document type, no network, bounded in size and depth."""

from __future__ import annotations

import threading

from lxml import etree
from lxml.etree import _Element

# Characters, well above the quota of a payload; elements within each other.
MOST_CHARACTERS = 1 << 20
MOST_DEPTH = 100
# What is longer is no language (RFC 5646 4.4.1), and each text in an item would have it.
LONGEST_LANGUAGE = 64

XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
LANG = f"{{{XML_NAMESPACE}}}lang"
BASE = f"{{{XML_NAMESPACE}}}base"


class _Parsers(threading.local):
    """A thread's own: a parser is held for as long as it reads, so that whoever shares it would wait."""

    def __init__(self) -> None:
        self.xml = etree.XMLParser(
            resolve_entities=False,
            load_dtd=False,
            dtd_validation=False,
            no_network=True,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
            # Not collect_ids=False, tempting as it is: it makes libxml2 load the external subset in spite of load_dtd.
        )
        self.html = etree.HTMLParser(remove_comments=True, remove_pis=True, no_network=True, huge_tree=False)


parsers = _Parsers()
too_deep = etree.XPath("boolean(" + "/*" * (MOST_DEPTH + 1) + ")")


class Malformed(Exception):
    """A payload that is no acceptable XML; the message is a sentence."""


def parse(payload: str) -> _Element:
    """The element of a payload.

    Raises Malformed.
    """
    if len(payload) > MOST_CHARACTERS:
        raise Malformed(f"The payload is longer than {MOST_CHARACTERS} characters.")
    try:
        element = etree.fromstring(payload, parsers.xml)
    except etree.XMLSyntaxError as error:
        raise Malformed(f"The payload is no well-formed XML: {_reason(error)}.") from None
    except ValueError:
        raise Malformed("The payload has an XML declaration or characters that XML does not allow.") from None
    # Only in front of its element a document says its type (XML 1.0 2.8).
    if not (payload[0] == "<" and payload[1] not in "!?") and element.getroottree().docinfo.internalDTD is not None:
        raise Malformed("The payload has a document type declaration.")
    # An element within so many others takes two of these for each of them.
    if payload.count("<") > 2 * MOST_DEPTH and too_deep(element):
        raise Malformed(f"The payload has more than {MOST_DEPTH} elements within each other.")
    return element


def serialise(element: _Element) -> str:
    """An element as text, every namespace declared, without what follows it."""
    return etree.tostring(element, encoding="unicode", with_tail=False)


def local(element: _Element) -> str:
    """The element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def text(element: _Element) -> str:
    """All text in an element, white space at both ends removed."""
    if len(element):
        return "".join(map(str, element.itertext())).strip()
    return (element.text or "").strip()


def child(element: _Element, tag: str) -> _Element | None:
    """The first child of that tag; the library's ``find`` reads a tag as a path, which takes twice as long."""
    return next(element.iterchildren(tag), None)


def child_text(element: _Element, tag: str) -> str:
    """The text of the first child of that tag, "" without one."""
    found = child(element, tag)
    return "" if found is None else text(found)


def language(element: _Element, inherited: str = "") -> str:
    """The language an element declares, "" for none (XML 2.12), or the one given."""
    found = element.get(LANG, inherited)
    return found if len(found) <= LONGEST_LANGUAGE else ""


def _reason(error: etree.XMLSyntaxError) -> str:
    """The library's words in one line without the place, which it counts after its own conversions."""
    message = (error.msg or "unreadable").split(", line ")[0]
    return " ".join(message.split())[:120]

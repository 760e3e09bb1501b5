"""Payloads into elements: no entities, no document type, no network, bounded in size and depth."""

from __future__ import annotations

from lxml import etree
from lxml.etree import _Element

# Characters, well above the quota of a payload; elements within each other.
MOST_CHARACTERS = 1 << 20
MOST_DEPTH = 100

XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
LANG = f"{{{XML_NAMESPACE}}}lang"
BASE = f"{{{XML_NAMESPACE}}}base"

_parser = etree.XMLParser(
    resolve_entities=False,
    load_dtd=False,
    dtd_validation=False,
    no_network=True,
    huge_tree=False,
    remove_comments=True,
    remove_pis=True,
    # Not collect_ids=False, tempting as it is: it makes libxml2 load the external subset in spite of load_dtd.
)
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
        element = etree.fromstring(payload, _parser)
    except etree.XMLSyntaxError as error:
        raise Malformed(f"The payload is no well-formed XML: {_reason(error)}.") from None
    except ValueError:
        raise Malformed("The payload has an XML declaration or characters that XML does not allow.") from None
    if element.getroottree().docinfo.internalDTD is not None:
        raise Malformed("The payload has a document type declaration.")
    if too_deep(element):
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


def child_text(element: _Element, tag: str) -> str:
    """The text of the first child of that tag, "" without one."""
    child = element.find(tag)
    return "" if child is None else text(child)


def language(element: _Element, inherited: str = "") -> str:
    """The language an element declares, or the one given."""
    return element.get(LANG) or inherited


def _reason(error: etree.XMLSyntaxError) -> str:
    """The library's words in one line without the place, which it counts after its own conversions."""
    message = (error.msg or "unreadable").split(", line ")[0]
    return " ".join(message.split())[:120]

"""XML elements to text: every namespace declared, every attribute kept, hostile depth refused.

slixmpp's own serialiser loses namespaced attributes, ElementTree's renames every prefix to ``ns0``.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import lru_cache

from ..writable import UNWRITABLE, check_texts

# Deeper payloads are no content; parsers of later stages stop at 256.
MAX_DEPTH = 128
# Characters of the namespaces that are declared in a payload: where a prefix stood for a long one, many elements are
# short as they came, and each declares its own as it is written.
MAX_DECLARED = 1 << 20
# What stands around a payload in a stanza.
STANZA_DEPTH = 8

XML = "http://www.w3.org/XML/1998/namespace"


class Excessive(ValueError):
    """An element is nested deeper than MAX_DEPTH, or has more than MAX_DECLARED of namespaces."""


class _Text(list[str]):
    """What is written of an element, in pieces."""

    _declared = 0

    def declare(self, uri: str, prefix: str = "") -> None:
        declaration = _declaration(uri, prefix)
        self._declared += len(declaration)
        if self._declared > MAX_DECLARED:
            raise Excessive(f"The namespaces of its elements take more than {MAX_DECLARED} characters")
        self.append(declaration)


class Written(ET.Element):
    """What ``serialise`` wrote of an element that has a namespace, as a part of another; not taken apart again."""

    def __init__(self, text: str) -> None:
        super().__init__("written")
        self.text = text


def serialise(element: ET.Element) -> str:
    """The element as text that stands alone, without what follows it.

    Elements use default namespaces, namespaced attributes prefixes declared beside them, and
    attributes stand in the order of their names: a service may write the same element in any order.
    Raises Excessive.
    """
    out = _Text()
    _write(element, "", out, MAX_DEPTH)
    return "".join(out)


def stanza(element: ET.Element) -> str:
    """A stanza as text for a client's stream, which has a default namespace. Raises Excessive."""
    out = _Text()
    _write(element, "jabber:client", out, MAX_DEPTH + STANZA_DEPTH)
    return "".join(out)


def check(element: ET.Element) -> None:
    """Raises InvalidArgs for a text or attribute that would break the stream."""
    # All texts in one go: an item may have tens of thousands.
    if UNWRITABLE.search("".join(element.itertext())):
        check_texts(element.itertext())
    check_texts(value for each in element.iter() for value in each.attrib.values())


def namespace(element: ET.Element) -> str:
    """The namespace of an element, or ""."""
    return _split(element.tag)[0]


def namespace_of(text: str) -> str:
    """The namespace of an element that ``serialise`` wrote, or ""."""
    if not text:
        return ""
    # In the value of an attribute it is escaped.
    start, _, _ = text.partition(">")
    return namespace(ET.fromstring(start.rstrip("/") + "/>"))


def quoted(text: str) -> str:
    """The value of an attribute, in quotes."""
    return f'"{_attribute(text)}"'


def _write(element: ET.Element, inherited: str, out: _Text, depth: int) -> None:
    if depth == 0:
        raise Excessive(f"An element is nested deeper than {MAX_DEPTH}")
    if isinstance(element, Written):
        out.append(element.text or "")
        return
    uri, name = _split(element.tag)
    out.append("<" + name)
    if uri != inherited:
        out.declare(uri)
    if element.attrib:
        _attributes(element, out)
    text = element.text
    if not text and not len(element):
        out.append("/>")
        return
    out.append(">")
    if text:
        out.append(_text(text))
    for child in element:
        _write(child, uri, out, depth - 1)
        if child.tail:
            out.append(_text(child.tail))
    out.append(f"</{name}>")


def _attributes(element: ET.Element, out: _Text) -> None:
    prefixes: dict[str, str] = {}
    attributes = element.attrib
    for name in sorted(attributes) if len(attributes) > 1 else attributes:
        value = attributes[name]
        if name[0] == "{":
            name = _prefixed(*_split(name), prefixes, out)
        out.append(f' {name}="{_attribute(value)}"')


def _prefixed(uri: str, name: str, prefixes: dict[str, str], out: _Text) -> str:
    """The name of an attribute in a namespace, of which the prefix is declared the first time."""
    if uri == XML:
        return "xml:" + name
    if not uri:
        return name
    if uri not in prefixes:
        prefixes[uri] = f"ns{len(prefixes) + 1}"
        out.declare(uri, ":" + prefixes[uri])
    return f"{prefixes[uri]}:{name}"


@lru_cache(maxsize=256)
def _declaration(uri: str, prefix: str = "") -> str:
    return f' xmlns{prefix}="{_attribute(uri)}"'


@lru_cache(maxsize=4096)
def _split(tag: str) -> tuple[str, str]:
    """``{uri}name`` → (uri, name)."""
    uri, found, name = tag[1:].rpartition("}")
    return (uri, name) if found and tag[0] == "{" else ("", tag)


def _text(text: str) -> str:
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    # A parser turns a bare carriage return into a line feed (XML 1.0 2.11).
    return text.replace("\r", "&#13;") if "\r" in text else text


def _attribute(text: str) -> str:
    text = _text(text)
    if '"' in text:
        text = text.replace('"', "&quot;")
    if "\n" in text or "\t" in text:
        text = text.replace("\n", "&#10;").replace("\t", "&#9;")
    return text

"""What an interface consists of, as its XML file says."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .values import Check, SignatureTree, check_for, signature_tree

EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"


@dataclass(frozen=True, slots=True)
class Method:
    """A method: signatures, and where file descriptors are among the arguments."""

    name: str
    signature: str
    out: SignatureTree
    checks: tuple[Check, ...]
    fds_in: tuple[int, ...]
    fds_out: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Property:
    """A property, which can be read; signalled: whether ``PropertiesChanged`` tells its value."""

    name: str
    tree: SignatureTree
    check: Check
    writable: bool
    signalled: bool


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal and the types of its arguments."""

    name: str
    tree: SignatureTree
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """An interface as read from XML; ``xml`` is the element as it is served, comments included."""

    name: str
    xml: str
    methods: dict[str, Method]
    properties: dict[str, Property]
    signals: dict[str, Signal]


@lru_cache(maxsize=256)
def read(directory: Path, name: str) -> Description:
    """The interface ``name`` from ``directory``/``name``.xml.

    Raises OSError for a missing file, ValueError when the file lacks the interface or holds what can't be served.
    """
    source = (directory / f"{name}.xml").read_text(encoding="utf-8")
    parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
    root = ET.fromstring(source, parser=parser)
    element = root if root.tag == "interface" else root.find(f"interface[@name='{name}']")
    if element is None or element.get("name") != name:
        raise ValueError(f"{directory / name}.xml does not describe {name}.")
    return parse(element)


def parse(element: ET.Element) -> Description:
    """A Description of an ``<interface/>`` element (D-Bus specification, "Introspection Data Format")."""
    name = element.get("name", "")
    methods = [_method(child) for child in element.findall("method")]
    properties = [_property(child) for child in element.findall("property")]
    signals = [_signal(child) for child in element.findall("signal")]
    element.tail = None
    return Description(
        name,
        ET.tostring(element, encoding="unicode"),
        {method.name: method for method in methods},
        {prop.name: prop for prop in properties},
        {signal.name: signal for signal in signals},
    )


def _method(element: ET.Element) -> Method:
    name = element.get("name", "")
    arguments = element.findall("arg")
    taken = [arg.get("type", "") for arg in arguments if arg.get("direction", "in") == "in"]
    given = [arg.get("type", "") for arg in arguments if arg.get("direction", "in") == "out"]
    for kind in (*taken, *given):
        if "h" in kind and kind != "h":
            raise ValueError(f"{name} has a file descriptor inside the type {kind!r}: only a plain h is supported.")
    out = signature_tree("".join(given))
    return Method(
        name,
        "".join(taken),
        out,
        tuple(check_for(kind) for kind in out.types),
        tuple(index for index, kind in enumerate(taken) if kind == "h"),
        tuple(index for index, kind in enumerate(given) if kind == "h"),
    )


def _property(element: ET.Element) -> Property:
    tree = signature_tree(element.get("type", ""))
    emits = element.find(f"annotation[@name='{EMITS}']")
    return Property(
        element.get("name", ""),
        tree,
        check_for(tree.types[0]),
        "write" in element.get("access", ""),
        emits is None or emits.get("value") == "true",
    )


def _signal(element: ET.Element) -> Signal:
    tree = signature_tree("".join(arg.get("type", "") for arg in element.findall("arg")))
    return Signal(element.get("name", ""), tree, tuple(check_for(kind) for kind in tree.types))

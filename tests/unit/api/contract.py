"""The interface files as data: members, arguments, annotations, and what their comments say."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pubsub_cached import paths

QT_TYPE = "org.qtproject.QtDBus.QtTypeName"
EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"
DOC_STRING = "org.gtk.GDBus.DocString"

_SECTION = re.compile(r"(?:Keys of (?P<arg>\w+)|(?P<errors>Errors)):(?: as (?P<same>\w+) of (?P<member>[\w.]+)\.)?")
_KEY = re.compile(r"- (?P<key>[a-z-]+) \((?P<type>\w+)\): (?P<text>\S.*)")
_ERROR = re.compile(r"- (?P<name>[A-Za-z.]+): (?P<text>\S.*)")


@dataclass
class Doc:
    """A comment: its text, what it says of arguments, the keys of each record, and the errors."""

    text: str = ""
    arguments: dict[str, str] = field(default_factory=dict)
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    same: dict[str, tuple[str, str]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


@dataclass
class Argument:
    """An argument of a method or signal; ``number`` counts those of its direction."""

    name: str
    type: str
    direction: str
    number: int
    text: str


@dataclass
class Member:
    """A method, signal or property."""

    kind: str
    name: str
    arguments: list[Argument]
    annotations: dict[str, str]
    doc: Doc
    type: str = ""
    access: str = ""

    def __str__(self) -> str:
        return self.name


@dataclass
class Contract:
    """One file."""

    name: str
    file: Path
    doc: Doc
    members: list[Member]

    def of(self, kind: str) -> dict[str, Member]:
        """The members of one kind by name."""
        return {member.name: member for member in self.members if member.kind == kind}

    def keys(self, member: str, argument: str) -> dict[str, str] | None:
        """Types of the documented keys of a record; None when nothing is said of them."""
        interface, _, member = member.rpartition(".")
        if interface and interface != self.name:
            return next(other for other in contracts() if other.name == interface).keys(member, argument)
        doc = next(found.doc for found in self.members if found.name == member)
        if argument in doc.same:
            of, same = doc.same[argument][1], doc.same[argument][0]
            return self.keys(of, same)
        return doc.keys.get(argument)

    def __str__(self) -> str:
        return self.name


@cache
def contracts() -> list[Contract]:
    """All interface files."""
    return [_read(file) for file in sorted(paths.interfaces().glob("*.xml"))]


def _read(file: Path) -> Contract:
    root = ET.fromstring(file.read_bytes(), ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))
    ((comment, element),) = [pair for pair in _commented(root) if pair[1].tag == "interface"]
    children = [pair for pair in _commented(element) if pair[1].tag in ("method", "signal", "property")]
    members = [_member(child, comment) for comment, child in children]
    return Contract(element.get("name", ""), file, _doc(comment, element.get("name", "")), members)


def _commented(parent: ET.Element) -> Iterator[tuple[str, ET.Element]]:
    """Each element with the comment right before it."""
    comment = ""
    for child in parent:
        if child.tag is ET.Comment:
            comment = child.text or ""
        else:
            yield comment, child
            comment = ""


def _member(element: ET.Element, comment: str) -> Member:
    name = element.get("name", "")
    doc = _doc(comment, name)
    annotations = {note.get("name", ""): note.get("value", "") for note in element.findall("annotation")}
    arguments: list[Argument] = []
    for child in element.findall("arg"):
        direction = "out" if element.tag == "signal" else child.get("direction", "in")
        number = sum(1 for argument in arguments if argument.direction == direction)
        note = child.find(f"annotation[@name='{DOC_STRING}']")
        text = doc.arguments.get(child.get("name", ""), "") if note is None else note.get("value", "")
        arguments.append(Argument(child.get("name", ""), child.get("type", ""), direction, number, text))
    return Member(element.tag, name, arguments, annotations, doc, element.get("type", ""), element.get("access", ""))


def _doc(comment: str, name: str) -> Doc:
    """A comment in gdbus-codegen's form: ``Name:``, lines of ``@argument: …``, paragraphs."""
    lines = [line.strip() for line in comment.strip().splitlines()]
    doc = Doc()
    if not lines or lines[0] != f"{name}:":
        return doc
    rest = iter(lines[1:])
    paragraphs: list[list[str]] = [[]]
    for line in rest:
        if line.startswith("@") and paragraphs == [[]]:
            argument, _, text = line[1:].partition(": ")
            doc.arguments[argument] = text
        elif line:
            paragraphs[-1].append(line)
        else:
            paragraphs.append([])
    for paragraph in paragraphs:
        _paragraph(doc, paragraph)
    return doc


def _paragraph(doc: Doc, lines: list[str]) -> None:
    section = _SECTION.fullmatch(lines[0]) if lines else None
    if section is None:
        doc.text = " ".join([doc.text, *lines]).strip()
        return
    if section["same"]:
        doc.same[section["arg"]] = (section["same"], section["member"])
        return
    keys = doc.keys.setdefault(section["arg"], {}) if section["arg"] else {}
    for line in lines[1:]:
        key, error = _KEY.fullmatch(line), _ERROR.fullmatch(line)
        if section["arg"] and key is not None:
            keys[key["key"]] = key["type"]
        elif section["errors"] and error is not None:
            doc.errors[error["name"]] = error["text"]
        elif line.startswith("- "):
            doc.unread.append(line)

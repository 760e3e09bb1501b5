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


@dataclass(frozen=True)
class Key:
    """A key of a record: its type, and what it means."""

    type: str
    text: str


@dataclass
class Doc:
    """A comment: its paragraphs, what it says of arguments, the keys of each record, and the errors.

    A paragraph is a list of lines: a text, and one for each entry of the list that it may end with, which begin with
    ``- ``. same: for a record whose keys are another's, that argument and the member that has it.
    """

    paragraphs: list[list[str]] = field(default_factory=list)
    arguments: dict[str, str] = field(default_factory=dict)
    keys: dict[str, dict[str, Key]] = field(default_factory=dict)
    same: dict[str, tuple[str, str]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All paragraphs in one line."""
        return " ".join(line for paragraph in self.paragraphs for line in paragraph)


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
        keys = doc.keys.get(argument)
        return None if keys is None else {name: key.type for name, key in keys.items()}

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
    paragraphs: list[list[str]] = [[]]
    argument = ""
    for line in lines[1:]:
        if line.startswith("@") and paragraphs == [[]]:
            argument, _, text = line[1:].partition(": ")
            doc.arguments[argument] = text
        elif not line:
            argument = ""
            paragraphs.append([])
        elif argument:
            doc.arguments[argument] += f" {line}"
        else:
            paragraphs[-1].append(line)
    for paragraph in paragraphs:
        if paragraph:
            _paragraph(doc, _joined(paragraph))
    return doc


def _joined(lines: list[str]) -> list[str]:
    """A paragraph's text and each entry of its list in a line of its own; what begins a section is one, too."""
    joined: list[str] = []
    for line in lines:
        if not joined or line.startswith("- ") or (len(joined) == 1 and _SECTION.fullmatch(joined[0])):
            joined.append(line)
        else:
            joined[-1] += f" {line}"
    return joined


def _paragraph(doc: Doc, lines: list[str]) -> None:
    section = _SECTION.fullmatch(lines[0])
    if section is None:
        doc.paragraphs.append(lines)
        return
    if section["same"]:
        doc.same[section["arg"]] = (section["same"], section["member"])
        return
    keys = doc.keys.setdefault(section["arg"], {}) if section["arg"] else {}
    for line in lines[1:]:
        key, error = _KEY.fullmatch(line), _ERROR.fullmatch(line)
        if section["arg"] and key is not None:
            keys[key["key"]] = Key(key["type"], key["text"])
        elif section["errors"] and error is not None:
            doc.errors[error["name"]] = error["text"]
        else:
            doc.unread.append(line)

"""A parser without code: paths into an item, declared as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec
from lxml import etree
from lxml.etree import _Element

from . import values, xml
from .element_path import BadPath, Path
from .item import Item, Parser
from .values import LangText

MOST_FIELDS = 64
MOST_VALUES = 1000
# Characters of a field: nested elements repeat what is in them.
MOST_CHARACTERS = 1 << 18
# So many steps of a path take as long as what it finds.
STEPS = 4

FieldType = Literal["text", "int", "float", "bool", "date", "xml", "lang"]


class Field(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One key of ``data``.

    path: an ElementTree path below ``<item/>``, so its first step is the payload itself; ``/@name`` at the end
    takes an attribute. type: ``lang`` gives language variants. list: all matches instead of the first.
    """

    path: str
    type: FieldType = "text"
    list: bool = False


def parser(fields: Mapping[str, Field]) -> tuple[Parser, int]:
    """A parser that gives what the paths find, and how often it goes through an item, about.

    Raises BadPath, naming the field and its path.
    """
    if len(fields) > MOST_FIELDS:
        raise BadPath(f"has {len(fields)} entries; {MOST_FIELDS} is the most.")
    paths = {name: _path(name, field) for name, field in fields.items()}
    readers = {name: _reader(name, field, paths[name]) for name, field in fields.items()}

    def parse(item: Item) -> dict[str, object]:
        # The paths begin above the payload.
        holder = etree.Element("item")
        holder.append(item.element)
        data: dict[str, object] = {}
        for name, read in readers.items():
            value = read(item, holder)
            if value is not None and value != []:
                data[name] = value
        return data

    return parse, sum(1 + path.steps // STEPS for path in paths.values())


def _path(name: str, field: Field) -> Path:
    if not name:
        raise BadPath("has an entry without a name.")
    try:
        path = Path(field.path)
        if path.attribute and field.type in ("xml", "lang"):
            raise BadPath(f"an attribute is no {field.type}; take text.")
    except BadPath as error:
        raise BadPath(f"has the bad path '{field.path}' for '{name}': {error}") from None
    return path


def _reader(name: str, field: Field, path: Path) -> Callable[[Item, _Element], object]:
    several = field.list or field.type == "lang"

    def read(item: Item, holder: _Element) -> object:
        results = []
        left = MOST_CHARACTERS
        for element in path.find(holder)[:MOST_VALUES]:
            text = element.get(path.attribute) if path.attribute else _content(element, field.type)
            left -= len(text or "")
            if left < 0:
                item.error(f"{name}: there are more than {MOST_CHARACTERS} characters; the rest is left out.")
                break
            if text is not None and (value := _value(name, field.type, item, element, text)) is not None:
                results.append(value)
                if not several:
                    return value
        return results if several else None

    return read


def _content(element: _Element, type: FieldType) -> str:
    return xml.serialise(element) if type == "xml" else xml.text(element)


def _value(name: str, type: FieldType, item: Item, element: _Element, text: str) -> object:
    value: object
    match type:
        case "lang":
            return LangText(lang=xml.language(element), value=text) if text else None
        case "int":
            value, kind = values.parsed_integer(text), "whole number"
        case "float":
            value, kind = values.parsed_decimal(text), "number"
        case "bool":
            value, kind = values.parsed_boolean(text), "boolean"
        case "date":
            value, kind = values.normalised_date(text), "date and time with a time zone"
        case _:
            return text
    if value is None:
        item.unreadable(name, text, kind)
    return value

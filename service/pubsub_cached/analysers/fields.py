"""A parser without code: paths into an item, declared as data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Literal

import msgspec
from lxml import etree
from lxml.etree import _Element

from . import values, xml
from .item import Item, Parser

MOST_FIELDS = 64
LONGEST_PATH = 1000
# Each step into any depth multiplies the work; a payload of many elements must stay cheap.
MOST_DESCENTS = 2
MOST_VALUES = 1000

_ATTRIBUTE = re.compile(r"(.+)/@((?:\{[^{}]*\})?[^/@{}\[\]:\s]+)", re.DOTALL)

FieldType = Literal["text", "int", "float", "bool", "date", "xml", "lang"]


class Field(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One key of ``data``.

    path: an ElementTree path below ``<item/>``, so its first step is the payload itself; ``/@name`` at the end
    takes an attribute. type: ``lang`` gives language variants. list: all matches instead of the first.
    """

    path: str
    type: FieldType = "text"
    list: bool = False


class BadPath(ValueError):
    """A path that can't be used; the message says why."""


def check(fields: Mapping[str, Field]) -> None:
    """Raises BadPath, naming the field and its path."""
    if len(fields) > MOST_FIELDS:
        raise BadPath(f"has {len(fields)} entries; {MOST_FIELDS} is the most.")
    for name, field in fields.items():
        if not name:
            raise BadPath("has an entry without a name.")
        try:
            _check_path(field)
        except BadPath as error:
            raise BadPath(f"has the bad path '{field.path[:100]}' for '{name}': {error}") from None


def parser(fields: Mapping[str, Field]) -> Parser:
    """A parser that gives what the paths of checked fields find."""
    readers = {name: _reader(name, field) for name, field in fields.items()}

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

    return parse


def _check_path(field: Field) -> None:
    if not field.path or len(field.path) > LONGEST_PATH:
        raise BadPath(f"a path has 1 to {LONGEST_PATH} characters.")
    path, attribute = _split(field.path)
    if attribute and field.type in ("xml", "lang"):
        raise BadPath(f"an attribute is no {field.type}; take text.")
    bare = re.sub(r"\{[^{}]*\}", "", path)
    if "@" in re.sub(r"\[[^\[\]]*\]", "", bare):
        raise BadPath("'@' may only start the last step.")
    if bare.startswith("/"):
        raise BadPath("it starts below the item; leave out the '/' at its beginning.")
    if bare.count("//") > MOST_DESCENTS:
        raise BadPath(f"it has more than {MOST_DESCENTS} '//'.")
    probe = etree.Element("item")
    etree.SubElement(probe, "payload")
    try:
        probe.find(path)
    except SyntaxError as error:
        raise BadPath(f"{error}; namespaces are written '{{namespace}}name'.") from None
    except (ValueError, TypeError, KeyError, IndexError):
        raise BadPath("it is no ElementTree path.") from None


def _split(path: str) -> tuple[str, str]:
    """A path and the attribute at its end, or ""."""
    found = _ATTRIBUTE.fullmatch(path)
    return (found[1], found[2]) if found else (path, "")


def _reader(name: str, field: Field) -> Callable[[Item, _Element], object]:
    path, attribute = _split(field.path)
    if field.type == "lang":
        return lambda item, holder: values.variants(_find(holder, path))
    one = partial(_value, name, field.type)

    def found(item: Item, holder: _Element) -> object:
        results = []
        for element in _find(holder, path):
            text = element.get(attribute) if attribute else _content(element, field.type)
            if text is not None and (value := one(item, text)) is not None:
                results.append(value)
                if not field.list:
                    return value
        return results if field.list else None

    return found


def _find(holder: _Element, path: str) -> list[_Element]:
    return list(islice(holder.iterfind(path), MOST_VALUES))


def _content(element: _Element, type: FieldType) -> str:
    return xml.serialise(element) if type == "xml" else xml.text(element)


def _value(name: str, type: FieldType, item: Item, text: str) -> object:
    value: object
    match type:
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

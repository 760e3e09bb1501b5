"""Text into dates, numbers and language variants: what can't be read is named and left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated, TypeVar

import msgspec
from lxml.etree import _Element
from msgspec import UNSET, UnsetType

from . import xml
from .item import Item

T = TypeVar("T")

_DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]((?:[01][0-9]|2[0-3]):[0-5][0-9]):([0-5][0-9]|60)(?:[.,][0-9]+)?"
    r" ?([Zz]|[+-][0-9]{2}:?[0-9]{2})"
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?")
_BOOLEAN = {"true": True, "1": True, "false": False, "0": False}


# As ``normalised_date`` gives it, so that strings sort.
Date = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


class LangText(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A text in one language; lang is "" and left out when nothing says it."""

    lang: str = ""
    value: str


# Most items name the same moment twice.
@lru_cache(maxsize=64)
def normalised_date(text: str) -> str | None:
    """A date and time (RFC 3339, XEP-0082) in UTC as ``YYYY-MM-DDTHH:MM:SSZ``, or None.

    Without a time zone it is none: nobody could say when that is.
    """
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return None
    day, minute, second, zone = found.groups()
    leap = second == "60"
    try:
        if zone in "Zz" and not leap:
            # The rest is as it should be.
            datetime.fromisoformat(day)
            return f"{day}T{minute}:{second}Z"
        moment = datetime.fromisoformat(f"{day}T{minute}:{'59' if leap else second}{zone.upper()}")
        moment = moment.replace(tzinfo=None) - (moment.utcoffset() or timedelta()) + timedelta(seconds=leap)
    except (ValueError, OverflowError):
        return None
    return moment.isoformat() + "Z"


def parsed_integer(text: str) -> int | None:
    """A whole number that fits 64 bits, or None."""
    text = text.strip()
    return int(text) if _INTEGER.fullmatch(text) else None


def parsed_decimal(text: str) -> float | None:
    """A finite number, or None."""
    text = text.strip()
    return float(text) if _DECIMAL.fullmatch(text) else None


def parsed_boolean(text: str) -> bool | None:
    """An XML Schema boolean, or None."""
    return _BOOLEAN.get(text.strip())


def date(item: Item, what: str, text: str | None) -> str:
    """A normalised date; "" when there is none, or when it is unreadable and named."""
    return _read(item, what, text, normalised_date, "date and time with a time zone") or ""


def integer(item: Item, what: str, text: str | None) -> int | UnsetType:
    """A whole number; UNSET when there is none, or when it is unreadable and named."""
    value = _read(item, what, text, parsed_integer, "whole number")
    return UNSET if value is None else value


def natural(item: Item, what: str, text: str | None) -> int | UnsetType:
    """A whole number that is not negative, else as ``integer``."""
    value = integer(item, what, text)
    if isinstance(value, int) and value < 0:
        item.unreadable(what, str(value), "count")
        return UNSET
    return value


def decimal(item: Item, what: str, text: str | None) -> float | UnsetType:
    """A number; UNSET when there is none, or when it is unreadable and named."""
    value = _read(item, what, text, parsed_decimal, "number")
    return UNSET if value is None else value


def boolean(item: Item, what: str, text: str | None) -> bool:
    """A boolean; False when there is none, or when it is unreadable and named."""
    return _read(item, what, text, parsed_boolean, "boolean") or False


def _read(item: Item, what: str, text: str | None, parse: Callable[[str], T | None], kind: str) -> T | None:
    """What a text says; None when there is none, or when it is unreadable and named."""
    if not text:
        return None
    if (value := parse(text)) is None:
        item.unreadable(what, text.strip(), kind)
    return value


def variants(elements: Iterable[_Element], inherited: str = "") -> list[LangText]:
    """The same text in several languages, empty ones left out."""
    return [
        LangText(lang=xml.language(element, inherited), value=value)
        for element in elements
        if (value := xml.text(element))
    ]

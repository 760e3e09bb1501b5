"""An item or a node in a few words, from what its analyser made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from . import times

# The keys of ``data`` that name a thing, the best first.
_NAMES = ("title", "name", "summary", "content", "descriptions", "fn", "nick", "desc", "text", "target", "jid", "node")
_DATES = ("published", "updated", "start", "date")
_TAG = re.compile(r"<[^>]*>")
_EXCERPT = 80


def kind(record: Mapping[str, Any]) -> str:
    """Type and subtype of an item or a node, as options take them; once where both are the same."""
    type_, subtype = record.get("type", ""), record.get("subtype", "")
    return f"{type_}/{subtype}" if subtype not in ("", type_) else type_


def document(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as a frontend would see it: ``data`` is an object in it."""
    shown = dict(item)
    if "data" in shown:
        shown["data"] = data(item)
    return shown


def data(item: Mapping[str, Any]) -> dict[str, Any]:
    """What the parser made of an item; empty where there is nothing."""
    try:
        found = json.loads(item.get("data") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def headline(item: Mapping[str, Any]) -> str:
    """What an item is about: its title or name, or the first words of its text."""
    parsed = data(item)
    for key in _NAMES:
        said = _text(parsed.get(key))
        if said:
            return _short(said)
    words = [str(value) for key, value in parsed.items() if isinstance(value, str) and key not in _DATES]
    return _short(", ".join(words) or _TAG.sub(" ", item.get("payload", "")))


def date(item: Mapping[str, Any]) -> str:
    """When it was published or takes place by its own word, else when the cache last saw it change."""
    parsed = data(item)
    for key in _DATES:
        if isinstance(parsed.get(key), str):
            return times.of_document(parsed[key])
    changed = item.get("modified")
    return times.moment(changed) if changed is not None else ""


def _text(value: Any) -> str:
    """The text of a value that may be given in several languages."""
    if isinstance(value, list):
        return next((said for each in value if (said := _text(each))), "")
    if isinstance(value, dict):
        return _text(value.get("text") or value.get("value"))
    return value if isinstance(value, str) else ""


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _EXCERPT else words[: _EXCERPT - 1].rstrip() + "…"

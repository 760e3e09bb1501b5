"""Records as JSON: in a document ``data``, which the database holds as JSON, is an object and not a string."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from .records import ItemRecord

_encoder = msgspec.json.Encoder()


def document(item: ItemRecord) -> str:
    """An item as one line of JSON."""
    return _encoder.encode(_with_data(item)).decode()


def lines(items: Iterable[ItemRecord]) -> bytes:
    """JSON Lines: an item a line."""
    return _encoder.encode_lines([_with_data(item) for item in items])


def record(found: Mapping[str, Any]) -> str:
    """Any other record as one line of JSON."""
    return _encoder.encode(found).decode()


def _with_data(item: ItemRecord) -> Mapping[str, Any]:
    """The parsed data goes in as it is, neither read nor written anew."""
    data = item.get("data")
    if data is None:
        return item
    if "\n" in data or "\r" in data:
        # Between values only, for inside of a string JSON has no such character; here it would end the line.
        data = data.replace("\n", " ").replace("\r", " ")
    return {**item, "data": msgspec.Raw(data)}

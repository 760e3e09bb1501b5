"""Records as JSON: in a document ``data``, which the database holds as JSON, is an object and not a string."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from .records import ItemRecord

# What nobody writes by hand. Databases refuse to read what is nested 1000 deep, for whoever asks for any of the items.
NESTED_AT_MOST = 128

# So many items make the first piece; how large they are shows how many make the next.
_FIRST = 32
_PIECE_BYTES = 1024 * 1024

_encoder = msgspec.json.Encoder()
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def stored(data: object) -> str:
    """What a parser gave, a mapping or a struct, as it is stored.

    Raises OverflowError for what is nested deeper than ``NESTED_AT_MOST``, and what the encoder raises.
    """
    text = _encoder.encode(data).decode()
    if text.count("{") + text.count("[") > NESTED_AT_MOST and _depth(text) > NESTED_AT_MOST:
        raise OverflowError(f"The document is nested deeper than {NESTED_AT_MOST}.")
    return text


def _depth(text: str) -> int:
    depth = deepest = 0
    for found in _BRACKET.finditer(text):
        bracket = found[0]
        if bracket in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif bracket in "]}":
            depth -= 1
    return deepest


def document(item: ItemRecord) -> str:
    """An item as one line of JSON."""
    return _encoder.encode(_with_data(item)).decode()


def lines(items: Iterable[ItemRecord]) -> bytes:
    """JSON Lines: an item a line."""
    return _encoder.encode_lines([_with_data(item) for item in items])


def pieces(items: Sequence[ItemRecord]) -> Iterator[bytes]:
    """JSON Lines, some after the other: whoever writes them keeps the interpreter from other threads meanwhile."""
    start, count = 0, _FIRST
    while start < len(items):
        piece = lines(items[start : start + count])
        yield piece
        start += count
        count = min(4 * count, max(1, count * _PIECE_BYTES // len(piece)))


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

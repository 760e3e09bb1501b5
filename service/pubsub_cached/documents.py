"""Records as JSON: in a document ``data``, which the database holds as JSON, is an object and not a string."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from .records import ItemRecord

# What nobody writes by hand. Databases refuse to read what is nested 1000 deep, for whoever asks for any of the items.
NESTED_AT_MOST = 128
# A longer number is infinite to SQLite, and so as large as any other such one.
DIGITS_AT_MOST = 308

# So many items make the first piece; how large they are shows how many make the next.
_FIRST = 32
_PIECE_BYTES = 1024 * 1024

_encoder = msgspec.json.Encoder()
# However a longer number stands in a text, three of its digits are so far apart from the beginning of that.
_APART = DIGITS_AT_MOST // 3 + 1
_DIGITS = re.compile(r"[0-9]{3}")
# Said in this way a long string is run through at once, which takes a hundredth of a look at each character.
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_NUMBER = re.compile(_STRING + "|[0-9]+")
_BRACKET = re.compile(_STRING + r"|[\[\]{}]")


def stored(data: object) -> str:
    """What a parser gave, a mapping or a struct, as it is stored.

    Raises OverflowError for what is nested deeper than ``NESTED_AT_MOST`` or has a number of more digits than
    ``DIGITS_AT_MOST``, and what the encoder raises.
    """
    text = _encoder.encode(data).decode()
    if text.count("{") + text.count("[") > NESTED_AT_MOST and _depth(text) > NESTED_AT_MOST:
        raise OverflowError(f"The document is nested deeper than {NESTED_AT_MOST}.")
    # To look at each character takes a hundred times as long.
    if _DIGITS.search(text[::_APART]) and _digits(text) > DIGITS_AT_MOST:
        raise OverflowError(f"The document has a number of more than {DIGITS_AT_MOST} digits; give it as a string.")
    return text


def _digits(text: str) -> int:
    return max((len(found[0]) for found in _NUMBER.finditer(text) if found[0][0] != '"'), default=0)


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

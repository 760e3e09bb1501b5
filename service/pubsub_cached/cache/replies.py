"""Records on their way into a reply: how many fit, and which of their keys were asked for."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import ItemRecord

# Beside payload and data: the other keys, lengths and padding.
_REST = 1000


def weight(items: Sequence[ItemRecord]) -> int:
    """How many characters there are in the payloads and data."""
    return sum(len(item.get("payload", "")) + len(item.get("data", "")) for item in items)


def fitting(items: Sequence[ItemRecord], most: int) -> int:
    """How many of the items fit into so many bytes; at least one, if there is one."""
    size = 0
    for number, item in enumerate(items):
        size += len(item.get("payload", "").encode()) + len(item.get("data", "").encode()) + _REST
        if size > most and number:
            return number
    return len(items)


def trimmed(item: ItemRecord, fields: frozenset[str] | None) -> ItemRecord:
    """The wanted keys, all for None; the id is always there."""
    if fields is None:
        return item
    return {key: value for key, value in item.items() if key in fields or key == "id"}  # type: ignore[return-value]

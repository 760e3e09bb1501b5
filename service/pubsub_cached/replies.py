"""Records on their way into a reply: how much they weigh, how many fit, and which of their keys were asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .records import ItemRecord

# What an entry has beside its text: a key, a type, lengths and padding, or all of a number.
_ENTRY = 32


def weight(record: Mapping[str, object]) -> int:
    """The bytes that a record takes in a reply, or a few more."""
    size = _ENTRY * len(record)
    for value in record.values():
        if isinstance(value, str):
            size += len(value) if value.isascii() else len(value.encode())
        elif isinstance(value, list):
            size += sum([_ENTRY + len(text.encode()) for text in value])
    return size


def fitting(records: Sequence[Mapping[str, object]], most: int) -> int:
    """How many of the records fit into so many bytes; at least one, if there is one."""
    size = 0
    for number, record in enumerate(records):
        size += weight(record)
        if size > most and number:
            return number
    return len(records)


def trimmed(item: ItemRecord, fields: frozenset[str] | None) -> ItemRecord:
    """The wanted keys, all for None; the id is always there."""
    if fields is None:
        return item
    return {key: value for key, value in item.items() if key in fields or key == "id"}  # type: ignore[return-value]

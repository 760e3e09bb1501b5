"""Records on their way to the bus: written from a table of types, without a variant an entry.

The library makes an object of each entry, looks at the type of each again and copies the whole, which takes as long
as everything else that a cached read does. Nearly all that this service sends are records, so it writes these itself,
in the layout of the D-Bus specification ("Marshaling"), little-endian; every other message is the library's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from struct import Struct
from typing import Any

from dbus_fast import Message

from .paths import is_object_path

_LITTLE_ENDIAN = ord("l")
_VERSION = 1
_FIXED = Struct("<4BIII")
_BODY_SIZE_AT = 4
_UINT32 = Struct("<I").pack
_PACKERS: dict[str, Callable[[Any], bytes]] = {
    "b": _UINT32,
    "i": Struct("<i").pack,
    "u": _UINT32,
    "x": Struct("<q").pack,
    "t": Struct("<Q").pack,
}
_WIDE = frozenset("xt")
_TEXTS = frozenset("so")
_PADDING = tuple(bytes(-place % 8) for place in range(8))
_LENGTH = bytes(4)
_END = b"\0"


class Record:
    """A record as ``a{sv}``; ``table`` gives the D-Bus type of each key (``records.INFO`` and its like).

    It is looked at when it is sent: a strange key or a wrong value shows as ``Error.Internal``. Keep the table: what
    is prepared for it stays.
    """

    __slots__ = ("record", "table")

    def __init__(self, record: Mapping[str, Any], table: Mapping[str, str]) -> None:
        self.record = record
        self.table = table


class Records:
    """Records as ``aa{sv}``; see ``Record``."""

    __slots__ = ("records", "table")

    def __init__(self, records: Sequence[Mapping[str, Any]], table: Mapping[str, str]) -> None:
        self.records = records
        self.table = table


def marshalled(message: Message) -> bytearray:
    """The message as it is sent. Raises for a body that does not fit its signature."""
    if not any(type(value) is Records or type(value) is Record for value in message.body):
        return message._marshall(True)
    buffer = _header(message)
    begin = len(buffer)
    for kind, value in zip(message.signature_tree.types, message.body, strict=True):
        _put(buffer, kind.signature, value)
    buffer[_BODY_SIZE_AT : _BODY_SIZE_AT + 4] = _UINT32(len(buffer) - begin)
    return buffer


def _header(message: Message) -> bytearray:
    """What stands before the body, whose size is still missing; it ends at a multiple of 8."""
    kind, flags = message.message_type.value, message.flags.value
    buffer = bytearray(_FIXED.pack(_LITTLE_ENDIAN, kind, flags, _VERSION, 0, message.serial, 0))
    begin = len(buffer)
    fields: Iterable[tuple[int, str, Any]] = (
        (1, "o", message.path),
        (2, "s", message.interface),
        (3, "s", message.member),
        (4, "s", message.error_name),
        (5, "u", message.reply_serial),
        (6, "s", message.destination),
        (8, "g", message.signature),
        (9, "u", len(message.unix_fds)),
    )
    for code, signature, value in fields:
        if value:
            _align(buffer, 8)
            buffer += bytes((code, 1, ord(signature), 0))
            if signature == "u":
                buffer += _UINT32(value)
            elif signature == "g":
                buffer += bytes((len(value),)) + value.encode() + _END
            else:
                _put_text(buffer, signature, value)
    buffer[begin - 4 : begin] = _UINT32(len(buffer) - begin)
    _align(buffer, 8)
    return buffer


def _align(buffer: bytearray, boundary: int) -> None:
    buffer += bytes(-len(buffer) % boundary)


def _put(buffer: bytearray, signature: str, value: Any) -> None:
    """A value where it begins."""
    _align(buffer, 8 if signature in _WIDE else 4)
    if signature == "aa{sv}":
        _put_records(buffer, value)
    elif signature == "a{sv}":
        _put_record(buffer, value.record, _keys(value.table))
    elif signature in _TEXTS:
        _put_text(buffer, signature, value)
    elif signature == "as":
        _put_texts(buffer, value)
    else:
        buffer += _PACKERS[signature](value)


def _put_text(buffer: bytearray, signature: str, text: str) -> None:
    """A string or object path, at a multiple of 4."""
    if signature == "o" and not is_object_path(text):
        raise TypeError(f"{text!r} is no object path")
    data = text.encode()
    buffer += _UINT32(len(data))
    buffer += data
    buffer += _END


def _put_texts(buffer: bytearray, texts: Sequence[str]) -> None:
    """A list of strings, at a multiple of 4."""
    if not isinstance(texts, (list, tuple)):
        raise TypeError(f"a list of strings is needed, not {type(texts).__name__}")
    buffer += _LENGTH
    begin = len(buffer)
    for text in texts:
        _align(buffer, 4)
        _put_text(buffer, "s", text)
    buffer[begin - 4 : begin] = _UINT32(len(buffer) - begin)


def _put_records(buffer: bytearray, value: Records) -> None:
    keys = _keys(value.table)
    buffer += _LENGTH
    begin = len(buffer)
    for record in value.records:
        _align(buffer, 4)
        _put_record(buffer, record, keys)
    buffer[begin - 4 : begin] = _UINT32(len(buffer) - begin)


def _put_record(buffer: bytearray, record: Mapping[str, Any], keys: Mapping[str, _Key]) -> None:
    """A record, at a multiple of 4. Every entry of every reply comes through here."""
    place = len(buffer)
    buffer += _LENGTH
    buffer += _PADDING[len(buffer) & 7]
    begin = len(buffer)
    for key, value in record.items():
        starts, signature, pack = keys[key]
        buffer += starts[len(buffer) & 7]
        if signature == "s":
            data = value.encode()
            buffer += _UINT32(len(data))
            buffer += data
            buffer += _END
        elif pack is not None:
            buffer += pack(value)
        elif signature == "as":
            _put_texts(buffer, value)
        else:
            _put_text(buffer, signature, value)
    buffer[place : place + 4] = _UINT32(len(buffer) - begin)


# An entry of ``a{sv}`` as far as its value: what stands there by where the entry before it ended after a multiple
# of 8, the type, and what writes the value if that is a number.
_Key = tuple[tuple[bytes, ...], str, Callable[[Any], bytes] | None]

# One entry a table: the table itself, so that its id stays its own, and its keys.
_prepared: dict[int, tuple[Mapping[str, str], dict[str, _Key]]] = {}


def _keys(table: Mapping[str, str]) -> dict[str, _Key]:
    entry = _prepared.get(id(table))
    if entry is None:
        keys = {key: _key(key, signature) for key, signature in table.items()}
        entry = _prepared[id(table)] = table, keys
    return entry[1]


def _key(key: str, signature: str) -> _Key:
    buffer = bytearray()
    _put_text(buffer, "s", key)
    buffer += bytes((len(signature),)) + signature.encode() + _END
    _align(buffer, 8 if signature in _WIDE else 4)
    return tuple(padding + bytes(buffer) for padding in _PADDING), signature, _PACKERS.get(signature)

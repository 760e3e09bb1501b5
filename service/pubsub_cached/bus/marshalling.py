"""Records on their way to the bus: written from a table of types, without a variant an entry.

The library makes an object of each entry, looks at the type of each again and copies the whole, which takes as long
as everything else that a cached read does. Nearly all that this service sends are records, so it writes these itself,
in the layout of the D-Bus specification ("Marshaling"), little-endian; every other message is the library's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from struct import Struct
from typing import Any

from dbus_fast import Message

from ..object_path import is_object_path

_LITTLE_ENDIAN = ord("l")
_VERSION = 1
_FIXED = Struct("<4BIII")
_BODY_SIZE_AT = 4
_UINT32 = Struct("<I").pack
_FORMATS = {"b": "I", "i": "i", "u": "I", "x": "q", "t": "Q"}
_WIDE = frozenset("xt")
_TEXTS = frozenset("so")
_LENGTH = bytes(4)
_END = b"\0"
# Bytes of a text that is expected to be the same in the next record.
_REMEMBERED = 64
_NOTHING = object()


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


class Written:
    """Records as ``aa{sv}``, written once and sent any number of times as the first value of a body; ``size`` in bytes.

    Raises for a strange key or a wrong value. For the loop's thread alone.
    """

    __slots__ = ("data",)

    def __init__(self, records: Sequence[Mapping[str, Any]], table: Mapping[str, str]) -> None:
        # A body begins at a multiple of 8, and so does this.
        data = bytearray()
        _put_records(data, Records(records, table))
        self.data = bytes(data)

    @property
    def size(self) -> int:
        return len(self.data)


def marshalled(message: Message) -> bytearray:
    """The message as it is sent; for the loop's thread alone. Raises for a body that does not fit its signature."""
    if not any(isinstance(value, (Records, Record, Written)) for value in message.body):
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
    if isinstance(value, Written):
        if len(buffer) % 8 or signature != "aa{sv}":
            raise TypeError("records that were written before can only be the first value, of the type aa{sv}")
        buffer += value.data
    elif signature == "aa{sv}":
        _put_records(buffer, value)
    elif signature == "a{sv}":
        _put_record(buffer, value.record, _entries(value.table))
    elif signature in _TEXTS:
        _put_text(buffer, signature, value)
    elif signature == "as":
        _put_texts(buffer, value)
    else:
        buffer += Struct("<" + _FORMATS[signature]).pack(value)


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
    entries = _entries(value.table)
    buffer += _LENGTH
    begin = len(buffer)
    for record in value.records:
        _align(buffer, 4)
        _put_record(buffer, record, entries)
    buffer[begin - 4 : begin] = _UINT32(len(buffer) - begin)


def _put_record(buffer: bytearray, record: Mapping[str, Any], entries: Mapping[str, _Entry]) -> None:
    """A record, at a multiple of 4.

    Every entry of every reply comes through here, so what could be a function of its own is written out. What was
    written last is kept: types, namespaces and publishers are mostly those of the record before.
    """
    place = len(buffer)
    buffer += _LENGTH
    _align(buffer, 8)
    begin = len(buffer)
    padding = 0
    for key, value in record.items():
        entry = entries[key]
        if value != entry.value:
            if entry.is_text:
                data = value.encode()
                size = len(data)
                end = entry.ends[size & 7]
                if size > _REMEMBERED:
                    buffer += entry.pack(entry.start, size)
                    buffer += data
                    buffer += end
                    padding = len(end) - 1
                    continue
                entry.written = entry.pack(entry.start, size) + data + end
                entry.padding = len(end) - 1
            elif entry.is_number:
                entry.written = entry.pack(entry.start, value)
            else:
                entry.write(value)
            entry.value = value
        buffer += entry.written
        padding = entry.padding
    if padding:
        # Between entries only.
        del buffer[-padding:]
    buffer[place : place + 4] = _UINT32(len(buffer) - begin)


class _Entry:
    """An entry of ``a{sv}``, which begins at a multiple of 8: as it was written last, and how it is written.

    written: of ``value``, with ``padding`` bytes after it, up to where the next entry begins. start: up to the value.
    pack: of start and a number, or the length of a text. ends: what comes after a text, by its size.
    """

    __slots__ = ("ends", "is_number", "is_text", "pack", "padding", "signature", "start", "value", "written")

    def __init__(self, key: str, signature: str) -> None:
        start = bytearray()
        _put_text(start, "s", key)
        start += bytes((len(signature),)) + signature.encode() + _END
        _align(start, 8 if signature in _WIDE else 4)
        packed = Struct(f"<{len(start)}s{_FORMATS.get(signature, 'I')}")
        self.signature = signature
        self.is_text, self.is_number = signature == "s", signature in _FORMATS
        self.start = bytes(start)
        self.padding = -packed.size % 8 if self.is_number else 0
        self.pack = Struct(f"{packed.format}{self.padding}x").pack
        self.ends = tuple(_END + bytes(-(packed.size + size + 1) % 8) for size in range(8))
        self.value: object = _NOTHING
        self.written = b""

    def write(self, value: Any) -> None:
        """A value that is neither text nor number."""
        buffer = bytearray(self.start)
        _put(buffer, self.signature, value)
        self.padding = -len(buffer) % 8
        _align(buffer, 8)
        self.written = bytes(buffer)


# One entry a table: the table itself, so that its id stays its own, and the entries of its keys.
_prepared: dict[int, tuple[Mapping[str, str], dict[str, _Entry]]] = {}


def _entries(table: Mapping[str, str]) -> dict[str, _Entry]:
    prepared = _prepared.get(id(table))
    if prepared is None:
        entries = {key: _Entry(key, signature) for key, signature in table.items()}
        prepared = _prepared[id(table)] = table, entries
    return prepared[1]

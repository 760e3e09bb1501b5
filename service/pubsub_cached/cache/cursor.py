"""Cursors: opaque to a client, bound to what they were made for, stable while items arrive."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec

from ..errors import InvalidCursor

_VERSION = 1
# No reply has room for a longer one.
_LONGEST = 1024 * 1024


def encode(purpose: str, position: object) -> str:
    """A cursor for ``position`` (JSON values); ``purpose`` names the call and its fixed arguments."""
    raw = msgspec.json.encode([_VERSION, _digest(purpose), position])
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(purpose: str, cursor: str) -> Any:
    """The position inside a cursor that was made for the same purpose.

    Raises InvalidCursor.
    """
    if len(cursor) > _LONGEST:
        raise invalid(cursor)
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        version, digest, position = msgspec.json.decode(raw)
    except (ValueError, TypeError, RecursionError, msgspec.DecodeError):
        raise invalid(cursor) from None
    if version != _VERSION or digest != _digest(purpose):
        raise invalid(cursor)
    return position


def _digest(purpose: str) -> str:
    return hashlib.blake2b(purpose.encode(), digest_size=6).hexdigest()


def invalid(cursor: str) -> InvalidCursor:
    """The error of a cursor that says nothing."""
    return InvalidCursor(
        f"The cursor '{cursor}' was not made by this call with these arguments; begin again without a cursor."
    )

"""Values as the bus wants them: the check of what a method returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dbus_fast.signature import SignatureTree, SignatureType, Variant, get_signature_tree

from .marshalling import Record, Records
from .paths import is_object_path

__all__ = ["Check", "SignatureTree", "Variant", "check_for", "signature_tree"]

signature_tree = get_signature_tree

Check = Callable[[Any], object]


def check_path(value: object) -> None:
    """Raises TypeError unless ``value`` is an object path."""
    if not is_object_path(value):
        raise TypeError(f"{value!r} is no object path")


def check_for(kind: SignatureType) -> Check:
    """A check of one value against one complete type; it raises when the value does not fit.

    Records (``a{sv}``, ``aa{sv}``) are only looked at from outside: looking at each value would cost as much as
    sending it.
    """
    signature = kind.signature
    if signature == "o":
        return check_path
    if signature == "ao":
        return _check_paths
    if signature == "a{sv}":
        return _check_record
    if signature == "aa{sv}":
        return _check_records
    return kind.verify


def _check_paths(value: object) -> None:
    if not isinstance(value, list):
        raise TypeError(f"a list of object paths is needed, not {type(value).__name__}")
    for path in value:
        check_path(path)


def _check_record(value: object) -> None:
    if not isinstance(value, (Record, dict)):
        raise TypeError(f"a record is needed, not {type(value).__name__}")


def _check_records(value: object) -> None:
    if not isinstance(value, (Records, list)):
        raise TypeError(f"a list of records is needed, not {type(value).__name__}")

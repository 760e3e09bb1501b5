"""Values as the bus wants them: the check of what a method returned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dbus_fast.signature import SignatureTree, SignatureType, Variant, get_signature_tree

from ..errors import InvalidArgs
from ..object_path import is_object_path
from .marshalling import Record, Records, Written

__all__ = ["INTEGERS", "Check", "SignatureTree", "Variant", "check_for", "fitted", "signature_tree"]

signature_tree = get_signature_tree

Check = Callable[[Any], object]

INTEGERS = frozenset("ynqiuxt")
# Of the types that arguments have.
_MOST = {"u": 2**32 - 1, "t": 2**64 - 1}


def fitted(member: str, body: Sequence[Any], given: str, wanted: str) -> list[Any] | None:
    """Arguments of the signature ``given`` as ``wanted`` ones, where only bindings of Qt made them differ, else None.

    These send a list as ``av`` unless they are told its type, and some have one type for all numbers. Raises
    InvalidArgs for a number that the wanted type does not have.
    """
    gets, wants = ([kind.signature for kind in get_signature_tree(types).types] for types in (given, wanted))
    if len(gets) != len(wants):
        return None
    found: list[Any] = []
    for place, (value, get, want) in enumerate(zip(body, gets, wants, strict=True), 1):
        if get == want:
            found.append(value)
        elif (get, want) == ("av", "as") and all(one.signature == "s" for one in value):
            found.append([one.value for one in value])
        elif want in _MOST and get in INTEGERS | {"d"}:
            if not 0 <= value <= _MOST[want] or value != int(value):
                raise InvalidArgs(
                    f"Argument {place} of {member} is {value}, and has to be a whole number from 0 to {_MOST[want]}."
                )
            found.append(int(value))
        else:
            return None
    return found


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
    if not isinstance(value, (Records, Written, list)):
        raise TypeError(f"a list of records is needed, not {type(value).__name__}")

"""Values as the bus wants them: variants, and the check of what a method returned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dbus_fast.signature import SignatureTree, SignatureType, Variant, get_signature_tree

from .paths import is_object_path

__all__ = ["Check", "SignatureTree", "Variant", "check_for", "signature_tree", "variants"]

signature_tree = get_signature_tree

Check = Callable[[Any], object]

# One entry a table of records.py: the table itself (so that its id stays its own), the tree of each key, the keys
# that hold object paths.
_prepared: dict[int, tuple[Mapping[str, str], dict[str, SignatureTree], tuple[str, ...]]] = {}


def variants(record: Mapping[str, object], table: Mapping[str, str]) -> dict[str, Variant]:
    """``record`` as ``a{sv}``; ``table`` gives the D-Bus type of each key (``records.ITEM`` and its like).

    The values are not looked at, except object paths: a wrong one costs the connection. A value of the wrong type
    shows when the reply is sent, as ``Error.Internal``. Keep the table: what is prepared for it stays.
    Raises KeyError for a key that the table lacks.
    """
    entry = _prepared.get(id(table))
    if entry is None:
        entry = _prepare(table)
    trees = entry[1]
    make = Variant
    made = {key: make(trees[key], value, False) for key, value in record.items()}
    for key in entry[2]:
        if key in made:
            check_path(made[key].value)
    return made


def _prepare(table: Mapping[str, str]) -> tuple[Mapping[str, str], dict[str, SignatureTree], tuple[str, ...]]:
    trees = {key: get_signature_tree(signature) for key, signature in table.items()}
    paths = tuple(key for key, signature in table.items() if signature == "o")
    entry = _prepared[id(table)] = (table, trees, paths)
    return entry


def check_path(value: object) -> None:
    """Raises TypeError unless ``value`` is an object path."""
    if not is_object_path(value):
        raise TypeError(f"{value!r} is no object path")


def check_for(kind: SignatureType) -> Check:
    """A check of one value against one complete type; it raises when the value does not fit.

    Records (``a{sv}``, ``aa{sv}``) are only looked at from outside: their contents are made by ``variants`` and
    looking at each would cost as much as sending them.
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
    if not isinstance(value, dict):
        raise TypeError(f"a dict is needed, not {type(value).__name__}")


def _check_records(value: object) -> None:
    if not isinstance(value, list):
        raise TypeError(f"a list of dicts is needed, not {type(value).__name__}")

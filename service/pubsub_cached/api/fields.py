"""Fields of data forms as options of a call: keys with a ``#``, values in the types that bindings send.

Source: dbus-api.md "PubSub"; XEP-0004 3.2 for what a value is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..bus import INTEGERS, Variant
from ..counting import listed
from ..errors import InvalidArgs
from ..xmpp.port import TRUE, FormField
from .options import Option, Table

PUBSUB = "pubsub#"

# No form of a service has so many.
FIELDS_AT_MOST = 256

_LISTS = frozenset({"list-multi", "text-multi", "jid-multi"})


class FieldsTable(Table):
    """The options of a method that also takes fields: keys that begin with ``prefix``, or hold a # where it is ""."""

    __slots__ = ("prefix",)

    def __init__(self, method: str, options: Mapping[str, Option], *, prefix: str = "") -> None:
        super().__init__(method, options)
        self.prefix = prefix

    def read(self, given: Mapping[str, Variant]) -> dict[str, Any]:
        """As ``Table.read``, and the fields under the key ``fields``: lists of texts by name."""
        if len(given) > FIELDS_AT_MOST:
            raise InvalidArgs(f"{self.method} was given {len(given)} keys, and {FIELDS_AT_MOST} is the most.")
        fields = {key: _values(key, value) for key, value in given.items() if self._is_field(key)}
        return super().read({key: value for key, value in given.items() if key not in fields}) | {"fields": fields}

    def known(self) -> str:
        """What an unknown key is told."""
        return f"it knows {listed([*sorted(self.options), 'fields such as pubsub#title'], 'and')}"

    def _is_field(self, key: str) -> bool:
        return "#" in key and key.startswith(self.prefix) and not key.endswith("#")


def variants(fields: Iterable[FormField]) -> dict[str, Variant]:
    """Fields as options: what a form calls a boolean is one, what may have several values is a list."""
    return {field.name: _variant(field) for field in fields}


def _variant(field: FormField) -> Variant:
    if field.type == "boolean":
        return Variant("b", bool(field.values) and field.values[0] in TRUE, False)
    if field.type in _LISTS or len(field.values) > 1:
        return Variant("as", list(field.values), False)
    return Variant("s", field.values[0] if field.values else "", False)


def _values(key: str, given: Variant) -> list[str]:
    value = given.value
    match given.signature:
        case "s":
            return [value]
        case "b":
            return ["1" if value else "0"]
        case "as":
            return list(value)
        case "av" if all(inner.signature == "s" for inner in value):
            return [inner.value for inner in value]
        case "d" if value.is_integer():
            return [str(int(value))]
        case signature if signature in INTEGERS:
            return [str(value)]
    raise InvalidArgs(
        f"The option '{key}' has the type {given.signature}; it has to be a string, a boolean, a whole number or a "
        "list of strings."
    )

"""Options of calls: which keys there are, the types they may come in, and what is refused.

Bindings differ in the types that they can send, so a number may come in any integer type or as a whole ``d``, a
list of strings as ``as``, ``s`` or ``av``. A boolean is only ever ``b``. Source: dbus-api.md, "Conventions".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from ..bus import INTEGERS, Variant
from ..cache.options import LIMIT_AT_MOST
from ..config import is_host, unreadable
from ..counting import listed
from ..errors import InvalidArgs, InvalidJid
from ..jid import normalise

UINT16 = 2**16 - 1
UINT32 = 2**32 - 1
UINT64 = 2**64 - 1


class Option(Protocol):
    """What one key may hold; ``signature`` is the type that the contract gives for it."""

    @property
    def signature(self) -> str:
        """The D-Bus type of the contract."""

    def read(self, key: str, given: Variant) -> Any:
        """The checked value; raises InvalidArgs, whose sentence names the key."""


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number from ``least`` to ``most``; with ``capped`` a larger one counts as ``most``."""

    signature: str
    least: int
    most: int
    capped: bool = False

    def read(self, key: str, given: Variant) -> int:
        value = self._whole(key, given)
        if value < self.least:
            raise InvalidArgs(f"The option '{key}' is {value}, and {self.least} is the least.")
        if value <= self.most:
            return value
        if self.capped:
            return self.most
        raise InvalidArgs(f"The option '{key}' is {value}, and {self.most} is the most.")

    @staticmethod
    def _whole(key: str, given: Variant) -> int:
        if given.signature in INTEGERS:
            return int(given.value)
        if given.signature != "d":
            raise _wrong_type(key, "a whole number", given)
        if not given.value.is_integer():
            raise InvalidArgs(f"The option '{key}' is {given.value}, which is no whole number.")
        return int(given.value)


class Flag:
    """A boolean."""

    signature: ClassVar[str] = "b"

    def read(self, key: str, given: Variant) -> bool:
        if given.signature != "b":
            raise _wrong_type(key, "a boolean (b)", given)
        return bool(given.value)


@dataclass(frozen=True, slots=True)
class Text:
    """A string; one of ``choices`` where there are any."""

    choices: tuple[str, ...] = ()
    signature: ClassVar[str] = "s"

    def read(self, key: str, given: Variant) -> str:
        text = _text(key, given)
        if self.choices and text not in self.choices:
            raise InvalidArgs(f"The option '{key}' is '{text}'; it may be {listed(self.choices)}.")
        return text


class Host:
    """The name of a host, or an address; "" for none."""

    signature: ClassVar[str] = "s"

    def read(self, key: str, given: Variant) -> str:
        host = _text(key, given)
        if host and not is_host(host):
            raise InvalidArgs(
                f"The option '{key}' is '{host}'; it is the name of a host or an address, without a port."
            )
        return host


class Resource:
    """What follows the slash in a JID, prepared (RFC 7622 3.4); "" for none."""

    signature: ClassVar[str] = "s"

    def read(self, key: str, given: Variant) -> str:
        resource = _text(key, given)
        try:
            return normalise(f"example.org/{resource}").partition("/")[2] if resource else ""
        except InvalidJid:
            raise InvalidArgs(
                f"The option '{key}' is '{resource}', which is no resource of a JID; such as 'laptop' is one."
            ) from None


class File:
    """The absolute name of a file that can be read; the client's working directory is not the daemon's."""

    signature: ClassVar[str] = "s"

    def read(self, key: str, given: Variant) -> str:
        path = _text(key, given)
        if not path.startswith("/"):
            raise InvalidArgs(f"The option '{key}' is '{path}'; it has to be an absolute path.")
        if reason := unreadable(path):
            raise InvalidArgs(f"The option '{key}' is '{path}': {reason}.")
        return path


class Token:
    """The last part of an object's path, chosen by the client."""

    signature: ClassVar[str] = "s"

    def read(self, key: str, given: Variant) -> str:
        token = _text(key, given)
        if not _TOKEN.fullmatch(token):
            raise InvalidArgs(f"The option '{key}' is '{token}'; it is made of 1 to 64 of A-Z, a-z, 0-9 and _.")
        return token


_TOKEN = re.compile(r"[A-Za-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of strings, at most ``most``."""

    most: int | None = None
    signature: ClassVar[str] = "as"

    def read(self, key: str, given: Variant) -> tuple[str, ...]:
        texts = self._texts(key, given)
        if self.most is not None and len(texts) > self.most:
            raise InvalidArgs(f"The option '{key}' has {len(texts)} strings, and {self.most} is the most.")
        return texts

    @staticmethod
    def _texts(key: str, given: Variant) -> tuple[str, ...]:
        if given.signature == "as":
            return tuple(given.value)
        if given.signature == "s":
            return (given.value,)
        if given.signature == "av" and all(inner.signature == "s" for inner in given.value):
            return tuple(inner.value for inner in given.value)
        raise _wrong_type(key, "a list of strings", given)


@dataclass(frozen=True, slots=True)
class Fields:
    """The keys of a record that are wanted; one of ``known`` each."""

    known: Collection[str]
    signature: ClassVar[str] = "as"

    def read(self, key: str, given: Variant) -> frozenset[str]:
        fields = frozenset(Texts().read(key, given))
        if not fields.issubset(self.known):
            strange = min(fields.difference(self.known))
            raise InvalidArgs(f"The option '{key}' has '{strange}'; it may have {listed(self.known)}.")
        return fields


@dataclass(frozen=True, slots=True)
class Order:
    """Keys to sort by, the first first: ``modified desc, id``; read as pairs of key and whether it descends.

    usual: what "" stands for.
    """

    known: tuple[str, ...]
    usual: tuple[tuple[str, bool], ...]
    signature: ClassVar[str] = "s"

    def read(self, key: str, given: Variant) -> tuple[tuple[str, bool], ...]:
        text = _text(key, given)
        if not text:
            return self.usual
        order: dict[str, bool] = {}
        # One part more than there are keys is one too many, whatever is in it.
        for part in text.split(",", len(self.known)):
            name, direction = self._part(key, part)
            if name in order:
                raise InvalidArgs(f"The option '{key}' names '{name}' twice.")
            order[name] = direction == "desc"
        return tuple(order.items())

    def _part(self, key: str, part: str) -> tuple[str, str]:
        name, _, direction = part.strip().partition(" ")
        direction = direction.strip() or "asc"
        if name not in self.known:
            raise InvalidArgs(f"The option '{key}' has '{name}'; it may have {listed(self.known)}.")
        if direction not in ("asc", "desc"):
            raise InvalidArgs(f"The option '{key}' has '{part.strip()}'; after '{name}' it may have asc or desc.")
        return name, direction


class Table:
    """The options of one method: ``method`` names it in errors, ``exclusive`` are keys of which one may be given."""

    __slots__ = ("exclusive", "method", "options")

    def __init__(self, method: str, options: Mapping[str, Option], *, exclusive: tuple[str, ...] = ()) -> None:
        self.method = method
        self.options = dict(options)
        self.exclusive = exclusive

    def read(self, given: Mapping[str, Variant]) -> dict[str, Any]:
        """The values of the keys that are there, with ``_`` for each ``-``.

        Raises InvalidArgs.
        """
        values: dict[str, Any] = {}
        for key, variant in given.items():
            option = self.options.get(key)
            if option is None:
                raise self._unknown(key)
            values[key.replace("-", "_")] = option.read(key, variant)
        if len(values) > 1 and self.exclusive:
            self._check_exclusive(given)
        return values

    def _check_exclusive(self, given: Mapping[str, Variant]) -> None:
        both = [f"'{key}'" for key in self.exclusive if key in given]
        if len(both) > 1:
            raise InvalidArgs(
                f"The options {' and '.join(both)} exclude each other; give one of {listed(self.exclusive)}."
            )

    def _unknown(self, key: str) -> InvalidArgs:
        return InvalidArgs(f"{self.method} does not know the option '{key}'; {self.known()}.")

    def known(self) -> str:
        """Which options there are, for sentences."""
        return f"it knows {listed(sorted(self.options), 'and')}" if self.options else "it knows none"


LIMIT = Number("u", 1, LIMIT_AT_MOST, capped=True)
"""How many records a page has."""

_TIME = Number("x", -(2**63), 2**63 - 1)

CHOSEN: Mapping[str, Option] = {
    "accounts": Texts(),
    "services": Texts(),
    "nodes": Texts(),
    "types": Texts(),
    "subtypes": Texts(),
    "created-before": _TIME,
    "modified-before": _TIME,
    "token": Token(),
}
"""What a job that goes through nodes is given: which of them, and of their items those older than a time."""


def _text(key: str, given: Variant) -> str:
    if given.signature != "s":
        raise _wrong_type(key, "a string (s)", given)
    text: str = given.value
    return text


def _wrong_type(key: str, wanted: str, given: Variant) -> InvalidArgs:
    return InvalidArgs(f"The option '{key}' has the type {given.signature}; it has to be {wanted}.")

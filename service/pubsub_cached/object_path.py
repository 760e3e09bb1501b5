"""Object paths: escaping, and the paths of the objects below the root."""

from __future__ import annotations

import re
from collections.abc import Container
from secrets import token_hex

from .errors import Conflict

ROOT = "/im/pubsubcache1"

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_DIGITS = frozenset(b"0123456789")
_PATH = re.compile(r"/|(?:/[A-Za-z0-9_]+)+")


def encode(text: str) -> str:
    """``text`` as one element of an object path, as ``sd_bus_path_encode`` does it.

    Everything but ASCII letters and digits, and a digit in front, becomes ``_`` and two hex digits a byte of
    UTF-8; the empty string is ``_``.
    """
    if not text:
        return "_"
    octets = text.encode()
    return "".join(
        chr(octet) if octet in _PLAIN and (position or octet not in _DIGITS) else f"_{octet:02x}"
        for position, octet in enumerate(octets)
    )


def decode(element: str) -> str:
    """The text that ``encode`` made ``element`` of; ValueError when it can't have."""
    if element == "_":
        return ""
    text = re.sub(rb"_([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), element.encode()).decode()
    if encode(text) != element:
        raise ValueError(f"{element!r} is no escaped text.")
    return text


def of_client(kind: str, sender: str, token: str) -> str:
    """Path of a client's own object: ``of_client("job", ":1.42", "t1")`` → ``/im/pubsubcache1/job/1_42/t1``."""
    return f"{ROOT}/{kind}/{sender.lstrip(':').replace('.', '_')}/{token}"


def free(kind: str, sender: str, token: str, taken: Container[str]) -> str:
    """As ``of_client``, of an object that is about to be; "" for a token that no object has or had.

    A client outlives the daemon, and still listens at the paths that it was given before. Raises Conflict.
    """
    path = of_client(kind, sender, token or token_hex(6))
    if path in taken:
        raise Conflict(f"The token '{token}' is in use by {path}; choose another.")
    return path


def of_name(kind: str, name: str) -> str:
    """Path of a named object: ``of_name("account", "a@b")`` → ``/im/pubsubcache1/account/a_40b``."""
    return f"{ROOT}/{kind}/{encode(name)}"


def is_object_path(text: object) -> bool:
    """Whether ``text`` is a valid object path (D-Bus specification, "Valid Object Paths").

    The library's own test lets a newline at the end pass, and the bus disconnects whoever sends such a path.
    """
    return isinstance(text, str) and _PATH.fullmatch(text) is not None

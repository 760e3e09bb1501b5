"""Errors of the bus itself, beside the service's own tree in ``pubsub_cached.errors``."""

from __future__ import annotations

import re

from ..errors import STANDARD, Named, PubSubCachedError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+")


class UnknownObject(PubSubCachedError):
    """No object has this path, or it is another client's."""

    dbus_name = STANDARD + "UnknownObject"


class UnknownInterface(PubSubCachedError):
    """The object has no such interface."""

    dbus_name = STANDARD + "UnknownInterface"


class UnknownMethod(PubSubCachedError):
    """The interface has no such method."""

    dbus_name = STANDARD + "UnknownMethod"


class UnknownProperty(PubSubCachedError):
    """The interface has no such property."""

    dbus_name = STANDARD + "UnknownProperty"


class PropertyReadOnly(PubSubCachedError):
    """The property can't be set."""

    dbus_name = STANDARD + "PropertyReadOnly"


class RemoteError(Named):
    """Another program answered a call of ours with an error; ``name`` is the D-Bus name it gave."""


DISCONNECTED = STANDARD + "Disconnected"


def is_error_name(name: str) -> bool:
    """Whether the bus takes ``name`` for an error; it disconnects whoever sends another."""
    return len(name) <= 255 and _NAME.fullmatch(name) is not None

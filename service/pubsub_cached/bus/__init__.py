"""The seam to dbus-fast: nothing outside this package imports it."""

from .caller import caller
from .connection import Connection
from .errors import RemoteError
from .interface import Interface
from .matches import Match, Signal, Subscription
from .owners import Owners
from .tree import Tree
from .values import Variant, variants

__all__ = [
    "Connection",
    "Interface",
    "Match",
    "Owners",
    "RemoteError",
    "Signal",
    "Subscription",
    "Tree",
    "Variant",
    "caller",
    "variants",
]

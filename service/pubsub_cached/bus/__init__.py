"""The seam to dbus-fast: nothing outside this package imports it."""

from .caller import caller, sandboxed
from .connection import UNSANDBOXED, Connection
from .errors import RemoteError
from .interface import PROPERTIES, Interface
from .marshalling import Record, Records, Written
from .matches import Match, Signal, Subscription
from .owners import Owners
from .tree import Tree
from .values import INTEGERS, Variant

__all__ = [
    "INTEGERS",
    "PROPERTIES",
    "UNSANDBOXED",
    "Connection",
    "Interface",
    "Match",
    "Owners",
    "Record",
    "Records",
    "RemoteError",
    "Signal",
    "Subscription",
    "Tree",
    "Variant",
    "Written",
    "caller",
    "sandboxed",
]

"""Where buses are, and how a bus itself is addressed."""

from __future__ import annotations

import os
from urllib.parse import quote

from ..errors import BusLost

BUS = "org.freedesktop.DBus"
"""The bus's own name, and that of its interface (D-Bus specification, "Message Bus Messages")."""

BUS_PATH = "/org/freedesktop/DBus"


def session_address() -> str:
    """Address of the session bus: ``$DBUS_SESSION_BUS_ADDRESS``, else the user's runtime directory.

    Raises BusLost when there is none.
    """
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS")
    if address:
        return address
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.path.exists(f"{runtime}/bus"):
        return "unix:path=" + quote(f"{runtime}/bus").replace("~", "%7E")
    raise BusLost("There is no session bus: DBUS_SESSION_BUS_ADDRESS is not set and $XDG_RUNTIME_DIR/bus is missing.")


def system_address() -> str:
    """Address of the system bus: ``$DBUS_SYSTEM_BUS_ADDRESS``, else the one that the D-Bus specification names."""
    return os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or "unix:path=/var/run/dbus/system_bus_socket"

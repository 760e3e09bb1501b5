"""What an author with GLib does: proxies that know nothing but names. Prints what it got as JSON.

Run by Debian's Python: glib_proxies.py SERVICE NODE
"""

import json
import sys
from collections.abc import Callable

from gi.repository import Gio, GLib

NAME, ROOT = "im.pubsubcache1", "/im/pubsubcache1"


def proxy(interface: str, path: str = ROOT) -> Gio.DBusProxy:
    kind = Gio.BusType.SESSION
    return Gio.DBusProxy.new_for_bus_sync(kind, Gio.DBusProxyFlags.NONE, None, NAME, path, f"{NAME}.{interface}")


def refused(call: Callable[..., object], *arguments: object) -> list[str]:
    """The name and the message of the error that a call ends with."""
    try:
        call(*arguments)
    except GLib.Error as error:
        name = Gio.DBusError.get_remote_error(error)
        return [name, error.message.removeprefix(f"GDBus.Error:{name}: ")]
    raise AssertionError("It was not refused.")


service, node = sys.argv[1:]
manager, cache = proxy("Manager"), proxy("Cache")
# PyGObject returns the one value of a reply, or a tuple of several.
items, cursor, info = cache.GetItems("(sssa{sv})", "", service, node, {"limit": GLib.Variant("u", 2)})
(account,) = manager.ListAccounts()
introspected = Gio.DBusNodeInfo.new_for_xml(
    proxy("Cache")
    .call_sync("org.freedesktop.DBus.Introspectable.Introspect", None, Gio.DBusCallFlags.NONE, -1, None)
    .unpack()[0]
)
objects = Gio.DBusObjectManagerClient.new_for_bus_sync(
    Gio.BusType.SESSION, Gio.DBusObjectManagerClientFlags.NONE, NAME, ROOT, None, None, None
)
# Calls that block leave signals for the main loop.
heard = []
loop = GLib.MainLoop()
cache.connect("g-signal", lambda _, sender, member, values: (heard.append([member, values.unpack()]), loop.quit()))
cache.SetFlags("(sssasasas)", "", service, node, [items[0]["id"]], ["starred"], [])
loop.run()
print(
    json.dumps(
        {
            "version": manager.get_cached_property("Version").unpack(),
            "properties": sorted(manager.get_cached_property_names()),
            "items": [item["id"] for item in items],
            "data": json.loads(items[0]["data"])["title"][0]["text"],
            "info": info,
            "state": proxy("Account", account).get_cached_property("State").unpack(),
            "error": refused(cache.GetItems, "(sssa{sv})", "", service, node, {"limits": GLib.Variant("u", 2)}),
            "interfaces": sorted(each.name for each in introspected.interfaces),
            "objects": sorted(each.get_object_path() for each in objects.get_objects()),
            "heard": heard[0],
        }
    )
)

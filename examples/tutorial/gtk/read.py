"""The newest posts of a blog: read.py SERVICE NODE"""

import json
import sys

from gi.repository import Gio, GLib

# --8<-- [start:call]
cache = Gio.DBusProxy.new_for_bus_sync(
    Gio.BusType.SESSION,
    Gio.DBusProxyFlags.DO_NOT_LOAD_PROPERTIES,
    None,
    "im.pubsubcache1",
    "/im/pubsubcache1",
    "im.pubsubcache1.Cache",
)
service, node = sys.argv[1:]
options = {"limit": GLib.Variant("u", 5)}
try:
    arguments = GLib.Variant("(sssa{sv})", ("", service, node, options))
    items, cursor, info = cache.call_sync("GetItems", arguments, Gio.DBusCallFlags.NONE, -1).unpack()
except GLib.Error as error:
    # --8<-- [start:error]
    name = Gio.DBusError.get_remote_error(error)
    sys.exit(f"{name}: {error.message.removeprefix(f'GDBus.Error:{name}: ')}")
    # --8<-- [end:error]
# --8<-- [end:call]

# --8<-- [start:show]
for item in items:
    # Others write the items: what could not be read is missing, and not each has a title.
    post = json.loads(item.get("data", "{}"))
    print("•", post["title"][0]["text"] if "title" in post else "(no title)")
print(f"from the {info['source']}, {info['freshness']}")
# --8<-- [end:show]

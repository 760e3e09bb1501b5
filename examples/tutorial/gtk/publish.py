"""Write a short post, now or when there is a connection, and mark it as read: publish.py NODE TEXT"""

import contextlib
import sys
import uuid
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from gi.repository import Gio, GLib

bus = Gio.bus_get_sync(Gio.BusType.SESSION)


def call(interface, method, arguments):
    name, root, flags = "im.pubsubcache1", "/im/pubsubcache1", Gio.DBusCallFlags.NONE
    return bus.call_sync(name, root, f"im.pubsubcache1.{interface}", method, arguments, None, flags, -1).unpack()


node, text = sys.argv[1:]
# --8<-- [start:create]
config = {"pubsub#max_items": GLib.Variant("s", "max")}
# The node exists already, or there is no connection; of anything else Publish tells as well.
with contextlib.suppress(GLib.Error):
    call("PubSub", "CreateNode", GLib.Variant("(sssa{sv})", ("", "", node, config)))
# --8<-- [end:create]

# --8<-- [start:publish]
id_, now = str(uuid.uuid4()), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
payload = f"""<entry xmlns='http://www.w3.org/2005/Atom'><id>urn:uuid:{id_}</id>
  <title>{escape(text)}</title><published>{now}</published><updated>{now}</updated></entry>"""
options = {"queue": GLib.Variant("b", True)}
arguments = GLib.Variant("(sssssa{sv})", ("", "", node, id_, payload, options))
(item,) = call("PubSub", "Publish", arguments)
print("written as", item)
# --8<-- [end:publish]

# --8<-- [start:flag]
call("Cache", "SetFlags", GLib.Variant("(sssasasas)", ("", "", node, [item], ["read"], [])))
# --8<-- [end:flag]

"""A list of posts that stays up to date: view.py [WORDS]"""

import json
import sys

from gi.repository import Gio, GLib

bus = Gio.bus_get_sync(Gio.BusType.SESSION)
NAME, ROOT, CACHE, VIEW = "im.pubsubcache1", "/im/pubsubcache1", "im.pubsubcache1.Cache", "im.pubsubcache1.View"


def call(path, interface, method, arguments=None):
    return bus.call_sync(NAME, path, interface, method, arguments, None, Gio.DBusCallFlags.NONE, -1).unpack()


# --8<-- [start:list]
posts = []


def title(item):
    post = json.loads(item.get("data", "{}"))
    return post["title"][0]["text"] if "title" in post else "(no title)"


def show():
    print("--", *map(title, posts), sep="\n", flush=True)


def told(bus, sender, path, interface, signal, arguments):
    (first,) = arguments.unpack() or (None,)
    if signal == "Reset":
        posts.clear()
    elif signal == "Removed":
        posts[:] = [post for post in posts if post["key"] not in first]
    elif signal in ("Added", "Changed"):
        for item in first:
            posts[:] = [post for post in posts if post["key"] != item["key"]]
            posts.insert(item["index"], item)
    else:
        return  # Ready: the window was told.
    show()


# --8<-- [end:list]
# --8<-- [start:create]
query = json.dumps({"types": ["blog"]})
options = {"window": GLib.Variant("u", 10)}
arguments = GLib.Variant("(ssa{sv})", (" ".join(sys.argv[1:]), query, options))


def begin(*_):
    posts.clear()
    (view,) = call(ROOT, CACHE, "CreateView", arguments)
    bus.signal_subscribe(NAME, VIEW, None, view, None, Gio.DBusSignalFlags.NONE, told)
    call(view, VIEW, "Start")


def lost(*_):
    print("The cache is not running.", flush=True)


Gio.bus_watch_name_on_connection(bus, NAME, Gio.BusNameWatcherFlags.AUTO_START, begin, lost)
GLib.MainLoop().run()
# --8<-- [end:create]

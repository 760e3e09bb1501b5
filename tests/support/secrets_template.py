"""A template for python-dbusmock: a Secret Service with one locked collection and one secret in it.

Parameters: ``attributes`` and ``secret`` of the item; ``prompt`` is what comes of the prompt for the passphrase:
``dismissed``, ``completed``, or ``ignored``, which says nothing. Source: the Secret Service API, freedesktop.org.
"""

import dbus

BUS_NAME = "org.freedesktop.secrets"
MAIN_OBJ = "/org/freedesktop/secrets"
MAIN_IFACE = "org.freedesktop.Secret.Service"
SYSTEM_BUS = False

COLLECTION = "/org/freedesktop/secrets/aliases/default"
ITEM = f"{COLLECTION}/1"
PROMPT = "/org/freedesktop/secrets/prompt/p1"
SESSION = "/org/freedesktop/secrets/session/s1"
INTERFACE = "org.freedesktop.Secret."

_OPEN = f"""if args[0] != "plain":
    raise dbus.exceptions.DBusException("plain only", name="org.freedesktop.DBus.Error.NotSupported")
ret = (dbus.String("", variant_level=1), dbus.ObjectPath("{SESSION}"))
"""
_SEARCH = f"""item = objects["{ITEM}"]
found = dict(item.props["{INTERFACE}Item"]["Attributes"]) == dict(args[0])
here = dbus.Array([dbus.ObjectPath("{ITEM}")] if found else [], signature="o")
none = dbus.Array([], signature="o")
ret = (none, here) if item.props["{INTERFACE}Item"]["Locked"] else (here, none)
"""
_UNLOCK = f"""locked = objects["{COLLECTION}"].props["{INTERFACE}Collection"]["Locked"]
ret = (dbus.Array([] if locked else args[0], signature="o"), dbus.ObjectPath("{PROMPT}" if locked else "/"))
"""
_CREATE = f"""item = objects["{ITEM}"]
item.props["{INTERFACE}Item"]["Attributes"] = args[0]["{INTERFACE}Item.Attributes"]
item.secret = bytes(bytearray(args[1][2])).decode()
ret = (dbus.ObjectPath("{ITEM}"), dbus.ObjectPath("/"))
"""
_GET = """ret = (args[0], dbus.ByteArray(b""), dbus.ByteArray(self.secret.encode()), "text/plain")
"""
_PROMPT = {
    "dismissed": f"""none = dbus.Array([], signature="o", variant_level=1)
self.EmitSignal("{INTERFACE}Prompt", "Completed", "bv", [True, none])
""",
    "completed": f"""for path, kind in (("{COLLECTION}", "Collection"), ("{ITEM}", "Item")):
    objects[path].props["{INTERFACE}" + kind]["Locked"] = dbus.Boolean(False)
done = dbus.Array([dbus.ObjectPath("{COLLECTION}")], signature="o", variant_level=1)
self.EmitSignal("{INTERFACE}Prompt", "Completed", "bv", [False, done])
""",
    "ignored": "",
}


def load(mock, parameters):
    """Make the objects."""
    mock.AddMethods(
        MAIN_IFACE,
        [
            ("OpenSession", "sv", "vo", _OPEN),
            ("SearchItems", "a{ss}", "aoao", _SEARCH),
            ("Unlock", "ao", "aoo", _UNLOCK),
        ],
    )
    locked = dbus.Boolean(True)
    mock.AddObject(
        COLLECTION,
        f"{INTERFACE}Collection",
        {"Label": "login", "Locked": locked},
        [("CreateItem", "a{sv}(oayays)b", "oo", _CREATE)],
    )
    attributes = dbus.Dictionary(parameters.get("attributes", {}), signature="ss")
    methods = [("GetSecret", "o", "(oayays)", _GET), ("Delete", "", "o", 'ret = dbus.ObjectPath("/")')]
    mock.AddObject(ITEM, f"{INTERFACE}Item", {"Label": "password", "Locked": locked, "Attributes": attributes}, methods)
    mock.AddObject(PROMPT, f"{INTERFACE}Prompt", {}, [("Prompt", "s", "", _PROMPT[parameters["prompt"]])])
    import dbusmock.mockobject

    dbusmock.mockobject.objects[ITEM].secret = parameters.get("secret", "")

"""What an author with PySide6 does: QDBusInterface and the interface Json. Prints what it got as JSON.

pyside_json.py SERVICE NODE
"""

import json
import sys

from PySide6.QtCore import QCoreApplication
from PySide6.QtDBus import QDBusConnection, QDBusInterface, QDBusMessage

NAME, ROOT = "im.pubsubcache1", "/im/pubsubcache1"
application = QCoreApplication(sys.argv)
interface = QDBusInterface(NAME, ROOT, f"{NAME}.Json", QDBusConnection.sessionBus())


def call(method, *arguments):
    """The values of the reply, or the name and message of the error."""
    reply = interface.call(method, *arguments)
    if reply.type() == QDBusMessage.MessageType.ErrorMessage:
        return [reply.errorName(), reply.errorMessage()]
    return reply.arguments()


service, node = sys.argv[1:]
items, cursor, info = call("GetItems", "", service, node, {"limit": 2, "fields": ["id", "data"]})
found, _, _ = call("Search", "mushrooms", '{"types": ["blog"]}', {})
nodes, _ = call("ListNodes", {"type": "blog"})
(record,) = call("GetNode", "", service, node)
(accounts,) = call("ListAccounts")
print(
    json.dumps(
        {
            "valid": interface.isValid(),
            "items": [json.loads(item)["id"] for item in items],
            "data": json.loads(items[0])["data"]["title"][0]["text"],
            "info": json.loads(info),
            "found": [json.loads(item)["id"] for item in found],
            "nodes": [json.loads(each)["node"] for each in nodes],
            "record": json.loads(record),
            "accounts": [json.loads(account)["jid"] for account in accounts],
            "error": call("GetItems", "", service, node, {"limits": 2}),
        }
    )
)

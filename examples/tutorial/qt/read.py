"""The newest posts of a blog: read.py SERVICE NODE"""

import json
import sys

from PySide6.QtCore import QCoreApplication
from PySide6.QtDBus import QDBusConnection, QDBusInterface, QDBusMessage

application = QCoreApplication(sys.argv)
# --8<-- [start:call]
cache = QDBusInterface(
    "im.pubsubcache1",
    "/im/pubsubcache1",
    "im.pubsubcache1.Json",
    QDBusConnection.sessionBus(),
)
service, node = sys.argv[1:]
options = {"limit": 5}
reply = cache.call("GetItems", "", service, node, options)
if reply.type() == QDBusMessage.MessageType.ErrorMessage:
    # --8<-- [start:error]
    sys.exit(f"{reply.errorName()}: {reply.errorMessage()}")
    # --8<-- [end:error]
items, cursor, info = reply.arguments()
# --8<-- [end:call]

# --8<-- [start:show]
for item in map(json.loads, items):
    # Others write the items: what could not be read is missing, and not each has a title.
    post = item.get("data", {})
    print("•", post["title"][0]["text"] if "title" in post else "(no title)")
info = json.loads(info)
print(f"from the {info['source']}, {info['freshness']}")
# --8<-- [end:show]

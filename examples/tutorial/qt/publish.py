"""Write a short post, now or when there is a connection, and mark it as read: publish.py NODE TEXT"""

import sys
import uuid
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from PySide6.QtCore import QCoreApplication
from PySide6.QtDBus import QDBusConnection, QDBusMessage

application = QCoreApplication(sys.argv)


def ask(interface, method, *arguments):
    message = QDBusMessage.createMethodCall(
        "im.pubsubcache1", "/im/pubsubcache1", f"im.pubsubcache1.{interface}", method
    )
    message.setArguments(arguments)
    return QDBusConnection.sessionBus().call(message)


def call(*arguments):
    reply = ask(*arguments)
    if reply.type() == QDBusMessage.MessageType.ErrorMessage:
        sys.exit(f"{reply.errorName()}: {reply.errorMessage()}")
    return reply.arguments()


node, text = sys.argv[1:]
# --8<-- [start:create]
config = {"pubsub#max_items": "max"}
# The node exists already, or there is no connection; of anything else Publish tells as well.
ask("PubSub", "CreateNode", "", "", node, config)
# --8<-- [end:create]

# --8<-- [start:publish]
id_, now = str(uuid.uuid4()), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
payload = f"""<entry xmlns='http://www.w3.org/2005/Atom'><id>urn:uuid:{id_}</id>
  <title>{escape(text)}</title><published>{now}</published><updated>{now}</updated></entry>"""
options = {"queue": True}
(item,) = call("PubSub", "Publish", "", "", node, id_, payload, options)
print("written as", item)
# --8<-- [end:publish]

# --8<-- [start:flag]
call("Cache", "SetFlags", "", "", node, [item], ["read"], [])
# --8<-- [end:flag]

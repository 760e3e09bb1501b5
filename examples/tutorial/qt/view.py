"""A list of posts that stays up to date: view.py [WORDS]"""

import json
import sys

from PySide6.QtCore import SLOT, QCoreApplication, QObject, Slot
from PySide6.QtDBus import QDBusConnection, QDBusInterface, QDBusMessage, QDBusServiceWatcher

application = QCoreApplication(sys.argv)
bus = QDBusConnection.sessionBus()
NAME, ROOT, CACHE, VIEW = "im.pubsubcache1", "/im/pubsubcache1", "im.pubsubcache1.Cache", "im.pubsubcache1.View"


# --8<-- [start:list]
def title(item):
    post = item.get("data", {})
    return post["title"][0]["text"] if "title" in post else "(no title)"


class Posts(QObject):
    def __init__(self):
        super().__init__()
        self.posts = []

    def show(self):
        print("--", *map(title, self.posts), sep="\n", flush=True)

    @Slot(str, "QStringList")
    def documents(self, change, items):
        for item in map(json.loads, items):
            self.posts = [post for post in self.posts if post["key"] != item["key"]]
            self.posts.insert(item["index"], item)
        self.show()

    @Slot("QStringList")
    def removed(self, keys):
        self.posts = [post for post in self.posts if post["key"] not in keys]
        self.show()

    @Slot()
    def reset(self):
        self.posts = []


# --8<-- [end:list]
# --8<-- [start:create]
query = json.dumps({"types": ["blog"]})
options = {"window": 10, "json": True}
posts = Posts()


def begin(*_):
    posts.reset()
    reply = QDBusInterface(NAME, ROOT, CACHE, bus).call("CreateView", " ".join(sys.argv[1:]), query, options)
    if reply.type() == QDBusMessage.MessageType.ErrorMessage:
        sys.exit(f"{reply.errorName()}: {reply.errorMessage()}")
    view = reply.arguments()[0].path()
    bus.connect(NAME, view, VIEW, "Documents", posts, SLOT("documents(QString,QStringList)"))
    bus.connect(NAME, view, VIEW, "Removed", posts, SLOT("removed(QStringList)"))
    bus.connect(NAME, view, VIEW, "Reset", posts, SLOT("reset()"))
    QDBusInterface(NAME, view, VIEW, bus).call("Start")


def lost(*_):
    print("The cache is not running.", flush=True)


watcher = QDBusServiceWatcher(NAME, bus)
watcher.serviceRegistered.connect(begin)
watcher.serviceUnregistered.connect(lost)
if bus.interface().isServiceRegistered(NAME).value():
    begin()
elif not bus.interface().startService(NAME).isValid():
    lost()
application.exec()
# --8<-- [end:create]

#!/usr/bin/env python3
"""A calendar of the events that pubsub-cached keeps, in Qt 6, QML and QtDBus: agenda.py [YYYY-MM]"""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    SLOT,
    Property,
    QAbstractListModel,
    QByteArray,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtDBus import QDBusConnection, QDBusMessage, QDBusObjectPath, QDBusPendingCallWatcher, QDBusServiceWatcher
from PySide6.QtGui import QGuiApplication
from PySide6.QtQml import QQmlApplicationEngine

NAME = "im.pubsubcache1"
ROOT = "/im/pubsubcache1"
ROLES = {Qt.ItemDataRole.UserRole + n: name for n, name in enumerate(("day", "time", "title", "place", "about"))}


def query(begin: datetime, end: datetime) -> str:
    """Events that happen, even if only in part, from ``begin`` until before ``end``. Dates are strings that sort."""
    first, last = (time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for time in (begin, end))
    running = {"any": [["end", ">", first], ["start", ">=", first]]}
    return json.dumps({"types": ["event"], "subtypes": ["event"], "where": [["start", "<", last], running]})


def shown(item: dict[str, Any]) -> dict[str, str]:
    """What the list shows of an item."""
    data = item["data"]
    start, end = (datetime.fromisoformat(data[key]).astimezone() if key in data else None for key in ("start", "end"))
    place = next((where.get("geoloc", {}) for where in data.get("locations", ())), {})
    return {
        "day": f"{start:%A, %-d %B}" if start else "",
        "time": f"{start:%H:%M}" + (f" – {end:%H:%M}" if end else "") if start else "",
        "title": next((name["value"] for name in data.get("name", ())), "Without a name"),
        "place": ", ".join(filter(None, (place.get("text"), place.get("locality")))),
        "about": next((text["text"] for text in data.get("descriptions", ())), ""),
    }


class Events(QAbstractListModel):
    """The window of a view, as the daemon tells it."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._items: list[dict[str, Any]] = []

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008
        return len(self._items)

    def roleNames(self) -> dict[int, QByteArray]:
        return {role: QByteArray(name.encode()) for role, name in ROLES.items()}

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = 0) -> str:
        return shown(self._items[index.row()])[ROLES[role]]

    def put(self, item: dict[str, Any]) -> None:
        """Insert an item at its index."""
        self.beginInsertRows(QModelIndex(), item["index"], item["index"])
        self._items.insert(item["index"], item)
        self.endInsertRows()

    def take(self, key: str) -> None:
        """Take out the item with this key."""
        row = next(row for row, item in enumerate(self._items) if item["key"] == key)
        self.beginRemoveRows(QModelIndex(), row, row)
        del self._items[row]
        self.endRemoveRows()

    def clear(self) -> None:
        """Take out all."""
        self.beginResetModel()
        self._items.clear()
        self.endResetModel()


class Agenda(QObject):
    """One month of events: what QML shows, and the calls behind it."""

    changed = Signal()

    def __init__(self, day: datetime) -> None:
        super().__init__()
        self._bus = QDBusConnection.sessionBus()
        self._events = Events(self)
        self._view, self._note, self._known = "", "", False
        self._begin = datetime(day.year, day.month, 1).astimezone()
        watcher = QDBusServiceWatcher(NAME, self._bus, QDBusServiceWatcher.WatchModeFlag.WatchForOwnerChange, self)
        watcher.serviceRegistered.connect(self.open)
        watcher.serviceUnregistered.connect(self.lost)
        self._bus.connect(NAME, ROOT, f"{NAME}.Cache", "NodeChanged", self, SLOT("weigh()"))
        self._bus.connect(NAME, "", "org.freedesktop.DBus.Properties", "PropertiesChanged", self, SLOT("weigh()"))
        self.open()

    def call(self, member: str, *arguments: Any, done: Callable[..., None] = lambda *_: None, path: str = ROOT) -> None:
        """Call INTERFACE.METHOD; ``done`` gets what it returns, an error is the note."""
        interface, method = member.split(".")
        message = QDBusMessage.createMethodCall(NAME, path, f"{NAME}.{interface}", method)
        message.setArguments(arguments)
        watcher = QDBusPendingCallWatcher(self._bus.asyncCall(message), self)

        def finished() -> None:
            watcher.deleteLater()
            reply = watcher.reply()
            if reply.type() == QDBusMessage.MessageType.ErrorMessage:
                self.say(reply.errorMessage())
            else:
                done(*reply.arguments())

        watcher.finished.connect(finished)

    # The month

    @Property(str, notify=changed)
    def month(self) -> str:
        return f"{self._begin:%B %Y}"

    @Property(QObject, constant=True)
    def events(self) -> QObject:
        return self._events

    @Property(str, notify=changed)
    def note(self) -> str:
        return self._note

    # Whether the list is that of the month: not if the page was turned while the daemon is away.
    known = Property(bool, lambda self: self._known, notify=changed)

    @Slot(int)
    def turn(self, months: int) -> None:
        """Show an earlier or a later month."""
        self._begin = (self._begin + timedelta(days=32 if months > 0 else -1)).replace(day=1)
        self._known = False
        self.open()

    def say(self, note: str) -> None:
        self._note = note
        self.changed.emit()

    # The view

    @Slot()
    def open(self) -> None:
        """Look at the month in a new view; also when the daemon comes back, for a view ends with it."""
        end = (self._begin + timedelta(days=32)).replace(day=1)
        options = {"order": "data.start", "json": True, "window": 500}
        self.call("Cache.CreateView", "", query(self._begin, end), options, done=self.follow)
        self.weigh()
        self.changed.emit()

    def follow(self, view: QDBusObjectPath) -> None:
        if self._view:
            self.call("View.Close", path=self._view)
            self.listen(self._bus.disconnect)
        self._view, self._known = view.path(), True
        self._events.clear()
        self.changed.emit()
        # A view says nothing before it is started, so nothing is missed.
        self.listen(self._bus.connect)
        self.call("View.Start", path=self._view)

    def listen(self, how: Callable[..., bool]) -> None:
        slots = {"Documents": "told(QString,QStringList)", "Removed": "removed(QStringList)", "Reset": "reset()"}
        for member, slot in slots.items():
            how(NAME, self._view, f"{NAME}.View", member, self, SLOT(slot))

    @Slot()
    def lost(self) -> None:
        self._view = ""
        self.say("The cache is not running")

    @Slot(str, "QStringList")
    def told(self, change: str, items: list[str]) -> None:
        for item in map(json.loads, items):
            if change == "changed":
                self._events.take(item["key"])
            self._events.put(item)

    @Slot("QStringList")
    def removed(self, keys: list[str]) -> None:
        for key in keys:
            self._events.take(key)

    @Slot()
    def reset(self) -> None:
        self._events.clear()

    # What it is worth

    @Slot()
    def weigh(self) -> None:
        options = {"limit": 1, "fields": ["id"]}
        self.call("Json.Search", "", json.dumps({"types": ["event"]}), options, done=self.weighed)

    def weighed(self, items: list[str], cursor: str, info: str) -> None:
        known = json.loads(info)
        at = f"{datetime.fromtimestamp(known.get('validated-at', 0) / 1000):%-d %B, %H:%M}"
        words = {"live": "Up to date", "validated": f"Checked on {at}", "offline": f"Offline, as of {at}"}
        none = known["completeness"] == "none"
        self.say("No calendars yet" if none else words.get(known["freshness"], f"May have changed since {at}"))


def main() -> int:
    application = QGuiApplication(sys.argv)
    agenda = Agenda(datetime.strptime(sys.argv[1], "%Y-%m") if len(sys.argv) > 1 else datetime.now())
    engine = QQmlApplicationEngine()
    engine.setInitialProperties({"agenda": agenda})
    engine.load(Path(__file__).with_name("Agenda.qml"))
    return application.exec() if engine.rootObjects() else 1


if __name__ == "__main__":
    sys.exit(main())

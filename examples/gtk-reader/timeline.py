"""A search of the cache that stays alive, as a list model for GTK."""

from collections.abc import Callable
from typing import Any

from gi.repository import Gio, GLib, GObject

NAME = "im.pubsubcache1"
ROOT = "/im/pubsubcache1"
PAGE = 50


class Post(GObject.Object):
    """An item; ``record`` has the keys of View.Added."""

    record = GObject.Property(type=object)


class Timeline(GObject.Object):
    """``posts``: first the window of a view, which the daemon keeps as it is, then the pages that were asked for."""

    trouble = GObject.Signal(arg_types=(str,))

    def __init__(self, bus: Gio.DBusConnection, query: str, options: dict[str, GLib.Variant]) -> None:
        super().__init__()
        self.posts = Gio.ListStore(item_type=Post)
        self._bus = bus
        self._query = (query, options)
        self._text = ""
        self._view = ""
        self._window = 0
        self._subscriptions: list[int] = []
        # Now, and when the daemon comes back: a view ends with either of its two ends.
        start = Gio.BusNameWatcherFlags.AUTO_START
        Gio.bus_watch_name_on_connection(bus, NAME, start, self._found, self._lost)

    def call(
        self,
        member: str,
        arguments: GLib.Variant | None = None,
        done: Callable[..., None] = lambda *_: None,
        path: str = ROOT,
    ) -> None:
        """Call INTERFACE.METHOD; ``done`` gets the values that it returns."""

        def answered(bus: Gio.DBusConnection, result: Gio.AsyncResult) -> None:
            try:
                values = bus.call_finish(result).unpack()
            except GLib.Error as error:
                # What the daemon says is a sentence for people; GDBus puts the error's name before it.
                name = Gio.DBusError.get_remote_error(error)
                self.emit("trouble", error.message.removeprefix(f"GDBus.Error:{name}: "))
            else:
                done(*values)

        interface, method = member.split(".")
        where = (NAME, path, f"{NAME}.{interface}", method)
        self._bus.call(*where, arguments, None, Gio.DBusCallFlags.NONE, -1, None, answered)

    def _found(self, *_: object) -> None:
        self.search(self._text)

    def _lost(self, *_: object) -> None:
        self._view = ""

    def search(self, text: str) -> None:
        """Show what has these words instead; "" is everything."""
        self._text = text

        def made(view: str) -> None:
            if self._view:
                self.call("View.Close", path=self._view)
            self._view = view
            self._listen()
            self._reset()
            self.call("View.Start", path=view)

        self.call("Cache.CreateView", GLib.Variant("(ssa{sv})", (text, *self._query)), made)

    def _listen(self) -> None:
        """A view says nothing before it is started, so nothing is missed."""
        for subscription in self._subscriptions:
            self._bus.signal_unsubscribe(subscription)
        self._subscriptions = [
            self._bus.signal_subscribe(
                *(NAME, f"{NAME}.{interface}", member, path, None, Gio.DBusSignalFlags.NONE),
                lambda *message: message[-1](*message[5].unpack()),
                heard,
            )
            for interface, member, path, heard in (
                ("View", "Added", self._view, self._added),
                ("View", "Changed", self._view, self._changed),
                ("View", "Removed", self._view, self._removed),
                ("View", "Reset", self._view, self._reset),
                ("Cache", "ItemsChanged", ROOT, self._read_again),
            )
        ]

    # The window: what the daemon says, applied in the order in which it says it

    def _added(self, items: list[dict[str, Any]]) -> None:
        for item in items:
            self.posts.insert(item["index"], Post(record=item))
            self._window += 1
        self._read_again()

    def _changed(self, items: list[dict[str, Any]]) -> None:
        for item in items:
            position = self._position(item["key"])
            post = self.posts.get_item(position)
            post.record = item
            if position != item["index"]:
                self.posts.remove(position)
                self.posts.insert(item["index"], post)

    def _removed(self, keys: list[str]) -> None:
        for key in keys:
            self.posts.remove(self._position(key))
            self._window -= 1
        self._read_again()

    def _reset(self) -> None:
        self.posts.remove_all()
        self._window = 0

    def _position(self, key: str) -> int:
        return next(place for place in range(self._window) if self.posts.get_item(place).record["key"] == key)

    # After the window: nothing is told, so it is asked for

    def more(self) -> None:
        """Read the next page."""
        self._read(self.posts.get_n_items(), PAGE)

    def _read_again(self, *_: object) -> None:
        beyond = self.posts.get_n_items() - self._window
        if beyond > 0:
            # One more, for what the newest post has pushed out of the window.
            self._read(self._window, beyond + 1)

    def _read(self, offset: int, count: int) -> None:
        view = self._view

        def read(items: list[dict[str, Any]]) -> None:
            # What is older than a signal that came meanwhile was asked for again.
            if view == self._view and self._window <= offset <= self.posts.get_n_items():
                after = self.posts.get_n_items() - offset
                self.posts.splice(offset, after, [Post(record=item) for item in items])

        self.call("View.GetRange", GLib.Variant("(uu)", (offset, count)), read, view)

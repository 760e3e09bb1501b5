"""A search of the cache that stays alive, as a list model for GTK."""

from collections.abc import Callable

from gi.repository import Gio, GLib, GObject

NAME, ROOT = "im.pubsubcache1", "/im/pubsubcache1"
PAGE, MOST = 50, 500


class Post(GObject.Object):
    """An item; ``record`` has the keys of View.Added."""

    record = GObject.Property(type=object)


class Timeline(GObject.Object):
    """``posts``: the window of a view, kept as the daemon tells it."""

    trouble = GObject.Signal(arg_types=(str,))

    def __init__(self, bus: Gio.DBusConnection, query: str, options: dict[str, GLib.Variant]) -> None:
        super().__init__()
        self.posts = Gio.ListStore(item_type=Post)
        self._bus = bus
        self._query = (query, {**options, "window": GLib.Variant("u", PAGE)})
        self._text = self._view = ""
        # A view speaks to its owner alone, so whatever comes is of ours.
        bus.signal_subscribe(NAME, f"{NAME}.View", None, None, None, Gio.DBusSignalFlags.NONE, self._told)
        # Now, and when the daemon comes back: a view ends with either of its two ends.
        start = Gio.BusNameWatcherFlags.AUTO_START
        Gio.bus_watch_name_on_connection(bus, NAME, start, lambda *_: self.search(self._text), self._lost)

    def call(self, member: str, body: GLib.Variant = None, done: Callable = lambda *_: None, path: str = ROOT) -> None:
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
        self._bus.call(*where, body, None, Gio.DBusCallFlags.NONE, -1, None, answered)

    def search(self, text: str) -> None:
        """Show what has these words instead; "" is everything."""
        self._text = text

        def made(view: str) -> None:
            if self._view:
                self.call("View.Close", path=self._view)
            self._view = view
            self.posts.remove_all()
            # It said nothing until now, so nothing was missed.
            self.call("View.Start", path=view)

        self.call("Cache.CreateView", GLib.Variant("(ssa{sv})", (text, *self._query)), made)

    def more(self) -> None:
        """Have more of them, as the list was scrolled to its end."""
        shown = self.posts.get_n_items()
        if shown == MOST:
            self.emit("trouble", "What is older can be found by searching.")
        elif self._view:
            self.call("View.SetWindow", GLib.Variant("(u)", (shown + PAGE,)), path=self._view)

    def _lost(self, *_: object) -> None:
        self._view = ""

    def _told(self, bus: object, sender: str, path: str, interface: str, signal: str, arguments: GLib.Variant) -> None:
        """Signals of the view, applied in the order in which they come."""
        (told,) = arguments.unpack() or (None,)
        if path != self._view:
            return  # It was closed meanwhile.
        if signal == "Reset":
            self.posts.remove_all()
        elif signal == "Removed":
            for key in told:
                self.posts.remove(self._position(key))
        elif signal == "Added":
            for item in told:
                self.posts.insert(item["index"], Post(record=item))
        elif signal == "Changed":
            for item in told:
                position = self._position(item["key"])
                post = self.posts.get_item(position)
                post.record = item
                if position != item["index"]:
                    self.posts.remove(position)
                    self.posts.insert(item["index"], post)

    def _position(self, key: str) -> int:
        return next(place for place, post in enumerate(self.posts) if post.record["key"] == key)

#!/usr/bin/python3
"""A timeline of all blogs that pubsub-cached keeps: GTK 4, libadwaita and Gio's D-Bus, no XMPP."""

import json
import sys
from typing import Any

import gi

gi.require_version("Adw", "1")
gi.require_version("Gtk", "4.0")
from gi.repository import Adw, Gio, GLib, Gtk, Pango  # noqa: E402
from timeline import NAME, ROOT, Post, Timeline  # noqa: E402

MICROBLOG = "urn:xmpp:microblog:0"
# Comments and what describes a feed are of the type blog, too.
QUERY = json.dumps({"types": ["blog"], "subtypes": ["microblog", "feed", "stories", "gallery", "forum"]})
FIELDS = ["id", "account", "service", "node", "data", "flags"]
OPTIONS = {"order": GLib.Variant("s", "data.published desc"), "fields": GLib.Variant("as", FIELDS)}
escape = GLib.markup_escape_text
ENTRY = (
    "<entry xmlns='http://www.w3.org/2005/Atom'><id>urn:uuid:{id}</id><title type='text'>{text}</title>"
    "<published>{now}</published><updated>{now}</updated>"
    "<author><name>{name}</name><uri>xmpp:{jid}</uri></author></entry>"
)


def first(data: dict[str, Any], *keys: str) -> str:
    """The first of these texts that there is; each is a list, one text a language."""
    return next((data[key][0]["text"] for key in keys if data.get(key)), "")


def moment(time: GLib.DateTime) -> str:
    today = time.format("%F") == GLib.DateTime.new_now_local().format("%F")
    return time.format("%R" if today else "%e %B %Y").strip()


def column(*parts: Gtk.Widget, **properties: Any) -> Gtk.Box:
    box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, **properties)
    for part in parts:
        box.append(part)
    return box


class Window(Adw.ApplicationWindow):
    """The list, and the post that is open."""

    def __init__(self, app: Adw.Application) -> None:
        super().__init__(application=app, title="Reader", default_width=1000, default_height=640)
        bus = app.get_dbus_connection()
        self.timeline = Timeline(bus, QUERY, OPTIONS)
        self.timeline.connect("trouble", lambda _, message: self.say(message))
        self.blogs: dict[tuple[str, ...], str] = {}
        self.build()
        # Accounts and jobs are objects: their properties, their coming and their going are told.
        self.objects: Gio.DBusObjectManagerClient | None = None
        flags = Gio.DBusObjectManagerClientFlags.NONE
        Gio.DBusObjectManagerClient.new(bus, flags, NAME, ROOT, None, None, None, self.follow)
        bus.signal_subscribe(NAME, f"{NAME}.Cache", "NodeChanged", ROOT, None, Gio.DBusSignalFlags.NONE, self.look)
        GLib.timeout_add_seconds(60, self.look)

    def build(self) -> None:
        factory = Gtk.SignalListItemFactory()
        factory.connect("setup", self.setup)
        factory.connect("bind", self.bind)
        factory.connect("unbind", lambda _, item: item.get_item().disconnect(item.heard))
        posts = Gtk.ListView(model=Gtk.NoSelection(model=self.timeline.posts), factory=factory)
        posts.set_single_click_activate(True)
        posts.connect("activate", lambda _, position: self.open(self.timeline.posts.get_item(position)))
        scrolled = Gtk.ScrolledWindow(child=posts, hscrollbar_policy=Gtk.PolicyType.NEVER, vexpand=True)
        scrolled.connect("edge-reached", lambda _, edge: edge == Gtk.PositionType.BOTTOM and self.timeline.more())
        # Who looks at the newest post wants to see the next one come; the list would stay where it is.
        at, first_post = scrolled.get_vadjustment(), ("list.scroll-to-item", GLib.Variant("u", 0))
        self.timeline.posts.connect("items-changed", lambda *_: at.get_value() or posts.activate_action(*first_post))
        self.heading = Adw.WindowTitle(title="Timeline")
        search = Gtk.SearchEntry(placeholder_text="Search", margin_start=6, margin_end=6, margin_bottom=6)
        search.connect("search-changed", lambda _: self.timeline.search(search.get_text()))
        self.waiting = Gtk.Label(css_classes=["caption"], visible=False, margin_top=6, wrap=True, max_width_chars=40)
        entry = Gtk.Entry(placeholder_text="What’s new?", margin_top=6, margin_bottom=6, margin_start=6, margin_end=6)
        entry.connect("activate", self.publish)
        for field in (search, entry):
            field.update_property([Gtk.AccessibleProperty.LABEL], [field.get_property("placeholder-text")])
        header = Adw.HeaderBar(title_widget=self.heading, show_end_title_buttons=False)
        left = column(header, search, scrolled, self.waiting, entry, hexpand=False, width_request=380)
        self.post = Gtk.Label(label="Nothing is open.", xalign=0, yalign=0, wrap=True, selectable=True)
        page = Adw.Clamp(child=self.post, maximum_size=520, margin_top=24, margin_start=24, margin_end=24)
        scrolled = Gtk.ScrolledWindow(child=page, vexpand=True, hexpand=True)
        panes = Adw.Leaflet()
        panes.append(left)
        panes.append(Gtk.Separator()).set_navigatable(False)
        panes.append(column(Adw.HeaderBar(title_widget=Gtk.Label()), scrolled))
        self.toasts = Adw.ToastOverlay(child=panes)
        self.set_content(self.toasts)

    def say(self, message: str) -> None:
        self.toasts.add_toast(Adw.Toast(title=escape(message), timeout=8))

    # Reading

    def setup(self, _: Gtk.SignalListItemFactory, item: Gtk.ListItem) -> None:
        row = Gtk.Box(spacing=9, margin_top=9, margin_bottom=9, margin_start=6, margin_end=6)
        row.append(Gtk.Label(label="●", css_classes=["accent"], valign=Gtk.Align.START))
        # Two lines each of the title, who wrote it, and the text.
        row.append(Gtk.Label(xalign=0, wrap=True, lines=2, ellipsize=Pango.EllipsizeMode.END, max_width_chars=40))
        item.set_child(row)

    def bind(self, _: Gtk.SignalListItemFactory, item: Gtk.ListItem) -> None:
        def fill(post: Post, _: object = None) -> None:
            data, read = json.loads(post.record["data"]), "read" in post.record["flags"]
            row = item.get_child()
            row.get_first_child().set_opacity(0 if read else 1)
            title = escape(first(data, "title", "content"))
            text = escape(" ".join(first(data, "summary", "content").split()))
            lines = (title if read else f"<b>{title}</b>", f"<small>{escape(self.about(post.record))}</small>", text)
            row.get_last_child().set_markup("\n".join(filter(None, lines)))

        item.heard = item.get_item().connect("notify::record", fill)
        fill(item.get_item())

    def about(self, record: dict[str, Any]) -> str:
        """When, by whom, where."""
        data = json.loads(record["data"])
        time = GLib.DateTime.new_from_iso8601(data.get("published", ""), None)
        author = next((author.get("name", "") for author in data.get("authors", ())), "")
        blog = self.blogs.get((record["account"], record["service"], record["node"]), "")
        return " · ".join(filter(None, (moment(time.to_local()) if time else "", author, blog)))

    def open(self, post: Post) -> None:
        record, data = post.record, json.loads(post.record["data"])
        title = f"<span size='x-large' weight='bold'>{escape(first(data, 'title'))}</span>"
        text = escape(first(data, "content", "summary")).replace("\n", "\n\n")
        self.post.set_markup(f"{title}\n{escape(self.about(record))}\n\n{text}")
        where = (record["account"], record["service"], record["node"])
        # The view tells the new flags, to every program that shows the post.
        self.timeline.call("Cache.SetFlags", GLib.Variant("(sssasasas)", (*where, [record["id"]], ["read"], [])))

    # What it is worth

    def follow(self, _: object, result: Gio.AsyncResult) -> None:
        self.objects = Gio.DBusObjectManagerClient.new_finish(result)
        for change in ("object-added", "object-removed", "interface-proxy-properties-changed", "notify::name-owner"):
            self.objects.connect(change, self.look)
        self.look()

    def found(self, interface: str, *names: str) -> list[list[Any]]:
        """Properties of all objects with an interface."""
        objects = self.objects.get_objects() if self.objects else []
        proxies = filter(None, (each.get_interface(f"{NAME}.{interface}") for each in objects))
        return [[proxy.get_cached_property(name).unpack() for name in names] for proxy in proxies]

    def look(self, *_: object) -> bool:
        """Something may be worth more or less than before."""
        jobs = [job[1:] for job in self.found("Job", "Kind", "State", "ErrorMessage") if job[0] == "outbox"]
        # A post that the service did not want must not just vanish.
        lines = [reason for state, reason in jobs if state == "failed"]
        if waiting := sum(state == "queued" for state, _ in jobs):
            lines.append(f"Waiting for a connection: {waiting}")
        self.waiting.set_label("\n".join(lines))
        self.waiting.set_visible(bool(lines))
        if self.objects and not self.objects.get_name_owner():
            self.heading.set_subtitle("The cache is not running")
            return GLib.SOURCE_CONTINUE
        one = {"limit": GLib.Variant("u", 1), "fields": GLib.Variant("as", ["id"])}
        self.timeline.call("Cache.Search", GLib.Variant("(ssa{sv})", ("", QUERY, one)), self.weigh)
        blogs = {"type": GLib.Variant("s", "blog"), "limit": GLib.Variant("u", 500)}
        self.timeline.call("Cache.ListNodes", GLib.Variant("(a{sv})", (blogs,)), self.name_blogs)
        return GLib.SOURCE_CONTINUE

    def weigh(self, _: list[Any], cursor: str, info: dict[str, Any]) -> None:
        failed = [message for state, message in self.found("Account", "State", "ErrorMessage") if state == "failed"]
        at = moment(GLib.DateTime.new_from_unix_local(info.get("validated-at", 0) // 1000))
        words = {"live": "Up to date", "validated": f"Checked at {at}", "offline": f"Offline, as of {at}"}
        known = words.get(info["freshness"], f"May have changed since {at}")
        self.heading.set_subtitle(" ".join(failed) or ("No blogs yet" if info["completeness"] == "none" else known))

    def name_blogs(self, nodes: list[dict[str, Any]], cursor: str) -> None:
        self.blogs = {(node["account"], node["service"], node["node"]): node.get("title", "") for node in nodes}

    # Writing

    def publish(self, entry: Gtk.Entry) -> None:
        account = next((jid for jid, enabled in self.found("Account", "Jid", "Enabled") if enabled), "")
        if not account:
            self.say("There is no account to write with.")
        elif written := entry.get_text().strip():
            id_, now, jid = GLib.uuid_string_random(), GLib.DateTime.new_now_utc().format("%FT%TZ"), escape(account)
            payload = ENTRY.format(id=id_, text=escape(written), now=now, name=jid.split("@")[0].title(), jid=jid)
            # Answered at once: the post is sent now, or when there is a connection again.
            where = (account, "", MICROBLOG, id_, payload, {"queue": GLib.Variant("b", True)})
            post = ("PubSub.Publish", GLib.Variant("(sssssa{sv})", where), lambda _: entry.set_text(""))
            # A server makes the node for one post, which the next would replace. One that is there stays as it is.
            node = GLib.Variant("(sssa{sv})", (account, "", MICROBLOG, {"pubsub#max_items": GLib.Variant("s", "max")}))
            make = (NAME, ROOT, f"{NAME}.PubSub", "CreateNode", node, None, Gio.DBusCallFlags.NONE, -1, None)
            self.get_application().get_dbus_connection().call(*make, lambda *_: self.timeline.call(*post))


if __name__ == "__main__":
    reader = Adw.Application(application_id="org.example.Reader")
    reader.connect("activate", lambda _: (reader.get_active_window() or Window(reader)).present())
    sys.exit(reader.run(sys.argv))

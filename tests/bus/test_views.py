"""View on the bus: what its owner is told, and that nobody else is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, Variant
from dbus_fast.aio import MessageBus

from pubsub_cached.daemon import Daemon
from pubsub_cached.xmpp.fake import World
from tests.bus.api_service import ERROR, INVALID, SERVICE, Frontend, Options, daemon, entry, frontend, plain, world
from tests.bus.sample import INTROSPECTABLE, OBJECT_MANAGER, PROPERTIES, ROOT, stop_reading

VIEW = "im.pubsubcache1.View"
UNKNOWN = "org.freedesktop.DBus.Error.UnknownObject"


class Owner(Frontend):
    """A frontend with one view, whose signals alone change what it holds."""

    path = ""

    async def view(self, text: str = "", query: str = "", **options: Variant) -> str:
        """A new view, not started."""
        (self.path,) = await self.cache("CreateView", "ssa{sv}", text, query, options)
        self.held: list[dict[str, Any]] = []
        return self.path

    async def does(self, member: str, signature: str = "", *body: Any) -> list[Any]:
        """A method of the view."""
        return await self.call(member, signature, *body, path=self.path, interface=VIEW)

    async def started(self) -> int:
        """Start the view; its total."""
        await self.does("Start")
        total: int = (await self.told("Ready"))[0]
        return total

    async def told(self, member: str) -> list[Any]:
        """Apply signals up to the next one of this name; its arguments."""
        while True:
            message = await self.signal()
            if message.interface == VIEW:
                assert message.path == self.path
                self.apply(message)
                if message.member == member:
                    return list(message.body)

    def apply(self, message: Message) -> None:
        """Change what is held as a signal says."""
        match message.member:
            case "Added" | "Changed":
                self.insert([plain(item) for item in message.body[0]])
            case "Documents":
                self.insert([json.loads(item) for item in message.body[1]])
            case "Removed":
                self.held = [item for item in self.held if item["key"] not in message.body[0]]
            case "Reset":
                self.held = []

    def insert(self, items: list[dict[str, Any]]) -> None:
        for item in items:
            self.held = [held for held in self.held if held["key"] != item["key"]]
            self.held.insert(item["index"], item)

    async def interfaces_until_changed(self, id_: str) -> set[str | None]:
        """Whose signals came until it was told that an item changed, and those that were on their way then."""
        heard: set[str | None] = set()
        while True:
            message = await self.signal()
            heard.add(message.interface)
            if message.member == "ItemsChanged" and id_ in message.body[3]:
                return heard | {later.interface for later in await self.settle()}

    @property
    def ids_held(self) -> list[str]:
        return [item["id"] for item in self.held]


class Setting:
    """The daemon over a world with a blog of three posts, kept and live."""

    def __init__(self, made: World, address: str, service: Daemon) -> None:
        self.world = made
        self.address = address
        self.daemon = service

    def publish(self, number: int) -> None:
        self.world.services[SERVICE].publish("blog", f"post-{number}", entry(number))

    def retract(self, number: int) -> None:
        self.world.services[SERVICE].retract("blog", f"post-{number}")


@pytest.fixture
async def setting(bus_address: str, tmp_path: Path) -> AsyncIterator[Setting]:
    made = world()
    async with daemon(made, bus_address, tmp_path) as service:
        yield Setting(made, bus_address, service)


@pytest.fixture
async def owner(setting: Setting) -> AsyncIterator[Owner]:
    async with frontend(setting.address, Owner) as client:
        await client.synchronised()
        yield client


@pytest.fixture
async def other(setting: Setting) -> AsyncIterator[Owner]:
    async with frontend(setting.address, Owner) as client:
        yield client


async def test_the_owner_is_told_what_a_search_finds(setting: Setting, owner: Owner) -> None:
    await owner.view()
    assert await owner.started() == 3
    assert owner.ids_held == ["post-2", "post-1", "post-0"]
    (found, *_) = await owner.cache("Search", "ssa{sv}", "", "", {})
    assert [{**item, "index": number} for number, item in enumerate(map(plain, found))] == owner.held

    setting.publish(3)
    await owner.told("Added")
    assert owner.ids_held == ["post-3", "post-2", "post-1", "post-0"]
    setting.publish(4)
    setting.retract(1)
    await owner.told("Removed")
    while len(owner.held) < 4:
        await owner.told("Added")
    assert owner.ids_held == ["post-4", "post-3", "post-2", "post-0"]
    assert await owner.get("Total", VIEW, owner.path) == 4
    for interface in (VIEW, ""):
        (found,) = await owner.call("GetAll", "s", interface, path=owner.path, interface=PROPERTIES)
        assert plain(found) == {"State": "running", "Total": 4}


async def test_a_flag_is_a_change(owner: Owner) -> None:
    await owner.view(query='{"flags":["-read"]}')
    await owner.started()
    await owner.cache("SetFlags", "sssasasas", "", SERVICE, "blog", ["post-2"], ["starred"], [])
    await owner.told("Changed")
    assert owner.held[0]["flags"] == ["starred"]
    await owner.cache("SetFlags", "sssasasas", "", SERVICE, "blog", ["post-2"], ["read"], [])
    await owner.told("Removed")
    assert owner.ids_held == ["post-1", "post-0"]


async def test_only_the_window_is_told(setting: Setting, owner: Owner) -> None:
    await owner.view(window=Variant("u", 2))
    assert await owner.started() == 3
    assert owner.ids_held == ["post-2", "post-1"]
    setting.publish(3)
    await owner.told("Added")
    assert owner.ids_held == ["post-3", "post-2"]
    setting.retract(3)
    await owner.told("Added")
    assert owner.ids_held == ["post-2", "post-1"]


async def test_the_window_is_made_larger_and_smaller(setting: Setting, owner: Owner) -> None:
    await owner.view(window=Variant("u", 1))
    await owner.started()
    await owner.does("SetWindow", "u", 2)
    assert await owner.told("Ready") == [3]
    assert owner.ids_held == ["post-2", "post-1"]
    setting.publish(3)
    await owner.told("Added")
    assert owner.ids_held == ["post-3", "post-2"]
    await owner.does("SetWindow", "u", 4_000_000_000)
    assert await owner.told("Ready") == [4]
    assert owner.ids_held == ["post-3", "post-2", "post-1", "post-0"]
    await owner.does("SetWindow", "u", 1)
    await owner.told("Removed")
    assert owner.ids_held == ["post-3"]
    name, text = await owner.error("SetWindow", "u", 0, path=owner.path, interface=VIEW)
    assert (name, text) == (INVALID, "The window is 0, and 1 is the least.")


async def test_a_range_reaches_past_the_window(owner: Owner) -> None:
    await owner.view(window=Variant("u", 1), fields=Variant("as", ["id"]))
    (items,) = await owner.does("GetRange", "uu", 1, 10)
    assert [(item["id"].value, item["index"].value) for item in items] == [("post-1", 1), ("post-0", 2)]
    assert set(items[0]) == {"id", "index", "key"}
    assert await owner.does("GetRange", "uu", 9, 10) == [[]]
    assert await owner.does("GetRange", "uu", 0, 0) == [[]]


async def test_a_view_is_silent_until_it_is_started(setting: Setting, owner: Owner) -> None:
    await owner.view()
    assert await owner.get("State", VIEW, owner.path) == "stopped"
    setting.publish(3)
    assert VIEW not in await owner.interfaces_until_changed("post-3")
    await owner.started()
    assert await owner.get("State", VIEW, owner.path) == "running"
    assert owner.ids_held[0] == "post-3"


async def test_a_view_that_was_stopped_begins_anew(setting: Setting, owner: Owner) -> None:
    await owner.view()
    await owner.started()
    await owner.does("Stop")
    setting.publish(3)
    assert VIEW not in await owner.interfaces_until_changed("post-3")
    await owner.does("Start")
    await owner.told("Reset")
    await owner.told("Ready")
    assert owner.ids_held == ["post-3", "post-2", "post-1", "post-0"]


async def test_documents_take_the_place_of_records(setting: Setting, owner: Owner) -> None:
    await owner.view("number", json=Variant("b", True))
    await owner.does("Start")
    change, documents = await owner.told("Documents")
    assert change == "added"
    assert json.loads(documents[0])["data"]["title"][0]["text"] == "Number 2"
    setting.world.services[SERVICE].publish("blog", "post-0", entry(9))
    change, _ = await owner.told("Documents")
    assert change == "changed"
    assert [item["data"]["title"][0]["text"] for item in owner.held] == ["Number 2", "Number 1", "Number 9"]


# Whose it is


async def test_nobody_else_hears_or_sees_a_view(setting: Setting, owner: Owner, other: Owner) -> None:
    path = await owner.view(token=Variant("s", "mine"))
    assert path == f"{ROOT}/view/{owner.name[1:].replace('.', '_')}/mine"
    await owner.started()
    setting.publish(3)
    await owner.told("Added")
    assert VIEW not in await other.interfaces_until_changed("post-3")
    for member, signature, body in (("Start", "", []), ("GetRange", "uu", [0, 1]), ("Close", "", [])):
        name, _ = await other.error(member, signature, *body, path=path, interface=VIEW)
        assert name == UNKNOWN
    assert (await other.error("Introspect", path=path, interface=INTROSPECTABLE))[0] == UNKNOWN
    assert (await other.error("Get", "ss", VIEW, "Total", path=path, interface=PROPERTIES))[0] == UNKNOWN
    assert path not in await owner.objects()


async def test_no_object_is_told_to_have_been_added(owner: Owner) -> None:
    await owner.view()
    await owner.started()
    await owner.does("Close")
    assert [message.member for message in await owner.settle() if message.interface == OBJECT_MANAGER] == []


async def test_a_view_ends_when_it_is_closed(setting: Setting, owner: Owner) -> None:
    await owner.view()
    await owner.started()
    await owner.does("Close")
    name, _ = await owner.error("Start", path=owner.path, interface=VIEW)
    assert name.startswith("org.freedesktop.DBus.Error.Unknown")
    setting.publish(3)
    assert VIEW not in await owner.interfaces_until_changed("post-3")


async def test_a_view_ends_with_its_owner(setting: Setting, owner: Owner) -> None:
    ended: asyncio.Queue[str] = asyncio.Queue()
    setting.daemon.house.views.on_removed.append(lambda view: ended.put_nowait(view.path))
    async with frontend(setting.address, Owner) as leaving:
        paths = {await leaving.view(), await leaving.view()}
        await leaving.started()
    async with asyncio.timeout(10):
        assert {await ended.get(), await ended.get()} == paths
    assert setting.daemon.house.views.all() == []


async def test_a_client_may_have_sixteen(owner: Owner, other: Owner) -> None:
    for _ in range(16):
        await owner.view()
    name, text = await owner.refused("CreateView", "ssa{sv}", "", "", {})
    assert name == f"{ERROR}LimitExceeded"
    assert "16" in text
    await other.view()
    await owner.does("Close")
    await owner.view()


async def test_a_token_is_used_once(owner: Owner, other: Owner) -> None:
    token = {"token": Variant("s", "t")}
    await owner.view(**token)
    name, text = await owner.refused("CreateView", "ssa{sv}", "", "", token)
    assert name == f"{ERROR}Conflict"
    assert "'t'" in text
    await other.view(**token)


@pytest.mark.parametrize(
    ("query", "options", "error"),
    [
        ("{", {}, f"{ERROR}InvalidQuery"),
        ("", {"order": Variant("s", "size")}, INVALID),
        ("", {"window": Variant("u", 0)}, INVALID),
        ("", {"colour": Variant("s", "red")}, INVALID),
        ("", {"cursor": Variant("s", "abc")}, f"{ERROR}NotSupported"),
    ],
)
async def test_what_can_not_be_is_refused(owner: Owner, query: str, options: Options, error: str) -> None:
    assert (await owner.refused("CreateView", "ssa{sv}", "", query, options))[0] == error


async def test_who_does_not_read_costs_nobody_else_anything(setting: Setting, owner: Owner, other: Owner) -> None:
    """Far more is published than the daemon sends a client ahead; the one who slept then holds what there is."""
    await owner.view()
    await owner.started()
    await other.view(window=Variant("u", 1))
    await other.started()
    hear = stop_reading(owner.bus)
    for number in range(60):
        setting.world.services[SERVICE].publish(
            "blog", f"big-{number}", entry(number).replace("Number", "x" * 200_000 + " Number")
        )
        while other.ids_held != [f"big-{number}"]:
            await other.told("Added")
    sent = setting.daemon._connection.flow.outstanding(owner.name)
    assert sent < 8 * 1024 * 1024
    hear()
    options = {"limit": Variant("u", 100), "fields": Variant("as", ["id"])}
    (found, *_) = await other.cache("Search", "ssa{sv}", "", "", options)
    wanted = [item["id"].value for item in found]
    while owner.ids_held[: len(wanted)] != wanted:
        message = await owner.signal()
        if message.interface == VIEW:
            owner.apply(message)


async def test_a_path_that_is_chosen_was_no_object_of_a_daemon_before(bus_address: str, tmp_path: Path) -> None:
    """A client outlives the daemon: what it listens to or waits for there would be another object."""
    made = world()
    paths: set[str] = set()
    bus = await MessageBus(bus_address, negotiate_unix_fd=True).connect()
    client = Frontend(bus, "im.pubsubcache1")
    for _ in range(2):
        async with daemon(made, bus_address, tmp_path):
            (view,) = await client.cache("CreateView", "ssa{sv}", "", "", {})
            (job,) = await client.cache("Sync", "sssa{sv}", "", SERVICE, "blog", {})
            await client.finished(job)
        assert not paths & {view, job}
        paths |= {view, job}
    bus.disconnect()
    await bus.wait_for_disconnect()

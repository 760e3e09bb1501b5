"""Sandboxed clients: they read, have views of their own, and private nodes are not there for them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Variant

from pubsub_cached.bus import Connection, RemoteError, Tree, sandbox
from pubsub_cached.bus.description import read as describe
from pubsub_cached.bus.dispatch import AT_ONCE, STRANGERS
from pubsub_cached.bus.flow import WINDOW, Answer
from pubsub_cached.bus.sandbox import Peer
from pubsub_cached.daemon import Daemon
from pubsub_cached.paths import interfaces
from pubsub_cached.xmpp.fake import World
from tests.bus.api_service import ALICE, SERVICE, Frontend, daemon, frontend, world
from tests.bus.conftest import MakeClient
from tests.bus.sample import OBJECT_MANAGER, PEER, PROPERTIES, ROOT, SAMPLE, Client, Sample
from tests.support.bus import PrivateBus
from tests.support.sandboxed import Sandboxed

READER = "[Application]\nname=org.example.Reader\nruntime=runtime/org.gnome.Platform/x86_64/48\n"
DENIED = "org.freedesktop.DBus.Error.AccessDenied"
NO_NODE = "im.pubsubcache1.Error.NoSuchNode"
BOOKMARKS = "urn:xmpp:bookmarks:1"
ROOM = "room@muc.example.org"
BOOKMARK = f"<conference xmlns='{BOOKMARKS}' name='Secret society'/>"

MAY = {
    "Manager": {"GetAccount", "ListAccounts"},
    "Cache": {"GetItems", "GetNode", "ListNodes", "GetChanges", "Search", "CreateView"},
    "PubSub": {"ListSubscriptions", "ListAffiliations", "Discover", "GetNodeConfig"},
    "Analysers": {"List", "Match"},
    "Json": {"GetItems", "GetNode", "ListNodes", "Search", "ListAccounts", "ReadItems", "ReadSearch"},
    "Debug": set[str](),
}
EMPTY = {"s": "", "as": [], "a{sv}": {}, "h": 0, "t": 0, "b": False, "u": 0}

Start = Callable[..., Awaitable[Sandboxed]]


class Guest:
    """What a sandboxed client makes of the daemon."""

    def __init__(self, client: Sandboxed) -> None:
        self.client = client

    async def call(self, interface: str, member: str, signature: str = "", *body: Any, path: str = ROOT) -> Any:
        """The values of the reply."""
        name = interface if "." in interface else f"im.pubsubcache1.{interface}"
        return await self.client.call(name, member, signature, *body, path=path, name="im.pubsubcache1")

    async def refused(self, interface: str, member: str, signature: str = "", *body: Any, path: str = ROOT) -> str:
        """The name of the error."""
        with pytest.raises(RemoteError) as raised:
            await self.call(interface, member, signature, *body, path=path)
        assert raised.value.message.endswith("."), raised.value.message
        return raised.value.name


@pytest.fixture
def made() -> World:
    made = world()
    made.accounts[ALICE].pep.create_node(BOOKMARKS)
    made.accounts[ALICE].pep.publish(BOOKMARKS, ROOM, BOOKMARK)
    return made


@pytest.fixture
async def start(
    made: World, bus_address: str, tmp_path: Path, sandbox: Start
) -> AsyncIterator[Callable[..., Awaitable[tuple[Daemon, Guest]]]]:
    async with AsyncExitStack() as stack:

        async def begin(info: str = READER, allow: tuple[str, ...] = ()) -> tuple[Daemon, Guest]:
            service = await stack.enter_async_context(daemon(made, bus_address, tmp_path, sandbox=allow))
            return service, Guest(await sandbox(bus_address, info))

        yield begin


@pytest.fixture
async def guest(start: Callable[..., Awaitable[tuple[Daemon, Guest]]], bus_address: str) -> AsyncIterator[Guest]:
    """A sandboxed client of a daemon that has the blog and the bookmarks."""
    _, found = await start()
    async with frontend(bus_address) as host:
        await host.synchronised()
        await bookmarks(host)
        yield found


async def bookmarks(host: Frontend) -> list[dict[str, Any]]:
    """The bookmarks, kept, as a client without a sandbox reads them."""
    (job,) = await host.cache("Sync", "sssa{sv}", "", "", BOOKMARKS, {})
    await host.finished(job)
    items, *_ = await host.cache("GetItems", "sssa{sv}", "", "", BOOKMARKS, {"policy": Variant("s", "cache")})
    assert [item["id"].value for item in items] == [ROOM]
    return items


class TestRights:
    async def test_reads_are_answered(self, guest: Guest) -> None:
        items, _, info = await guest.call("Cache", "GetItems", "sssa{sv}", "", SERVICE, "blog", {})
        assert (len(items), info["source"]) == (3, "cache")
        found, *_ = await guest.call("Json", "Search", "ssa{sv}", "number", "", {})
        assert len(found) == 3

    async def test_everything_else_is_denied_before_it_is_looked_at(self, guest: Guest) -> None:
        for name, allowed in MAY.items():
            methods = describe(interfaces(), f"im.pubsubcache1.{name}").methods.values()
            assert allowed <= {method.name for method in methods}
            for method in methods:
                if method.name not in allowed:
                    body = [EMPTY[one] for one in types(method.signature)]
                    assert await guest.refused(name, method.name, method.signature, *body) == DENIED, method.name

    async def test_accounts_can_be_looked_at_and_nothing_else(self, guest: Guest) -> None:
        ((path,),) = (await guest.call("Manager", "ListAccounts"),)
        (account,) = path
        assert await guest.call(PROPERTIES, "Get", "ss", "im.pubsubcache1.Account", "State", path=account) == ["online"]
        for member, signature, *body in (
            ("Connect", ""),
            ("Disconnect", ""),
            ("SetPassword", "h", 0),
            ("Remove", "a{sv}", {}),
        ):
            assert await guest.refused("Account", member, signature, *body, path=account) == DENIED
        enabled = ["im.pubsubcache1.Account", "Enabled", {"v": ["b", False]}]
        assert await guest.refused(PROPERTIES, "Set", "ssv", *enabled, path=account) == DENIED

    async def test_the_log_can_not_be_turned_up(self, guest: Guest) -> None:
        control, level = "org.freedesktop.LogControl1", {"v": ["s", "debug"]}
        path = "/org/freedesktop/LogControl1"
        assert await guest.refused(PROPERTIES, "Set", "ssv", control, "LogLevel", level, path=path) == DENIED

    async def test_views_are_its_own(self, guest: Guest) -> None:
        (path,) = await guest.call("Cache", "CreateView", "ssa{sv}", "", "", {})
        await guest.call("View", "Start", path=path)
        ((*rows,),) = (await guest.call("View", "GetRange", "uu", 0, 10, path=path),)
        assert [row["node"] for row in rows[0]] == ["blog"] * 3
        await guest.call("View", "Close", path=path)

    async def test_jobs_may_be_waited_for_and_not_cancelled(self, guest: Guest, bus_address: str) -> None:
        async with frontend(bus_address) as host:
            (job,) = await host.cache("Sync", "sssa{sv}", "", SERVICE, "blog", {})
            assert await guest.refused("Job", "Cancel", path=job) == DENIED
            assert (await guest.call("Job", "Wait", path=job))[0].startswith("3 items")

    async def test_a_listed_application_may_everything(
        self, start: Callable[..., Awaitable[tuple[Daemon, Guest]]], bus_address: str
    ) -> None:
        _, guest = await start(allow=("org.example.Reader",))
        async with frontend(bus_address):
            await guest.call("Cache", "SetFlags", "sssasasas", "", SERVICE, "blog", [], [], [])
            (job,) = await guest.call("Cache", "Sync", "sssa{sv}", "", "", BOOKMARKS, {})
            await guest.call("Job", "Wait", path=job)
            assert await guest.call("Cache", "GetNode", "sssa{sv}", "", "", BOOKMARKS, {})

    async def test_a_sandbox_that_says_nothing_of_itself_is_one(
        self, start: Callable[..., Awaitable[tuple[Daemon, Guest]]]
    ) -> None:
        _, guest = await start("no key file", allow=("org.example.Reader",))
        assert await guest.refused("Cache", "Reset", "a{sv}", {}) == DENIED

    async def test_a_client_that_left_at_once_could_not_be_identified(
        self, start: Callable[..., Awaitable[tuple[Daemon, Guest]]], bus_address: str
    ) -> None:
        service, _ = await start()
        async with frontend(bus_address) as host:
            await host.synchronised()
            check = ["--type=method_call", "--dest=im.pubsubcache1", ROOT, "im.pubsubcache1.Debug.Check"]
            environment = os.environ | {"DBUS_SESSION_BUS_ADDRESS": bus_address}
            # The daemon runs here as well, so that it reads the call when its sender has gone.
            subprocess.run(["dbus-send", "--session", *check], env=environment, check=True)
            await host.cache("ListNodes", "a{sv}", {})
            assert [job for job in service.house.jobs.list() if job.kind == "check"] == []


class TestPrivateNodes:
    async def test_are_not_there(self, guest: Guest) -> None:
        for interface in ("Cache", "Json"):
            assert await guest.refused(interface, "GetItems", "sssa{sv}", "", "", BOOKMARKS, {}) == NO_NODE
            nodes, _ = await guest.call(interface, "ListNodes", "a{sv}", {})
            assert [json.loads(node)["node"] if isinstance(node, str) else node["node"] for node in nodes] == ["blog"]
            items, _, _ = await guest.call(interface, "Search", "ssa{sv}", "", json.dumps({"nodes": [BOOKMARKS]}), {})
            assert items == []
        assert await guest.refused("Cache", "GetNode", "sssa{sv}", "", "", BOOKMARKS, {}) == NO_NODE
        assert await guest.refused("Json", "GetNode", "sss", "", "", BOOKMARKS) == NO_NODE
        assert await guest.refused("Cache", "GetChanges", "sssta{sv}", "", "", BOOKMARKS, 0, {}) == NO_NODE

    async def test_are_not_asked_for_at_the_service(self, guest: Guest, made: World) -> None:
        asked = made.count()
        network = {"policy": {"v": ["s", "network"]}}
        for node in (BOOKMARKS, "urn:xmpp:omemo:2:devices", "storage:bookmarks"):
            assert await guest.refused("Cache", "GetItems", "sssa{sv}", "", "", node, network) == NO_NODE
            assert await guest.refused("Json", "ReadItems", "sssa{sv}", "", "", node, network) == NO_NODE
            assert await guest.refused("Analysers", "Match", "sssa{sv}", "", "", node, {}) == NO_NODE
            assert await guest.refused("PubSub", "GetNodeConfig", "sssa{sv}", "", "", node, {}) == NO_NODE
        assert made.count() == asked

    async def test_are_not_discovered(self, guest: Guest, bus_address: str) -> None:
        async with frontend(bus_address) as host:
            pubsub = "im.pubsubcache1.PubSub"
            everything, _ = await host.call("Discover", "ssa{sv}", "", "", {}, interface=pubsub)
            assert BOOKMARKS in [one["node"].value for one in everything]
        for member in ("Discover", "ListSubscriptions", "ListAffiliations"):
            found, _ = await guest.call("PubSub", member, "ssa{sv}", "", "", {})
            assert BOOKMARKS not in [one.get("node") for one in found]

    async def test_are_in_no_view(self, guest: Guest, bus_address: str, made: World) -> None:
        (path,) = await guest.call("Cache", "CreateView", "ssa{sv}", "", "", {})
        await guest.call("View", "Start", path=path)
        async with frontend(bus_address) as host:
            made.accounts[ALICE].pep.publish(BOOKMARKS, "other@muc.example.org", BOOKMARK)
            await host.until("ItemsChanged")
            made.services[SERVICE].publish("blog", "later", "<entry xmlns='http://www.w3.org/2005/Atom'/>")
            await host.until("ItemsChanged")
        while not (said := [body for _, member, body in guest.client.signals if member == "Added"])[1:]:
            await guest.call("Cache", "ListNodes", "a{sv}", {})
        assert {item["node"] for body in said for item in body[0]} == {"blog"}

    async def test_are_signalled_to_others_only(self, guest: Guest, bus_address: str, made: World) -> None:
        async with frontend(bus_address) as host:
            made.accounts[ALICE].pep.publish(BOOKMARKS, "other@muc.example.org", BOOKMARK)
            changed = await host.until("ItemsChanged")
            assert changed[1:4] == [ALICE, BOOKMARKS, ["other@muc.example.org"]]
            await bookmarks_again(host)
            made.services[SERVICE].publish("blog", "later", "<entry xmlns='http://www.w3.org/2005/Atom'/>")
            await host.until("ItemsChanged")
        while not [body for _, member, body in guest.client.signals if member == "ItemsChanged" and body[2] == "blog"]:
            await guest.call("Cache", "ListNodes", "a{sv}", {})
        assert BOOKMARKS not in json.dumps(guest.client.signals)
        assert BOOKMARKS not in json.dumps(await guest.call(OBJECT_MANAGER, "GetManagedObjects"))

    async def test_their_analysers_are_not_told_of(self, guest: Guest, bus_address: str) -> None:
        private = {"type": Variant("s", "note"), "node": Variant("s", "urn:x:society"), "private": Variant("b", True)}
        public = {"type": Variant("s", "note"), "node": Variant("s", "urn:x:open")}
        analysers = "im.pubsubcache1.Analysers"
        async with frontend(bus_address) as host:
            for name, definition in (("society", private), ("open", public)):
                await host.call("Register", "sa{sv}", name, definition, interface=analysers)
                assert await host.until("Registered") == [name]
            (rows,) = await guest.call("Analysers", "List")
            _, why = await guest.call("Analysers", "Match", "sssa{sv}", "", SERVICE, "blog", {})
            assert "open" in why
            assert "open" in [row["name"] for row in rows]
            objects = await guest.call(OBJECT_MANAGER, "GetManagedObjects")
            for name in ("society", "open"):
                await host.call("Unregister", "s", name, interface=analysers)
                assert await host.until("Unregistered") == [name]
        while not [body for _, member, body in guest.client.signals if member == "Unregistered" and body == ["open"]]:
            await guest.call("Analysers", "List")
        assert "society" not in json.dumps([rows, why, objects, guest.client.signals])

    async def test_an_analyser_that_becomes_private_is_gone(self, guest: Guest, bus_address: str) -> None:
        definition = {"type": Variant("s", "note"), "node": Variant("s", "urn:x:open")}
        async with frontend(bus_address) as host:
            for private in (False, True):
                definition["private"] = Variant("b", private)
                await host.call("Register", "sa{sv}", "open", definition, interface="im.pubsubcache1.Analysers")
            (rows,) = await guest.call("Analysers", "List")
        assert "open" not in [row["name"] for row in rows]
        told = [member for _, member, body in guest.client.signals if body == ["open"]]
        assert told == ["Registered", "Unregistered"]


async def bookmarks_again(host: Frontend) -> None:
    """A job about the bookmarks, whose message names them."""
    (job,) = await host.cache("Sync", "sssa{sv}", "", "", BOOKMARKS, {})
    assert BOOKMARKS in await host.finished(job)


@asynccontextmanager
async def unwatched(make_bus: Callable[..., PrivateBus]) -> AsyncIterator[tuple[Connection, Connection, Sample]]:
    """A service that can't be told when clients leave, and a client of it."""
    bus = make_bus(limits={"max_match_rules_per_connection": 0})
    connection, client, sample = await Connection.open(bus.address), await Connection.open(bus.address), Sample()
    tree = Tree(connection)
    tree.export(ROOT, sample)
    tree.open()
    yield connection, client, sample
    await client.close()
    await connection.close()


class TestIdentification:
    async def test_a_client_is_asked_about_once(
        self, sample: Sample, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = await make_client()
        answers = await asyncio.gather(*(client.call("Echo", "s", str(number)) for number in range(100)))
        assert [answer[0] for answer in answers] == [str(number) for number in range(100)]
        assert sample.calls == [str(number) for number in range(100)]

    async def test_a_client_is_known_no_longer_than_it_can_be_watched(
        self, make_bus: Callable[..., PrivateBus]
    ) -> None:
        """Nobody would tell that it has left."""
        async with unwatched(make_bus) as (connection, client, _):
            for text in ("one", "two"):
                assert await client.call(connection.unique_name, ROOT, SAMPLE, "Echo", "s", [text]) == [text]
                async with asyncio.timeout(10):
                    while connection.unsandboxed:
                        await asyncio.sleep(0.01)  # nobody is told of that

    async def test_calls_of_a_client_that_can_not_be_watched_keep_their_order(
        self, make_bus: Callable[..., PrivateBus]
    ) -> None:
        """They come while it is identified, again and again."""
        texts = [str(number) for number in range(STRANGERS)]
        async with unwatched(make_bus) as (connection, client, sample):
            calls = [client.call(connection.unique_name, ROOT, SAMPLE, "Echo", "s", [text]) for text in texts]
            assert await asyncio.gather(*calls) == [[text] for text in texts]
            assert sample.calls == texts

    @pytest.mark.parametrize("soon", [False, True])
    async def test_calls_of_a_client_that_has_too_much_to_read_keep_their_order(
        self,
        connection: Connection,
        tree: Tree,
        sample: Sample,
        client: Client,
        monkeypatch: pytest.MonkeyPatch,
        soon: bool,
    ) -> None:
        """Those that come while the first of them are let in, some at a time; it has read soon, or after that."""
        texts = [str(number) for number in range(3 * AT_ONCE)]
        calls = [client.message("Echo", "s", text) for text in texts]
        answers: list[Answer] = []
        monkeypatch.setattr(connection.flow, "_ask", lambda name, answer: answers.append(answer))
        dispatcher = tree._dispatcher
        for serial, call in enumerate(calls, 1):
            call.sender, call.serial = client.name, serial
        for call in calls[: 2 * AT_ONCE]:
            dispatcher.receive(call)
        connection.flow.sent(client.name, WINDOW)
        while not dispatcher._parked:
            await asyncio.sleep(0)
        for call in calls[2 * AT_ONCE :]:
            dispatcher.receive(call)
        assert dispatcher._strangers
        if soon:
            answers.pop()(0)
        while dispatcher._strangers:
            await asyncio.sleep(0)
        if not soon:
            answers.pop()(0)
        assert sample.calls == texts

    @pytest.mark.parametrize("application", [None, "org.example.Reader"])
    async def test_what_is_known_of_a_client_goes_with_it(
        self,
        connection: Connection,
        tree: Tree,
        client: Client,
        monkeypatch: pytest.MonkeyPatch,
        application: str | None,
    ) -> None:
        async def found(peer: Peer) -> str | None:
            return application

        monkeypatch.setattr(sandbox, "application", found)
        tree.open()
        await client.call("Ping", interface=PEER)
        clients, name = tree._dispatcher._clients, client.name
        assert clients.limited == ({name: application} if application else {})
        assert clients.trusted == (set() if application else {name})
        assert connection.flow.outstanding(name)
        client.bus.disconnect()
        async with asyncio.timeout(10):
            while clients.limited or clients.trusted or connection.flow.outstanding(name):
                await asyncio.sleep(0.01)  # nobody is told of that

    async def test_closing_answers_calls_of_a_client_that_is_not_known_yet(
        self, sample: Sample, tree: Tree, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = asyncio.Event()

        async def ask(peer: Peer) -> None:
            asked.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(sandbox, "application", ask)
        waiting = asyncio.create_task(client.error("Nothing"))
        await asked.wait()
        await tree.close(grace=60)
        assert (await waiting)[0] == "im.pubsubcache1.Error.Cancelled"
        assert sample.calls == []

    async def test_snaps_are_known_by_their_label(self) -> None:
        peer = Peer(os.getpid(), label="snap.reader.reader-app (enforce)")
        assert await sandbox.application(peer) == "snap.reader"

    @pytest.mark.parametrize("label", ["", "unconfined", "snap.editor.editor (complain)", "/usr/bin/x (enforce)"])
    async def test_other_labels_say_nothing(self, label: str) -> None:
        assert await sandbox.application(Peer(os.getpid(), label=label)) is None

    async def test_a_process_that_ended_is_not_known(self) -> None:
        ended = subprocess.Popen(["true"])
        ended.wait()
        assert await sandbox.application(Peer(ended.pid)) == sandbox.UNKNOWN

    async def test_a_number_that_went_to_another_process_is_not_known(self) -> None:
        ended = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        pidfd = os.pidfd_open(ended.pid)
        assert await sandbox.application(Peer(ended.pid, pidfd)) is None
        assert ended.stdin is not None
        ended.stdin.close()
        ended.wait()
        assert await sandbox.application(Peer(os.getpid(), pidfd)) == sandbox.UNKNOWN
        os.close(pidfd)


def types(signature: str) -> list[str]:
    """The complete types of a signature."""
    found: list[str] = []
    while signature:
        size = next(len(one) for one in sorted(EMPTY, key=len, reverse=True) if signature.startswith(one))
        found.append(signature[:size])
        signature = signature[size:]
    return found

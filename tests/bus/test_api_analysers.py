"""Analysers that clients register, on the bus: owners, persistence, and agents that parse or do worse."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from pubsub_cached.cache.parsing import agent as agents
from pubsub_cached.xmpp.fake import World
from tests.bus import api_service
from tests.bus.api_service import ANALYSERS, ERROR, SERVICE, Frontend, plain

ANALYSER = "im.pubsubcache1.Analyser"
AGENT = "im.pubsubcache1.AnalyserAgent"
TICKET = "<ticket xmlns='urn:example:ticket'><summary>{}</summary></ticket>"
FIELDS = json.dumps({"summary": {"path": "{urn:example:ticket}ticket/{urn:example:ticket}summary"}})


def path(name: str) -> str:
    return f"/im/pubsubcache1/analyser/{name}"


class AgentClient(Frontend):
    """A client with an agent: ``answers`` is what it does with each call, a message or nothing."""

    def serve(self, answer: Callable[[Message], str | Message | None]) -> None:
        """answer: the text, an own reply, or None for silence."""
        self.asked: list[list[str]] = []
        self.released: list[str] = []
        self.called = asyncio.Event()

        def handle(message: Message) -> bool | None:
            if message.message_type is not MessageType.METHOD_CALL or message.interface != AGENT:
                return None
            self.called.set()
            if message.member == "Release":
                self.released.append(message.body[0])
                return True
            self.asked.append(message.body)
            reply = answer(message)
            if isinstance(reply, str):
                reply = Message.new_method_return(message, "s", [reply])
            if reply is not None:
                self.bus.send(reply)
            return True

        self.bus.add_message_handler(handle)

    async def hear(self) -> None:
        """Hear the daemon's signals from now on; they come from its unique name."""
        self.service = (await self.raw("List", interface=ANALYSERS)).sender or ""
        await self.listen()

    async def register(self, name: str = "ticket", **keys: Variant) -> str:
        rules = {"type": Variant("s", "ticket"), "namespace": Variant("s", "urn:example:ticket"), **keys}
        given = {key.replace("_", "-"): value for key, value in rules.items()}
        (found,) = await self.call("Register", "sa{sv}", name, given, interface=ANALYSERS)
        return str(found)

    async def analyser(self, name: str = "ticket") -> dict[str, Any]:
        (found,) = await self.call("List", interface=ANALYSERS)
        return next((plain(each) for each in found if each["name"].value == name), {})

    async def is_(self, state: str, name: str = "ticket") -> None:
        """Return once the analyser has a state; "" for none."""
        async with asyncio.timeout(10):
            while (await self.analyser(name)).get("state", "") != state:
                await asyncio.sleep(0.01)  # a state that comes before the subscription is signalled to nobody

    async def live(self, node: str = "tickets") -> dict[str, Any]:
        """The node's record, once it is kept."""
        async with asyncio.timeout(10):
            while (record := await self.node(node))["state"] != "live":
                await asyncio.sleep(0.01)  # its signals may have come before
        return record

    async def data(self, count: int, node: str = "tickets") -> dict[str, Any]:
        """What was made of the items, once there is something of so many."""
        async with asyncio.timeout(10):
            while True:
                items, *_ = await self.items(node)
                made = {item["id"]: json.loads(item["data"]) for item in items if "data" in item}
                if len(made) >= count:
                    return made
                await asyncio.sleep(0.01)  # the signal of the last item may have come before


@pytest.fixture
def world() -> World:
    made = api_service.world()
    service = made.services[SERVICE]
    service.create_node("tickets")
    for number in range(3):
        service.publish("tickets", f"t{number}", TICKET.format(number))
    return made


Make = Callable[[], Awaitable[AgentClient]]


@pytest.fixture
async def clients(world: World, bus_address: str, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes clients of one daemon."""
    buses: list[MessageBus] = []

    async def make() -> AgentClient:
        bus = await MessageBus(bus_address).connect()
        # The library takes a full buffer for the end of the connection; this one holds the largest lie.
        bus._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 212_992)
        buses.append(bus)
        return AgentClient(bus, "im.pubsubcache1")

    async with api_service.daemon(world, bus_address, tmp_path), api_service.frontend(bus_address):
        yield make
        for bus in buses:
            if bus.connected:
                bus.disconnect()
                await bus.wait_for_disconnect()


def with_agent(*callbacks: str) -> dict[str, Variant]:
    return {
        "agent": Variant("o", "/agent"),
        "callbacks": Variant("as", list(callbacks or ("parse",))),
        "to_sync": Variant("b", True),
    }


async def test_a_node_without_analyser_is_matched_by_a_new_one_and_its_items_become_data(clients: Make) -> None:
    client = await clients()
    await client.items("tickets")
    assert (await client.node("tickets"))["state"] == "discovered"

    assert await client.register(fields=Variant("s", FIELDS), to_sync=Variant("b", True)) == path("ticket")

    node = await client.live()
    assert await client.data(3) == {"t0": {"summary": "0"}, "t1": {"summary": "1"}, "t2": {"summary": "2"}}
    assert (node["analyser"], node["type"]) == ("ticket", "ticket")
    assert (await client.analyser())["owner"] == client.bus.unique_name
    assert await client.get("Definition", ANALYSER, path("ticket"))
    assert path("ticket") in await client.objects()


async def test_a_registration_ends_with_its_owner_unless_it_persists(clients: Make) -> None:
    owner, other = await clients(), await clients()
    await owner.register("one")
    await owner.register("two", persist=Variant("b", True))
    owner.bus.disconnect()
    await other.is_("", "one")
    await other.is_("active", "two")
    assert (await other.analyser("two"))["owner"] == ""
    await other.call("Unregister", "s", "two", interface=ANALYSERS)
    assert await other.analyser("two") == {}


async def test_everybody_is_told_of_analysers_that_come_and_go(clients: Make) -> None:
    owner, other = await clients(), await clients()
    await other.hear()
    await owner.register("Ticket", fields=Variant("s", FIELDS))
    assert await other.until("Registered") == ["ticket"]
    assert path("ticket") in await other.objects()
    await owner.call("Unregister", "s", "TICKET", interface=ANALYSERS)
    assert await other.until("Unregistered") == ["ticket"]
    assert path("ticket") not in await other.objects()


async def test_an_index_that_an_analyser_asks_for_is_used_until_it_goes(clients: Make) -> None:
    client = await clients()
    await client.items("tickets")
    keys = {"fields": Variant("s", FIELDS), "to_sync": Variant("b", True), "indexes": Variant("as", ["summary"])}
    query = json.dumps({"where": [["summary", "=", "1"]]})

    async def uses_an_index() -> bool:
        (plan,) = await client.call("Explain", "ssa{sv}", "", query, {}, interface="im.pubsubcache1.Debug")
        return "ix_data_" in plan

    assert not await uses_an_index()
    await client.register(**keys)
    await client.live()  # the service's items are parsed for a reader before they are kept
    await client.data(3)
    async with asyncio.timeout(10):
        while not await uses_an_index():
            await asyncio.sleep(0.01)  # nothing tells when an index is there
    found, *_ = await client.cache("Search", "ssa{sv}", "", query, {})
    assert [item["id"].value for item in found] == ["t1"]
    await client.call("Unregister", "s", "ticket", interface=ANALYSERS)
    async with asyncio.timeout(10):
        while await uses_an_index():
            await asyncio.sleep(0.01)  # nor when it is gone


async def test_match_says_of_every_analyser_why(clients: Make) -> None:
    client = await clients()
    await client.register(priority=Variant("i", 5))
    name, why = await client.call("Match", "sssa{sv}", "", SERVICE, "tickets", {}, interface=ANALYSERS)
    assert name == "ticket"
    assert why["ticket"].value == "The payload's namespace is 'urn:example:ticket'."
    (listed,) = await client.call("List", interface=ANALYSERS)
    assert set(why) == {each["name"].value for each in listed}
    assert all(variant.value.endswith(".") for variant in why.values())
    name, why = await client.call("Match", "sssa{sv}", "", SERVICE, "nothing-like-it", {}, interface=ANALYSERS)
    assert name == ""
    assert "unknown, not 'urn:example:ticket'" in why["ticket"].value


async def test_names_belong_to_their_living_owner(clients: Make) -> None:
    owner, other = await clients(), await clients()
    await owner.register()
    await owner.register(priority=Variant("u", 7))
    assert (await owner.analyser())["priority"] == 7
    rules = {"type": Variant("s", "x"), "node": Variant("s", "x")}
    for name in ("ticket", "blog"):
        error, _ = await other.error("Register", "sa{sv}", name, rules, interface=ANALYSERS)
        assert error == ERROR + "Conflict"
        error, _ = await other.error("Unregister", "s", name, interface=ANALYSERS)
        assert error == ERROR + "NotOwner"
    assert (await other.error("Unregister", "s", "none", interface=ANALYSERS))[0] == ERROR + "NotRegistered"


async def test_a_definition_that_can_not_be_used_is_told_from_a_wrong_argument(clients: Make) -> None:
    client = await clients()
    unusable, wrong = ERROR + "InvalidAnalyser", "org.freedesktop.DBus.Error.InvalidArgs"
    for key, value, expected in (
        ("node", Variant("s", ""), unusable),
        ("kind", Variant("s", "heap"), unusable),
        ("version", Variant("u", 0), unusable),
        ("version", Variant("t", 2**32), wrong),
        ("kind", Variant("u", 1), wrong),
        ("colour", Variant("s", "red"), wrong),
    ):
        rules = {"type": Variant("s", "x"), "node": Variant("s", "x")} | {key: value}
        error, message = await client.error("Register", "sa{sv}", "y", rules, interface=ANALYSERS)
        assert (error, f"'{key}'" in message) == (expected, True), message


async def test_a_client_may_have_sixteen(clients: Make) -> None:
    client = await clients()
    for number in range(16):
        await client.register(f"t{number}")
    await client.register("t3")
    rules = {"type": Variant("s", "x"), "node": Variant("s", "x")}
    error, _ = await client.error("Register", "sa{sv}", "t16", rules, interface=ANALYSERS)
    assert error == ERROR + "LimitExceeded"


async def test_an_agent_parses_whole_items_after_they_were_stored(clients: Make) -> None:
    client = await clients()
    client.serve(lambda call: json.dumps({"id": call.body[3]}))
    await client.items("tickets")
    await client.register(**with_agent())
    assert await client.data(3) == {f"t{number}": {"id": f"t{number}"} for number in range(3)}
    account, service, node, id_, item = client.asked[0]
    assert (account, service, node) == (api_service.ALICE, SERVICE, "tickets")
    assert item.startswith("<item xmlns='http://jabber.org/protocol/pubsub'")
    assert f'id="{id_}"' in item
    assert "urn:example:ticket" in item
    # A synchronisation that finds the same content leaves what the agent made of it.
    (job,) = await client.cache("Sync", "sssa{sv}", "", SERVICE, "tickets", {})
    await client.finished(job)
    assert len(await client.data(3)) == 3
    assert len(client.asked) == 3


@pytest.mark.parametrize(("callback", "again"), [("parse", True), ("parse", False), ("match", False)])
async def test_calls_begin_after_the_reply(clients: Make, callback: str, again: bool) -> None:
    client = await clients()
    await client.items("tickets")
    seen: list[str] = []

    def answer(call: Message) -> str:
        seen.append("call")
        return "{}"

    client.serve(answer)
    keys = with_agent(callback) | {"persist": Variant("b", True)}
    if again:
        await client.register(**keys)
        await client.data(3)
        keys["version"] = Variant("u", 2)
    client.called.clear()
    seen.clear()
    client.bus.add_message_handler(lambda message: seen.append(message.message_type.name))
    await client.register(**keys)
    async with asyncio.timeout(10):
        await client.called.wait()
    assert seen.index("METHOD_RETURN") < seen.index("call")


@pytest.mark.parametrize(
    "lie",
    [
        lambda call: "not JSON",
        lambda call: "[1]",
        lambda call: "[" * 100_000,
        lambda call: json.dumps({"x": "y" * 263_000}),
        lambda call: Message.new_method_return(call, "u", [1]),
        lambda call: Message.new_method_return(call),
        lambda call: Message.new_method_return(call, "h", [1], [0]),
        lambda call: Message.new_error(call, "org.example.No", "no"),
    ],
)
async def test_what_is_no_document_is_an_error_of_the_item(clients: Make, lie: Callable[[Message], Any]) -> None:
    client = await clients()
    client.serve(lambda call: lie(call) if call.body[3] == "t1" else "{}")
    await client.items("tickets")
    await client.register(**with_agent())
    assert await client.data(2) == {"t0": {}, "t2": {}}
    items, *_ = await client.items("tickets", ids=Variant("as", ["t1"]))
    assert items[0]["errors"][0].startswith("The agent of 'ticket'")
    assert "payload" in items[0]
    assert (await client.analyser())["state"] == "active"


async def test_an_agent_that_answers_twice_is_heard_once(clients: Make) -> None:
    client = await clients()

    def twice(call: Message) -> str:
        client.bus.send(Message.new_method_return(call, "s", ['{"first": true}']))
        return '{"first": false}'

    client.serve(twice)
    await client.items("tickets")
    await client.register(**with_agent())
    assert await client.data(3) == {key: {"first": True} for key in ("t0", "t1", "t2")}


async def test_an_agent_that_hangs_is_suspended_and_resumed(clients: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await clients()
    silent = True
    client.serve(lambda call: None if silent else "{}")
    await client.hear()
    await client.items("tickets")
    with monkeypatch.context() as impatient:
        impatient.setattr(agents, "SECONDS", 0.1)
        await client.register(**with_agent())
        await client.is_("suspended")
    assert (await client.analyser())["pending"] == 3
    assert await client.get("Failures", ANALYSER, path("ticket")) == 3
    assert client.released == ["timeout"]
    assert len(await client.ids()) == 3
    told = [(await client.until("PropertiesChanged", path=path("ticket")))[1] for _ in range(3)]
    assert [plain(one) for one in told] == [{"Failures": 1}, {"Failures": 2}, {"State": "suspended", "Failures": 3}]
    silent = False
    await client.call("Resume", path=path("ticket"), interface=ANALYSER)
    assert len(await client.data(3)) == 3
    assert (await client.analyser())["state"] == "active"


async def test_items_wait_for_an_owner_that_died(clients: Make, world: World) -> None:
    owner, other = await clients(), await clients()
    owner.serve(lambda call: owner.bus.disconnect())  # type: ignore[func-returns-value]
    await owner.items("tickets")
    await owner.register(**with_agent(), persist=Variant("b", True))
    await other.is_("waiting")
    assert len((await other.items("tickets"))[0]) == 3
    other.serve(lambda call: "{}")
    await other.register(**with_agent())
    assert len(await other.data(3)) == 3


async def test_an_agent_decides_whether_a_node_is_kept(clients: Make) -> None:
    client = await clients()
    client.serve(lambda call: json.dumps({"subtype": "urgent", "to-sync": True}))
    await client.items("tickets")
    await client.register(**{**with_agent("match"), "to_sync": Variant("b", False)})
    assert (await client.live())["subtype"] == "urgent"
    items, *_ = await client.items("tickets")
    assert {(item["type"], item["subtype"]) for item in items} == {("ticket", "urgent")}
    assert json.loads(client.asked[0][3])["namespace"] == "urn:example:ticket"


@pytest.mark.parametrize("lie", ["[]", '{"type": ""}', '{"to-sync": "yes"}', json.dumps({"subtype": "x" * 1000})])
async def test_an_answer_about_a_node_that_can_not_be_used_keeps_nothing(clients: Make, lie: str) -> None:
    client = await clients()
    client.serve(lambda call: lie)
    await client.items("tickets")
    await client.register(**with_agent("match"))
    async with asyncio.timeout(10):
        await client.called.wait()
    # Whatever is said of a node that is read again is said after that.
    items, _, info = await client.items("tickets")
    assert (len(items), info["source"]) == (3, "network")
    node = await client.node("tickets")
    assert (node["state"], node["type"], node.get("subtype", "")) == ("discovered", "ticket", "")


async def test_a_higher_version_parses_again_without_the_network(clients: Make, world: World) -> None:
    client = await clients()
    await client.items("tickets")
    await client.register(fields=Variant("s", FIELDS), to_sync=Variant("b", True))
    await client.live()
    _, _, before = await client.items("tickets")
    other = FIELDS.replace('"summary"', '"title"', 1)
    await client.register(fields=Variant("s", other), to_sync=Variant("b", True), version=Variant("u", 2))
    async with asyncio.timeout(10):
        while (await client.data(3))["t0"] != {"title": "0"}:
            await asyncio.sleep(0.01)  # its signals may have come before
    _, _, after = await client.items("tickets")
    assert after["revision"] > before["revision"]
    changed, _, _, complete = await client.cache(
        "GetChanges", "sssta{sv}", "", SERVICE, "tickets", before["revision"], {}
    )
    assert (sorted(changed), complete) == (["t0", "t1", "t2"], True)


async def test_reanalyse_lets_go_of_what_nobody_keeps(clients: Make) -> None:
    client = await clients()
    await client.items("tickets")
    await client.register(fields=Variant("s", FIELDS), to_sync=Variant("b", True))
    await client.live()
    await client.call("Unregister", "s", "ticket", interface=ANALYSERS)
    assert (await client.node("tickets"))["state"] == "live"
    (job,) = await client.call("Reanalyse", "a{sv}", {"nodes": Variant("as", ["tickets"])}, interface=ANALYSERS)
    await client.finished(job)
    node = await client.node("tickets")
    assert (node["state"], node.get("analyser", ""), node["items"]) == ("discovered", "", 0)


async def test_persisted_analysers_survive_a_restart(world: World, bus_address: str, tmp_path: Path) -> None:
    for register in (True, False):
        async with api_service.daemon(world, bus_address, tmp_path):
            client = AgentClient(await MessageBus(bus_address).connect(), "im.pubsubcache1")
            if register:
                await client.items("tickets")
                await client.register(
                    fields=Variant("s", FIELDS), to_sync=Variant("b", True), persist=Variant("b", True)
                )
                await client.live()
            assert (await client.analyser())["to-sync"] is True
            assert len(await client.data(3)) == 3
            client.bus.disconnect()


async def test_reads_do_not_wait_for_an_agent_that_hangs(clients: Make) -> None:
    client, reader = await clients(), await clients()
    client.serve(lambda call: None)
    await client.register(**with_agent("match", "parse"))
    items, _, info = await reader.items("tickets", timeout=Variant("u", 5))
    assert (len(items), info["source"]) == (3, "network")
    async with asyncio.timeout(10):
        await client.called.wait()
    assert (await reader.node("tickets"))["state"] == "discovered"
    await reader.synchronised()
    assert len(await reader.ids()) == 3


async def test_an_item_that_was_not_answered_for_stays_pending_while_the_next_is_asked_for(
    clients: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await clients()
    unanswered: asyncio.Queue[str] = asyncio.Queue()

    def answer(call: Message) -> str | None:
        if call.body[3] in ("t0", "t1", "t2"):
            return "{}"
        unanswered.put_nowait(call.body[3])
        return None

    client.serve(answer)
    await client.items("tickets")
    await client.register(**with_agent())
    await client.data(3)
    monkeypatch.setattr(agents, "SECONDS", 0.5)
    for id_ in ("t3", "t4"):
        world.services[SERVICE].publish("tickets", id_, TICKET.format(3))
        if id_ == "t3":
            assert await unanswered.get() == "t3"
    async with asyncio.timeout(20):
        # The first may be asked about once more before.
        while await unanswered.get() != "t4":
            pass
    assert (await client.analyser())["pending"] >= 1


async def test_an_agent_without_its_object_is_suspended_with_the_reason(clients: Make) -> None:
    client = await clients()
    await client.items("tickets")
    await client.register(**with_agent())
    await client.is_("suspended")
    assert "/agent" in (await client.analyser())["reason"]
    assert (await client.analyser())["pending"] == 3

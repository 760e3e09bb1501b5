"""Agents that the bus starts: how they are found, lost and found again; without a bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Literal

import pytest

from pubsub_cached.address import Address
from pubsub_cached.analysers.agent import Reply
from pubsub_cached.analysers.definition import from_mapping
from pubsub_cached.analysers.item import ItemContext
from pubsub_cached.analysers.registry import Registry, Subject
from pubsub_cached.bus import RemoteError
from pubsub_cached.cache.options import PurgeFilter, ReanalyseFilter
from pubsub_cached.cache.parsing import agent as agents
from pubsub_cached.cache.parsing import agents as workers
from pubsub_cached.cache.parsing.agent import Agent
from pubsub_cached.cache.parsing.deferred import Unanswered
from pubsub_cached.cache.reanalysis import reanalysis
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, Cached, Make
from tests.support.keeping import keepers

SERVICE = "pubsub.example.org"
RULES = {"name": "x", "type": "x", "node": "n", "agent": "/a", "bus-name": "org.example.A", "callbacks": ["parse"]}
MATCHES = {"type": "old", "node": "n", "to-sync": True, "agent": "/a", "callbacks": ["match"]}
ITEM = ItemContext(Address("a@example.org", "a@example.org", "n"), "1", "<x/>")


class Bus:
    """Peers whose answers a test sets; ``asked`` is what they were asked for, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.starting = Reply("answered")
        self.calling = Reply("answered", "{}")
        # How often the bus takes no more rules.
        self.full = 0
        self.watched: list[str] = []
        self.following = 0
        self.tell: Callable[[bool], None]

    async def call(self, destination: str, path: str, member: str, body: Sequence[str], seconds: float) -> Reply:
        self.asked.append(f"{member} of {destination}")
        return self.calling

    def release(self, destination: str, path: str, reason: str) -> None:
        self.asked.append(f"Release of {destination}: {reason}")

    async def start(self, name: str, seconds: float) -> Reply:
        self.asked.append(f"start within {seconds:g} s")
        return self.starting

    async def gone(self, name: str, callback: Callable[[str], None]) -> None:
        await asyncio.sleep(0)
        self._take_rule()
        self.watched.append(name)

    async def follow(self, name: str, callback: Callable[[bool], None]) -> Callable[[], None]:
        self._take_rule()
        self.tell = callback
        self.following += 1
        return self._follow_no_more

    def _follow_no_more(self) -> None:
        self.following -= 1

    def _take_rule(self) -> None:
        if self.full:
            self.full -= 1
            raise RemoteError("org.freedesktop.DBus.Error.LimitsExceeded", "Too many match rules.")


class Made:
    """An agent on a scripted bus."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.registry = Registry()
        self.registry.register(from_mapping(RULES), "file")
        self.usable = asyncio.Event()
        self.agent = Agent("x", self.registry, self.bus, self.usable.set)

    @property
    def state(self) -> str:
        entry = self.registry.entry("x")
        assert entry is not None
        return entry.state

    async def parse(self) -> None:
        await self.agent.parse(ITEM, self.registry.parse("x", ITEM))


@pytest.fixture
async def made() -> Made:
    found = Made()
    await found.agent.watch()
    return found


async def test_whoever_registered_it_is_called_though_it_has_a_name_that_can_be_started(made: Made) -> None:
    made.registry.unregister("x")
    made.registry.register(from_mapping(RULES), "bus", ":1.1")
    made.agent = Agent("x", made.registry, made.bus, made.usable.set)
    await made.parse()
    assert made.bus.asked == ["Parse of :1.1"]


async def test_it_is_started_once_with_time_of_its_own(made: Made) -> None:
    await made.parse()
    await made.parse()
    assert made.bus.asked == ["start within 60 s", "Parse of org.example.A", "Parse of org.example.A"]


async def test_one_that_ended_by_itself_is_started_again(made: Made) -> None:
    await made.parse()
    made.bus.tell(False)
    await made.parse()
    assert made.bus.asked[2:] == ["start within 60 s", "Parse of org.example.A"]
    assert made.state == "active"


async def test_one_that_can_not_be_started_yet_is_tried_again(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    made.agent._patience = 0.01
    made.bus.starting = Reply("gone", "The name is not activatable")
    with pytest.raises(Unanswered):
        await made.parse()
    assert made.state == "waiting"
    made.bus.starting = Reply("answered")
    async with asyncio.timeout(10):
        await made.usable.wait()
    await made.parse()
    assert made.state == "active"
    assert made.agent._patience == agents.RETRY_FIRST


async def test_its_name_is_followed_once_and_no_longer_than_it_is_there(made: Made) -> None:
    await made.agent.watch()
    assert made.bus.following == 1
    made.agent.close()
    assert made.bus.following == 0
    late = Agent("x", made.registry, made.bus, made.usable.set)
    late.close()
    await late.watch()
    assert made.bus.following == 0


async def test_one_that_is_late_is_there_and_one_that_is_gone_is_started_again(made: Made) -> None:
    outcomes: tuple[Literal["late", "answered", "gone"], ...] = ("late", "answered", "gone")
    for outcome in outcomes:
        made.bus.calling = Reply(outcome, "{}")
        with nullcontext() if outcome == "answered" else pytest.raises(Unanswered):
            await made.parse()
    assert made.bus.asked.count("start within 60 s") == 1
    with pytest.raises(Unanswered):
        await made.parse()
    assert made.bus.asked[-2:] == ["start within 60 s", "Parse of org.example.A"]


async def test_one_that_is_suspended_is_not_called_for_taking_its_name(made: Made) -> None:
    made.bus.calling = Reply("gone")
    for _ in range(3):
        with pytest.raises(Unanswered):
            await made.parse()
    made.bus.tell(True)
    assert made.state == "suspended"


def test_an_item_without_publisher_names_none() -> None:
    assert "publisher" not in agents.whole(ITEM, ITEM.payload)


async def test_trying_again_takes_ever_longer_and_ends_with_the_agent(made: Made) -> None:
    made.bus.starting = Reply("gone")
    seen = []
    for _ in range(12):
        seen.append(made.agent._patience)
        with pytest.raises(Unanswered):
            await made.parse()
        made.agent.resume()
    assert seen[:3] == [10, 20, 40]
    assert made.agent._patience == agents.RETRY_LONGEST
    with pytest.raises(Unanswered):
        await made.parse()
    assert made.agent._retrying is not None
    made.agent.close()
    assert made.agent._retrying is None


async def test_whoever_takes_the_name_is_called_at_once(made: Made) -> None:
    made.bus.starting = Reply("gone")
    with pytest.raises(Unanswered):
        await made.parse()
    made.bus.tell(True)
    assert made.usable.is_set()
    await made.parse()
    assert made.bus.asked[-1] == "Parse of org.example.A"


async def test_three_that_die_at_once_suspend_it_and_nobody_is_told(made: Made) -> None:
    made.bus.calling = Reply("gone")
    for number in range(3):
        assert made.state == "active", number
        with pytest.raises(Unanswered):
            await made.parse()
    assert made.state == "suspended"
    assert not any(asked.startswith("Release") for asked in made.bus.asked)


async def test_three_that_are_late_suspend_it_and_it_is_told(made: Made) -> None:
    made.bus.calling = Reply("late")
    for _ in range(3):
        with pytest.raises(Unanswered):
            await made.parse()
    assert made.state == "suspended"
    assert made.bus.asked[-1] == "Release of org.example.A: timeout"


class Scripted(Bus):
    """Peers whose answers a test gives one by one, each by what is in ``waiting``."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: asyncio.Queue[asyncio.Future[Reply]] = asyncio.Queue()

    async def call(self, destination: str, path: str, member: str, body: Sequence[str], seconds: float) -> Reply:
        self.asked.append(f"{member} of {destination}")
        return await self._given()

    async def start(self, name: str, seconds: float) -> Reply:
        self.asked.append(f"start within {seconds:g} s")
        return await self._given() if self.starting.outcome == "gone" else self.starting

    async def _given(self) -> Reply:
        given: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.waiting.put_nowait(given)
        return await given


@pytest.fixture
def scripted(made: Made) -> Scripted:
    """The bus of an agent, which is not started yet."""
    bus = made.bus = made.agent._peers = Scripted()
    return bus


async def test_a_call_that_is_answered_after_it_was_suspended_leaves_it_suspended(
    made: Made, scripted: Scripted
) -> None:
    calls = [asyncio.create_task(made.parse()) for _ in range(4)]
    async with asyncio.timeout(20):
        given = [await scripted.waiting.get() for _ in calls]
        for number, each in enumerate(given):
            each.set_result(Reply("late" if number < 3 else "answered", "{}"))
        await asyncio.gather(*calls, return_exceptions=True)
    assert made.state == "suspended"


async def test_an_error_is_an_answer_too(made: Made) -> None:
    outcomes: tuple[Literal["late", "failed"], ...] = ("late", "late", "failed", "late", "late")
    for outcome in outcomes:
        made.bus.calling = Reply(outcome)
        with nullcontext() if outcome == "failed" else pytest.raises(Unanswered):
            await made.parse()
    assert made.state == "active"


async def test_one_that_lost_its_name_before_it_was_late_is_started_again(made: Made, scripted: Scripted) -> None:
    async with asyncio.timeout(20):
        call = asyncio.create_task(made.parse())
        given = await scripted.waiting.get()
        made.agent._followed(False)
        given.set_result(Reply("late"))
        with pytest.raises(Unanswered):
            await call
        again = asyncio.create_task(made.parse())
        (await scripted.waiting.get()).set_result(Reply("answered", "{}"))
        await again
    assert scripted.asked.count("start within 60 s") == 2


async def test_those_that_wait_while_it_can_not_be_started_do_not_start_it_again(
    made: Made, scripted: Scripted
) -> None:
    scripted.starting = Reply("gone")
    calls = [asyncio.create_task(made.parse()) for _ in range(4)]
    async with asyncio.timeout(20):
        (await scripted.waiting.get()).set_result(Reply("gone"))
        await asyncio.gather(*calls, return_exceptions=True)
    assert scripted.asked == ["start within 60 s"]
    made.agent.close()


@pytest.mark.parametrize("outcome", ["answered", "gone"])
async def test_one_that_is_unregistered_while_it_is_started_is_neither_called_nor_started_again(
    made: Made, scripted: Scripted, outcome: Literal["answered", "gone"]
) -> None:
    scripted.starting = Reply("gone")
    call = asyncio.create_task(made.parse())
    async with asyncio.timeout(20):
        given = await scripted.waiting.get()
        made.agent.close()
        given.set_result(Reply(outcome))
        with pytest.raises(Unanswered):
            await call
    assert scripted.asked == ["start within 60 s"]
    assert made.agent._retrying is None


@pytest.mark.parametrize("keys", [{"bus-name": ""}, {"owner": ":1.7"}])
async def test_no_name_is_followed_of_one_that_has_none_or_whose_owner_is_there(
    made: Made, keys: dict[str, str]
) -> None:
    rules = {**RULES, "name": "y", **keys}
    made.registry.register(from_mapping({k: v for k, v in rules.items() if k != "owner"}), "bus", keys.get("owner", ""))
    await Agent("y", made.registry, made.bus, made.usable.set).watch()
    assert made.bus.following == 1


async def test_what_it_gives_is_nested_no_deeper_than_every_database_can_read(made: Made) -> None:
    """One item that can't be read fails a search for everyone."""
    made.bus.calling = Reply("answered", '{"a":' * 129 + "1" + "}" * 129)
    parsed = await made.agent.parse(ITEM, made.registry.parse("x", ITEM))
    assert (parsed.data, parsed.deferred) == (None, False)
    assert parsed.errors == ("The document is nested deeper than 128.",)


@pytest.mark.parametrize("number", ["1" + "0" * 308, "1e309"])
async def test_what_it_gives_has_no_number_that_is_infinite_to_a_database(made: Made, number: str) -> None:
    """Items that have such ones can't be told apart, and are lost between the pages of a search."""
    made.bus.calling = Reply("answered", f'{{"a":{number}}}')
    parsed = await made.agent.parse(ITEM, made.registry.parse("x", ITEM))
    assert (parsed.data, parsed.deferred, len(parsed.errors)) == (None, False, 1)


async def test_where_the_bus_takes_no_rule_for_a_while_all_is_parsed_after_it(
    cached: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "AGAIN", 0)
    world = World()
    world.service(SERVICE).create_node("n")
    world.services[SERVICE].publish("n", "1", "<x xmlns='urn:x'/>")
    found = await cached(world)
    bus = found.house.agents._peers = Bus()
    bus.full = 2
    bus.calling = Reply("answered", '{"parsed": true}')
    parsed = asyncio.Event()
    found.house.changes.on_items.append(lambda *_: parsed.set())
    found.house.analysers.register(from_mapping({**RULES, "namespace": "urn:x", "to-sync": True}), "file")
    await found.keep(SERVICE, "n")
    async with asyncio.timeout(10):
        while "data" not in (items := (await found.read(SERVICE, "n"))[0])[0]:
            await parsed.wait()
            parsed.clear()
    assert json.loads(items[0]["data"]) == {"parsed": True}
    assert bus.full == 0
    bus.tell(True)


async def test_an_analyser_whose_owner_can_not_be_watched_is_not_registered(cached: Make) -> None:
    """Else it would stay for ever: nobody tells when its owner leaves the bus."""
    found = await cached(World())
    bus = found.house.analysing._peers = Bus()
    bus.full = 1
    keys = {"type": "x", "node": "n"}
    with pytest.raises(RemoteError, match="Too many match rules"):
        await found.house.analysing.register("mine", keys, ":1.7")
    assert found.house.analysers.get("mine") is None
    await found.house.analysing.register("mine", keys, ":1.7")
    assert bus.watched == [":1.7"]
    assert found.house.analysers.get("mine") is not None


async def test_of_several_that_are_registered_at_once_none_counts_whose_owner_can_not_be_watched(cached: Make) -> None:
    found = await cached(World())
    bus = found.house.analysing._peers = Bus()
    bus.full = 1
    registering = (found.house.analysing.register(name, {"type": "x", "node": name}, ":1.7") for name in ("a", "b"))
    told = await asyncio.gather(*registering, return_exceptions=True)
    assert [isinstance(each, RemoteError) for each in told] == [
        found.house.analysers.get(name) is None for name in ("a", "b")
    ]


class Slow(Bus):
    """Peers whose answers wait for ``answer``. called: what is asked for, as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.called: asyncio.Queue[str] = asyncio.Queue()
        self.answer = asyncio.Event()

    async def call(self, destination: str, path: str, member: str, body: Sequence[str], seconds: float) -> Reply:
        self.called.put_nowait(json.loads(body[-1])["type"])
        await self.answer.wait()
        return self.calling


async def asked(cached: Make) -> tuple[Cached, Slow]:
    """The agent of a node was asked about it, and has not answered."""
    world = World()
    world.service(SERVICE).create_node("n")
    found = await cached(world)
    bus = found.house.agents._peers = found.house.analysing._peers = Slow()
    await found.house.analysing.register("x", MATCHES, ":1.7")
    await found.read(SERVICE, "n")
    async with asyncio.timeout(20):
        assert await bus.called.get() == MATCHES["type"]
    return found, bus


async def test_an_agent_that_is_registered_again_before_it_has_answered_is_asked_as_what_it_is_now(
    cached: Make,
) -> None:
    found, bus = await asked(cached)
    async with asyncio.timeout(20):
        await found.house.analysing.register("x", {**MATCHES, "type": "new"}, ":1.7")
        await found.house.analysing.settled()
        bus.answer.set()
        assert await bus.called.get() == "new"


async def test_an_agent_that_answers_late_takes_a_node_from_no_analyser_that_has_been_given_it_since(
    cached: Make,
) -> None:
    found, bus = await asked(cached)
    bus.calling = Reply("answered", json.dumps({"type": "said"}))
    keys = {"type": "first", "node": "n", "priority": 1, "to-sync": True}
    await found.house.analysing.register("y", keys, ":1.8")
    await found.house.reanalysis.job(ReanalyseFilter()).wait()
    bus.answer.set()
    await found.house.reanalysis._asking.settled()
    node = await found.node(SERVICE, "n")
    assert (node["analyser"], node["type"]) == ("y", "first")


async def test_that_an_agent_was_to_be_asked_again_is_kept_no_longer_than_it_is_asked(cached: Make) -> None:
    found, bus = await asked(cached)
    address = Address(ALICE, SERVICE, "n")
    bus.calling = Reply("answered", json.dumps({"to-sync": True}))
    found.house.reanalysis.ask(address)
    bus.answer.set()
    await found.house.reanalysis._asking.settled()
    await found.house.removal.purge(PurgeFilter(nodes=("n",), forget=True)).wait()
    await found.idle()
    assert {*keepers(found.house, address)} <= {"Versions._counted"}


async def test_of_one_that_only_matches_no_item_waits_to_be_parsed(cached: Make) -> None:
    world = World()
    world.service(SERVICE).create_node("n")
    world.services[SERVICE].publish("n", "1", "<x xmlns='urn:x'/>")
    found = await cached(world)
    bus = found.house.agents._peers = found.house.analysing._peers = Bus()
    await found.house.analysing.register("x", MATCHES, ":1.7")
    await found.keep(SERVICE, "n")
    entry = found.house.analysers.entry("x")
    assert entry is not None
    # Whoever counts has done so by then.
    for _ in range(50):
        await found.store.read(lambda _: None)
    assert (entry.pending, entry.state) == (0, "active")
    assert not any(asked.startswith("Parse") for asked in bus.asked)


@pytest.mark.parametrize("table", ["node", "item"])
async def test_what_an_agent_says_while_the_database_fails_counts_once_it_is_back(
    cached: Make, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    failed = asyncio.Event()
    monkeypatch.setattr(reanalysis, "AGAIN", 0)
    monkeypatch.setattr(reanalysis.log, "warning", lambda *_: failed.set())
    world = World()
    world.service(SERVICE).create_node("n")
    world.services[SERVICE].publish("n", "1", "<x xmlns='urn:x'/>")
    found = await cached(world)
    bus = found.house.agents._peers = found.house.analysing._peers = Slow()
    bus.calling = Reply("answered", json.dumps({"to-sync": True}))
    bus.answer.set()
    await found.house.analysing.register("x", MATCHES, ":1.7")
    await found.keep(SERVICE, "n")
    told = asyncio.Event()
    found.house.changes.on_items.append(lambda *_: told.set())
    bus.answer.clear()
    bus.calling = Reply("answered", json.dumps({"type": "said"}))
    found.house.reanalysis.ask(Address(ALICE, SERVICE, "n"))
    await found.store.write(lambda tx: tx.connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO away"))
    bus.answer.set()
    async with asyncio.timeout(20):
        await failed.wait()
        await found.store.write(lambda tx: tx.connection.exec_driver_sql(f"ALTER TABLE away RENAME TO {table}"))
        while (await found.read(SERVICE, "n"))[0][0]["type"] != "said":
            await told.wait()
            told.clear()
    assert (await found.node(SERVICE, "n"))["type"] == "said"


@pytest.mark.parametrize("key", ["type", "subtype"])
async def test_an_agent_says_no_type_that_neither_the_bus_nor_every_database_takes(cached: Make, key: str) -> None:
    """One node that can't be told of fails a list of all."""
    world = World()
    world.service(SERVICE).create_node("n")
    found = await cached(world)
    bus = found.house.agents._peers = found.house.analysing._peers = Slow()
    bus.calling = Reply("answered", json.dumps({key: "a\0b", "to-sync": True}))
    keys = {"type": "x", "node": "n", "agent": "/a", "callbacks": ["match"]}
    await found.house.analysing.register("x", keys, ":1.7")
    bus.answer.set()
    await found.read(SERVICE, "n")
    async with asyncio.timeout(20):
        await bus.called.get()
    await found.house.reanalysis._asking.settled()
    node = await found.node(SERVICE, "n")
    assert (node["type"], node.get("subtype"), node["state"]) == ("x", None, "discovered")


class Leaving(Bus):
    """Peers of which one leaves the bus, and whose later calls are ``called`` and not answered."""

    def __init__(self) -> None:
        super().__init__()
        self.called = asyncio.Event()

    async def call(self, destination: str, path: str, member: str, body: Sequence[str], seconds: float) -> Reply:
        if self.calling.outcome == "gone":
            self.calling = Reply("late")
            return Reply("gone")
        if self.calling.outcome == "late":
            self.called.set()
            await asyncio.Event().wait()
        return self.calling


async def test_what_an_earlier_version_made_stays_where_the_owner_of_a_higher_one_leaves(cached: Make) -> None:
    world = World()
    world.service(SERVICE).create_node("n")
    world.services[SERVICE].publish("n", "1", "<x xmlns='urn:x'/>")
    found = await cached(world)
    house, told = found.house, asyncio.Event()
    bus = house.agents._peers = house.analysing._peers = Leaving()
    bus.calling = Reply("answered", '{"version":1}')
    house.changes.on_items.append(lambda *_: told.set())
    house.analysers.on_state.append(lambda _: told.set())
    keys = {"type": "x", "node": "n", "to-sync": True, "agent": "/a", "callbacks": ["parse"]}
    await house.analysing.register("x", keys, ":1.7")
    await found.keep(SERVICE, "n")
    async with asyncio.timeout(20):
        while "data" not in (await found.read(SERVICE, "n"))[0][0]:
            await told.wait()
            told.clear()
        bus.calling = Reply("gone")
        await house.analysing.register("x", {**keys, "version": 2}, ":1.7")
        while (entry := house.analysers.entry("x")) is None or entry.state != "waiting":
            await told.wait()
            told.clear()
        house.agents.resume("x")
        # It goes through the items again once it has gone through them before.
        await bus.called.wait()
    assert (await found.read(SERVICE, "n"))[0][0]["data"] == '{"version":1}'


async def test_whoever_waits_until_an_agent_may_be_called_has_no_answer_if_it_leaves_before(cached: Make) -> None:
    found = await cached(World())
    house = found.house
    bus = house.agents._peers = Bus()
    subject = Subject(Address(ALICE, SERVICE, "n"))
    with house.agents.held("x"):
        house.analysers.register(from_mapping({"name": "x", **MATCHES}), "bus", ":1.7")
        asking = asyncio.create_task(house.agents.match(subject, house.analysers.match(subject)))
        await asyncio.sleep(0)
        house.analysers.unregister("x")
        async with asyncio.timeout(20):
            assert await asking is None
    assert bus.asked == []

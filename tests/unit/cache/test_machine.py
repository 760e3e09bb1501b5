"""Whatever happens to a node and to the connections, a read never lies, and the cache converges.

A state machine over the fake: two accounts read one node, at a component or at a contact. Services publish, overwrite,
retract, evict, purge, delete, make again, change access and configuration, some of it without a word; connections
break, are resumed or not; the daemon is restarted; messages are forged or odd; clients read with every policy.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.options import PurgeFilter, SearchOptions
from pubsub_cached.cache.sync.rounds import SILENCE_MS
from pubsub_cached.records import InfoRecord, ItemRecord
from pubsub_cached.store.rows import NEWEST_FIRST, NodeRow, Order
from tests.support.cached import ALICE, Cached, answered
from tests.support.postgresql import PostgreSQL

from .stage import BOB, CAROL, FORGED, NODE, ODD, PAYLOAD_LIMIT, PAYLOADS, PROFILES, QUEUE, Stage

IDS = st.sampled_from("abcdef")
JIDS = st.sampled_from([ALICE, CAROL])
POLICIES = st.sampled_from(["default", "cache", "refresh", "network"])
# What services answer now and then, and what says nothing about the node.
TROUBLE = st.sampled_from(["internal-server-error", "resource-constraint", "remote-server-timeout", ""])
REFUSED = (errors.NoSuchNode, errors.Denied)
HIDDEN = "what a service refused to show is shown"

# Seconds after which something is taken to hang.
PATIENCE = 30.0

# Payloads by id; None where only the id is kept.
Contents = dict[str, str | None]

T = TypeVar("T")


class Reader:
    """What the clients of one account know.

    sure: seen at a quiet moment and not changed since, so that every answer that is not of a window has to hold it.
    replica: content by id, kept up by GetChanges alone. told: how many signals were looked at.
    """

    def __init__(self, jid: str) -> None:
        self.jid = jid
        self.connected = True
        self.sure: dict[str, str] = {}
        self.replica: dict[str, str] = {}
        self.revision = 0
        self.told = 0


class Coherence(RuleBasedStateMachine):
    """Two accounts, one node."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp())
        self.readers = {jid: Reader(jid) for jid in (ALICE, CAROL)}

    def database(self) -> str:
        """The URL of an empty database; "" for a file of its own."""
        return ""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(PATIENCE):
                return await work

        return self.runner.run(bounded())

    @initialize(
        profile=st.sampled_from(sorted(PROFILES)),
        place=st.sampled_from(["component", "contact"]),
        most=st.sampled_from([100, 100, 4]),
        window=st.sampled_from([500, 500, 3]),
        burst=st.booleans(),
        known=st.sampled_from(["nothing", "the node", "the service"]),
        heavy=st.booleans(),
        expire=st.sampled_from(["", "", "3600"]),
    )
    def begin(
        self, profile: str, place: str, most: int, window: int, burst: bool, known: str, heavy: bool, expire: str
    ) -> None:
        self.stage = Stage(PROFILES[profile], place, most, burst, heavy, expire)
        self.window = window
        self.cache = Cached(
            self.stage.world,
            self.directory,
            ALICE,
            CAROL,
            url=self.database(),
            items_per_node=window,
            payload_limit=PAYLOAD_LIMIT,
        )
        self.stage.world.clock = self.cache.clock
        self.run(self.cache.start())
        for id_ in "" if known == "nothing" else "abcdef" if heavy else "abc":
            self.publish(id_, "entry")
        for jid in () if known == "nothing" else self.readers:
            self.read(jid, "default")
            self.settle()
        for id_ in "ba" if known == "the service" else "":
            # Where an overwritten item goes, and what an archive holds, is seen as often as it has to be.
            self.publish(id_, "entry")
            self.settle()
            for jid in self.readers:
                self.converge(jid)

    def teardown(self) -> None:
        try:
            if hasattr(self, "cache"):
                self.run(self._end())
        finally:
            self.runner.close()
            shutil.rmtree(self.directory)

    async def _end(self) -> None:
        """However a history ends, it converges."""
        self.stage.service.up()
        for reader in self.readers.values():
            if not reader.connected:
                self.stage.world.restore(reader.jid)
                reader.connected = True
        try:
            for reader in self.readers.values():
                await self._converge(reader)
                await self._replay(reader)
        finally:
            await self.cache.stop()

    # What happens at the service

    @rule(id_=IDS, kind=st.sampled_from(["entry", "entry", "entry", *PAYLOADS]))
    def publish(self, id_: str, kind: str) -> None:
        if self.stage.exists:
            self.unsure(*self.stage.publish(id_, kind))

    @rule(id_=IDS, how=st.sampled_from(["notified", "silent", "expired"]))
    def remove(self, id_: str, how: str) -> None:
        if id_ in self.stage.truth():
            self.stage.remove(id_, how)
            self.unsure(id_)

    @rule(what=st.sampled_from(["purge", "delete"]))
    def empty(self, what: str) -> None:
        if not self.stage.exists:
            self.stage.create()
            return
        self.stage.purge() if what == "purge" else self.stage.delete()
        self.unsure()

    @precondition(lambda self: self.stage.exists)
    @rule(notify=st.booleans(), model=st.sampled_from(["open", "whitelist", "presence", "roster"]))
    def change_access(self, notify: bool, model: str) -> None:
        self.stage.configure(notify, access_model=model)
        self.unsure()

    @precondition(lambda self: self.stage.exists)
    @rule(
        notify=st.booleans(),
        settings=st.sampled_from(
            [
                {"title": "Other"},
                {"max_items": 4},
                {"item_expire": "600"},
                {"item_expire": "max"},
                {"node_type": "urn:xmpp:calendar-events:0"},
                {"node_type": "urn:x"},
            ]
        ),
    )
    def change_configuration(self, notify: bool, settings: dict[str, Any]) -> None:
        self.stage.configure(notify, **settings)
        self.unsure()

    @precondition(lambda self: self.stage.exists)
    @rule(jid=JIDS, affiliation=st.sampled_from(["none", "member", "outcast"]))
    def change_affiliation(self, jid: str, affiliation: str) -> None:
        self.stage.service.set_affiliation(NODE, jid, affiliation)
        self.stage.deafen()
        self.unsure()

    @rule(jid=JIDS, friends=st.booleans())
    def change_roster(self, jid: str, friends: bool) -> None:
        if self.stage.service.owner:
            change = self.stage.world.befriend if friends else self.stage.world.unfriend
            change(jid, BOB)
            self.stage.deafen()
            self.unsure()

    @precondition(lambda self: self.stage.exists)
    @rule(jid=JIDS, notify=st.booleans())
    def drop_subscription(self, jid: str, notify: bool) -> None:
        self.stage.service.drop_subscription(NODE, jid, notify=notify)
        if not notify:
            self.stage.deaf.add(jid)

    @rule(condition=TROUBLE, request=st.sampled_from(["get_items", "subscriptions", "disco_items", ""]))
    def fail(self, condition: str, request: str) -> None:
        if condition:
            self.stage.service.fail_next(condition, request=request)
        else:
            self.stage.service.ignore_next(request=request)

    @rule(up=st.booleans(), condition=st.sampled_from(["remote-server-timeout", None]))
    def change_service(self, up: bool, condition: str | None) -> None:
        if up or not self.stage.service.available:
            self.stage.service.up()
        else:
            # Its events are lost, and nobody is told.
            self.stage.service.down(condition)
            self.stage.deaf |= {ALICE, CAROL}
            self.stage.silent |= self.stage.truth().keys()

    # What happens to the connections and the daemon

    @rule(jid=JIDS, resumed=st.booleans())
    def toggle_connection(self, jid: str, resumed: bool) -> None:
        reader = self.readers[jid]
        if reader.connected:
            self.stage.world.cut(jid)
        elif resumed:
            self.stage.world.resume(jid)
        else:
            self.stage.world.restore(jid)
        reader.connected = not reader.connected

    @rule(jid=JIDS)
    def run_past_the_queue(self, jid: str) -> None:
        """More is missed than the server keeps: what looks like a resumption is a new session."""
        if self.readers[jid].connected and self.stage.exists:
            self.stage.world.cut(jid)
            for _ in range(QUEUE + 1):
                self.publish("a", "entry")
            self.stage.world.resume(jid)

    @rule()
    def restart(self) -> None:
        self.run(self.cache.restart())
        for reader in self.readers.values():
            reader.connected = True

    @rule(hours=st.sampled_from([0.0003, 0.03, 1.2, 7, 200]))
    def wait(self, hours: float) -> None:
        if expired := self.stage.age(partial(self.cache.clock.advance, hours=hours)):
            self.unsure(*expired)
        self.cache.house.revalidation.wake()

    @rule()
    def settle(self) -> None:
        self.run(self.cache.idle())

    # Messages

    @rule(jid=JIDS, message=st.sampled_from(sorted(FORGED)))
    def forged_message(self, jid: str, message: str) -> None:
        if self.readers[jid].connected:
            assert self.stage.message(jid, FORGED[message]) == 0

    @rule(jid=JIDS, message=st.sampled_from(sorted(ODD)))
    def odd_message(self, jid: str, message: str) -> None:
        if self.readers[jid].connected:
            self.stage.message(jid, ODD[message])

    # What clients do

    @rule(jid=JIDS, policy=POLICIES)
    def read(self, jid: str, policy: str) -> None:
        reader, readable, working = self.readers[jid], self.stage.readable(jid), self.stage.working
        asked, refused = self.fetches(jid), jid in self.stage.world.refused
        # A stream that broke or was made anew is so once the client hears of it.
        online = reader.connected and not self.stage.world.queued
        try:
            items, cursor, info = self.run(self.get(reader, policy))
        except REFUSED:
            # The answer may be old, but never made up.
            assert policy != "network" or not readable
        except errors.NotCached:
            assert policy == "cache"
        except errors.PubSubCachedError:
            # An unreachable service is remembered as such for a while.
            if policy == "cache" or (policy != "default" and working and online):
                raise
        else:
            # Access may have ended since with a subscription that the daemon itself gave up.
            assert readable or info["source"] == "cache"
            validated = policy == "refresh" and self.fetches(jid) > asked
            # A refusal that came while this was answered at once is the next one's.
            if info["source"] == "cache" and (refused or validated):
                assert jid not in self.stage.world.refused, HIDDEN
            self.check(reader, items, cursor, info, validated and info["freshness"] in ("live", "validated"))

    def fetches(self, jid: str) -> int:
        """How often items were asked for that tell what a node holds; the newest alone tells only where it is."""
        asked = [request for request in self.stage.world.requests if (request.jid, request.kind) == (jid, "get_items")]
        return sum(request.args["max_items"] != 1 or request.args["rsm"] is not None for request in asked)

    def check(self, reader: Reader, items: list[ItemRecord], cursor: str, info: InfoRecord, validated: bool) -> None:
        found = contents(items)
        note(f"{reader.jid} {info} {sorted(found)}")
        assert len(found) == len(items)
        for id_, content in found.items():
            assert content is None or content in self.stage.ever[id_], f"{id_} was never published so"
        if info["source"] == "network":
            assert reader.connected
            assert found == self.stage.truth()
            assert info["freshness"] == "validated"
            return
        # What was published since may have put others past the end of a window.
        seen = reader.sure.items() <= found.items()
        assert seen or info["completeness"] == "window", "something that was seen is missing"
        assert info.get("validated-at", 0) <= self.cache.clock.now
        assert cursor == "" or info["completeness"] == "window"
        if validated:
            assert found == self.expected(info, found)

    def expected(self, info: InfoRecord, found: Contents) -> Contents:
        """What the cache holds of the service's items: all, or the newest; of large ones the id alone.

        Where overwritten items keep their place, as many as a window holds are in it, but an event may have brought one
        that is older than the service's newest.
        """
        whole = self.stage.truth()
        kept = list(whole)
        if info["completeness"] == "window":
            if not self.stage.profile.moves:
                kept.sort(key=lambda id_: id_ in found)
            kept = kept[-self.window :]
        return {id_: whole[id_] if len(whole[id_]) <= PAYLOAD_LIMIT else None for id_ in kept}

    @rule(jid=JIDS)
    def settled_and_live(self, jid: str) -> None:
        """What is called live has every publish; only deletions may have been silent."""
        self.settle()
        reader = self.readers[jid]
        try:
            items, _, info = self.run(self.get(reader, "cache"))
        except errors.PubSubCachedError:
            return
        assert reader.jid not in self.stage.world.refused, HIDDEN
        self.in_time(self.run(self.cache.house.nodes.find(self.stage.address(jid))), items, info)
        if info["freshness"] != "live" or not self.stage.readable(jid) or jid in self.stage.deaf:
            return
        found = contents(items)
        expected = self.expected(info, found)
        gone, missing = found.keys() - expected.keys(), expected.keys() - found.keys()
        assert gone <= self.stage.silent
        # In a window they stand in the place of others.
        assert not missing or (info["completeness"] == "window" and len(missing) <= len(gone))
        assert all(found[id_] == content for id_, content in expected.items() if id_ in found)
        if info["completeness"] == "full" and jid not in self.stage.world.refused:
            reader.sure = {id_: content for id_, content in found.items() if id_ in expected and content is not None}

    def in_time(self, node: NodeRow | None, items: list[ItemRecord], info: InfoRecord) -> None:
        """What has to be gone by now is called right only where the service was asked since."""
        if node is None or node.item_expire is None or info["freshness"] not in ("live", "validated"):
            return
        assert info["freshness"] == "validated"
        for item in items:
            ends = item["modified"] + node.item_expire * 1000
            assert self.cache.clock.now < ends or info["validated-at"] >= ends, f"{item['id']} is served past its time"

    @rule(jid=JIDS)
    def be_silent(self, jid: str) -> None:
        """After a long silence the evidence was looked at: that nobody told of it is no excuse any more."""
        if self.readers[jid].connected and self.stage.service.available:
            self.stage.service.plan_nothing()
            self.settle()
            self.wait(SILENCE_MS / 3_600_000)
            self.settle()
            self.stage.deaf.discard(jid)
            self.settled_and_live(jid)

    @rule(
        jid=JIDS,
        limit=st.sampled_from([1, 2, 4]),
        descending=st.booleans(),
        meanwhile=st.sampled_from(["nothing", "nothing", "fetch", "restart"]),
    )
    def page(self, jid: str, limit: int, descending: bool, meanwhile: str) -> None:
        """Pages hold each item once, in one order, past the end of a window and while all is compared as well."""
        self.settle()
        reader = self.readers[jid]
        order = (("modified", descending),)
        there: set[str] = set()
        quiet, known = meanwhile == "nothing", False
        with suppress(errors.PubSubCachedError):
            items, _, info = self.run(self.get(reader, "cache"))
            # Of what was missed without a word anything may come to light.
            known = info["freshness"] == "live" and jid not in self.stage.deaf
            if known and info["completeness"] == "full" and self.stage.readable(jid):
                there = contents(items).keys() - self.stage.silent
        ids: list[str] = []
        cursor = ""
        try:
            while True:
                items, cursor, info = self.run(self.get(reader, "default", limit=limit, cursor=cursor, order=order))
                ids += [item["id"] for item in items]
                if not cursor:
                    break
                self.revalidate(jid, meanwhile)
                meanwhile = "nothing"
        except errors.PubSubCachedError:
            return
        note(f"{jid} {ids} of {there}")
        assert not (quiet or known) or len(set(ids)) == len(ids), ids
        assert set(ids) >= there, ids
        if descending and info["source"] == "network" and self.stage.working:
            assert set(ids) >= self.stage.truth().keys() - self.stage.silent

    def revalidate(self, jid: str, how: str) -> None:
        """Have all of the node compared, or what is stale after a restart."""
        if how == "restart":
            self.restart()
            self.settle()
        elif how == "fetch":
            self.run(self._fetch(self.stage.address(jid)))

    async def _fetch(self, address: Address) -> None:
        await self.cache.house.sync.job(address, full=True).wait()
        await self.cache.idle()

    @rule(jid=JIDS)
    def search(self, jid: str) -> None:
        """A search finds what a read without the network shows, and nothing else."""
        reader = self.readers[jid]
        # A refusal may come while it searches.
        refused = jid in self.stage.world.refused
        found = self.run(self._search(reader))
        assert all(content is None or content in self.stage.ever[id_] for id_, content in found.items())
        assert not (found and refused), "what a service refused to show is found"
        self.settle()
        try:
            items, *_ = self.run(self.get(reader, "cache"))
        except errors.PubSubCachedError:
            items = []
        assert self.run(self._search(reader)) == contents(items)

    async def _search(self, reader: Reader) -> dict[str, str | None]:
        query = json.dumps({"accounts": [reader.jid], "nodes": [NODE]})
        items, *_ = await answered(self.cache.house.searches.search("", query, SearchOptions(limit=500)))
        return contents(items)

    @rule(jid=JIDS)
    def replay(self, jid: str) -> None:
        """The difference between two revisions makes the later of the earlier, and signals told it."""
        self.run(self._replay(self.readers[jid]))

    async def _replay(self, reader: Reader) -> None:
        await self.cache.idle()
        told, reader.told = self.cache.told[reader.told :], len(self.cache.told)
        address = self.stage.address(reader.jid)
        try:
            items, _, info = await self.get(reader, "cache")
        except errors.PubSubCachedError:
            reader.replica, reader.revision = {}, 0
            return
        now = {item["id"]: item.get("payload", "") for item in items}
        changed, removed, revision, complete = await self.cache.house.node_reads.changes(address, reader.revision, 500)
        if complete:
            replica = {id_: content for id_, content in reader.replica.items() if id_ not in removed}
            assert replica | {id_: now[id_] for id_ in changed} == now
        assert set(removed) <= self.stage.gone, "told as removed, and never was"
        if complete and reader.revision:
            signalled: dict[str, str] = {}
            for signal in told:
                if len(signal) == 4 and signal[0] == address:
                    signalled |= dict.fromkeys(signal[1], "changed") | dict.fromkeys(signal[2], "removed")
            assert signalled == dict.fromkeys(changed, "changed") | dict.fromkeys(removed, "removed")
        assert revision == info["revision"]
        reader.replica, reader.revision = now, revision

    @rule(jid=JIDS, forget=st.booleans())
    def purge(self, jid: str, forget: bool) -> None:
        """Local removal is not deletion."""
        self.run(self._purge(PurgeFilter(accounts=(jid,), nodes=(NODE,), forget=forget)))
        self.readers[jid].sure = {}

    async def _purge(self, chosen: PurgeFilter) -> None:
        await self.cache.house.removal.purge(chosen).wait()

    @rule(jid=JIDS)
    def converge(self, jid: str) -> None:
        """After quiet and one validation the cache equals the service."""
        if self.readers[jid].connected and self.stage.service.available:
            self.run(self._converge(self.readers[jid]))

    async def _converge(self, reader: Reader) -> None:
        self.stage.service.plan_nothing()
        await self.cache.idle()
        readable = self.stage.readable(reader.jid)
        job = await self.cache.house.sync.start(self.stage.address(reader.jid), True, "", "")
        try:
            await job.wait()
        except errors.PubSubCachedError as error:
            if readable:
                raise
            try:
                await self.get(reader, "cache")
            except (*REFUSED, errors.NotCached):
                return
            raise AssertionError("a node that can't be read is still served") from error
        assert readable
        await self.cache.idle()
        items, _, info = await self.get(reader, "cache")
        found = contents(items)
        assert found == self.expected(info, found)
        count = len(self.stage.truth())
        assert info["completeness"] == ("full" if count <= self.window else "window") or info.get("total") == count
        self.stage.deaf.discard(reader.jid)

    # Helpers

    async def get(
        self, reader: Reader, policy: str, limit: int = 500, cursor: str = "", order: Order = NEWEST_FIRST
    ) -> tuple[list[ItemRecord], str, InfoRecord]:
        return await self.cache.read(
            self.stage.service.jid, NODE, account=reader.jid, policy=policy, limit=limit, cursor=cursor, order=order
        )

    def unsure(self, *ids: str) -> None:
        """These items, or all without any, are not what they were for those who have seen them."""
        for reader in self.readers.values():
            reader.sure = {id_: content for id_, content in reader.sure.items() if ids and id_ not in ids}

    @invariant()
    def nothing_failed_unheard(self) -> None:
        if hasattr(self, "cache"):
            assert not self.cache.failures()


def contents(items: list[ItemRecord]) -> Contents:
    """What was read."""
    return {item["id"]: item.get("payload") for item in items}


class CoherenceOnServer(Coherence):
    """The same over PostgreSQL."""

    server: ClassVar[PostgreSQL]
    name: ClassVar[str]

    def database(self) -> str:
        self.server.empty(self.name)
        return self.server.url(self.name)


@pytest.fixture(scope="module")
def on_server(postgresql: PostgreSQL, template: str) -> None:
    CoherenceOnServer.server, CoherenceOnServer.name = postgresql, postgresql.create(template)


CHECKS = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
Coherence.TestCase.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=CHECKS
)
LONG = settings(max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=CHECKS)
# Each has a name, and so examples, of its own; together they are a thousand.
PARTS = {number: type(f"Coherence{number}", (Coherence,), {}) for number in range(10)}
CoherenceOnServer.TestCase.settings = settings(
    max_examples=3, stateful_step_count=25, deadline=None, suppress_health_check=CHECKS
)
# What the ordinary run has no time for.
MoreOnServer = type("MoreOnServer", (CoherenceOnServer,), {})
MoreOnServer.TestCase.settings = settings(LONG, max_examples=60)
TestCoherence = pytest.mark.timeout(600)(Coherence.TestCase)
TestCoherenceOnServer = pytest.mark.timeout(600)(pytest.mark.usefixtures("on_server")(CoherenceOnServer.TestCase))


TestMoreCoherenceOnServer = pytest.mark.long(
    pytest.mark.timeout(900)(pytest.mark.usefixtures("on_server")(MoreOnServer.TestCase))
)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", PARTS)
def test_coherence_for_a_longer_time(part: int) -> None:
    run_state_machine_as_test(PARTS[part], settings=LONG)

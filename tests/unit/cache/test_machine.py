"""Whatever happens to a node and to the connection, a read never lies, and the cache converges.

A state machine over the fake: publishes, overwrites, retractions (silent or not), purges, deletion and
re-creation, access changes, disconnections, resumptions, restarts, odd events, reads of every policy.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.records import InfoRecord, ItemRecord
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Profile, Service, World
from pubsub_cached.xmpp.port import BounceEvent, Item, ItemsEvent
from tests.support.cached import ALICE, ENTRY, Cached

PUBSUB = "pubsub.example.net"
NODE = "urn:xmpp:microblog:0"
ADDRESS = Address(ALICE, PUBSUB, NODE)
IDS = st.sampled_from("abcdef")

T = TypeVar("T")


class Coherence(RuleBasedStateMachine):
    """One account, one blog of one service."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp())
        self.connected = True
        self.exists = True
        self.open = True
        self.serial = 0
        # Services drop subscriptions of a closed or deleted node in silence, and nothing tells a subscriber when it
        # is opened or made again: until the next validation nobody can know that publishes are missed.
        self.dropped_in_silence = False
        # What the client knows: content by id, kept up by GetChanges alone.
        self.replica: dict[str, str] = {}
        self.revision = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(profile=st.sampled_from([PROSODY, EJABBERD, LIBERVIA]), burst=st.booleans(), known=st.booleans())
    def begin(self, profile: Profile, burst: bool, known: bool) -> None:
        self.run(self._begin(profile, burst))
        for id_ in "abc" if known else "":
            self.publish(id_)
        if known:
            self.read("default")
            self.settle()

    async def _begin(self, profile: Profile, burst: bool) -> None:
        self.world = World(burst=burst)
        self.world.account(ALICE, pep=profile)
        self.service: Service = self.world.service(PUBSUB, profile=profile)
        self.service.create_node(NODE, max_items=100)
        self.cache = await Cached(self.world, self.directory).start()

    def teardown(self) -> None:
        try:
            if hasattr(self, "cache"):
                self.run(self._end())
        finally:
            self.runner.close()
            shutil.rmtree(self.directory)

    async def _end(self) -> None:
        """However a history ends, it converges."""
        if not self.connected:
            self.world.restore(ALICE)
        try:
            await self._converge()
            await self._replay()
        finally:
            await self.cache.stop()

    # What happens at the service

    @rule(id_=IDS)
    def publish(self, id_: str) -> None:
        if self.exists:
            self.serial += 1
            self.service.publish(NODE, id_, ENTRY.format(f"{id_}{self.serial}"))

    @precondition(lambda self: self.exists)
    @rule(id_=IDS, how=st.sampled_from(["notified", "silent", "expired"]))
    def remove(self, id_: str, how: str) -> None:
        if id_ not in self.truth():
            return
        if how == "expired":
            self.service.expire_items(NODE, id_)
        else:
            self.service.retract(NODE, id_, notify=how == "notified")

    @rule(what=st.sampled_from(["purge", "close", "open", "close", "open", "delete"]))
    def change_node(self, what: str) -> None:
        if not self.exists:
            self.service.create_node(NODE, max_items=100)
            self.exists = self.open = True
        elif what == "delete":
            self.service.delete(NODE)
            self.exists = False
            self.dropped_in_silence = True
        elif what == "purge":
            self.service.purge(NODE)
        else:
            self.open = what == "open"
            self.dropped_in_silence |= not self.open
            self.service.configure(NODE, access_model="open" if self.open else "whitelist")

    # What happens to the connection and the daemon

    @rule(resumed=st.booleans())
    def toggle_connection(self, resumed: bool) -> None:
        if self.connected:
            self.world.cut(ALICE)
        elif resumed:
            self.world.resume(ALICE)
        else:
            self.world.restore(ALICE)
        self.connected = not self.connected

    @rule()
    def restart(self) -> None:
        self.run(self._restart())
        self.connected = True

    async def _restart(self) -> None:
        await self.cache.stop()
        await self.cache.start()

    @rule(seconds=st.sampled_from([1, 100, 4000]))
    def wait(self, seconds: int) -> None:
        self.cache.clock.advance(seconds=seconds)

    @rule()
    def settle(self) -> None:
        self.run(self.cache.idle())

    @precondition(lambda self: self.connected)
    @rule(id_=st.sampled_from(["a", "never"]))
    def odd_events(self, id_: str) -> None:
        for event in (
            ItemsEvent(service=PUBSUB, node=NODE, items=(Item(id_),)),
            ItemsEvent(service=PUBSUB, node=NODE, retracted=("neverbefore",)),
            BounceEvent(service=PUBSUB, node="", condition="remote-server-timeout"),
        ):
            self.world.inject(ALICE, event)

    # What a client does

    @rule(policy=st.sampled_from(["default", "cache", "refresh", "network"]))
    def read(self, policy: str) -> None:
        try:
            items, cursor, info = self.run(self.cache.read(PUBSUB, NODE, policy=policy, limit=500))
        except (errors.NoSuchNode, errors.Denied):
            # The answer may be old, but never made up.
            assert policy != "network" or not (self.exists and self.open)
        except errors.NotCached:
            assert policy == "cache"
        except (errors.Offline, errors.Timeout):
            assert not self.connected or policy != "cache"
        else:
            assert cursor == ""
            self.check(items, info)

    def check(self, items: list[ItemRecord], info: InfoRecord) -> None:
        found = {item["id"]: item["payload"] for item in items}
        assert len(found) == len(items)
        if info["source"] == "network":
            assert found == self.truth()

    @rule()
    def settled_and_live(self) -> None:
        """What is called live has every publish; only deletions may have been silent."""
        self.settle()
        self.live()

    def live(self) -> None:
        try:
            items, _, info = self.run(self.cache.read(PUBSUB, NODE, policy="cache", limit=500))
        except errors.PubSubCachedError:
            return
        known = self.connected and self.exists and self.open and not self.dropped_in_silence
        if info["freshness"] == "live" and known:
            found = {item["id"]: item["payload"] for item in items}
            assert self.truth().items() <= found.items()

    @rule()
    def replay(self) -> None:
        """The difference between two revisions makes the later of the earlier."""
        self.run(self._replay())

    async def _replay(self) -> None:
        await self.cache.idle()
        try:
            items, _, info = await self.cache.read(PUBSUB, NODE, policy="cache", limit=500)
        except errors.PubSubCachedError:
            self.replica, self.revision = {}, 0
            return
        now = {item["id"]: item["payload"] for item in items}
        changed, removed, revision, complete = await self.cache.house.node_reads.changes(ADDRESS, self.revision, 500)
        if complete:
            for id_ in removed:
                self.replica.pop(id_, None)
            self.replica |= {id_: now[id_] for id_ in changed}
            assert self.replica == now
        assert revision == info["revision"]
        self.replica, self.revision = now, revision

    @precondition(lambda self: self.connected)
    @rule()
    def converge(self) -> None:
        """After quiet and one validation the cache equals the service."""
        self.run(self._converge())

    async def _converge(self) -> None:
        await self.cache.idle()
        job = await self.cache.house.sync.start(ADDRESS, True, "", "")
        try:
            await job.wait()
        except errors.PubSubCachedError as error:
            readable = self.exists and self.open
            if readable:
                raise
            try:
                await self.cache.read(PUBSUB, NODE, policy="cache")
            except (errors.NoSuchNode, errors.Denied, errors.NotCached):
                return
            raise AssertionError("a node that can't be read is still served") from error
        await self.cache.idle()
        items, _, info = await self.cache.read(PUBSUB, NODE, policy="cache", limit=500)
        assert {item["id"]: item["payload"] for item in items} == self.truth()
        assert info["completeness"] == "full"
        self.dropped_in_silence = False

    def truth(self) -> dict[str, str]:
        return {item.id: item.payload for item in self.service.items(NODE)}

    @invariant()
    def nothing_failed_unheard(self) -> None:
        if hasattr(self, "cache"):
            assert not self.cache.failures()


Coherence.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCoherence = Coherence.TestCase

"""Whatever happens to the cache, the owner of a view holds what a search finds.

A state machine over the fake: items come, change, move and leave, are evicted and purged; nodes are denied, gone,
removed and made anew, everything is reset; flags are set; analysers come, change and go; views are of many orders and
queries, of owners who do not see every node, are stopped, and have owners that do not read.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import from_mapping
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, World
from tests.support.cached import ALICE, Cached
from tests.support.viewed import Owner

SERVICES = ("pubsub.example.net", "pubsub.example.org")
NODES = ("urn:xmpp:microblog:0", "urn:xmpp:microblog:0:comments/1")
IDS = st.sampled_from("abcdefgh")
WHERE = st.tuples(st.sampled_from(SERVICES), st.sampled_from(NODES))
ENTRY = (
    "<entry xmlns='http://www.w3.org/2005/Atom'><id>tag:{0}</id><title>{1}</title>"
    "<published>2026-11-{2:02}T00:00:00Z</published><updated>2026-11-{2:02}T00:00:00Z</updated></entry>"
)
TITLES = ("red apple", "green apple", "red red pear", "plum", "an apple and a plum and an apple")

TITLE = {"title": {"path": "{http://www.w3.org/2005/Atom}entry/{http://www.w3.org/2005/Atom}title"}}
CLAIMS: dict[str, Any] = {"name": "claims", "type": "thing", "node": NODES[1], "to-sync": True, "priority": 1000}

# Text, query, order, size.
VIEWS: tuple[tuple[str, str, str, int], ...] = (
    ("", "", "", 3),
    ("", "", "modified asc", 2),
    ("", "", "created desc, id", 4),
    ("", "", "id", 5),
    ("", "", "data.published desc, id", 3),
    ("", "", "data.title[0].text, created", 2),
    ("", '{"flags":["-read"]}', "", 3),
    ("", '{"flags":["starred"]}', "id desc", 100),
    ("", '{"where":[["published",">=","2026-11-04"]]}', "data.published", 2),
    ("", '{"services":["pubsub.example.net"],"where":[{"not":["title[*].text","ilike","%apple%"]}]}', "", 3),
    ("", '{"nodes":["urn:xmpp:microblog:0"],"ids":["a","b","c"]}', "modified", 2),
    ("apple", "", "", 2),
    ("red -pear", "", "modified desc", 2),
    ("appl*", "", "rank asc, id", 3),
    ('"red red"', "", "id", 1),
    ("-apple", "", "created", 3),
)

T = TypeVar("T")


class Following(RuleBasedStateMachine):
    """One account, four nodes of two services, which keep six items each."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp())
        self.connected = True
        self.owners: list[Owner] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(self._in_time(work))

    @staticmethod
    async def _in_time(work: Coroutine[Any, Any, T]) -> T:
        async with asyncio.timeout(20):
            return await work

    @initialize(
        profile=st.sampled_from([PROSODY, EJABBERD]),
        chosen=st.lists(st.sampled_from(VIEWS), min_size=3, max_size=5, unique=True),
    )
    def begin(self, profile: Profile, chosen: list[tuple[str, str, str, int]]) -> None:
        self.run(self._begin(profile, chosen))

    async def _begin(self, profile: Profile, chosen: list[tuple[str, str, str, int]]) -> None:
        self.world = World(burst=True)
        self.world.account(ALICE, pep=profile)
        for service in SERVICES:
            self.world.service(service, profile=profile)
            for node in NODES:
                self.world.services[service].create_node(node, max_items=100)
                for number, id_ in enumerate("abcd"):
                    self.put(service, node, id_, number, number + 1)
        self.cache = await Cached(self.world, self.directory, items_per_node=6).start()
        self.cache.house.views.pause = 0.001
        # Few are counted here, however busy the machine is.
        self.cache.house.views.count_seconds = 30
        for service in SERVICES:
            for node in NODES:
                await self.cache.read(service, node)
        for number, (text, query, order, size) in enumerate(chosen):
            sandboxed = number % 2 == 1
            self.owners.append(await Owner.create(self.cache.house, text, query, order, size, sandboxed=sandboxed))
            await self.owners[-1].view.start()

    def teardown(self) -> None:
        try:
            if hasattr(self, "cache"):
                try:
                    self.compare()
                finally:
                    self.run(self.cache.stop())
        finally:
            self.runner.close()
            shutil.rmtree(self.directory)

    def put(self, service: str, node: str, id_: str, title: int, day: int) -> None:
        self.world.services[service].publish(node, id_, ENTRY.format(id_, TITLES[title], day))

    # At the services

    @rule(where=WHERE, id_=IDS, title=st.integers(0, len(TITLES) - 1), day=st.integers(1, 9))
    def publish(self, where: tuple[str, str], id_: str, title: int, day: int) -> None:
        if self.exists(where):
            self.put(*where, id_, title, day)

    @rule(where=WHERE, ids=st.lists(IDS, min_size=1, max_size=3, unique=True), notify=st.booleans())
    def retract(self, where: tuple[str, str], ids: list[str], notify: bool) -> None:
        service, node = where
        if self.exists(where):
            there = {item.id for item in self.world.services[service].items(node)}
            for id_ in there.intersection(ids):
                self.world.services[service].retract(node, id_, notify=notify)

    @rule(where=WHERE, what=st.sampled_from(["purge", "delete", "whitelist", "open", "whitelist"]))
    def change_node(self, where: tuple[str, str], what: str) -> None:
        name, node = where
        service = self.world.services[name]
        if not self.exists(where):
            service.create_node(node, max_items=100)
        elif what == "delete":
            service.delete(node)
        elif what == "purge":
            service.purge(node)
        else:
            service.configure(node, access_model=what)

    def exists(self, where: tuple[str, str]) -> bool:
        service, node = where
        return node in self.world.services[service].nodes

    @rule(resumed=st.booleans())
    def toggle_connection(self, resumed: bool) -> None:
        if self.connected:
            self.world.cut(ALICE)
        elif resumed:
            self.world.resume(ALICE)
        else:
            self.world.restore(ALICE)
        self.connected = not self.connected

    # In the cache

    @rule(
        where=WHERE,
        ids=st.lists(IDS, min_size=1, max_size=3),
        flag=st.sampled_from(["read", "starred"]),
        on=st.booleans(),
    )
    def set_flags(self, where: tuple[str, str], ids: list[str], flag: str, on: bool) -> None:
        reads = self.cache.house.node_reads
        self.run(reads.set_flags(Address(ALICE, *where), ids, [flag] if on else [], [] if on else [flag]))

    @precondition(lambda self: self.connected)
    @rule(where=WHERE, hours=st.integers(0, 3), forget=st.booleans())
    def purge(self, where: tuple[str, str], hours: int, forget: bool) -> None:
        before = self.cache.clock() + 3_600_000 * (1 - hours) if hours else None
        chosen = PurgeFilter(services=(where[0],), nodes=(where[1],), modified_before=before, forget=forget)
        self.run(self._purge(chosen))

    @rule(claims=st.sampled_from(["", "public", "private", "title"]))
    def claim(self, claims: str) -> None:
        """Another analyser has one of the nodes, or has it no more."""
        self.run(self._claim(claims))

    async def _claim(self, claims: str) -> None:
        analysers = self.cache.house.analysers
        if claims:
            rules = CLAIMS | {"private": claims == "private", "fields": TITLE if claims == "title" else {}}
            analysers.register(from_mapping(rules), "bus", ":1.9")
        elif analysers.get("claims") is not None:
            analysers.unregister("claims")

    @precondition(lambda self: self.connected)
    @rule()
    def reset(self) -> None:
        self.run(self._reset())

    async def _purge(self, chosen: PurgeFilter) -> None:
        await self.cache.house.removal.purge(chosen).wait()

    async def _reset(self) -> None:
        await self.cache.house.removal.reset().wait()

    @rule(hours=st.sampled_from([1, 200]))
    def wait(self, hours: int) -> None:
        self.cache.clock.advance(hours=hours)
        self.cache.house.revalidation.wake()

    @precondition(lambda self: self.connected)
    @rule(where=WHERE)
    def synchronise(self, where: tuple[str, str]) -> None:
        self.run(self._synchronise(*where))

    async def _synchronise(self, service: str, node: str) -> None:
        job = await self.cache.house.sync.start(Address(ALICE, service, node), True, "", "")
        try:
            await job.wait()
        except errors.PubSubCachedError:
            return

    # The owners

    @rule(number=st.integers(0, 4), reads=st.booleans())
    def pay_attention(self, number: int, reads: bool) -> None:
        owner = self.owners[number % len(self.owners)]
        if reads:
            owner.reads.set()
        else:
            owner.reads.clear()

    @rule(number=st.integers(0, 4))
    def toggle_view(self, number: int) -> None:
        view = self.owners[number % len(self.owners)].view
        if view.state == "stopped":
            self.run(view.start())
        else:
            view.stop()

    @rule(number=st.integers(0, 4), size=st.integers(1, 8))
    def change_size(self, number: int, size: int) -> None:
        self.owners[number % len(self.owners)].resize(size)

    @rule()
    def let_time_pass(self) -> None:
        self.run(self.cache.idle())

    @rule()
    def compare(self) -> None:
        """What a search finds is what is held."""
        self.run(self._compare())

    async def _compare(self) -> None:
        await self.cache.house.analysing.settled()
        await self.cache.idle()
        for owner in self.owners:
            if owner.view.state == "stopped":
                await owner.view.start()
            owner.reads.set()
            assert await owner.settled() == await owner.fresh(), owner.wanted
            assert await owner.view.total() == len(await owner.view.range(0, 500)), owner.wanted

    @invariant()
    def nothing_failed_unheard(self) -> None:
        if hasattr(self, "cache"):
            assert not self.cache.failures()


Following.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestFollowing = pytest.mark.timeout(600)(Following.TestCase)

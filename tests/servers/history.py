"""One history: what may happen to a node, to the connection and to the daemon, drawn from a seed.

Alice changes a node of the pubsub component, or of her own account, over a connection of her own; bob's cache, of which
she is a contact, follows through a proxy. At every quiet moment the cache is compared with the service.
"""

from __future__ import annotations

import asyncio
import random
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.clock import clock
from pubsub_cached.records import InfoRecord, ItemRecord
from tests.support.cached import ENTRY
from tests.support.ejabberd import Ejabberd
from tests.support.following import Following
from tests.support.prosody import Prosody
from tests.support.publisher import Publisher

IDS = "abcdef"
POLICIES = ("default", "cache", "refresh", "network")
# Seconds: for a read while the connection is disturbed; for anything to become quiet; for a whole history.
READ = 1.0
QUIET = 30.0
LIFETIME = 90.0
# Bytes that an item may weigh more.
WEIGHT = 6_000

Contents = dict[str, str]


class History:
    """A history of ``length`` steps; ``steps`` names those that were taken. pep: of a node of alice's account.

    Items of every other two seeds weigh so much that a few are too many for one look at them all.
    """

    def __init__(self, seed: int, server: Prosody | Ejabberd, alice: Publisher, cache: Following, *, pep: bool) -> None:
        self.chance = random.Random(f"{seed} {server.pubsub}")
        self.weight = WEIGHT if seed % 4 > 1 else 0
        self.alice, self.cache, self.proxy = alice, cache, cache.proxy
        self.service = alice.jid if pep else server.pubsub
        # ejabberd tells of no removal from an account's node (server-facts, Events).
        self.mute = pep and server.name == "ejabberd"
        # Whether an overwritten item comes last, else it keeps its place.
        self.by_publication = server.name == "prosody"
        self.node = f"urn:xmpp:microblog:0/{uuid4().hex}"
        self.address = Address(server.jid(cache.user), self.service, self.node)
        self.steps: list[str] = []
        self.serial = 0
        self.exists = self.open = False
        # Whether it was ever unreadable, so that an old refusal may be given.
        self.refused = False
        # Since the last validation: whether events may have ended silently, and what was removed silently.
        self.doubt = False
        self.silent: set[str] = set()
        self.ever: dict[str, set[str]] = {}
        self.published: Counter[str] = Counter()
        # What every answer of the cache must hold: seen at a quiet moment and not changed since.
        self.sure: Contents = {}
        self.replica: Contents = {}
        self.revision = 0
        self.told = 0

    async def run(self, length: int) -> None:
        """Live through it; AssertionError where the cache lies."""
        try:
            async with asyncio.timeout(LIFETIME):
                await self._live(length)
        except Exception as error:
            error.add_note("The history was: " + ", ".join(self.steps))
            raise

    async def _live(self, length: int) -> None:
        await self._create()
        for _ in range(self.chance.randrange(4)):
            await self._publish()
        await self._read("default")
        if self.chance.random() < 0.7:
            await self._quiet()
        for _ in range(length):
            await self._step()
        await self._converge()
        await self._replay()
        assert not self.cache.failures()

    async def _step(self) -> None:
        steps: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (8, self._publish),
            (3, self._burst),
            (4, self._retract),
            (1, self._purge),
            (1, self._delete) if self.exists else (6, self._create),
            (1 if self.open else 6, self._toggle_access),
            (4, self._disturb),
            (2, self._heal),
            (2, self._restart),
            (6, lambda: self._read(self.chance.choice(POLICIES))),
            (5, self._quiet),
            (2, self._replay),
            (2, self._converge),
        ]
        if not self.exists:
            steps[:4] = []
        [(_, step)] = self.chance.choices(steps, weights=[weight for weight, _ in steps])
        await step()

    def _say(self, step: str) -> None:
        self.steps.append(step)

    # What alice does

    async def _create(self) -> None:
        notify = self.chance.random() < 0.5
        self._say(f"create (notify_delete {notify})")
        settings = {"persist_items": True, "max_items": 100, "access_model": "open", "notify_delete": notify}
        await self.alice.create(self.service, self.node, settings)
        self.exists = self.open = True

    async def _publish(self) -> None:
        self.serial += 1
        id_ = self.chance.choice([*IDS, f"x{self.serial}-"])
        self._say(f"publish {id_}{self.serial}")
        padding = f"<summary>{'x' * self.weight}</summary></entry>"
        payload = ENTRY.format(f"{id_}{self.serial}").replace("</entry>", padding)
        self.sure.pop(id_, None)
        self.published[id_] += 1
        self.ever.setdefault(id_, set()).add(canonical(payload))
        await self.alice.publish(self.service, self.node, id_, payload)
        self.silent.discard(id_)

    async def _burst(self) -> None:
        for _ in range(self.chance.randint(3, 8)):
            await self._publish()

    async def _retract(self) -> None:
        there = sorted(await self._truth())
        if there:
            id_, notify = self.chance.choice(there), self.chance.random() < 0.5
            self._say(f"retract {id_} (notify {notify})")
            self.sure.pop(id_, None)
            await self.alice.retract(self.service, self.node, id_, notify=notify)
            if self.mute or not notify:
                self.silent.add(id_)

    async def _purge(self) -> None:
        self._say("purge")
        if self.mute:
            self.silent |= (await self._truth()).keys()
        self.sure.clear()
        await self.alice.purge(self.service, self.node)

    async def _delete(self) -> None:
        self._say("delete")
        self.sure.clear()
        await self.alice.delete(self.service, self.node)
        self.exists, self.doubt, self.refused = False, True, True

    async def _toggle_access(self) -> None:
        if not self.exists:
            return
        model = "whitelist" if self.open else "open"
        self._say(model)
        self.sure.clear()
        await self.alice.configure(self.service, self.node, {"access_model": model})
        self.open = not self.open
        self.doubt = self.refused = True

    # What happens to the connection and to the daemon

    async def _disturb(self) -> None:
        what = self.chance.choice(["cut", "refuse", "silent", "deaf", "hold", "delay"])
        self._say(what)
        match what:
            case "cut":
                self.proxy.cut()
            case "refuse":
                self.proxy.refusing = True
                self.proxy.cut()
            case "silent":
                self.proxy.silent = True
            case "deaf":
                self.proxy.deaf = True
            case "hold":
                self.proxy.hold()
            case "delay":
                self.proxy.hold()
                await self._publish() if self.exists else await self._create()
                self.proxy.heal()

    async def _heal(self) -> None:
        self._say("heal")
        self.proxy.heal()

    async def _restart(self) -> None:
        how = self.chance.choice(["restart", "crash", "restart offline"])
        self._say(how)
        if how != "restart":
            # The server does not hear that the stream has ended.
            self.proxy.refusing = True
            self.proxy.cut()
        await self.cache.stop()
        if how == "crash":
            self.proxy.heal()
        await self.cache.start(online=False)
        await self.cache.house.connect()

    # What a client of the cache sees

    async def _read(self, policy: str) -> None:
        self._say(f"read ({policy})")
        disturbed, began = self.proxy.disturbed, clock()
        try:
            items, cursor, info = await self._get(policy, READ if disturbed else 10.0)
        except (errors.NoSuchNode, errors.Denied):
            # It may be an old answer, but never one that was made up.
            if not self.refused or (policy == "network" and self.exists and self.open):
                raise
            return
        except errors.NotCached:
            if policy != "cache":
                raise
            return
        except (errors.Offline, errors.Timeout):
            if policy == "cache":
                raise
            return
        found = contents(items)
        assert cursor == "" or info["completeness"] == "window"
        assert len(found) == len(items)
        for id_, content in found.items():
            assert content in self.ever.get(id_, ()), f"{id_} was never published so"
        if info["source"] == "network" or (policy == "refresh" and info.get("validated-at", 0) > began):
            assert found == await self._truth()
        else:
            assert self.sure.items() <= found.items(), "something that was seen is missing"

    async def _quiet(self) -> None:
        """The cache follows by itself: it has every publish; only silent deletions may be missed."""
        await self._calm()
        self._say("quiet")
        truth = await self._truth()
        try:
            items, _, info = await self._get("cache", READ)
        except (errors.NoSuchNode, errors.Denied, errors.NotCached):
            return
        found = contents(items)
        if self.exists and self.open and not self.doubt:
            assert info["freshness"] == "live", "not validated by itself"
            assert truth.items() <= found.items(), "called live, but a publish is missing"
            assert found.keys() - truth.keys() <= self.silent, "called live, but a removal that was told is missing"
            self.sure = truth

    async def _converge(self) -> None:
        """After quiet and one validation the cache equals the service."""
        await self._calm()
        self._say("validate")
        truth = await self._truth()
        problem = await self._validate()
        if problem is not None:
            assert not (self.exists and self.open), problem
            try:
                items, *_ = await self._get("cache", READ)
            except (errors.NoSuchNode, errors.Denied, errors.NotCached):
                return
            raise AssertionError(f"{len(items)} items of a node that can't be read are still served") from problem
        assert self.exists, "a node that does not exist was validated"
        await self.cache.idle()
        items, _, info = await self._get("cache", READ, order=(("modified", False),))
        assert contents(items) == truth
        assert info["completeness"] == "full"
        if self.by_publication:
            assert [item["id"] for item in items] == [*truth]
        if max(self.published.values(), default=0) == 1:
            # Of an item that was overwritten or made again nobody shows when it was new.
            items, *_ = await self._get("cache", READ, order=(("created", False),))
            assert [item["id"] for item in items] == [*truth]
        self.doubt, self.sure = False, truth
        self.silent.clear()

    async def _validate(self) -> errors.PubSubCachedError | None:
        """One validation; what the service says against it."""
        while True:
            job = await self.cache.house.sync.start(self.address, True, "", "")
            try:
                await job.wait()
            except (errors.Offline, errors.Timeout):
                # A machine under load may have lost the connection once more.
                await self._calm()
            except errors.PubSubCachedError as problem:
                return problem
            else:
                return None

    async def _replay(self) -> None:
        """The difference between two revisions makes the later of the earlier, and signals told it."""
        await self._calm()
        self._say("replay")
        told, self.told = self.cache.told[self.told :], len(self.cache.told)
        try:
            items, _, info = await self._get("cache", READ)
        except (errors.NoSuchNode, errors.Denied, errors.NotCached):
            self.replica, self.revision = {}, 0
            return
        now = contents(items)
        changes = self.cache.house.node_reads.changes
        changed, removed, revision, complete = await changes(self.address, self.revision, 500)
        if complete and self.revision:
            signalled = {id_ for signal in told if len(signal) == 4 for id_ in (*signal[1], *signal[2])}
            assert {*changed, *removed} <= signalled
        if complete:
            replica = {id_: content for id_, content in self.replica.items() if id_ not in removed}
            self.replica = replica | {id_: now[id_] for id_ in changed}
            assert self.replica == now
        assert revision == info["revision"]
        self.replica, self.revision = now, revision

    async def _calm(self) -> None:
        """The network is well, the session is up, and nothing is under way."""
        self.proxy.heal()
        async with asyncio.timeout(QUIET):
            await self.cache.idle()

    async def _get(self, policy: str, timeout: float, **options: Any) -> tuple[list[ItemRecord], str, InfoRecord]:
        return await self.cache.read(
            self.service, self.node, account=self.address.account, policy=policy, limit=500, timeout=timeout, **options
        )

    async def _truth(self) -> Contents:
        """What the service holds, in its order."""
        found = await self.alice.items(self.service, self.node) if self.exists else {}
        return {id_: canonical(payload) for id_, payload in found.items()}


def contents(items: list[ItemRecord]) -> Contents:
    """Content by id."""
    return {item["id"]: canonical(item["payload"]) for item in items}


def canonical(payload: str) -> str:
    """XML in a form that does not depend on who wrote it."""
    return ET.canonicalize(payload, rewrite_prefixes=True)

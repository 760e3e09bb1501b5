"""A fetch of several replies: the service is asked for the next ones while the last is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import from_mapping
from pubsub_cached.cache.jobs import Job
from pubsub_cached.cache.sync.batches import BATCHES_AT_ONCE, REPLY_SECONDS
from pubsub_cached.cache.sync.fetch import fetch
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Client, Profile, Service, World
from pubsub_cached.xmpp.port import Item
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import PUBSUB

ADDRESS = Address(ALICE, PUBSUB, "blog")
# So heavy that a reply of a component carries ten, and all of them fit into one of ours.
WEIGHT = 20_000
A_REPLY = 10
COUNT = 40
HEAVY = f"<entry xmlns='http://www.w3.org/2005/Atom'><id>{{0}}</id><summary>{'x' * WEIGHT}</summary></entry>"


class Fetching:
    """Alice fetches 40 heavy items of a component, and notes how far each reply was worked on when."""

    def __init__(self, profile: Profile) -> None:
        self.world = World()
        self.world.account(ALICE)
        self.service = filled(self.world, profile)
        # Of each reply that was worked on: its ids, and how many were asked for by then.
        self.given: list[tuple[list[str], int]] = []
        self.done: list[int] = []

    async def start(self) -> asyncio.Task[list[str]]:
        session = await Client(self.world, ALICE).start()

        async def all() -> list[str]:
            fetched = await fetch(session, ADDRESS, None, lambda done, total: self.done.append(done), None, self.take)
            return [item.id for item in fetched.items]

        return asyncio.create_task(all())

    async def take(self, items: Sequence[Item]) -> None:
        self.given.append(([item.id for item in items], self.asked))

    @property
    def asked(self) -> int:
        """How many replies of several items were asked for."""
        return len(asked(self.world))

    def newest(self, count: int) -> list[str]:
        return [item.id for item in self.service.items("blog")][-count:]


def asked(world: World) -> list[dict[str, object]]:
    """The requests for batches and for pages of more than one."""
    found = [request.args for request in world.requests if request.kind == "get_items"]
    return [args for args in found if args["ids"] or (args["rsm"] and args["max_items"] is None)]


def filled(world: World, profile: Profile, payload: str = HEAVY, count: int = COUNT) -> Service:
    service = world.service(PUBSUB, profile=profile)
    service.create_node("blog", max_items=10_000, node_type="urn:xmpp:microblog:0")
    for number in range(count):
        service.publish("blog", f"i{number:02}", payload.format(number))
    return service


async def until_batches(world: World, service: Service, count: int) -> None:
    """Let requests through one by one until so many batches are being held, and nothing else."""
    service.hold()
    while True:
        await service.holding(1)
        await world.settle()
        if len([request for request in service.held if request.args.get("ids")]) == count:
            return
        service.release(1)


async def test_the_next_batches_are_under_way_while_one_is_worked_on() -> None:
    fetching = Fetching(PROSODY)
    assert await (await fetching.start()) == fetching.newest(COUNT)
    first = fetching.given[0]
    # The first reply bears the size out, and two more are asked for before it is worked on.
    assert first == (fetching.newest(A_REPLY), 1 + BATCHES_AT_ONCE)
    numbers = [number for _, number in fetching.given]
    assert numbers == [min(place + BATCHES_AT_ONCE, fetching.asked) for place in range(1, len(numbers) + 1)]
    assert fetching.done[-1] == COUNT


@pytest.mark.parametrize("profile", [EJABBERD, LIBERVIA], ids=["ejabberd", "libervia"])
async def test_the_next_page_is_under_way_while_one_is_worked_on(profile: Profile) -> None:
    fetching = Fetching(profile)
    assert await (await fetching.start()) == fetching.newest(COUNT)
    assert fetching.given[0] == (fetching.newest(A_REPLY), 2)
    assert [number for _, number in fetching.given] == [*range(2, fetching.asked + 1)]


async def test_until_a_size_is_borne_out_one_batch_is_under_way_and_never_more_than_two() -> None:
    fetching = Fetching(PROSODY)
    fetched = await fetching.start()
    await until_batches(fetching.world, fetching.service, 1)
    await fetching.world.settle()
    assert len(fetching.service.held) == 1
    while fetching.asked < COUNT // A_REPLY:
        fetching.service.release(1)
        await fetching.world.settle()
        assert len(fetching.service.held) == BATCHES_AT_ONCE
    fetching.service.release()
    assert await fetched == fetching.newest(COUNT)


async def test_a_batch_that_waits_for_its_turn_has_the_time_of_both() -> None:
    fetching = Fetching(PROSODY)
    session = await Client(fetching.world, ALICE).start()
    get_items, timeouts = session.get_items, []

    async def timed(*arguments: object, ids: Sequence[str] = (), timeout: float = 60.0, **options: object) -> object:
        if ids:
            timeouts.append(timeout)
        return await get_items(*arguments, ids=ids, timeout=timeout, **options)  # type: ignore[arg-type]

    session.get_items = timed  # type: ignore[method-assign, assignment]
    await fetch(session, ADDRESS, None, lambda done, total: None)
    # The second is asked for when nothing else is under way.
    assert timeouts[:2] == [REPLY_SECONDS, REPLY_SECONDS]
    assert set(timeouts[2:]) == {REPLY_SECONDS * BATCHES_AT_ONCE}


async def test_a_size_that_is_not_answered_with_another_under_way_is_not_asked_for_again() -> None:
    world = World()
    world.account(ALICE)
    service = filled(world, PROSODY, ENTRY, 30)
    for payload, name, count in ((HEAVY, "heavy", 20), (ENTRY, "new", 30)):
        for number in range(count):
            service.publish("blog", f"{name}{number}", payload.format(number))
    service.reply_limit = 3 * WEIGHT
    session = await Client(world, ALICE).start()
    fetched = await fetch(session, ADDRESS, None, lambda done, total: None)
    assert fetched.items == tuple(service.items("blog"))
    sizes = [len(args["ids"]) for args in asked(world)]  # type: ignore[arg-type]
    # A batch of light ones is carried; of the next two, the first is not answered and the other given up.
    assert sizes[:4] == [20, 20, 20, 5]
    assert max(sizes[4:]) <= 5


async def test_a_batch_that_is_refused_ends_the_one_that_is_under_way() -> None:
    fetching = Fetching(PROSODY)
    fetched = await fetching.start()
    await until_batches(fetching.world, fetching.service, 2)
    fetching.service.fail_next("forbidden")
    fetching.service.release(1)
    with pytest.raises(errors.StanzaError):
        await fetched
    assert asyncio.all_tasks() == {asyncio.current_task()}
    fetching.service.release()
    await fetching.world.settle()


async def test_a_fetch_that_is_cancelled_waits_for_nothing_that_is_under_way() -> None:
    fetching = Fetching(PROSODY)
    fetched = await fetching.start()
    await until_batches(fetching.world, fetching.service, 2)
    fetched.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetched
    assert asyncio.all_tasks() == {asyncio.current_task()}
    fetching.service.release()
    await fetching.world.settle()


@pytest.mark.parametrize("missing_fails", [False, True], ids=["missing left out", "missing refused"])
@pytest.mark.parametrize("known", [False, True], ids=["first", "later"])
async def test_what_an_event_says_between_two_batches_counts(cached: Make, known: bool, missing_fails: bool) -> None:
    world = World()
    service = filled(world, msgspec.structs.replace(PROSODY, missing_fails=missing_fails))
    cache: Cached = await cached(world)
    if known:
        await cache.house.sync.job(ADDRESS, pin=True).wait()
    job = cache.house.sync.job(ADDRESS, pin=True, full=True)
    await until_batches(world, service, 2)
    # One that has come, one that is under way, one that is yet to be asked for, and a new one.
    for id_ in ("i39", "i25", "i01", "new"):
        service.publish("blog", id_, ENTRY.format("changed " + id_))
    service.retract("blog", "i38", notify=True)
    service.retract("blog", "i00", notify=True)
    await world.settle()
    service.release()
    await job.wait()
    await cache.idle()
    assert await kept(cache) == {item.id: item.payload for item in service.items("blog")}


async def fetching_again(cached: Make) -> tuple[Cached, Service, Job]:
    """A cache that has fetched all items before one was published in silence, and two batches under way."""
    world = World()
    service = filled(world, PROSODY)
    cache: Cached = await cached(world)
    await cache.house.sync.job(ADDRESS, pin=True).wait()
    service.publish("blog", "missed", HEAVY.format("missed"), notify=False)
    job = cache.house.sync.job(ADDRESS, full=True)
    await until_batches(world, service, 2)
    return cache, service, job


async def test_a_batch_that_fails_with_another_under_way_leaves_what_was_there(cached: Make) -> None:
    cache, service, job = await fetching_again(cached)
    before = await kept(cache)
    service.fail_next("internal-server-error")
    service.release(1)
    with pytest.raises(errors.PubSubCachedError):
        await job.wait()
    service.release()
    await cache.idle()
    assert await kept(cache) == before
    assert (await cache.node(PUBSUB))["state"] == "stale"
    await cache.house.sync.job(ADDRESS, full=True).wait()
    assert "missed" in await kept(cache)


async def test_a_job_that_is_cancelled_with_batches_under_way_leaves_what_was_there(cached: Make) -> None:
    cache, service, job = await fetching_again(cached)
    before = await kept(cache)
    job.cancel()
    with pytest.raises(errors.Cancelled):
        await job.wait()
    service.release()
    await cache.idle()
    assert await kept(cache) == before


async def test_an_analyser_that_changes_between_two_batches_parses_all_of_them(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB, profile=PROSODY)
    service.create_node("things", max_items=10_000)
    for number in range(COUNT):
        service.publish("things", f"i{number:02}", f"<x xmlns='urn:x'><a>1</a><b>2</b>{'x' * WEIGHT}</x>")
    cache: Cached = await cached(world)
    rules = {"name": "x", "type": "thing", "namespace": "urn:x", "to-sync": True}
    cache.house.analysers.register(from_mapping(rules | {"fields": {"a": {"path": "{urn:x}x/{urn:x}a"}}}), "bus")
    job = cache.house.sync.job(ADDRESS._replace(node="things"), pin=True)
    await until_batches(world, service, 2)
    cache.house.analysers.register(from_mapping(rules | {"fields": {"b": {"path": "{urn:x}x/{urn:x}b"}}}), "bus")
    service.release()
    await job.wait()
    await cache.idle()
    items, *_ = await cache.read(PUBSUB, "things", policy="cache", limit=500, fields=frozenset({"data"}))
    assert len(items) == COUNT
    assert {item["data"] for item in items} == {'{"b":"2"}'}


async def kept(cache: Cached) -> dict[str, str]:
    """What a reader gets from the cache alone."""
    items, *_ = await cache.read(PUBSUB, policy="cache", limit=500, fields=frozenset({"id", "payload"}))
    return {item["id"]: item["payload"] for item in items}

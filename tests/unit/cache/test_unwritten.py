"""What is known of a node and can't be written down, for the database fails, is neither lost nor left to a reader."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from sqlalchemy import Engine, event

from pubsub_cached import errors
from pubsub_cached.analysers.definition import Analysis, Definition, Subject
from pubsub_cached.cache.house import House
from pubsub_cached.cache.jobs import JobFailed
from pubsub_cached.cache.options import NodesFilter, PurgeFilter, SearchOptions
from pubsub_cached.cache.revalidation import unwritten
from pubsub_cached.cache.writing import subscribing
from pubsub_cached.records import ItemRecord
from pubsub_cached.store.accounts import nodes as node_store
from pubsub_cached.store.search import search as store_search
from pubsub_cached.store.search.search import Search
from pubsub_cached.xmpp.fake import Service, World
from pubsub_cached.xmpp.port import BounceEvent
from tests.support.cached import ALICE, ENTRY, Cached, Make, answered
from tests.support.viewed import Owner

from .blog import (
    BLOG,
    MICROBLOG,
    PUBSUB,
    being_subscribed_to,
    followed,
    later,
    local,
    owned,
    post,
    purge,
    reaching,
    writer_busy,
)
from .test_pages import COPIES, Copied
from .test_subscribing import looking
from .test_writing import deaf

pytestmark = pytest.mark.sqlite

OTHER = BLOG._replace(node="urn:xmpp:other")
ROOT = BLOG._replace(node="")
# What a service does or says for a client.
ASKED: dict[str, Callable[[House], Awaitable[object]]] = {
    "publish": lambda house: house.writing.publish(BLOG, "new", post("new"), {}),
    "retract": lambda house: house.writing.retract(BLOG, ["i1"]),
    "create": lambda house: house.writing.create(BLOG, {}),
    "configure": lambda house: house.writing.configure(BLOG, {"pubsub#access_model": "whitelist"}),
    "purge": lambda house: house.writing.purge(BLOG),
    "delete": lambda house: house.writing.delete(BLOG),
    "subscribe": lambda house: house.subscribing.subscribe(BLOG, {}),
    "unsubscribe": lambda house: house.subscribing.unsubscribe(BLOG),
    "GetNodeConfig": lambda house: house.writing.configuration(BLOG),
    "Discover": lambda house: house.discovery.nodes(BLOG),
    "Discover by type": lambda house: house.discovery.nodes(ROOT, "urn:a"),
    "ListSubscriptions": lambda house: house.discovery.subscriptions(ROOT),
    "ListAffiliations": lambda house: house.discovery.affiliations(ROOT),
}


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unwritten, "AGAIN", 0.001)
    monkeypatch.setattr(subscribing, "AGAIN", 0.001)


async def refuse(cache: Cached, *, everything: bool) -> None:
    """Have the database refuse everything that is written, or nothing any more."""
    await cache.store.maintain(lambda driver: driver.execute(f"PRAGMA query_only={everything}"))


def fails(*arguments: object) -> None:
    """A statement of a database that is away."""
    raise errors.DatabaseError("It has gone.")


async def recovered(cache: Cached) -> None:
    """Return once all that happened was looked at, the database works again, and nothing is left to do."""
    with pytest.raises(errors.DatabaseError):
        await cache.idle()
    await refuse(cache, everything=False)
    await cache.house.unwritten.settled()
    await cache.idle()


async def refused(cache: Cached, service: Service) -> None:
    """Have the service refuse a read, and the database what that means."""
    service.configure(MICROBLOG, notify=False, access_model="whitelist")
    await refuse(cache, everything=True)
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="network")


async def out_of_sight(cache: Cached, service: Service) -> Owner:
    """Have a view lose all its items by that."""
    owner = await Owner.create(cache.house)
    await owner.view.start()
    await refused(cache, service)
    await owner.view.settled()
    assert owner.ids == []
    return owner


async def is_live(cache: Cached, service: Service) -> bool:
    """Whether the cache has what the service has, and says so."""
    items, _, info = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    return info["freshness"] == "live" and {item["id"] for item in items} == {
        item.id for item in service.items(MICROBLOG)
    }


HAPPENINGS: dict[str, Callable[[Service], object]] = {
    "publish": lambda service: service.publish(MICROBLOG, "new", ENTRY.format("new")),
    "retract": lambda service: service.retract(MICROBLOG, "i1"),
    "purge": lambda service: service.purge(MICROBLOG),
    "configuration": lambda service: service.configure(MICROBLOG, notify=True, title="Other"),
    "unsubscribed": lambda service: service.drop_subscription(MICROBLOG, ALICE, notify=True),
}


@pytest.mark.parametrize("happens", HAPPENINGS.values(), ids=HAPPENINGS)
async def test_what_an_event_said_is_found_out(cached: Make, happens: Callable[[Service], object]) -> None:
    cache, service = await followed(cached, World())
    await refuse(cache, everything=True)
    happens(service)
    await recovered(cache)
    assert await is_live(cache, service)


async def test_what_an_answer_shows_to_be_wrong_is_found_out(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.expire_items(MICROBLOG, "i1")
    await refuse(cache, everything=True)
    items, _, info = await cache.read(PUBSUB, MICROBLOG, policy="network")
    assert ([item["id"] for item in items], info["freshness"]) == (["i2", "i0"], "validated")
    assert not await is_live(cache, service)
    await recovered(cache)
    assert await is_live(cache, service)


@pytest.mark.parametrize(
    ("query", "freshness"),
    [("", "stale"), ('{"services": ["pubsub.example.net"]}', "stale"), ('{"nodes": ["urn:xmpp:other"]}', "live")],
)
async def test_a_search_through_it_is_stale_meanwhile(cached: Make, query: str, freshness: str) -> None:
    world = World()
    cache, service = await followed(cached, world)
    service.create_node("urn:xmpp:other")
    await cache.house.sync.run(BLOG._replace(node="urn:xmpp:other"), pin=True)
    await refuse(cache, everything=True)
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    with pytest.raises(errors.DatabaseError):
        await cache.idle()
    *_, info = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    assert info["freshness"] == "stale"
    *_, info = await answered(cache.house.searches.search("", query, SearchOptions()))
    assert info["freshness"] == freshness
    await recovered(cache)
    *_, info = await answered(cache.house.searches.search("", query, SearchOptions()))
    assert info["freshness"] == "live"


async def test_a_deletion_is_found_out(cached: Make) -> None:
    cache, service = await followed(cached, World())
    await refuse(cache, everything=True)
    service.delete(MICROBLOG)
    await recovered(cache)
    assert cache.signals("gone")
    with pytest.raises(errors.NoSuchNode):
        await cache.read(PUBSUB, MICROBLOG, policy="cache")


async def test_what_was_missed_when_a_service_bounced_a_message_is_found_out(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.publish(MICROBLOG, "missed", ENTRY.format("missed"), notify=False)
    await refuse(cache, everything=True)
    cache.world.inject(ALICE, BounceEvent(service=PUBSUB, node=""))
    await recovered(cache)
    assert await is_live(cache, service)


async def test_what_a_synchronisation_brought_is_fetched_again(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.hold()
    await cache.house.distrust.of(BLOG, "event")
    await refuse(cache, everything=True)
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    service.release()
    await recovered(cache)
    assert await is_live(cache, service)


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("policy", ["default", "network"])
async def test_a_node_that_nobody_has_read_yet_is_read_at_the_service(cached: Make, policy: str, private: bool) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(OTHER.node)
    service.publish(OTHER.node, "first", ENTRY.format("first"))
    cache: Cached = await cached(world)
    definition = Definition(
        name="x", type="entry", namespace="http://www.w3.org/2005/Atom", priority=10_000, to_sync=True, private=private
    )
    cache.house.analysers.register(definition, "builtin")
    await cache.house.analysing.settled()
    await refuse(cache, everything=True)
    items, _, info = await cache.read(PUBSUB, OTHER.node, policy=policy)
    assert [(item["id"], item["type"]) for item in items] == [("first", "entry")]
    assert (info["source"], info["completeness"]) == ("network", "none")
    assert cache.house.privacy.private(OTHER) == private
    await recovered(cache)
    *_, info = await cache.read(PUBSUB, OTHER.node, policy="cache")
    assert info["freshness"] == "live"


async def test_a_node_that_is_not_proved_is_read_at_the_service(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.hold()
    await cache.house.distrust.of_access(BLOG, "configuration")
    await refuse(cache, everything=True)
    service.release()
    items, *_ = await cache.read(PUBSUB, MICROBLOG, policy="network")
    assert len(items) == 3
    await recovered(cache)
    assert await is_live(cache, service)


async def test_a_new_node_is_looked_at(cached: Make) -> None:
    world = World()
    cache: Cached = await cached(world)
    own = world.accounts[ALICE].pep
    await refuse(cache, everything=True)
    own.create_node(MICROBLOG, owner=ALICE)
    own.publish(MICROBLOG, "first", ENTRY.format("first"), publisher=ALICE)
    await recovered(cache)
    assert await cache.ids(ALICE, MICROBLOG, policy="cache") == ["first"]


async def test_a_new_node_is_looked_at_where_the_database_works_again_before_that_is_noted(cached: Make) -> None:
    world = World()
    cache: Cached = await cached(world)
    recovering: list[asyncio.Task[None]] = []

    def match(subject: Subject, analysis: Analysis) -> None:
        if subject.namespace and not recovering:
            # What was found out is handed to the database before this, and that it was refused after it.
            recovering.append(asyncio.create_task(refuse(cache, everything=False)))

    definition = Definition(name="x", type="x", node=MICROBLOG, exact=True, priority=1, to_sync=True, match=match)
    cache.house.analysers.register(definition, "builtin")
    await cache.house.analysing.settled()
    own = world.accounts[ALICE].pep
    await refuse(cache, everything=True)
    own.create_node(MICROBLOG, owner=ALICE)
    own.publish(MICROBLOG, "first", ENTRY.format("first"), publisher=ALICE)
    await cache.idle()
    await cache.house.unwritten.settled()
    await cache.idle()
    assert await cache.ids(ALICE, MICROBLOG, policy="cache") == ["first"]


async def test_a_reader_is_told_what_the_service_said(cached: Make) -> None:
    cache, service = await followed(cached, World())
    await refused(cache, service)
    await recovered(cache)
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "denied"
    assert not [*cache.house.nodes.suspected]


def closed(service: Service) -> None:
    service.configure(MICROBLOG, notify=False, access_model="whitelist")


def deleted(service: Service) -> None:
    service.delete(MICROBLOG, notify=False)


@pytest.mark.parametrize("happens", [closed, deleted])
async def test_no_search_view_or_export_shows_it(cached: Make, happens: Callable[[Service], None]) -> None:
    cache, service = await followed(cached, World())
    service.create_node(OTHER.node)
    service.publish(OTHER.node, "other", ENTRY.format("other"))
    await cache.house.sync.run(OTHER, pin=True)
    owner = await Owner.create(cache.house)
    await owner.view.start()
    assert len(await owner.settled()) == 4
    searches = cache.house.searches
    begun = searches.matching("", "")
    happens(service)
    await refuse(cache, everything=True)
    with pytest.raises(errors.PubSubCachedError):
        await cache.read(PUBSUB, MICROBLOG, policy="network")
    for query in ("", '{"services": ["pubsub.example.net"]}', f'{{"nodes": ["{MICROBLOG}", "{OTHER.node}"]}}'):
        items, _, info = await answered(searches.search("", query, SearchOptions()))
        assert [item["id"] for item in items] == ["other"]
        assert info["freshness"] == "live"
    await owner.view.settled()
    assert owner.ids == ["other"]
    assert await owner.view.total() == 1
    for search in (Search(matching=searches.matching("", "")), searches.as_of_now(Search(matching=begun))):
        rows, _ = await cache.store.read_all(store_search.row_ids, search)
        assert len(rows) == 1
    await recovered(cache)
    assert owner.ids == ["other"]


@pytest.mark.parametrize("happens", [closed, deleted])
async def test_its_node_says_so(cached: Make, happens: Callable[[Service], None]) -> None:
    cache, service = await followed(cached, World())
    reads, before = cache.house.node_reads, await cache.node(PUBSUB, MICROBLOG)
    happens(service)
    await refuse(cache, everything=True)
    cache.told.clear()
    with pytest.raises(errors.PubSubCachedError):
        await cache.read(PUBSUB, MICROBLOG, policy="network")
    assert cache.told == [(BLOG, "updated")]
    said = await cache.node(PUBSUB, MICROBLOG)
    assert said == before | {"state": "stale", "reason": "unproved"}
    for filter_, listed in (
        (NodesFilter(), [said]),
        (NodesFilter(state="live"), []),
        (NodesFilter(state="stale"), [said]),
    ):
        assert await reads.listing(filter_) == (listed, "")
    assert (await reads.changes(BLOG, 0, 500))[::3] == ([], False)
    await recovered(cache)
    after = await cache.node(PUBSUB, MICROBLOG)
    assert await reads.listing(NodesFilter(state=after["state"])) == ([after], "")
    assert after["state"] in ("denied", "gone")
    assert cache.told[-1] == (BLOG, after["state"])


async def test_no_page_of_nodes_that_are_in_another_state_is_empty_before_the_last(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.create_node(OTHER.node)
    await cache.house.sync.run(OTHER, pin=True)
    await refuse(cache, everything=True)
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    with pytest.raises(errors.DatabaseError):
        await cache.idle()
    listed, cursor = await cache.house.node_reads.listing(NodesFilter(state="live", limit=1))
    assert [node["node"] for node in listed] == [OTHER.node]
    assert cursor == ""
    await recovered(cache)


async def test_who_lists_nodes_of_another_state_looks_at_none_of_those_in_doubt(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.create_node(OTHER.node)
    await cache.house.sync.run(OTHER, pin=True)
    for address in (BLOG, OTHER):
        cache.house.nodes.suspected.add(address)
    pages: list[str] = []

    def heard(*told: Any) -> None:
        if "ORDER BY node.id" in told[2]:
            pages.append(told[2])

    event.listen(Engine, "before_cursor_execute", heard)
    try:
        assert await cache.house.node_reads.listing(NodesFilter(state="denied", limit=1)) == ([], "")
    finally:
        event.remove(Engine, "before_cursor_execute", heard)
    assert len(pages) == 1


async def test_a_node_is_stale_of_which_an_event_could_not_be_stored(cached: Make) -> None:
    cache, service = await followed(cached, World())
    await refuse(cache, everything=True)
    cache.told.clear()
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    with pytest.raises(errors.DatabaseError):
        await cache.idle()
    assert cache.told == [(BLOG, "updated")]
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "stale"
    await recovered(cache)
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "live"


async def test_so_it_is_where_the_database_could_not_be_read_either(
    cached: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where its server ends: who reads once it is there again may come before anything is tried again."""
    cache, service = await followed(cached, World())
    with monkeypatch.context() as patch:
        patch.setattr(node_store, "find", fails)
        service.publish(MICROBLOG, "new", ENTRY.format("new"))
        await cache.world.settle()
        await cache.house.events.settled()
    assert not await is_live(cache, service)
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "stale"
    await cache.house.unwritten.settled()
    await cache.idle()
    assert await is_live(cache, service)


async def test_a_page_of_a_search_in_memory_is_not_shown_any_more(cached: Make) -> None:
    cache, service = await followed(cached, World())

    async def found() -> list[ItemRecord]:
        answer = await answered(cache.house.searches.get_made("1", "", SearchOptions(), COPIES))
        return cast("Copied", answer[0]).items

    assert await found()
    await refused(cache, service)
    assert await found() == []


async def test_a_search_that_has_waited_does_not_show_it(cached: Make) -> None:
    cache, service = await followed(cached, World())
    begun = cache.house.searches.search("", f'{{"nodes":["{MICROBLOG}"]}}', SearchOptions())
    await refused(cache, service)
    items, *_ = await answered(begun)
    assert items == []


async def test_what_was_hidden_in_vain_is_shown_again(cached: Make) -> None:
    cache, service = await followed(cached, World())
    owner = await out_of_sight(cache, service)
    service.configure(MICROBLOG, notify=False, access_model="open")
    await recovered(cache)
    assert await owner.settled() == await owner.fresh()
    assert len(owner.ids) == 3


async def test_it_stays_hidden_until_the_service_was_asked_again(cached: Make) -> None:
    cache, service = await followed(cached, World())
    await refused(cache, service)
    service.hold()
    await refuse(cache, everything=False)
    await cache.house.unwritten.settled()
    await service.holding(1)
    items, *_ = await answered(cache.house.searches.search("", "", SearchOptions()))
    assert items == []
    service.release()
    await cache.idle()
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "denied"


async def test_a_node_that_was_forgotten_while_it_was_subscribed_to_is_not_made_again(cached: Make) -> None:
    cache, service, job = await being_subscribed_to(cached)
    await cache.house.removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True)).wait()
    await refuse(cache, everything=True)
    service.release()
    with pytest.raises(errors.Cancelled):
        await job.wait()
    await refuse(cache, everything=False)
    await cache.house.unwritten.settled()
    await cache.idle()
    assert await cache.house.nodes.find(BLOG) is None
    assert not service.node(MICROBLOG).subscriptions


async def test_nothing_is_suspected_of_what_was_written_down_though_its_reader_gave_up(cached: Make) -> None:
    world = World()
    cache: Cached = await cached(world)
    own = world.accounts[ALICE].pep
    own.create_node(MICROBLOG, owner=ALICE)
    await cache.keep(ALICE, MICROBLOG)
    own.delete(MICROBLOG, notify=False)
    with writer_busy(cache):
        read = asyncio.ensure_future(cache.read(ALICE, MICROBLOG, policy="network"))
        await world.settle()
        assert [*cache.house.nodes.suspected] == [BLOG._replace(service=ALICE)]
        read.cancel()
        await asyncio.wait([read])
    await cache.idle()
    assert (await cache.node(ALICE, MICROBLOG))["state"] == "gone"
    assert not [*cache.house.nodes.suspected]


@pytest.mark.parametrize("how", ["forget", "reset"])
async def test_what_could_not_be_written_of_a_node_is_forgotten_with_it(
    cached: Make, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    cache, service = await followed(cached, World())
    monkeypatch.setattr(unwritten, "AGAIN", 1.0)
    await refuse(cache, everything=True)
    service.configure(MICROBLOG, notify=False, access_model="whitelist")
    with pytest.raises(errors.PubSubCachedError):
        await cache.read(PUBSUB, MICROBLOG, policy="network")
    service.configure(MICROBLOG, notify=False, access_model="open")
    await refuse(cache, everything=False)
    if how == "forget":
        await purge(cache, forget=True)
    else:
        await cache.house.removal.reset().wait()
    await cache.house.unwritten.settled()
    await cache.idle()
    assert await cache.house.nodes.find(BLOG) is None


async def test_a_subscription_that_was_made_meanwhile_is_the_daemons(cached: Make) -> None:
    cache, service, job = await being_subscribed_to(cached)
    await refuse(cache, everything=True)
    service.release()
    with pytest.raises(JobFailed):
        await job.wait()
    await recovered(cache)
    # Where it works again just as another attempt fails, that is written down, and the next one is due by the clock.
    await later(cache, hours=1)
    row = await cache.house.nodes.find(BLOG)
    assert row is not None
    assert (row.state, row.subscribed, row.own_subscription) == ("live", True, True)


async def test_a_service_is_asked_again_though_whoever_heard_its_answer_gave_up(cached: Make) -> None:
    cache, service = await followed(cached, World())
    closed(service)
    with writer_busy(cache):
        refused = asyncio.ensure_future(refuse(cache, everything=True))
        await asyncio.sleep(0)
        read = asyncio.ensure_future(cache.read(PUBSUB, MICROBLOG, policy="network"))
        await cache.world.settle()
        assert [*cache.house.nodes.suspected] == [BLOG]
        read.cancel()
        await asyncio.wait([read])
    await refused
    await recovered(cache)
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "denied"
    assert not [*cache.house.nodes.suspected]


async def test_a_view_shows_again_what_was_proved_meanwhile(cached: Make) -> None:
    cache, service = await followed(cached, World())
    owner = await out_of_sight(cache, service)
    service.configure(MICROBLOG, notify=False, access_model="open")
    await cache.read(PUBSUB, MICROBLOG, policy="network")
    assert len(await owner.fresh()) == 3
    await owner.view.settled()
    assert owner.plain() == await owner.fresh()


async def test_what_was_fetched_before_a_refusal_does_not_show_it_again(
    cached: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, service = await followed(cached, World())
    monkeypatch.setattr(unwritten, "AGAIN", 60.0)
    service.hold()
    synchronised = cache.house.sync.job(BLOG, full=True)
    # It has all items, and asks for no more than the metadata.
    await reaching(service, "disco_info")
    closed(service)
    await refuse(cache, everything=True)
    read = asyncio.ensure_future(cache.read(PUBSUB, MICROBLOG, policy="network"))
    await service.holding(2)
    service.release(request="get_items")
    with pytest.raises(errors.Denied):
        await read
    await refuse(cache, everything=False)
    service.release()
    await synchronised.wait()
    items, *_ = await answered(cache.house.searches.search("", "", SearchOptions()))
    assert items == []


async def test_a_view_that_is_made_while_a_refusal_is_written_down_shows_the_node_once_it_may_be_read(
    cached: Make,
) -> None:
    cache, service = await followed(cached, World())
    service.configure(MICROBLOG, notify=False, access_model="whitelist")
    with writer_busy(cache):
        read = asyncio.ensure_future(cache.read(PUBSUB, MICROBLOG, policy="network"))
        await cache.world.settle()
        owner = await Owner.create(cache.house)
    with pytest.raises(errors.Denied):
        await read
    await owner.view.start()
    assert await owner.settled() == []
    service.configure(MICROBLOG, notify=False, access_model="open")
    await cache.read(PUBSUB, MICROBLOG, policy="network")
    await cache.idle()
    assert await owner.settled() == await owner.fresh()
    assert len(owner.ids) == 3


async def test_what_is_being_written_down_of_a_node_is_told_once_whatever_is_read_of_others(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.create_node(OTHER.node)
    await cache.house.sync.run(OTHER, pin=True)
    service.configure(MICROBLOG, notify=False, access_model="whitelist")
    cache.told.clear()
    with writer_busy(cache):
        read = asyncio.ensure_future(cache.read(PUBSUB, MICROBLOG, policy="network"))
        await cache.world.settle()
        assert [*cache.house.nodes.suspected] == [BLOG]
        assert cache.house.nodes.readable(OTHER, cache.house.proofs.doubts)
    with pytest.raises(errors.Denied):
        await read
    assert [told for told in cache.told if told[0] == BLOG] == [(BLOG, "denied")]


async def asked_for(cached: Make, asked: str) -> tuple[Cached, Service]:
    """A blog that is followed, of which no event comes any more, and is not there where it is to be made."""
    world = World()
    cache, service = await owned(cached, world)
    deaf(service, world)
    if asked == "create":
        service.delete(MICROBLOG, notify=False)
    return cache, service


async def is_as_asked(cache: Cached, service: Service, asked: str) -> None:
    """What was asked for is shown, since the database works again."""
    await cache.idle()
    await cache.house.unwritten.settled()
    await cache.house.subscribing.settled()
    await cache.idle()
    if asked == "delete":
        with pytest.raises(errors.NoSuchNode):
            await local(cache)
        return
    assert await local(cache) == {item.id: item.payload for item in service.items(MICROBLOG)}
    node = await cache.node(PUBSUB, MICROBLOG)
    subscribed = asked != "unsubscribe"
    assert (node["state"], node["subscribed"]) == ("live" if subscribed else "polled", subscribed)
    assert node["access-model"] == service.node(MICROBLOG).access_model
    assert service.node(MICROBLOG).subscribed(ALICE) is subscribed


# It has to know which subscription it is.
@pytest.mark.parametrize("asked", [each for each in ASKED if each != "unsubscribe"])
async def test_what_a_service_did_or_said_is_its_asker_s_though_the_database_can_t_be_read(
    cached: Make, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    cache, service = await asked_for(cached, asked)
    with monkeypatch.context() as patch:
        patch.setattr(node_store, "find", fails)
        await ASKED[asked](cache.house)
    await is_as_asked(cache, service, asked)


@pytest.mark.parametrize("asked", ASKED)
async def test_so_it_is_though_the_database_can_t_be_written(cached: Make, asked: str) -> None:
    cache, service = await asked_for(cached, asked)
    await refuse(cache, everything=True)
    await ASKED[asked](cache.house)
    await refuse(cache, everything=False)
    await is_as_asked(cache, service, asked)


async def test_a_client_s_subscription_is_known_once_the_database_works(cached: Make) -> None:
    cache, service = await followed(cached, World())
    service.create_node("other")
    other = BLOG._replace(node="other")
    await refuse(cache, everything=True)
    assert await cache.house.subscribing.subscribe(other, {}) == "subscribed"
    await refuse(cache, everything=False)
    await cache.house.subscribing.settled()
    assert (await cache.node(PUBSUB, "other"))["subscribed"] is True


async def test_what_ended_meanwhile_is_not_written_down_as_a_subscription(cached: Make) -> None:
    cache, service = await followed(cached, World())
    await refuse(cache, everything=True)
    await cache.house.subscribing.unsubscribe(BLOG)
    await cache.house.subscribing.subscribe(BLOG, {})
    await cache.house.subscribing.unsubscribe(BLOG)
    await recovered(cache)
    await cache.house.subscribing.settled()
    await cache.idle()
    node = await cache.node(PUBSUB, MICROBLOG)
    assert (node["state"], node["subscribed"], service.node(MICROBLOG).subscribed(ALICE)) == ("polled", False, False)


async def test_a_subscription_that_was_made_since_is_not_ended_by_what_is_written_down_late(cached: Make) -> None:
    """By another client of the account's, which the service tells."""
    cache, service = await followed(cached, World())
    await refuse(cache, everything=True)
    await cache.house.subscribing.unsubscribe(BLOG)
    service.approve(MICROBLOG, ALICE)
    await cache.world.settle()
    await cache.house.events.settled()
    await recovered(cache)
    await cache.house.subscribing.settled()
    await cache.idle()
    node = await cache.node(PUBSUB, MICROBLOG)
    assert (node["state"], node["subscribed"]) == ("live", True)


async def test_of_two_that_are_answered_while_the_database_hangs_the_later_counts(cached: Make) -> None:
    cache, service = await followed(cached, World())
    with writer_busy(cache):
        refusing = asyncio.ensure_future(refuse(cache, everything=True))
        unsubscribing = asyncio.create_task(cache.house.subscribing.unsubscribe(BLOG))
        await cache.world.settle()
        again = asyncio.create_task(cache.house.subscribing.subscribe(BLOG, {}))
        await cache.world.settle()
    await refusing
    await unsubscribing
    assert await again == "subscribed"
    await refuse(cache, everything=False)
    await cache.idle()
    await cache.house.subscribing.settled()
    await cache.idle()
    node = await cache.node(PUBSUB, MICROBLOG)
    assert (node["state"], node["subscribed"], service.node(MICROBLOG).subscribed(ALICE)) == ("live", True, True)


async def test_what_the_daemon_subscribed_to_is_its_own_once_a_client_was_refused_the_same(cached: Make) -> None:
    cache, service = await looking(cached)
    subscribing = asyncio.create_task(cache.house.subscribing.subscribe(BLOG, {}))
    await service.holding(2)
    service.release(1, request="subscriptions")
    await service.holding(2)
    service.fail_next("resource-constraint", request="subscribe")
    service.release(1)
    with pytest.raises(errors.StanzaError):
        await subscribing
    await refuse(cache, everything=True)
    service.release()
    await recovered(cache)
    # One that was under way as the database came back may have been put off until later.
    await cache.house.sync.run(BLOG)
    assert await is_live(cache, service)
    await purge(cache, forget=True)
    assert not service.node(MICROBLOG).subscribed(ALICE)

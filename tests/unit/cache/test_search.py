"""Searches: what is gone through, how good the answer is, and that nobody waits for somebody else's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.options import AccountOptions, SearchOptions
from pubsub_cached.cache.search import search as searches
from pubsub_cached.records import InfoRecord, ItemRecord
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.search import search as store_search
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make, answered

from .blog import BLOG, MICROBLOG, PUBSUB, purge

OTHER = "pubsub.example.com"
BOB = "bob@example.org"


def blog(world: World, jid: str = PUBSUB, node: str = MICROBLOG, count: int = 3) -> Service:
    service = world.services.get(jid) or world.service(jid)
    service.create_node(node, max_items=10_000)
    for number in range(count):
        service.publish(node, f"i{number}", ENTRY.format(f"post {number}"))
    return service


async def search(
    cache: Cached, text: str = "", query: Any = None, **options: Any
) -> tuple[list[ItemRecord], str, InfoRecord]:
    said = "" if query is None else json.dumps(query)
    return await answered(cache.house.searches.search(text, said, SearchOptions(**options), ":1.1"))


async def kept(cache: Cached, *services: str, node: str = MICROBLOG) -> None:
    for service in services:
        await cache.read(service, node)
    await cache.idle()


async def test_only_what_the_cache_holds_is_searched(cached: Make) -> None:
    world = World()
    blog(world)
    cache: Cached = await cached(world)
    items, cursor, info = await search(cache, "post")
    assert (items, cursor) == ([], "")
    assert info == {
        "source": "cache",
        "freshness": "stale",
        "completeness": "none",
        "revision": info["revision"],
        "total": 0,
    }
    await kept(cache, PUBSUB)
    asked = world.count("get_items")
    items, _, info = await search(cache, "post")
    assert sorted(item["id"] for item in items) == ["i0", "i1", "i2"]
    assert (info["freshness"], info["completeness"], info["total"]) == ("live", "full", 3)
    assert info["revision"] == cache.house.revision
    assert world.count("get_items") == asked


@pytest.mark.sqlite
async def test_what_little_has_to_be_looked_at_for_waits_for_no_thread(cached: Make) -> None:
    world = World()
    blog(world)
    cache: Cached = await cached(world)
    await kept(cache, PUBSUB)
    async with asyncio.timeout(30):
        # The first of its shape builds statements, and where the processor is elsewhere a thread may be as well.
        while not isinstance(at_once := cache.house.searches.search("post", "", SearchOptions()), tuple):
            await at_once
    later = cache.house.searches.search("pos*", "", SearchOptions())
    assert isinstance(later, Awaitable)
    assert await later == at_once


async def test_a_clock_set_back_makes_nothing_fresh(cached: Make) -> None:
    world = World()
    blog(world).fail_next("not-allowed", pubsub_condition="unsupported", request="subscribe", times=9)
    cache: Cached = await cached(world)
    await kept(cache, PUBSUB)
    assert (await search(cache))[2]["freshness"] == "validated"
    cache.clock.advance(days=-1)
    assert (await search(cache))[2]["freshness"] == "stale"


async def test_an_event_is_found_at_once(cached: Make) -> None:
    world = World()
    service = blog(world)
    cache: Cached = await cached(world)
    await kept(cache, PUBSUB)
    service.publish(MICROBLOG, "new", ENTRY.format("brandnew"))
    await cache.idle()
    assert [item["id"] for item in (await search(cache, "brandnew"))[0]] == ["new"]
    service.retract(MICROBLOG, "new", notify=True)
    await cache.idle()
    assert (await search(cache, "brandnew"))[0] == []


async def test_the_answer_is_as_good_as_the_worst_node(cached: Make) -> None:
    world = World()
    blog(world)
    blog(world, OTHER)
    cache: Cached = await cached(world)
    await kept(cache, PUBSUB, OTHER)
    other = Address(ALICE, OTHER, MICROBLOG)
    row = await cache.house.nodes.find(other)
    assert row is not None
    await cache.store.write(
        lambda tx: nodes.update(tx, row.id, state="stale", completeness="window", validated_at=1000)
    )
    *_, info = await search(cache)
    assert (info["freshness"], info["completeness"], info["validated-at"]) == ("stale", "window", 1000)
    *_, info = await search(cache, query={"services": [PUBSUB]})
    assert (info["freshness"], info["completeness"]) == ("live", "full")
    assert info["validated-at"] > 1000
    await cache.store.write(lambda tx: nodes.update(tx, row.id, state="polled", next_sync=cache.clock.now + 1000))
    assert (await search(cache, query={"services": [OTHER]}))[2]["freshness"] == "validated"
    cache.clock.advance(seconds=2)
    assert (await search(cache, query={"services": [OTHER]}))[2]["freshness"] == "stale"


async def test_without_a_session_the_answer_says_offline(cached: Make) -> None:
    world = World()
    blog(world)
    cache: Cached = await cached(world)
    await kept(cache, PUBSUB)
    await cache.restart(online=False)
    items, _, info = await search(cache, "post")
    assert (len(items), info["freshness"]) == (3, "offline")


async def test_what_may_not_be_read_any_more_is_gone_from_searches(cached: Make) -> None:
    world = World()
    service = blog(world)
    blog(world, OTHER)
    cache: Cached = await cached(world)
    await kept(cache, PUBSUB, OTHER)
    service.configure(MICROBLOG, access_model="whitelist")
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="network")
    await cache.idle()
    assert {item["service"] for item in (await search(cache, "post"))[0]} == {OTHER}
    world.services[OTHER].delete(MICROBLOG, notify=True)
    await cache.idle()
    assert (await search(cache, "post"))[0] == []
    assert (await search(cache, query={"services": [PUBSUB]}))[2]["completeness"] == "none"


async def test_empty_names_stand_for_the_only_account_and_its_own_service(cached: Make) -> None:
    world = World()
    blog(world)
    cache: Cached = await cached(world)
    await kept(cache, PUBSUB)
    assert len((await search(cache, query={"accounts": [""]}))[0]) == 3
    assert len((await search(cache, query={"accounts": ["ALICE@example.org/phone"]}))[0]) == 3
    assert (await search(cache, query={"services": [""]}))[0] == []
    for query, said in [
        ({"accounts": ["@"]}, "accounts[0]: '@' is no JID"),
        ({"services": [PUBSUB, "a@b@c"]}, "services[1]"),
    ]:
        with pytest.raises(errors.InvalidQuery) as raised:
            await search(cache, query=query)
        assert said in raised.value.message


async def test_two_accounts_and_no_name_are_ambiguous(cached: Make) -> None:
    world = World()
    cache: Cached = await cached(world, ALICE, BOB)
    with pytest.raises(errors.AmbiguousAccount):
        await search(cache, query={"accounts": [""]})
    assert (await search(cache, query={"accounts": [BOB]}))[0] == []


async def test_cursors_hold_for_the_same_search_only(cached: Make) -> None:
    world = World()
    blog(world, count=7)
    cache: Cached = await cached(world)
    await kept(cache, PUBSUB)
    for text, order in [("", ""), ("post", ""), ("post", "id"), ("", "data.atom_id desc")]:
        got: list[str] = []
        cursor = ""
        while True:
            items, cursor, _ = await search(cache, text, limit=3, cursor=cursor, order=order)
            got += [item["id"] for item in items]
            if not cursor:
                break
            with pytest.raises(errors.InvalidCursor):
                await search(cache, text + " x", cursor=cursor, order=order)
            with pytest.raises(errors.InvalidCursor):
                await search(cache, text, cursor=cursor, order="created")
        assert sorted(got) == [f"i{number}" for number in range(7)]


@pytest.mark.parametrize("order", ["modified desc", "modified", "created desc", "created"])
@pytest.mark.parametrize("text", ["", "post"])
async def test_a_walk_through_what_was_dropped_and_came_again_does_not_look_ended(
    cached: Make, text: str, order: str
) -> None:
    """As GetItems has it."""
    world = World()
    blog(world, count=7)
    cache: Cached = await cached(world)
    await kept(cache, PUBSUB)
    items, cursor, _ = await search(cache, text, limit=3, order=order)
    assert len(items) == 3
    await purge(cache)
    await cache.house.sync.job(BLOG).wait()
    with pytest.raises(errors.InvalidCursor, match="begin again without it"):
        await search(cache, text, limit=3, cursor=cursor, order=order)


@pytest.mark.parametrize("profile", [PROSODY, EJABBERD], ids=["prosody", "ejabberd"])
@pytest.mark.parametrize("change", ["retract", "publish"])
async def test_a_walk_ends_where_all_that_was_left_is_gone_or_the_newest_by_now(
    cached: Make, profile: Profile, change: str
) -> None:
    world = World()
    world.service(PUBSUB, profile=profile)
    service = blog(world, count=5)
    cache: Cached = await cached(world)
    await kept(cache, PUBSUB)
    items, cursor, _ = await search(cache, limit=3)
    assert [item["id"] for item in items] == ["i4", "i3", "i2"]
    if change == "publish":
        for id_ in ("i0", "i1", "i2"):
            service.publish(MICROBLOG, id_, ENTRY.format("again"))
    else:
        service.retract(MICROBLOG, "i0", "i1")
    await cache.idle()
    items, cursor, _ = await search(cache, limit=3, cursor=cursor)
    assert (items, cursor) == ([], "")


@pytest.mark.parametrize("order", ["modified desc", "modified", "created desc", "created"])
async def test_a_walk_through_the_unread_goes_on_though_they_are_read_meanwhile(cached: Make, order: str) -> None:
    world = World()
    blog(world, count=7)
    cache: Cached = await cached(world)
    await kept(cache, PUBSUB)
    found: list[str] = []
    cursor = ""
    while cursor or not found:
        items, cursor, _ = await search(cache, query={"flags": ["-read"]}, limit=3, cursor=cursor, order=order)
        ids = [item["id"] for item in items]
        # So that nothing is left for the next page, the last time.
        await cache.house.node_reads.set_flags(BLOG, ids if len(found) < 3 else ["i0", "i6", *ids], ["read"], [])
        found += ids
    assert found in (["i6", "i5", "i4", "i3", "i2", "i1"], ["i0", "i1", "i2", "i3", "i4", "i5"])


@pytest.mark.parametrize("order", ["modified", "created"])
async def test_a_walk_goes_on_though_what_it_gave_was_retracted_meanwhile(cached: Make, order: str) -> None:
    world = World()
    service = blog(world, count=7)
    cache: Cached = await cached(world)
    await kept(cache, PUBSUB)
    found: list[str] = []
    cursor = ""
    while cursor or not found:
        items, cursor, _ = await search(cache, limit=3, cursor=cursor, order=order)
        found += (ids := [item["id"] for item in items])
        service.retract(MICROBLOG, *ids, notify=True)
        await cache.idle()
    assert found == [f"i{number}" for number in range(7)]


async def test_a_client_leaves_threads_to_others(cached: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cache: Cached = await cached(World())
    running: list[asyncio.Event] = []
    find = cache.store.read_aside

    async def slow(*args: Any, **kwargs: Any) -> Any:
        running.append(asyncio.Event())
        await running[-1].wait()
        return await find(*args, **kwargs)

    monkeypatch.setattr(cache.store, "read_aside", slow)
    asked = [asyncio.create_task(search(cache)) for _ in range(5)]
    await asyncio.sleep(0)
    assert len(running) == searches.AT_ONCE
    other = asyncio.create_task(answered(cache.house.searches.search("", "", SearchOptions(), ":1.2")))
    await asyncio.sleep(0)
    assert len(running) == searches.AT_ONCE + 1
    running[-1].set()
    assert (await other)[0] == []
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert len(running) == searches.AT_ONCE + 1


async def test_an_account_that_is_removed_while_a_thread_searches_fails_nothing(
    cached: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    blog(world)
    world.account(BOB)
    cache: Cached = await cached(world)
    bob = await cache.house.accounts.add(BOB, AccountOptions())
    await bob.set_password("secret")
    await cache.idle()
    for account in (ALICE, BOB):
        await cache.read(PUBSUB, MICROBLOG, account=account)
    await cache.idle()
    find, found, gone = cache.store.read_aside, asyncio.Event(), asyncio.Event()

    async def slow(*args: Any, **kwargs: Any) -> Any:
        answer = await find(*args, **kwargs)
        found.set()
        await gone.wait()
        return answer

    monkeypatch.setattr(cache.store, "read_aside", slow)
    monkeypatch.setattr(cache.store, "inline", False)
    searching = asyncio.create_task(search(cache))
    await found.wait()
    await bob.remove(keep_cache=False)
    gone.set()
    items, _, info = await searching
    assert {item["account"] for item in items} == {ALICE, BOB}
    assert info["freshness"] == "offline"


async def test_an_export_leaves_out_what_was_hidden_meanwhile(cached: Make) -> None:
    world = World()
    service = blog(world)
    cache: Cached = await cached(world)
    await kept(cache, PUBSUB)
    wanted = store_search.Search(matching=cache.house.searches.matching("", ""))
    rows, _ = await cache.store.read_all(store_search.row_ids, wanted)
    assert len(rows) == 3
    service.retract(MICROBLOG, "i1", notify=True)
    await cache.idle()
    left, looked = await cache.store.read_all(store_search.page, wanted, rows)
    assert ([item["id"] for item in left], looked) == (["i2", "i0"], 3)
    service.configure(MICROBLOG, access_model="whitelist")
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="network")
    await cache.idle()
    assert await cache.store.read_all(store_search.page, wanted, rows) == ([], 3)

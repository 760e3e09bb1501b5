"""Walks through the cache while it is compared with the service: what was not published meanwhile comes once.

Services have their items in the order of publication, or leave in its place what is published again (ejabberd).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.options import SearchOptions
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Profile, Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make, answered

from .blog import MICROBLOG, PUBSUB

ADDRESS = Address(ALICE, PUBSUB, MICROBLOG)
PROFILES = pytest.mark.parametrize("profile", [EJABBERD, PROSODY], ids=["ejabberd", "prosody"])
DESCENDING = pytest.mark.parametrize("descending", [True, False], ids=["newest-first", "oldest-first"])


async def begin(cached: Make, profile: Profile, ids: str, window: int = 500) -> tuple[Cached, Service]:
    """A cache that follows a node with these items, the oldest first."""
    world = World()
    service = world.service(PUBSUB, profile=profile)
    service.create_node(MICROBLOG, max_items=1000)
    publish(service, ids)
    cache: Cached = await cached(world, items_per_node=window)
    await cache.keep(PUBSUB, MICROBLOG)
    return cache, service


def publish(service: Service, ids: str, text: str = "") -> None:
    for id_ in ids:
        service.publish(MICROBLOG, id_, ENTRY.format(f"{id_}{text}"))


async def event(cache: Cached, service: Service, ids: str) -> None:
    """Items are published again, and the events of it are applied."""
    publish(service, ids, " by an event")
    await cache.idle()


async def unheard(cache: Cached, service: Service, ids: str) -> None:
    """Items are published again while there is no session, and another begins."""
    cache.world.cut(ALICE)
    await cache.idle()
    publish(service, ids, " unheard")
    cache.world.restore(ALICE)
    await cache.idle()


async def fetched(cache: Cached) -> None:
    """All is fetched, whatever is known."""
    await cache.house.sync.job(ADDRESS, pin=True, full=True).wait()
    await cache.idle()


async def restarted(cache: Cached) -> None:
    """The daemon begins anew, and compares what it has."""
    await cache.restart()
    await cache.idle()


async def connected_anew(cache: Cached) -> None:
    """The session is lost, and another begins."""
    cache.world.cut(ALICE)
    await cache.idle()
    cache.world.restore(ALICE)
    await cache.idle()


Revalidate = Callable[[Cached], Awaitable[None]]
REVALIDATED = pytest.mark.parametrize("revalidate", [fetched, restarted, connected_anew], ids=lambda how: how.__name__)


class Walk:
    """A walk of pages of three; ``found``: the ids so far."""

    def __init__(self, cache: Cached, descending: bool, key: str = "modified") -> None:
        self._cache = cache
        self._key, self._descending = key, descending
        self._cursor = ""
        self.found = ""
        self.source = ""

    async def page(self) -> bool:
        """Read the next page; whether there are others."""
        items, self._cursor, info = await self._cache.read(
            PUBSUB, MICROBLOG, limit=3, order=((self._key, self._descending),), cursor=self._cursor
        )
        self.found += "".join(item["id"] for item in items)
        self.source = info["source"]
        return bool(self._cursor)

    async def rest(self) -> str:
        """Read to the end; all ids."""
        while await self.page():
            pass
        return self.found


class SearchWalk(Walk):
    """The same by Search."""

    async def page(self) -> bool:
        query = json.dumps({"nodes": [MICROBLOG]})
        order = f"{self._key} {'desc' if self._descending else 'asc'}"
        options = SearchOptions(limit=3, order=order, cursor=self._cursor)
        items, self._cursor, _ = await answered(self._cache.house.searches.search("", query, options))
        self.found += "".join(item["id"] for item in items)
        return bool(self._cursor)


@PROFILES
@DESCENDING
@REVALIDATED
@pytest.mark.parametrize("walk", [Walk, SearchWalk], ids=["read", "search"])
async def test_what_an_event_published_again_before_a_walk_comes_once(
    cached: Make, profile: Profile, descending: bool, revalidate: Revalidate, walk: type[Walk]
) -> None:
    cache, service = await begin(cached, profile, "abcdefgh")
    await event(cache, service, "b")
    walking = walk(cache, descending)
    await walking.page()
    await revalidate(cache)
    assert await walking.rest() == ("bhgfedca" if descending else "acdefghb")


@PROFILES
@DESCENDING
@pytest.mark.parametrize("key", ["modified", "created"])
async def test_what_was_not_published_while_nothing_was_heard_comes_once(
    cached: Make, profile: Profile, descending: bool, key: str
) -> None:
    cache, service = await begin(cached, profile, "abcdefgh")
    await event(cache, service, "b")
    walking = Walk(cache, descending, key)
    await walking.page()
    await unheard(cache, service, "ebi")
    found = await walking.rest()
    assert [found.count(id_) for id_ in "acdfgh"] == [1] * 6


@PROFILES
@DESCENDING
async def test_the_few_that_were_not_published_again_come_once(
    cached: Make, profile: Profile, descending: bool
) -> None:
    cache, service = await begin(cached, profile, "abcdefgh")
    walking = Walk(cache, descending)
    await walking.page()
    await unheard(cache, service, "abcde")
    found = await walking.rest()
    assert [found.count(id_) for id_ in "fgh"] == [1] * 3


@PROFILES
@REVALIDATED
async def test_what_is_pushed_to_a_new_session_was_not_published_again(
    cached: Make, profile: Profile, revalidate: Revalidate
) -> None:
    cache, service = await begin(cached, profile, "abcdefgh")
    await event(cache, service, "b")
    await unheard(cache, service, "cdei")
    walking = Walk(cache, descending=True)
    await walking.page()
    # ejabberd pushes i, of which the cache can't know that it was published after the others.
    await revalidate(cache)
    found = await walking.rest()
    assert sorted(found) == list("abcdefghi")


@PROFILES
async def test_what_was_published_again_unheard_is_the_newest_once_it_is_found(cached: Make, profile: Profile) -> None:
    cache, service = await begin(cached, profile, "abcdefgh")
    await event(cache, service, "b")
    await unheard(cache, service, "di")
    found = await Walk(cache, True).rest()
    # Which of the two was the later one nobody tells where a service leaves them in their places.
    assert (sorted(found[:2]), found[2:]) == (["d", "i"], "bhgfeca")


@REVALIDATED
async def test_an_old_item_that_an_event_brought_into_a_window_stays_there(
    cached: Make, revalidate: Revalidate
) -> None:
    cache, service = await begin(cached, EJABBERD, "abcdefgh", window=4)
    await event(cache, service, "a")
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == list("ahgf")
    walking = Walk(cache, True)
    await walking.page()
    told = len(cache.told)
    await revalidate(cache)
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == list("ahgf")
    assert [signal for signal in cache.told[told:] if len(signal) == 4] == []
    assert await walking.rest() == "ahgfedcb"


async def test_an_old_item_of_a_window_has_the_content_that_the_service_has(cached: Make) -> None:
    cache, service = await begin(cached, EJABBERD, "abcdefgh", window=4)
    await event(cache, service, "a")
    await unheard(cache, service, "a")
    items, *_ = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    assert [item["id"] for item in items] == list("ahgf")
    assert "a unheard" in items[0]["payload"]


@pytest.mark.parametrize(
    ("profile", "events", "kept", "found"),
    [(EJABBERD, "adf", "fda", "fde"), (LIBERVIA, "bad", "dab", "daf")],
    ids=["ejabberd", "where that is not known"],
)
async def test_an_old_item_that_an_event_brought_into_a_window_and_that_is_gone_makes_room_again(
    cached: Make, profile: Profile, events: str, kept: str, found: str
) -> None:
    cache, service = await begin(cached, profile, "abcdef", window=3)
    if profile is EJABBERD:
        cache.house.sync.facts.overwritten(ADDRESS, False)
    for id_ in events:
        await event(cache, service, id_)
    await fetched(cache)
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == list(kept)
    service.expire_items(MICROBLOG, events[0])
    await fetched(cache)
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == list(found)
    assert cache.removed() == [events[0]]


async def test_what_only_looks_made_last_in_a_window_does_not_show_that_others_moved(cached: Make) -> None:
    cache, service = await begin(cached, EJABBERD, "abcdef", window=3)
    await event(cache, service, "a")
    for number, id_ in enumerate("fefe"):
        publish(service, id_, f" {number}")
        await cache.idle()
    assert not cache.house.sync.facts.moves(ADDRESS)


async def test_what_only_looks_made_last_in_a_window_is_no_witness_of_what_moved_in_a_gap(cached: Make) -> None:
    cache, service = await begin(cached, EJABBERD, "abcdefgh", window=4)
    second = ADDRESS._replace(node="urn:xmpp:second")
    service.create_node(second.node, max_items=1000)
    for id_ in "abcdefgh":
        service.publish(second.node, id_, ENTRY.format(id_))
    await cache.keep(PUBSUB, second.node)
    for node in (MICROBLOG, second.node):
        service.retract(node, "h")
        await cache.idle()
        service.publish(node, "d", ENTRY.format("d again"))
        await cache.idle()
        assert await cache.ids(PUBSUB, node, policy="cache") == list("dgfe")
    cache.world.cut(ALICE)
    await cache.idle()
    for node in (MICROBLOG, second.node):
        for id_ in "fg":
            service.publish(node, id_, ENTRY.format(f"{id_} unheard"))
    cache.world.restore(ALICE)
    await cache.idle()
    assert not cache.house.sync.facts.moves(ADDRESS)


async def test_before_it_is_known_where_a_service_leaves_overwritten_items_a_walk_survives_as_well(
    cached: Make,
) -> None:
    cache, service = await begin(cached, EJABBERD, "abcdefgh")
    service.fail_next("internal-server-error", request="get_items")
    await event(cache, service, "b")
    assert cache.house.sync.facts.verdict(ADDRESS) is None
    walking = Walk(cache, True)
    await walking.page()
    await fetched(cache)
    assert await walking.rest() == "bhgfedca"


async def test_a_walk_from_the_oldest_at_the_service_does_not_end_where_all_that_it_had_given_last_became_the_newest(
    cached: Make,
) -> None:
    cache, service = await begin(cached, PROSODY, "abcdefgh", window=4)
    walking = Walk(cache, False)
    await walking.page()
    await walking.page()
    assert (walking.found, walking.source) == ("abcdef", "network")
    await event(cache, service, "def")
    with pytest.raises(errors.InvalidCursor, match="begin again without it"):
        await walking.page()


@pytest.mark.parametrize(
    ("profile", "again", "rest"),
    [(PROSODY, "abc", "defghabc"), (PROSODY, "c", "defghc"), (EJABBERD, "abc", "defgh")],
    ids=["all", "the last", "in their places"],
)
async def test_a_walk_from_the_oldest_at_the_service_goes_on_where_its_first_page_was_published_again(
    cached: Make, profile: Profile, again: str, rest: str
) -> None:
    cache, service = await begin(cached, profile, "abcdefgh", window=4)
    walking = Walk(cache, False)
    await walking.page()
    await event(cache, service, again)
    assert await walking.rest() == "abc" + rest


async def test_a_page_tells_its_place_though_what_stood_before_it_was_published_again(cached: Make) -> None:
    cache, service = await begin(cached, PROSODY, "abcdefgh", window=4)
    order = (("modified", False),)
    _, cursor, _ = await cache.read(PUBSUB, MICROBLOG, limit=3, order=order)
    await event(cache, service, "c")
    items, _, info = await cache.read(PUBSUB, MICROBLOG, limit=3, order=order, cursor=cursor)
    assert (items[0]["id"], info["index"]) == ("d", 2)


@pytest.mark.parametrize(
    ("window", "again", "found"), [(4, "abcd", "dcbahgfe"), (1, "d", "dhgfecba")], ids=["four", "one"]
)
async def test_past_a_window_of_old_items_alone_comes_what_the_service_has_before_them(
    cached: Make, window: int, again: str, found: str
) -> None:
    cache, service = await begin(cached, EJABBERD, "abcdefgh", window=window)
    await event(cache, service, again)
    assert await Walk(cache, True).rest() == found

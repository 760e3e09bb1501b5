"""Reads of a node of which only the newest items are kept, and what is evicted from it."""

from __future__ import annotations

from typing import Any

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.options import NEWEST_FIRST, Order
from pubsub_cached.cache.policy import Policy
from pubsub_cached.records import InfoRecord
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, Service, World
from pubsub_cached.xmpp.port import DiscoItem
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, PROFILES, PUBSUB, followed, freshness, local

OLDEST_FIRST = (("modified", False),)
TUNE = "http://jabber.org/protocol/tune"


async def window(
    cached: Make, world: World, count: int, ids: str = "i{}", *, profile: Profile = PROSODY
) -> tuple[Cached, Service]:
    """A cache that keeps the newest five of so many items."""
    service = world.service(PUBSUB, profile=profile)
    service.create_node(MICROBLOG, max_items=10_000)
    for number in range(count):
        service.publish(MICROBLOG, ids.format(number), ENTRY.format(number))
    cache: Cached = await cached(world, items_per_node=5)
    await cache.keep(PUBSUB, MICROBLOG)
    return cache, service


async def walk(
    cache: Cached, service: str, node: str, limit: int, policy: Policy = "default", order: Order = NEWEST_FIRST
) -> tuple[list[str], list[InfoRecord]]:
    """The ids of all pages, one after the other, and what each page says of itself."""
    found: list[str] = []
    said: list[InfoRecord] = []
    cursor = ""
    while cursor or not said:
        items, cursor, info = await cache.read(service, node, limit=limit, cursor=cursor, policy=policy, order=order)
        assert info.get("index") in (len(found), None)
        found += [item["id"] for item in items]
        said.append(info)
    return found, said


async def test_a_last_only_node_holds_one_item_after_an_event(cached: Make) -> None:
    world = World()
    alice = world.account(ALICE)
    alice.pep.create_node(TUNE, max_items=1)
    cache: Cached = await cached(world)
    for title in ("one", "two"):
        alice.pep.publish(TUNE, title, f"<tune xmlns='{TUNE}'><title>{title}</title></tune>")
        await cache.idle()
    assert await cache.ids("alice@example.org", TUNE) == ["two"]


async def test_eviction_by_an_event_is_told(cached: Make) -> None:
    cache, service = await window(cached, World(), 5)
    cache.told.clear()
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    assert cache.signals("updated")


async def test_the_end_of_a_window_offline_is_an_end(cached: Make) -> None:
    world = World()
    cache, _ = await window(cached, world, 8)
    _, cursor, _ = await cache.read(PUBSUB, MICROBLOG)
    assert cursor
    world.cut(ALICE)
    await cache.idle()
    for options in ({"cursor": cursor}, {"after": "i3"}, {"index": 5}):
        items, following, info = await cache.read(PUBSUB, MICROBLOG, **options)
        assert (items, following, info["completeness"]) == ([], "", "window")


@pytest.mark.parametrize("policy", ["default", "refresh"])
@pytest.mark.parametrize("order", [NEWEST_FIRST, OLDEST_FIRST])
async def test_a_window_whose_items_were_all_retracted_is_not_the_end(
    cached: Make, policy: Policy, order: Order
) -> None:
    world = World()
    cache, service = await window(cached, world, 8)
    for id_ in await cache.ids(PUBSUB, MICROBLOG, policy="cache"):
        service.retract(MICROBLOG, id_)
    await cache.idle()
    found, said = await walk(cache, PUBSUB, MICROBLOG, 2, policy, order)
    assert sorted(found) == ["i0", "i1", "i2"]
    assert said[0]["source"] == "network"
    await cache.idle()
    items, _, info = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    assert (len(items), info["completeness"]) == (3, "full")


async def test_the_last_page_of_a_window_is_the_services(cached: Make) -> None:
    cache, _ = await window(cached, World(), 8)
    assert await cache.ids(PUBSUB, MICROBLOG, before="", limit=2) == ["i1", "i0"]


async def test_named_items_past_the_window_are_the_services(cached: Make) -> None:
    world = World()
    cache, _ = await window(cached, world, 8)
    asked = world.count()
    assert await cache.ids(PUBSUB, MICROBLOG, ids=("i7", "i3")) == ["i7", "i3"]
    assert await cache.ids(PUBSUB, MICROBLOG, ids=("i7", "i1"), policy="cache") == ["i7"]
    assert world.count() == asked
    items, cursor, info = await cache.read(PUBSUB, MICROBLOG, ids=("i7", "nothing", "i1"))
    assert ([item["id"] for item in items], cursor, info["source"]) == (["i7", "i1"], "", "network")
    world.cut(ALICE)
    await cache.idle()
    items, _, info = await cache.read(PUBSUB, MICROBLOG, ids=("i7", "i1"))
    assert ([item["id"] for item in items], info["completeness"]) == (["i7"], "window")


async def test_a_walk_that_is_validated_at_each_page_does_not_end_with_the_window(cached: Make) -> None:
    cache, _ = await window(cached, World(), 8)
    found: list[str] = []
    cursor = ""
    while cursor or not found:
        cache.clock.advance(seconds=61)
        items, cursor, _ = await cache.read(PUBSUB, MICROBLOG, limit=3, cursor=cursor, policy="refresh")
        found += [item["id"] for item in items]
    assert found == ["i7", "i6", "i5", "i4", "i3", "i2", "i1", "i0"]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({"after": "i3"}, ["i2", "i1", "i0"]),
        ({"before": "", "limit": 2}, ["i1", "i0"]),
        ({"ids": ("i7", "i1")}, ["i7", "i1"]),
        ({"index": 6}, ["i1", "i0"]),
    ],
    ids=["after", "last page", "named", "index"],
)
async def test_what_a_validated_window_does_not_hold_is_the_services(
    cached: Make, place: dict[str, Any], expected: list[str]
) -> None:
    cache, _ = await window(cached, World(), 8)
    cache.clock.advance(seconds=61)
    assert await cache.ids(PUBSUB, MICROBLOG, policy="refresh", **place) == expected


@pytest.mark.parametrize("place", ["i6", "i4", "i3", "i2"])
async def test_the_service_alone_gives_all_that_follows_an_item_of_the_window(cached: Make, place: str) -> None:
    cache, _ = await window(cached, World(), 8)
    everything = ["i7", "i6", "i5", "i4", "i3", "i2", "i1", "i0"]
    assert (
        await cache.ids(PUBSUB, MICROBLOG, after=place, policy="network") == everything[everything.index(place) + 1 :]
    )


@PROFILES
@pytest.mark.parametrize("policy", ["default", "refresh", "network"])
async def test_a_walk_from_the_oldest_begins_before_the_window(cached: Make, profile: Profile, policy: Policy) -> None:
    cache, _ = await window(cached, World(), 8, profile=profile)
    found, said = await walk(cache, PUBSUB, MICROBLOG, 3, policy, order=OLDEST_FIRST)
    assert found == ["i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"]
    assert {info["source"] for info in said} == {"network"}


@PROFILES
@pytest.mark.parametrize("limit", [3, 50])
@pytest.mark.parametrize("policy", ["default", "refresh", "network"])
@pytest.mark.parametrize("descending", [False, True], ids=["asc", "desc"])
async def test_a_walk_by_id_has_what_is_older_than_the_window_as_well(
    cached: Make, profile: Profile, limit: int, policy: Policy, descending: bool
) -> None:
    """Ids that say nothing of when items came, so that those of the window and others take turns."""
    cache, _ = await window(cached, World(), 0, profile=profile)
    service = cache.world.services[PUBSUB]
    for id_ in "dahcebgf":
        service.publish(MICROBLOG, id_, ENTRY.format(id_))
    await cache.idle()
    assert (await cache.node(PUBSUB, MICROBLOG))["completeness"] == "window"
    found, _ = await walk(cache, PUBSUB, MICROBLOG, limit, policy, order=(("id", descending),))
    assert found == sorted("abcdefgh", reverse=descending)


async def test_a_window_by_id_is_all_there_is_without_a_session(cached: Make) -> None:
    world = World()
    cache, _ = await window(cached, world, 8)
    world.cut(ALICE)
    await cache.idle()
    found, said = await walk(cache, PUBSUB, MICROBLOG, 3, order=(("id", False),))
    assert found == ["i3", "i4", "i5", "i6", "i7"]
    assert {info["completeness"] for info in said} == {"window"}


@pytest.mark.parametrize(
    ("place", "expected", "source"),
    [
        ({"index": 2, "limit": 3}, ["i2", "i3", "i4"], "network"),
        ({"before": "i5", "limit": 3}, ["i2", "i3", "i4"], "network"),
        ({"before": "i3", "limit": 2}, ["i1", "i2"], "network"),
        ({"before": "", "limit": 6}, ["i2", "i3", "i4", "i5", "i6", "i7"], "network"),
        ({"before": "i5", "limit": 2}, ["i3", "i4"], "cache"),
        ({"before": "", "limit": 2}, ["i6", "i7"], "cache"),
        ({"after": "i4"}, ["i5", "i6", "i7"], "cache"),
        ({"after": "i7"}, [], "cache"),
        ({"after": "i1", "limit": 3}, ["i2", "i3", "i4"], "network"),
        ({"ids": ("i6", "i4")}, ["i4", "i6"], "cache"),
    ],
    ids=[
        "index",
        "before, over the edge",
        "before the window",
        "last page, over the edge",
        "before, inside",
        "last page, inside",
        "after, inside",
        "after the newest",
        "after, before the window",
        "named",
    ],
)
async def test_from_the_oldest_only_what_begins_in_the_window_is_the_cache_s(
    cached: Make, place: dict[str, Any], expected: list[str], source: str
) -> None:
    cache, _ = await window(cached, World(), 8)
    items, _, info = await cache.read(PUBSUB, MICROBLOG, order=OLDEST_FIRST, **place)
    assert ([item["id"] for item in items], info["source"]) == (expected, source)
    assert "index" not in info or info["index"] == int(expected[0].removeprefix("i"))


@pytest.mark.parametrize(
    "order", [(("modified", False),), (("created", True),), (("id", False),)], ids=lambda order: order[0][0]
)
async def test_a_page_of_a_window_tells_no_place_that_is_one_in_the_window_only(cached: Make, order: Order) -> None:
    cache, _ = await window(cached, World(), 8)
    items, _, info = await cache.read(PUBSUB, MICROBLOG, order=order, policy="cache")
    assert (len(items), info["completeness"], "index" in info) == (5, "window", False)


async def test_from_the_oldest_a_service_out_of_reach_is_not_asked(cached: Make) -> None:
    world = World()
    cache, service = await window(cached, world, 8)
    service.down()
    world.cut(ALICE)
    world.restore(ALICE)
    await cache.idle()
    items, _, info = await cache.read(PUBSUB, MICROBLOG, order=OLDEST_FIRST)
    assert ([item["id"] for item in items], info["freshness"]) == (["i3", "i4", "i5", "i6", "i7"], "stale")


async def test_a_retraction_beyond_the_window_is_no_disagreement(cached: Make) -> None:
    world = World()
    cache, service = await window(cached, world, 8, "post-{}-")
    asked = world.count()
    service.retract(MICROBLOG, "post-0-", notify=True)
    await cache.idle()
    assert world.count() == asked


async def test_marks_are_shown_of_items_that_are_not_stored(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG, max_items=10_000)
    service.create_node("strange")
    service.publish("strange", "x", "<x xmlns='urn:example:x'/>")
    for number in range(8):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
    cache: Cached = await cached(world, items_per_node=5)
    for node, marked in ((MICROBLOG, "i1"), ("strange", "x")):
        await cache.keep(PUBSUB, node)
        await cache.house.node_reads.set_flags(Address(ALICE, PUBSUB, node), [marked], ["starred"], [])
    items, *_ = await cache.read(PUBSUB, MICROBLOG, after="i3")
    assert {item["id"]: item["flags"] for item in items} == {"i2": [], "i1": ["starred"], "i0": []}
    items, _, info = await cache.read(PUBSUB, "strange", fields=frozenset({"id", "flags"}))
    assert (items, info["source"]) == ([{"id": "x", "flags": ["starred"]}], "network")


async def listing_nothing(*_: object) -> tuple[()]:
    return ()


async def listing_no_names(*_: object) -> tuple[DiscoItem, ...]:
    return tuple(DiscoItem(PUBSUB) for _ in "abcdf")


@pytest.mark.parametrize("lists", ["all", "nothing", "no names", "refuses"])
async def test_an_item_older_than_the_window_that_is_overwritten_in_its_place_is_not_told_as_removed(
    cached: Make, lists: str
) -> None:
    """ejabberd's newest are those that were made last, so that what an event brought may be behind them."""
    world = World()
    service = world.service(PUBSUB, profile=EJABBERD)
    service.create_node(MICROBLOG)
    for id_ in "abcdef":
        service.publish(MICROBLOG, id_, ENTRY.format(id_))
    cache: Cached = await cached(world, items_per_node=3)
    await cache.keep(PUBSUB, MICROBLOG)
    service.publish(MICROBLOG, "a", ENTRY.format("edited"))
    await cache.idle()
    service.retract(MICROBLOG, "e", notify=False)
    *_, info = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    if lists == "refuses":
        service.fail_next("feature-not-implemented", request="disco_items", times=9)
    elif lists != "all":
        session: Any = cache.house.accounts.get(ALICE).session
        session.disco_items = listing_nothing if lists == "nothing" else listing_no_names
    job = await cache.house.sync.start(Address(ALICE, PUBSUB, MICROBLOG), True, "", "")
    await cache.idle()
    await job.wait()
    assert "a" not in cache.removed()
    # Where it can't be looked up it is dropped, as by an eviction.
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == (
        ["a", "f", "d"] if lists == "all" else ["f", "d", "c"]
    )
    *_, complete = await cache.house.node_reads.changes(Address(ALICE, PUBSUB, MICROBLOG), info["revision"], 500)
    assert complete is (lists == "all")


@pytest.mark.parametrize("own", [True, False], ids=["own", "component"])
@pytest.mark.parametrize("limit", [1, 2, 4])
async def test_a_walk_past_a_window_shows_what_was_overwritten_in_its_place_once(
    cached: Make, own: bool, limit: int
) -> None:
    """The cache has it among the newest, where ejabberd's pages have it by its creation."""
    world = World()
    service = world.account(ALICE, pep=EJABBERD).pep if own else world.service(PUBSUB, profile=EJABBERD)
    service.create_node(MICROBLOG, max_items=1000)
    for id_ in "abcdefgh":
        service.publish(MICROBLOG, id_, ENTRY.format(id_))
    cache: Cached = await cached(world, items_per_node=3)
    await cache.keep(service.jid, MICROBLOG)
    for id_ in "bg":
        service.publish(MICROBLOG, id_, ENTRY.format(f"{id_} edited"))
        await cache.idle()
    found, said = await walk(cache, service.jid, MICROBLOG, limit)
    assert all("index" in info for info in said)
    assert found == list("gbhfedca"), [(info.get("total"), info.get("index")) for info in said]
    assert said[-1]["total"] == 8


@pytest.mark.parametrize("limit", [1, 2, 4])
async def test_a_walk_that_began_at_the_service_shows_what_a_window_that_lags_behind_holds(
    cached: Make, limit: int
) -> None:
    cache, service = await window(cached, World(), 8)
    service.drop_subscription(MICROBLOG, ALICE)
    for number in (8, 9):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
    found, said = await walk(cache, PUBSUB, MICROBLOG, limit, policy="network")
    assert {info["source"] for info in said} == {"network"}
    assert found == [f"i{number}" for number in reversed(range(10))]


@pytest.mark.parametrize("published", ["efb", "bac"], ids=["the newest is listed first", "the newest is listed last"])
async def test_a_walk_through_a_contact_s_node_misses_nothing_where_ids_are_listed_by_themselves(
    cached: Make, published: str
) -> None:
    """ejabberd lists the ids of a PEP node in their own order, which looks like one of publication by chance."""
    world = World()
    world.account(ALICE)
    bob = world.account("bob@example.org", pep=EJABBERD).pep
    bob.create_node("notes", access_model="open", max_items=1000)
    for id_ in published:
        bob.publish("notes", id_, "<note xmlns='urn:example:notes'/>")
    cache: Cached = await cached(world)
    found, said = await walk(cache, bob.jid, "notes", 2)
    assert {info["source"] for info in said} == {"network"}
    assert "".join(found) == published[::-1]


@pytest.mark.parametrize(
    ("told", "missed", "kept"),
    [([], ["n1", "n2", "n3"], "i8"), (["i5"], ["n1", "n2", "n3"], "i5"), (["i2", "i5"], ["n1"], "i2")],
    ids=["", "published after the oldest that the service gives", "made after it as far as is known"],
)
async def test_what_was_missed_of_a_window_takes_no_place_of_what_an_event_brought(
    cached: Make, told: list[str], missed: list[str], kept: str
) -> None:
    """ejabberd tells the last item to a new session, before which the others were published."""
    world = World()
    cache, service = await followed(cached, world, EJABBERD, count=9, items_per_node=5)
    for id_ in told:
        service.publish(MICROBLOG, id_, ENTRY.format(f"{id_} again"))
        await cache.idle()
    world.cut(ALICE)
    for id_ in missed:
        service.publish(MICROBLOG, id_, ENTRY.format(id_))
    cache.told.clear()
    world.restore(ALICE)
    await cache.idle()
    assert cache.removed() == []
    assert {kept, *missed} <= (await local(cache)).keys()


async def test_what_was_missed_takes_no_place_of_what_events_brought_before_the_service_was_asked(cached: Make) -> None:
    """ejabberd's newest have what was published again by its creation, so that its answer shows only what was made."""
    world = World()
    cache, service = await followed(cached, world, EJABBERD, count=9, items_per_node=5)
    world.cut(ALICE)
    await cache.idle()
    for id_ in ("n1", "n2"):
        service.publish(MICROBLOG, id_, ENTRY.format(id_))
    service.hold()
    world.restore(ALICE)
    await service.holding(1)
    for id_ in ("n3", "i5"):
        service.publish(MICROBLOG, id_, ENTRY.format(f"{id_} again"))
    await cache.house.events.applied()
    service.release()
    await cache.idle()
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i5", "n3", "n2", "n1", "i8"]


@pytest.mark.parametrize("lists", ["nothing", "refuses"])
@pytest.mark.parametrize("policy", ["default", "network"])
async def test_a_walk_at_a_service_that_does_not_show_its_older_items_does_not_end_as_if_there_were_none(
    cached: Make, policy: Policy, lists: str
) -> None:
    cache, service = await window(cached, World(), 150)
    if lists == "refuses":
        service.fail_next("feature-not-implemented", request="disco_items", times=99)
    else:
        session: Any = cache.house.accounts.get(ALICE).session
        session.disco_items = listing_nothing
    items, cursor, info = await cache.read(PUBSUB, MICROBLOG, limit=60, policy="network")
    assert (len(items), info.get("total")) == (60, None)
    items, cursor, info = await cache.read(PUBSUB, MICROBLOG, limit=60, cursor=cursor, policy=policy)
    assert ([item["id"] for item in items], info.get("total")) == ([f"i{n}" for n in range(89, 49, -1)], None)
    with pytest.raises(errors.NotSupported):
        await cache.read(PUBSUB, MICROBLOG, limit=60, cursor=cursor, policy=policy)
    for beyond in ({"order": OLDEST_FIRST}, {"after": "i20"}, {"before": ""}):
        with pytest.raises(errors.NotSupported):
            await cache.read(PUBSUB, MICROBLOG, limit=60, policy="network", **beyond)
    assert await freshness(cache) == "live"


async def test_what_a_service_does_not_show_any_more_is_not_served_as_if_it_had_been_compared(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.fail_next("feature-not-implemented", request="disco_items", times=99)
    service.create_node(MICROBLOG, max_items=10_000)
    for number in range(150):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, MICROBLOG)
    for number in range(150, 160):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
    await cache.idle()
    assert len(await local(cache)) == 110
    world.cut(ALICE)
    await cache.idle()
    service.retract(MICROBLOG, "i55", notify=False)
    world.restore(ALICE)
    await cache.idle()
    assert await freshness(cache) == "live"
    assert [*await local(cache)] == [f"i{number}" for number in range(159, 59, -1)]

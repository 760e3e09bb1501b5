"""Events that wait for long until they are stored: their nodes are not called live meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pubsub_cached.address import Address
from pubsub_cached.cache.nodes import unapplied
from pubsub_cached.cache.nodes.unapplied import Unapplied
from pubsub_cached.cache.options import NodesFilter
from pubsub_cached.xmpp.fake import Service, World
from tests.support.cached import ENTRY, Cached, Make

from .blog import MICROBLOG, PUBSUB, followed, writer_busy

HAPPENINGS: dict[str, Callable[[Service], object]] = {
    "publish": lambda service: service.publish(MICROBLOG, "new", ENTRY.format("new")),
    "retract": lambda service: service.retract(MICROBLOG, "i1"),
    "purge": lambda service: service.purge(MICROBLOG),
}


async def shown(cache: Cached) -> tuple[list[str], str, str]:
    """The items that are read, and the freshness and the state that are said."""
    items, _, info = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    return [item["id"] for item in items], info["freshness"], (await cache.node(PUBSUB, MICROBLOG))["state"]


@pytest.mark.parametrize("happens", HAPPENINGS.values(), ids=HAPPENINGS)
async def test_a_node_is_stale_while_its_event_waits_for_long(
    cached: Make, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Service], object]
) -> None:
    """As where another daemon on the database froze in its turn to write, or the disk is slow."""
    monkeypatch.setattr(unapplied, "LATE", 0.0)
    cache, service = await followed(cached, World())
    with writer_busy(cache):
        happens(service)
        await cache.world.settle()
        assert await shown(cache) == (["i2", "i1", "i0"], "stale", "stale")
        listed, _ = await cache.house.node_reads.listing(NodesFilter(state="stale"))
        assert [record["node"] for record in listed] == [MICROBLOG]
    await cache.idle()
    assert await shown(cache) == ([item.id for item in reversed(service.items(MICROBLOG))], "live", "live")
    assert not [*cache.house.nodes.suspected]


async def test_an_event_that_is_stored_in_time_makes_nothing_stale(
    cached: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unapplied, "LATE", 3600.0)
    cache, service = await followed(cached, World())
    with writer_busy(cache):
        service.publish(MICROBLOG, "new", ENTRY.format("new"))
        await cache.world.settle()
        assert (await shown(cache))[1:] == ("live", "live")
    await cache.idle()


def test_what_came_last_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unapplied, "LATE", 0.0)
    events, one, other = Unapplied(), Address("a@x", "s", "one"), Address("a@x", "s", "other")
    first = events.add(one)
    events.add(other)
    second = events.add(one)
    events.applied(one, first)
    assert {*events} == {one, other}
    events.applied(one, second)
    assert [*events] == [other]
    events.applied(one, second)
    assert one not in events

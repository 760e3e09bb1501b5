"""Views: their lives, how much is told at once, and what happens when something takes long or fails."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import from_mapping
from pubsub_cached.cache.house import House
from pubsub_cached.cache.options import ViewOptions
from pubsub_cached.cache.search.search import parsed_order
from pubsub_cached.cache.views import view as view_module
from pubsub_cached.cache.views.view_source import ViewSource
from pubsub_cached.store.accounts import accounts, nodes
from pubsub_cached.store.aside import THREADS
from pubsub_cached.store.items import items
from pubsub_cached.store.models import Item
from pubsub_cached.store.rows import StoredItem
from pubsub_cached.store.search.members import Member, Place
from pubsub_cached.store.search.search import Search
from pubsub_cached.store.store import Store
from pubsub_cached.store.touched import Touched
from pubsub_cached.store.transaction import Transaction
from pubsub_cached.store.upkeep import maintenance
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, Cached, Make
from tests.support.callbacks import watched
from tests.support.stored import publish, retract
from tests.support.viewed import Owner

ADDRESS = Address(ALICE, "pubsub.example.org", "blog")
OTHER = Address(ALICE, "pubsub.example.org", "other")
COUNT_SECONDS = 30


def stored(id_: str, title: str = "apple", payload: str = "<entry/>") -> StoredItem:
    return StoredItem(id_, payload=f"{payload}{title}", data=f'{{"title":"{title}"}}')


class Shelf:
    """A cache whose nodes are written by hand, so that their sizes cost nothing."""

    def __init__(self, cache: Cached) -> None:
        self.house: House = cache.house
        self.house.views.pause = 0.001
        # Few are counted here, however busy the machine is.
        self.house.views.count_seconds = COUNT_SECONDS
        self.rows: dict[Address, int] = {}

    async def put(self, *found: StoredItem, address: Address = ADDRESS) -> None:
        await self.house.store.write(publish, await self._row(address), list(found))

    async def fill(self, count: int, title: str = "apple", address: Address = ADDRESS) -> None:
        """Items 0 to count."""
        await self.put(*(stored(str(number), title) for number in range(count)), address=address)

    async def retract(self, *ids: str) -> None:
        await self.house.store.write(retract, await self._row(ADDRESS), ids)

    async def hide(self, hidden: bool = True) -> None:
        row = await self._row(ADDRESS)
        await self.house.store.write(lambda tx: nodes.update(tx, row, state="denied" if hidden else "live"))

    async def _row(self, address: Address) -> int:
        if address not in self.rows:
            node = await self.house.store.write(nodes.ensure, address)
            await self.house.store.write(lambda tx: nodes.update(tx, node.id, state="live", completeness="full"))
            self.rows[address] = node.id
        return self.rows[address]

    async def owner(self, *wanted: str, size: int = 100) -> Owner:
        """The owner of a view that was started and has told its window."""
        owner = await Owner.create(self.house, *wanted, size=size)
        await owner.view.start()
        await owner.settled()
        return owner


class Asked(ViewSource):
    """A source that says of what was touched which are members, and how many there are, once it ``answers``."""

    def __init__(self, store: Store, search: Search) -> None:
        super().__init__(store, search, count_seconds=COUNT_SECONDS)
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def among(self, touched: Touched, limit: int) -> list[Member] | None:
        self.asked.set()
        await self.answers.wait()
        return await super().among(touched, limit)

    async def count(self, most: int | None = None) -> int:
        found = await super().count(most)
        if most is None:
            self.asked.set()
            await self.answers.wait()
        return found


class Slow(ViewSource):
    """A source that keeps a thread for each search until it is let ``go``."""

    def __init__(self, store: Store, search: Search, go: threading.Event) -> None:
        super().__init__(store, search, count_seconds=COUNT_SECONDS)
        self._go = go

    async def following(self, place: Place | None, limit: int) -> tuple[list[Member], bool]:
        await self._store.read_all(lambda _: self._go.wait())
        return await super().following(place, limit)


@pytest.fixture
async def shelf(cached: Make) -> Shelf:
    return Shelf(await cached(World()))


def told(owner: Owner) -> list[str]:
    return [what for what, _ in owner.told]


async def test_a_window_is_told_in_batches_and_then_ready(shelf: Shelf) -> None:
    await shelf.fill(250)
    owner = await shelf.owner("", "", "id", size=500)
    assert told(owner) == ["added", "added", "added", "ready"]
    assert [len(ids) for what, ids in owner.told if what == "added"] == [100, 100, 50]
    assert owner.total == 250
    assert [item["index"] for item in owner.held] == list(range(250))


async def test_a_signal_is_no_larger_than_a_reply(shelf: Shelf) -> None:
    await shelf.put(*(stored(str(number), payload="<entry/>" + "x" * 200_000) for number in range(9)))
    owner = await shelf.owner()
    sizes = [len(ids) for what, ids in owner.told if what == "added"]
    assert sum(sizes) == 9
    assert max(sizes) == 4


async def test_the_total_counts_past_the_window(shelf: Shelf) -> None:
    await shelf.fill(30)
    owner = await shelf.owner("apple", size=2)
    assert owner.total == 30
    await shelf.put(stored("30"))
    await shelf.retract("3", "4")
    await owner.settled()
    assert await owner.view.total() == 29


async def test_what_was_counted_before_it_was_stopped_is_not_the_total_after(shelf: Shelf) -> None:
    await shelf.fill(30)
    owner = await shelf.owner(size=2)
    await shelf.put(stored("30"))
    await owner.settled()
    source = Asked(shelf.house.store, Search(matching=shelf.house.searches.matching("", "")))
    owner.view.look_again(source)
    await owner.settled()
    source.asked.clear()
    source.answers.clear()
    asked = asyncio.create_task(owner.view.total())
    await source.asked.wait()
    owner.view.stop()
    await shelf.put(stored("31"))
    await owner.view.start()
    source.answers.set()
    assert await asked == 31
    await owner.settled()
    assert await owner.view.total() == 32


async def test_a_change_past_the_window_tells_nothing(shelf: Shelf) -> None:
    await shelf.fill(30)
    owner = await shelf.owner("", "", "id", size=2)
    before = [*owner.told]
    await shelf.put(stored("9", "pear"))
    await shelf.retract("8")
    await owner.settled()
    assert owner.told == before


@pytest.mark.sqlite
async def test_much_that_changed_is_looked_at_and_told_in_slices(shelf: Shelf) -> None:
    """Processor time, as a part of what all callbacks took: what else the machine does changes nothing."""
    count = view_module.PENDING_AT_MOST
    await shelf.fill(count)
    owner = await shelf.owner(size=500)
    # Statements are compiled once.
    await shelf.fill(count, "plum")
    await owner.settled()
    other = [stored(str(number), "pear") for number in range(count)]
    with watched() as found:
        await shelf.put(*other)
        await owner.settled()
    assert len(owner.held) == 500
    assert found.longest[0].seconds < found.total / 2, str(found)


@pytest.mark.sqlite
async def test_changes_of_a_moment_are_told_together(shelf: Shelf) -> None:
    pause = shelf.house.views.pause = 0.2
    await shelf.fill(3)
    owner = await shelf.owner("", "", "id")
    del owner.told[:]
    begin = time.monotonic()
    for number in range(3, 20):
        await shelf.put(stored(str(number)))
    await owner.settled()
    moments = (time.monotonic() - begin) / pause
    assert owner.ids == sorted(map(str, range(20)))
    assert len(owner.told) <= moments + 1


async def test_only_what_moved_is_told_to_have_moved(shelf: Shelf) -> None:
    await shelf.fill(6)
    owner = await shelf.owner()
    del owner.told[:]
    await shelf.put(stored("0", "pear"))
    await owner.settled()
    assert owner.told == [("changed", ["0"])]
    assert owner.ids == ["0", "5", "4", "3", "2", "1"]


async def test_what_is_published_again_as_it_was_moves_too(shelf: Shelf) -> None:
    await shelf.fill(3)
    owner = await shelf.owner()
    await shelf.put(stored("0"))
    assert [item["id"] for item in await owner.settled()] == ["0", "2", "1"]


async def test_a_hidden_node_is_taken_out_and_comes_back(shelf: Shelf) -> None:
    await shelf.fill(5)
    await shelf.fill(2, address=OTHER)
    owner = await shelf.owner("", "", "id", size=4)
    for hidden in (True, False):
        await shelf.hide(hidden)
        assert await owner.settled() == await owner.fresh()
        assert len(owner.held) == (2 if hidden else 4)


@pytest.mark.parametrize("how", ["forget", "hole", "evict", "gap", "erase", "reset"])
async def test_what_is_removed_in_any_way_is_taken_out(shelf: Shelf, how: str) -> None:
    await shelf.fill(5)
    await shelf.fill(2, address=OTHER)
    owner = await shelf.owner("", "", "id")
    row = shelf.rows[ADDRESS]

    def hole(tx: Transaction) -> None:
        """Without one in the middle the rest is no window, and is not shown."""
        tx.connection.execute(update(Item).where(Item.node_id == row, Item.item_id == "2").values(created_at=0))
        items.drop_of_each(tx, [row], created_before=1)

    removal: dict[str, Callable[[Transaction], object]] = {
        "forget": lambda tx: nodes.forget(tx, row),
        "hole": hole,
        "evict": lambda tx: items.evict(tx, row, 2),
        "gap": lambda tx: items.replace(tx, row, [stored("6")], full=False, moves=True),
        "erase": lambda tx: items.erase(tx, row),
        "reset": maintenance.reset,
    }
    await shelf.house.store.write(removal[how])
    assert await owner.settled() == await owner.fresh()
    assert len(owner.held) == {"evict": 4, "gap": 3, "reset": 0}.get(how, 2)


async def test_the_items_of_a_removed_account_go_and_come_back_with_it(shelf: Shelf) -> None:
    await shelf.fill(3)
    owner = await shelf.owner("", "", "id")
    await shelf.house.store.write(functools.partial(accounts.remove, keep_cache=True), ALICE)
    assert await owner.settled() == []
    await shelf.house.store.write(accounts.ensure, ALICE)
    assert owner.ids == [] != await owner.settled()
    assert owner.plain() == await owner.fresh()


@pytest.mark.parametrize("wanted", [("", "", "id"), ("apple", "", "")], ids=["by a place of its own", "by rank"])
async def test_a_larger_window_is_told_and_then_ready(shelf: Shelf, wanted: tuple[str, str, str]) -> None:
    await shelf.fill(30)
    owner = await shelf.owner(*wanted, size=5)
    del owner.told[:]
    owner.resize(20)
    assert await owner.settled() == await owner.fresh()
    assert [(what, len(ids)) for what, ids in owner.told if what == "added"] == [("added", 15)]
    assert told(owner) == ["added", "ready"]
    assert owner.total == 30
    owner.resize(2)
    assert await owner.settled() == await owner.fresh()
    assert told(owner)[2:] == ["removed", "ready"]


async def test_a_window_of_another_size_begins_with_it(shelf: Shelf) -> None:
    await shelf.fill(9)
    owner = await Owner.create(shelf.house, size=2)
    owner.resize(4)
    assert owner.told == []
    starting = asyncio.create_task(owner.view.start())
    await asyncio.sleep(0)
    assert owner.view.state == "starting"
    owner.resize(6)
    await starting
    assert await owner.settled() == await owner.fresh()
    assert len(owner.held) == 6
    assert told(owner)[-1] == "ready"


async def test_a_window_that_grows_while_it_is_read_anew_is_ready_again(shelf: Shelf) -> None:
    await shelf.fill(9)
    owner = await shelf.owner("apple", size=2)
    search = Search(matching=shelf.house.searches.matching("apple", ""))
    source = Asked(shelf.house.store, search)
    owner.view.look_again(source)
    await owner.settled()
    del owner.told[:]
    source.answers.clear()
    await shelf.put(stored("9"))
    await source.asked.wait()
    owner.resize(5)
    source.answers.set()
    assert await owner.settled() == await owner.fresh()
    assert told(owner).count("ready") == 1
    assert told(owner)[-1] == "ready"


async def test_a_window_made_smaller_and_larger_while_nodes_are_looked_at_is_all_there(shelf: Shelf) -> None:
    query = '{"where":[["title","ilike","apple"]]}'
    await shelf.fill(9)
    await shelf.fill(view_module.AT_ONCE, "plum", OTHER)
    await shelf.hide()
    owner = await shelf.owner("", query, "id", size=20)
    search = Search(matching=shelf.house.searches.matching("", query), order=parsed_order("id"))
    source = Asked(shelf.house.store, search)
    owner.view.look_again(source)
    await owner.settled()
    other = [stored(str(number), "pear") for number in range(view_module.AT_ONCE)]

    def write(tx: Transaction) -> None:
        # So many are looked at before the node is.
        publish(tx, shelf.rows[OTHER], other)
        nodes.update(tx, shelf.rows[ADDRESS], state="live")

    source.answers.clear()
    await shelf.house.store.write(write)
    await source.asked.wait()
    owner.resize(2)
    source.asked.clear()
    source.answers.set()
    await source.asked.wait()
    owner.resize(20)
    assert await owner.settled() == await owner.fresh()
    assert len(owner.held) == 9


async def test_what_comes_while_the_window_grows_is_told_once(shelf: Shelf) -> None:
    await shelf.fill(9)
    owner = await shelf.owner("", "", "id", size=2)
    for size in range(3, 8):
        owner.resize(size)
        await shelf.put(stored(f"0{size}"))
        await shelf.retract(str(size))
    assert await owner.settled() == await owner.fresh()
    assert len(owner.held) == 7


async def test_another_node_is_none_of_its_business(shelf: Shelf) -> None:
    await shelf.fill(2)
    owner = await shelf.owner("", '{"nodes":["blog"]}')
    before = [*owner.told]
    await shelf.fill(view_module.PENDING_AT_MOST + 1, address=OTHER)
    await owner.settled()
    assert owner.told == before


# Too much


async def test_with_too_much_to_tell_it_begins_anew(shelf: Shelf) -> None:
    await shelf.fill(3)
    owner = await shelf.owner(size=5)
    del owner.told[:]
    await shelf.fill(view_module.PENDING_AT_MOST + 1, "pear")
    assert await owner.settled() == await owner.fresh()
    assert told(owner) == ["reset", "added", "ready"]
    assert owner.total == view_module.PENDING_AT_MOST + 1


async def test_much_that_changes_nothing_is_not_told(shelf: Shelf) -> None:
    await shelf.fill(3)
    owner = await shelf.owner("apple", "", "id", size=5)
    before = [*owner.told]
    await shelf.fill(view_module.PENDING_AT_MOST + 1, "pear", address=OTHER)
    await owner.settled()
    assert owner.told == before


async def test_who_does_not_read_is_told_once_what_changed(shelf: Shelf) -> None:
    await shelf.fill(3)
    owner = await shelf.owner()
    del owner.told[:]
    owner.reads.clear()
    for number in range(40):
        await shelf.put(stored("0", f"apple {number}"))
        await shelf.put(stored(f"new-{number}"))
        if number < 39:
            await shelf.retract(f"new-{number}")
    assert owner.told == []
    owner.reads.set()
    assert await owner.settled() == await owner.fresh()
    assert len(owner.told) <= 4


async def test_who_slept_through_too_much_begins_anew(shelf: Shelf) -> None:
    await shelf.fill(3)
    owner = await shelf.owner(size=2)
    del owner.told[:]
    owner.reads.clear()
    await shelf.put(stored("0", "plum"))
    await shelf.fill(view_module.PENDING_AT_MOST + 1, "pear")
    owner.reads.set()
    assert await owner.settled() == await owner.fresh()
    assert told(owner).count("reset") == 1
    assert told(owner)[-2:] == ["added", "ready"]


async def test_by_rank_the_best_of_the_newest_are_held(shelf: Shelf) -> None:
    """Of more than a thousand that fit those stored last are ranked, so what comes drives others out."""
    await shelf.put(stored("best", "apple apple apple apple"))
    await shelf.fill(999, "one apple of a great many")
    owner = await shelf.owner("apple", size=3)
    assert owner.ids[0] == "best"
    await shelf.put(stored("last", "one apple of a great many"))
    assert await owner.settled() == await owner.fresh()
    assert "best" not in owner.ids
    await shelf.retract("7", "8")
    assert await owner.settled() == await owner.fresh()
    assert owner.ids[0] == "best"


# Lives


async def test_it_is_silent_until_started_and_when_stopped(shelf: Shelf) -> None:
    await shelf.fill(2)
    owner = await Owner.create(shelf.house)
    await shelf.put(stored("a"))
    assert owner.told == []
    await owner.view.start()
    await owner.settled()
    assert owner.view.state == "running"
    owner.view.stop()
    del owner.told[:]
    await shelf.put(stored("b"))
    await asyncio.sleep(0)
    assert owner.told == []
    await owner.view.start()
    assert await owner.settled() == await owner.fresh()
    assert told(owner) == ["reset", "added", "ready"]


async def test_starting_twice_is_starting_once(shelf: Shelf) -> None:
    await shelf.fill(2)
    owner = await Owner.create(shelf.house)
    await asyncio.gather(owner.view.start(), owner.view.start())
    await owner.view.start()
    await owner.settled()
    assert told(owner) == ["added", "ready"]


async def test_one_stopped_while_it_starts_is_stopped(shelf: Shelf) -> None:
    owner = await Owner.create(shelf.house)
    starting = asyncio.create_task(owner.view.start())
    await asyncio.sleep(0)
    assert owner.view.state == "starting"
    owner.view.stop()
    await starting
    assert owner.view.state == "stopped"
    await owner.view.start()
    await owner.settled()
    assert told(owner) == ["ready"]


async def test_what_is_committed_while_it_starts_is_told(shelf: Shelf) -> None:
    await shelf.fill(2)
    owner = await Owner.create(shelf.house)
    await asyncio.gather(owner.view.start(), shelf.put(stored("a")), shelf.retract("0"))
    assert await owner.settled() == await owner.fresh()


async def test_views_end_with_their_owner(shelf: Shelf) -> None:
    views = shelf.house.views
    ended: list[str] = []
    views.on_removed.append(lambda view: ended.append(view.path))
    mine = [await Owner.create(shelf.house, name=":1.7") for _ in range(2)]
    await Owner.create(shelf.house, name=":1.8")
    await mine[0].view.start()
    views.owner_gone(":1.7")
    assert ended == [owner.view.path for owner in mine]
    assert mine[0].view.state == "stopped"
    assert [view.owner for view in views.all()] == [":1.8"]
    views.remove(mine[0].view)
    assert len(ended) == 2


async def test_a_client_may_have_sixteen(shelf: Shelf) -> None:
    owners = [await Owner.create(shelf.house) for _ in range(16)]
    with pytest.raises(errors.LimitExceeded, match=r":1\.7 .* 16"):
        await Owner.create(shelf.house)
    await Owner.create(shelf.house, name=":1.8")
    shelf.house.views.remove(owners[3].view)
    await Owner.create(shelf.house)


async def test_paths_are_the_owners_and_tokens_are_used_once(shelf: Shelf) -> None:
    views = shelf.house.views
    view = await views.create("", "", ViewOptions(token="t"), ":1.42")
    assert view.path == "/im/pubsubcache1/view/1_42/t"
    with pytest.raises(errors.Conflict, match="'t'"):
        await views.create("", "", ViewOptions(token="t"), ":1.42")
    await views.create("", "", ViewOptions(token="t"), ":1.43")
    views.remove(view)
    await views.create("", "", ViewOptions(token="t"), ":1.42")


@pytest.mark.parametrize(
    ("query", "options", "error"),
    [
        ("[]", {}, errors.InvalidQuery),
        ("", {"order": "size"}, errors.InvalidArgs),
        ("", {"cursor": "abc"}, errors.NotSupported),
    ],
)
async def test_what_can_not_be_is_refused(
    shelf: Shelf, query: str, options: dict[str, Any], error: type[errors.PubSubCachedError]
) -> None:
    with pytest.raises(error):
        await shelf.house.views.create("", query, ViewOptions(**options), ":1.7")
    assert shelf.house.views.all() == []


async def test_fields_are_trimmed_but_for_key_and_index(shelf: Shelf) -> None:
    await shelf.fill(1)
    view = await shelf.house.views.create("", "", ViewOptions(fields=frozenset({"type", "node"})), ":1.7")
    owner = Owner(shelf.house, view, ("", "", ""), 100)
    owner.items = lambda change, items: owner.held.extend(items)  # type: ignore[method-assign]
    await view.start()
    await owner.settled()
    assert owner.held == [{"node": "blog", "key": ADDRESS.key("0"), "index": 0}]
    assert await view.range(0, 5) == owner.held


@pytest.mark.sqlite
@pytest.mark.parametrize("what", ["all", "next"])
async def test_a_client_does_not_wait_for_many_views_that_search_again(shelf: Shelf, what: str) -> None:
    # None of them rests when there is something to do.
    shelf.house.views.pause = 0
    await shelf.fill(9)
    owners = [await shelf.owner("", "", "id", size=3) for _ in range(THREADS)]
    search, go = Search(matching=shelf.house.searches.matching("", ""), order=parsed_order("id")), threading.Event()
    sources = [Slow(shelf.house.store, search, go) for _ in owners]
    go.set()
    for owner, source in zip(owners, sources, strict=True):
        owner.view.look_again(source)
        await owner.settled()
    go.clear()
    try:
        if what == "all":
            shelf.house.store.changed_elsewhere()
        else:
            await shelf.retract("0")
        # All views have their turn, in which they begin to read.
        await asyncio.sleep(0)
        await asyncio.wait_for(shelf.house.store.read_aside(lambda _: None), 10)
    finally:
        go.set()
    for owner in owners:
        assert await owner.settled() == await owner.fresh()
        assert await owner.view.total() == (8 if what == "next" else 9)


# Failures


@pytest.mark.sqlite
async def test_what_takes_too_long_is_tried_again(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "RETRY_FIRST", 0.001)
    await shelf.fill(3)
    owner = await shelf.owner(size=2)
    driver = shelf.house.store._connection.connection.driver_connection
    # Every read on the loop's thread is cut off for a while.
    failures = 0

    def cut_off() -> int:
        nonlocal failures
        failures += 1
        return failures < 3

    driver.set_progress_handler(cut_off, 1)  # type: ignore[union-attr]
    await shelf.retract("2")
    assert await owner.settled() == await owner.fresh()
    assert failures >= 3
    driver.set_progress_handler(None, 0)  # type: ignore[union-attr]


async def test_who_does_not_see_every_node_sees_what_analysers_make_public_or_private(shelf: Shelf) -> None:
    house, rules = shelf.house, {"name": "x", "type": "thing", "namespace": "urn:x"}
    await shelf.put(stored("1"))
    row = await shelf._row(ADDRESS)
    await house.store.write(lambda tx: nodes.update(tx, row, analyser="x"))
    view = await house.views.create("", "", ViewOptions(analysers=house.privacy.public), ":1.7")
    owner = Owner(house, view, ("", "", ""), 100)
    await view.start()
    assert await owner.settled() == []
    house.analysers.register(from_mapping(rules), "bus", ":1.1")
    await owner.settled()
    assert (owner.ids, await view.total()) == (["1"], 1)
    house.analysers.register(from_mapping({**rules, "private": True}), "bus", ":1.1")
    assert (await owner.settled(), await view.total()) == ([], 0)


async def test_who_does_not_see_every_node_sees_those_no_more_that_become_a_private_analysers(shelf: Shelf) -> None:
    """The analysers stay as they are; it is the node that another one claims."""
    house = shelf.house
    await shelf.fill(3)
    view = await house.views.create("", "", ViewOptions(analysers=house.privacy.public), ":1.7")
    owner = Owner(house, view, ("", "", ""), 100)
    await view.start()
    row = await shelf._row(ADDRESS)
    for analyser, count in (("private", 0), ("", 3)):
        await house.store.write(lambda tx, name=analyser: nodes.update(tx, row, analyser=name))  # type: ignore[misc]
        assert len(await owner.settled()) == await view.total() == count


async def test_what_another_daemon_wrote_is_told_also_where_nothing_moves(shelf: Shelf) -> None:
    await shelf.fill(3)
    owner = await shelf.owner("", "", "id")
    elsewhere = update(Item).where(Item.item_id == "1").values(publisher="bob@example.org")
    await shelf.house.store.write(lambda tx: tx.connection.execute(elsewhere).rowcount)
    shelf.house.store.changed_elsewhere()
    assert await owner.settled() == await owner.fresh()
    assert owner.held[1]["publisher"] == "bob@example.org"


async def test_another_account_tells_nothing_of_what_it_leaves_alone(shelf: Shelf) -> None:
    await shelf.fill(3)
    owner = await shelf.owner("", "", "id")
    before = [*owner.told]
    await shelf.house.store.write(functools.partial(accounts.ensure, enabled=False), "bob@example.org")
    assert await owner.settled() == await owner.fresh()
    assert owner.told == before


@pytest.mark.parametrize("ends", ["stop", "remove"])
async def test_a_view_that_is_ended_in_the_moment_in_which_it_is_begun_stays_so(shelf: Shelf, ends: str) -> None:
    """Calls of one client are looked at in their order, and begin to work a turn later."""
    await shelf.fill(2)
    owner = await Owner.create(shelf.house)
    starting = asyncio.ensure_future(owner.view.start())
    if ends == "stop":
        owner.view.stop()
    else:
        shelf.house.views.remove(owner.view)
    await starting
    assert owner.view.state == "stopped"
    assert [task for task in asyncio.all_tasks() if task.get_name() == f"view {owner.view.path}"] == []

"""Pages that come again as they were sent: never one that the database would not say."""

from __future__ import annotations

import asyncio
import copy
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from pubsub_cached.address import Address
from pubsub_cached.api.memfd import Sealed
from pubsub_cached.cache.options import PurgeFilter, ReadOptions, SearchOptions
from pubsub_cached.cache.place import Place
from pubsub_cached.cache.reads import pages as kept
from pubsub_cached.cache.reads.pages import Form, MadeAnswer
from pubsub_cached.cache.reads.rows import Rows
from pubsub_cached.cache.reads.shelf import Shelf
from pubsub_cached.errors import PubSubCachedError
from pubsub_cached.records import ItemRecord
from pubsub_cached.store import dialect, indexes
from pubsub_cached.store.accounts import nodes as node_store
from pubsub_cached.store.items import items as item_store
from pubsub_cached.store.items import removal
from pubsub_cached.store.items.pages import read_items
from pubsub_cached.store.statement import Prepared
from pubsub_cached.store.store import Store
from pubsub_cached.store.touched import Touched
from pubsub_cached.store.transaction import committed_revision
from pubsub_cached.store.versions import Versions
from pubsub_cached.store.writer import Work
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Cached, Make, answered

from .blog import PUBSUB

# Pages are kept where bounded reads are made on the loop.
pytestmark = pytest.mark.sqlite

BLOG = Address(ALICE, PUBSUB, "blog")


class Copied:
    """Records as they were."""

    has_descriptor = False

    def __init__(self, items: list[ItemRecord], size: int = 1000) -> None:
        self.items = copy.deepcopy(items)
        self.size = size

    def keep(self, shelf: Shelf) -> bool:
        return True


COPIES = Form("copies", lambda items, options: Copied(items))
LARGE = Form("large", lambda items, options: Copied(items, kept.BYTES_AT_MOST // 2 + 1))
OPTIONS = (
    ReadOptions(),
    ReadOptions(limit=2),
    ReadOptions(limit=3, index=1),
    ReadOptions(order=(("created", False),), fields=frozenset({"id", "flags", "data"})),
    ReadOptions(limit=2, before=""),
    ReadOptions(ids=("i0", "i3"), policy="cache"),
)


SEARCHES = (
    ("3", "", SearchOptions()),
    ("0 -3", "", SearchOptions(limit=2)),
    ("2", "", SearchOptions(order="modified desc", fields=frozenset({"id", "flags"}))),
    ("", '{"where":[["atom_id","=","tag:1"]]}', SearchOptions()),
)


async def seek(cache: Cached, text: str, query: str = "", options: SearchOptions = SearchOptions()) -> MadeAnswer:  # noqa: B008
    return await answered(cache.house.searches.get_made(text, query, options, COPIES))


async def ask(cache: Cached, options: ReadOptions = ReadOptions(), form: Form = COPIES) -> MadeAnswer:  # noqa: B008
    answer = cache.house.reads.get_made(BLOG, options, form)
    return await answered(answer)


async def follows(cached: Make, **limits: int) -> Cached:
    world = World()
    service = world.service(PUBSUB)
    service.create_node("blog", node_type="urn:xmpp:microblog:0", max_items=100)
    for number in range(5):
        service.publish("blog", f"i{number}", ENTRY.format(number))
    cache: Cached = await cached(world, **limits)
    cache.house.sync.in_background(BLOG)
    await cache.idle()
    return cache


def publish(cache: Cached, number: int, text: str = "") -> None:
    cache.world.services[PUBSUB].publish("blog", f"i{number}", ENTRY.format(f"{number}{text}"))


# When a page comes again


async def test_the_same_page_of_an_unchanged_node_is_made_once(cached: Make) -> None:
    cache = await follows(cached)
    first, *_ = await ask(cache)
    again, *_ = await ask(cache)
    other, *_ = await ask(cache, ReadOptions(limit=2))

    assert again is first
    assert other is not first


async def test_the_same_search_is_made_once_until_something_is_committed(cached: Make) -> None:
    cache = await follows(cached)
    first = None
    async with asyncio.timeout(30):
        # Where the processor is elsewhere a thread may have looked for it, which keeps nothing.
        while first is not (first := (await seek(cache, "3"))[0]):
            pass
    again, cursor, info = await seek(cache, "3")
    *_, other_info = await seek(cache, "3", options=SearchOptions(limit=7))
    other, *_ = await seek(cache, "4")

    assert [item["id"] for item in first.items] == ["i3"]  # type: ignore[attr-defined]
    assert again is first
    assert (cursor, info["total"]) == ("", 1)
    assert info == other_info
    assert other is not first
    await cache.store.write(lambda tx: tx.next_revision())
    later, _, info_later = await seek(cache, "3")
    assert later is not first
    assert info_later["revision"] == info["revision"] + 1


async def test_how_fresh_a_search_is_belongs_to_no_page(cached: Make) -> None:
    cache = await follows(cached)
    await seek(cache, "3")
    first, _, info = await seek(cache, "3")
    cache.world.cut(ALICE)
    await cache.idle()
    again, _, later = await seek(cache, "3")

    assert info["freshness"] == "live"
    assert later["freshness"] == "offline"
    assert again.items == first.items  # type: ignore[attr-defined]


async def test_searches_that_differ_in_kind_alone_are_two(cached: Make) -> None:
    cache = await follows(cached)
    await cache.store.write(indexes.ensure, ["author_verified"])
    pages = [await seek(cache, "3", f'{{"where":[["author_verified","=",{value}]]}}') for value in ("false", "0") * 2]

    assert [[item["id"] for item in page.items] for page, *_ in pages] == [["i3"], []] * 2  # type: ignore[attr-defined]


async def test_an_item_that_only_moved_makes_another_page(cached: Make) -> None:
    cache = await follows(cached)
    first, _, info = await ask(cache)
    publish(cache, 0)
    await cache.idle()
    again, _, later = await ask(cache)

    assert [item["id"] for item in first.items] == ["i4", "i3", "i2", "i1", "i0"]  # type: ignore[attr-defined]
    assert [item["id"] for item in again.items] == ["i0", "i4", "i3", "i2", "i1"]  # type: ignore[attr-defined]
    assert later["revision"] == info["revision"]


async def test_what_changes_elsewhere_changes_no_page(cached: Make) -> None:
    cache = await follows(cached)
    first, _, info = await ask(cache)
    cache.world.services[PUBSUB].create_node("other", node_type="urn:xmpp:microblog:0")
    cache.world.services[PUBSUB].publish("other", "i0", ENTRY.format(0))
    cache.house.sync.in_background(Address(ALICE, PUBSUB, "other"))
    await cache.idle()
    again, _, later = await ask(cache)

    assert again is first
    assert later["revision"] > info["revision"]


async def test_a_denied_node_is_denied_whatever_was_made_before(cached: Make) -> None:
    cache = await follows(cached)
    await ask(cache)
    node = await cache.house.nodes.find(BLOG)
    assert node is not None
    await cache.house.nodes.update(node, state="denied", reason="forbidden")
    answer = cache.house.reads.get_made(BLOG, ReadOptions(policy="cache"), COPIES)
    assert not isinstance(answer, tuple)
    with pytest.raises(Exception, match="may not read"):
        await answer


async def test_large_pages_and_many_are_not_kept(cached: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = await follows(cached)
    pages = cache.house.reads.pages
    await ask(cache, form=LARGE)
    assert len(pages) == 0
    for limit in range(1, kept.PAGES_AT_MOST + 10):
        await ask(cache, ReadOptions(limit=limit))
    assert len(pages) == kept.PAGES_AT_MOST
    assert pages.size == 1000 * kept.PAGES_AT_MOST
    monkeypatch.setattr(kept, "OWN_BYTES_AT_MOST", 8000)
    await ask(cache, ReadOptions(limit=300))
    assert pages.size == 8000
    monkeypatch.setattr(kept, "BYTES_AT_MOST", 5000)
    await ask(cache, ReadOptions(limit=200))
    assert pages.size <= 5000


async def test_what_nobody_asks_for_again_goes(cached: Make) -> None:
    cache = await follows(cached)
    pages = cache.house.reads.pages
    first, *_ = await ask(cache)
    await ask(cache, ReadOptions(limit=2))
    pages._sweep()
    assert (await ask(cache))[0] is first
    pages._sweep()
    assert len(pages) == 1
    pages._sweep()
    assert len(pages) == 0


async def test_descriptors_are_as_many_whatever_is_kept(cached: Make) -> None:
    cache = await follows(cached)
    sealed = Form("sealed", lambda items, options: Sealed([b"x" * 100]))
    before = len(os.listdir("/proc/self/fd"))
    for limit in range(1, kept.DESCRIPTORS_AT_MOST + 5):
        page, *_ = await ask(cache, ReadOptions(limit=limit), sealed)
        first, second = page.open(), page.open()  # type: ignore[attr-defined]
        assert os.read(first, 1000) == os.read(second, 1000) == b"x" * 100
        os.close(first)
        os.close(second)
        del page
    assert len(cache.house.reads.pages) == kept.DESCRIPTORS_AT_MOST
    assert len(os.listdir("/proc/self/fd")) == before


# That it is what would be read


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["publish", "again", "retract", "flag", "purge", "sync", "reset", "silent", "delete"]),
        st.integers(0, 7),
    ),
    max_size=8,
)


async def act(cache: Cached, action: str, number: int) -> None:
    service = cache.world.services[PUBSUB]
    match action:
        case "publish":
            publish(cache, number, f" {len(cache.world.requests)}")
        case "again":
            publish(cache, number)
        case "retract":
            service.retract("blog", f"i{number}")
        case "flag":
            await cache.house.node_reads.set_flags(BLOG, [f"i{number}"], ["starred"], [])
        case "purge":
            await cache.house.removal.purge(PurgeFilter(nodes=("blog",)), "", "").wait()
        case "reset":
            await cache.house.removal.reset("", "").wait()
        case "sync":
            await cache.house.sync.run(BLOG, full=True)
        case "silent":
            service.expire_items("blog", f"i{number}")
        case "delete":
            service.delete("blog")
            service.create_node("blog", node_type="urn:xmpp:microblog:0", max_items=100)


def seen(conn: Connection) -> tuple[int, object]:
    """Another once anything was committed."""
    return committed_revision(conn), dialect.of(conn).version(conn)


async def compare(cache: Cached) -> None:
    """Each page is what the database says; asked twice, so that it may come again."""
    # What is written meanwhile is in the one and not in the other.
    for options in OPTIONS * 2:
        before = None
        try:
            while before != (before := cache.store.read_now(seen)):
                page, _, info = await ask(cache, options)
                query = Place.of(BLOG, options).query(options)
                node, revision, found = cache.store.read_now(read_items, BLOG, query)
        except PubSubCachedError:
            continue
        if info["source"] != "cache":
            continue
        assert node is not None
        assert found is not None
        assert page.items == found.items  # type: ignore[attr-defined]
        assert info["revision"] == revision
        assert info["completeness"] == node.completeness
        assert info.get("validated-at") == node.validated_at
        assert info.get("total") == (node.item_count if node.completeness == "full" else None)
    for text, query, sought in SEARCHES * 2:
        before = None
        # What was refused is hidden before that is committed.
        while before != (before := (cache.store.read_now(seen), cache.house.nodes.suspected.hidden)):
            page, _, info = await seek(cache, text, query, sought)
            items, _, fresh = await answered(cache.house.searches.search(text, query, sought))
        assert page.items == items  # type: ignore[attr-defined]
        assert info == fresh


def check(tmp_path: Path, examples: int) -> None:
    """Random changes, and all pages compared after each."""

    async def run(actions: list[tuple[str, int]]) -> None:
        (tmp_path / "cache.sqlite3").unlink(missing_ok=True)
        started: list[Cached] = []

        async def make(world: World, **limits: int) -> Cached:
            world.account(ALICE)
            started.append(Cached(world, tmp_path, **limits))
            return await started[0].start()

        cache = await follows(make, items_per_node=6)
        try:
            await compare(cache)
            for action, number in actions:
                await act(cache, action, number)
                await compare(cache)
                await cache.idle()
                await compare(cache)
        finally:
            await cache.stop()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(actions=ACTIONS)
    def any_of_them(actions: list[tuple[str, int]]) -> None:
        asyncio.run(run(actions))

    any_of_them()


def test_a_page_that_comes_again_is_what_would_be_read(tmp_path: Path) -> None:
    check(tmp_path, 6)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_pages_that_come_again_are_what_would_be_read_for_long(tmp_path: Path) -> None:
    check(tmp_path, 150)


async def test_a_page_beside_a_writer_is_that_of_its_revision(cached: Make) -> None:
    """The loop reads while another thread commits: what an answer holds is what was there at its revision."""
    cache = await follows(cached)
    answers: list[tuple[int, dict[str, int]]] = []
    written: list[tuple[int, str]] = []
    page, _, info = await ask(cache)
    first = {item["id"]: item["revision"] for item in page.items}  # type: ignore[attr-defined]
    for number in range(300):
        id_ = f"i{number % 5}"
        add, remove = (["read"], []) if number // 5 % 2 == 0 else ([], ["read"])
        future = cache.store.write(item_store.set_flags, BLOG, [id_], add, remove)
        while not future.done():
            page, _, info = await ask(cache)
            answers.append((info["revision"], {item["id"]: item["revision"] for item in page.items}))  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        written.append((future.result().revision, id_))
    for revision, found in answers:
        wanted = dict(first) | {id_: at for at, id_ in written if at <= revision}
        assert found == wanted


# Rows that are not read again


async def test_a_nodes_row_is_read_once_until_something_is_committed(cached: Make) -> None:
    cache = await follows(cached)
    await ask(cache)
    # That it was read has been written down then.
    await cache.store.write(lambda tx: None)
    await ask(cache)
    with heard(cache) as statements:
        await ask(cache)
        await ask(cache, ReadOptions(limit=2))
        assert [asks_for_node(sql) for sql, _ in statements] == [False]
        await cache.store.write(lambda tx: None)
        await ask(cache)
        assert [asks_for_node(sql) for sql, _ in statements] == [False, True]


async def test_what_a_row_says_is_what_was_committed_last(cached: Make) -> None:
    cache = await follows(cached)
    node = await cache.house.nodes.find(BLOG)
    assert node is not None
    for at in range(1, 4):
        # That is bookkeeping: neither the revision nor the node's items change.
        await cache.store.write(node_store.update, node.id, validated_at=at)
        for options in (ReadOptions(), ReadOptions(limit=at)):
            assert (await ask(cache, options))[2]["validated-at"] == at


async def test_a_commit_between_row_and_items_has_both_read_again(cached: Make) -> None:
    cache = await follows(cached)
    query = Place.of(BLOG, ReadOptions()).query(ReadOptions())
    late = Late(cache.store)
    rows = Rows(late)  # type: ignore[arg-type]
    node, *_ = rows.read_items(BLOG, query)
    assert node is not None
    late.work = lambda tx: removal.evict(tx, node.id, 3)
    node, revision, found = rows.read_items(BLOG, query)
    assert (node, revision, found) == cache.store.read_now(read_items, BLOG, query)
    assert node is not None
    assert found is not None
    assert (node.item_count, len(found.items)) == (3, 3)


def asks_for_node(sql: str) -> bool:
    return "FROM node" in sql


@contextmanager
def heard(cache: Cached) -> Iterator[list[tuple[str, object]]]:
    """The statements that the loop reads with, as they come."""
    connection = cache.store.read_now(lambda conn: conn)
    statements = Prepared.heard[connection] = []
    try:
        yield statements
    finally:
        del Prepared.heard[connection]


class Late:
    """A store into which something is written just before it is read, once."""

    def __init__(self, store: Store) -> None:
        self.versions = store.versions
        self.work: Work | None = None
        self._store = store

    def read_now(self, fn: Callable[..., Any], *arguments: object) -> Any:
        work, self.work = self.work, None
        if work is not None:
            committed = threading.Event()
            self._store.write(work)
            self._store.maintain(lambda driver: committed.set())
            committed.wait()
        return self._store.read_now(fn, *arguments)


# Versions


def touched(*addresses: Address) -> Touched:
    found = Touched()
    for number, address in enumerate(addresses):
        found.items(number, address, ["i0"])
    return found


def test_a_version_is_none_while_a_commit_is_under_way() -> None:
    versions = Versions()
    other = Address(ALICE, PUBSUB, "other")
    before = versions.of(BLOG)
    with versions.changing(touched(BLOG)):
        assert versions.of(BLOG) is None
        assert versions.of(other) is not None
    assert versions.of(BLOG) not in (None, before)


def test_every_commit_is_a_new_version_of_everything() -> None:
    versions = Versions()
    before = versions.everything
    with versions.changing(Touched()):
        assert versions.everything is None
    assert versions.everything not in (None, before)


async def test_what_is_done_between_transactions_is_a_new_version_of_everything(cached: Make) -> None:
    cache = await follows(cached)
    versions = cache.store.versions
    before = versions.everything
    assert await cache.store.maintain(lambda driver: versions.everything) is None
    assert versions.everything not in (None, before)


def test_a_commit_that_failed_is_a_new_version_as_well() -> None:
    versions = Versions()
    before = versions.of(BLOG)
    with pytest.raises(OSError, match="full"), versions.changing(touched(BLOG)):
        raise OSError("full")
    assert versions.of(BLOG) not in (None, before)


def test_what_could_not_be_counted_lets_no_later_commit_pass_for_none() -> None:
    versions = Versions()
    uncountable: Any = BLOG._replace(node=[])
    with pytest.raises(TypeError), versions.changing(touched(BLOG, uncountable)):
        pass
    with versions.changing(touched(BLOG)):
        assert versions.of(BLOG) is None
        assert versions.everything is None
    assert versions.of(BLOG) is not None
    assert versions.everything is not None


def test_what_may_have_changed_anything_changes_every_version() -> None:
    versions = Versions()
    everything = Touched()
    everything.all()
    before = versions.of(BLOG)
    with versions.changing(everything):
        assert versions.of(BLOG) is None
    assert versions.of(BLOG) not in (None, before)

"""How all of a node is fetched: by what the service does, not by what it says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.nodes import facts
from pubsub_cached.cache.sync.batches import REPLY_BUDGET, Progress
from pubsub_cached.cache.sync.fetch import Fetched, fetch
from pubsub_cached.store.accounts.services import Observed, Paging
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Client, Profile, Service, World
from pubsub_cached.xmpp.port import ItemsPage, Rsm, Session

ALICE = "alice@example.org"
ENTRY = "<entry xmlns='http://www.w3.org/2005/Atom'><title>{}</title></entry>"


class Reader:
    """Alice, and a node ``blog`` of a service of the profile."""

    def __init__(self, profile: Profile, count: int, *, payload: int = 0, own: bool = False) -> None:
        self.world = World()
        account = self.world.account(ALICE, pep=profile)
        self.service: Service = account.pep if own else self.world.service("pubsub.example.net", profile=profile)
        self.service.create_node("blog", max_items=10_000, owner=ALICE)
        for number in range(count):
            self.service.publish("blog", f"i{number}", ENTRY.format("x" * payload + str(number)))

    async def session(self) -> Session:
        return await Client(self.world, ALICE).start()

    async def fetch(
        self,
        session: Session | None = None,
        *,
        keep: int | None = None,
        facts: Facts | None = None,
        progress: Progress = lambda done, total: None,
    ) -> Fetched:
        address = Address(ALICE, self.service.jid, "blog")
        return await fetch(session or await self.session(), address, keep, progress, facts)

    def asked(self) -> list[dict[str, object]]:
        return [request.args for request in self.world.requests if request.kind == "get_items"]


@pytest.mark.parametrize("profile", [PROSODY, EJABBERD, LIBERVIA], ids=["prosody", "ejabberd", "libervia"])
@pytest.mark.parametrize("count", [0, 1, 2, 250])
async def test_everything_is_fetched_oldest_first(profile: Profile, count: int) -> None:
    reader = Reader(profile, count)
    fetched = await reader.fetch()
    assert fetched.items == tuple(reader.service.items("blog"))
    assert fetched.full


@pytest.mark.parametrize("profile", [PROSODY, EJABBERD, LIBERVIA], ids=["prosody", "ejabberd", "libervia"])
async def test_the_newest_are_kept_and_the_rest_is_known_to_exist(profile: Profile) -> None:
    reader = Reader(profile, 30)
    fetched = await reader.fetch(keep=20)
    assert fetched.items == tuple(reader.service.items("blog"))[-20:]
    assert not fetched.full


@pytest.mark.parametrize("profile", [PROSODY, EJABBERD], ids=["prosody", "ejabberd"])
async def test_as_many_as_are_kept_is_everything(profile: Profile) -> None:
    fetched = await Reader(profile, 20).fetch(keep=20)
    assert fetched.full


async def test_a_service_that_honours_pages_is_asked_for_pages() -> None:
    assert (await Reader(EJABBERD, 250).fetch()).strategy == "pages"


async def test_a_service_that_ignores_pages_is_asked_by_id() -> None:
    assert (await Reader(PROSODY, 250).fetch()).strategy == "ids"


async def test_the_accounts_own_server_is_asked_once() -> None:
    reader = Reader(PROSODY, 250, own=True)
    fetched = await reader.fetch()
    assert fetched.strategy == "one request"
    assert len(fetched.items) == 250
    assert len(reader.asked()) == 1


@pytest.mark.parametrize("profile", [PROSODY, EJABBERD], ids=["prosody", "ejabberd"])
async def test_no_reply_of_another_service_is_larger_than_it_can_carry(profile: Profile) -> None:
    reader = Reader(profile, 40, payload=30_000)
    session = await reader.session()
    heaviest = 0
    get_items = session.get_items

    async def measured(*arguments: object, **options: object) -> object:
        nonlocal heaviest
        page = await get_items(*arguments, **options)  # type: ignore[arg-type]
        heaviest = max(heaviest, sum(len(item.payload) for item in page.items))
        return page

    session.get_items = measured  # type: ignore[method-assign, assignment]
    fetched = await reader.fetch(session)
    assert len(fetched.items) == 40
    assert heaviest <= REPLY_BUDGET


async def test_a_size_that_was_never_answered_is_not_asked_for_again() -> None:
    reader = Reader(PROSODY, 0)
    reader.service.reply_limit = 60_000
    for number in range(40):
        # The newest item is small, so that the probe promises more than the service can carry.
        reader.service.publish("blog", f"i{number}", ENTRY.format("x" * (10_000 if number < 30 else 10)))
    fetched = await reader.fetch()
    assert fetched.items == tuple(reader.service.items("blog"))


async def test_what_is_published_while_the_ids_are_listed_leaves_nothing_out() -> None:
    reader = Reader(PROSODY, 5)
    session = await reader.session()
    disco_items = session.disco_items

    async def disturbed(*arguments: object, **options: object) -> object:
        listed = await disco_items(*arguments, **options)  # type: ignore[arg-type]
        reader.service.publish("blog", "late", ENTRY.format("late"))
        return listed

    session.disco_items = disturbed  # type: ignore[method-assign, assignment]
    fetched = await reader.fetch(session)
    assert fetched.full
    assert fetched.items == tuple(reader.service.items("blog"))


class Facts(facts.Facts):
    """What is remembered of how a service pages, without a database."""

    def __init__(self) -> None:
        self.paging: Paging = ""

    def of(self, address: Address) -> Observed:
        return Observed(paging=self.paging)

    def pages(self, address: Address, paging: Paging) -> None:
        self.paging = paging


def ending_early(page: ItemsPage, asked: Rsm) -> ItemsPage:
    return msgspec.structs.replace(page, items=()) if asked.before else page


def repeating(page: ItemsPage, asked: Rsm) -> ItemsPage:
    return msgspec.structs.replace(page, items=page.items[:1] * len(page.items)) if asked.before else page


def backwards(page: ItemsPage, asked: Rsm) -> ItemsPage:
    return msgspec.structs.replace(page, items=page.items[::-1])


@pytest.mark.parametrize("wrong", [ending_early, repeating, backwards])
async def test_pages_that_are_wrong_twice_are_never_asked_for_again(
    wrong: Callable[[ItemsPage, Rsm], ItemsPage],
) -> None:
    reader = Reader(LIBERVIA, 250)
    session = await reader.session()
    get_items = session.get_items
    pages = 0

    async def paged(*arguments: object, rsm: Rsm | None = None, **options: object) -> ItemsPage:
        nonlocal pages
        page = await get_items(*arguments, rsm=rsm, **options)  # type: ignore[arg-type]
        if rsm is None or rsm.max == 1:
            return page
        pages += 1
        return wrong(page, rsm)

    session.get_items = paged  # type: ignore[method-assign, assignment]
    facts = Facts()
    for expected in ("wrong", "wrong"):
        fetched = await reader.fetch(session, facts=facts)
        assert fetched.items == tuple(reader.service.items("blog"))
        assert (fetched.full, fetched.strategy, facts.paging) == (True, "ids", expected)
    assert pages <= 6


@pytest.mark.parametrize("keep", [None, 10], ids=["all", "newest"])
async def test_the_first_page_is_not_taken_for_the_newest_of_a_service_that_knows_no_last_one(
    keep: int | None,
) -> None:
    reader = Reader(LIBERVIA, 40, payload=20_000)
    session = await reader.session()
    get_items = session.get_items

    async def forwards(*arguments: object, rsm: Rsm | None = None, **options: object) -> ItemsPage:
        first = None if rsm is None else Rsm(max=rsm.max)
        return await get_items(*arguments, rsm=first, **options)  # type: ignore[arg-type]

    session.get_items = forwards  # type: ignore[method-assign, assignment]
    facts = Facts()
    for _ in range(2):
        fetched = await reader.fetch(session, keep=keep, facts=facts)
        assert fetched.items == tuple(reader.service.items("blog"))[-(keep or 40) :]
        assert (fetched.full, facts.paging) == (keep is None, "wrong")


async def test_a_service_that_has_items_and_shows_no_newest_one_is_asked_for_their_ids() -> None:
    reader = Reader(LIBERVIA, 5)
    session = await reader.session()
    get_items = session.get_items

    async def paged(*arguments: object, rsm: Rsm | None = None, **options: object) -> ItemsPage:
        page = await get_items(*arguments, rsm=rsm, **options)  # type: ignore[arg-type]
        return page if rsm is None or rsm.max > 1 else msgspec.structs.replace(page, items=())

    session.get_items = paged  # type: ignore[method-assign, assignment]
    fetched = await reader.fetch(session)
    assert fetched.items == tuple(reader.service.items("blog"))


async def test_what_a_reply_to_ids_has_no_room_for_is_asked_for_again() -> None:
    reader = Reader(PROSODY, 250)
    session = await reader.session()
    get_items = session.get_items

    async def cut(*arguments: object, ids: Sequence[str] = (), **options: object) -> ItemsPage:
        return await get_items(*arguments, ids=ids[:40], **options)  # type: ignore[arg-type]

    session.get_items = cut  # type: ignore[method-assign, assignment]
    fetched = await reader.fetch(session)
    assert fetched.items == tuple(reader.service.items("blog"))


async def test_a_size_that_was_too_large_is_not_asked_for_again_with_what_replies_lacked() -> None:
    reader = Reader(PROSODY, 250)
    session = await reader.session()
    get_items = session.get_items
    sizes: list[int] = []

    async def cut(*arguments: object, ids: Sequence[str] = (), **options: object) -> ItemsPage:
        sizes.append(len(ids))
        if len(ids) > 50:
            raise errors.Timeout("too large")
        return await get_items(*arguments, ids=ids[:10], **options)  # type: ignore[arg-type]

    session.get_items = cut  # type: ignore[method-assign, assignment]
    fetched = await reader.fetch(session)
    assert fetched.items == tuple(reader.service.items("blog"))
    assert len([size for size in sizes if size > 50]) == 1


async def test_what_is_removed_once_the_ids_were_listed_is_asked_for_once_more() -> None:
    reader = Reader(PROSODY, 250)
    session = await reader.session()
    disco_items = session.disco_items

    async def disturbed(*arguments: object, **options: object) -> object:
        listed = await disco_items(*arguments, **options)  # type: ignore[arg-type]
        reader.service.retract("blog", "i7")
        return listed

    said: list[tuple[int, int]] = []
    session.disco_items = disturbed  # type: ignore[method-assign, assignment]
    fetched = await reader.fetch(session, progress=lambda *far: said.append(far))
    assert fetched.items == tuple(reader.service.items("blog"))
    assert [request["ids"] for request in reader.asked()].count(("i7",)) == 1
    assert said[-1] == (250, 250)


def publish_between_pages(reader: Reader, session: Session) -> None:
    """Have an item published once, as the page behind another is asked for."""
    get_items = session.get_items

    async def disturbed(*arguments: object, rsm: Rsm | None = None, **options: object) -> ItemsPage:
        if rsm is not None and rsm.before and "late" not in reader.service.node("blog").ids():
            reader.service.publish("blog", "late", ENTRY.format("late"))
        return await get_items(*arguments, rsm=rsm, **options)  # type: ignore[arg-type]

    session.get_items = disturbed  # type: ignore[method-assign, assignment]


UNASKED = msgspec.structs.replace(EJABBERD, reply_items=20, pep=None)


@pytest.mark.parametrize(("profile", "own"), [(EJABBERD, False), (UNASKED, True)], ids=["asked", "unasked"])
async def test_a_count_that_changes_meanwhile_says_nothing_of_the_service(profile: Profile, own: bool) -> None:
    reader = Reader(profile, 250, own=own)
    session = await reader.session()
    publish_between_pages(reader, session)
    facts = Facts()
    fetched = await reader.fetch(session, facts=facts)
    assert fetched.items == tuple(reader.service.items("blog"))
    assert facts.paging == ("" if own else "pages")


@pytest.mark.parametrize("most", [10_000, 250], ids=["growing", "full"])
async def test_what_is_published_while_pages_come_neither_hides_what_is_older_nor_says_that_pages_are_wrong(
    most: int,
) -> None:
    """Ids in an order of their own tell nothing of what is older; a node that is full loses its oldest meanwhile."""
    reader = Reader(msgspec.structs.replace(EJABBERD, disco_order="sorted"), 0)
    reader.service.configure("blog", max_items=most)
    for number in range(250):
        reader.service.publish("blog", f"i{number * 7 % 250}", ENTRY.format(number))
    session, facts = await reader.session(), Facts()
    publish_between_pages(reader, session)
    fetched = await reader.fetch(session, facts=facts)
    assert fetched.items == tuple(reader.service.items("blog"))
    assert (fetched.full, facts.paging) == (True, "pages")


async def test_a_count_that_is_less_than_what_comes_with_it_is_none() -> None:
    reader = Reader(EJABBERD, 250)
    session = await reader.session()
    get_items = session.get_items

    async def miscounted(*arguments: object, **options: object) -> ItemsPage:
        page = await get_items(*arguments, **options)  # type: ignore[arg-type]
        return msgspec.structs.replace(page, count=0) if page.rsm else page

    session.get_items = miscounted  # type: ignore[method-assign, assignment]
    fetched = await reader.fetch(session)
    assert fetched.items == tuple(reader.service.items("blog"))


@pytest.mark.parametrize("count", [100, 150, 200, 249])
async def test_nothing_that_the_count_leaves_out_is_missing_from_all_there_is(count: int) -> None:
    reader = Reader(EJABBERD, 250)
    session = await reader.session()
    get_items = session.get_items

    async def miscounted(*arguments: object, **options: object) -> ItemsPage:
        page = await get_items(*arguments, **options)  # type: ignore[arg-type]
        return msgspec.structs.replace(page, count=count) if page.rsm else page

    session.get_items = miscounted  # type: ignore[method-assign, assignment]
    facts = Facts()
    fetched = await reader.fetch(session, facts=facts)
    assert fetched.items == tuple(reader.service.items("blog"))
    assert (fetched.full, facts.paging) == (True, "wrong")


async def unlisted(*arguments: object, **options: object) -> tuple[()]:
    return ()


async def unable_to_list(*arguments: object, **options: object) -> tuple[()]:
    raise errors.StanzaError("feature-not-implemented")


@pytest.mark.parametrize("lists", [unlisted, unable_to_list])
@pytest.mark.parametrize(("profile", "full"), [(PROSODY, True), (UNASKED, False)], ids=["whole", "cut"])
async def test_of_a_service_that_lists_no_items_the_newest_are_fetched(
    lists: Callable[..., Awaitable[tuple[()]]], profile: Profile, full: bool
) -> None:
    reader = Reader(profile, 30)
    session, facts = await reader.session(), Facts()
    session.disco_items = lists  # type: ignore[method-assign]
    facts.paging = "wrong"
    fetched = await reader.fetch(session, facts=facts)
    assert fetched.items == tuple(reader.service.items("blog"))[0 if full else 10 :]
    assert fetched.full == full


async def test_ids_in_an_order_of_their_own_are_not_taken_for_the_order_of_publication() -> None:
    reader = Reader(msgspec.structs.replace(PROSODY, disco_order="sorted"), 0)
    for id_ in "bca":
        reader.service.publish("blog", id_, ENTRY.format(id_))
    reader.service.publish("blog", "b", ENTRY.format("again"))
    fetched = await reader.fetch(keep=2)
    assert [item.id for item in fetched.items] == ["a", "b"]
    assert not fetched.full
    assert [item.id for item in (await reader.fetch()).items] == ["c", "a", "b"]


async def listed_by_id(published: str) -> Fetched:
    """What is fetched of items too heavy for one reply, whose service lists ids in their own order."""
    reader = Reader(msgspec.structs.replace(PROSODY, disco_order="sorted"), 0)
    for id_ in published:
        reader.service.publish("blog", id_, ENTRY.format("x" * (REPLY_BUDGET // 3) + id_))
    return await reader.fetch()


async def test_a_newest_item_that_is_the_last_by_its_id_does_not_make_the_order_of_ids_that_of_publication() -> None:
    fetched = await listed_by_id("bcdaz")
    assert [item.id for item in fetched.items] == ["a", "z"]
    assert not fetched.full


async def test_ids_that_grow_with_time_are_in_the_order_of_publication() -> None:
    fetched = await listed_by_id("abcdz")
    assert [item.id for item in fetched.items] == [*"abcdz"]
    assert (fetched.full, fetched.strategy) == (True, "ids")


async def test_progress_is_told() -> None:
    reader = Reader(EJABBERD, 250)
    told: list[tuple[int, int]] = []
    await reader.fetch(progress=lambda *done: told.append(done))
    assert told[-1] == (250, 250)
    assert len(told) > 1


async def test_an_absent_node_is_an_error_of_the_service() -> None:
    reader = Reader(PROSODY, 1)
    reader.service.delete("blog")
    with pytest.raises(errors.StanzaError) as caught:
        await reader.fetch()
    assert caught.value.condition == "item-not-found"

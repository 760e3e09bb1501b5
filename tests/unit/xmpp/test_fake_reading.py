"""Reading from the fake: the tables "Discovery" and "Reading" of what real servers do, row by row."""

from __future__ import annotations

import msgspec
import pytest

from pubsub_cached.errors import StanzaError, Timeout
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Client, Profile, Service, World
from pubsub_cached.xmpp.port import Item, ItemsPage, Rsm

ATOM = "<entry xmlns='http://www.w3.org/2005/Atom'/>"


def named(value: object) -> str:
    """A test's id from a parameter."""
    return value.name if isinstance(value, Profile) else str(value)


PROFILES = pytest.mark.parametrize("profile", [PROSODY, EJABBERD, LIBERVIA], ids=named)


class Scene:
    """Alice online, and a service with a node in which the first of four items was overwritten last."""

    def __init__(self, profile: Profile) -> None:
        self.world = World()
        self.world.account("alice@example.org", pep=profile)
        self.service: Service = self.world.service("pubsub.example.org", profile=profile)
        self.service.create_node("blog", title="A blog", node_type="urn:xmpp:microblog:0")
        for item_id in ("c", "a", "b", "d", "c"):
            self.service.publish("blog", item_id, ATOM)
        self.client = Client(self.world, "alice@example.org")

    async def page(self, **arguments: object) -> ItemsPage:
        """The reply to a request for the node's items."""
        if not self.client.session.online:
            await self.client.start()
        return await self.client.session.get_items("pubsub.example.org", "blog", **arguments)  # type: ignore[arg-type]

    async def ids(self, **arguments: object) -> list[str]:
        """The ids of such a reply."""
        return [item.id for item in (await self.page(**arguments)).items]


@pytest.mark.parametrize(("profile", "order"), [(PROSODY, "abdc"), (EJABBERD, "cabd"), (LIBERVIA, "abdc")], ids=named)
async def test_order_is_by_last_publish_and_on_ejabberd_by_creation(profile: Profile, order: str) -> None:
    """
    server-facts, Reading: order
    """
    assert await Scene(profile).ids() == list(order)


@pytest.mark.parametrize(("profile", "newest"), [(PROSODY, "dc"), (EJABBERD, "bd"), (LIBERVIA, "dc")], ids=named)
async def test_max_items_gives_the_newest(profile: Profile, newest: str) -> None:
    """
    server-facts, Reading: `max_items=k`
    """
    assert await Scene(profile).ids(max_items=2) == list(newest)


@PROFILES
async def test_items_come_as_published_and_equal_the_truth(profile: Profile) -> None:
    scene = Scene(profile)
    page = await scene.page()
    assert page.items == tuple(scene.service.items("blog"))
    assert page.items[0].payload == ATOM
    assert page.items[0].namespace == "http://www.w3.org/2005/Atom"


async def test_explicit_ids_that_are_missing_are_left_out_by_prosody() -> None:
    """
    server-facts, Reading: explicit ids
    """
    assert await Scene(PROSODY).ids(ids=["d", "gone", "a"]) == ["d", "a"]


async def test_explicit_ids_come_in_storage_order_from_ejabberd() -> None:
    """
    server-facts, Reading: explicit ids
    """
    assert await Scene(EJABBERD).ids(ids=["d", "gone", "a"]) == ["a", "d"]


async def test_one_missing_explicit_id_fails_all_at_libervia() -> None:
    """
    server-facts, Reading: explicit ids
    """
    scene = Scene(LIBERVIA)
    assert await scene.ids(ids=["d", "a"]) == ["d", "a"]
    with pytest.raises(StanzaError) as caught:
        await scene.ids(ids=["d", "gone", "a"])
    assert caught.value.condition == "item-not-found"


@pytest.mark.parametrize(("profile", "order"), [(PROSODY, "cdba"), (EJABBERD, "cabd"), (LIBERVIA, "abdc")], ids=named)
async def test_disco_items_ids_come_in_each_service_s_own_order(profile: Profile, order: str) -> None:
    """
    server-facts, Reading: disco#items ids
    """
    scene = Scene(profile)
    await scene.client.start()
    listed = await scene.client.session.disco_items("pubsub.example.org", "blog")
    assert [line.name for line in listed] == list(order)
    assert {line.jid for line in listed} == {"pubsub.example.org"}


async def test_disco_items_ids_are_sorted_by_ejabberd_pep() -> None:
    """
    server-facts, Reading: disco#items ids
    """
    world = World()
    alice = world.account("alice@example.org", pep=EJABBERD)
    alice.pep.create_node("blog", max_items=10)
    for item_id in "cab":
        alice.pep.publish("blog", item_id)
    session = await Client(world, alice.jid).start()
    assert [line.name for line in await session.disco_items(alice.jid, "blog")] == ["a", "b", "c"]


async def test_disco_items_of_a_service_lists_its_nodes() -> None:
    scene = Scene(PROSODY)
    scene.service.create_node("events")
    session = await scene.client.start()
    assert [(line.node, line.name) for line in await session.disco_items("pubsub.example.org")] == [
        ("blog", "A blog"),
        ("events", ""),
    ]


class TestPages:
    """XEP-0059, where it is honoured."""

    async def test_prosody_ignores_rsm_and_sends_the_whole_node_without_a_set(self) -> None:
        """
        server-facts, Reading: RSM
        """
        page = await Scene(PROSODY).page(rsm=Rsm(max=2))
        assert [item.id for item in page.items] == list("abdc")
        assert (page.rsm, page.count, page.first, page.last) == (False, None, None, None)

    @pytest.mark.parametrize("profile", [EJABBERD, LIBERVIA], ids=named)
    @pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
    async def test_pages_cover_the_node_once_in_order(self, profile: Profile, backwards: bool) -> None:
        scene = Scene(profile)
        seen: list[str] = []
        rsm = Rsm(max=3, before="") if backwards else Rsm(max=3)
        for size in (3, 1, 0):
            page = await scene.page(rsm=rsm)
            assert (page.rsm, page.count, len(page.items)) == (True, 4, size)
            ids = [item.id for item in page.items]
            seen = ids + seen if backwards else seen + ids
            rsm = Rsm(max=3, before=page.first) if backwards else Rsm(max=3, after=page.last)
        assert seen == [item.id for item in scene.service.items("blog")]

    async def test_ejabberd_s_cursor_is_a_creation_time_that_outlives_its_item(self) -> None:
        scene = Scene(EJABBERD)
        page = await scene.page(rsm=Rsm(max=2))
        assert page.last not in {item.id for item in page.items}
        scene.service.retract("blog", "a")
        assert await scene.ids(rsm=Rsm(max=2, after=page.last)) == ["b", "d"]

    async def test_after_never_shows_overwritten_items_at_ejabberd(self) -> None:
        """
        server-facts, Reading: RSM
        """
        scene = Scene(EJABBERD)
        newest = await scene.page(rsm=Rsm(max=1, before=""))
        scene.service.publish("blog", "a", "<new/>")
        assert await scene.ids(rsm=Rsm(max=9, after=newest.last)) == []

    async def test_after_shows_overwritten_items_at_libervia(self) -> None:
        scene = Scene(LIBERVIA)
        newest = await scene.page(rsm=Rsm(max=1, before=""))
        scene.service.publish("blog", "a", "<new/>")
        assert await scene.ids(rsm=Rsm(max=9, after=newest.last)) == ["a"]

    @pytest.mark.parametrize("cursor", ["unknown", "c"], ids=["unknown", "an item id"])
    async def test_an_unknown_cursor_gives_an_empty_page_with_the_count_at_ejabberd(self, cursor: str) -> None:
        """
        server-facts, Reading: RSM
        """
        page = await Scene(EJABBERD).page(rsm=Rsm(max=2, after=cursor))
        assert page == ItemsPage(items=(), rsm=True, count=4)

    @pytest.mark.parametrize("rsm", [Rsm(max=2, after="a"), Rsm(max=2, before="a")], ids=["after", "before"])
    async def test_a_retracted_cursor_gives_an_empty_page_at_libervia(self, rsm: Rsm) -> None:
        """
        server-facts, Reading: RSM
        """
        scene = Scene(LIBERVIA)
        scene.service.retract("blog", "a")
        page = await scene.page(rsm=rsm)
        assert page.items == ()


class TestDiscovery:
    """disco#info of services and nodes."""

    @pytest.mark.parametrize(
        ("profile", "advertised"),
        [(PROSODY, False), (EJABBERD, False), (LIBERVIA, True)],
        ids=["prosody", "ejabberd", "libervia"],
    )
    async def test_only_libervia_advertises_rsm_though_ejabberd_honours_it(
        self, profile: Profile, advertised: bool
    ) -> None:
        session = await Scene(profile).client.start()
        info = await session.disco_info("pubsub.example.org")
        assert ("http://jabber.org/protocol/pubsub#rsm" in info.features) is advertised
        assert info.identities == (("pubsub", "service"),)

    @PROFILES
    async def test_max_items_is_not_visible_to_a_subscriber(self, profile: Profile) -> None:
        session = await Scene(profile).client.start()
        info = await session.disco_info("pubsub.example.org", "blog")
        assert info.metadata == {
            "pubsub#title": ["A blog"],
            "pubsub#type": ["urn:xmpp:microblog:0"],
            "pubsub#access_model": ["open"],
        }

    @pytest.mark.parametrize("profile", [PROSODY, EJABBERD], ids=named)
    async def test_disco_info_of_an_absent_node_is_item_not_found(self, profile: Profile) -> None:
        session = await Scene(profile).client.start()
        with pytest.raises(StanzaError) as caught:
            await session.disco_info("pubsub.example.org", "absent")
        assert caught.value.condition == "item-not-found"

    async def test_disco_info_of_an_absent_node_is_answered_by_libervia_and_ejabberd_pep(self) -> None:
        session = await Scene(LIBERVIA).client.start()
        assert (await session.disco_info("pubsub.example.org", "absent")).metadata == {}
        session = await Scene(EJABBERD).client.start()
        info = await session.disco_info("alice@example.org", "absent")
        assert (info.identities, info.metadata) == ((("pubsub", "leaf"),), {})

    async def test_an_account_s_service_is_pep_and_its_features_are_known_once_online(self) -> None:
        scene = Scene(LIBERVIA)
        assert scene.client.session.server_features == ()
        session = await scene.client.start()
        info = await session.disco_info("alice@example.org")
        assert ("pubsub", "pep") in info.identities
        assert session.server_features == tuple(sorted(info.features))


class TestLimits:
    """Replies and nodes that are larger than a service takes."""

    async def test_a_reply_over_the_limit_is_never_answered_and_a_smaller_one_is(self) -> None:
        scene = Scene(PROSODY)
        large = scene.world.service("files.example.org", profile=PROSODY, reply_limit=1000)
        large.create_node("files")
        for number in range(20):
            large.publish("files", str(number), f"<file>{'x' * 100}</file>")
        session = await scene.client.start()
        with pytest.raises(Timeout, match=r"files\.example\.org did not answer within 60 seconds"):
            await session.get_items("files.example.org", "files")
        page = await session.get_items("files.example.org", "files", ids=["3", "4"])
        assert [item.id for item in page.items] == ["3", "4"]

    async def test_a_reply_over_the_limit_can_end_the_whole_component(self) -> None:
        world = World()
        world.account("alice@example.org")
        large = world.service("files.example.org", reply_limit=100, reply_limit_kills=True)
        large.create_node("files")
        large.publish("files", "1", f"<file>{'x' * 200}</file>")
        session = await Client(world, "alice@example.org").start()
        for asked in (session.get_items("files.example.org", "files"), session.disco_info("files.example.org")):
            with pytest.raises(Timeout, match="did not answer"):
                await asked
        large.up()
        assert (await session.disco_info("files.example.org")).identities

    async def test_a_service_may_send_only_its_newest_items(self) -> None:
        assert await Scene(msgspec.structs.replace(PROSODY, reply_items=3)).ids() == list("bdc")

    @pytest.mark.parametrize(("profile", "most"), [(PROSODY, 256), (EJABBERD, 1000)], ids=["prosody", "ejabberd"])
    def test_max_items_is_the_service_s_default_where_the_node_says_nothing(self, profile: Profile, most: int) -> None:
        service = World().service("pubsub.example.org", profile=profile)
        assert service.create_node("blog").max_items == most
        assert service.create_node("last", max_items=1).max_items == 1

    async def test_what_libervia_lacks_is_answered_500(self) -> None:
        scene = Scene(msgspec.structs.replace(LIBERVIA, unsupported=frozenset({"subscriptions"})))
        session = await scene.client.start()
        with pytest.raises(StanzaError) as caught:
            await session.subscriptions("pubsub.example.org", "blog")
        assert caught.value.condition == "internal-server-error"


class TestPublishing:
    """What ends up in a node."""

    def test_a_service_chooses_an_id_where_none_is_given(self) -> None:
        service = World().service("pubsub.example.org")
        service.create_node("blog")
        chosen = [service.publish("blog", "", ATOM), service.publish("blog", "", ATOM)]
        assert [item.id for item in service.items("blog")] == chosen
        assert len(set(chosen)) == 2
        assert "" not in chosen

    def test_libervia_names_the_publisher_by_full_jid(self) -> None:
        for profile, publisher in ((PROSODY, "bob@example.org"), (LIBERVIA, "bob@example.org/fake")):
            service = World().service("pubsub.example.org", profile=profile)
            service.create_node("blog")
            service.publish("blog", "1", ATOM, publisher="bob@example.org")
            assert service.items("blog") == [Item("1", ATOM, "http://www.w3.org/2005/Atom", publisher)]

    def test_an_account_s_node_is_made_by_the_first_publish(self) -> None:
        pep = World().account("alice@example.org").pep
        pep.publish("urn:xmpp:mood", "current", "<mood/>")
        assert (pep.node("urn:xmpp:mood").access_model, pep.node("urn:xmpp:mood").max_items) == ("presence", 1)

    def test_a_payload_that_is_no_xml_is_refused(self) -> None:
        service = World().service("pubsub.example.org")
        service.create_node("blog")
        with pytest.raises(ValueError, match="not well-formed"):
            service.publish("blog", "1", "<entry>")
        assert service.items("blog") == []

    def test_a_lower_max_items_evicts_at_once_on_prosody_and_at_the_next_publish_elsewhere(self) -> None:
        left = {}
        for profile in (PROSODY, EJABBERD):
            service = World().service("pubsub.example.org", profile=profile)
            service.create_node("blog")
            for item_id in "abc":
                service.publish("blog", item_id)
            service.configure("blog", max_items=2)
            left[profile.name] = [item.id for item in service.items("blog")]
            service.publish("blog", "d")
            assert [item.id for item in service.items("blog")] == ["c", "d"]
        assert left == {"prosody": ["b", "c"], "ejabberd": ["a", "b", "c"]}

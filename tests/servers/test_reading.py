"""Requests to real services: what comes back, in which order, and what is refused."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from pubsub_cached.errors import Offline, StanzaError, Timeout
from pubsub_cached.xmpp.port import ArchivePage, Rsm, Subscription
from tests.support.publisher import Publisher
from tests.support.server import Server

from .conftest import OpenPublisher, OpenSession

ENTRY = "<entry xmlns='urn:x' xmlns:q='urn:q' q:a='{0}' xml:lang='fr'>n° {0} &lt;&amp; <q:b/></entry>"
CONFIG = {"persist_items": True, "max_items": 100, "access_model": "open"}


async def filled(publisher: Publisher, service: str, node: str, count: int = 5) -> None:
    await publisher.create(service, node, CONFIG)
    for number in range(count):
        await publisher.publish(service, node, f"i{number}", ENTRY.format(number))


async def test_items_come_oldest_first_as_they_were_published(
    server: Server, alice: Publisher, open_session: OpenSession, node: str
) -> None:
    await filled(alice, server.pubsub, node)
    session, _ = await open_session(server, "bob")
    page = await session.get_items(server.pubsub, node)
    assert [item.id for item in page.items] == ["i0", "i1", "i2", "i3", "i4"]
    assert {item.namespace for item in page.items} == {"urn:x"}
    for number, item in enumerate(page.items):
        assert ET.canonicalize(item.payload, rewrite_prefixes=True) == ET.canonicalize(
            ENTRY.format(number), rewrite_prefixes=True
        )


async def test_max_items_gives_the_newest(
    server: Server, alice: Publisher, open_session: OpenSession, node: str
) -> None:
    await filled(alice, server.pubsub, node)
    session, _ = await open_session(server, "bob")
    page = await session.get_items(server.pubsub, node, max_items=2)
    assert [item.id for item in page.items] == ["i3", "i4"]


async def test_an_overwritten_item_is_where_the_server_puts_it(
    server: Server, alice: Publisher, open_session: OpenSession, node: str
) -> None:
    await filled(alice, server.pubsub, node, 3)
    await alice.publish(server.pubsub, node, "i0", ENTRY.format("again"))
    session, _ = await open_session(server, "bob")
    page = await session.get_items(server.pubsub, node)
    moved = {"prosody": ["i1", "i2", "i0"], "ejabberd": ["i0", "i1", "i2"]}
    assert [item.id for item in page.items] == moved[server.name]


async def test_items_by_id_leave_out_what_is_not_there(
    server: Server, alice: Publisher, open_session: OpenSession, node: str
) -> None:
    await filled(alice, server.pubsub, node)
    session, _ = await open_session(server, "bob")
    page = await session.get_items(server.pubsub, node, ids=["i3", "nope", "i1"])
    assert {item.id for item in page.items} == {"i1", "i3"}


async def test_pages_come_where_the_service_has_them(
    server: Server, alice: Publisher, open_session: OpenSession, node: str
) -> None:
    await filled(alice, server.pubsub, node)
    session, _ = await open_session(server, "bob")
    page = await session.get_items(server.pubsub, node, rsm=Rsm(2, before=""))
    if server.name == "prosody":
        assert (page.rsm, len(page.items)) == (False, 5)
        return
    assert (page.rsm, page.count) == (True, 5)
    assert [item.id for item in page.items] == ["i3", "i4"]
    page = await session.get_items(server.pubsub, node, rsm=Rsm(2, before=page.first))
    assert [item.id for item in page.items] == ["i1", "i2"]
    page = await session.get_items(server.pubsub, node, rsm=Rsm(2, after=page.last))
    assert [item.id for item in page.items] == ["i3", "i4"]


async def test_disco_tells_nodes_items_and_metadata(
    server: Server, alice: Publisher, open_session: OpenSession, node: str
) -> None:
    await filled(alice, server.pubsub, node, 3)
    await alice.configure(server.pubsub, node, {"title": "A title", "type": "urn:t"})
    session, _ = await open_session(server, "bob")
    assert ("pubsub", "service") in (await session.disco_info(server.pubsub)).identities
    assert node in {each.node for each in await session.disco_items(server.pubsub)}
    assert {each.name for each in await session.disco_items(server.pubsub, node)} == {"i0", "i1", "i2"}
    info = await session.disco_info(server.pubsub, node)
    assert ("pubsub", "leaf") in info.identities
    assert info.metadata["pubsub#title"] == ["A title"]
    assert info.metadata["pubsub#type"] == ["urn:t"]
    assert info.metadata["pubsub#access_model"] == ["open"]


async def test_subscriptions_are_made_listed_and_given_up(
    own_server: Server, open_publisher: OpenPublisher, open_session: OpenSession, node: str
) -> None:
    # A server of its own: Prosody 0.12.3 stops to answer once a node with subscribers was deleted.
    service = own_server.pubsub
    await filled(await open_publisher(own_server, "alice"), service, node, 1)
    session, _ = await open_session(own_server, "bob")
    assert await session.subscriptions(service) == ()
    made = await session.subscribe(service, node)
    assert (made.node, made.jid, made.state) == (node, "bob@localhost", "subscribed")
    assert await session.subscriptions(service) == (made,)
    assert await session.subscriptions(service, node) == (made,)
    await session.unsubscribe(service, node, made.subid)
    left: tuple[Subscription, ...] = await session.subscriptions(service)
    assert [each for each in left if each.state == "subscribed"] == []


async def test_what_is_not_there_is_refused_with_a_condition(server: Server, open_session: OpenSession) -> None:
    session, _ = await open_session(server, "bob")
    with pytest.raises(StanzaError, match=rf"item-not-found for 'nope' at {server.pubsub}") as refusal:
        await session.get_items(server.pubsub, "nope")
    assert refusal.value.name == "im.pubsubcache1.Error.Xmpp.ItemNotFound"


async def test_a_closed_node_is_refused(server: Server, alice: Publisher, open_session: OpenSession, node: str) -> None:
    await alice.create(server.pubsub, node, CONFIG | {"access_model": "whitelist"})
    session, _ = await open_session(server, "bob")
    with pytest.raises(StanzaError) as refusal:
        await session.get_items(server.pubsub, node)
    said = {"prosody": ("forbidden", ""), "ejabberd": ("not-allowed", "closed-node")}
    assert (refusal.value.condition, refusal.value.pubsub_condition) == said[server.name]


async def test_no_answer_in_time_is_a_timeout(server: Server, alice: Publisher, open_session: OpenSession) -> None:
    session, _ = await open_session(server, "bob")
    with pytest.raises(Timeout, match=f"{server.pubsub} did not answer"):
        await session.disco_info(server.pubsub, timeout=0.0)
    # The late answer harms nobody.
    await session.disco_info(server.pubsub)


async def test_a_closed_session_answers_nothing(server: Server, open_session: OpenSession) -> None:
    session, _ = await open_session(server, "bob")
    await session.close()
    for request in (
        session.get_items(server.pubsub, "n"),
        session.disco_info(server.pubsub),
        session.disco_items(server.pubsub),
        session.subscribe(server.pubsub, "n"),
        session.unsubscribe(server.pubsub, "n"),
        session.subscriptions(server.pubsub),
    ):
        with pytest.raises(Offline, match="bob@localhost is not connected"):
            await request


async def test_own_pep_is_a_service_like_any_other(
    server: Server, users: tuple[str, str], open_publisher: OpenPublisher, open_session: OpenSession
) -> None:
    user, _ = users
    publisher = await open_publisher(server, user)
    await publisher.publish("", "urn:own", "1", "<x xmlns='urn:x'/>")
    session, _ = await open_session(server, user)
    page = await session.get_items(server.jid(user), "urn:own")
    assert [item.id for item in page.items] == ["1"]
    assert "urn:own" in {each.node for each in await session.disco_items(server.jid(user))}


async def test_an_account_s_archive_says_of_every_node_that_it_holds_nothing(
    server: Server, open_publisher: OpenPublisher, open_session: OpenSession, users: tuple[str, str], node: str
) -> None:
    """It is the person's (XEP-0313 3), announced at the address of the account's nodes."""
    owner = await open_publisher(server, users[0])
    await owner.publish(owner.jid, node, "i0", ENTRY.format(0))
    session, _ = await open_session(server, users[0])
    assert "urn:xmpp:mam:2" in (await session.disco_info(owner.jid)).features
    page = await session.get_archive(owner.jid, node, Rsm(max=5, before=""))
    assert page == ArchivePage(complete=True, count=0)


async def test_a_component_without_archives_refuses(
    server: Server, alice: Publisher, open_session: OpenSession, node: str
) -> None:
    await filled(alice, server.pubsub, node, 1)
    session, _ = await open_session(server, "bob")
    assert "urn:xmpp:mam:2" not in (await session.disco_info(server.pubsub)).features
    with pytest.raises(StanzaError) as refusal:
        await session.get_archive(server.pubsub, node, Rsm(max=5, before=""))
    assert refusal.value.condition == "service-unavailable"

"""Writing to real services: what goes out is what comes back, and what they refuse is told."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from pubsub_cached.bus import RemoteError, Variant
from pubsub_cached.cache.writing import payloads
from pubsub_cached.errors import InvalidArgs, StanzaError
from pubsub_cached.xmpp.port import ItemsEvent, PurgeEvent, Rsm
from pubsub_cached.xmpp.session import Session
from tests.support.daemon import Daemon
from tests.support.publisher import Publisher
from tests.support.recorder import Recorder
from tests.support.server import Server

from .conftest import OpenSession

FEED = "urn:xmpp:pubsub-social-feed:1"
ENTRY = (
    "<entry xmlns='http://www.w3.org/2005/Atom'><id>tag:{0}</id><title type='text'>Post {0}</title>"
    "<updated>2026-11-01T00:00:00Z</updated></entry>"
)
AWKWARD = (
    "<a:entry xmlns:a='urn:example:a' xmlns:b='urn:example:b' xml:lang='de' b:kind='x &lt; \"y\"' plain='z'>"
    "text &amp; more<b:inner b:other='1' other='2'/><none xmlns='urn:example:none'> tail </none>🍄 end</a:entry>"
)


@pytest.fixture
async def alice(server: Server, open_session: OpenSession) -> tuple[Session, Recorder]:
    """The only one who may create nodes."""
    return await open_session(server, "alice")


async def held(session: Session, server: Server, node: str) -> dict[str, str]:
    page = await session.get_items(server.pubsub, node)
    return {item.id: item.payload for item in page.items}


async def test_a_payload_survives_the_round_trip(server: Server, alice: tuple[Session, Recorder], node: str) -> None:
    session, recorder = alice
    await session.create_node(server.pubsub, node, config={"pubsub#access_model": ["open"]})
    await session.subscribe(server.pubsub, node)
    payload = payloads.check(AWKWARD)
    assert await session.publish(server.pubsub, node, "an id <&'\">", payload) == "an id <&'\">"
    assert await held(session, server, node) == {"an id <&'\">": payload}
    event = await recorder.event_of(ItemsEvent, node)
    assert event.items[0].payload == payload
    assert ET.canonicalize(payload, rewrite_prefixes=True) == ET.canonicalize(AWKWARD, rewrite_prefixes=True)


async def test_the_event_of_an_own_publish_comes_before_the_reply(
    server: Server, alice: tuple[Session, Recorder], node: str
) -> None:
    session, recorder = alice
    await session.create_node(server.pubsub, node)
    await session.subscribe(server.pubsub, node)
    await session.publish(server.pubsub, node, "x", payloads.check(ENTRY.format("x")))
    told = [event for event in recorder.events if isinstance(event, ItemsEvent) and event.node == node]
    assert [item.id for event in told for item in event.items] == ["x"]


async def test_the_service_chooses_an_id(server: Server, alice: tuple[Session, Recorder], node: str) -> None:
    session, _ = alice
    await session.create_node(server.pubsub, node)
    id_ = await session.publish(server.pubsub, node, "", payloads.check(ENTRY.format("x")))
    assert list(await held(session, server, node)) == [id_]


async def test_what_xml_can_t_carry_is_refused_and_the_stream_goes_on(
    server: Server, alice: tuple[Session, Recorder], node: str
) -> None:
    session, recorder = alice
    with pytest.raises(InvalidArgs, match=r"U\+0001"):
        await session.publish(server.pubsub, node, "x\x01", payloads.check(ENTRY.format("x")))
    with pytest.raises(StanzaError):
        await session.get_items(server.pubsub, node)
    assert recorder.told.count("ended") == 0


async def test_preconditions(server: Server, alice: tuple[Session, Recorder]) -> None:
    session, _ = alice
    node = "urn:example:preconditions"
    payload = payloads.check(ENTRY.format("x"))
    account = server.jid("alice")
    met = {"pubsub#access_model": ["open"], "pubsub#persist_items": ["1"]}
    await session.publish(account, node, "x", payload, options=met)
    await session.publish(account, node, "x", payload, options=met)
    with pytest.raises(StanzaError) as caught:
        await session.publish(account, node, "x", payload, options={"pubsub#access_model": ["whitelist"]})
    assert caught.value.name == "im.pubsubcache1.Error.PubSub.PreconditionNotMet"
    await session.delete_node(account, node)


async def test_max_items_among_the_options(server: Server, alice: tuple[Session, Recorder]) -> None:
    session, _ = alice
    account, node = server.jid("alice"), "urn:example:options"
    refusal = ""
    try:
        await session.publish(
            account, node, "x", payloads.check(ENTRY.format("x")), options={"pubsub#max_items": ["5"]}
        )
    except StanzaError as error:
        refusal = str(error)
    if refusal:
        # As ejabberd did until 23.
        assert server.name == "ejabberd"
        assert re.search(r"resource-constraint.*pubsub#max_items", refusal)
    else:
        fields = {field.name: field for field in await session.node_configuration(account, node)}
        assert fields["pubsub#max_items"].values == ("5",)


async def test_retractions_tell_when_they_are_asked_to(
    server: Server, alice: tuple[Session, Recorder], node: str
) -> None:
    session, recorder = alice
    await session.create_node(server.pubsub, node)
    await session.subscribe(server.pubsub, node)
    for id_ in ("a", "b"):
        await session.publish(server.pubsub, node, id_, payloads.check(ENTRY.format(id_)))
    await session.retract(server.pubsub, node, "a", notify=True)
    told = [event for event in recorder.events if isinstance(event, ItemsEvent) and event.node == node]
    assert [event.retracted for event in told if event.retracted] == [("a",)]
    await session.retract(server.pubsub, node, "b", notify=False)
    assert await held(session, server, node) == {}
    with pytest.raises(StanzaError, match=f"item-not-found for item 'b' of '{node}' at {server.pubsub}"):
        await session.retract(server.pubsub, node, "b")


async def test_a_node_is_made_configured_emptied_and_deleted(
    server: Server, alice: tuple[Session, Recorder], node: str
) -> None:
    session, recorder = alice
    config = {"pubsub#title": ["A title"], "pubsub#type": [FEED], "pubsub#max_items": ["17"]}
    assert await session.create_node(server.pubsub, node, config=config) == node
    with pytest.raises(StanzaError, match="conflict"):
        await session.create_node(server.pubsub, node)
    fields = {field.name: field for field in await session.node_configuration(server.pubsub, node)}
    assert {name: fields[name].values[0] for name in config} == {name: values[0] for name, values in config.items()}
    assert fields["pubsub#persist_items"].type == "boolean"
    await session.configure_node(server.pubsub, node, {"pubsub#title": ["Another"]})
    info = await session.disco_info(server.pubsub, node)
    assert (info.metadata["pubsub#title"], info.metadata["pubsub#type"]) == (["Another"], [FEED])
    await session.subscribe(server.pubsub, node)
    await session.publish(server.pubsub, node, "x", payloads.check(ENTRY.format("x")))
    await session.purge_node(server.pubsub, node)
    assert await held(session, server, node) == {}
    assert [event.node for event in recorder.events if isinstance(event, PurgeEvent)] == [node]
    await session.delete_node(server.pubsub, node)
    with pytest.raises(StanzaError, match="item-not-found"):
        await session.node_configuration(server.pubsub, node)


async def test_only_owners_may(server: Server, alice: tuple[Session, Recorder], open_session: OpenSession) -> None:
    session, _ = alice
    bob, _ = await open_session(server, "bob")
    node = "for owners"
    await session.create_node(server.pubsub, node, config={"pubsub#access_model": ["open"]})
    for refused in (
        bob.publish(server.pubsub, node, "x", payloads.check(ENTRY.format("x"))),
        bob.configure_node(server.pubsub, node, {"pubsub#title": ["Mine"]}),
        bob.delete_node(server.pubsub, node),
        bob.purge_node(server.pubsub, node),
    ):
        with pytest.raises(StanzaError, match="forbidden"):
            await refused
    await session.delete_node(server.pubsub, node)


async def test_subscriptions_and_affiliations(
    server: Server, alice: tuple[Session, Recorder], open_session: OpenSession, node: str
) -> None:
    session, _ = alice
    bob, _ = await open_session(server, "bob")
    await session.create_node(server.pubsub, node, config={"pubsub#access_model": ["open"]})
    assert (await bob.subscribe(server.pubsub, node)).state == "subscribed"
    (listed,) = await bob.subscriptions(server.pubsub, node)
    assert (listed.node, listed.state) == (node, "subscribed")
    await bob.unsubscribe(server.pubsub, node, listed.subid)
    assert await bob.subscriptions(server.pubsub, node) == ()
    if server.name == "prosody":
        # It does not list them at all.
        with pytest.raises(StanzaError, match="service-unavailable"):
            await session.affiliations(server.pubsub)
    else:
        affiliations = {found.node: found.affiliation for found in await session.affiliations(server.pubsub)}
        assert affiliations[node] == "owner"


async def test_nodes_are_listed_by_page(server: Server, alice: tuple[Session, Recorder], node: str) -> None:
    session, _ = alice
    await session.create_node(server.pubsub, node)
    page = await session.disco_page(server.pubsub, "", Rsm(max=1))
    assert page.rsm or node in [item.node for item in page.items]


# With the daemon


async def running(daemon: Daemon, server: Server) -> Daemon:
    daemon.account(server, "alice")
    await daemon.start()
    await daemon.state(server.jid("alice"), "online")
    return daemon


async def call(daemon: Daemon, member: str, signature: str, *body: Any) -> Any:
    return await daemon.call("PubSub", member, signature, *body)


async def test_the_daemon_follows_what_is_written_through_it(daemon: Daemon, server: Server, node: str) -> None:
    await running(daemon, server)
    config = {"pubsub#type": Variant("s", FEED), "pubsub#access_model": Variant("s", "open")}
    await call(daemon, "CreateNode", "sssa{sv}", "", server.pubsub, node, config)
    path = await daemon.call("Cache", "Sync", "sssa{sv}", "", server.pubsub, node, {})
    await daemon.call("Job", "Wait", path=path)
    await daemon.settled(server.pubsub, node, "live")
    daemon.signals.clear()
    for number in range(5):
        args = ("", server.pubsub, node, f"i{number}", ENTRY.format(number), {})
        assert await call(daemon, "Publish", "sssssa{sv}", *args) == f"i{number}"
        items, _, info = await daemon.items(server.pubsub, node)
        assert (items[0]["id"], info["source"], info["freshness"]) == (f"i{number}", "cache", "live")
    await daemon.until(lambda heard: heard.member == "ItemsChanged" and "i4" in heard.body[3])
    await call(daemon, "Retract", "sssasa{sv}", "", server.pubsub, node, ["i1", "i3"], {})
    items, *_ = await daemon.items(server.pubsub, node)
    assert [item["id"] for item in items] == ["i4", "i2", "i0"]
    await daemon.until(lambda heard: heard.member == "ItemsChanged" and "i3" in heard.body[4])
    # The servers live on, and so do the nodes of other tests.
    heard = [heard.body for heard in daemon.signals if heard.member == "ItemsChanged" and heard.body[2] == node]
    assert sorted(id_ for body in heard for id_ in body[3]) == ["i0", "i1", "i2", "i3", "i4"]
    assert sorted(id_ for body in heard for id_ in body[4]) == ["i1", "i3"]
    await call(daemon, "DeleteAllItems", "sssa{sv}", "", server.pubsub, node, {})
    assert (await daemon.items(server.pubsub, node))[0] == []
    await call(daemon, "DeleteNode", "sssa{sv}", "", server.pubsub, node, {})
    with pytest.raises(RemoteError) as caught:
        await daemon.items(server.pubsub, node)
    assert caught.value.name == "im.pubsubcache1.Error.NoSuchNode"


async def test_what_an_own_node_has_no_room_for_is_gone_at_once(daemon: Daemon, server: Server, node: str) -> None:
    """server-facts, Events: evicted by max_items is silent at a PEP service."""
    await running(daemon, server)
    config = {"pubsub#max_items": Variant("u", 3), "pubsub#type": Variant("s", FEED)}
    await call(daemon, "CreateNode", "sssa{sv}", "", "", node, config)
    path = await daemon.call("Cache", "Sync", "sssa{sv}", "", "", node, {})
    await daemon.call("Job", "Wait", path=path)
    for number in range(5):
        await call(daemon, "Publish", "sssssa{sv}", "", "", node, f"i{number}", ENTRY.format(number), {})
    await daemon.until(lambda heard: heard.member == "ItemsChanged" and "i1" in heard.body[4])
    items, _, info = await daemon.items("", node)
    assert ([item["id"] for item in items], info["freshness"]) == (["i4", "i3", "i2"], "live")
    items, *_ = await daemon.items("", node, policy=Variant("s", "network"))
    assert [item["id"] for item in items] == ["i4", "i3", "i2"]
    await call(daemon, "DeleteNode", "sssa{sv}", "", "", node, {})


async def test_an_own_node_keeps_one_item_unless_it_was_made_for_more(
    daemon: Daemon, server: Server, node: str
) -> None:
    """What the tutorial's publish.py makes the node for, see Publish of im.pubsubcache1.PubSub."""
    await running(daemon, server)
    await call(daemon, "CreateNode", "sssa{sv}", "", "", f"{node} made", {"pubsub#max_items": Variant("s", "max")})
    for name, kept in ((node, ["i2"]), (f"{node} made", ["i2", "i1", "i0"])):
        for number in range(3):
            await call(daemon, "Publish", "sssssa{sv}", "", "", name, f"i{number}", ENTRY.format(number), {})
        items, *_ = await daemon.items("", name, policy=Variant("s", "network"))
        assert [item["id"] for item in items] == kept
        await call(daemon, "DeleteNode", "sssa{sv}", "", "", name, {})


async def test_the_daemon_discovers_nodes_of_a_type(daemon: Daemon, server: Server, node: str) -> None:
    await running(daemon, server)
    type_ = f"urn:example:type:{node}"
    config = {"pubsub#type": Variant("s", type_)}
    await call(daemon, "CreateNode", "sssa{sv}", "", server.pubsub, node, config)
    found: list[str] = []
    cursor = ""
    while True:
        options = {"type": Variant("s", type_), "cursor": Variant("s", cursor)}
        entries, cursor = await call(daemon, "Discover", "ssa{sv}", "", server.pubsub, options)
        found += [entry["node"] for entry in entries]
        if not cursor:
            break
    assert found == [node]
    services, _ = await call(daemon, "Discover", "ssa{sv}", "", "localhost", {})
    assert server.pubsub in [entry["jid"] for entry in services]


async def test_what_is_queued_without_a_server_is_published_when_it_is_back(
    daemon: Daemon, own_server: Server, node: str
) -> None:
    await running(daemon, own_server)
    config = {"pubsub#type": Variant("s", FEED), "pubsub#persist_items": Variant("b", True)}
    await call(daemon, "CreateNode", "sssa{sv}", "", own_server.pubsub, node, config)
    path = await daemon.call("Cache", "Sync", "sssa{sv}", "", own_server.pubsub, node, {})
    await daemon.call("Job", "Wait", path=path)
    own_server.stop()
    await daemon.state(own_server.jid("alice"), "waiting")
    options = {"queue": Variant("b", True), "token": Variant("s", "mine")}
    args = ("", own_server.pubsub, node, "", ENTRY.format("late"), options)
    id_ = await call(daemon, "Publish", "sssssa{sv}", *args)
    items, *_ = await daemon.items(own_server.pubsub, node)
    assert [(item["id"], item["pending"]) for item in items] == [(id_, True)]
    assert await daemon.end() == 0
    await daemon.start()
    own_server.start()
    jobs = [path for path in await objects(daemon) if path.endswith("/mine")]
    assert "was sent" in await daemon.call("Job", "Wait", path=jobs[0])
    publisher = await Publisher.open(own_server, "bob")
    assert list(await publisher.items(own_server.pubsub, node)) == [id_]
    await publisher.close()


async def test_what_is_queued_first_of_all_makes_an_own_node_for_more_than_one(
    daemon: Daemon, server: Server, node: str, alice: tuple[Session, Recorder]
) -> None:
    await running(daemon, server)
    account, made = (await daemon.call("Manager", "ListAccounts"))[0], f"{node} made"
    await daemon.call("Account", "Disconnect", path=account)
    jobs: list[str] = []
    for name in (node, made):
        for number in range(4):
            options = {"queue": Variant("b", True), "token": Variant("s", f"{len(jobs)}")}
            args = ("", "", name, f"i{number}", ENTRY.format(number), options)
            await call(daemon, "Publish", "sssssa{sv}", *args)
            jobs += [path for path in await objects(daemon) if path.endswith(f"/{len(jobs)}")]
    # By another client, meanwhile.
    session, _ = alice
    await session.create_node(server.jid("alice"), made, config={"pubsub#max_items": ["3"]})
    await daemon.call("Account", "Connect", path=account)
    for path in jobs:
        assert "was sent" in await daemon.call("Job", "Wait", path=path)
    # It differs from what the server makes of a publication by itself in the number alone.
    likes = f"{node} likes"
    await session.publish(server.jid("alice"), likes, "x", payloads.check(ENTRY.format("x")))
    found = [
        {field.name: field.values for field in await session.node_configuration(server.jid("alice"), name)}
        for name in (likes, node)
    ]
    assert {name for name in found[0] if found[0][name] != found[1][name]} == {"pubsub#max_items"}
    await session.delete_node(server.jid("alice"), likes)
    for name, kept in ((node, ["i3", "i2", "i1", "i0"]), (made, ["i3", "i2", "i1"])):
        items, *_ = await daemon.items("", name, policy=Variant("s", "network"))
        assert [item["id"] for item in items] == kept
        await call(daemon, "DeleteNode", "sssa{sv}", "", "", name, {})


async def test_what_a_second_post_replaces_is_told_and_not_read_any_more(
    daemon: Daemon, server: Server, node: str
) -> None:
    await running(daemon, server)
    await call(daemon, "Publish", "sssssa{sv}", "", "", node, "i0", ENTRY.format(0), {})
    await daemon.call("Job", "Wait", path=await daemon.call("Cache", "Sync", "sssa{sv}", "", "", node, {}))
    await call(daemon, "Publish", "sssssa{sv}", "", "", node, "i1", ENTRY.format(1), {})
    await daemon.until(lambda heard: heard.member == "ItemsChanged" and "i0" in heard.body[4])
    for policy in ("default", "network"):
        items, *_ = await daemon.items("", node, policy=Variant("s", policy))
        assert [item["id"] for item in items] == ["i1"]
    await call(daemon, "DeleteNode", "sssa{sv}", "", "", node, {})


async def objects(daemon: Daemon) -> list[str]:
    reply = await daemon.client.call(
        "im.pubsubcache1", "/im/pubsubcache1", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"
    )
    return list(reply[0])

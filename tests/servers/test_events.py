"""What real services push, as the session tells it."""

from __future__ import annotations

import asyncio

from pubsub_cached.xmpp.port import DeleteEvent, Event, Item, ItemsEvent, PurgeEvent, RosterEvent
from pubsub_cached.xmpp.session import Session
from tests.support.publisher import ROSTER, Publisher, befriend
from tests.support.recorder import Recorder
from tests.support.server import Server

from .conftest import OpenPublisher, OpenSession

CONFIG = {"persist_items": True, "max_items": 100, "access_model": "open"} | {
    "notify_retract": True,
    "notify_delete": True,
}
X = "<x xmlns='urn:x'/>"
PRESENCE = {"access_model": "presence"}


async def subscriber(
    server: Server, alice: Publisher, open_session: OpenSession, node: str
) -> tuple[Session, Recorder]:
    """Bob's session, subscribed to a node that alice has just created."""
    await alice.create(server.pubsub, node, CONFIG)
    session, recorder = await open_session(server, "bob")
    await session.subscribe(server.pubsub, node)
    return session, recorder


async def test_a_subscriber_hears_of_every_change_in_order(
    server: Server, alice: Publisher, open_session: OpenSession, node: str
) -> None:
    _, recorder = await subscriber(server, alice, open_session, node)
    await alice.publish(server.pubsub, node, "1", X)
    await alice.publish(server.pubsub, node, "1", "<y xmlns='urn:y'/>")
    await alice.publish(server.pubsub, node, "2", X)
    await alice.retract(server.pubsub, node, "1")
    await alice.purge(server.pubsub, node)
    await alice.delete(server.pubsub, node)
    await recorder.event_of(DeleteEvent, node)
    told = [event for event in recorder.events if event.node == node]
    assert [type(event) for event in told] == [ItemsEvent] * 4 + [PurgeEvent, DeleteEvent]
    published = [event for event in told if isinstance(event, ItemsEvent)]
    assert [item.id for event in published for item in event.items] == ["1", "1", "2"]
    assert published[1].items[0].payload == '<y xmlns="urn:y"/>'
    assert published[3].retracted == ("1",)
    assert {event.service for event in told} == {server.pubsub}


async def test_the_publisher_is_told_where_the_service_tells_it(
    server: Server, alice: Publisher, open_session: OpenSession, node: str
) -> None:
    _, recorder = await subscriber(server, alice, open_session, node)
    await alice.publish(server.pubsub, node, "1", X)
    event = await recorder.event_of(ItemsEvent, node)
    said = {"prosody": "alice@localhost", "ejabberd": ""}
    assert event.items == (Item("1", '<x xmlns="urn:x"/>', "urn:x", said[server.name]),)


async def test_a_service_that_was_not_asked_for_is_not_heard(
    server: Server, alice: Publisher, open_session: OpenSession, node: str
) -> None:
    session, recorder = await subscriber(server, alice, open_session, node)
    recorder.services.clear()
    await alice.publish(server.pubsub, node, "silent", X)
    await session.disco_info(server.pubsub)  # what came before the answer was handled before it
    recorder.services.add(server.pubsub)
    await alice.publish(server.pubsub, node, "heard", X)
    event = await recorder.event_of(ItemsEvent, node)
    assert [item.id for item in event.items] == ["heard"]


async def test_events_sent_by_a_user_are_no_services_events(
    server: Server, users: tuple[str, str], open_publisher: OpenPublisher, open_session: OpenSession
) -> None:
    forger, user = users
    publisher = await open_publisher(server, forger)
    session, recorder = await open_session(server, user)
    publisher.send(
        f"<message to='{server.jid(user)}' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'>"
        "<purge node='blog'/></event></message>"
    )
    await publisher.iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", server.pubsub)
    await session.disco_info(server.pubsub)
    assert recorder.events == []


async def contacts(
    server: Server, users: tuple[str, str], open_publisher: OpenPublisher
) -> tuple[Publisher, Publisher]:
    """The users, who see each other's presence."""
    publisher, friend = [await open_publisher(server, user) for user in users]
    await befriend(publisher, friend)
    return publisher, friend


async def until_notified(publisher: Publisher, session: Session, recorder: Recorder, node: str) -> None:
    """Publish until the session hears of it: by then the server knows what the session's hash means."""
    async with asyncio.timeout(20):
        while not any(each.node == node for each in recorder.events):
            await publisher.publish("", node, "again", X, PRESENCE)
            await session.disco_info(publisher.jid)


async def test_the_newest_item_of_a_contact_comes_with_the_first_presence(
    server: Server, users: tuple[str, str], open_publisher: OpenPublisher, open_session: OpenSession
) -> None:
    publisher, friend = await contacts(server, users, open_publisher)
    reader = users[1]
    await friend.close()
    wanted = frozenset({"urn:wanted"})
    if server.name == "ejabberd":
        # It looks for receivers before it has asked what a hash that is new to it means.
        learning, told = await open_session(server, reader, interests=wanted)
        await until_notified(publisher, learning, told, "urn:wanted")
        await learning.close()
    await publisher.publish("", "urn:wanted", "w", X, PRESENCE)
    await publisher.publish("", "urn:unwanted", "u", X, PRESENCE)
    session, recorder = await open_session(server, reader, interests=wanted)
    assert session.contacts == {publisher.jid}
    event = await recorder.event_of(ItemsEvent, "urn:wanted")
    assert (event.service, [item.id for item in event.items]) == (publisher.jid, ["w"])
    assert {each.node for each in recorder.events} == {"urn:wanted"}


async def test_changed_interests_take_effect(
    server: Server, users: tuple[str, str], open_publisher: OpenPublisher, open_session: OpenSession
) -> None:
    publisher, _ = await contacts(server, users, open_publisher)
    session, recorder = await open_session(server, users[1], interests=frozenset({"urn:first"}))
    await until_notified(publisher, session, recorder, "urn:first")
    session.set_interests(frozenset({"urn:second"}))
    await until_notified(publisher, session, recorder, "urn:second")
    # Prosody asks for each of two reasons what the new hash means, and heeds the old one until it knows both times.
    async with asyncio.timeout(20):
        heard = True
        while heard:
            seen = len(recorder.events)
            await publisher.publish("", "urn:first", "3", X)
            await publisher.publish("", "urn:second", "4", X)
            while not _of(recorder, "urn:second", seen):
                await recorder.event_of(ItemsEvent, "urn:second")
            heard = bool(_of(recorder, "urn:first", seen))


async def test_a_new_contact_is_one_at_once(
    server: Server, users: tuple[str, str], open_publisher: OpenPublisher, open_session: OpenSession
) -> None:
    writer, reader = users
    publisher = await open_publisher(server, writer)
    friend = await open_publisher(server, reader)
    session, recorder = await open_session(server, reader, interests=frozenset({"urn:wanted"}))
    assert session.contacts == frozenset()
    await befriend(publisher, friend)
    async with asyncio.timeout(20):
        while session.contacts != {publisher.jid}:
            await session.disco_info(server.jid(reader))
    await until_notified(publisher, session, recorder, "urn:wanted")
    assert recorder.events[0].service == publisher.jid


async def test_a_contact_that_goes_is_told_in_its_place_in_the_stream(
    server: Server, users: tuple[str, str], open_publisher: OpenPublisher, open_session: OpenSession
) -> None:
    publisher, friend = await contacts(server, users, open_publisher)
    session, recorder = await open_session(server, users[1])
    assert session.contacts == {publisher.jid}
    await friend.iq("set", f"<query xmlns='{ROSTER}'><item jid='{publisher.jid}' subscription='remove'/></query>")
    told = await recorder.next(lambda each: isinstance(each, RosterEvent))
    assert told == RosterEvent(service=publisher.jid, node="")
    assert session.contacts == frozenset()


async def test_subscription_requests_are_left_to_the_user(
    server: Server, users: tuple[str, str], open_publisher: OpenPublisher, open_session: OpenSession
) -> None:
    stranger, user = users
    session, _ = await open_session(server, user)
    publisher = await open_publisher(server, stranger)
    publisher.send(f"<presence type='subscribe' to='{server.jid(user)}'/>")
    await publisher.iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", server.domain)
    await session.disco_info(server.domain)
    assert session.contacts == frozenset()
    watcher = await open_publisher(server, user)
    reply = await watcher.iq("get", "<query xmlns='jabber:iq:roster'/>")
    granted = {item.get("jid"): item.get("subscription") for item in reply.iter("{jabber:iq:roster}item")}
    assert granted.get(server.jid(stranger), "none") == "none"


def _of(recorder: Recorder, node: str, since: int) -> list[Event]:
    return [each for each in recorder.events[since:] if each.node == node]

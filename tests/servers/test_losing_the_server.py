"""Servers that go away and come back, networks that are cut."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence

import pytest

from pubsub_cached.errors import Offline
from pubsub_cached.xmpp import connection
from pubsub_cached.xmpp import session as session_module
from pubsub_cached.xmpp.client import Ending
from pubsub_cached.xmpp.port import ItemsEvent
from pubsub_cached.xmpp.session import Session
from tests.support.certificates import self_signed
from tests.support.proxy import Proxy
from tests.support.recorder import Told
from tests.support.server import Server

from .conftest import OpenPublisher, OpenSession

X = "<x xmlns='urn:x'/>"
CONFIG = {"persist_items": True, "max_items": 100, "access_model": "open"}


async def test_a_server_that_stops_fails_requests_at_once_and_is_found_again(
    own_server: Server, open_session: OpenSession, open_publisher: OpenPublisher
) -> None:
    publisher = await open_publisher(own_server, "alice")
    await publisher.create(own_server.pubsub, "blog", CONFIG)
    await publisher.publish(own_server.pubsub, "blog", "1", X)
    await publisher.close()
    async with Proxy(own_server.host, own_server.port) as proxy:
        session, recorder = await open_session(own_server, "bob", port=proxy.port)
        proxy.silent = True
        pending = asyncio.create_task(session.get_items(own_server.pubsub, "blog"))
        await asyncio.sleep(0)
        await asyncio.to_thread(own_server.stop)
        with pytest.raises(Offline):
            await pending
        told = await recorder.state("waiting")
        assert told.error == "im.pubsubcache1.Error.Offline"
        assert not session.online
        with pytest.raises(Offline):
            await session.subscribe(own_server.pubsub, "blog")
        proxy.silent = False
        await asyncio.to_thread(own_server.start)
        assert not (await recorder.started()).resumed
        # What was refused meanwhile was not sent later, and the data is still there.
        assert await session.subscriptions(own_server.pubsub) == ()
        assert [item.id for item in (await session.get_items(own_server.pubsub, "blog")).items] == ["1"]


async def test_a_server_that_crashes_is_found_again(own_server: Server, open_session: OpenSession) -> None:
    session, recorder = await open_session(own_server, "bob")
    await asyncio.to_thread(own_server.kill)
    await recorder.state("waiting")
    await asyncio.to_thread(own_server.start)
    assert not (await recorder.started()).resumed
    assert session.online


@pytest.mark.prosody
async def test_a_server_that_has_another_certificate_is_known_by_what_the_ca_file_holds_since(
    own_prosody: Server, open_session: OpenSession
) -> None:
    _, recorder = await open_session(own_prosody, "bob")
    await asyncio.to_thread(own_prosody.stop)
    await recorder.state("waiting")
    renewed = self_signed(own_prosody.directory, own_prosody.domain, own_prosody.pubsub)
    assert str(renewed.certificate) == own_prosody.ca_file
    await asyncio.to_thread(own_prosody.start)
    await recorder.started()


async def test_a_cut_connection_is_resumed_without_loss(
    server: Server, open_session: OpenSession, open_publisher: OpenPublisher, node: str
) -> None:
    publisher = await open_publisher(server, "alice")
    await publisher.create(server.pubsub, node, CONFIG)
    async with Proxy(server.host, server.port) as proxy:
        session, recorder = await open_session(server, "bob", port=proxy.port)
        await session.subscribe(server.pubsub, node)
        await publisher.publish(server.pubsub, node, "before", X)
        await recorder.event_of(ItemsEvent, node)
        proxy.cut()
        for number in range(5):
            await publisher.publish(server.pubsub, node, f"between {number}", X)
        await recorder.state("waiting")
        assert (await recorder.started()).resumed
        await publisher.publish(server.pubsub, node, "after", X)
        async with asyncio.timeout(20):
            while "after" not in (ids := _ids(recorder.told, node)):
                await recorder.event_of(ItemsEvent, node)
        assert ids == ["before", *(f"between {number}" for number in range(5)), "after"]
        assert [item.id for item in (await session.get_items(server.pubsub, node, max_items=1)).items] == ["after"]


@pytest.mark.parametrize(("lasting", "grow"), [(0.0, False), (1000.0, True)])
async def test_pauses_grow_until_a_session_has_lasted(
    server: Server,
    open_session: OpenSession,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    lasting: float,
    grow: bool,
) -> None:
    monkeypatch.setattr(connection, "LASTING", lasting)
    caplog.set_level(logging.INFO, connection.__name__)
    async with Proxy(server.host, server.port) as proxy:
        session, recorder = await open_session(server, "bob", port=proxy.port)
        for _ in range(3):
            proxy.cut()
            await recorder.state("waiting")
            session.connect()
            await recorder.started()
    pauses = [float(seconds) for seconds in re.findall(r"Trying again in ([\d.]+) s", caplog.text)]
    assert len(pauses) == 3
    assert (pauses[2] > connection.FIRST_PAUSE) == grow


async def test_a_request_that_was_lost_is_not_repeated_by_resumption(
    server: Server, open_session: OpenSession, open_publisher: OpenPublisher, node: str
) -> None:
    publisher = await open_publisher(server, "alice")
    await publisher.create(server.pubsub, node, CONFIG)
    async with Proxy(server.host, server.port) as proxy:
        session, recorder = await open_session(server, "bob", port=proxy.port)
        pending = asyncio.create_task(session.subscribe(server.pubsub, node))
        await asyncio.sleep(0)
        # Written, but nothing is on its way yet.
        proxy.cut()
        with pytest.raises(Offline):
            await pending
        assert (await recorder.started()).resumed
        assert await subscribed(session, server, node) == set()
        # The counters agree: a second cut is resumed as well.
        proxy.cut()
        assert (await recorder.started()).resumed
        await session.subscribe(server.pubsub, node)
        assert await subscribed(session, server, node) == {node}


async def test_interests_changed_while_cut_off_are_announced_after_resumption(
    server: Server, users: tuple[str, str], open_session: OpenSession, open_publisher: OpenPublisher
) -> None:
    user, _ = users
    publisher = await open_publisher(server, user)
    async with Proxy(server.host, server.port) as proxy:
        session, recorder = await open_session(server, user, port=proxy.port)
        proxy.cut()
        await recorder.state("waiting")
        session.set_interests(frozenset({"urn:wanted"}))
        assert (await recorder.started()).resumed
        async with asyncio.timeout(20):
            while not recorder.events:
                await publisher.publish("", "urn:wanted", "1", X)
                await session.disco_info(server.jid(user))


async def test_interests_that_the_connection_took_with_it_are_announced_after_resumption(
    server: Server, users: tuple[str, str], open_session: OpenSession, open_publisher: OpenPublisher
) -> None:
    user, _ = users
    publisher = await open_publisher(server, user)
    session, recorder = await open_session(server, user)
    session.set_interests(frozenset({"urn:wanted"}))
    # Nothing of it was written yet.
    assert session._client is not None
    session._client.end(Ending(False, "", ""))
    assert (await recorder.started()).resumed
    async with asyncio.timeout(20):
        while not recorder.events:
            await publisher.publish("", "urn:wanted", "1", X)
            await session.disco_info(server.jid(user))


async def test_a_server_that_says_nothing_any_more_is_left(
    server: Server, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Proxy(server.host, server.port) as proxy:
        session, recorder = await open_session(server, "bob", port=proxy.port)
        await session.close()
        monkeypatch.setattr(connection, "SILENCE", 0.1)
        monkeypatch.setattr(session_module, "PING_TIMEOUT", 0.5)
        session.connect()
        await recorder.started()
        proxy.silent = True
        told = await recorder.state("waiting")
        assert told.error == "im.pubsubcache1.Error.Timeout"
        proxy.cut()
        proxy.silent = False
        assert (await recorder.started()).resumed


async def test_a_resumption_that_fails_ends_in_a_new_session(own_server: Server, open_session: OpenSession) -> None:
    async with Proxy(own_server.host, own_server.port) as proxy:
        _, recorder = await open_session(own_server, "bob", port=proxy.port)
        proxy.refusing = True
        proxy.cut()
        await recorder.state("waiting")
        # The server forgets what could be resumed.
        await asyncio.to_thread(own_server.kill)
        await asyncio.to_thread(own_server.start)
        proxy.refusing = False
        assert not (await recorder.started()).resumed


async def test_a_session_that_is_lost_before_it_is_online_is_not_resumed(
    server: Server, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()

    async def never(_: Session) -> None:
        reached.set()
        await asyncio.Event().wait()

    async with Proxy(server.host, server.port) as proxy:
        with monkeypatch.context() as patched:
            patched.setattr(Session, "prepare", never)
            _, recorder = await open_session(server, "bob", port=proxy.port, wait=False)
            await reached.wait()
        proxy.cut()
        # Whoever listens has never heard of it, so that everything has to be looked at.
        assert not (await recorder.started()).resumed
        proxy.cut()
        assert (await recorder.started()).resumed


async def test_a_session_survives_connections_that_are_lost_before_it_resumes(
    server: Server, open_session: OpenSession
) -> None:
    async with Proxy(server.host, server.port) as proxy:
        session, recorder = await open_session(server, "bob", port=proxy.port)
        proxy.refusing = True
        proxy.cut()
        for _ in range(3):
            await recorder.state("waiting")
            session.connect()
        await recorder.state("waiting")
        proxy.refusing = False
        session.connect()
        assert (await recorder.started()).resumed


async def subscribed(session: Session, server: Server, node: str) -> set[str]:
    """The node, if it is subscribed to; asked by node, as Prosody 0.12.3 may never answer otherwise."""
    return {each.node for each in await session.subscriptions(server.pubsub, node) if each.state == "subscribed"}


def _ids(told: Sequence[Told], node: str) -> list[str]:
    """Ids of items published to a node in order, each once: what is replayed may come twice."""
    events = [each for each in told if isinstance(each, ItemsEvent) and each.node == node]
    ids = [item.id for event in events for item in event.items]
    return list(dict.fromkeys(ids))

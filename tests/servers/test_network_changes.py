"""What a session does when it is told that the network changed."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from pubsub_cached.xmpp import connection
from pubsub_cached.xmpp import session as session_module
from tests.support.certificates import self_signed
from tests.support.proxy import Proxy
from tests.support.server import Server

from .conftest import OpenSession

TIMEOUT = "im.pubsubcache1.Error.Timeout"


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself a session would not connect again within the test."""
    monkeypatch.setattr(connection, "FIRST_PAUSE", 1000.0)
    monkeypatch.setattr(connection, "LONGEST_PAUSE", 1000.0)


@pytest.mark.usefixtures("patience")
async def test_a_waiting_session_connects_at_once_when_the_network_is_back(
    server: Server, open_session: OpenSession
) -> None:
    async with Proxy(server.host, server.port) as proxy:
        session, recorder = await open_session(server, "bob", port=proxy.port)
        proxy.cut()
        await recorder.state("waiting")
        session.network_changed(False)
        for _ in range(10):
            await asyncio.sleep(0)
        assert recorder.states[-1] == "waiting"
        session.network_changed(True)
        assert (await recorder.started()).resumed


@pytest.mark.usefixtures("patience")
async def test_a_network_that_answers_in_the_place_of_the_server_is_waited_out(
    server: Server, open_session: OpenSession, tmp_path: Path
) -> None:
    """As one does until somebody has logged in to it."""
    stranger = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    stranger.load_cert_chain(*self_signed(tmp_path))
    between = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=stranger)
    async with between, Proxy(server.host, server.direct_tls_port) as proxy:
        session, recorder = await open_session(server, "bob", port=proxy.port, tls="direct")
        proxy.target = between.sockets[0].getsockname()
        proxy.cut()
        await recorder.state("waiting")
        for _ in range(3):
            session.network_changed(True)
            assert "can't be trusted" in (await recorder.state("waiting")).message
        proxy.target = (server.host, server.direct_tls_port)
        session.network_changed(True)
        assert (await recorder.started()).resumed


@pytest.mark.usefixtures("patience")
async def test_a_change_during_an_attempt_spares_the_pause_after_it(server: Server, open_session: OpenSession) -> None:
    async with Proxy(server.host, server.port) as proxy:
        session, recorder = await open_session(server, "bob", port=proxy.port)
        proxy.cut()
        await recorder.state("waiting")
        proxy.refusing = True
        session.network_changed(True)
        await recorder.state("connecting")
        session.network_changed(True)
        await recorder.state("waiting")
        proxy.heal()
        assert (await recorder.started()).resumed


@pytest.mark.usefixtures("patience")
async def test_an_attempt_that_hangs_since_before_the_change_is_given_up_soon(
    server: Server, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Proxy(server.host, server.port) as proxy:
        session, recorder = await open_session(server, "bob", port=proxy.port)
        proxy.cut()
        await recorder.state("waiting")
        proxy.silent = True
        session.network_changed(True)
        await recorder.state("connecting")
        monkeypatch.setattr(connection, "HURRY", 0.2)
        session.network_changed(True)
        assert (await recorder.state("waiting")).error == TIMEOUT
        proxy.heal()
        session.network_changed(True)
        assert (await recorder.started()).resumed


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("up", [True, False])
async def test_an_open_stream_that_is_dead_is_found_out_at_once(
    server: Server, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch, up: bool
) -> None:
    monkeypatch.setattr(session_module, "QUICK_PING_TIMEOUT", 0.3)
    async with Proxy(server.host, server.port) as proxy:
        session, recorder = await open_session(server, "bob", port=proxy.port)
        proxy.silent = True
        session.network_changed(up)
        assert (await recorder.state("waiting")).error == TIMEOUT
        proxy.heal()
        session.network_changed(True)
        assert (await recorder.started()).resumed


async def test_an_open_stream_that_works_goes_on(server: Server, open_session: OpenSession) -> None:
    session, recorder = await open_session(server, "bob")
    for up in (True, False, True):
        session.network_changed(up)
        await session.disco_info(server.domain)
    assert recorder.states == ["connecting", "online"]


async def test_a_session_that_was_closed_stays_closed(server: Server, open_session: OpenSession) -> None:
    session, recorder = await open_session(server, "bob")
    await session.close()
    session.network_changed(True)
    for _ in range(10):
        await asyncio.sleep(0)
    assert recorder.states == ["connecting", "online", "offline"]

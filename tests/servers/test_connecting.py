"""Connecting to real servers: SCRAM over verified TLS, and what becomes of everything else."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from pubsub_cached.xmpp.port import Endpoint
from pubsub_cached.xmpp.session import connect
from tests.support.certificates import self_signed
from tests.support.prosody import Prosody
from tests.support.proxy import Proxy
from tests.support.recorder import Recorder, State
from tests.support.server import Server

from .conftest import OpenSession

CONFLICT = "im.pubsubcache1.Error.Xmpp.Conflict"
FAILED = "im.pubsubcache1.Error.AuthenticationFailed"


async def test_a_session_comes_online(server: Server, open_session: OpenSession) -> None:
    session, recorder = await open_session(server, "bob")
    assert recorder.states == ["connecting", "online"]
    assert session.online
    assert session.server_features == tuple(sorted(set(session.server_features)))
    assert "http://jabber.org/protocol/pubsub#publish" in session.server_features
    assert "urn:xmpp:ping" in session.server_features


async def test_direct_tls_is_as_good(server: Server, open_session: OpenSession) -> None:
    session, _ = await open_session(server, "bob", port=server.direct_tls_port, tls="direct")
    assert session.online


async def test_close_ends_the_session_and_connect_begins_a_new_one(server: Server, open_session: OpenSession) -> None:
    session, recorder = await open_session(server, "bob")
    await session.close()
    assert not session.online
    assert recorder.states == ["connecting", "online", "offline"]
    assert "ended" in recorder.told
    session.connect()
    assert not (await recorder.started()).resumed


async def test_nobody_takes_a_session_that_is_being_closed_for_online(
    server: Server, open_session: OpenSession
) -> None:
    session, recorder = await open_session(server, "bob")
    closing = asyncio.create_task(session.close())
    await recorder.next(lambda told: told == "ended")
    assert not closing.done()
    assert recorder.states == ["connecting", "online", "offline"]
    await closing


async def test_a_session_that_is_wanted_again_while_it_is_closed_is_known_to_have_ended(
    server: Server, open_session: OpenSession
) -> None:
    session, recorder = await open_session(server, "bob")
    closing = asyncio.create_task(session.close())
    await asyncio.sleep(0)
    assert (session.online, closing.done()) == (False, False)
    session.connect()
    await closing
    assert not (await recorder.started()).resumed
    assert recorder.states == ["connecting", "online", "offline", "connecting", "online"]


@pytest.mark.parametrize("tls", ["starttls", "direct"])
async def test_an_untrusted_certificate_is_refused_for_good(
    server: Server, open_session: OpenSession, tmp_path: Path, tls: str
) -> None:
    port = server.direct_tls_port if tls == "direct" else server.port
    stranger = str(self_signed(tmp_path).certificate)
    _, recorder = await open_session(server, "bob", tls=tls, port=port, ca_file=stranger, wait=False)
    told = await recorder.state("failed")
    assert f"The certificate of {server.host} port {port} can't be trusted for localhost" in told.message
    assert "ca-file" in told.message
    assert recorder.states == ["connecting", "failed"]


async def test_the_certificate_must_be_for_the_domain_of_the_jid(server: Server) -> None:
    recorder = Recorder()
    endpoint = Endpoint("bob@other.example", server.host, server.port, ca_file=server.ca_file)
    session = connect(endpoint, lambda: "x", recorder)
    session.connect()
    told = await recorder.next(lambda each: isinstance(each, State) and each.state in ("failed", "waiting"))
    # Prosody has no such host and ends the stream before TLS.
    assert isinstance(told, State)
    assert "other.example" in told.message or told.error.endswith("Xmpp.HostUnknown")
    await session.close()


async def test_a_wrong_password_fails_and_is_not_tried_again(
    server: Server, open_session: OpenSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    session, recorder = await open_session(server, "bob", password="battery staple", wait=False)
    told = await recorder.state("failed")
    assert told.error == FAILED
    assert "refused the password of bob@localhost" in told.message
    await asyncio.sleep(0)
    assert recorder.states == ["connecting", "failed"]
    assert "battery staple" not in caplog.text
    assert not session.online
    # Only another connect tries again.
    session.connect()
    assert (await recorder.state("failed")).error == FAILED


async def test_a_new_password_is_read_on_connect(server: Server) -> None:
    recorder = Recorder()
    secrets = ["wrong", server.passwords["bob"]]
    endpoint = Endpoint(server.jid("bob"), server.host, server.port, ca_file=server.ca_file)
    session = connect(endpoint, lambda: secrets.pop(0), recorder)
    session.connect()
    await recorder.state("failed")
    session.connect()
    await recorder.started()
    await session.close()


@pytest.mark.parametrize("kept", [True, False])
async def test_a_password_that_is_changed_during_a_session_is_read_again_where_it_is_kept(
    server: Server, users: tuple[str, str], kept: bool
) -> None:
    user, _ = users
    recorder, secrets = Recorder(), [server.passwords[user]]
    async with Proxy(server.host, server.port) as proxy:
        endpoint = Endpoint(server.jid(user), proxy.host, proxy.port, ca_file=server.ca_file)
        session = connect(endpoint, lambda: secrets[-1], recorder)
        session.connect()
        await recorder.started()
        server.add_user(user, "changed")
        if kept:
            secrets.append("changed")
        proxy.cut()
        if kept:
            assert (await recorder.started()).resumed
        else:
            assert (await recorder.state("failed")).error == FAILED
            # Once was enough.
            assert recorder.states == ["connecting", "online", "waiting", "connecting", "failed"]
        await session.close()


async def test_the_asked_for_resource_is_bound(server: Server, open_session: OpenSession) -> None:
    _, first = await open_session(server, "bob", resource="desk")
    session, second = await open_session(server, "bob", resource="desk", wait=False)
    # Servers end one of two sessions of the same name.
    await second.started()
    told = await first.state("waiting")
    assert told.error == CONFLICT
    # It leaves the name to the other (RFC 6120 4.9.3.3), and both go on.
    assert not (await first.started()).resumed
    await session.disco_info(server.domain)
    assert second.states == ["connecting", "online"]


@pytest.mark.prosody
async def test_a_resource_that_another_session_has_is_not_insisted_on(
    tmp_path: Path, open_session: OpenSession
) -> None:
    prosody = Prosody(tmp_path)
    prosody.configuration.write_text(
        f"conflict_resolve = 'kick_new'\n{prosody.configuration.read_text('utf-8')}", "utf-8"
    )
    with prosody:
        session, first = await open_session(prosody, "bob", resource="desk")
        _, second = await open_session(prosody, "bob", resource="desk", wait=False)
        told = await second.state("waiting")
        assert told.error == CONFLICT
        assert "did not bind a session of bob@localhost/desk" in told.message
        await second.started()
        await session.disco_info(prosody.domain)
        assert first.states == ["connecting", "online"]


async def test_no_secret_is_logged(server: Server, open_session: OpenSession, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await open_session(server, "bob")
    assert server.passwords["bob"] not in caplog.text
    assert "<auth" not in caplog.text

"""Peers that lie on the wire: nothing secret is sent to them and nothing of theirs is believed."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Literal

import pytest
from slixmpp import ClientXMPP
from slixmpp.xmlstream import xmlstream

from pubsub_cached.xmpp import stream
from pubsub_cached.xmpp.client import Client
from pubsub_cached.xmpp.port import Endpoint
from pubsub_cached.xmpp.session import Session, connect
from tests.support.certificates import self_signed
from tests.support.recorder import Recorder, State
from tests.support.scripted import FEATURES, STARTTLS, STREAM, Scripted

ACCOUNT = "alice@localhost"
PASSWORD = "correct horse"
MECHANISMS = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</mechanisms>"
SCRAM = MECHANISMS.format("<mechanism>SCRAM-SHA-256</mechanism>")
PLAIN = MECHANISMS.format("<mechanism>PLAIN</mechanism><mechanism>DIGEST-MD5</mechanism>")
MANAGEMENT = "<sm xmlns='urn:xmpp:sm:3'/>"
FAILURE = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{}/></failure>"
SUCCESS = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
EVENT = (
    "<message from='alice@localhost'><event xmlns='http://jabber.org/protocol/pubsub#event'>"
    "<purge node='blog'/></event></message>"
)

Opener = Callable[..., tuple[Session, Recorder]]


@pytest.fixture
async def open_session() -> AsyncIterator[Opener]:
    sessions: list[Session] = []

    def opened(peer: Scripted, **endpoint: str) -> tuple[Session, Recorder]:
        recorder = Recorder("pubsub.localhost")
        session = connect(
            Endpoint(ACCOUNT, peer.host, peer.port, **endpoint),  # type: ignore[arg-type]
            lambda: PASSWORD,
            recorder,
        )
        sessions.append(session)
        session.connect()
        return session, recorder

    yield opened
    for session in sessions:
        await session.close()


@pytest.mark.parametrize(
    "prologue",
    [
        "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>]>",
        "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>]>",
        "<?xml version='1.0'?>\n<!DOCTYPE x SYSTEM 'file:///etc/passwd'>",
        "<?xml version='1.0' encoding='utf-16'?>",
        "<!-- -->",
    ],
)
async def test_a_stream_never_begins_with_a_dtd(open_session: Opener, prologue: str) -> None:
    start = STREAM.removeprefix("<?xml version='1.0'?>")
    async with Scripted(prologue + start + FEATURES.format(STARTTLS)) as peer:
        _, recorder = open_session(peer)
        told = await recorder.state("waiting")
        assert "does not begin a stream as XMPP does" in told.message
        assert "starttls" not in peer.heard


async def test_a_dtd_in_another_encoding_is_refused_as_well(open_session: Opener) -> None:
    greeting = ("\ufeff<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'a'>]>" + STREAM + " " * 2000).encode("utf-16-le")
    async with Scripted(greeting) as peer:
        _, recorder = open_session(peer)
        assert "does not begin a stream" in (await recorder.state("waiting")).message


async def test_a_dtd_inside_the_stream_is_no_xml(open_session: Opener) -> None:
    async with Scripted(STREAM + "<!DOCTYPE x [<!ENTITY a 'a'>]><x>&a;</x>") as peer:
        _, recorder = open_session(peer)
        assert "not XML" in (await recorder.state("waiting")).message


async def test_a_stream_without_tls_gets_no_password(open_session: Opener) -> None:
    async with Scripted(STREAM + FEATURES.format(SCRAM)) as peer:
        session, recorder = open_session(peer)
        told = await recorder.state("failed")
        assert f"{peer.host} port {peer.port} offers no TLS" in told.message
        assert "<auth" not in peer.heard
        assert peer.connections == 1
        assert not session.online


@pytest.mark.parametrize("stanza", [EVENT, SUCCESS, "<resumed xmlns='urn:xmpp:sm:3' h='0' previd='x'/>"])
async def test_what_comes_before_tls_is_not_believed(open_session: Opener, stanza: str) -> None:
    async with Scripted(STREAM + stanza + FEATURES.format(STARTTLS)) as peer:
        _, recorder = open_session(peer)
        assert "before TLS" in (await recorder.state("waiting")).message
        assert recorder.events == []
        assert "online" not in recorder.states


async def test_tls_that_is_none_is_named(open_session: Opener) -> None:
    proceed = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
    replies = {"<starttls": proceed, "\x16\x03": "this is not TLS" * 10}
    async with Scripted(STREAM + FEATURES.format(STARTTLS), replies) as peer:
        _, recorder = open_session(peer)
        assert "does not speak TLS as expected" in (await recorder.state("waiting")).message


async def test_direct_tls_towards_a_port_that_speaks_none_is_named(open_session: Opener) -> None:
    async with Scripted("", {"\x16\x03": STREAM}) as peer:
        _, recorder = open_session(peer, tls="direct")
        assert "does not speak TLS as expected" in (await recorder.state("waiting")).message


async def test_only_scram_is_used(open_session: Opener) -> None:
    async with Scripted(STREAM + FEATURES.format(PLAIN)) as peer:
        _, recorder = open_session(peer, tls="none")
        told = await recorder.state("failed")
        assert told.error == "im.pubsubcache1.Error.AuthenticationFailed"
        assert "only: DIGEST-MD5, PLAIN" in told.message
        assert "<auth" not in peer.heard


async def test_a_session_that_nobody_logged_in_to_is_none(open_session: Opener) -> None:
    greeting = STREAM + FEATURES.format(MANAGEMENT) + "<resumed xmlns='urn:xmpp:sm:3' h='0' previd='x'/>" + EVENT
    async with Scripted(greeting) as peer:
        _, recorder = open_session(peer, tls="none")
        await recorder.state("waiting")
        assert recorder.events == []
        assert "online" not in recorder.states


async def test_a_redirect_is_not_followed(open_session: Opener) -> None:
    async with Scripted("") as other:
        redirect = (
            "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>"
            f"127.0.0.1:{other.port}</see-other-host></stream:error></stream:stream>"
        )
        async with Scripted(STREAM + redirect) as peer:
            _, recorder = open_session(peer)
            told = await recorder.state("waiting")
            assert told.error == "im.pubsubcache1.Error.Xmpp.SeeOtherHost"
            await recorder.state("connecting")
            await recorder.state("waiting")
            assert (peer.connections, other.connections) == (2, 0)


async def test_plain_text_is_for_loopback_only() -> None:
    recorder = Recorder()
    session = connect(Endpoint(ACCOUNT, "192.0.2.1", 5222, tls="none"), lambda: PASSWORD, recorder)
    session.connect()
    assert "loopback" in (await recorder.state("failed")).message
    await session.close()


@pytest.mark.parametrize("iterations", [0, 10**9])
async def test_the_work_for_a_password_is_bounded(open_session: Opener, iterations: int) -> None:
    def challenge(heard: str) -> str:
        first = base64.b64decode(re.findall("<auth[^>]*>([^<]+)</auth>", heard)[0]).decode()
        nonce = first.rpartition("r=")[2]
        asked = base64.b64encode(f"r={nonce}x,s=c2FsdA==,i={iterations}".encode()).decode()
        return f"<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{asked}</challenge>"

    replies = {"</auth>": challenge, "<abort": FAILURE.format("aborted")}
    async with Scripted(STREAM + FEATURES.format(SCRAM), replies) as peer:
        _, recorder = open_session(peer, tls="none")
        assert "aborted" in (await recorder.state("waiting")).message
        assert "<response" not in peer.heard


@pytest.mark.parametrize("condition", ["invalid-mechanism", "mechanism-too-weak"])
async def test_a_mechanism_that_is_not_taken_is_followed_by_the_next(open_session: Opener, condition: str) -> None:
    offered = MECHANISMS.format("<mechanism>SCRAM-SHA-1</mechanism><mechanism>SCRAM-SHA-256</mechanism>")
    replies = {'"SCRAM-SHA-256"': FAILURE.format(condition), '"SCRAM-SHA-1"': FAILURE.format("not-authorized")}
    async with Scripted(STREAM + FEATURES.format(offered), replies) as peer:
        _, recorder = open_session(peer, tls="none")
        assert "refused the password of alice@localhost: not-authorized" in (await recorder.state("failed")).message
        assert re.findall('mechanism="([^"]+)"', peer.heard) == ["SCRAM-SHA-256", "SCRAM-SHA-1"]


async def test_a_login_that_is_refused_for_now_is_tried_again(open_session: Opener) -> None:
    replies = {"</auth>": FAILURE.format("temporary-auth-failure")}
    async with Scripted(STREAM + FEATURES.format(SCRAM), replies) as peer:
        _, recorder = open_session(peer, tls="none")
        told = await recorder.state("waiting")
        assert told.error == "im.pubsubcache1.Error.AuthenticationFailed"
        await recorder.state("connecting")


@pytest.mark.parametrize(
    ("password", "reason"), [("", "There is no password"), ("bell\x07", "holds characters that no server accepts")]
)
async def test_an_unusable_password_is_not_tried(password: str, reason: str) -> None:
    async with Scripted(STREAM) as peer:
        recorder = Recorder()
        session = connect(Endpoint(ACCOUNT, peer.host, peer.port), lambda: password, recorder)
        session.connect()
        told = await recorder.state("failed")
        assert told.error == "im.pubsubcache1.Error.AuthenticationFailed"
        assert reason in told.message
        assert peer.connections == 0
        await session.close()


async def test_an_unreadable_ca_file_is_named() -> None:
    recorder = Recorder()
    session = connect(Endpoint(ACCOUNT, "127.0.0.1", 1, ca_file="/nonexistent/ca.pem"), lambda: PASSWORD, recorder)
    session.connect()
    told = await recorder.state("failed")
    assert "/nonexistent/ca.pem" in told.message
    assert "No such file" in told.message
    await session.close()


async def test_a_port_where_nobody_listens_is_tried_again() -> None:
    async with Scripted("") as peer:
        port = peer.port
    recorder = Recorder()
    session = connect(Endpoint(ACCOUNT, "127.0.0.1", port), lambda: PASSWORD, recorder)
    session.connect()
    told = await recorder.state("waiting")
    assert told.error == "im.pubsubcache1.Error.Offline"
    assert told.message == f"127.0.0.1 port {port} can't be reached: Connection refused."
    await recorder.state("connecting")
    await session.close()
    assert recorder.states[-1] == "offline"


async def test_a_host_of_several_addresses_is_told_why_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``localhost`` is, and whoever has both families."""
    async with Scripted("") as peer:
        port = peer.port
    addresses = [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
        for address in ("127.0.0.1", "127.0.0.2")
    ]

    async def getaddrinfo(*_: object, **__: object) -> object:
        return addresses

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    recorder = Recorder()
    session = connect(Endpoint(ACCOUNT, "both.example.org", port), lambda: PASSWORD, recorder)
    session.connect()
    told = await recorder.state("waiting")
    await session.close()
    assert told.message == f"both.example.org port {port} can't be reached: Connection refused."


@pytest.mark.parametrize("host", ["both.example.org", ""])
async def test_an_address_that_does_not_answer_keeps_no_other_of_its_host_waiting(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """As where there is an IPv6 that leads nowhere; also of a host that DNS names."""
    monkeypatch.setattr(stream, "ANSWERING", 1000.0)
    loop, nowhere = asyncio.get_running_loop(), "192.0.2.1"
    sock_connect = loop.sock_connect
    left: list[socket.socket] = []

    async def connecting(sock: socket.socket, address: tuple[str, int]) -> None:
        if address[0] == nowhere:
            left.append(sock)
            await loop.create_future()
        await sock_connect(sock, address)

    async with Scripted("<!-- -->") as peer:
        addresses = (nowhere, peer.host)

        async def getaddrinfo(*_: object, **__: object) -> object:
            return [
                (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (each, peer.port)) for each in addresses
            ]

        async def records(*_: object) -> object:
            return [("xmpp-client", "both.example.org", each, peer.port) for each in addresses]

        monkeypatch.setattr(loop, "sock_connect", connecting)
        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(ClientXMPP, "get_dns_records", records)
        recorder = Recorder()
        session = connect(Endpoint(ACCOUNT, host), lambda: PASSWORD, recorder)
        session.connect()
        assert "does not begin a stream" in (await recorder.state("waiting")).message
        await session.close()
    assert left[0].fileno() == -1


async def test_a_host_that_does_not_answer_leaves_its_turn_to_the_next_that_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a server of several machines has them in DNS (RFC 6120 3.2.1)."""
    monkeypatch.setattr(stream, "ANSWERING", 0.2)
    async with Scripted("") as silent, Scripted("") as peer:

        async def records(*_: object) -> object:
            return [("xmpps-client", "xmpp.example.org", each.host, each.port) for each in (silent, peer)]

        monkeypatch.setattr(Client, "get_dns_records", records)
        recorder = Recorder()
        session = connect(Endpoint(ACCOUNT, tls="direct"), lambda: PASSWORD, recorder)
        session.connect()
        while not peer.connections:
            await recorder.state("waiting")
        await session.close()


@pytest.mark.parametrize(
    ("tls", "host", "port"), [("starttls", "", 5222), ("direct", "", 5223), ("direct", "::1", 5223)]
)
async def test_where_no_port_is_given_it_is_that_of_the_kind_of_tls(
    monkeypatch: pytest.MonkeyPatch, tls: Literal["starttls", "direct"], host: str, port: int
) -> None:
    """Also where DNS names no servers of the domain."""
    asked = asyncio.get_running_loop().create_future()

    async def attempt(_: Client, *there: object) -> bool:
        asked.set_result(there[1])
        return True

    monkeypatch.setattr(xmlstream, "default_resolver", lambda loop: None)
    monkeypatch.setattr(Client, "_attempt_connection", attempt)
    session = connect(Endpoint(ACCOUNT, host, tls=tls), lambda: PASSWORD, Recorder())
    session.connect()
    assert await asked == port
    await session.close()


async def test_a_host_that_does_not_answer_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "ANSWERING", 0.2)
    async with Scripted("") as silent:
        recorder = Recorder()
        session = connect(Endpoint(ACCOUNT, silent.host, silent.port, tls="direct"), lambda: PASSWORD, recorder)
        session.connect()
        told = await recorder.state("waiting")
        await session.close()
    assert told.message == f"127.0.0.1 port {silent.port} can't be reached: no answer came."


@pytest.mark.parametrize(("days", "reason"), [((-9, -2), "has expired"), ((2, 9), "is not yet valid")])
async def test_a_certificate_that_is_out_of_date_is_tried_again(
    tmp_path: Path, days: tuple[int, int], reason: str
) -> None:
    """It is renewed without anybody's help here, and a clock is set after the start of a machine that has none."""
    made = self_signed(tmp_path, days=days)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.certificate, made.key)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    recorder = Recorder()
    endpoint = Endpoint(ACCOUNT, "127.0.0.1", port, tls="direct", ca_file=str(made.certificate))
    session = connect(endpoint, lambda: PASSWORD, recorder)
    session.connect()
    told = await recorder.next(lambda each: isinstance(each, State) and each.state in ("failed", "waiting"))
    await session.close()
    server.close()
    assert isinstance(told, State)
    assert told.state == "waiting"
    assert told.message == (
        f"The certificate of 127.0.0.1 port {port} can't be trusted for localhost: certificate {reason}. The server's "
        "operator has to renew it, unless this machine's clock is wrong."
    )


async def test_a_host_that_has_no_address_is_the_one_that_is_named() -> None:
    """Not the account's domain, which nobody looked up."""
    recorder = Recorder()
    # Refused by the resolver itself, which asks nobody: there is no such interface.
    session = connect(Endpoint(ACCOUNT, "fe80::1%nowhere", 5222), lambda: PASSWORD, recorder)
    session.connect()
    told = await recorder.state("waiting")
    await session.close()
    assert told.message.startswith("fe80::1%nowhere port 5222 can't be reached: no address of it is known.")


async def test_an_address_may_be_in_brackets() -> None:
    """As one of IPv6 is in a JID (RFC 7622 3.2), and as the configuration takes it."""
    recorder = Recorder()
    session = connect(Endpoint(ACCOUNT, "[::1]", 1), lambda: PASSWORD, recorder)
    session.connect()
    told = await recorder.state("waiting")
    await session.close()
    assert "[::1] port 1 can't be reached" in told.message
    # Whether this machine has IPv6 is another question.
    assert "no address of it is known" not in told.message


async def test_connect_does_not_wait_for_the_pause_to_end() -> None:
    async with Scripted("") as peer:
        port = peer.port
    recorder = Recorder()
    session = connect(Endpoint(ACCOUNT, "127.0.0.1", port), lambda: PASSWORD, recorder)
    session.connect()
    for _ in range(20):  # pauses that double twenty times outlast any test
        await recorder.state("waiting")
        session.connect()
    await session.close()

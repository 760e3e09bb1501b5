"""Sessions and publishers at real servers; every test here runs against each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import pytest

from pubsub_cached.xmpp.port import Endpoint
from pubsub_cached.xmpp.session import Session, connect
from tests.support.publisher import Publisher
from tests.support.recorder import Recorder
from tests.support.server import Server

pytest.register_assert_rewrite("tests.servers.history")

SERVERS = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("prosody", "ejabberd")]

OpenSession = Callable[..., Awaitable[tuple[Session, Recorder]]]
OpenPublisher = Callable[..., Awaitable[Publisher]]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    """A running server, shared by all tests."""
    running: Server = request.getfixturevalue(request.param)
    return running


@pytest.fixture(params=SERVERS)
def own_server(request: pytest.FixtureRequest) -> Server:
    """A running server of this test alone, which may stop it."""
    running: Server = request.getfixturevalue(f"own_{request.param}")
    return running


@pytest.fixture
def users(server: Server) -> tuple[str, str]:
    """Two users that no other test knows."""
    names = (f"u{uuid4().hex[:8]}", f"v{uuid4().hex[:8]}")
    for name in names:
        server.add_user(name)
    return names


@pytest.fixture
def node() -> str:
    """A node name that no other test uses."""
    return f"node {uuid4().hex[:8]} <&'\">"


@pytest.fixture
async def open_session() -> AsyncIterator[OpenSession]:
    """Makes connected sessions, and closes them."""
    sessions: list[Session] = []

    async def opened(
        server: Server,
        user: str,
        *,
        interests: frozenset[str] = frozenset(),
        password: str | None = None,
        wait: bool = True,
        **endpoint: object,
    ) -> tuple[Session, Recorder]:
        values: dict[str, object] = {"host": server.host, "port": server.port, "ca_file": server.ca_file} | endpoint
        recorder = Recorder(server.pubsub)
        secret = server.passwords[user] if password is None else password
        session = connect(
            Endpoint(server.jid(user), **values),  # type: ignore[arg-type]
            lambda: secret,
            recorder,
        )
        sessions.append(session)
        session.set_interests(interests)
        session.connect()
        if wait:
            assert not (await recorder.started()).resumed
        return session, recorder

    yield opened
    for session in sessions:
        await session.close()


@pytest.fixture
async def open_publisher() -> AsyncIterator[OpenPublisher]:
    """Makes publishers, and closes them."""
    publishers: list[Publisher] = []

    async def opened(server: Server, user: str) -> Publisher:
        publisher = await Publisher.open(server, user)
        publishers.append(publisher)
        return publisher

    yield opened
    for publisher in publishers:
        await publisher.close()


@pytest.fixture
async def alice(server: Server, open_publisher: OpenPublisher) -> Publisher:
    return await open_publisher(server, "alice")

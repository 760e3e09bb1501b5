"""A desktop: a server with real content, the daemon that keeps it, and a screen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from demo.publish import entry
from demo.sample import BLOG, EVENTS, fill
from tests.support.daemon import Daemon
from tests.support.prosody import Prosody
from tests.support.publisher import Publisher
from tests.support.screen import Screen

ROOT = Path(__file__).resolve().parents[2]
PICTURES = "PICTURES"


class Desktop:
    """Alice's session; the daemon keeps what Bob has written."""

    def __init__(self, server: Prosody, daemon: Daemon) -> None:
        self.server = server
        self.daemon = daemon
        self.account = f"/im/pubsubcache1/account/alice_40{server.domain}"

    async def keep(self, *nodes: str) -> None:
        """Have the daemon keep nodes of the pubsub service."""
        for node in nodes:
            await self.daemon.items(self.server.pubsub, node)
            await self.daemon.settled(self.server.pubsub, node, "live")

    async def publish(self, id_: str, title: str, text: str = "It is short.", node: str = BLOG) -> None:
        """Bob writes a post."""
        bob = await Publisher.open(self.server, "bob")
        await bob.publish(self.server.pubsub, node, id_, entry(id_, title, text))
        await bob.close()


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prosody]:
    """A Prosody for all frontends, with what is in ``demo/content``."""
    with Prosody(tmp_path_factory.mktemp("prosody")) as server:
        asyncio.run(fill(server))
        yield server


@pytest.fixture
def server(filled: Prosody) -> Prosody:
    """The same; a test may stop it."""
    return filled.start()


@pytest.fixture
async def desktop(server: Prosody, daemon: Daemon) -> Desktop:
    """A daemon that is connected and keeps Bob's blog and events."""
    daemon.account(server, "alice")
    await daemon.start()
    await daemon.state(server.jid("alice"), "online")
    made = Desktop(server, daemon)
    await made.keep(BLOG, EVENTS)
    return made


@pytest.fixture
def screen_size() -> tuple[int, int]:
    """That of the window."""
    return 1000, 640


@pytest.fixture
async def screen(
    desktop: Desktop,
    make_screen: Callable[..., Awaitable[Screen]],
    screen_size: tuple[int, int],
    tmp_path: Path,
) -> Screen:
    """A screen of that session."""
    return await make_screen(desktop.daemon.environment, tmp_path, screen_size)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures of the screen go.

    ``PICTURES=docs/images scripts/test tests/frontends`` makes those of the documentation.
    """
    return ROOT / os.environ[PICTURES] if PICTURES in os.environ else tmp_path

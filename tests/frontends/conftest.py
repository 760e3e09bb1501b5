"""A desktop: a server with real content, the daemon that keeps it, and a screen."""

from __future__ import annotations

import asyncio
import os
import re
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
NEWS = "news"
# More than the window of a view.
OLD_NEWS = 70
PUBLISHED = re.compile("<published>[^<]*<")


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

    async def publish(self, id_: str, title: str) -> None:
        """Bob writes news."""
        bob = await Publisher.open(self.server, "bob")
        await bob.publish(self.server.pubsub, NEWS, id_, entry(id_, title, "It is short."))
        await bob.close()


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prosody]:
    """A Prosody for all frontends, with what is in ``demo/content`` and a node that tests write to."""
    with Prosody(tmp_path_factory.mktemp("prosody")) as server:
        asyncio.run(_fill(server))
        yield server


async def _fill(server: Prosody) -> None:
    await fill(server)
    alice = await Publisher.open(server, "alice")
    await alice.create(server.pubsub, NEWS, {"title": "News", "publish_model": "open", "max_items": "1000"})
    for number in range(OLD_NEWS):
        day = f"2020-01-01T{number // 60:02}:{number % 60:02}"
        old = entry(f"old-{number}", f"Old news {number}", "It was long ago.")
        await alice.publish(server.pubsub, NEWS, f"old-{number}", PUBLISHED.sub(f"<published>{day}:00Z<", old))
    await alice.close()


@pytest.fixture
def server(filled: Prosody) -> Prosody:
    """The same; a test may stop it."""
    return filled.start()


@pytest.fixture
async def desktop(server: Prosody, daemon: Daemon) -> Desktop:
    """A daemon that is connected and keeps Bob's blog, the events and the news."""
    daemon.account(server, "alice")
    await daemon.start()
    await daemon.state(server.jid("alice"), "online")
    made = Desktop(server, daemon)
    await made.keep(BLOG, EVENTS, NEWS)
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

"""``examples/gtk-reader`` on a screen: what its reader sees and does, with the real daemon and a real server."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from demo.publish import entry
from demo.sample import BLOG, MICROBLOG
from pubsub_cached.bus import RemoteError, Variant
from tests.support.screen import Screen, Shown

from .conftest import NEWS, ROOT, Desktop

READER = ("/usr/bin/python3", ROOT / "examples" / "gtk-reader" / "reader.py")
KNOWN = (
    "Forty-one species in one morning",
    "The library now lends sewing machines. I have one until the 17th. Hide your curtains.",
    "A kingfisher at the mill pond this morning. Blue is not the word.",
    "What a cache is for",
    "The night train to Ljubljana",
)
WRITE = "What’s new?"

pytestmark = pytest.mark.prosody


@pytest.fixture
async def reader(screen: Screen) -> Screen:
    """The reader is open and shows what there is."""
    screen.launch(*READER)
    await screen.names("Forty-one species", "Up to date")
    return screen


def posts(shown: list[Shown]) -> list[str]:
    """The titles in the list, from top to bottom."""
    return [row.name.split("\n")[0] for dot, row in pairwise(shown) if dot.name == "●"]


async def test_the_timeline_has_all_blogs_newest_first(reader: Screen) -> None:
    found = [title for title in posts(await reader.shown()) if title in KNOWN]
    assert found == list(KNOWN)[: len(found)]
    assert len(found) > 2


async def test_a_post_that_arrives_is_shown_at_the_top(reader: Screen, desktop: Desktop) -> None:
    await desktop.publish("frost", "The first frost")
    await reader.until(lambda shown: posts(shown)[:1] == ["The first frost"])


@pytest.mark.long
async def test_scrolling_to_the_end_reads_what_comes_after_the_window(reader: Screen, desktop: Desktop) -> None:
    await reader.wheel(KNOWN[2], until="Old news 0\n")
    await desktop.publish("late", "News while nobody looks at the top")
    await desktop.daemon.until(lambda signal: signal.body[2:4] == [NEWS, ["late"]])
    await reader.until(lambda shown: posts(shown)[-3:] == ["Old news 2", "Old news 1", "Old news 0"])


async def test_opening_a_post_marks_it_read_for_all_programs(reader: Screen, desktop: Desktop, pictures: Path) -> None:
    await reader.click("What a cache is for")
    await reader.until(lambda shown: sum("On the train back the network" in one.name for one in shown) == 2)
    await desktop.daemon.until(lambda signal: signal.body[2:4] == [BLOG, ["what-a-cache-is-for"]])
    items, _, _ = await desktop.daemon.items(desktop.server.pubsub, BLOG)
    assert [item["id"] for item in items if "read" in item["flags"]] == ["what-a-cache-is-for"]
    await reader.picture(pictures / "gtk-reader.png")


async def test_searching_finds_words_in_all_blogs(reader: Screen) -> None:
    await reader.write("Search", "kingfisher")
    await reader.until(lambda shown: posts(shown) == [KNOWN[2]])
    await reader.write("Search", "")
    await reader.names("Forty-one species")
    await reader.write("Search", "kingfisher " * 1000)
    (toast,) = await reader.names("10000 is the most")
    assert toast.name == "The text has 11000 characters, and 10000 is the most."


async def test_what_is_written_without_a_connection_is_sent_later(reader: Screen, desktop: Desktop) -> None:
    desktop.server.stop()
    await reader.names("Offline, as of", "Forty-one species")
    await reader.enter(WRITE, "Written on the train")
    await reader.names("Waiting for a connection: 1")
    desktop.server.start()
    await desktop.daemon.call("Account", "Connect", path=desktop.account)
    await reader.until(lambda shown: posts(shown)[:1] == ["Written on the train"])
    await reader.gone("Waiting for a connection")
    await reader.names("Up to date")


async def test_what_is_written_takes_the_place_of_nothing(reader: Screen, desktop: Desktop) -> None:
    with suppress(RemoteError):  # Nobody may have written before.
        await desktop.daemon.call("PubSub", "DeleteNode", "sssa{sv}", "", "", MICROBLOG, {})
    await reader.enter(WRITE, "The first of two")
    await reader.names("The first of two\n")
    await reader.enter(WRITE, "The second of two")
    await reader.names("The second of two\n")
    items, *_ = await desktop.daemon.items("", MICROBLOG, policy=Variant("s", "network"))
    assert len(items) == 2


@pytest.mark.long
async def test_what_the_service_did_not_want_is_said(reader: Screen, desktop: Desktop) -> None:
    post = ("", desktop.server.pubsub, "no such node", "lost", entry("lost", "Lost", "In the post."))
    await desktop.daemon.call("PubSub", "Publish", "sssssa{sv}", *post, {"queue": Variant("b", True)})
    await reader.names("no such node")


@pytest.mark.long
async def test_it_starts_without_a_server(screen: Screen, desktop: Desktop) -> None:
    await desktop.daemon.end()
    desktop.server.stop()
    await desktop.daemon.start()
    screen.launch(*READER)
    await screen.names("Offline, as of", "Forty-one species")


@pytest.mark.long
async def test_it_outlives_the_daemon(reader: Screen, desktop: Desktop) -> None:
    await desktop.daemon.end()
    await reader.names("The cache is not running", "Forty-one species")
    await desktop.daemon.start()
    await reader.names("Up to date")
    await desktop.publish("ice", "Ice on the pond")
    await reader.until(lambda shown: posts(shown)[:1] == ["Ice on the pond"])

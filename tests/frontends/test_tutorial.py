"""The programs of the tutorial do what it says, with GLib and with Qt."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pubsub_cached.xmpp.fake import World
from tests.bus.api_service import ALICE, SERVICE, Frontend, daemon, entry, frontend, world
from tests.support.bus import PrivateBus

TUTORIAL = Path(__file__).resolve().parents[2] / "examples" / "tutorial"
# PyGObject is Debian's and belongs to Debian's Python.
INTERPRETERS = {"gtk": "/usr/bin/python3", "qt": sys.executable}
BLOG = "urn:xmpp:microblog:0"
SECONDS = 30


class Program:
    """One of the tutorial's programs, in one of the two languages, on a bus."""

    def __init__(self, kit: str, bus: PrivateBus) -> None:
        self._kit = kit
        self._bus = bus

    async def start(self, name: str, *arguments: str) -> asyncio.subprocess.Process:
        """Start it; what it prints and what it complains of come together."""
        return await asyncio.create_subprocess_exec(
            *(INTERPRETERS[self._kit], TUTORIAL / self._kit / name, *arguments),
            env=self._bus.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, name: str, *arguments: str) -> tuple[int | None, list[str]]:
        """Run it to its end; its status, and the lines it printed."""
        process = await self.start(name, *arguments)
        async with asyncio.timeout(SECONDS):
            out, _ = await process.communicate()
        return process.returncode, out.decode().splitlines()


@pytest.fixture
def made() -> World:
    return world()


@pytest.fixture(params=sorted(INTERPRETERS))
def program(request: pytest.FixtureRequest, private_bus: PrivateBus) -> Program:
    return Program(request.param, private_bus)


@pytest.fixture
async def client(made: World, private_bus: PrivateBus, tmp_path: Path) -> AsyncIterator[Frontend]:
    """A client of a daemon that keeps the blog."""
    async with daemon(made, private_bus.address, tmp_path), frontend(private_bus.address) as client:
        await client.synchronised()
        yield client


UNTITLED = "<entry xmlns='http://www.w3.org/2005/Atom'><id>urn:x</id></entry>"


async def told(process: asyncio.subprocess.Process, last: list[str]) -> None:
    """Return once the program shows this list."""
    assert process.stdout is not None
    shown: list[str] = []
    async with asyncio.timeout(SECONDS):
        while shown != last:
            line = (await process.stdout.readline()).decode().rstrip("\n")
            assert line, f"it ended after {shown}"
            shown = [] if line == "--" else [*shown, line]


@pytest.mark.usefixtures("client")
async def test_reading_shows_the_newest_posts_and_where_they_are_from(program: Program) -> None:
    lines = ["• Number 2", "• Number 1", "• Number 0", "from the cache, live"]
    assert await program.run("read.py", SERVICE, "blog") == (0, lines)


async def test_a_post_without_a_title_keeps_nothing_from_being_shown(
    program: Program, client: Frontend, made: World
) -> None:
    made.services[SERVICE].publish("blog", "post-3", UNTITLED)
    while (await client.until("ItemsChanged"))[3] != ["post-3"]:
        pass

    lines = ["• (no title)", "• Number 2", "• Number 1", "• Number 0", "from the cache, live"]
    assert await program.run("read.py", SERVICE, "blog") == (0, lines)
    process = await program.start("view.py")
    try:
        await told(process, ["(no title)", "Number 2", "Number 1", "Number 0"])
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.usefixtures("client")
async def test_reading_says_what_is_wrong(program: Program) -> None:
    status, lines = await program.run("read.py", SERVICE, "missing")

    assert status == 1
    assert lines[0].startswith("im.pubsubcache1.Error.NoSuchNode: There is no node 'missing'")


@pytest.mark.usefixtures("client")
async def test_the_list_follows_the_node(program: Program, made: World) -> None:
    service = made.services[SERVICE]
    process = await program.start("view.py")
    try:
        await told(process, ["Number 2", "Number 1", "Number 0"])
        service.publish("blog", "post-3", entry(3))
        await told(process, ["Number 3", "Number 2", "Number 1", "Number 0"])
        service.retract("blog", "post-1")
        await told(process, ["Number 3", "Number 2", "Number 0"])
        service.publish("blog", "post-0", entry(0).replace("Number 0", "Zero"))
        await told(process, ["Zero", "Number 3", "Number 2"])
    finally:
        process.terminate()
        await process.wait()


async def test_the_list_is_there_when_the_daemon_comes_and_when_it_comes_again(
    program: Program, made: World, private_bus: PrivateBus, tmp_path: Path
) -> None:
    process = await program.start("view.py")
    try:
        for newest in (3, 4):
            async with daemon(made, private_bus.address, tmp_path), frontend(private_bus.address) as client:
                await client.synchronised()
                made.services[SERVICE].publish("blog", f"post-{newest}", entry(newest))
                await told(process, [f"Number {number}" for number in range(newest, -1, -1)])
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.usefixtures("client")
async def test_the_list_has_only_what_was_searched_for(program: Program) -> None:
    process = await program.start("view.py", "Number", "1")
    try:
        await told(process, ["Number 1"])
    finally:
        process.terminate()
        await process.wait()


async def test_what_is_written_reaches_the_service_and_is_marked(
    program: Program, client: Frontend, made: World
) -> None:
    status, lines = await program.run("publish.py", BLOG, "Milk & bread")

    assert (status, len(lines)) == (0, 1), lines
    id_ = lines[0].removeprefix("written as ")
    (job,) = await client.cache("Sync", "sssa{sv}", "", "", BLOG, {})
    await client.finished(job)
    items, _, _ = await client.cache("GetItems", "sssa{sv}", "", "", BLOG, {})
    assert [(item["id"].value, item["flags"].value) for item in items] == [(id_, ["read"])]
    assert "Milk &amp; bread" in items[0]["payload"].value
    assert [item.id for item in made.accounts[ALICE].pep.items(BLOG)] == [id_]


@pytest.mark.usefixtures("client")
async def test_what_is_written_takes_the_place_of_nothing(program: Program, made: World) -> None:
    for text in ("Milk", "Bread"):
        status, lines = await program.run("publish.py", BLOG, text)
        assert (status, len(lines)) == (0, 1), lines
    assert len(made.accounts[ALICE].pep.items(BLOG)) == 2

"""``examples/qt-cpp``: it is built as its README says, and reads from the real daemon by its generated proxy."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from .conftest import NEWS, ROOT, Desktop

SOURCE = ROOT / "examples" / "qt-cpp"
SECONDS = 30

pytestmark = pytest.mark.prosody


@pytest.fixture(scope="session")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program."""
    build = tmp_path_factory.mktemp("qt-cpp")
    for command in (["cmake", "-S", str(SOURCE), "-B", str(build)], ["cmake", "--build", str(build)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning:" not in done.stderr, done.stderr
    return build / "newest"


async def test_it_shows_the_newest_posts_and_each_that_comes(newest: Path, desktop: Desktop) -> None:
    pipe = asyncio.subprocess.PIPE
    where = (desktop.server.pubsub, NEWS)
    process = await asyncio.create_subprocess_exec(newest, *where, env=desktop.daemon.bus.environment, stdout=pipe)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SECONDS):
            shown = [(await process.stdout.readline()).decode().rstrip() for _ in range(6)]
            assert shown[4].startswith("- Old news ")
            assert shown[5] == "from the cache, live"
            await desktop.publish("proxies", "By way of a proxy")
            assert (await process.stdout.readline()).decode() == "- By way of a proxy\n"
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.long
async def test_an_error_has_a_name_and_a_sentence(newest: Path, desktop: Desktop) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        newest, desktop.server.pubsub, "nothing", env=desktop.daemon.bus.environment, stderr=pipe
    )
    async with asyncio.timeout(SECONDS):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode().startswith("im.pubsubcache1.Error.NoSuchNode: There is no node 'nothing' at pubsub.localhost")

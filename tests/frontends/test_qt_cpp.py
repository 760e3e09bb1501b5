"""``examples/qt-cpp``: it is built as its README says, and reads from the real daemon by its generated proxy.

With Qt 6, and with Qt 5.15; without more CMake takes the newer one.
"""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from .conftest import NEWS, ROOT, Desktop

SOURCE = ROOT / "examples" / "qt-cpp"
SECONDS = 30

pytestmark = pytest.mark.prosody


@pytest.fixture(scope="session", params=["Qt6", pytest.param("Qt5", marks=pytest.mark.long)])
def newest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program."""
    qt = request.param
    build = tmp_path_factory.mktemp("qt-cpp")
    run("cmake", "-S", str(SOURCE), "-B", str(build), *([] if qt == "Qt6" else [f"-DQT_DIR={found(qt)}"]))
    run("cmake", "--build", str(build))
    assert f"lib{qt}DBus.so" in run("ldd", str(build / "newest"))
    return build / "newest"


def run(*command: str) -> str:
    """What it says; it has to work, and without a warning."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning:" not in done.stderr, done.stderr
    return done.stdout


def found(qt: str) -> Path:
    """What CMake has to know of a version that is not the newest."""
    libraries = run("pkg-config", "--variable=libdir", f"{qt}DBus").strip()
    return Path(libraries) / "cmake" / qt


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

"""Directories of analysers are watched, whether or not they exist yet."""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pubsub_cached.analysers import watching
from pubsub_cached.analysers.watching import Watching

Told = asyncio.Queue[list[str]]


@asynccontextmanager
async def watched(*directories: Path) -> AsyncIterator[Told]:
    """The names of all files, after each change."""
    told: Told = asyncio.Queue()

    def changed() -> None:
        told.put_nowait(sorted(path.name for each in directories for path in each.glob("*.toml")))

    task = asyncio.create_task(Watching(changed, lambda: list(directories)).run())
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.wait([task])


async def told_next(told: Told) -> list[str]:
    async with asyncio.timeout(10):
        return await told.get()


@pytest.fixture(params=["inotify", "no library", "no watches left"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "inotify":
        # It would be found by looking as well, were that not so rare.
        monkeypatch.setattr(watching, "SECONDS", 3600)
        return
    monkeypatch.setattr(watching, "SECONDS", 0.02)
    if request.param == "no library":
        monkeypatch.setitem(sys.modules, "asyncinotify", None)
    else:
        import asyncinotify

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(asyncinotify.Inotify, "add_watch", refuse)


@pytest.mark.usefixtures("way")
async def test_a_file_that_comes_changes_and_goes_is_told(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    directory.mkdir()
    async with watched(directory) as told:
        (directory / "one.toml").write_text("1")
        assert await told_next(told) == ["one.toml"]
        (directory / "one.toml").write_text("22")
        assert await told_next(told) == ["one.toml"]
        (directory / "one.toml").unlink()
        assert await told_next(told) == []


@pytest.mark.usefixtures("way")
async def test_directories_need_not_exist_and_may_vanish(tmp_path: Path) -> None:
    here, there = tmp_path / "a" / "b" / "c", tmp_path / "x" / "c"
    async with watched(here, there) as told:
        here.mkdir(parents=True)
        (here / "one.toml").write_text("1")
        assert await told_next(told) == ["one.toml"]
        there.mkdir(parents=True)
        (there / "two.toml").write_text("1")
        assert await told_next(told) == ["one.toml", "two.toml"]
        here.parent.rename(tmp_path / "a" / "elsewhere")
        assert await told_next(told) == ["two.toml"]
        (tmp_path / "a" / "elsewhere").rename(here.parent)
        assert await told_next(told) == ["one.toml", "two.toml"]


@pytest.mark.usefixtures("way")
async def test_directories_that_are_removed_and_come_again_are_watched(tmp_path: Path) -> None:
    here = tmp_path / "a" / "b" / "c"
    async with watched(here) as told:
        for name in ("one.toml", "two.toml"):
            here.mkdir(parents=True)
            (here / name).write_text("1")
            assert await told_next(told) == [name]
            (here / name).unlink()
            assert await told_next(told) == []
            here.rmdir()
            here.parent.rmdir()


@pytest.mark.usefixtures("way")
async def test_a_file_that_others_may_read_by_now_and_one_that_is_moved_away_are_told(tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    async with watched(tmp_path) as told:
        file.write_text("1")
        assert await told_next(told) == ["one.toml"]
        written = file.stat().st_ctime_ns
        # The clock of a file system may stand for some milliseconds.
        while file.stat().st_ctime_ns == written:
            file.chmod(0o644)
        assert await told_next(told) == ["one.toml"]
        file.rename(tmp_path / "one.toml.off")
        assert await told_next(told) == []


@pytest.mark.parametrize(
    "replace", [lambda new, old: new.replace(old), lambda new, old: (old.unlink(), new.rename(old))]
)
async def test_a_file_that_another_one_replaces_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: Callable[[Path, Path], object]
) -> None:
    monkeypatch.setattr(watching, "SECONDS", 3600)
    (tmp_path / "one.toml").write_text("1")
    async with watched(tmp_path) as told:
        await asyncio.sleep(0)
        (tmp_path / ".one.new").write_text("2")
        replace(tmp_path / ".one.new", tmp_path / "one.toml")
        while await told_next(told) != ["one.toml"]:
            pass


async def test_a_link_that_leads_nowhere_hides_no_file_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of them the directory lists first."""
    monkeypatch.setattr(watching, "SECONDS", 3600)
    for name in ("a", "z"):
        (tmp_path / f"{name}.toml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "m.toml").write_text("1")
    for name in ("b", "y"):
        (tmp_path / f"{name}.toml").symlink_to(tmp_path / "nowhere")
    async with watched(tmp_path) as told:
        await asyncio.sleep(0)
        (tmp_path / "m.toml").write_text("22")
        await told_next(told)


async def test_the_last_file_that_goes_while_all_are_to_be_read_again_is_told(tmp_path: Path) -> None:
    file, told = tmp_path / "one.toml", asyncio.Event()
    file.write_text("1")
    watching = Watching(told.set, lambda: [tmp_path])
    file.unlink()
    watching.again()
    async with asyncio.timeout(10):
        await told.wait()


async def test_what_did_not_change_is_read_again_where_it_may_count_now(tmp_path: Path) -> None:
    told = asyncio.Event()
    watching = Watching(told.set, lambda: [tmp_path])
    (tmp_path / "one.toml").write_text("1")
    watching.look()
    told.clear()
    watching.again()
    async with asyncio.timeout(10):
        await told.wait()


def test_files_of_other_names_are_none_of_it(tmp_path: Path) -> None:
    told: list[int] = []
    watching = Watching(lambda: told.append(1), lambda: [tmp_path])
    (tmp_path / ".one.toml.swp").write_text("1")
    watching.look()
    assert told == []


def test_what_can_not_be_read_once_is_told_again_once_it_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []

    def fail() -> None:
        told.append(1)
        raise RuntimeError

    watching = Watching(fail, lambda: [tmp_path])
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text("1")
        watching.look()
        watching.look()
    assert told == [1, 1]
    assert caplog.messages == ["files of analysers changed and could not be read"] * 2

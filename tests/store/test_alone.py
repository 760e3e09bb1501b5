"""A file of SQLite has one daemon at a time."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from pathlib import Path

import pytest

from pubsub_cached.errors import BadConfiguration
from pubsub_cached.store.database import InUse
from pubsub_cached.store.sqlite.alone import alone
from pubsub_cached.store.store import Store

pytestmark = pytest.mark.sqlite


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cache.sqlite3"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "cache.sqlite3.lock"


def test_another_one_is_told_who_is_there(file: Path) -> None:
    with alone(file), pytest.raises(InUse, match=f"used by another daemon, the process {os.getpid()};"), alone(file):
        pass
    with alone(file):
        pass


def test_a_longer_number_than_one_s_own_that_was_left_there_is_not_told(file: Path, lock: Path) -> None:
    lock.write_text(f"{os.getpid()}99999\n")
    with alone(file), pytest.raises(InUse, match=f"the process {os.getpid()};"), alone(file):
        pass


def test_it_is_the_same_file_by_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.sqlite3"
    link.parent.mkdir()
    link.symlink_to(file)
    with alone(file), pytest.raises(InUse), alone(link):
        pass


def test_what_can_t_be_opened_beside_it_is_named(file: Path, lock: Path) -> None:
    lock.mkdir()
    with pytest.raises(BadConfiguration, match=f"{file} can't be used: Is a directory .{lock}"), alone(file):
        pass


def test_a_file_system_that_locks_nothing_is_a_sentence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(BadConfiguration, match=f"{file} can't be used: No locks available"), alone(file):
        pass


def test_it_is_kept_though_nothing_can_be_written_there(file: Path, lock: Path) -> None:
    memory = os.memfd_create("lock", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW)
        lock.symlink_to(f"/proc/self/fd/{memory}")
        with alone(file), pytest.raises(InUse, match="the process of unknown number;"), alone(file):
            pass
    finally:
        os.close(memory)


async def test_its_end_is_told(file: Path) -> None:
    url = f"sqlite:///{file}"
    with alone(file):
        waiting = asyncio.create_task(Store.free(url))
        await asyncio.sleep(0)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 30)

"""A secret comes through a file descriptor: whole, in time, and not too much of it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from pubsub_cached.api.secret import BYTES_AT_MOST, read
from pubsub_cached.errors import InvalidArgs, Timeout


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def memfd(content: bytes) -> int:
    descriptor = os.memfd_create("secret")
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


async def read_bytes(content: bytes) -> str:
    descriptor = memfd(content)
    try:
        return await read(descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"correct horse", "correct horse"),
        (b"pencil\n", "pencil"),
        (b"pencil\n\n", "pencil\n"),
        (b" p\xc3\xa9 ", " p\xe9 "),
        (b"x" * BYTES_AT_MOST, "x" * BYTES_AT_MOST),
    ],
)
async def test_one_newline_at_the_end_is_not_part_of_it(content: bytes, secret: str) -> None:
    assert await read_bytes(content) == secret


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"\xff", "not UTF-8"),
        (b"a\0b", "NUL"),
        (b"x" * (BYTES_AT_MOST + 1), "longer"),
    ],
)
async def test_what_is_no_secret_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidArgs, match=reason):
        await read_bytes(content)


async def test_a_file_at_its_end_is_empty(pipe: tuple[int, int]) -> None:
    descriptor = memfd(b"secret")
    os.lseek(descriptor, 0, os.SEEK_END)
    with pytest.raises(InvalidArgs, match="at its beginning"):
        await read(descriptor)
    os.close(descriptor)


async def test_a_pipe_is_read_to_its_end(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    reading = asyncio.create_task(read(reader))
    for part in (b"cor", b"rect", b" horse\n"):
        os.write(writer, part)
        await asyncio.sleep(0)
    assert not reading.done()
    os.close(writer)
    assert await reading == "correct horse"


async def test_the_loop_runs_while_the_pipe_is_silent(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    reading = asyncio.create_task(read(reader))
    turned = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, turned.set)
    await turned.wait()
    assert not reading.done()
    os.write(writer, b"secret")
    os.close(writer)
    assert await reading == "secret"


async def test_a_pipe_that_stays_open_times_out(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.write(writer, b"secret")
    with pytest.raises(Timeout, match="close the writing end"):
        await read(reader, 0.1)


async def test_the_descriptor_stays_the_caller_s_and_no_other_is_left(pipe: tuple[int, int]) -> None:
    reader, _ = pipe
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(Timeout):
        await read(reader, 0.05)
    for thread in threading.enumerate():
        if thread.name == "secret":
            await asyncio.to_thread(thread.join)
    assert set(os.listdir("/proc/self/fd")) <= before
    assert os.fstat(reader).st_ino


async def test_what_can_not_be_read_is_refused(pipe: tuple[int, int], tmp_path: object) -> None:
    _, writer = pipe
    with pytest.raises(InvalidArgs, match="can't be read"):
        await read(writer, 1.0)
    directory = os.open(str(tmp_path), os.O_RDONLY)
    with pytest.raises(InvalidArgs, match="can't be read"):
        await read(directory, 1.0)
    os.close(directory)

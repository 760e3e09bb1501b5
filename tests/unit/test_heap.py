"""All threads use one heap of the C library."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT = """
import ctypes, threading
from pubsub_cached import heap

libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
{first}
together = threading.Barrier(8)

def work():
    together.wait()
    kept.append([bytes(5000) for _ in range(100)])

kept = []
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
stream = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stream)
libc.fflush(stream)
"""


def heaps(first: str) -> int:
    """How many heaps a process has in which eight threads worked after this line."""
    command = [sys.executable, "-c", COUNT.format(first=first)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has several heaps")
def test_threads_share_one_heap() -> None:
    assert heaps("") > 1
    assert heaps("heap.share()") == 1

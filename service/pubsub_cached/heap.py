"""The C library's heap, of which glibc makes one for each thread.

What one thread has freed another then can't use: of a daemon that reads, writes and parses on threads half as much
again stays taken as is in use.
"""

from __future__ import annotations

import ctypes

# malloc.h of glibc.
_ARENA_MAX = -8


def share() -> None:
    """Has the threads that begin from now on use the heap of the first; other C libraries are left as they are."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)

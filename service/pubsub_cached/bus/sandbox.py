"""Whether a process lives in a sandbox, and as which application.

Flatpak puts ``/.flatpak-info`` into the root of each sandbox, its proxy to the bus included, and nothing inside can
take it away (flatpak-metadata(5), as xdg-desktop-portal reads it). Snap confines by AppArmor, and the bus knows the
label. Whatever can't be found out is taken for a sandbox without a name: see docs/security.md.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from ..threads import in_thread

UNKNOWN = ""
"""The application of a client that can't be identified."""

INFO = ".flatpak-info"
SECONDS = 5.0

_BYTES_AT_MOST = 64 * 1024
_LOOK = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
# A snap in complain mode, which those with classic confinement are in, is not confined.
_SNAP = re.compile(r"snap\.([^. ]+)\.\S+ \(enforce\)")


class Peer(NamedTuple):
    """What the bus says of a client's process. pidfd: -1 where the bus has none; it is the holder's to close."""

    pid: int
    pidfd: int = -1
    label: str = ""


async def application(peer: Peer) -> str | None:
    """The sandboxed application that a client is, UNKNOWN when that can't be found out, None for no sandbox."""
    if sys.platform != "linux":
        return None
    if confined := _SNAP.fullmatch(peer.label):
        return f"snap.{confined[1]}"
    try:
        if _at_home(peer.pid):
            return None if _alive(peer) else UNKNOWN
        async with asyncio.timeout(SECONDS):
            # Its files may be on something that does not answer.
            found = await in_thread(partial(_flatpak, peer.pid), "sandbox")
    except (OSError, ValueError, TimeoutError):
        return UNKNOWN
    return found if _alive(peer) else UNKNOWN


def _at_home(pid: int) -> bool:
    """Whether the process sees the same files as this one, so that nothing but the kernel needs to be asked."""
    return all(os.path.samefile(f"/proc/{pid}/{what}", f"/proc/self/{what}") for what in ("ns/mnt", "root"))


def _alive(peer: Peer) -> bool:
    """Whether the process was still the one that connected, as far as the bus lets us know."""
    if peer.pidfd < 0:
        return True
    with open(f"/proc/self/fdinfo/{peer.pidfd}", encoding="ascii") as info:
        return f"Pid:\t{peer.pid}\n" in info.readlines()


def _flatpak(pid: int) -> str | None:
    with _opened(f"/proc/{pid}/root", _LOOK | os.O_DIRECTORY) as root:
        try:
            with _opened(INFO, _LOOK | os.O_NOFOLLOW, root) as info:
                if not stat.S_ISREG(os.fstat(info).st_mode):
                    return UNKNOWN
                return _name(os.read(info, _BYTES_AT_MOST).decode())
        except FileNotFoundError:
            return None


def _name(text: str) -> str:
    """The application's id in a key file; that of the runtime when a runtime is run by itself."""
    from configparser import Error, RawConfigParser

    parser = RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",), empty_lines_in_values=False)
    try:
        parser.read_string(text)
    except Error:
        return UNKNOWN
    groups = [parser[group] for group in ("Application", "Runtime") if group in parser]
    return groups[0].get("name", UNKNOWN) if groups else UNKNOWN


@contextmanager
def _opened(path: str, flags: int, directory: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, flags, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)

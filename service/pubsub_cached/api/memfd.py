"""Bulk as one sealed descriptor: it crosses the bus at the cost of a number, and nobody can change it any more."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..cache.reads.shelf import Shelf

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def sealed(pieces: Iterable[bytes]) -> int:
    """A descriptor at the beginning of the pieces; whoever takes it closes it. Raises OSError."""
    descriptor = os.memfd_create("items", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class Sealed:
    """Bulk that is handed out again and again, each time as a descriptor that stands at the beginning.

    size: bytes. A ``Made`` of ``cache.reads.pages``: its own descriptor is closed with it, those handed out are not.
    """

    has_descriptor = True

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._shelf: Shelf | None = None
        self._descriptor = sealed(pieces)
        self.size = os.fstat(self._descriptor).st_size

    def open(self) -> int:
        """A descriptor of the caller's. Raises OSError."""
        try:
            # A duplicate would share its place with all others: whoever read one would move them all.
            return os.open(f"/proc/self/fd/{self._descriptor}", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            # No /proc here.
            return sealed([os.pread(self._descriptor, self.size, 0)])

    def keep(self, shelf: Shelf) -> bool:
        """Stay open on the shelf."""
        place = shelf.put(self._descriptor)
        if place is not None:
            self._shelf, self._descriptor = shelf, place
        return place is not None

    def __del__(self) -> None:
        if (descriptor := getattr(self, "_descriptor", -1)) < 0:
            return
        if self._shelf is not None:
            self._shelf.free(descriptor)
        else:
            os.close(descriptor)

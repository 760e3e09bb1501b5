"""One daemon at a file: pages and counts that it has in memory are true only while nobody else writes.

The name on the bus keeps a second one away from the same bus; a user may have several, each with a daemon.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import BadConfiguration
from ..database import InUse

log = logging.getLogger(__name__)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other daemons away from the file, within the block and for as long as the process lives.

    Raises InUse (another one is there), BadConfiguration (nothing can be written or locked beside the file).
    """
    lock = _lock_of(path)
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = _open(lock)
    except OSError as error:
        raise _unusable(path, lock, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = os.read(descriptor, 20).strip()
            other = said.decode() if said.isdigit() else "of unknown number"
            raise InUse(
                f"The database {path} is used by another daemon, the process {other}; stop that one, "
                "or name another file with --database or in [database] url."
            ) from None
        except OSError as error:
            raise _unusable(path, lock, error) from error
        _sign(descriptor, lock)
        yield
    finally:
        os.close(descriptor)


def wait_until_free(path: Path) -> None:
    """Return once no other daemon is at the file, or that can't be told any more."""
    with suppress(OSError):
        descriptor = _open(_lock_of(path))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        finally:
            os.close(descriptor)


def _lock_of(path: Path) -> Path:
    """A file of its own: SQLite's locks would go with any descriptor of the database, and a damaged one is renamed.

    Beside the file itself, and not beside a link to it.
    """
    file = Path(os.path.realpath(path))
    return file.with_name(file.name + ".lock")


def _open(lock: Path) -> int:
    return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _sign(descriptor: int, lock: Path) -> None:
    """Say who is there, as far as that can be written: the disk may be full."""
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    except OSError as error:
        log.warning("The number of this process can't be written to %s: %s", lock, error.strerror)


def _unusable(path: Path, lock: Path, error: OSError) -> BadConfiguration:
    return BadConfiguration(f"The database {path} can't be used: {error.strerror} ({lock}).")

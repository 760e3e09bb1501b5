"""One daemon at a file: pages and counts that it has in memory are true only while nobody else writes.

The name on the bus keeps a second one away from the same bus; a user may have several, each with a daemon.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import BadConfiguration, DatabaseError


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other daemons away from the file, within the block and for as long as the process lives.

    Raises DatabaseError (another one is there), BadConfiguration (nothing can be written beside the file).
    """
    # A file of its own: SQLite's locks would go with any descriptor of the database, and a damaged one is renamed.
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadConfiguration(f"The database {path} can't be used: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.read(descriptor, 20).decode("ascii", "replace").strip()
            raise DatabaseError(
                f"The database {path} is used by another daemon, the process {other or 'of unknown number'}; stop that "
                "one, or name another file with --database or in [database] url."
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)

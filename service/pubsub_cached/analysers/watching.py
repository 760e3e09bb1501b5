"""Files of analysers that come, change and go while the daemon runs.

The directories are looked at every few seconds. Python has no inotify of its own, most of the directories do not exist
until a program is installed, and nobody waits for it: five calls of the system now and then cost less than a library.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from . import files

log = logging.getLogger(__name__)

SECONDS = 5.0

Seen = dict[str, tuple[int, int, int]]


class Watching:
    """Calls ``changed`` whenever a file in one of the directories did.

    where: gives the directories, which need not exist.
    """

    def __init__(self, changed: Callable[[], None], where: Callable[[], list[Path]] = files.directories) -> None:
        self._changed = changed
        self._where = where
        self._seen = self._look()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(SECONDS)
            self.look()

    def look(self) -> None:
        """Compare with what there was."""
        if (now := self._look()) != self._seen:
            self._seen = now
            try:
                self._changed()
            except Exception:
                log.exception("files of analysers changed and could not be read")

    def _look(self) -> Seen:
        """What tells a file from its earlier self: inode, size, time of the last change."""
        seen: Seen = {}
        for directory in self._where():
            try:
                with os.scandir(directory) as entries:
                    for entry in entries:
                        if entry.name.endswith(files.SUFFIX):
                            found = entry.stat()
                            seen[entry.path] = (found.st_ino, found.st_size, found.st_mtime_ns)
            except OSError:
                # No such directory, or a file that vanished meanwhile.
                continue
        return seen

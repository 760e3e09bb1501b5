"""Files of analysers that come, change and go while the daemon runs."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from . import files

if TYPE_CHECKING:
    from asyncinotify import Inotify

log = logging.getLogger(__name__)

# How often is looked where nothing tells: on a system without inotify, or with no watches left.
SECONDS = 5.0
# A package installs several files, and an editor saves in several steps.
QUIET_SECONDS = 0.1

Seen = dict[str, tuple[int, int, int]]


class Watching:
    """Calls ``changed`` whenever a file in one of the directories did.

    where: gives the directories, which need not exist.
    """

    def __init__(self, changed: Callable[[], None], where: Callable[[], list[Path]] = files.directories) -> None:
        self._changed = changed
        self._where = where
        self._seen: Seen | None = self._look()

    async def run(self) -> None:
        """Watch until cancelled."""
        # It asks the system for the C library, which takes a while.
        library = await asyncio.to_thread(_library)
        while library is not None:
            try:
                with library.Inotify() as inotify:
                    self._watch(library, inotify)
                    # What changed before it was watched.
                    self.look()
                    await self._news(inotify)
                await asyncio.sleep(QUIET_SECONDS)
            except OSError as error:
                log.info("directories of analysers can't be watched and are looked at instead: %s", error)
                break
        while True:
            await asyncio.sleep(SECONDS)
            self.look()

    def again(self) -> None:
        """Have what there is read once more, for it may count now."""
        self._seen = None
        asyncio.get_running_loop().call_soon(self.look)

    def look(self) -> None:
        """Compare with what there was."""
        if (now := self._look()) != self._seen:
            self._seen = now
            try:
                self._changed()
            except Exception:
                log.exception("files of analysers changed and could not be read")

    def _watch(self, library: ModuleType, inotify: Inotify) -> None:
        """Watch each directory, and the nearest one above it, which shows when it comes and goes. Raises OSError."""
        mask = library.Mask
        come = mask.CREATE | mask.MOVED_TO | mask.DELETE_SELF | mask.MOVE_SELF | mask.ONLYDIR | mask.MASK_ADD
        inside = come | mask.CLOSE_WRITE | mask.ATTRIB | mask.MOVED_FROM | mask.DELETE
        for directory in self._where():
            if directory.is_dir():
                inotify.add_watch(directory, inside)
            inotify.add_watch(next(above for above in directory.parents if above.is_dir()), come)

    async def _news(self, inotify: Inotify) -> None:
        """Return once something happened that may concern one of the files."""
        expected = {path for directory in self._where() for path in (directory, *directory.parents)}
        while True:
            path = (await inotify.get()).path
            if path is None or path in expected or path.suffix == files.SUFFIX:
                return

    def _look(self) -> Seen:
        """What tells a file from its earlier self: inode, size, time of the last change, also of its permissions."""
        seen: Seen = {}
        for directory in self._where():
            try:
                names = os.listdir(directory)
            except OSError:
                continue
            for path in (directory / name for name in names if name.endswith(files.SUFFIX)):
                try:
                    found = path.stat()
                except OSError:
                    # It vanished meanwhile, or is a link that leads nowhere.
                    continue
                seen[str(path)] = (found.st_ino, found.st_size, found.st_ctime_ns)
        return seen


def _library() -> ModuleType | None:
    try:
        return importlib.import_module("asyncinotify")
    except (ImportError, RuntimeError) as error:
        log.info("directories of analysers are looked at every %g s, as there is no inotify: %s", SECONDS, error)
        return None

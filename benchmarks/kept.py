"""Databases that are full of items, kept for the next run: a million take minutes to make."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pubsub_cached.analysers.builtin import registry
from pubsub_cached.store.revisions import HEAD


class Kept:
    """A directory with a file for each number of items; None for no such directory.

    A file is used again only with the schema and the parser that it was made with.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def take(self, count: int, to: Path) -> bool:
        """Copy a database of so many items to a place where nothing is; False where none is kept."""
        file = self._file(count)
        if file is None or not file.exists():
            return False
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to)
        return True

    def put(self, count: int, made: Path) -> None:
        """Keep a copy of a database of so many items, which nobody has open."""
        file = self._file(count)
        if file is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(".part")
        shutil.copyfile(made, half)
        os.replace(half, file)

    def _file(self, count: int) -> Path | None:
        blog = registry().get("blog")
        assert blog is not None
        return self._directory and self._directory / f"items-{count}-schema-{HEAD}-blog-{blog.version}.sqlite3"

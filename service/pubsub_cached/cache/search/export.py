"""Exports: everything that a search finds, as JSON Lines to a descriptor of a client.

What fits, and its order, is of one moment; each item is as it is when it is written, and one that is gone or may not
be shown any more by then is left out. So no read is held open for a reader that takes its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import Connection

from ... import documents, errors
from ...counting import counted, were
from ...store.search import search as store_search
from ...store.search.search import Search
from ...store.store import Store
from ..jobs import Job, Jobs
from .output import Output
from .search import Searches, parsed_order

_AT_ONCE = 100
# What is written at once, unless it is one item.
_BYTES_AT_ONCE = 1024 * 1024
# An export goes on when its client left the bus, but not when nobody holds the other end any more.
KIND = "export"


class Exports:
    """Begins exports."""

    def __init__(self, store: Store, searches: Searches, jobs: Jobs) -> None:
        self._store = store
        self._searches = searches
        self._jobs = jobs

    def start(
        self,
        text: str,
        query: str,
        descriptor: int,
        *,
        order: str = "",
        fields: frozenset[str] | None = None,
        sender: str = "",
        token: str = "",
    ) -> Job:
        """A job that writes to a copy of ``descriptor``. Raises as ``Searches.search`` and ``Jobs.start`` do."""
        matching = self._searches.matching(text, query)
        wanted = Search(matching=matching, order=parsed_order(order), fields=fields, max_bytes=_BYTES_AT_ONCE)
        output = Output(descriptor)

        async def work(job: Job) -> str:
            try:
                return await self._write(job, wanted, output)
            finally:
                output.close()

        try:
            job = self._jobs.start(KIND, work, sender, token)
        except errors.PubSubCachedError:
            output.close()
            raise
        # A job that is cancelled before its first step runs nothing.
        job.on_finished.append(lambda _: output.close())
        return job

    async def _write(self, job: Job, wanted: Search, output: Output) -> str:
        rows, ranked = await self._store.read_all(store_search.row_ids, wanted)
        job.progress(0, len(rows))
        done = written = 0
        while done < len(rows):
            now = self._searches.as_of_now(wanted)
            lines, count, looked = await self._store.read_all(_lines, now, rows[done : done + _AT_ONCE])
            await output.write(lines)
            written += count
            done += looked
            job.progress(done, len(rows))
            # A file takes everything at once; other calls have their turn.
            await asyncio.sleep(0)
        bounded = f" More fit: the {ranked} stored last were ranked." if ranked is not None else ""
        return f"{counted(written, 'item')} {were(written)} written.{bounded}"


def _lines(conn: Connection, wanted: Search, rows: Sequence[int]) -> tuple[bytes, int, int]:
    """The lines of the first of these rows, how many, and of how many rows."""
    items, looked = store_search.page(conn, wanted, rows)
    return documents.lines(items), len(items), looked

"""``im.pubsubcache1.Job``: long work, watched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ..bus import Interface
from .options import Table

if TYPE_CHECKING:
    from ..cache.jobs import Job as CachedJob

# Three in any second, and the last one comes with the end of the job: four.
PROGRESS_SECONDS = 0.34
# Where the database fails, what was queued ends later.
CANCEL_SECONDS = 5.0


class Job(Interface):
    """One job; progress is told a few times a second, everything else at once."""

    name: ClassVar[str] = "im.pubsubcache1.Job"
    sandboxed: ClassVar[frozenset[str]] = frozenset({"Wait"})
    options: ClassVar[Mapping[str, Table]] = {}

    def __init__(self, job: CachedJob) -> None:
        super().__init__()
        self._job = job
        self._timer: asyncio.TimerHandle | None = None

    @property
    def Kind(self) -> str:
        return self._job.kind

    @property
    def State(self) -> str:
        return self._job.state

    @property
    def Done(self) -> int:
        return self._job.done

    @property
    def Total(self) -> int:
        return self._job.total

    @property
    def Message(self) -> str:
        return self._job.message

    @property
    def Error(self) -> str:
        return self._job.error

    @property
    def ErrorMessage(self) -> str:
        return self._job.error_message

    async def Cancel(self) -> None:
        self._job.cancel()
        # Whoever reads after the reply reads what is true without it: of what was queued, nothing pending.
        await self._job.over(CANCEL_SECONDS)

    async def Wait(self) -> str:
        return await self._job.wait()

    def progress(self) -> None:
        """The work is further on: PropertiesChanged when it is due."""
        if self._timer is None:
            self._tell_progress()

    def finish(self) -> None:
        """The job is over: Finished."""
        if self._timer is not None:
            self._timer.cancel()
        job = self._job
        self.emit("Finished", job.state, job.error, job.error_message or job.message)

    def _tell_progress(self) -> None:
        self._timer = None
        if self.changed():
            self._timer = asyncio.get_running_loop().call_later(PROGRESS_SECONDS, self._tell_progress)

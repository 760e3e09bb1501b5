"""Long work: started by a call, watched and cancelled on the bus, kept for at most a minute when finished."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from .. import errors, object_path

log = logging.getLogger(__name__)

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
FINISHED: frozenset[JobState] = frozenset({"done", "failed", "cancelled"})

# The part of the path where a client's name stands, for work the daemon begins by itself.
DAEMON = "daemon"
KEPT_SECONDS = 60.0
# All that wait in the outbox may end at once. GetManagedObjects lists each, and nobody is answered meanwhile.
FINISHED_AT_MOST = 1000
RUNNING_AT_MOST = 8

Work = Callable[["Job"], Awaitable[str]]


class Job:
    """One piece of long work; ``run`` of its work gives the closing message. private: it is about a private node."""

    def __init__(self, kind: str, path: str, sender: str, private: bool = False) -> None:
        self.kind = kind
        self.path = path
        self.sender = sender
        self.private = private
        self.state: JobState = "queued"
        self.done = 0
        self.total = 0
        self.message = ""
        self.error = ""
        self.error_message = ""
        self.on_change: list[Callable[[], object]] = []
        self.on_progress: list[Callable[[], object]] = []
        self.on_finished: list[Callable[[Job], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._settled = False
        self._outlives = False
        self._stays = False
        self._finished = asyncio.Event()

    @property
    def finished(self) -> bool:
        """Whether the work is over, however it ended."""
        return self.state in FINISHED

    def progress(self, done: int, total: int = 0, message: str = "") -> None:
        """Say how far the work is; ``total`` 0 is unknown."""
        self.done, self.total = done, max(total, done) if total else 0
        self.message = message or self.message
        for callback in self.on_progress:
            callback()

    def settle(self) -> None:
        """What is left to do can't be taken back: whoever cancels comes too late."""
        self._settled = True

    def cancel(self) -> None:
        """End the work; does nothing to one that is over, or ``settled``."""
        if self._task is not None and not self.finished and not self._settled:
            self._task.cancel()

    async def over(self, seconds: float) -> None:
        """Return once the work is over, or can't be ended, and after so many seconds at most."""
        if not self._settled:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._finished.wait(), seconds)

    def stop(self) -> None:
        """The daemon ends: end the work, which is not over where it goes on at the next start."""
        self._stays = self._outlives
        self.cancel()

    async def wait(self) -> str:
        """The closing message; raises the error the work ended with."""
        await self._finished.wait()
        if self.state == "done":
            return self.message
        if self.state == "failed":
            raise JobFailed(self.error, self.error_message)
        raise errors.Cancelled(self.error_message or f"The {self.kind} goes on when the daemon is started again.")

    def start(self, work: Work, *, queued: bool = False) -> None:
        """Begin the work on the running loop; ``queued`` until it calls ``begin`` itself, and then over restarts."""
        self._outlives = queued
        self._task = asyncio.create_task(self._run(work, queued), name=f"{self.kind} {self.path}")
        self._task.add_done_callback(self._never_begun)

    def begin(self) -> None:
        """The work of a queued job has its turn."""
        if self.state == "queued":
            self.state = "running"
            self._changed()

    async def _run(self, work: Work, queued: bool) -> None:
        if not queued:
            self.begin()
        try:
            message = await work(self)
        except asyncio.CancelledError:
            self._given_up()
        except errors.Cancelled as error:
            self._end("cancelled", error)
        except errors.PubSubCachedError as error:
            self._end("failed", error)
        except Exception:
            log.exception("job %s failed", self.path)
            self._end("failed", errors.Internal(f"The {self.kind} failed; the log of the daemon says why."))
        else:
            self._end("done", None, message)

    def _never_begun(self, task: asyncio.Task[None]) -> None:
        """A task that is cancelled before its first step runs nothing at all."""
        if task.cancelled() and not self.finished:
            self._given_up()

    def _given_up(self) -> None:
        if self._stays:
            self._finished.set()
        else:
            self._end("cancelled", errors.Cancelled(f"The {self.kind} was cancelled."))

    def _end(self, state: JobState, error: errors.PubSubCachedError | None, message: str = "") -> None:
        self.state = state
        self._finished.set()
        # What it was about to do is not done by one that failed.
        self.message = message
        if error is not None:
            self.error, self.error_message = error.name, error.message
        self._changed()
        for callback in self.on_finished:
            callback(self)

    def _changed(self) -> None:
        for callback in self.on_change:
            callback()


class JobFailed(errors.Named):
    """A job's own error, told again to whoever waits for it."""


class Jobs:
    """All jobs, by path."""

    def __init__(self) -> None:
        self.on_added: list[Callable[[Job], None]] = []
        self.on_removed: list[Callable[[Job], None]] = []
        self._jobs: dict[str, Job] = {}
        self._promised: set[str] = set()
        # By sender, those that ended first first, and what removes them.
        self._ended: dict[str, dict[Job, asyncio.TimerHandle]] = {}

    def list(self) -> list[Job]:
        """Running and recently finished jobs, oldest first."""
        return [*self._jobs.values()]

    def start(self, kind: str, work: Work, sender: str = "", token: str = "", *, private: bool = False) -> Job:
        """A running job at ``…/job/<sender>/<token>``.

        sender: a unique name, or "" for the daemon's own work. Raises Conflict, LimitExceeded.
        """
        running = sum(1 for job in self._jobs.values() if job.sender == sender and not job.finished)
        if sender and running >= RUNNING_AT_MOST:
            raise errors.LimitExceeded(
                f"{sender} has {running} jobs running and may have {RUNNING_AT_MOST}; wait for one or cancel it."
            )
        job = Job(kind, self.path(sender, token), sender, private)
        self._add(job)
        job.start(work)
        return job

    def queue(self, kind: str, work: Work, path: str, message: str, *, private: bool) -> Job:
        """A job that outlives its client and the daemon: queued, at a path that ``promised`` gave, now or earlier.

        It does not count among those that a client may have running. message: what it waits to do.
        """
        self._make_room(path)
        job = Job(kind, path, "", private)
        # Before it is told of, for a change of this is not told before it has begun.
        job.message = message
        self._add(job)
        job.start(work, queued=True)
        return job

    def _add(self, job: Job) -> None:
        self._jobs[job.path] = job
        job.on_finished.append(self._finished)
        for callback in self.on_added:
            callback(job)

    async def close(self) -> None:
        """Stop what runs and wait until it has ended."""
        running = [job for job in self._jobs.values() if not job.finished]
        for job in running:
            job.stop()
        for job in running:
            await job._finished.wait()

    def path(self, sender: str, token: str) -> str:
        """A path that no running job has. Raises Conflict."""
        owner = sender or DAEMON
        self._make_room(object_path.of_client("job", owner, token))
        return object_path.free("job", owner, token, self._jobs.keys() | self._promised)

    @contextmanager
    def promised(self, sender: str, token: str) -> Iterator[str]:
        """As ``path``, which no other job gets meanwhile."""
        path = self.path(sender, token)
        self._promised.add(path)
        try:
            yield path
        finally:
            self._promised.remove(path)

    def _finished(self, job: Job) -> None:
        """Keep it for a while; of too many, whoever has most loses the oldest, so that others keep theirs."""
        timer = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._remove, job)
        self._ended.setdefault(job.sender, {})[job] = timer
        if sum(map(len, self._ended.values())) > FINISHED_AT_MOST:
            most = max(self._ended.values(), key=len)
            self._remove(next(iter(most)))

    def _make_room(self, path: str) -> None:
        """Forget a job at this path that is over."""
        over = self._jobs.get(path)
        if over is not None and over.finished:
            self._remove(over)

    def _remove(self, job: Job) -> None:
        """Forget a job that is over."""
        mine = self._ended[job.sender]
        mine.pop(job).cancel()
        if not mine:
            del self._ended[job.sender]
        del self._jobs[job.path]
        for callback in self.on_removed:
            callback(job)
        # Whoever was told holds the job.
        job.on_change.clear()
        job.on_progress.clear()
        job.on_finished.clear()

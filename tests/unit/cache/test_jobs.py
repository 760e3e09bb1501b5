"""Jobs: their paths, and how many are kept once they are over."""

from __future__ import annotations

import asyncio

import pytest

from pubsub_cached import errors
from pubsub_cached.cache.jobs import FINISHED_AT_MOST, Job, Jobs


@pytest.fixture
async def jobs() -> Jobs:
    return Jobs()


async def ended(jobs: Jobs, sender: str, count: int) -> list[Job]:
    """Jobs of a client that are over."""

    async def work(job: object) -> str:
        return "Done."

    made = []
    for _ in range(count):
        made.append(jobs.start("test", work, sender))
        await made[-1].wait()
    return made


async def test_finished_jobs_are_kept_up_to_a_number(jobs: Jobs) -> None:
    removed: list[Job] = []
    jobs.on_removed.append(removed.append)
    made = await ended(jobs, ":1.5", FINISHED_AT_MOST)
    assert jobs.list() == made
    made += await ended(jobs, ":1.5", 3)
    assert jobs.list() == made[3:]
    assert removed == made[:3]


async def test_a_client_with_many_jobs_costs_nobody_else_any(jobs: Jobs) -> None:
    quiet = await ended(jobs, ":1.5", 2)
    busy = await ended(jobs, ":1.6", FINISHED_AT_MOST + 5)
    assert jobs.list() == [*quiet, *busy[7:]]


async def test_of_clients_with_one_job_each_the_first_loses_it(jobs: Jobs) -> None:
    made = [job for number in range(FINISHED_AT_MOST + 2) for job in await ended(jobs, f":1.{number}", 1)]
    assert jobs.list() == made[2:]


async def test_a_job_that_goes_on_at_the_path_of_one_that_is_over_takes_its_place(jobs: Jobs) -> None:
    """As of an account that this daemon runs again soon after another one did."""

    async def work(job: object) -> str:
        await asyncio.Event().wait()
        return ""

    told: list[tuple[str, Job]] = []
    jobs.on_added.append(lambda job: told.append(("added", job)))
    jobs.on_removed.append(lambda job: told.append(("removed", job)))
    path = jobs.path("", "a")
    before = jobs.queue("test", work, path, "It waits.", private=False)
    before.cancel()
    with pytest.raises(errors.Cancelled):
        await before.wait()
    again = jobs.queue("test", work, path, "It waits.", private=False)
    assert told == [("added", before), ("removed", before), ("added", again)]
    made = await ended(jobs, "", FINISHED_AT_MOST)
    assert jobs.list() == [again, *made]
    await jobs.close()


async def test_a_job_that_still_runs_is_never_one_too_many(jobs: Jobs) -> None:
    async def work(job: object) -> str:
        await asyncio.Event().wait()
        return ""

    running = jobs.start("test", work, ":1.5")
    await ended(jobs, ":1.5", FINISHED_AT_MOST + 1)
    assert jobs.list()[0] is running
    assert len(jobs.list()) == FINISHED_AT_MOST + 1
    await jobs.close()

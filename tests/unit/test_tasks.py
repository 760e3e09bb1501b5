"""Tasks that belong to somebody, and the first of several things to happen."""

from __future__ import annotations

import asyncio

import pytest

from pubsub_cached.tasks import Tasks, first_of


async def given(event: asyncio.Event, ends: list[str], name: str) -> str:
    try:
        await event.wait()
        return name
    finally:
        ends.append(name)


async def test_the_first_that_ends_is_what_comes_of_it_and_the_others_are_given_up() -> None:
    ends: list[str] = []
    never, now = asyncio.Event(), asyncio.Event()
    now.set()
    assert await first_of(given(never, ends, "never"), given(now, ends, "now")) == "now"
    await asyncio.sleep(0)
    assert ends == ["now", "never"]


async def test_of_several_that_have_ended_the_one_named_first_counts() -> None:
    now = asyncio.Event()
    now.set()
    assert await first_of(given(now, [], "one"), given(now, [], "other")) == "one"


async def test_where_none_ends_in_time_nothing_comes_of_it() -> None:
    ends: list[str] = []
    assert await first_of(given(asyncio.Event(), ends, "never"), seconds=0.001) is None
    await asyncio.sleep(0)
    assert ends == ["never"]


async def test_what_the_first_raises_is_raised() -> None:
    async def failing() -> str:
        raise LookupError

    with pytest.raises(LookupError):
        await first_of(given(asyncio.Event(), [], "never"), failing())


async def test_a_task_that_has_just_ended_is_not_under_way_though_it_is_held_for_another_moment() -> None:
    tasks, seen = Tasks(), list[tuple[bool, bool]]()

    async def work() -> None:
        assert tasks.under_way
        # Comes before what lets the task go, which is called once this has ended.
        asyncio.get_running_loop().call_soon(lambda: seen.append((task in tasks, tasks.under_way)))

    task = tasks.begin(work())
    await tasks.settled()
    assert seen == [(True, False)]
    assert task not in tasks

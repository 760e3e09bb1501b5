"""What fills, empties and repairs the cache: jobs, followed to their end."""

from __future__ import annotations

import asyncio
import signal

import pytest
from sqlalchemy import text

from pubsub_cached.daemon import Daemon
from pubsub_cached.xmpp.fake import World
from tests.bus.api_service import ALICE, SERVICE, entry
from tests.support.command import Command

pytestmark = pytest.mark.usefixtures("running")


async def test_sync_waits_and_says_what_there_is(ctl: Command) -> None:
    done = await ctl.ok("sync", SERVICE, "blog")

    assert done.out == f"3 items of 'blog' at {SERVICE} are live.\n"
    assert done.err == ""


async def test_sync_can_be_left_to_itself(ctl: Command) -> None:
    done = await ctl.ok("sync", SERVICE, "blog", "--no-wait")

    assert done.out.startswith("/im/pubsubcache1/job/")


async def test_failing_sync_ends_with_the_job_s_error(ctl: Command) -> None:
    done = await ctl("sync", SERVICE, "nothing")

    assert done.status == 1
    assert done.err == f"Error: There is no node 'nothing' at {SERVICE} (item-not-found).\n"


async def test_a_job_that_takes_too_long_goes_on_without_its_command(ctl: Command, made: World) -> None:
    made.services[SERVICE].hold()

    done = await ctl("sync", SERVICE, "blog", "--wait", "0.3")

    assert done.status == 4
    assert "did not end within 0.3 seconds; it goes on by itself." in done.err
    (job,) = (await ctl.ok("status", "--json")).records[0]["jobs"]
    assert job["state"] == "running"


async def test_an_interrupt_cancels_the_job(ctl: Command, made: World, running: Daemon) -> None:
    made.services[SERVICE].hold()
    started = asyncio.Event()
    running.house.jobs.on_added.append(lambda _: started.set())
    process = await ctl.start("sync", SERVICE, "blog")
    async with asyncio.timeout(20):
        await started.wait()
    (job,) = running.house.jobs.list()

    await ctl.listening(process, 1)
    process.send_signal(signal.SIGINT)

    async with asyncio.timeout(20):
        _, err = await process.communicate()
        await job._finished.wait()
    assert (process.returncode, err, job.state) == (130, b"", "cancelled")


async def test_progress_is_drawn_on_a_terminal(ctl: Command, made: World) -> None:
    made.services[SERVICE].hold()

    done = await ctl.on_terminal("sync", SERVICE, "blog", prompt="━", shown=made.services[SERVICE].release)

    assert done.status == 0
    assert "blog" in done.out
    assert "━" in done.out


async def test_purge_removes_what_fits(ctl: Command) -> None:
    await ctl.ok("sync", SERVICE, "blog")

    done = await ctl.ok("purge", "--service", SERVICE, "--node", "blog")

    assert done.out == "3 items of 1 node were dropped.\n"
    assert (await ctl.ok("nodes", "--json")).records[0]["items"] == 0


async def test_purge_by_age_keeps_what_is_younger(ctl: Command) -> None:
    await ctl.ok("sync", SERVICE, "blog")

    assert (await ctl.ok("purge", "--modified-before", "1d")).out.startswith("0 items")


async def test_purge_forgets_nodes(ctl: Command) -> None:
    await ctl.ok("sync", SERVICE, "blog")

    await ctl.ok("purge", "--type", "blog", "--forget")

    assert (await ctl.ok("nodes", "--json")).out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Say what to remove"),
        (("--forget",), "Say what to remove"),
        (("--modified-before", "yesterday"), "'yesterday' is no time"),
    ],
)
async def test_purge_that_means_nothing_is_refused(ctl: Command, arguments: tuple[str, ...], said: str) -> None:
    done = await ctl("purge", *arguments)

    assert done.status == 2
    assert said in done.err


async def test_reset_asks_first(ctl: Command) -> None:
    await ctl.ok("sync", SERVICE, "blog")

    refused = await ctl.on_terminal("reset", prompt="[y/N]: ", typed="n\n")
    assert (refused.status, "Remove all nodes" in refused.out) == (1, True)
    assert (await ctl.ok("nodes", "--json")).out != ""

    agreed = await ctl.on_terminal("reset", prompt="[y/N]: ", typed="y\n")
    assert (agreed.status, "1 node was forgotten." in agreed.out) == (0, True)
    assert (await ctl.ok("nodes", "--json")).out == ""


async def test_reset_where_nobody_can_be_asked_needs_a_word(ctl: Command) -> None:
    done = await ctl("reset")

    assert (done.status, "--yes" in done.err) == (2, True)
    await ctl.ok("reset", "--yes")


async def test_check_finds_nothing_in_a_sound_cache(ctl: Command, made: World) -> None:
    await ctl.ok("sync", SERVICE, "blog")
    made.services[SERVICE].publish("blog", "news", entry(4))
    made.services[SERVICE].retract("blog", "post-0")
    await ctl.ok("sync", SERVICE, "blog")

    assert (await ctl.ok("check")).out == "Nothing is wrong.\n"


async def test_check_says_what_it_mended(ctl: Command, running: Daemon) -> None:
    await ctl.ok("sync", SERVICE, "blog")
    await running.house.store.write(lambda tx: tx.connection.execute(text("UPDATE node SET item_count = 7")))

    assert "count of items" in (await ctl.ok("check")).out
    assert (await ctl.ok("nodes", "--json")).records[0]["items"] == 3


async def test_compact_says_what_it_gave_back(ctl: Command) -> None:
    assert (await ctl.ok("compact")).out.endswith(" bytes were given back.\n")


async def test_accounts_stay_after_a_reset(ctl: Command) -> None:
    await ctl.ok("reset", "--yes")

    assert [record["jid"] for record in (await ctl.ok("account", "list", "--json")).records] == [ALICE]

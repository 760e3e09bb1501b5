"""``status``: the daemon and its accounts at a glance."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from ..counting import counted
from . import output, times
from .account import accounts, show
from .arguments import json_option
from .failure import Failure, Status
from .output import Column
from .running import run

if TYPE_CHECKING:
    from .client import Client

JOBS = (
    Column("State"),
    Column("Job"),
    Column("Done", right=True),
    Column("Message", narrow="wrap"),
    Column("Path", style="dim"),
)


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show the daemon, its accounts and its jobs.

    Does not start it. JSON: one object with daemon, accounts, statistics and jobs.
    """
    found = run(look)
    if as_json:
        output.json_line(found)
        return
    daemon, statistics = found["daemon"], found["statistics"]
    output.record({"Daemon": f"{daemon['state']}, version {daemon['version']}", **_sizes(statistics)})
    output.say("")
    if found["accounts"]:
        show(found["accounts"])
    else:
        output.say("There is no account yet: 'pubsub-cachectl account add JID' adds one.")
    if found["jobs"]:
        output.say("")
        output.table(JOBS, [_job(job) for job in found["jobs"]])


async def look(client: Client) -> dict[str, Any]:
    """All of it. Raises Failure when the daemon does not run."""
    if not await client.running():
        (activatable,) = await client.bus("ListActivatableNames")
        then = (
            "it starts when a program first calls it."
            if "im.pubsubcache1" in activatable
            else "run 'pubsub-cachectl setup' once to have it started when it is called."
        )
        raise Failure(Status.UNREACHABLE, f"The daemon is not running; {then}")
    properties = await client.get_all("Manager")
    daemon = {
        "state": properties["State"],
        "version": properties["DaemonVersion"],
        "features": properties["Features"],
    }
    return {
        "daemon": daemon,
        "accounts": await accounts(client),
        "statistics": (await client.call("Debug", "GetStatistics"))[0],
        "jobs": await _jobs(client),
    }


async def _jobs(client: Client) -> list[dict[str, Any]]:
    """The jobs that the root lists, those that run first."""
    from ..object_path import ROOT
    from .client import NAME

    (objects,) = await client.ask(NAME, ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
    jobs = [
        {"path": path, **{_key(name): value for name, value in interfaces[f"{NAME}.Job"].items()}}
        for path, interfaces in objects.items()
        if f"{NAME}.Job" in interfaces
    ]
    return sorted(jobs, key=lambda job: (job["state"] not in ("running", "queued"), job["path"]))


def _key(name: str) -> str:
    """A property's name as records have theirs: ``ErrorMessage`` → ``error-message``."""
    return re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower()


def _sizes(statistics: dict[str, Any]) -> dict[str, str]:
    shown = {
        "Cache": f"{holds(statistics)}, {size(statistics['bytes'])}",
        "Started": times.relative(statistics["started"]) if "started" in statistics else "",
    }
    if statistics.get("recovered-from"):
        shown["Recovered"] = f"the damaged database is {statistics['recovered-from']}"
    return {name: value for name, value in shown.items() if value}


def holds(statistics: dict[str, Any]) -> str:
    """How much is in the cache: ``12 items of 1 node``."""
    return f"{counted(statistics['items'], 'item')} of {counted(statistics['nodes'], 'node')}"


def size(count: int) -> str:
    """Bytes for people: ``3.4 MiB``."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def _job(job: dict[str, Any]) -> list[str]:
    total = f" of {job['total']}" if job["total"] else ""
    return [
        job["state"],
        job["kind"],
        f"{job['done']}{total}" if job["done"] or total else "",
        job["error-message"] or job["message"],
        job["path"],
    ]

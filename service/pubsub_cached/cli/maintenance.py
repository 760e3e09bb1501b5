"""``check`` and ``compact``: the database, looked at and put in order by the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import output
from .arguments import wait_option
from .running import run

if TYPE_CHECKING:
    from .client import Client


@click.command()
@wait_option
def check(seconds: float) -> None:
    """Look for damage in the cache and repair it.

    The file itself, rows that belong to nothing, counts, revisions and the search index; of accounts that are online
    also subscriptions that the services no longer list. Reading goes on meanwhile.
    """
    output.say(run(lambda client: _job(client, "Check", seconds)))


@click.command()
@wait_option
def compact(seconds: float) -> None:
    """Give back disk space that the cache does not need.

    Reading goes on meanwhile; changes are stored when it is done.
    """
    output.say(run(lambda client: _job(client, "Compact", seconds)))


async def _job(client: Client, member: str, seconds: float) -> str:
    from .jobs import follow

    (path,) = await client.call("Debug", member)
    return await follow(client, path, member, seconds)

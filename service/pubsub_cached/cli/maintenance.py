"""``check`` and ``compact``: the database, looked at and put in order by the daemon."""

from __future__ import annotations

import click

from . import output
from .arguments import wait_option
from .running import run_job


@click.command()
@wait_option
def check(seconds: float) -> None:
    """Look for damage in the cache and repair it.

    The file itself, rows that belong to nothing, counts, revisions and the search index; of accounts that are online
    also subscriptions that the services no longer list. Reading goes on meanwhile.
    """
    output.say(run_job(seconds, "Debug", "Check"))


@click.command()
@wait_option
def compact(seconds: float) -> None:
    """Give back disk space that the cache does not need.

    Reading goes on meanwhile; changes are stored when it is done.
    """
    output.say(run_job(seconds, "Debug", "Compact"))

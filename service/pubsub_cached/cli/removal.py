"""``purge`` and ``reset``: remove from the cache, never from the services."""

from __future__ import annotations

import sys
from typing import Any

import click

from . import output
from .arguments import chosen_options, time_callback, wait_option
from .running import run_job


@click.command()
@chosen_options
@click.option("--created-before", metavar="TIME", callback=time_callback, help="First stored before this time.")
@click.option("--modified-before", metavar="TIME", callback=time_callback, help="Last changed before this time.")
@click.option("--forget", is_flag=True, help="Forget the nodes too, and end the subscriptions that the daemon made.")
@wait_option
def purge(
    accounts: tuple[str, ...],
    services: tuple[str, ...],
    nodes: tuple[str, ...],
    types: tuple[str, ...],
    subtypes: tuple[str, ...],
    created_before: int | None,
    modified_before: int | None,
    forget: bool,
    seconds: float,
) -> None:
    """Remove items from the cache, not from the services.

    Those that fit all the given options; each may be given several times. A TIME is 2026-11-21, 2026-11-21T10:46 or an
    age such as 30d or 12h. Flags stay, and what is read again comes from the service.
    """
    wanted: dict[str, tuple[str, Any]] = {
        "accounts": ("as", list(accounts) or None),
        "services": ("as", list(services) or None),
        "nodes": ("as", list(nodes) or None),
        "types": ("as", list(types) or None),
        "subtypes": ("as", list(subtypes) or None),
        "created-before": ("x", created_before),
        "modified-before": ("x", modified_before),
    }
    if all(value is None for _, value in wanted.values()):
        raise click.UsageError("Say what to remove with at least one option; for everything there is 'reset'.")
    options = wanted | {"forget": ("b", forget)}
    output.say(run_job(seconds, "Cache", "Purge", "a{sv}", options))


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask; needed where stdin is no terminal.")
@wait_option
def reset(yes: bool, seconds: float) -> None:
    """Remove all nodes, items and flags from the cache. Accounts and passwords stay.

    Nothing is removed at the services. Flags, such as what was read, can't be brought back.
    """
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody can be asked here: add --yes to remove all nodes, items and flags.")
        click.confirm("Remove all nodes, items and flags from the cache?", abort=True, err=True)
    output.say(run_job(seconds, "Cache", "Reset", "a{sv}", {}))

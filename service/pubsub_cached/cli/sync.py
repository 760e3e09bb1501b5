"""``sync``: bring a node up to date now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import output
from .arguments import node_arguments, wait_option
from .running import run

if TYPE_CHECKING:
    from .client import Client


@click.command()
@node_arguments
@click.option("--full", is_flag=True, help="Fetch everything, whatever is known already.")
@click.option("--no-wait", is_flag=True, help="Print the job's path at once and leave it to itself.")
@wait_option
def sync(account: str, service: str, node: str, full: bool, no_wait: bool, seconds: float) -> None:
    """Synchronise a node now.

    It is kept synchronised from then on, even if no analyser keeps it; 'purge --forget' ends that. Ctrl-C cancels.
    """

    async def work(client: Client) -> str:
        from .jobs import follow

        (path,) = await client.call("Cache", "Sync", "sssa{sv}", account, service, node, {"full": ("b", full)})
        return str(path) if no_wait else await follow(client, path, node, seconds)

    output.say(run(work))

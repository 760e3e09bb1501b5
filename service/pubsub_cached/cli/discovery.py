"""``discover``: what a service offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import output
from .arguments import json_option, service_argument
from .items import all_option, limit_option
from .output import Column
from .publishing import SECONDS
from .running import run

if TYPE_CHECKING:
    from .client import Client, Pages

COLUMNS = (Column("Service"), Column("Node"), Column("Name", narrow="cut"))


@click.command()
@service_argument
@click.option("--node", metavar="NODE", help="What is below this node.")
@click.option("--type", "type_", metavar="TYPE", help="Only nodes whose pubsub#type is this; asks about each node.")
@limit_option
@all_option
@json_option
def discover(
    account: str, service: str, node: str | None, type_: str | None, limit: int, everything: bool, as_json: bool
) -> None:
    """List the nodes that a service offers.

    Those too that the cache does not know. Of a server's domain, such as example.org, its services.

    JSON: the records of PubSub.Discover.
    """
    most = None if everything else limit

    options = {"node": ("s", node), "type": ("s", type_)}

    async def work(client: Client) -> Pages:
        where = (account, service)
        return await client.pages("PubSub", "Discover", "ssa{sv}", *where, options=options, most=most, seconds=SECONDS)

    found, more, _ = run(work)
    if as_json:
        output.json_lines(found)
    else:
        output.table(COLUMNS, [[each.get(key, "") for key in ("jid", "node", "name")] for each in found])
    if not found:
        output.note("The service lists no such node." if node or type_ else "The service lists nothing.")
    elif more:
        output.note(f"These are the first {len(found)}; --limit or --all for more.")

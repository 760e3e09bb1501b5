"""``nodes``: what the cache knows of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..counting import listed
from ..states import STATES
from . import completing, output, times
from .account import only_account
from .arguments import any_account_option, json_option, service_of
from .headline import kind
from .items import all_option, limit_option
from .output import Column
from .running import run

if TYPE_CHECKING:
    from .client import Client, Pages

COLUMNS = (
    Column("State"),
    Column("Type"),
    Column("Items", right=True),
    Column("Unread", right=True),
    Column("Synchronised", style="cyan"),
    Column("Account", style="dim"),
    Column("Service"),
    Column("Node"),
    Column("Title", narrow="cut"),
)


@click.command()
@any_account_option
@click.option(
    "--service", metavar="JID", type=service_of, shell_complete=completing.services, help="Only those at this service."
)
@click.option("--prefix", metavar="TEXT", help="Only those whose name begins so.")
@click.option("--type", "type_", metavar="TYPE", help="Only those of this type, such as blog.")
@click.option("--subtype", metavar="SUBTYPE", help="Only those of this subtype.")
@click.option("--analyser", metavar="NAME", help="Only those of this analyser.")
@click.option(
    "--state",
    type=click.Choice(STATES),
    metavar="STATE",
    help=f"Only those that are {listed(STATES)}.",
)
@click.option("--subscribed/--not-subscribed", default=None, help="Only those the account is subscribed to, or not.")
@limit_option
@all_option
@json_option
def nodes(
    account: str,
    service: str | None,
    prefix: str | None,
    type_: str | None,
    subtype: str | None,
    analyser: str | None,
    state: str | None,
    subscribed: bool | None,
    limit: int,
    everything: bool,
    as_json: bool,
) -> None:
    """List the nodes that the cache knows.

    JSON: the records of Cache.ListNodes.
    """
    options: dict[str, tuple[str, Any]] = {
        "account": ("s", account or None),
        "service": ("s", service),
        "node-prefix": ("s", prefix),
        "type": ("s", type_),
        "subtype": ("s", subtype),
        "analyser": ("s", analyser),
        "state": ("s", state),
        "subscribed": ("b", subscribed),
    }
    most = None if everything else limit

    async def work(client: Client) -> Pages:
        if service == "":
            # Which here is any.
            options["service"] = ("s", account or await only_account(client))
        return await client.pages("Cache", "ListNodes", "a{sv}", options=options, most=most)

    found, more, _ = run(work)
    if as_json:
        output.json_lines(found)
    else:
        show(found)
    if not found:
        asked = any(value is not None for _, value in options.values())
        output.note(
            "The cache knows no such node."
            if asked
            else "The cache knows no node yet: 'pubsub-cachectl get SERVICE NODE' reads one."
        )
    elif more:
        output.note(f"These are the first {len(found)}; --limit or --all for more.")


def show(found: list[dict[str, Any]]) -> None:
    """Print a row a node; the account only where there are several."""
    several = len({node["account"] for node in found}) > 1
    output.table(COLUMNS, [_row(node, several) for node in found])


def _row(node: dict[str, Any], with_account: bool) -> list[str]:
    synchronised = node.get("last-sync")
    return [
        node.get("state", ""),
        kind(node),
        str(node.get("items", "")),
        str(node.get("unread", "")),
        times.relative(synchronised) if synchronised is not None else "",
        node["account"] if with_account else "",
        node["service"],
        node["node"],
        node.get("title", ""),
    ]

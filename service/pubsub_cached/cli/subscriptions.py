"""``subscribe`` and ``unsubscribe``: the account's subscriptions at a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import output
from .arguments import fields_option, json_option, node_arguments, service_argument
from .output import Column
from .publishing import SECONDS
from .running import run

if TYPE_CHECKING:
    from .client import Client

COLUMNS = (Column("State"), Column("Node"), Column("Jid"), Column("Subid", style="dim"))

_MEANING = {
    "subscribed": "is subscribed to",
    "pending": "waits for an owner of the node to approve it, to be subscribed to",
    "unconfigured": "has to be configured at the service, to be subscribed to",
}


@click.command()
@node_arguments
@fields_option("A subscription option, such as pubsub#deliver=true")
@json_option
def subscribe(account: str, service: str, node: str, options: dict[str, tuple[str, Any]], as_json: bool) -> None:
    """Subscribe the account to a node at its service.

    JSON: an object with state: subscribed, pending (an owner has to approve it) or unconfigured.
    """

    async def work(client: Client) -> str:
        arguments = (account, service, node, options)
        (state,) = await client.call("PubSub", "Subscribe", "sssa{sv}", *arguments, seconds=SECONDS)
        return str(state)

    state = run(work)
    if as_json:
        output.json_line({"state": state})
    else:
        output.say(f"'{node}' {_MEANING.get(state, f'is {state}')}.")


@click.command()
@node_arguments
def unsubscribe(account: str, service: str, node: str) -> None:
    """Give up the account's subscription to a node.

    The daemon does not make it again by itself.
    """

    async def work(client: Client) -> None:
        await client.call("PubSub", "Unsubscribe", "sssa{sv}", account, service, node, {}, seconds=SECONDS)

    run(work)
    output.say(f"'{node}' is no longer subscribed to.")


@click.command()
@service_argument
@json_option
def subscriptions(account: str, service: str, as_json: bool) -> None:
    """List the account's subscriptions at a service.

    As the service has them, not the cache. JSON: the records of PubSub.ListSubscriptions.
    """

    async def work(client: Client) -> list[dict[str, Any]]:
        return await listed(client, account, service)

    found = run(work)
    if as_json:
        output.json_lines(found)
        return
    output.table(COLUMNS, [[each.get(key, "") for key in ("state", "node", "jid", "subid")] for each in found])
    if not found:
        output.note("The service lists no subscription of the account.")


async def listed(client: Client, account: str, service: str, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """All subscriptions of an account at a service."""
    where = (account, service)
    pages = await client.pages("PubSub", "ListSubscriptions", "ssa{sv}", *where, options={}, seconds=seconds)
    return pages.records

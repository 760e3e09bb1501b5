"""``analysers`` and ``match``: what says of a node what it is, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import output
from .arguments import json_option, node_arguments
from .output import Column
from .running import run

if TYPE_CHECKING:
    from .client import Client

COLUMNS = (
    Column("State"),
    Column("Name"),
    Column("Type"),
    Column("Priority", right=True),
    Column("Kept"),
    Column("Parser"),
    Column("Pending", right=True),
    Column("Origin", style="dim"),
    Column("Owner", style="dim"),
    Column("Reason", narrow="wrap"),
)


@click.command()
@json_option
def analysers(as_json: bool) -> None:
    """List the analysers.

    They say of a node what it is and whether it is kept.

    JSON: the records of Analysers.List.
    """

    async def work(client: Client) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await client.call("Analysers", "List"))[0]
        return found

    found = run(work)
    if as_json:
        output.json_lines(found)
        return
    found.sort(key=lambda each: (-each.get("priority", 0), each["name"]))
    output.table(COLUMNS, [_row(each) for each in found])


@click.command()
@node_arguments
@json_option
def match(account: str, service: str, node: str, as_json: bool) -> None:
    """Say which analyser fits a node, and why, or why none does.

    Changes nothing.

    JSON: an object with analyser ("" for none) and why (a sentence for each analyser).
    """

    async def work(client: Client) -> tuple[str, dict[str, str]]:
        name, why = await client.call("Analysers", "Match", "sssa{sv}", account, service, node, {}, seconds=60.0)
        return name, why

    name, why = run(work)
    if as_json:
        output.json_line({"analyser": name, "why": why})
        return
    output.say(f"'{node}' is matched by {name}." if name else f"No analyser matches '{node}'.")
    rows = [["→" if each == name else "", each, reason] for each, reason in why.items()]
    output.table((Column(""), Column("Analyser"), Column("Why", narrow="wrap")), rows)


def _row(each: dict[str, Any]) -> list[str]:
    pending = each.get("pending", 0)
    return [
        each.get("state", ""),
        each["name"],
        each.get("type", ""),
        str(each.get("priority", "")),
        "yes" if each.get("to-sync") else "",
        "yes" if each.get("has-parser") else "",
        str(pending) if pending else "",
        each.get("origin", ""),
        each.get("owner", ""),
        each.get("reason", ""),
    ]

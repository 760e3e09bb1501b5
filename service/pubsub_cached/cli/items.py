"""``get``: the items of a node, and how fresh they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..counting import counted
from . import output, times
from .arguments import WholeNumber, json_option, node_arguments
from .failure import Failure, Status
from .headline import date, document, headline, kind
from .output import Column
from .running import run

if TYPE_CHECKING:
    from .client import Client, Pages

POLICIES = ("default", "cache", "refresh", "network")

COLUMNS = (
    Column("Date", style="cyan"),
    Column("Type"),
    Column("Item", narrow="cut"),
    Column("Flags", style="yellow"),
    Column("Id", style="dim"),
)

limit_option = click.option(
    "--limit", "-n", metavar="N", type=WholeNumber(min=1), default=20, show_default=True, help="How many at most."
)
all_option = click.option("--all", "everything", is_flag=True, help="All of them, however many.")


@click.command()
@node_arguments
@click.argument("ids", nargs=-1, metavar="[ID]...")
@limit_option
@all_option
@click.option("--order", metavar="ORDER", help="Such as 'created, id desc'; the newest first when absent.")
@click.option("--policy", type=click.Choice(POLICIES), default="default", help="Whether to ask cache or service.")
@click.option(
    "--timeout", metavar="SECONDS", type=WholeNumber(1, 3600), default=20, show_default=True, help="How long to wait."
)
@click.option("--full", is_flag=True, help="Print all that is known of each item; the default when IDs are given.")
@click.option("--payload", is_flag=True, help="Print only the XML of each item.")
@json_option
def get(
    account: str,
    service: str,
    node: str,
    ids: tuple[str, ...],
    limit: int,
    everything: bool,
    order: str | None,
    policy: str,
    timeout: int,
    full: bool,
    payload: bool,
    as_json: bool,
) -> None:
    """Read items of a node.

    They come from the cache if it may be served, else from the service.

    SERVICE is the service's JID, or "." for the account's own PEP service. Policies: default, cache (never the
    network), refresh (the service first, else the cache), network (the service only). With IDs the exit status is 1
    where one of them is not there; the others are printed.

    stderr says where they come from and how fresh they are. JSON: the records of Cache.GetItems, with data as an
    object; stderr is silent then unless the answer is stale, offline or not all.
    """
    if ids and (everything or order):
        raise click.UsageError("IDs are read as they are given; leave out --all and --order.")
    options: dict[str, tuple[str, Any]] = {
        "ids": ("as", list(ids) or None),
        "order": ("s", order),
        "policy": ("s", policy),
        "timeout": ("u", timeout),
    }
    most = len(ids) if ids else None if everything else limit

    async def work(client: Client) -> Pages:
        where = (account, service, node)
        seconds = timeout + 10.0
        return await client.pages("Cache", "GetItems", "sssa{sv}", *where, options=options, most=most, seconds=seconds)

    items, more, info = run(work)
    _print(items, as_json=as_json, payload=payload, full=full or bool(ids))
    missing = sorted(set(ids) - {item["id"] for item in items})
    for id_ in missing:
        output.note(f"There is no item '{id_}'.")
    told(info, len(items), more=more, quiet=as_json or payload)
    if missing:
        raise Failure(Status.REFUSED, "")


def rows(items: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A row an item."""
    return [[date(item), kind(item), headline(item), flags(item), item.get("id", "")] for item in items]


def flags(item: dict[str, Any]) -> str:
    """The marks of an item, and that it waits to be sent."""
    return " ".join([*item.get("flags", ()), *(["pending"] if item.get("pending") else [])])


def told(info: dict[str, Any], shown: int, *, more: bool, quiet: bool) -> None:
    """Say on stderr what the answer is worth; ``quiet`` says only what a program should not miss."""
    if not quiet or more or info.get("freshness") in ("stale", "offline"):
        output.note(summary(info, shown, more=more))


def summary(info: dict[str, Any], shown: int, *, more: bool) -> str:
    """How many items these are, where they come from, and how fresh they are."""
    total = info.get("total")
    count = f"{shown} of {total} items" if total is not None and total > shown else counted(shown, "item")
    parts = [count + (" (--limit or --all for more)" if more else ""), _source(info)]
    if info.get("completeness") == "window":
        parts.append("the cache holds only the newest")
    return ", ".join(part for part in parts if part) + "."


def _source(info: dict[str, Any]) -> str:
    if info.get("source") == "network":
        return "from the service"
    validated = info.get("validated-at")
    since = f"last validated {times.relative(validated)}" if validated is not None else "never validated"
    said = {
        "live": "from the cache, live",
        "validated": f"from the cache, {since}",
        "offline": f"OFFLINE: from the cache, {since}",
        "stale": f"STALE: from the cache, {since}",
    }
    return said.get(info.get("freshness", ""), "")


def _print(items: list[dict[str, Any]], *, as_json: bool, payload: bool, full: bool) -> None:
    if as_json:
        output.json_lines(document(item) for item in items)
    elif payload:
        for item in items:
            output.say(item.get("payload", ""))
    elif full:
        for number, item in enumerate(items):
            if number:
                output.say("")
            output.record(_fields(item))
    else:
        output.table(COLUMNS, rows(items))


def _fields(item: dict[str, Any]) -> dict[str, str]:
    """All that is known of an item, for people."""
    import json

    parsed = document(item)
    shown = {"Item": headline(item)}
    for key, value in parsed.items():
        name = key.replace("-", " ").capitalize()
        if key in ("created", "modified"):
            shown[name] = f"{times.moment(value)} ({times.relative(value)})"
        elif key == "data":
            shown[name] = json.dumps(value, ensure_ascii=False, indent=2)
        elif isinstance(value, list):
            shown[name] = "\n".join(value)
        else:
            shown[name] = str(value)
    return {name: value for name, value in shown.items() if value}

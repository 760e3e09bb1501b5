"""``search``: items of all nodes, by words and by what their parsers found."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from . import output
from .arguments import chosen_options, json_option
from .headline import date, document, headline, kind
from .items import all_option, flags, limit_option, told
from .output import Column
from .running import run

if TYPE_CHECKING:
    from .client import Client, Pages

Conditions = tuple[tuple[str, str, str], ...]

COLUMNS = (
    Column("Date", style="cyan"),
    Column("Type"),
    Column("Item", narrow="cut"),
    Column("Found", narrow="cut"),
    Column("Flags", style="yellow"),
    Column("Service", style="dim"),
    Column("Node", style="dim"),
    Column("Id", style="dim"),
)


def query_options(command: Callable[..., None]) -> Callable[..., None]:
    """What to search for; the command is given it as Cache.Search takes it, as ``text`` and ``query``."""

    @functools.wraps(command)
    def composed(text: tuple[str, ...], query: str | None, where: Conditions, **given: Any) -> None:
        lists = {key: given.pop(key) for key in ("accounts", "services", "nodes", "types", "subtypes", "flags")}
        command(text=" ".join(text), query=query_of(query, where, **lists), **given)

    for option in reversed(
        (
            click.argument("text", nargs=-1, metavar="[TEXT]..."),
            click.option("--query", metavar="JSON", help="A query as Cache.Search takes it; other options are added."),
            chosen_options,
            click.option("--flag", "flags", metavar="FLAG", multiple=True, help="Such as starred; -read: without it."),
            click.option(
                "--where",
                nargs=3,
                metavar="PATH OPERATOR VALUE",
                multiple=True,
                help="A condition on data, such as: --where start '>=' 2026-12-01, or --where 'title[*].text' ilike "
                "'%night%'. VALUE is JSON or a word.",
            ),
        )
    ):
        composed = option(composed)
    return composed


def query_of(query: str | None, where: Conditions, **lists: tuple[str, ...]) -> str:
    """The query as a JSON text, "" when nothing was asked for. Raises click.UsageError."""
    given: dict[str, list[Any]] = {key: list(values) for key, values in lists.items() if values}
    if not given and not where:
        return query or ""
    try:
        found = json.loads(query) if query else {}
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--query is no JSON: {error}.") from None
    if not isinstance(found, dict):
        raise click.UsageError('--query is no JSON object, such as {"types":["blog"]}.')
    conditions = [[path, operator, _value(text)] for path, operator, text in where]
    for key, values in (given | ({"where": conditions} if conditions else {})).items():
        before = found.get(key, [])
        if not isinstance(before, list):
            raise click.UsageError(f"--query has no list in '{key}', to which something could be added.")
        found[key] = [*before, *values]
    return json.dumps(found, ensure_ascii=False)


@click.command()
@query_options
@limit_option
@all_option
@click.option("--order", metavar="ORDER", help="Such as 'data.start, id'; the best first with TEXT, else the newest.")
@click.option("--explain", is_flag=True, help="Print how the database searches, not what it finds.")
@json_option
def search(
    text: str, query: str, limit: int, everything: bool, order: str | None, explain: bool, as_json: bool
) -> None:
    """Search the items of the cache.

    TEXT is words, "quoted phrases", -excluded and begun* ones; all must fit. Before a word that begins with - write
    -- first. What fits all options is found; each may be given several times.

    JSON: the records of Cache.Search, with data as an object.
    """
    options: dict[str, tuple[str, Any]] = {"order": ("s", order)}

    async def look(client: Client) -> Pages:
        most = None if everything else limit
        return await client.pages("Cache", "Search", "ssa{sv}", text, query, options=options, most=most)

    async def show_plan(client: Client) -> str:
        return str((await client.call("Debug", "Explain", "ssa{sv}", text, query, options))[0])

    if explain:
        output.say(run(show_plan))
        return
    items, more, info = run(look)
    if as_json:
        output.json_lines(document(item) for item in items)
    else:
        output.table(COLUMNS, [_row(item) for item in items])
    if not items:
        output.note("Nothing was found.")
    told(info, len(items), more=more, quiet=as_json or not items)


def _row(item: dict[str, Any]) -> list[str]:
    return [
        date(item),
        kind(item),
        headline(item),
        _beyond(headline(item), item.get("snippet", "")),
        flags(item),
        item.get("service", ""),
        item.get("node", ""),
        item.get("id", ""),
    ]


def _beyond(title: str, snippet: str) -> str:
    """What was found, unless the title says it already."""
    return "" if output.line(snippet).strip("… ") in title else snippet


def _value(text: str) -> Any:
    """A value of a condition: JSON, or what is none as a string."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text

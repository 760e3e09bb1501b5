"""``watch``: changes as they happen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from . import completing, output
from .arguments import Number, WholeNumber, any_account_option, json_option, service_of
from .failure import Failure, Status
from .headline import headline
from .running import run

if TYPE_CHECKING:
    from ..bus import Signal
    from .client import Client

# Items of a signal that are shown with their title; of a larger change only the number is said.
TITLES_AT_MOST = 20


@click.command()
@click.argument("service", required=False, type=service_of, shell_complete=completing.services)
@click.argument("node", required=False, shell_complete=completing.nodes)
@any_account_option
@click.option("--count", metavar="N", type=WholeNumber(min=1), help="End after so many changes.")
@click.option("--timeout", metavar="SECONDS", type=Number(min=0.1), help="End after so long, with status 4.")
@json_option
def watch(
    service: str | None, node: str | None, account: str, count: int | None, timeout: float | None, as_json: bool
) -> None:
    """Show changes as they happen.

    Of all nodes, of those of a service, or of one node, until Ctrl-C.

    JSON: one object per change, with signal (ItemsChanged, NodeChanged or AccountChanged) and the signal's arguments.
    """
    wanted = (account, service, node)

    async def work(client: Client) -> None:
        import asyncio

        try:
            async with asyncio.timeout(timeout):
                await _Watch(client, as_json).run(wanted, count)
        except TimeoutError:
            raise Failure(Status.TIMEOUT, f"The {timeout:g} seconds are over.") from None

    run(work)


class _Watch:
    """The signals of the daemon, in the order they come."""

    def __init__(self, client: Client, as_json: bool) -> None:
        import asyncio

        self._client = client
        self._as_json = as_json
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def run(self, wanted: tuple[str, str | None, str | None], count: int | None) -> None:
        """Print what fits, ``count`` times or for ever."""
        from ..bus import PROPERTIES
        from ..bus.addresses import BUS
        from .client import NAME

        await self._client.hear(self._cache_signal, interface=f"{NAME}.Cache")
        if wanted == ("", None, None):
            await self._client.hear(self._account_signal, interface=PROPERTIES)
        await self._client.hear(self._owner_signal, sender=BUS, member="NameOwnerChanged", arg0=NAME)
        # Starts the daemon where that is set up; what has no daemon can't be watched.
        await self._client.get("Manager", "Version")
        shown = 0
        while count is None or shown < count:
            change = await self._next()
            if change["signal"] == "NameOwnerChanged":
                output.note(
                    "The daemon started." if change["owner"] else "The daemon ended; waiting for its next start."
                )
            elif _fits(change, *wanted):
                await self._print(change)
                shown += 1

    async def _next(self) -> dict[str, Any]:
        """The next change. Raises BusLost when none can come any more."""
        from ..tasks import first_of

        change = await first_of(self._queue.get(), self._client.connection.lost())
        assert change is not None, "the connection was closed here"
        return change

    def _cache_signal(self, signal: Signal) -> None:
        names = {
            "ItemsChanged": ("account", "service", "node", "changed", "removed", "revision"),
            "NodeChanged": ("account", "service", "node", "change"),
        }.get(signal.member)
        if names is not None:
            self._queue.put_nowait({"signal": signal.member, **dict(zip(names, signal.body, strict=True))})

    def _account_signal(self, signal: Signal) -> None:
        from .client import plain

        changed = plain(signal.body[1])
        if signal.body[0] == "im.pubsubcache1.Account" and "State" in changed:
            message = changed.get("ErrorMessage", "")
            change = {"path": signal.path, "state": changed["State"], "error-message": message}
            self._queue.put_nowait({"signal": "AccountChanged", **change})

    def _owner_signal(self, signal: Signal) -> None:
        self._queue.put_nowait({"signal": "NameOwnerChanged", "owner": signal.body[2]})

    async def _print(self, change: dict[str, Any]) -> None:
        if self._as_json:
            output.json_line(change)
            return
        clock = time.strftime("%H:%M:%S")
        if change["signal"] == "AccountChanged":
            from ..object_path import decode

            said = f" ({change['error-message']})" if change["error-message"] else ""
            output.say(f"{clock}  {decode(change['path'].rpartition('/')[2])} is {change['state']}{said}")
            return
        where = f"{change['service']} {change['node']}"
        if change["signal"] == "NodeChanged":
            output.say(f"{clock}  {where}: {change['change']}")
            return
        titles = await self._titles(change)
        for id_ in change["changed"][:TITLES_AT_MOST]:
            title = titles.get(id_, "")
            output.say(f"{clock}  {where}: + {id_}" + (f"  {title}" if title and title != id_ else ""))
        for id_ in change["removed"][:TITLES_AT_MOST]:
            output.say(f"{clock}  {where}: - {id_}")
        for sign, key in (("+", "changed"), ("-", "removed")):
            if (more := len(change[key]) - TITLES_AT_MOST) > 0:
                output.say(f"{clock}  {where}: {sign} {more} more")

    async def _titles(self, change: dict[str, Any]) -> dict[str, str]:
        """Titles of changed items, as far as the cache has them by now, and the daemon has not ended."""
        ids = change["changed"][:TITLES_AT_MOST]
        if not ids:
            return {}
        options = {"ids": ("as", ids), "policy": ("s", "cache")}
        arguments = (change["account"], change["service"], change["node"], options)
        try:
            items = (await self._client.call("Cache", "GetItems", "sssa{sv}", *arguments))[0]
        except Failure:
            return {}
        return {item["id"]: headline(item) for item in items}


def _fits(change: dict[str, Any], account: str, service: str | None, node: str | None) -> bool:
    """Whether a change is one of those that are wanted; the service "" is the account's own."""
    if service == "":
        service = change.get("account")
    return (
        account in ("", change.get("account"))
        and service in (None, change.get("service"))
        and node in (None, change.get("node"))
    )

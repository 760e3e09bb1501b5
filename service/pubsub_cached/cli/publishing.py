"""``publish`` and ``retract``: items at the service, which the cache follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..counting import counted
from . import output
from .arguments import fields_option, json_option, node_arguments
from .running import run

if TYPE_CHECKING:
    from .client import Client

# Publishing may take as long as the service does.
SECONDS = 60.0

_queue = click.option("--queue", is_flag=True, help="Keep it, and send it as soon as the service can be reached.")


@click.command()
@node_arguments
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--id", "item_id", metavar="ID", default="", help="The item's id; the service chooses when absent.")
@fields_option("A publish-option, such as pubsub#access_model=open")
@_queue
@json_option
def publish(
    account: str,
    service: str,
    node: str,
    file: Any,
    item_id: str,
    options: dict[str, tuple[str, Any]],
    queue: bool,
    as_json: bool,
) -> None:
    """Publish an item.

    Reads its XML payload from FILE or stdin, and prints its id. JSON: an object with id.
    """
    try:
        payload = file.read().decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"The payload is not UTF-8 at byte {error.start}.") from None
    if not payload.strip():
        raise click.UsageError("The payload is empty; an item has one XML element.")
    given = options | {"queue": ("b", queue or None)}

    async def work(client: Client) -> str:
        arguments = (account, service, node, item_id, payload, given)
        (published,) = await client.call("PubSub", "Publish", "sssssa{sv}", *arguments, seconds=SECONDS)
        return str(published)

    published = run(work)
    if as_json:
        output.json_line({"id": published})
    else:
        output.say(published)


@click.command()
@node_arguments
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--no-notify", is_flag=True, help="Do not have the service tell the subscribers.")
@_queue
def retract(account: str, service: str, node: str, ids: tuple[str, ...], no_notify: bool, queue: bool) -> None:
    """Retract items at the service."""
    options = {"notify": ("b", not no_notify), "queue": ("b", queue or None)}

    async def work(client: Client) -> None:
        arguments = (account, service, node, list(ids), options)
        await client.call("PubSub", "Retract", "sssasa{sv}", *arguments, seconds=SECONDS)

    run(work)
    what = counted(len(ids), "item")
    output.say(f"{what} will be retracted when the service can be reached." if queue else f"{what} retracted.")

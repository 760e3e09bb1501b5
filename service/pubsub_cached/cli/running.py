"""A command's work, from its first call on the bus to its exit status."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import BusLost, PubSubCachedError
from .failure import explain

if TYPE_CHECKING:
    from .client import Client

T = TypeVar("T")


def run(work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    """What ``work`` returns; the bus is opened for it and closed after it. Raises Failure."""
    # Not at the top: help and completion need no bus.
    from .client import opened

    async def connected() -> T:
        async with opened() as client:
            return await work(client)

    return run_alone(connected())


def run_job(seconds: float, interface: str, member: str, signature: str = "", *body: Any) -> str:
    """The closing message of the job that a method begins, which is waited for. Raises Failure."""

    async def work(client: Client) -> str:
        from .jobs import follow

        (path,) = await client.call(interface, member, signature, *body)
        return await follow(client, path, member, seconds)

    return run(work)


def run_alone(work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` returns, for work that opens the bus itself. Raises Failure, click.UsageError."""
    import asyncio

    try:
        return asyncio.run(work)
    except (BusLost, PubSubCachedError) as error:
        raise explain(error) from None
    except UnicodeEncodeError as error:
        given = error.object[error.start : error.end]
        raise click.UsageError(f"What is not UTF-8 can't be sent over the bus, such as {given!a}.") from None

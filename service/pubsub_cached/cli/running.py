"""A command's work on the bus, from its first call to the exit status."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import BusLost, PubSubCachedError
from .failure import Failure, Status, explain

if TYPE_CHECKING:
    from .client import Client

T = TypeVar("T")


def run(work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    """What ``work`` returns; its errors end the command. The bus is opened for it and closed after it."""
    # Not at the top: help and completion need neither a loop nor a bus.
    import asyncio

    from .client import opened

    async def connected() -> T:
        async with opened() as client:
            return await work(client)

    try:
        return asyncio.run(connected())
    except (BusLost, PubSubCachedError) as error:
        raise explain(error) from None
    except KeyboardInterrupt:
        raise Failure(Status.INTERRUPTED, "") from None

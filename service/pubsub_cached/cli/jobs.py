"""Long work in the daemon: followed with a progress bar, cancelled with Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..bus import PROPERTIES
from ..errors import PubSubCachedError, Timeout
from .client import NAME, plain
from .failure import Failure, Status, explain
from .output import line

if TYPE_CHECKING:
    from ..bus import Signal
    from .client import Client

# Below this nobody needs a bar.
QUIET_SECONDS = 0.3


async def follow(client: Client, path: str, title: str, seconds: float) -> str:
    """Wait for a job; its closing message. ``title`` is what the bar says. Raises Failure."""
    state: dict[str, Any] = {}
    changed = asyncio.Event()

    def heard(signal: Signal) -> None:
        state.update(plain(signal.body[1]))
        changed.set()

    waiting = asyncio.create_task(_wait(client, path, seconds))
    try:
        await client.hear(heard, path=path, interface=PROPERTIES, member="PropertiesChanged")
        state.update(await client.get_all("Job", path) | state)
        if sys.stderr.isatty():
            await _show(waiting, state, changed, title)
        return await waiting
    except asyncio.CancelledError:
        await client.call("Job", "Cancel", path=path)
        raise
    finally:
        waiting.cancel()


async def _wait(client: Client, path: str, seconds: float) -> str:
    try:
        (message,) = await client.ask(NAME, path, f"{NAME}.Job", "Wait", seconds=seconds)
    except Timeout:
        sentence = f"The job {path} did not end within {seconds:g} seconds; it goes on by itself."
        raise Failure(Status.TIMEOUT, sentence) from None
    except PubSubCachedError as error:
        raise explain(error) from None
    return str(message)


async def _show(waiting: asyncio.Task[str], state: dict[str, Any], changed: asyncio.Event, title: str) -> None:
    """Draw until the job is over."""
    await asyncio.wait({waiting}, timeout=QUIET_SECONDS)
    if waiting.done():
        return
    with _bar(title) as draw:
        while not waiting.done():
            draw(state)
            changed.clear()
            change = asyncio.create_task(changed.wait())
            await asyncio.wait({waiting, change}, return_when=asyncio.FIRST_COMPLETED)
            change.cancel()


@contextmanager
def _bar(title: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(line(title), total=None)

        def draw(state: dict[str, Any]) -> None:
            progress.update(task, completed=state.get("Done", 0), total=state.get("Total") or None)

        yield draw

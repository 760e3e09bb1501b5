"""``python -m demo [--once]``: run by ``scripts/demo``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from pubsub_cached.bus import RemoteError

from .scene import opened, terminal
from .story import resume, tell
from .terminal import Failed, Terminal


async def demonstrate(once: bool) -> None:
    """Set the scene, tell the story, and wait; everything is stopped at the end, whatever it is."""
    Terminal().say("pubsub-cached, the main job on real input. Setting the scene takes a second or two …")
    async with opened() as scene:
        shown = terminal(scene)
        try:
            await tell(scene, shown)
            if not once:
                await resume(scene, shown)
        except (Failed, RemoteError, TimeoutError) as failure:
            raise Failed(
                f"{failure or 'An answer did not come in time.'}\nThe daemon's log:\n{scene.log_tail()}"
            ) from failure
        if not once:
            await asyncio.Event().wait()
    Terminal().farewell("Done: everything was stopped and removed.")


async def run(once: bool) -> int:
    """The exit status: 0 also when the reader ends the demonstration with Ctrl-C."""
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(demonstrate(once))
    caught: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        # Once only: the second Ctrl-C of an impatient reader must not keep things from being stopped.
        if not caught:
            caught.append(number)
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        Terminal().farewell("Everything was stopped and removed.")
        return 0 if caught[0] == signal.SIGINT and not once else 128 + caught[0]
    except Failed as failure:
        print(f"The demonstration failed: {failure}", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description="The main job on real input.")
    parser.add_argument("--once", action="store_true", help="end after the last part, with status 0 if all went well")
    return asyncio.run(run(parser.parse_args().once))


if __name__ == "__main__":
    sys.exit(main())

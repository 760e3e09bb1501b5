"""``python -m benchmarks.pinger NAME PATH``: a client that does nothing but call ``Ping``, until its input ends.

In a process of its own, for whoever reads replies elsewhere has no time to hear of its own pings. Prints ``ready``, and
at the end ``pinged``, the 99th percentile in seconds and the number of pings.
"""

from __future__ import annotations

import asyncio
import sys

from pubsub_cached.bus import Connection

from .measure import ninety_ninth, seconds

PEER = "org.freedesktop.DBus.Peer"
BETWEEN = 0.005


async def ping(name: str, path: str) -> None:
    """Ping a service until there is nothing more to read."""
    client = await Connection.open()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    ended = asyncio.create_task(lines.read())
    taken = [await seconds(lambda: client.call(name, path, PEER, "Ping"))]
    print("ready", flush=True)
    while not ended.done():
        taken.append(await seconds(lambda: client.call(name, path, PEER, "Ping")))
        await asyncio.sleep(BETWEEN)
    print("pinged", ninety_ninth(taken), len(taken), flush=True)
    await client.close()


if __name__ == "__main__":
    asyncio.run(ping(*sys.argv[1:]))

"""What a daemon of its own holds, whatever was measured before: connected, and with many items synchronised."""

from __future__ import annotations

from pathlib import Path

from tests.support.daemon import Daemon

from . import pump
from .measure import Row
from .online import keep
from .stage import Measurement, Stage

PER_NODE = 2000


def resident(daemon: Daemon) -> float:
    """Memory of the process that is in use and not shared, MiB."""
    assert daemon.process is not None
    for line in Path(f"/proc/{daemon.process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("The kernel does not tell what the process holds")


async def idle(stage: Stage) -> Row:
    """A daemon that is connected, and has done nothing else.

    It is its second start: the first makes the database, and keeps what that is made with.
    """
    online = await stage.online()
    async with stage.fresh(online) as daemon:
        await daemon.end()
        await daemon.start()
        await daemon.state(online.alice.jid, "online")
        return Row(name="memory", what="memory, connected", ours=resident(daemon), count=1, unit="MiB", within=60)


async def full(stage: Stage) -> Row:
    """The same after so many items were synchronised, node after node."""
    online = await stage.online()
    await stage.pump(online)
    count = stage.scale.memory_items
    each = min(PER_NODE, count)
    async with stage.fresh(online) as daemon:
        for number in range(count // each):
            await keep(daemon, pump.DOMAIN, f"many{number}-{each}")
        return Row(
            name="memory-items",
            what=f"memory after {count:,} items were synchronised",
            ours=resident(daemon),
            count=1,
            unit="MiB",
            within=90,
        )


ROWS: dict[str, Measurement] = {"memory": idle, "memory-items": full}

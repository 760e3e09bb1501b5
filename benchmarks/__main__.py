"""``python -m benchmarks``: run by ``scripts/bench``."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import signal
import sys

import msgspec

from . import analysers, events, growth, memory, reads, searches, starts, syncs, views
from .measure import Row
from .stage import FULL, QUICK, Measurement, Scale, Stage

ROWS: dict[str, Measurement] = {
    **memory.ROWS,
    **reads.ROWS,
    **events.ROWS,
    **syncs.ROWS,
    **growth.ROWS,
    **searches.ROWS,
    **views.ROWS,
    **starts.ROWS,
    **analysers.ROWS,
}
HEADINGS = ("", "ours", "against", "floor", "ratio", "target")


async def measured(names: list[str], scale: Scale) -> list[Row]:
    """The rows of these names, in order."""
    rows = []
    async with Stage(scale) as stage:
        for name in names:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            rows.append(row := await ROWS[name](stage))
            print("  " + "  ".join(cell for cell in _cells(row) if cell), file=sys.stderr, flush=True)
    return rows


def table(rows: list[Row]) -> str:
    """The rows for people."""
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "–" if row.ratio is None else f"{row.ratio:.2f}×" if row.least is None else f"{row.ratio:.1f}× faster"
    target = row.target if row.met else f"{row.target}  (missed)"
    return row.what, row.amount(row.ours), row.against, row.amount(row.floor), ratio, target


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="What the daemon costs, against floors measured in the same run: A and B in turn, medians.",
    )
    parser.add_argument("--row", action="append", choices=list(ROWS), metavar="NAME", help=f"only: {', '.join(ROWS)}")
    parser.add_argument("--json", action="store_true", help="print records instead of a table; times in seconds")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small counts: shows that it runs, the figures say little")
    size.add_argument("--full", action="store_true", help="growth with 1,000,000 items, which takes minutes to make")
    return parser


def main() -> int:
    """Measure and print; the exit status says nothing about targets."""
    chosen = arguments().parse_args()
    scale = QUICK if chosen.quick else FULL if chosen.full else Scale()
    # As Ctrl-C does, so that what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        rows = asyncio.run(measured(chosen.row or list(ROWS), scale))
    except KeyboardInterrupt:
        return 130
    if chosen.json:
        print(msgspec.json.format(msgspec.json.encode([row.record() for row in rows])).decode())
    else:
        print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs; medians, A and B in turn\n")
        print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

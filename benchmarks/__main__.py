"""``python -m benchmarks``: run by ``scripts/bench``."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from . import accounts, analysers, events, growth, memory, reads, searches, soak, starts, syncs, views
from .databases import FILES
from .measure import Failed, Missing, Row
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
    **accounts.ROWS,
}
HEADINGS = ("", "ours", "against", "floor", "ratio", "target")


async def measured(
    names: list[str], scale: Scale, database: str = FILES, keep: Path | None = None
) -> list[Row | Failed]:
    """The rows of these names, in order; one that fails is no reason to do without the others."""
    rows: list[Row | Failed] = []
    end = time.monotonic() + scale.budget
    async with Stage(scale, database, keep) as stage:
        for name in names:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            try:
                async with asyncio.timeout(min(scale.longest, max(0.0, end - time.monotonic()))):
                    row: Row | Failed = await ROWS[name](stage)
            except Missing as missing:
                row = Failed(name=name, error=str(missing), skipped=True)
            except Exception as error:
                late = isinstance(error, TimeoutError) and not str(error)
                said = "it took too long" if late else f"{type(error).__name__}: {error}"
                row = Failed(name=name, error=said)
                stage.say_logs()
            rows.append(row)
            print("  " + "  ".join(cell for cell in _cells(row) if cell), file=sys.stderr, flush=True)
    return rows


def table(rows: Sequence[Row | Failed]) -> str:
    """The rows for people."""
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cells(row: Row | Failed) -> tuple[str, ...]:
    if isinstance(row, Failed):
        return row.name, "–", "", "–", "–", f"{'skipped' if row.skipped else 'failed'}: {row.error}"
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
    parser.add_argument(
        "--soak",
        nargs="?",
        type=float,
        const=30.0,
        metavar="MINUTES",
        help="instead: random work for so long (30), and whether anything grew, slowed down or went astray",
    )
    parser.add_argument(
        "--database",
        default=FILES,
        metavar="URL",
        help="where the caches are: sqlite (a file each, the default), postgresql (a server that is started for it), "
        "or the URL of a database of PostgreSQL whose user may make others",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIRECTORY",
        help="keep copies of the databases that are full of items there, and use those that are there: a million take "
        "minutes to make (SQLite only)",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small counts: shows that it runs, the figures say little")
    size.add_argument("--full", action="store_true", help="growth with 1,000,000 items, which takes minutes to make")
    return parser


def main() -> int:
    """Measure and print; 1 when a row failed, while a target that was missed is no failure, nor a row left out."""
    chosen = arguments().parse_args()
    scale = QUICK if chosen.quick else FULL if chosen.full else Scale()
    # As Ctrl-C does, so that what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if chosen.soak is not None:
            return soak.run(chosen.soak)
        rows = asyncio.run(measured(chosen.row or list(ROWS), scale, chosen.database, chosen.keep))
    except KeyboardInterrupt:
        return 130
    if chosen.json:
        print(msgspec.json.format(msgspec.json.encode([row.record() for row in rows])).decode())
    else:
        print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs; medians, A and B in turn\n")
        print(table(rows))
    return 1 if any(isinstance(row, Failed) and not row.skipped for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

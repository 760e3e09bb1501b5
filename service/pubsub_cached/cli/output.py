"""What a command prints: JSON Lines for programs, tables for people, notes on stderr.

Rich draws tables on a terminal and is imported only there; elsewhere they are plain columns, whole and uncut.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import click

from ..control import CONTROL

_BLANK = re.compile(r"\s+")

# Between two columns of a drawn table; and what is not made narrower.
_GAP = 3
_NARROWEST = 12

# Words that stand for a state, wherever they stand alone in a cell.
_STYLES = {
    "online": "green",
    "live": "green",
    "active": "green",
    "waiting": "yellow",
    "connecting": "yellow",
    "syncing": "yellow",
    "stale": "yellow",
    "offline": "yellow",
    "unreachable": "red",
    "failed": "red",
    "denied": "red",
    "invalid": "red",
    "suspended": "red",
}


class Column(NamedTuple):
    """A column of a table. right: numbers. style: for a terminal. narrow: where that is narrow, ``cut`` or ``wrap``."""

    title: str
    right: bool = False
    style: str = ""
    narrow: Literal["", "cut", "wrap"] = ""


def on_terminal() -> bool:
    """Whether people read stdout."""
    return sys.stdout.isatty()


def json_line(record: Any) -> None:
    """Print a record as one line of JSON."""
    # An encoding that does not have every character escapes them in another way than JSON does.
    universal = sys.stdout.encoding.lower().startswith("utf")
    text = json.dumps(record, ensure_ascii=not universal, separators=(",", ":"))
    click.echo(CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def json_lines(records: Iterable[Any]) -> None:
    """Print each record as one line of JSON."""
    for record in records:
        json_line(record)


def clean(text: str) -> str:
    """Text that does nothing to a terminal; line breaks stay."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def line(text: str) -> str:
    """Text on one line."""
    return _BLANK.sub(" ", clean(text)).strip()


def say(text: str) -> None:
    """Print a result."""
    click.echo(clean(text))


def note(text: str) -> None:
    """Say something about the result, on stderr."""
    click.echo(clean(text), err=True)


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print rows, without those columns that are empty in all of them."""
    kept = [index for index in range(len(columns)) if any(row[index] for row in rows)]
    columns = [columns[index] for index in kept]
    cells = [[line(row[index]) for index in kept] for row in rows]
    if not rows:
        return
    if on_terminal():
        _draw(columns, cells)
        return
    widths = [max(len(column.title), *(len(row[index]) for row in cells)) for index, column in enumerate(columns)]
    for row in [[column.title for column in columns], *cells]:
        padded = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ]
        click.echo("  ".join(padded).rstrip())


def record(fields: Mapping[str, str]) -> None:
    """Print the fields of one thing, a line each; of several lines those after the first are indented."""
    width = max((len(name) for name in fields), default=0) + 2
    for name, value in fields.items():
        first, *rest = clean(value).splitlines() or [""]
        click.echo(f"{click.style(f'{name}:'.ljust(width), dim=True)} {first}".rstrip())
        for more in rest:
            click.echo(f"{' ' * width} {more}".rstrip())


def _draw(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    natural = [max(cell_len(cell) for cell in cells) for cells in zip([c.title for c in columns], *rows, strict=True)]
    widths = _fitted(columns, natural, console.width - _GAP * (len(columns) - 1))
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column, width in zip(columns, widths, strict=True):
        drawn.add_column(
            column.title,
            justify="right" if column.right else "left",
            style=column.style,
            overflow="ellipsis" if column.narrow == "cut" else "fold",
            no_wrap=column.narrow != "wrap",
            width=width,
        )
    for row in rows:
        drawn.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    # What must not be cut may be wider than the terminal, which then breaks the line.
    console.width = max(console.width, sum(widths) + _GAP * (len(columns) - 1))
    console.print(drawn, crop=False)


def _fitted(columns: Sequence[Column], natural: Sequence[int], room: int) -> list[int]:
    """The widths; those columns that can be narrow share what the others leave."""
    widths = list(natural)
    flexible = [index for index, column in enumerate(columns) if column.narrow]
    while sum(widths) > room and flexible:
        widest = max(flexible, key=lambda index: widths[index])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths

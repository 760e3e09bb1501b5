"""``export``: what a search finds, written to a file by the daemon itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from . import output
from .arguments import wait_option
from .failure import Failure, Status
from .running import run_job
from .search import query_options


@click.command()
@query_options
@click.option("--output", "-o", "file", metavar="FILE", default="-", help="Where to; stdout when absent.")
@click.option("--order", metavar="ORDER", help="Such as 'created, id'.")
@wait_option
def export(text: str, query: str, file: str, order: str | None, seconds: float) -> None:
    """Write what a search finds as JSON Lines, one item per line.

    Without TEXT and options that is everything in the cache.

    A FILE is replaced when the export is complete, and left as it was otherwise.
    """
    options = {"order": ("s", order)}
    with _opened(file) as descriptor:
        said = run_job(seconds, "Cache", "Export", "ssa{sv}h", text, query, options, descriptor)
    output.note(said)


@contextmanager
def _opened(name: str) -> Iterator[int]:
    """A descriptor to write to; a file gets its name only if the block ends well."""
    if name == "-":
        sys.stdout.flush()
        yield sys.stdout.fileno()
        return
    import tempfile

    path = Path(name).resolve()
    try:
        # A device or a pipe is written to, and never replaced by a file.
        special = path.exists() and not path.is_file()
        if special:
            with open(path, "wb", buffering=0) as stream:
                yield stream.fileno()
            return
        descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise Failure(Status.REFUSED, f"{path}: {error.strerror}") from None
    try:
        yield descriptor
        os.fsync(descriptor)
        os.replace(unfinished, path)
    except OSError as error:
        os.unlink(unfinished)
        raise Failure(Status.REFUSED, f"{path}: {error.strerror}") from None
    except BaseException:
        os.unlink(unfinished)
        raise
    finally:
        os.close(descriptor)

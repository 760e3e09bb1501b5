"""What a command reads and writes, whatever the shell has given it."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Literal, TextIO

from .failure import Failure, Status


def prepare() -> None:
    """A closed stream is the null device; what the locale's encoding does not have is written escaped."""
    sys.stdin = sys.stdin or _null("r")
    sys.stdout = sys.stdout or _null("w")
    sys.stderr = sys.stderr or _null("w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def explain(error: OSError) -> Failure:
    """The status and the sentence for a file, or stdout where none is named, that can't be used.

    Raises the error where nobody reads stdout any more, which is no failure to tell of.
    """
    if error.errno == errno.EPIPE:
        raise error
    if error.filename is None:
        # What is kept of it would fail once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Failure(Status.REFUSED, f"{error.filename or 'stdout'}: {error.strerror}")


def _null(mode: Literal["r", "w"]) -> TextIO:
    return open(os.devnull, mode, encoding="utf-8")

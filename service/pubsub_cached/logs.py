"""Logs: to stderr, one line an event; no secrets, and no payloads above debug."""

from __future__ import annotations

import logging
import sys

from .control import CONTROL


class _OneLine(logging.Formatter):
    """A traceback is part of its event's line, and control characters are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record).replace("\n", " | ")
        # What services and clients send is in some lines.
        return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), line)


def configure(level: str) -> None:
    """Log at this level (a name of ``logging``, in lower case) and above."""
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, _OneLine) for handler in root.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        # The level of the root is what is changed while the daemon runs, and says nothing of libraries with their own.
        handler.addFilter(lambda record: record.levelno >= root.level)
        root.addHandler(handler)
    root.setLevel(level.upper())
    # What a migration says of itself is for those who look for it.
    logging.getLogger("alembic").setLevel(root.level if root.level <= logging.DEBUG else logging.WARNING)
    # The library formats every stanza at debug, with what a stanza of authentication holds.
    logging.getLogger("slixmpp").setLevel(logging.INFO)

"""Logs: to stderr, one line an event; no secrets, and no payloads above debug."""

from __future__ import annotations

import logging
import sys


class _OneLine(logging.Formatter):
    """A traceback is part of its event's line."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", " | ")


def configure(level: str) -> None:
    """Log at this level (a name of ``logging``, in lower case) and above."""
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, _OneLine) for handler in root.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.addHandler(handler)
    root.setLevel(level.upper())
    # What a migration says of itself is for those who look for it.
    logging.getLogger("alembic").setLevel(root.level if root.level <= logging.DEBUG else logging.WARNING)
    # The library formats every stanza at debug, with what a stanza of authentication holds.
    logging.getLogger("slixmpp").setLevel(max(logging.INFO, root.level))

"""``org.freedesktop.LogControl1``: how much is logged, and where (org.freedesktop.LogControl1(5))."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import ClassVar

from ..bus import Interface
from ..counting import listed
from ..errors import InvalidArgs
from .options import Table

# syslog(3) has more levels than logging; those between get a number between, so that they read back as they were set.
LEVELS: dict[str, int] = {
    "emerg": logging.CRITICAL + 20,
    "alert": logging.CRITICAL + 10,
    "crit": logging.CRITICAL,
    "err": logging.ERROR,
    "warning": logging.WARNING,
    "notice": logging.INFO + 5,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
TARGET = "console"
IDENTIFIER = "pubsub-cached"


class LogControl(Interface):
    """The level of the daemon's log."""

    name: ClassVar[str] = "org.freedesktop.LogControl1"
    options: ClassVar[Mapping[str, Table]] = {}

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger = logger

    @property
    def LogLevel(self) -> str:
        level = self._logger.getEffectiveLevel()
        return next((name for name, number in reversed(LEVELS.items()) if number >= level), "emerg")

    def set_LogLevel(self, level: str) -> None:
        if level not in LEVELS:
            raise InvalidArgs(f"'{level}' is no log level; it may be {listed(LEVELS)}.")
        self._logger.setLevel(LEVELS[level])

    @property
    def LogTarget(self) -> str:
        return TARGET

    def set_LogTarget(self, target: str) -> None:
        if target != TARGET:
            raise InvalidArgs(f"The log can't go to '{target}', only to '{TARGET}': the daemon's standard error.")

    @property
    def SyslogIdentifier(self) -> str:
        return IDENTIFIER

"""LogControl1: levels by their syslog names."""

from __future__ import annotations

import logging

import pytest

from pubsub_cached.api.logcontrol import LEVELS, LogControl
from pubsub_cached.errors import InvalidArgs


@pytest.fixture
def logger() -> logging.Logger:
    return logging.Logger("test", logging.INFO)


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_reads_back_as_it_was_set(logger: logging.Logger, level: str) -> None:
    control = LogControl(logger)
    control.set_LogLevel(level)
    assert control.LogLevel == level


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (logging.DEBUG, "debug"),
        (logging.INFO, "info"),
        (logging.WARNING, "warning"),
        (logging.ERROR, "err"),
        (logging.CRITICAL, "crit"),
        (1, "debug"),
        (15, "info"),
        (35, "err"),
        (99, "emerg"),
    ],
)
def test_a_level_of_logging_has_a_name(logger: logging.Logger, number: int, level: str) -> None:
    logger.setLevel(number)
    assert LogControl(logger).LogLevel == level


def test_only_what_is_important_enough_is_logged(logger: logging.Logger) -> None:
    control = LogControl(logger)
    control.set_LogLevel("warning")
    assert not logger.isEnabledFor(logging.INFO)
    assert logger.isEnabledFor(logging.WARNING)
    control.set_LogLevel("debug")
    assert logger.isEnabledFor(logging.DEBUG)


@pytest.mark.parametrize("level", ["", "warn", "DEBUG", "trace"])
def test_an_unknown_level_is_refused_with_the_known_ones(logger: logging.Logger, level: str) -> None:
    with pytest.raises(InvalidArgs, match="emerg, alert, crit"):
        LogControl(logger).set_LogLevel(level)
    assert logger.level == logging.INFO


def test_the_log_goes_to_standard_error_only(logger: logging.Logger) -> None:
    control = LogControl(logger)
    assert control.LogTarget == "console"
    control.set_LogTarget("console")
    with pytest.raises(InvalidArgs, match="'journal'"):
        control.set_LogTarget("journal")
    assert control.SyslogIdentifier == "pubsub-cached"

"""The log: one line an event, with nothing in it that a terminal would obey."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from pubsub_cached.api.logcontrol import LogControl
from pubsub_cached.logs import configure

LIBRARIES = ("alembic", "slixmpp")


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """The root of all loggers with nothing of anybody else's, which gets that back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    root.handlers = []
    yield root
    root.handlers = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_an_event_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    configure("info")

    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("pubsub_cached").exception("It failed\r\nhere")

    (line,) = capsys.readouterr().err.splitlines()
    assert "ERROR pubsub_cached: It failed\\r | here" in line
    assert line.endswith(" | ValueError: two | lines")


@pytest.mark.parametrize(
    ("sent", "logged"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b2J", r"\x9b2J"),
        ("\u2028", r"\u2028"),
        ("\u202eevil", r"\u202eevil"),
        ("\tGrüße 😀", "\tGrüße 😀"),
    ],
)
def test_control_characters_of_others_are_escaped(capsys: pytest.CaptureFixture[str], sent: str, logged: str) -> None:
    configure("info")

    logging.getLogger("pubsub_cached").info("They say %s", sent)

    assert capsys.readouterr().err.endswith(f"They say {logged}\n")


def test_the_level_that_is_set_while_the_daemon_runs_is_that_of_libraries_too(
    capsys: pytest.CaptureFixture[str], root: logging.Logger
) -> None:
    configure("error")
    library = logging.getLogger("slixmpp.xmlstream")
    control = LogControl(root)

    control.set_LogLevel("info")
    library.info("Said.")
    control.set_LogLevel("err")
    library.warning("Not said.")

    assert "Said." in (said := capsys.readouterr().err)
    assert "Not said." not in said


def test_stanzas_of_the_library_are_not_logged_at_any_level(root: logging.Logger) -> None:
    configure("debug")
    LogControl(root).set_LogLevel("debug")

    assert not logging.getLogger("slixmpp.xmlstream").isEnabledFor(logging.DEBUG)

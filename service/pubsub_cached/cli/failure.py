"""How a command ends: its exit status, and one sentence on stderr."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import click

from ..errors import STANDARD, BusLost, Offline, PubSubCachedError, Timeout


class Status(IntEnum):
    """The exit statuses; ``MEANINGS`` is what help and manual say of them."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    TIMEOUT = 4
    FINDINGS = 5
    INTERRUPTED = 130


MEANINGS = {
    Status.DONE: "done",
    Status.REFUSED: "the daemon answered with an error, an item is not there, or a file can't be used",
    Status.USAGE: "the command line can't be used",
    Status.UNREACHABLE: "no session bus, or no daemon",
    Status.TIMEOUT: "no answer in time",
    Status.FINDINGS: "doctor found something to mend",
    Status.INTERRUPTED: "interrupted with Ctrl-C",
}

SYSTEMD = "org.freedesktop.systemd1"
UNIT = "pubsub-cached.service"
LOG = f"journalctl --user -u {UNIT}"
RESTART = f"systemctl --user restart {UNIT}"

_ABSENT = frozenset(STANDARD + name for name in ("ServiceUnknown", "NameHasNoOwner", "Spawn.ServiceNotFound"))
_ENDED = frozenset(STANDARD + name for name in ("NoReply", "Disconnected"))
_LATE = frozenset({STANDARD + "TimedOut", STANDARD + "Timeout", Timeout.dbus_name})
_REMOVED = STANDARD + "UnknownObject"
_NOT_STARTED = (STANDARD + "Spawn.", SYSTEMD + ".")


class Failure(click.ClickException):
    """Ends the command with a status and a sentence; "" says nothing."""

    def __init__(self, status: Status, sentence: str) -> None:
        super().__init__(sentence)
        self.exit_code = int(status)  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        if self.message:
            super().show(file)


class Gone(Failure):
    """An object that was there a moment ago, such as an account's, was removed."""


def explain(error: PubSubCachedError | BusLost) -> Failure:
    """The status and the sentence for what a call over the bus met."""
    if isinstance(error, BusLost):
        return Failure(Status.UNREACHABLE, str(error))
    if error.name in _ABSENT:
        return Failure(
            Status.UNREACHABLE,
            "The daemon is not running and the session bus does not know how to start it; "
            "run 'pubsub-cachectl setup' once.",
        )
    if error.name.startswith(_NOT_STARTED):
        said = error.message.rstrip(".")
        return Failure(Status.UNREACHABLE, f"The session bus could not start the daemon ({said}); see '{LOG}'.")
    if error.name in _ENDED:
        return Failure(Status.UNREACHABLE, f"The daemon ended before it answered; see '{LOG}'.")
    sentence = error.message or f"The daemon answered {error.name}."
    if error.name == Offline.dbus_name:
        sentence += " 'pubsub-cachectl doctor' says what to do."
    if error.name == _REMOVED:
        return Gone(Status.REFUSED, sentence)
    return Failure(Status.TIMEOUT if error.name in _LATE else Status.REFUSED, sentence)

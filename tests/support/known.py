"""A server as other processes know it: a file says how to reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import msgspec

from .certificates import Certificate
from .server import Server


class Known(msgspec.Struct):
    """What the file holds."""

    port: int
    ca_file: str
    passwords: dict[str, str]


class Running(Server):
    """A server that another process started, and that it alone may stop."""

    def __init__(self, known: Known) -> None:
        self.port = known.port
        self.passwords = known.passwords
        self.certificate = Certificate(Path(known.ca_file), Path())

    @classmethod
    def of(cls, file: Path) -> Self:
        """The server that ``note`` wrote down."""
        return cls(msgspec.json.decode(file.read_bytes(), type=Known))


def note(server: Server, file: Path) -> Path:
    """Write down how to reach a server, its passwords as well, for this user only."""
    file.touch(mode=0o600)
    file.write_bytes(msgspec.json.encode(Known(server.port, server.ca_file, server.passwords)))
    return file

"""A real Prosody: PEP, a pubsub component where alice may create nodes, SQLite, stream management."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .server import PASSWORD, Server

CONFIGURATION = """
run_as_root = true
daemonize = false
pidfile = "{directory}/prosody.pid"
data_path = "{directory}/data"
certificates = "{directory}"
log = {{ warn = "{directory}/server.log" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ {direct_tls_port} }}
s2s_ports = {{ }}
http_ports = {{ }}
https_ports = {{ }}
modules_enabled = {{
    "roster", "saslauth", "tls", "disco", "presence", "message", "iq", "pep", "smacks", "carbons", "ping", "offline",
    "mam", "blocklist"
}}
modules_disabled = {{ "s2s" }}
authentication = "internal_hashed"
c2s_require_encryption = true
allow_unencrypted_plain_auth = false
default_storage = "sql"
storage = {{ accounts = "internal"; account_details = "internal"; account_roles = "internal" }}
sql = {{ driver = "SQLite3", database = "prosody.sqlite" }}
pep_max_items = 10000
limits = {{ }}
ssl = {{ certificate = "{certificate}", key = "{key}" }}

VirtualHost "localhost"

Component "pubsub.localhost" "pubsub"
    admins = {{ "alice@localhost" }}
    pubsub_max_items = 10000
    expose_publisher = true
"""


class Prosody(Server):
    """Debian's Prosody, started from its own directory; alice administers the pubsub component."""

    name = "prosody"

    def __init__(self, directory: Path | str) -> None:
        super().__init__(directory)
        self.configuration = self.directory / "prosody.cfg.lua"
        (self.directory / "data").mkdir(exist_ok=True)
        self.configuration.write_text(
            CONFIGURATION.format(
                directory=self.directory.resolve(),
                port=self.port,
                direct_tls_port=self.direct_tls_port,
                certificate=self.certificate.certificate.resolve(),
                key=self.certificate.key.resolve(),
            ),
            encoding="utf-8",
        )

    def add_user(self, name: str, password: str = PASSWORD) -> None:
        subprocess.run(
            ["prosodyctl", "--root", "--config", str(self.configuration), "register", name, self.domain, password],
            check=True,
            capture_output=True,
            timeout=30,
        )
        self.passwords[name] = password

    def _launch(self, first: bool) -> None:
        if first:
            for name, password in list(self.passwords.items()):
                self.add_user(name, password)
        self._run(["prosody", "--config", str(self.configuration), "-F"])


def available() -> bool:
    """Whether the package is installed."""
    return shutil.which("prosody") is not None


@pytest.fixture(scope="session")
def prosody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prosody]:
    """A Prosody for the whole run; a test that stops it takes ``own_prosody``."""
    with Prosody(tmp_path_factory.mktemp("prosody")) as server:
        yield server


@pytest.fixture
def own_prosody(tmp_path: Path) -> Iterator[Prosody]:
    """A Prosody for one test, which may stop, kill and start it."""
    with Prosody(tmp_path / "prosody") as server:
        yield server

"""A server of PostgreSQL of its own: its data in one directory, reached by a socket in it and a port on loopback."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from pubsub_cached.clock import clock
from pubsub_cached.store import migrate

from .server import kept_ports

USER = "pubsub"
PASSWORD = "correct horse"
START_SECONDS = 60.0


class PostgreSQL:
    """Started by ``start``; ``start`` after ``stop`` or ``kill`` serves the same data at the same places."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        # Short, for the name of a socket may have no more than 107 bytes, and open to the user that the server runs as.
        self.directory = Path(tempfile.mkdtemp(prefix="pg-"))
        (self._kept_port,) = kept_ports(1)
        self.port = self._kept_port.getsockname()[1]
        self._data = self.directory / "data"
        self._log = self.directory / "log"
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            # The server refuses to run as root.
            someone = pwd.getpwnam("postgres")
            os.chown(self.directory, someone.pw_uid, someone.pw_gid)
            self._user = {"user": someone.pw_uid, "group": someone.pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()
        self._kept: dict[str, psycopg.Connection[Any]] = {}

    def start(self) -> Self:
        """Start the server and wait until it answers."""
        if not self._data.exists():
            self._initialise()
        options = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": self.directory,
            "fsync": "off",
            "max_connections": 200,
        }
        given = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        # It ends with this process, however that ends.
        command = ["setpriv", "--pdeathsig", "INT", _program("postgres"), "-D", self._data, *given]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.directory, stdout=log, stderr=log, **self._user)
        self._await_answer()
        if not self.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{USER}'"):
            self.execute(f"CREATE ROLE {USER} LOGIN CREATEDB PASSWORD '{PASSWORD}'")
        return self

    def stop(self) -> None:
        """End the server as a service manager does; clients are disconnected."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server as a crash does."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        """Stop it, and remove its data."""
        self.stop()
        self._kept_port.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def create(self, template: str = "template0") -> str:
        """A new database; its name."""
        name = f"d{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} OWNER {USER} TEMPLATE {template}")
        return name

    def restore(self, dump: bytes) -> str:
        """A new database with what ``pg_dump`` wrote of another; its name."""
        name = self.create()
        where = ("-h", str(self.directory), "-p", str(self.port), "-U", USER, "-d", name)
        subprocess.run(
            [_program("psql"), "-X", "-q", "-o", os.devnull, "-v", "ON_ERROR_STOP=1", *where], input=dump, check=True
        )
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        if (kept := self._kept.pop(name, None)) is not None:
            kept.close()
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def empty(self, name: str) -> None:
        """Take everything out of a database of the store, and everybody."""
        self.disconnect(name)
        indexes = self.execute("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'ix_data%'", name)
        statements = (
            *(f"DELETE FROM {table}" for table in ("account", "flag", "analyser")),
            *(f"DROP INDEX {index}" for (index,) in indexes),
            f"UPDATE counter SET value = CASE name WHEN 'revision' THEN {clock()} ELSE 0 END",
        )
        self.execute("; ".join(statements), name)

    def url(self, name: str, *, password: bool = False) -> str:
        """By the socket, where nobody asks for a password, or over loopback with one."""
        if password:
            secret = PASSWORD.replace(" ", "%20")
            return f"postgresql+psycopg://{USER}:{secret}@{self.host}:{self.port}/{name}"
        return f"postgresql+psycopg://{USER}@/{name}?host={self.directory}&port={self.port}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """A statement of the superuser."""
        cursor = self._connected(database).execute(statement)
        return cursor.fetchall() if cursor.description else []

    def disconnect(self, database: str) -> int:
        """End every connection to a database, as a network does; how many there were."""
        theirs = f"datname = '{database}' AND usename = '{USER}'"
        return len(self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {theirs}"))

    def _connected(self, database: str) -> psycopg.Connection[Any]:
        """A connection of the superuser, which is kept."""
        kept = self._kept.get(database)
        if kept is None or kept.closed:
            kept = self._kept[database] = psycopg.connect(
                host=str(self.directory), port=self.port, user="postgres", dbname=database, autocommit=True
            )
        return kept

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                self._connected("postgres")
                return
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"postgres does not answer: {self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def _initialise(self) -> None:
        # In an order of words that is not that of code points, so that what relies on the server's shows.
        locale = ("--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=de")
        self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "--auth-host=scram-sha-256", *locale)

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [_program(program), *arguments],
            cwd=self.directory,
            env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            **self._user,
        )
        if done.returncode:
            log = self._log.read_text() if self._log.exists() else ""
            raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr}{log[-2000:]}")

    def _end(self, number: signal.Signals) -> None:
        for kept in self._kept.values():
            kept.close()
        self._kept.clear()
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(START_SECONDS)
            self._process = None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A server of this session."""
    running = PostgreSQL().start()
    yield running
    running.remove()


@pytest.fixture(scope="session")
def template(postgresql: PostgreSQL) -> str:
    """The name of a database of the store with nothing in it."""
    name = postgresql.create()
    migrate.prepare(postgresql.url(name))
    return name


def _program(name: str) -> Path:
    """A program of the newest version that is installed; Debian keeps those of the server off PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    where = found[-1] if found else shutil.which(name)
    assert where is not None, f"{name} is not installed; scripts/test installs it"
    return Path(where)

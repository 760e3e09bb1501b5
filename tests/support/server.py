"""What the servers under test have in common: a process, a directory, ports, users, an end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from .certificates import Certificate, self_signed

PASSWORD = "correct horse"
START_TIMEOUT = 60.0
STREAM = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
    "to='{domain}' version='1.0'>"
)


class Server:
    """An XMPP server of its own on loopback, with its data in one directory.

    ``start`` after ``stop`` or ``kill`` serves the same data on the same ports.
    """

    host = "127.0.0.1"
    domain = "localhost"
    pubsub = "pubsub.localhost"

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._ports = kept_ports(2)
        self.port, self.direct_tls_port = (each.getsockname()[1] for each in self._ports)
        self.passwords: dict[str, str] = {}
        self.certificate: Certificate = self_signed(self.directory, self.domain, self.pubsub)
        self.log_file = self.directory / "server.log"
        self._process: subprocess.Popen[str] | None = None

    @property
    def ca_file(self) -> str:
        """The authority to trust, as a file name."""
        return str(self.certificate.certificate)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def jid(self, user: str) -> str:
        """The bare JID of a user."""
        return f"{user}@{self.domain}"

    def start(self) -> Self:
        """Start the server and wait until it answers. Users alice and bob are there after the first start."""
        if self.running:
            return self
        first = not self.passwords
        if first:
            self.passwords |= {"alice": PASSWORD, "bob": PASSWORD}
        self._launch(first)
        self._await_features()
        return self

    def stop(self) -> None:
        """End the server as a service manager does; streams are closed first."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a crash does."""
        self._end(signal.SIGKILL)

    def add_user(self, name: str, password: str = PASSWORD) -> None:
        """Register a user, or change its password; the server may be running or not yet started for the first time."""
        raise NotImplementedError

    def _launch(self, first: bool) -> None:
        raise NotImplementedError

    def _run(self, command: list[str], *, talks: bool = False, **environment: str) -> subprocess.Popen[str]:
        """Start the process; one that ``talks`` has pipes, another writes to the log."""
        log: IO[str]
        with self.log_file.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else log,
                stderr=log,
                text=True,
                cwd=self.directory,
                env=os.environ | environment,
                start_new_session=True,
            )
        return self._process

    def _await_features(self) -> None:
        """Open a stream until its features come."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if not self.running:
                raise RuntimeError(f"The server ended at once; see {self.log_file}:\n{self.log_tail()}")
            try:
                if self._features():
                    return
            except OSError:
                time.sleep(0.01)  # nothing listens yet, and nothing tells when
        raise TimeoutError(f"The server did not answer; see {self.log_file}:\n{self.log_tail()}")

    def _features(self) -> bool:
        with socket.create_connection((self.host, self.port), timeout=5) as stream:
            stream.sendall(STREAM.format(domain=self.domain).encode())
            got = b""
            while b"</stream:features>" not in got:
                if b"<stream:error" in got:
                    return False
                part = stream.recv(4096)
                if not part:
                    return False
                got += part
            return True

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def log_tail(self) -> str:
        """The last lines of the server's log."""
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        for each in self._ports:
            each.close()


def kept_ports(count: int) -> list[socket.socket]:
    """Sockets at loopback ports that nobody else is given until they are closed, while a server is down either.

    A server that sets SO_REUSEADDR listens there all the same (socket(7)).
    """
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind(("127.0.0.1", 0))
    return sockets

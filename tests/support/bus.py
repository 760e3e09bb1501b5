"""A private bus: a real dbus-daemon in its own directory, with its own configuration.

``PrivateBus`` needs no pytest, so that scripts and benchmarks can use it as well.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from xml.sax.saxutils import escape

import pytest

_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  {servicedir}
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  {limits}
</busconfig>
"""

# As in the session.conf that dbus-daemon installs; what it does without any is meant for the system bus.
_LIMITS = {
    "max_incoming_bytes": 1_000_000_000,
    "max_outgoing_bytes": 1_000_000_000,
    "max_message_size": 1_000_000_000,
    "max_replies_per_connection": 50_000,
    "max_match_rules_per_connection": 50_000,
    "max_names_per_connection": 50_000,
}

_START = 60.0


class PrivateBus:
    """A dbus-daemon of its own; a context manager.

    servicedir: directory of ``.service`` files that the bus may activate. environment: added to what activated
    programs get. limits: ``<limit/>`` elements of the configuration by name, beside those of a desktop's session bus.
    """

    def __init__(
        self,
        servicedir: Path | str | None = None,
        environment: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="bus-"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.address = self._start(servicedir, environment or {}, limits or {})
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """Process id of the dbus-daemon."""
        assert self._process is not None
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment with the private bus as the session bus, for programs to start."""
        return {**os.environ, "DBUS_SESSION_BUS_ADDRESS": self.address}

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The daemon neither reads nor writes within the block."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Ends the daemon and removes its directory; can be repeated."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _start(self, servicedir: Path | str | None, environment: Mapping[str, str], limits: Mapping[str, int]) -> str:
        services = f"<servicedir>{escape(str(servicedir))}</servicedir>" if servicedir else ""
        bounds = "\n  ".join(f'<limit name="{name}">{value}</limit>' for name, value in {**_LIMITS, **limits}.items())
        configuration = self._directory / "bus.conf"
        configuration.write_text(
            _CONFIGURATION.format(socket=self._directory / "socket", servicedir=services, limits=bounds)
        )
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("DBUS_")}
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb", buffering=0) as answer:
            try:
                self._process = subprocess.Popen(
                    ["dbus-daemon", f"--config-file={configuration}", "--nofork", f"--print-address={writer}"],
                    pass_fds=[writer],
                    env={**inherited, **environment},
                    stderr=subprocess.DEVNULL,
                )
            finally:
                os.close(writer)
            return _line(answer.fileno())


def _line(fd: int) -> str:
    """The first line that comes through a pipe; RuntimeError when it ends or says nothing."""
    end = time.monotonic() + _START
    said = b""
    while not said.endswith(b"\n"):
        if not select.select([fd], [], [], max(0.0, end - time.monotonic()))[0]:
            raise RuntimeError("dbus-daemon did not start in time.")
        chunk = os.read(fd, 4096)
        if not chunk:
            raise RuntimeError("dbus-daemon ended at once.")
        said += chunk
    return said.decode().strip()


@pytest.fixture
def private_bus() -> Iterator[PrivateBus]:
    """A bus for one test."""
    with PrivateBus() as bus:
        yield bus


@pytest.fixture
def bus_address(private_bus: PrivateBus) -> str:
    """Address of ``private_bus``."""
    return private_bus.address


@pytest.fixture
def servicedir(tmp_path: Path) -> Path:
    """The directory in which ``activating_bus`` looks for ``.service`` files."""
    directory = tmp_path / "services"
    directory.mkdir()
    return directory


@pytest.fixture
def activating_bus(servicedir: Path) -> Iterator[PrivateBus]:
    """A bus that starts what the ``.service`` files in ``servicedir`` name."""
    with PrivateBus(servicedir=servicedir) as bus:
        yield bus


@pytest.fixture
def make_bus() -> Iterator[Callable[..., PrivateBus]]:
    """Makes buses with the arguments of ``PrivateBus``, stopped after the test."""
    buses: list[PrivateBus] = []

    def make(**options: object) -> PrivateBus:
        bus = PrivateBus(**options)  # type: ignore[arg-type]
        buses.append(bus)
        return bus

    yield make
    for bus in buses:
        bus.stop()

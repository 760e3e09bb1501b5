"""``scripts/demo``: it shows what it says, on the bus that it should use, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bus import PrivateBus
from tests.support.prosody import available

DEMO = Path(__file__).resolve().parents[2] / "scripts" / "demo"
MARK = "PUBSUB_CACHED_DEMO_TEST"

pytestmark = [
    pytest.mark.prosody,
    pytest.mark.skipif(not available() or not shutil.which("busctl"), reason="needs Prosody and busctl"),
]


class Run:
    """The script in an environment that marks every process it starts, and a directory for all its files."""

    def __init__(self, directory: Path, bus: str = "") -> None:
        self.directory = directory
        self._mark = uuid.uuid4().hex
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("DBUS_")}
        session = {"DBUS_SESSION_BUS_ADDRESS": bus} if bus else {}
        wide = {"COLUMNS": "110"}  # as where nothing says how wide the terminal is
        self._environment = {**inherited, **session, **wide, "TMPDIR": str(directory), MARK: self._mark}
        self._process: subprocess.Popen[str] | None = None

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [str(DEMO), *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self._process

    def until(self, text: str) -> None:
        """Read its output up to a line that holds ``text``."""
        assert self._process is not None
        assert self._process.stdout is not None
        seen = []
        for line in self._process.stdout:
            seen.append(line)
            if text in line:
                return
        pytest.fail(f"{text!r} did not come:\n{''.join(seen)}")

    def stop(self) -> None:
        """End what a failed test left."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.communicate(timeout=30)

    def left(self) -> tuple[list[str], list[str]]:
        """Processes and files that are still there."""
        mark = f"{MARK}={self._mark}".encode()
        processes = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if mark in (entry / "environ").read_bytes():
                        processes.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
                except OSError:
                    continue  # It ended meanwhile, or is another user's.
        return processes, [str(path) for path in self.directory.iterdir()]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short name, for the path of a socket has to fit into 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="d-") as name:
        yield Path(name)


@pytest.fixture
def run(directory: Path) -> Iterator[Run]:
    """A run without a session bus."""
    made = Run(directory)
    yield made
    made.stop()


def in_order(text: str, *parts: str) -> None:
    """Fail unless the parts come one after the other."""
    place = 0
    for part in parts:
        found = text.find(part, place)
        assert found >= 0, f"{part!r} is missing after {text[:place][-200:]!r} in:\n{text}"
        place = found + len(part)


def test_it_shows_the_main_job_and_ends_by_itself(run: Run) -> None:
    process = run.start("--once")
    output, _ = process.communicate(timeout=110)

    assert process.returncode == 0, output
    in_order(
        output,
        "The bus is a private one",
        "export DBUS_SESSION_BUS_ADDRESS=unix:",
        "export PATH=",
        "$ busctl --user --json=short call im.pubsubcache1",
        "→ source: network – 5 posts",
        "→ source: cache, freshness: live – 5 posts",
        "$ gdbus monitor --session",
        "im.pubsubcache1.Cache.ItemsChanged ('alice@localhost', 'pubsub.localhost', 'blog'",
        "→ source: cache – ",
        "→ source: cache, freshness: offline – 3 posts",
        "$ busctl --user --no-pager introspect im.pubsubcache1",
        ".GetItems",
    )
    assert run.left() == ([], [])
    _, _, rest = output.partition("lines there first:\n\n")
    pasted, _, _ = rest.partition("\n\n")
    script = f"set -e\n{pasted}\npubsub-cachectl --version"
    assert subprocess.run(["sh", "-c", script], env={"PATH": "/usr/bin:/bin"}).returncode == 0


def test_a_session_bus_where_the_name_is_free_is_used(directory: Path, private_bus: PrivateBus) -> None:
    run = Run(directory, private_bus.address)
    process = run.start("--once")
    output, _ = process.communicate(timeout=110)

    assert process.returncode == 0, output
    in_order(output, "the session bus of this desktop", f"export DBUS_SESSION_BUS_ADDRESS={private_bus.address}")
    assert run.left() == ([], [])


def test_ctrl_c_is_the_normal_end_when_all_was_shown(run: Run) -> None:
    process = run.start()
    run.until("Everything keeps running until Ctrl-C")
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=30)

    assert process.returncode == 0, output
    assert run.left() == ([], [])


@pytest.mark.parametrize("part", ["Setting the scene", "1. The pieces", "The first read", "Bob writes a post"])
def test_sigterm_stops_everything_at_any_moment(run: Run, part: str) -> None:
    process = run.start()
    run.until(part)
    process.terminate()
    output, _ = process.communicate(timeout=30)

    assert process.returncode == 128 + signal.SIGTERM, output
    assert run.left() == ([], [])

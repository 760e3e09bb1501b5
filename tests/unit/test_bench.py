"""``scripts/bench``: every row runs and says what it measured; the figures themselves are nobody's promise."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import content
from benchmarks.__main__ import ROWS, measured, table
from benchmarks.measure import Failed, Missing, Row, duration
from benchmarks.soak import NODES, astray
from benchmarks.stage import QUICK, Scale, Stage
from benchmarks.verdict import HARMLESS, Sample, growth, tracebacks
from pubsub_cached.bus import Variant
from tests.support import ejabberd, prosody
from tests.support.postgresql import PostgreSQL

CHECKOUT = Path(__file__).resolve().parents[2]


def row(**values: Any) -> Row:
    return Row(name="a", what="a read", against="its floor", count=1, **{"ours": 0.002, "floor": 0.001, **values})


def test_a_row_that_may_cost_more_than_its_floor() -> None:
    assert row(most=1.3).ratio == 2
    assert not row(most=1.3).met
    assert row(most=2).met
    assert row(most=1.3).target == "≤ 1.3×"


def test_a_row_that_must_be_faster_than_what_it_is_compared_with() -> None:
    fast = row(ours=0.001, floor=0.012, least=10)

    assert (fast.ratio, fast.met, fast.target) == (12, True, "≥ 10× faster")
    assert not row(least=10).met


def test_a_row_that_must_take_no_longer_than_a_time() -> None:
    assert row(within=0.15).met
    assert not row(within=0.001).met
    assert row(within=0.15).target == "≤ 150 ms"


def test_a_row_without_a_floor_has_no_ratio() -> None:
    alone = row(floor=None, ours=66.4, within=60, unit="MiB")

    assert (alone.ratio, alone.met, alone.target, alone.amount(alone.ours)) == (None, False, "≤ 60 MiB", "66 MiB")
    assert "–" in table([alone])


def test_the_ratio_of_neighbouring_blocks_counts_where_there_is_one() -> None:
    assert row(paired=1.2, most=1.3).met
    assert row(paired=0.1, least=10).ratio == 10


def test_the_table_shows_what_was_missed() -> None:
    lines = table([row(most=1.3), row(most=2)]).splitlines()

    assert "a read" in lines[1]
    assert "2.00×" in lines[1]
    assert lines[1].endswith("(missed)")
    assert lines[2].endswith("≤ 2×")


def test_a_row_that_failed_is_in_the_table() -> None:
    lines = table([Failed(name="load", error="TimeoutError: "), row(most=1.3)]).splitlines()

    assert "failed: TimeoutError" in lines[1]
    assert "2.00×" in lines[2]


async def test_a_row_that_this_machine_has_not_the_parts_for_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def elsewhere(_: object) -> Row:
        raise Missing("ejabberd is not installed")

    monkeypatch.setattr("benchmarks.__main__.ROWS", {"elsewhere": elsewhere})
    rows = await measured(["elsewhere"], QUICK)

    assert rows == [Failed(name="elsewhere", error="ejabberd is not installed", skipped=True)]
    assert "skipped: ejabberd is not installed" in table(rows)


async def test_a_row_that_takes_too_long_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(_: object) -> Row:
        await asyncio.Event().wait()
        raise AssertionError

    async def quick(_: object) -> Row:
        return row(most=2)

    async def broken(_: object) -> Row:
        raise RuntimeError("the server is gone")

    monkeypatch.setattr("benchmarks.__main__.ROWS", {"slow": slow, "broken": broken, "quick": quick})
    slow_row, broken_row, quick_row = await measured(["slow", "broken", "quick"], Scale(longest=0.1))

    assert slow_row == Failed(name="slow", error="it took too long")
    assert broken_row == Failed(name="broken", error="RuntimeError: the server is gone")
    assert isinstance(quick_row, Row)


@pytest.mark.parametrize(("seconds", "text"), [(2.5, "2.50 s"), (0.0123, "12.3 ms"), (0.00045, "450 µs")])
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_every_row_is_documented() -> None:
    document = (CHECKOUT / "docs" / "performance.md").read_text(encoding="utf-8")

    assert [name for name in ROWS if f"`{name}`" not in document] == []


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short name, for the path of a socket has to fit into 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="d-") as name:
        yield Path(name)


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(CHECKOUT / "service"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.prosody
@pytest.mark.timeout(360)
@pytest.mark.skipif(not (prosody.available() and ejabberd.available()), reason="needs Prosody and ejabberd")
def test_every_row_runs_and_leaves_nothing(directory: Path) -> None:
    out, said = start(directory, "--quick", "--json").communicate(timeout=340)
    rows = json.loads(out)

    assert [each["name"] for each in rows] == list(ROWS), said
    for each in rows:
        assert each["ours"] > 0
        assert each["floor"] is None or each["ratio"] > 0
    assert list(directory.iterdir()) == []


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_caches_may_be_on_postgresql(directory: Path) -> None:
    # The server runs as another user where this one is root.
    directory.chmod(0o711)
    out, said = start(directory, "--quick", "--json", "--database", "postgresql", "--row", "where").communicate(
        timeout=220
    )
    (found,) = json.loads(out)

    assert found["ours"] > 0, said
    assert found["against"] == "GetItems of 1"


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_caches_may_be_on_a_server_that_is_there(directory: Path, postgresql: PostgreSQL) -> None:
    before = postgresql.execute("SELECT datname FROM pg_database")
    url = postgresql.url(postgresql.create())
    out, said = start(directory, "--quick", "--json", "--database", url, "--row", "where").communicate(timeout=220)
    (found,) = json.loads(out)

    assert found["ours"] > 0, said
    assert len(postgresql.execute("SELECT datname FROM pg_database")) == len(before) + 1


@pytest.mark.prosody
@pytest.mark.skipif(not (prosody.available() and ejabberd.available()), reason="needs Prosody and ejabberd")
def test_a_short_soak_ends_with_a_verdict(directory: Path) -> None:
    process = start(directory, "--soak", "0.05")
    out, said = process.communicate(timeout=110)

    assert process.returncode == 0, out + said
    assert "the cache is what the service holds" in out
    assert list(directory.iterdir()) == []


@pytest.mark.long
@pytest.mark.prosody
@pytest.mark.skipif(not (prosody.available() and ejabberd.available()), reason="needs Prosody and ejabberd")
async def test_what_was_purged_last_in_a_soak_is_not_astray() -> None:
    async with Stage(QUICK) as stage:
        online = await stage.online()
        for node in NODES:
            await online.node(node, 3)
            await online.keep(node)
        job = await online.daemon.call("Cache", "Purge", "a{sv}", {"nodes": Variant("as", [NODES[0]])})
        await online.daemon.call("Job", "Wait", path=job)
        assert await astray(online) == []


def test_a_soak_leaves_out_only_the_traceback_that_is_harmless() -> None:
    harmless = f"ERROR asyncio: Fatal error | Traceback (most recent call last): | RuntimeError: {HARMLESS}"
    bad = "ERROR pubsub_cached: failed | Traceback (most recent call last): | KeyError: 'x'"
    assert tracebacks(f"INFO one\n{harmless}\nINFO two") == []
    (said,) = tracebacks(f"INFO one\n{harmless}\nINFO two\n{bad}\nINFO three")
    assert said.startswith(f"The log has a traceback:\n{bad}")


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (Sample(memory=60, descriptors=20, ratio=1.2, latency=0.001, work=0.0002), []),
        (
            Sample(memory=66, descriptors=20, ratio=1.2, latency=0.001, work=0.0002),
            ["Memory grew from 60.0 to 66.0 MiB."],
        ),
        (
            Sample(memory=60, descriptors=40, ratio=1.2, latency=0.001, work=0.0002),
            ["Open descriptors grew from 20 to 40."],
        ),
        (
            Sample(memory=60, descriptors=20, ratio=3.6, latency=0.001, work=0.0002),
            ["Reads became slower: 1.20× of the echo, then 3.60×."],
        ),
        (
            Sample(memory=60, descriptors=20, ratio=1.2, latency=0.001, work=0.0005),
            ["Reads became dearer: 200 µs of the processor, then 500 µs."],
        ),
    ],
)
def test_a_soak_tells_what_grew(last: Sample, said: list[str]) -> None:
    first = Sample(memory=50, descriptors=20, ratio=9, latency=0.001, work=0.0002)
    middle = Sample(memory=60, descriptors=20, ratio=1.2, latency=0.001, work=0.0002)

    assert growth([*[first] * 4, *[middle] * 4, *[last] * 4]) == said


@pytest.mark.prosody
@pytest.mark.skipif(not (prosody.available() and ejabberd.available()), reason="needs Prosody and ejabberd")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_leaves_nothing(directory: Path, number: signal.Signals) -> None:
    process = start(directory, "--quick", "--row", "publish")
    assert process.stderr is not None
    assert "publish" in process.stderr.readline()
    while not list(directory.glob("bench-*/online")):
        assert process.poll() is None
    process.send_signal(number)
    process.communicate(timeout=30)

    assert process.returncode == 130
    assert list(directory.iterdir()) == []


async def test_a_database_that_one_row_had_no_time_to_fill_is_there_for_the_next() -> None:
    async with Stage(QUICK) as stage:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await stage.offline(200)
        daemon = await stage.offline(200)
        assert await stage.offline(200) is daemon
        await daemon.start()
        account, service, node = content.address(0)
        assert len((await daemon.items(service, node, account=account))[0]) == 50


async def test_a_full_database_is_kept_for_the_next_run(tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    async with Stage(QUICK, keep=keep) as stage:
        made = (await stage.offline(200)).database.read_bytes()
    (kept,) = keep.iterdir()
    assert kept.read_bytes() == made
    kept.write_bytes(b"as it was kept")
    async with Stage(QUICK, keep=keep) as stage:
        assert (await stage.offline(200)).database.read_bytes() == b"as it was kept"

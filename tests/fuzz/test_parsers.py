"""The parsers under coverage-guided fuzzing: for a moment each time, for minutes with ``--long``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("atheris", reason="the extra 'fuzz' is not installed")

CHECKOUT = Path(__file__).resolve().parents[2]


def fuzz(directory: Path, *options: str, seconds: float) -> str:
    """What the fuzzer says at its end."""
    path = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "service"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.parsers", *options],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stderr


def test_nothing_that_is_made_of_good_items_in_a_moment_makes_a_parser_fail(tmp_path: Path) -> None:
    said = fuzz(tmp_path, "-runs=4000", "-seed=1", seconds=100)
    covered = [int(found) for found in re.findall(r"cov: (\d+)", said)]
    assert covered[-1] > covered[0] > 300, "the parsers are not instrumented"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, 2])
def test_nor_in_minutes(tmp_path: Path, seed: int) -> None:
    fuzz(tmp_path, "-max_total_time=120", f"-seed={seed}", seconds=300)

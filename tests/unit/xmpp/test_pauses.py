"""Pauses between attempts to connect."""

from __future__ import annotations

import pytest

from pubsub_cached.xmpp.connection import FIRST_PAUSE, LONGEST_PAUSE, pause_after


@pytest.mark.parametrize(("failures", "longest"), [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32)])
def test_pauses_double(failures: int, longest: float) -> None:
    pauses = [pause_after(failures) for _ in range(200)]
    assert all(longest * FIRST_PAUSE / 2 <= pause <= longest * FIRST_PAUSE for pause in pauses)


def test_pauses_differ_so_that_clients_do_not_come_at_once() -> None:
    assert len({pause_after(5) for _ in range(20)}) > 10


@pytest.mark.parametrize("failures", [10, 20, 2000, 10**9])
def test_pauses_end_growing(failures: int) -> None:
    assert LONGEST_PAUSE / 2 <= pause_after(failures) <= LONGEST_PAUSE

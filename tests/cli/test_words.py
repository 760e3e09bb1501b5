"""Times, titles and tables, without a daemon."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.cli import headline, output, times
from pubsub_cached.cli.output import Column
from pubsub_cached.cli.status import size

NOW = 1_795_000_000_000
DAY = 86_400_000


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone that is not UTC."""
    monkeypatch.setenv("TZ", "Europe/Ljubljana")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (0, "just now"),
        (59_000, "just now"),
        (60_000, "1 min ago"),
        (59 * 60_000, "59 min ago"),
        (3_600_000, "1 h ago"),
        (DAY, "1 day ago"),
        (6 * DAY, "6 days ago"),
        (-1000, "in a moment"),
        (-7_200_000, "in 2 h"),
    ],
)
def test_near_times_are_relative(ago: int, said: str) -> None:
    assert times.relative(NOW - ago, NOW) == said


def test_far_times_are_local() -> None:
    assert times.relative(NOW - 8 * DAY, NOW) == times.moment(NOW - 8 * DAY)
    assert times.moment(1_790_000_000_000) == "2026-09-21 16:13"


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_time_of_the_bus_can_be_shown(moment: int) -> None:
    assert times.moment(moment)
    assert times.relative(moment, NOW)


def test_times_are_read_as_local_and_ages_back_from_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "clock", lambda: NOW)

    assert times.parse("2026-09-21T16:13:20") == 1_790_000_000_000
    assert times.parse("2026-09-21T14:13:20Z") == 1_790_000_000_000
    assert times.parse("30d") == NOW - 30 * DAY
    assert times.parse("12h") == NOW - DAY // 2


@pytest.mark.parametrize("text", ["", "soon", "5", "1y", "2026-13-01", "d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the standard library's
        times.parse(text)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"data": '{"title":[{"lang":"en","text":"A title"}]}'}, "A title"),
        ({"data": '{"title":[],"content":[{"text":"Words  of\\nit"}]}'}, "Words of it"),
        ({"data": '{"name":[{"value":"An event"}],"start":"2026-12-01T18:00:00Z"}'}, "An event"),
        ({"data": '{"nick":"Al"}'}, "Al"),
        ({"data": '{"active":true,"mood":"happy"}'}, "happy"),
        ({"payload": "<a><b>Plain</b> text</a>"}, "Plain text"),
        ({"data": "no json", "payload": "<a>x</a>"}, "x"),
        ({"data": '{"title":[{"text":"' + "long " * 40 + '"}]}'}, "long " * 15 + "long…"),
        ({}, ""),
    ],
)
def test_items_have_a_headline(item: dict[str, str], said: str) -> None:
    assert headline.headline(item) == said


@given(st.text(), st.text())
def test_no_item_is_without_a_headline_or_date(data: str, payload: str) -> None:
    item = {"data": data, "payload": payload, "modified": NOW}

    assert "\n" not in headline.headline(item)
    assert headline.date(item)


def test_an_item_s_own_date_is_shown_in_local_time() -> None:
    assert headline.date({"data": '{"published":"2026-09-21T14:13:20Z"}', "modified": NOW}) == "2026-09-21 16:13"
    assert headline.date({"data": '{"published":"last year"}'}) == "last year"
    assert headline.date({}) == ""


def test_plain_tables_leave_out_empty_columns_and_cut_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    columns = (Column("Name"), Column("Nothing"), Column("Count", right=True), Column("Text", narrow="cut"))

    output.table(columns, [["one", "", "1", "x" * 200], ["three", "", "300", "two\nlines"]])

    assert capsys.readouterr().out == f"Name   Count  Text\none        1  {'x' * 200}\nthree    300  two lines\n"


@given(st.text())
def test_what_is_printed_does_nothing_to_a_terminal(text: str) -> None:
    assert not any(character < " " and character not in "\t\n" for character in output.clean(text))
    assert "\x9b" not in output.clean(text)


def test_sizes() -> None:
    assert [size(count) for count in (0, 1023, 1536, 5 * 2**20, 3 * 2**30)] == [
        "0 bytes",
        "1023 bytes",
        "1.5 KiB",
        "5.0 MiB",
        "3.0 GiB",
    ]

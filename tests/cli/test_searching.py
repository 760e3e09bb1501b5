"""``search`` and ``export``."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import click
import pytest

from pubsub_cached.cli.search import query_of
from pubsub_cached.xmpp.fake import World
from tests.bus.api_service import ALICE, SERVICE
from tests.support.command import Command

ENTRY = (
    "<entry xmlns='http://www.w3.org/2005/Atom'><id>tag:{0}</id><title>{1}</title>"
    "<published>2026-11-01T0{2}:00:00Z</published><updated>2026-11-01T00:00:00Z</updated></entry>"
)


@pytest.fixture
async def posts(ctl: Command, made: World, running: object) -> None:
    """A blog with a few words in it, in the cache."""
    for number, title in enumerate(("Mushrooms of autumn", "Trains at night", "Mushrooms again")):
        made.services[SERVICE].publish("blog", f"words-{number}", ENTRY.format(number, title, number))
    await ctl.ok("sync", SERVICE, "blog")


pytestmark = pytest.mark.usefixtures("posts")


async def test_words_find_items(ctl: Command) -> None:
    done = await ctl.ok("search", "mushrooms", "autumn")

    header, line = done.out.splitlines()
    assert header.split() == ["Date", "Type", "Item", "Service", "Node", "Id"]
    assert line.split()[-3:] == [SERVICE, "blog", "words-0"]
    assert done.err == "1 item, from the cache, live.\n"


async def test_json_is_a_record_a_line(ctl: Command) -> None:
    records = (await ctl.ok("search", "mushrooms", "--json")).records

    assert {record["id"] for record in records} == {"words-0", "words-2"}
    assert all(record["account"] == ALICE and record["data"]["title"] for record in records)


async def test_options_make_the_query(ctl: Command) -> None:
    later = ("--where", "published", ">=", "2026-11-01T01:00:00Z")

    records = (await ctl.ok("search", "--node", "blog", "--type", "blog", *later, "--order", "id", "--json")).records

    assert [record["id"] for record in records] == ["words-1", "words-2"]


async def test_nothing_found_is_said(ctl: Command) -> None:
    done = await ctl.ok("search", "unheard-of")

    assert (done.out, done.err) == ("", "Nothing was found.\n")


async def test_nothing_found_in_what_may_be_old_says_how_old(ctl: Command) -> None:
    await ctl.ok("account", "disconnect", ALICE)

    for options in ([], ["--json"]):
        done = await ctl.ok("search", "unheard-of", *options)

        said = "0 items, OFFLINE: from the cache, last validated just now."
        assert (done.out, done.err) == ("", f"Nothing was found.\n{said}\n")


async def test_more_than_the_limit_is_said(ctl: Command) -> None:
    done = await ctl.ok("search", "--limit", "2")

    assert len(done.out.splitlines()) == 3
    assert "--limit or --all for more" in done.err
    assert len((await ctl.ok("search", "--all", "--json")).records) == 6


async def test_excluded_words_follow_two_hyphens(ctl: Command) -> None:
    records = (await ctl.ok("search", "--json", "--", "mushrooms", "-autumn")).records

    assert [record["id"] for record in records] == ["words-2"]


async def test_a_word_that_is_taken_for_an_option_is_refused_with_the_remedy(ctl: Command) -> None:
    done = await ctl("search", "number", "-qt")

    assert done.status == 2
    assert done.err.splitlines()[-1] == "Error: No such option '-q'. Write -- before an argument that begins with -."


async def test_bad_query_is_an_error_of_the_daemon(ctl: Command) -> None:
    done = await ctl("search", "--query", '{"colour":["red"]}')

    assert done.status == 1
    assert "colour" in done.err


async def test_explain_shows_the_database_s_plan(ctl: Command) -> None:
    plan = (await ctl.ok("search", "mushrooms", "--explain")).out

    assert "SELECT item.id" in plan
    assert "item_text" in plan
    assert "mushrooms" not in plan


# The query


def test_query_is_left_as_it_is_without_other_options() -> None:
    assert query_of('{"types": [ "blog" ]}', (), types=()) == '{"types": [ "blog" ]}'
    assert query_of(None, (), types=()) == ""


def test_options_are_added_to_the_query() -> None:
    made = query_of(
        '{"types":["blog"],"where":[["a","=",1]]}', (("b", "in", '["x"]'), ("c", "=", "word")), types=("event",)
    )

    assert json.loads(made) == {
        "types": ["blog", "event"],
        "where": [["a", "=", 1], ["b", "in", ["x"]], ["c", "=", "word"]],
    }


@pytest.mark.parametrize(
    ("query", "said"), [("{", "is no JSON"), ("[" * 100_000, "is no JSON"), ("[]", "no JSON object")]
)
def test_what_nothing_can_be_added_to_is_refused(query: str, said: str) -> None:
    with pytest.raises(click.UsageError, match=said):
        query_of(query, (), types=("blog",))


def test_a_value_that_is_too_deep_for_json_is_a_word() -> None:
    deep = "[" * 100_000

    assert json.loads(query_of(None, (("a", "=", deep),))) == {"where": [["a", "=", deep]]}


# Export


async def test_export_writes_to_stdout(ctl: Command) -> None:
    done = await ctl.ok("export", "mushrooms", "--order", "id")

    assert [record["id"] for record in done.records] == ["words-0", "words-2"]
    assert done.err == "2 items were written.\n"


async def test_export_into_a_file_replaces_it_when_it_is_complete(ctl: Command, tmp_path: Path) -> None:
    file = tmp_path / "backup.jsonl"
    file.write_text("older\n")

    done = await ctl.ok("export", "--output", str(file))

    assert len(file.read_text().splitlines()) == 6
    assert (done.out, done.err) == ("", "6 items were written.\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("*backup*")] == ["backup.jsonl"]


async def test_failed_export_leaves_the_file_alone(ctl: Command, tmp_path: Path) -> None:
    file = tmp_path / "backup.jsonl"
    file.write_text("older\n")

    done = await ctl("export", "--query", '{"colour":[]}', "--output", str(file))

    assert done.status == 1
    assert file.read_text() == "older\n"
    assert [path.name for path in tmp_path.glob("*backup*")] == ["backup.jsonl"]


async def test_export_into_a_device_does_not_replace_it(ctl: Command, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        await ctl.ok("export", "trains", "--output", str(fifo))
        assert stat.S_ISFIFO(fifo.stat().st_mode)
        assert json.loads(os.read(reader, 65536))["id"] == "words-1"
    finally:
        os.close(reader)


async def test_export_into_a_directory_that_is_not_there_is_named(ctl: Command, tmp_path: Path) -> None:
    done = await ctl("export", "--output", str(tmp_path / "nowhere" / "file"))

    assert done.status == 1
    assert done.err == f"Error: {tmp_path}/nowhere/file: No such file or directory\n"

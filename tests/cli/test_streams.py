"""What a command reads and writes where the shell closed it, where it is full, and where it lacks characters."""

from __future__ import annotations

import json

import pytest

from pubsub_cached.xmpp.fake import World
from tests.bus.api_service import ALICE, SERVICE
from tests.support.command import Command

pytestmark = pytest.mark.usefixtures("running")

GET = f"ctl get {SERVICE} blog"


@pytest.mark.parametrize(
    "line", [f"{GET} >&-", f"{GET} --json >&-", "ctl status >&-", "ctl export >&-", "ctl --help >&-"]
)
async def test_what_is_written_to_a_closed_stdout_is_nobody_s(ctl: Command, line: str) -> None:
    done = await ctl.in_shell(line)

    assert done.status == 0, done


async def test_a_job_is_followed_where_stderr_is_closed(ctl: Command) -> None:
    done = await ctl.in_shell(f"ctl sync {SERVICE} blog 2>&-")

    assert (done.status, done.out) == (0, f"3 items of 'blog' at {SERVICE} are live.\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"ctl account password {ALICE} <&-", "The password is empty."),
        ("ctl reset <&-", "Nobody can be asked here"),
        (f"ctl publish {SERVICE} blog <&-", "The payload is empty"),
    ],
)
async def test_a_closed_stdin_is_an_empty_one(ctl: Command, line: str, said: str) -> None:
    done = await ctl.in_shell(line)

    assert done.status == 2
    assert said in done.err


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("line", [GET, f"{GET} --json", "ctl completion bash", "ctl --help", "ctl --version"])
async def test_a_full_disk_is_one_sentence(ctl: Command, line: str, buffered: str) -> None:
    ctl.environment["PYTHONUNBUFFERED"] = buffered

    done = await ctl.in_shell(f"{line} >/dev/full")

    assert done.status == 1
    assert done.err == "Error: stdout: No space left on device\n"


async def test_a_name_that_no_file_can_have_is_refused(ctl: Command) -> None:
    done = await ctl("export", "--output", "x" * 300)

    assert done.status == 1
    assert "File name too long" in done.err


@pytest.mark.parametrize("json_option", ["", "--json"])
async def test_characters_that_the_locale_lacks_are_escaped(ctl: Command, made: World, json_option: str) -> None:
    title = "caf\u00e9 \N{SNOWMAN} \N{GRINNING FACE}"
    made.services[SERVICE].publish("blog", "new", f"<title xmlns='http://www.w3.org/2005/Atom'>{title}</title>")
    ctl.environment["PYTHONIOENCODING"] = "latin-1"

    done = await ctl.in_shell(f"{GET} --limit 1 {json_option} | iconv -f latin1 -t utf8")

    if json_option:
        assert title in json.loads(done.out)["payload"]
    else:
        assert "caf\u00e9 \\u2603 \\U0001f600" in done.out


@pytest.mark.parametrize("arguments", ["get {} blog", "get example.org {}", "search {}", "nodes --prefix {}"])
async def test_what_is_not_utf_8_is_refused(ctl: Command, arguments: str) -> None:
    line = arguments.format("\"$(printf '\\377')\"")

    done = await ctl.in_shell(f"ctl {line}")

    assert done.status == 2
    assert "What is not UTF-8 can't be sent over the bus, such as '\\udcff'." in done.err


async def test_no_colour_is_shown_to_who_wants_none(ctl: Command) -> None:
    coloured = await ctl.on_terminal("doctor")
    ctl.environment["NO_COLOR"] = "1"
    plain = await ctl.on_terminal("doctor")

    assert "\x1b[32mok" in coloured.out
    assert "\x1b" not in plain.out

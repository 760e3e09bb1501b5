"""``account``: adding, connecting and removing, and where a password never shows up."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from pubsub_cached.daemon import Daemon
from pubsub_cached.xmpp.fake import World
from tests.bus.api_service import ALICE
from tests.support.command import Command

pytestmark = pytest.mark.usefixtures("running")

BOB = "bob@example.org"
SECRET = "correct horse battery staple"


@pytest.fixture
def made(made: World) -> World:
    """Bob has an account at the server as well."""
    made.account(BOB, password=SECRET)
    return made


async def test_accounts_are_listed(ctl: Command) -> None:
    lines = (await ctl.ok("account", "list")).out.splitlines()
    (record,) = (await ctl.ok("account", "list", "--json")).records

    assert [line.split() for line in lines] == [["State", "Account", "Origin"], ["online", ALICE, "config"]]
    assert record["jid"] == ALICE
    assert (record["state"], record["enabled"], record["error"]) == ("online", True, "")


async def test_a_password_comes_from_stdin_where_that_is_no_terminal(ctl: Command) -> None:
    done = await ctl.ok("account", "add", BOB, stdin=f"{SECRET}\n")

    assert done.out == f"{BOB} is online.\n"


async def test_a_password_is_asked_for_on_a_terminal_and_not_shown(ctl: Command) -> None:
    done = await ctl.on_terminal("account", "add", BOB, prompt=f"Password of {BOB}: ", typed=f"{SECRET}\n")

    assert done.status == 0, done
    assert f"Password of {BOB}:" in done.out
    assert f"{BOB} is online." in done.out
    assert SECRET not in done.out


async def test_an_account_without_a_password_stays_offline_until_it_has_one(ctl: Command) -> None:
    added = await ctl.ok("account", "add", BOB, "--no-password")
    assert added.out.startswith(f"{BOB} was added; it stays offline until 'pubsub-cachectl account password {BOB}'")

    assert (await ctl.ok("account", "password", BOB, stdin=SECRET)).out == f"{BOB} is online.\n"


async def test_who_adds_an_account_with_a_wrong_password_is_told_that_it_was_kept_and_what_to_do(ctl: Command) -> None:
    done = await ctl("account", "add", BOB, stdin="wrong")

    assert (done.status, done.out) == (1, "")
    assert done.err == (
        f"Error: {BOB} has failed: The server refused {BOB}: the password is wrong.\n"
        f"→ pubsub-cachectl account password {BOB}\n"
        f"The account was added all the same; to undo that: pubsub-cachectl account remove {BOB}\n"
    )
    (_, kept) = (await ctl.ok("account", "list", "--json")).records
    assert (kept["jid"], kept["state"]) == (BOB, "failed")


async def test_a_password_that_can_t_be_stored_leaves_an_account_that_was_added(ctl: Command) -> None:
    done = await ctl("account", "add", BOB, stdin="a\0b")

    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("Error: The secret has a NUL in it.\nThe account was added all the same; to undo that: ")


async def test_a_session_that_does_not_begin_in_time_is_no_success(ctl: Command, made: World, running: Daemon) -> None:
    made.accounts[BOB].reachable = False
    added = await ctl.ok("account", "add", BOB, "--wait", "0", stdin=SECRET)
    assert added.out == f"{BOB} is not online yet; 'pubsub-cachectl status' tells more.\n"
    account, changed = running.house.accounts.get(BOB), asyncio.Event()
    account.on_change.append(changed.set)
    async with asyncio.timeout(20):
        while account.state != "waiting":
            await changed.wait()
            changed.clear()

    done = await ctl("account", "connect", BOB, "--wait", "0.01")

    assert (done.status, done.out) == (4, "")
    assert done.err == (
        f"Error: {BOB} is not online yet: The server of {BOB} cannot be reached.\n"
        "→ It is tried again by itself; look at the network and the account's host and port. To try at once: "
        f"pubsub-cachectl account connect {BOB}\n"
    )


async def test_of_a_disabled_account_no_session_is_waited_for(ctl: Command) -> None:
    added = await ctl.ok("account", "add", BOB, "--disabled", stdin=SECRET)

    assert added.out == f"{BOB} is disabled; 'pubsub-cachectl account enable {BOB}' has it connect.\n"
    assert (await ctl.ok("account", "password", BOB, stdin=SECRET)).out == added.out


async def test_no_secret_is_in_arguments_log_or_output(
    ctl: Command, running: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    process = await ctl.start("account", "add", BOB, stdin=asyncio.subprocess.PIPE)
    # It has been started before the kernel shows what with.
    while not (arguments := Path(f"/proc/{process.pid}/cmdline").read_bytes()) and process.returncode is None:
        await asyncio.sleep(0)
    environment = Path(f"/proc/{process.pid}/environ").read_bytes()

    out, err = await process.communicate(SECRET.encode())

    assert process.returncode == 0, err
    assert BOB.encode() in arguments
    for place in (arguments, environment, out, err, caplog.text.encode()):
        assert SECRET.encode() not in place
    for command in (("account", "list", "--json"), ("status", "--json"), ("doctor", "--json")):
        assert SECRET not in (await ctl(*command)).out


async def test_an_empty_password_is_refused(ctl: Command) -> None:
    done = await ctl("account", "password", ALICE, stdin="\n")

    assert (done.status, done.out) == (2, "")
    assert "The password is empty." in done.err


async def test_a_file_that_is_no_password_is_refused(ctl: Command) -> None:
    done = await ctl("account", "password", ALICE, stdin="x" * 65537)

    assert done.status == 2
    assert "A password has at most 65536 bytes" in done.err


async def test_password_of_a_configured_account_is_changed_in_the_file(ctl: Command) -> None:
    done = await ctl("account", "password", ALICE, stdin=SECRET)

    assert done.status == 1
    assert "The configuration file says where the password" in done.err


async def test_disconnecting_and_connecting_again(ctl: Command) -> None:
    assert "is offline until" in (await ctl.ok("account", "disconnect", ALICE)).out
    assert (await ctl.ok("account", "list", "--json")).records[0]["state"] == "offline"

    assert (await ctl.ok("account", "connect", ALICE)).out == f"{ALICE} is online.\n"


async def test_disabling_and_enabling_again(ctl: Command) -> None:
    await ctl.ok("account", "add", BOB, stdin=SECRET)

    assert (await ctl.ok("account", "disable", BOB)).out == f"{BOB} is disabled.\n"
    assert "disabled  bob@example.org" in (await ctl.ok("account", "list")).out
    assert (await ctl.ok("account", "enable", BOB)).out == f"{BOB} is enabled.\n"


async def test_removing_says_what_becomes_of_the_cache(ctl: Command) -> None:
    await ctl.ok("account", "add", BOB, "--no-password")
    assert (await ctl.ok("account", "remove", BOB, "--keep-cache")).out == f"{BOB} was removed, its cache is kept.\n"

    await ctl.ok("account", "add", BOB, "--no-password")
    assert "with its part of the cache" in (await ctl.ok("account", "remove", BOB)).out
    assert [record["jid"] for record in (await ctl.ok("account", "list", "--json")).records] == [ALICE]


async def test_options_of_the_connection_are_passed_on(ctl: Command, running: Daemon, tmp_path: Path) -> None:
    certificates = tmp_path / "ca.pem"
    certificates.write_text("none\n")
    options = ("--host", "127.0.0.1", "--port", "5999", "--tls", "none", "--ca-file", str(certificates), "--disabled")

    await ctl.ok("account", "add", BOB, "--no-password", *options)

    row = running.house.accounts.get(BOB).row
    assert (row.host, row.port, row.tls, row.ca_file, row.enabled) == (
        "127.0.0.1",
        5999,
        "none",
        str(certificates),
        False,
    )


async def test_unknown_account_is_an_error_of_the_daemon(ctl: Command) -> None:
    done = await ctl("account", "connect", "nobody@example.org")

    assert done.status == 1
    assert done.err.startswith("Error: There is no account 'nobody@example.org'")

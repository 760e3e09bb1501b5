"""How commands end when something is not there: one sentence, and a status that says what."""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest

from pubsub_cached.bus import Connection, Interface, RemoteError, Tree
from pubsub_cached.cli import main
from pubsub_cached.cli.failure import Status, explain
from pubsub_cached.errors import BusLost, NoSuchNode, Timeout
from tests.bus.api_service import SERVICE
from tests.cli.systemd import DIRECTORY
from tests.support.bus import PrivateBus
from tests.support.command import Command

READS = [
    ("status",),
    ("account", "list"),
    ("nodes",),
    ("get", SERVICE, "blog"),
    ("search", "word"),
    ("watch", "--count", "1"),
    ("sync", SERVICE, "blog"),
    ("purge", "--type", "blog"),
    ("reset", "--yes"),
    ("retract", SERVICE, "blog", "one"),
    ("subscribe", SERVICE, "blog"),
    ("unsubscribe", SERVICE, "blog"),
    ("subscriptions", SERVICE),
    ("discover", SERVICE),
    ("analysers",),
    ("match", SERVICE, "blog"),
    ("export",),
    ("check",),
    ("compact",),
]


@pytest.mark.parametrize("command", READS, ids=" ".join)
async def test_without_a_daemon_there_is_one_sentence_and_its_remedy(ctl: Command, command: tuple[str, ...]) -> None:
    done = await ctl(*command)

    assert (done.status, done.out) == (3, "")
    assert done.err.startswith("Error: The daemon is not running")
    assert "pubsub-cachectl setup" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("address", ["unix:path=/nonexistent/bus", ""])
async def test_without_a_bus_the_sentence_names_it(ctl: Command, address: str) -> None:
    ctl.environment |= {"DBUS_SESSION_BUS_ADDRESS": address, "XDG_RUNTIME_DIR": "/nonexistent"}

    done = await ctl("nodes")

    assert (done.status, done.out) == (3, "")
    assert done.err.startswith("Error: The")
    assert "session bus" in done.err


@pytest.mark.usefixtures("running")
async def test_error_of_the_daemon_is_its_sentence(ctl: Command) -> None:
    done = await ctl("get", SERVICE, "nothing")

    assert (done.status, done.out) == (1, "")
    assert done.err == f"Error: There is no node 'nothing' at {SERVICE} (item-not-found).\n"


@pytest.mark.parametrize(
    "command",
    [("get", SERVICE), ("get", SERVICE, "blog", "--policy", "sometimes"), ("nothing",), ("sync", "a", "b", "c")],
)
async def test_a_command_line_that_can_t_be_used_is_refused(ctl: Command, command: tuple[str, ...]) -> None:
    done = await ctl(*command)

    assert (done.status, done.out) == (2, "")
    assert "Usage: pubsub-cachectl" in done.err


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        (("get", SERVICE, "blog", "--limit", "few"), "'few' is not a valid whole number."),
        (("watch", "--timeout", "long"), "'long' is not a valid number."),
        (("check", "--wait", "nan"), "'nan' is not a valid number."),
    ],
)
async def test_what_is_no_number_is_refused_in_words(ctl: Command, command: tuple[str, ...], wanted: str) -> None:
    done = await ctl(*command)

    assert done.status == 2
    assert done.err.endswith(f"{wanted}\n")


# A daemon that is older, or stuck


class Manager(Interface):
    """What an older daemon serves, and nothing else."""

    name: ClassVar[str] = "im.pubsubcache1.Manager"

    Version = 1
    DaemonVersion = "0.0.1"
    Features: ClassVar[list[str]] = []
    State = "running"

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def AddAccount(self, jid: str, options: object) -> str:
        raise NotImplementedError

    async def GetAccount(self, jid: str) -> str:
        raise NotImplementedError

    async def ListAccounts(self) -> list[str]:
        self.asked.set()
        await asyncio.Event().wait()
        raise NotImplementedError


@pytest.fixture
async def older(private_bus: PrivateBus) -> AsyncIterator[tuple[Connection, Manager]]:
    """A daemon that has only Manager, and never answers some of it."""
    connection = await Connection.open(private_bus.address)
    await connection.own("im.pubsubcache1")
    tree = Tree(connection)
    manager = Manager()
    tree.export("/im/pubsubcache1", manager)
    tree.open()
    yield connection, manager
    await connection.close()


@pytest.mark.usefixtures("older")
async def test_member_that_the_daemon_does_not_serve_is_named_with_its_version(ctl: Command) -> None:
    done = await ctl("search", "word")

    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("Error: The running daemon (version 0.0.1) does not offer Cache.Search;")


async def test_daemon_that_ends_meanwhile_is_named(ctl: Command, older: tuple[Connection, Manager]) -> None:
    connection, manager = older
    process = await ctl.start("account", "list")
    async with asyncio.timeout(20):
        await manager.asked.wait()
    await connection.close()

    async with asyncio.timeout(20):
        _, err = await process.communicate()

    assert process.returncode == 3
    assert err.decode().startswith("Error: The daemon ended before it answered")


@pytest.mark.usefixtures("older")
async def test_watching_ends_with_the_bus(ctl: Command, private_bus: PrivateBus) -> None:
    process = await ctl.start("watch")
    await ctl.listening(process, 3)

    private_bus.stop()

    async with asyncio.timeout(20):
        _, err = await process.communicate()
    assert process.returncode == 3
    # It may have been asking the daemon something just then.
    assert re.search(r"Error: The (session )?bus went away( before .* answered .*)?\.\n$", err.decode())


class Removing(Manager):
    """What lists an account that is removed before it is looked at."""

    async def ListAccounts(self) -> list[str]:
        return ["/im/pubsubcache1/accounts/alice"]


async def test_an_account_that_is_removed_meanwhile_is_not_listed(ctl: Command, private_bus: PrivateBus) -> None:
    connection = await Connection.open(private_bus.address)
    await connection.own("im.pubsubcache1")
    tree = Tree(connection)
    tree.export("/im/pubsubcache1", Removing())
    tree.open()

    done = await ctl("account", "list", "--json")

    assert (done.status, done.out, done.err) == (0, "", "")
    await connection.close()


class Cache(Interface):
    """What tells of changes, and is gone before it says more of them."""

    name: ClassVar[str] = "im.pubsubcache1.Cache"
    directory: ClassVar[Path] = DIRECTORY

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def GetItems(self, account: str, service: str, node: str, options: object) -> None:
        self.asked.set()
        await asyncio.Event().wait()


async def test_watching_outlasts_a_daemon_that_ends_before_it_has_told_the_titles(
    ctl: Command, private_bus: PrivateBus
) -> None:
    connection = await Connection.open(private_bus.address)
    await connection.own("im.pubsubcache1")
    tree = Tree(connection)
    cache = Cache()
    tree.export("/im/pubsubcache1", Manager(), cache)
    tree.open()
    process = await ctl.start("watch", "--count", "1")
    await ctl.listening(process, 3)

    cache.emit("ItemsChanged", "alice@example.org", SERVICE, "blog", ["one"], [], 1)
    async with asyncio.timeout(20):
        await cache.asked.wait()
        await connection.close()
        out, err = await process.communicate()

    assert out.decode().endswith(f"{SERVICE} blog: + one\n")
    assert (process.returncode, err) == (0, b"")


# What a call meets, as a status


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BusLost("There is no session bus."), Status.UNREACHABLE),
        (RemoteError("org.freedesktop.DBus.Error.ServiceUnknown", "No."), Status.UNREACHABLE),
        (RemoteError("org.freedesktop.DBus.Error.Spawn.ChildExited", "No."), Status.UNREACHABLE),
        (RemoteError("org.freedesktop.systemd1.NoSuchUnit", "No."), Status.UNREACHABLE),
        (RemoteError("org.freedesktop.DBus.Error.NoReply", "No."), Status.UNREACHABLE),
        (RemoteError("org.freedesktop.DBus.Error.TimedOut", "No."), Status.TIMEOUT),
        (RemoteError("im.pubsubcache1.Error.Timeout", "No."), Status.TIMEOUT),
        (Timeout("No."), Status.TIMEOUT),
        (NoSuchNode("No."), Status.REFUSED),
        (RemoteError("im.pubsubcache1.Error.Xmpp.Forbidden", "No."), Status.REFUSED),
    ],
)
def test_errors_have_a_status(error: BusLost | RemoteError, status: Status) -> None:
    failure = explain(error)

    assert failure.exit_code == status
    assert failure.message


def test_error_without_a_message_says_its_name() -> None:
    assert "org.example.Odd" in explain(RemoteError("org.example.Odd", "")).message


@pytest.mark.usefixtures("running")
async def test_reader_that_leaves_early_is_no_error_to_look_at(ctl: Command) -> None:
    reading, writing = os.pipe()
    process = await ctl.start("analysers", "--json", stdout=writing)
    os.close(writing)
    os.close(reading)

    async with asyncio.timeout(20):
        _, err = await process.communicate()

    assert b"Traceback" not in err


class Keyboard(io.StringIO):
    """A terminal on which somebody presses Ctrl-C, or Ctrl-D."""

    def __init__(self, *, interrupts: bool) -> None:
        super().__init__()
        self._interrupts = interrupts

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> str:
        if self._interrupts:
            raise KeyboardInterrupt
        return ""


@pytest.mark.parametrize(("interrupts", "status", "said"), [(True, 130, "\n"), (False, 1, "Aborted!\n")])
def test_an_interrupt_at_a_prompt_has_the_status_of_interrupts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], interrupts: bool, status: int, said: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Keyboard(interrupts=interrupts))

    with pytest.raises(SystemExit) as ended:
        main(["reset"])

    assert ended.value.code == status
    assert capsys.readouterr().err.endswith(said)


def test_who_has_no_home_directory_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**32 - 2)

    with pytest.raises(SystemExit) as ended:
        main(["setup", "--print"])

    assert ended.value.code == 1
    assert capsys.readouterr().err == "Error: The user has no home directory; set HOME or XDG_DATA_HOME.\n"

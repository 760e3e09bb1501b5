"""``doctor``: what is wrong is found, with its remedy, and what is right takes one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from pubsub_cached.analysers.definition import Definition
from pubsub_cached.cli.account import remedy
from pubsub_cached.daemon import Daemon
from pubsub_cached.errors import AuthenticationFailed
from pubsub_cached.xmpp.fake import World
from tests.bus.api_service import ALICE, SERVICE, daemon, frontend
from tests.support.bus import PrivateBus
from tests.support.command import Command

from .systemd import systemd

REMEDY_SETUP = "pubsub-cachectl setup"


@pytest.fixture
def services(tmp_path: Path) -> Path:
    """Where the bus looks for activation files, and ``setup`` puts them."""
    directory = tmp_path / "data/dbus-1/services"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def private_bus(make_bus: Any, services: Path, tmp_path: Path) -> PrivateBus:
    """A bus that can start what is installed for the user, in the user's directories."""
    names = {"HOME": "home", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data"}
    own = {variable: str(tmp_path / name) for variable, name in names.items()}
    bus: PrivateBus = make_bus(servicedir=services, environment=own)
    return bus


@pytest.fixture
def ctl(ctl: Command, tmp_path: Path) -> Command:
    """The command, beside an installed daemon."""
    program = tmp_path / "bin/pubsub-cached"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    ctl.environment["PATH"] = f"{program.parent}:{ctl.environment['PATH']}"
    return ctl


@pytest.fixture
async def installed(ctl: Command, running: Daemon) -> Daemon:
    """A daemon that runs and that the bus could start."""
    await ctl.ok("setup")
    return running


async def test_without_a_user_manager_setup_names_no_command_of_one(ctl: Command) -> None:
    done = await ctl("setup")

    assert done.status == 0
    assert "the bus itself will start the daemon." in done.out
    assert "systemctl" not in done.out


async def findings(ctl: Command, *, status: int) -> dict[str, dict[str, str]]:
    """The findings by their subject, without those that are ok."""
    done = await ctl("doctor", "--json")
    assert done.status == status, done
    return {record["subject"]: record for record in done.records if record["level"] != "ok"}


@pytest.mark.usefixtures("installed")
async def test_where_all_is_well_each_subject_has_one_line(ctl: Command) -> None:
    await ctl.ok("sync", SERVICE, "blog")

    done = await ctl.ok("doctor")

    lines = [line for line in done.out.splitlines() if not line.startswith("note     clock")]
    assert [line.split(maxsplit=1)[1].partition(":")[0] for line in lines if line.startswith("ok ")] == [
        "bus",
        "configuration",
        "activation",
        "unit",
        "daemon",
        "database",
        *(["clock"] if "ok       clock" in done.out else []),
        "presence",
        f"account {ALICE}",
        "analysers",
        "subscriptions",
    ]
    assert "subscriptions: none of 1 is missing." in done.out


async def test_a_configuration_that_keeps_the_daemon_from_starting(ctl: Command, tmp_path: Path) -> None:
    file = tmp_path / "config" / "pubsub-cached" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[cache]\nitems-per-nod = 3\n")

    found = await findings(ctl, status=5)

    assert list(found) == ["configuration"]
    said = found["configuration"]["sentence"]
    assert said.startswith(f"Configuration file {file}: cache.items-per-nod: unknown key; there are items-per-node,")


async def test_no_bus(ctl: Command) -> None:
    ctl.environment["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/nonexistent"

    found = await findings(ctl, status=5)

    assert list(found) == ["bus"]
    assert found["bus"]["level"] == "problem"
    assert "/nonexistent" in found["bus"]["sentence"]
    assert found["bus"]["remedy"]


async def test_no_daemon_and_no_way_to_start_it(ctl: Command) -> None:
    found = await findings(ctl, status=5)

    assert list(found) == ["activation", "daemon"]
    assert [finding["remedy"] for finding in found.values()] == [REMEDY_SETUP, REMEDY_SETUP]


@pytest.mark.usefixtures("running")
async def test_running_daemon_that_the_bus_could_not_start(ctl: Command) -> None:
    found = await findings(ctl, status=0)

    assert found["activation"]["level"] == "note"
    assert found["activation"]["remedy"] == REMEDY_SETUP


async def test_daemon_that_can_t_be_started_says_where_to_look(ctl: Command, services: Path) -> None:
    await ctl.ok("setup")
    (services / "im.pubsubcache1.service").write_text("[D-BUS Service]\nName=im.pubsubcache1\nExec=/bin/false\n")

    found = await findings(ctl, status=5)

    assert list(found) == ["activation", "daemon"]
    assert found["activation"]["level"] == "note"
    assert "could not start the daemon" in found["daemon"]["sentence"]


async def test_analyser_that_can_t_be_used(ctl: Command, made: World, home: Path, private_bus: PrivateBus) -> None:
    await ctl.ok("setup")
    file = home / "config/pubsub-cached/analysers/mine.toml"
    file.parent.mkdir(parents=True)
    file.write_text("name = 'mine'\ntype = 'x'\nnod = 'n'\n")

    async with daemon(made, private_bus.address, home), frontend(private_bus.address):
        found = await findings(ctl, status=5)

    assert found["analyser mine"]["level"] == "problem"
    assert found["analyser mine"]["sentence"].startswith(f"{file}: 'nod': unknown key")
    assert "Mend the file" in found["analyser mine"]["remedy"]


@pytest.mark.usefixtures("installed")
async def test_analyser_that_is_suspended(ctl: Command, installed: Daemon) -> None:
    registry = installed.house.analysers
    registry.register(Definition(name="mine", type="x", node="n", parser=lambda item: {}), "plugin")
    registry.set_state("mine", "suspended", "It did not answer.")

    found = await findings(ctl, status=5)

    assert found["analyser mine"]["sentence"] == "It did not answer."
    assert found["analyser mine"]["remedy"].endswith("/im/pubsubcache1/analyser/mine im.pubsubcache1.Analyser Resume")


@pytest.mark.usefixtures("installed")
async def test_files_of_another_installation(ctl: Command, services: Path) -> None:
    file = services / "im.pubsubcache1.service"
    file.write_text(file.read_text().replace("Exec=", "Exec=/elsewhere"))

    found = await findings(ctl, status=0)

    assert str(file) in found["activation"]["sentence"]
    assert found["activation"]["remedy"] == REMEDY_SETUP


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("properties", "level", "said"),
    [
        ({}, "ok", "active, started when it is first called."),
        ({"UnitFileState": "enabled"}, "ok", "active, started at login."),
        ({"LoadState": "not-found"}, "problem", "not-found"),
        ({"ActiveState": "failed", "Result": "exit-code"}, "problem", "it has failed (exit-code)"),
        ({"NRestarts": 3}, "note", "restarted 3 times"),
    ],
)
async def test_unit(
    ctl: Command, private_bus: PrivateBus, properties: dict[str, object], level: str, said: str
) -> None:
    async with systemd(private_bus.address, **properties):
        done = await ctl("doctor", "--json")

    (unit,) = (record for record in done.records if record["subject"] == "unit")
    assert (unit["level"], bool(unit["remedy"])) == (level, level != "ok")
    assert said in unit["sentence"]
    assert done.status == (5 if level == "problem" else 0)


@pytest.mark.usefixtures("installed")
async def test_account_that_was_refused(ctl: Command, made: World) -> None:
    made.refuse(ALICE, "the account is locked")
    await ctl.ok("account", "disconnect", ALICE)
    await ctl("account", "connect", ALICE)

    found = await findings(ctl, status=5)

    account = found[f"account {ALICE}"]
    assert "the account is locked" in account["sentence"]
    assert "where the configuration says" in account["remedy"]
    # What the configuration names is read anew then; the configuration itself at the start alone.
    assert f"then: pubsub-cachectl account connect {ALICE}, or if the configuration" in account["remedy"]


def test_a_password_that_stays_in_its_keyring_is_not_asked_for_before_that_is_opened() -> None:
    why = f"The password of {ALICE} can't be read: the keyring is locked and its prompt was dismissed."
    account = {"jid": ALICE, "state": "failed", "error": AuthenticationFailed.dbus_name, "error-message": why}

    assert remedy(account | {"origin": "bus"}) == (
        f"Unlock the keyring, then: pubsub-cachectl account connect {ALICE}; "
        f"or give the password anew: pubsub-cachectl account password {ALICE}"
    )


@pytest.mark.parametrize("origin", ["bus", "config"])
def test_a_password_that_was_never_given_is_asked_for_and_nothing_else(origin: str) -> None:
    why = f"No password of {ALICE} is stored; give it with 'pubsub-cachectl account password {ALICE}'."
    account = {"jid": ALICE, "state": "failed", "error": AuthenticationFailed.dbus_name, "error-message": why}

    assert remedy(account | {"origin": origin}) == f"pubsub-cachectl account password {ALICE}"


def test_a_file_of_passwords_that_stays_closed_is_no_keyring() -> None:
    why = "The stored passwords in /home/alice/secrets.json can't be read: Permission denied."
    account = {"jid": ALICE, "state": "failed", "error": AuthenticationFailed.dbus_name, "error-message": why}

    assert "keyring" not in remedy(account | {"origin": "bus"})


@pytest.mark.usefixtures("installed")
async def test_account_that_is_offline(ctl: Command) -> None:
    await ctl.ok("account", "disconnect", ALICE)

    found = await findings(ctl, status=5)

    assert found[f"account {ALICE}"]["remedy"] == f"pubsub-cachectl account connect {ALICE}"


@pytest.mark.usefixtures("installed")
async def test_account_added_over_the_bus_without_its_password(ctl: Command, made: World) -> None:
    await ctl.ok("account", "add", "bob@example.org", "--no-password")

    found = await findings(ctl, status=5)

    assert "pubsub-cachectl account password bob@example.org" in found["account bob@example.org"]["remedy"]


@pytest.mark.usefixtures("installed")
async def test_disabled_account_is_nobody_s_problem(ctl: Command) -> None:
    await ctl.ok("account", "add", "bob@example.org", "--no-password", "--disabled")

    assert "account bob@example.org" not in await findings(ctl, status=0)


@pytest.mark.usefixtures("installed")
async def test_subscription_that_vanished_is_found_and_after_a_check_it_is_there_again(
    ctl: Command, made: World
) -> None:
    await ctl.ok("sync", SERVICE, "blog")
    made.services[SERVICE].drop_subscription("blog", ALICE)

    found = await findings(ctl, status=5)
    assert found["subscriptions"]["sentence"] == (f"{SERVICE} no longer lists 1 of 1 subscriptions of {ALICE}: blog.")
    assert found["subscriptions"]["remedy"] == "pubsub-cachectl check"

    # What was listed for that has been noticed by the daemon as well, which may be done before there is a check.
    await ctl.ok("check")
    assert "subscriptions" not in await findings(ctl, status=0)


@pytest.mark.usefixtures("installed")
async def test_service_that_does_not_list_subscriptions_is_no_problem(ctl: Command, made: World) -> None:
    await ctl.ok("sync", SERVICE, "blog")
    made.services[SERVICE].fail_next("feature-not-implemented", request="subscriptions")

    found = await findings(ctl, status=0)

    assert found["subscriptions"]["level"] == "note"


async def test_times_that_are_yet_to_come(ctl: Command, installed: Daemon) -> None:
    await ctl.ok("sync", SERVICE, "blog")
    await installed.house.store.write(
        lambda tx: tx.connection.execute(text("UPDATE node SET last_sync = 4102444800000"))
    )

    found = await findings(ctl, status=5)

    assert "2100-01-01" in found["clock"]["sentence"]
    assert "timedatectl" in found["clock"]["remedy"]


async def test_database_that_was_set_aside(ctl: Command, made: World, home: Path, private_bus: PrivateBus) -> None:
    await ctl.ok("setup")
    (home / "cache.sqlite3").write_bytes(b"no database at all" * 100)

    async with daemon(made, private_bus.address, home), frontend(private_bus.address):
        found = await findings(ctl, status=0)

    assert found["database"]["level"] == "note"
    assert str(home / "cache.sqlite3.damaged-") in found["database"]["sentence"]

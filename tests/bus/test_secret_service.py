"""Stored passwords over a real keyring, and over buses where there is none or it stays locked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pubsub_cached import secret_service
from pubsub_cached.errors import AuthenticationFailed
from pubsub_cached.secrets import Secrets
from tests.support.bus import PrivateBus
from tests.support.dbusmock import secret_service_mock

JID = "alice@example.org"
SECRET = "c0rrect hörse"

MakeBus = Callable[..., PrivateBus]
Keyring = Callable[[str], None]
Mocked = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secrets.json"


@pytest.fixture
def secrets(file: Path) -> Iterator[Secrets]:
    secrets = Secrets(file)
    yield secrets
    secrets.close()


@pytest.fixture
def keyring(make_bus: MakeBus, tmp_path: Path, servicedir: Path, monkeypatch: pytest.MonkeyPatch) -> Keyring:
    """Makes a session bus that starts gnome-keyring when called, unlocked if there is a login password."""

    def make(password: str) -> None:
        unlock = f"printf {password} | exec" if password else "exec"
        option = "--unlock" if password else ""
        start = tmp_path / "start-keyring"
        start.write_text(f"#!/bin/sh\n{unlock} gnome-keyring-daemon {option} --foreground --components=secrets\n")
        start.chmod(0o755)
        (servicedir / "org.freedesktop.secrets.service").write_text(
            f"[D-BUS Service]\nName=org.freedesktop.secrets\nExec={start}\n"
        )
        runtime = tmp_path / "runtime"
        runtime.mkdir(mode=0o700, exist_ok=True)
        home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "XDG_RUNTIME_DIR": str(runtime)}
        bus = make_bus(servicedir=servicedir, environment=home)
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.address)

    return make


@pytest.fixture
def no_keyring(private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", private_bus.address)


@pytest.fixture
def mocked(private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mocked]:
    """Makes a locked service with the secret; what comes of its prompt is the argument."""
    processes: list[subprocess.Popen[bytes]] = []
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", private_bus.address)

    def make(prompt: str) -> subprocess.Popen[bytes]:
        process = secret_service_mock(private_bus, prompt, JID, SECRET)
        processes.append(process)
        return process

    yield make
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("no_keyring")
def test_bus_without_secret_service_keeps_secrets_in_the_file(secrets: Secrets, file: Path) -> None:
    assert secrets.store(JID, SECRET) == "file"

    assert json.loads(file.read_text()) == {JID: SECRET}
    assert secrets.lookup(JID) == SECRET
    assert secrets.remove(JID)
    assert secrets.lookup(JID) is None


def test_unlocked_keyring_keeps_secrets_and_no_file_does(keyring: Keyring, secrets: Secrets, file: Path) -> None:
    keyring("login")

    assert secrets.lookup(JID) is None
    assert secrets.store(JID, "old") == "secret-service"
    assert secrets.store(JID, SECRET) == "secret-service"

    assert secrets.source(JID)() == SECRET
    assert secrets.lookup("bob@example.org") is None
    assert not file.exists()
    assert secrets.remove(JID)
    assert not secrets.remove(JID)
    assert secrets.lookup(JID) is None


def test_secret_is_found_by_other_programs_by_its_attributes(keyring: Keyring, secrets: Secrets) -> None:
    import secretstorage

    keyring("login")
    secrets.store(JID, SECRET)

    connection = secretstorage.dbus_init()
    found = list(secretstorage.search_items(connection, {"service": "im.pubsubcache1", "jid": JID}))

    assert [item.get_secret().decode() for item in found] == [SECRET]
    assert JID in found[0].get_label()
    connection.close()


def test_keyring_is_found_on_the_bus_of_the_user_s_runtime_directory(
    keyring: Keyring, secrets: Secrets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring("login")
    socket = os.environ["DBUS_SESSION_BUS_ADDRESS"].removeprefix("unix:path=").partition(",")[0]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "bus").symlink_to(socket)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")

    assert secrets.store(JID, SECRET) == "secret-service"
    assert secrets.source(JID)() == SECRET


@pytest.mark.parametrize("address", ["", "nonsense", "unix:path=/nonexistent", "tcp:host=localhost,port=1"])
def test_bus_that_can_not_be_reached_keeps_secrets_in_the_file(
    secrets: Secrets, file: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)

    assert secrets.store(JID, SECRET) == "file"
    assert secrets.source(JID)() == SECRET
    assert secrets.remove(JID)
    with pytest.raises(AuthenticationFailed, match="is stored"):
        secrets.source(JID)()


def test_secret_of_another_program_that_is_no_text_is_an_authentication_failure(
    keyring: Keyring, secrets: Secrets
) -> None:
    import secretstorage

    keyring("login")
    with closing(secretstorage.dbus_init()) as connection:
        collection = secretstorage.get_default_collection(connection)
        collection.create_item("odd", {"service": "im.pubsubcache1", "jid": JID}, b"hunter2\xff")

    with pytest.raises(AuthenticationFailed, match=f"The password of {JID} can't be read: .* not UTF-8") as caught:
        secrets.source(JID)()

    assert "hunter2" not in caught.value.message


def test_secret_in_the_file_moves_to_the_keyring_when_it_is_set_again(
    keyring: Keyring, secrets: Secrets, file: Path
) -> None:
    file.write_text(json.dumps({JID: "old", "bob@example.org": "bob's"}))
    file.chmod(0o600)
    keyring("login")
    assert secrets.lookup(JID) == "old"

    assert secrets.store(JID, SECRET) == "secret-service"

    assert json.loads(file.read_text()) == {"bob@example.org": "bob's"}
    assert secrets.lookup(JID) == SECRET


def test_locked_keyring_whose_prompt_can_not_be_shown_is_an_authentication_failure(
    keyring: Keyring, secrets: Secrets
) -> None:
    import secretstorage

    keyring("login")
    secrets.store(JID, SECRET)
    connection = secretstorage.dbus_init()
    secretstorage.get_default_collection(connection).lock()
    connection.close()

    with pytest.raises(AuthenticationFailed, match=f"{JID} can't be read: .*locked"):
        secrets.source(JID)()
    with pytest.raises(AuthenticationFailed):
        secrets.lookup(JID)


class TestLocked:
    """A service by python-dbusmock, whose prompt nobody has to see."""

    def test_passphrase_that_is_given_unlocks(self, mocked: Mocked, secrets: Secrets, file: Path) -> None:
        mocked("completed")

        assert secrets.lookup(JID) == SECRET
        assert secrets.store(JID, "other") == "secret-service"
        assert secrets.lookup(JID) == "other"
        assert not file.exists()

    def test_dismissed_prompt_is_no_wrong_password(self, mocked: Mocked, secrets: Secrets, file: Path) -> None:
        mocked("dismissed")

        with pytest.raises(AuthenticationFailed, match=f"{JID} can't be read: the keyring is locked .*dismissed"):
            secrets.source(JID)()
        assert secrets.store(JID, "other") == "file"
        assert secrets.lookup(JID) == "other"

    def test_prompt_that_nobody_answers_is_given_up(
        self, mocked: Mocked, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mocked("ignored")
        monkeypatch.setattr(secret_service, "PROMPT_TIMEOUT", 0.2)

        with pytest.raises(AuthenticationFailed, match="nobody answered its prompt"):
            secrets.source(JID)()

    def test_other_accounts_have_no_secret_there(self, mocked: Mocked, secrets: Secrets) -> None:
        mocked("dismissed")

        assert secrets.lookup("bob@example.org") is None

    def test_service_that_hangs_is_given_up(
        self, mocked: Mocked, secrets: Secrets, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service = mocked("completed")
        monkeypatch.setattr(secret_service, "ANSWER_TIMEOUT", 0.2)
        service.send_signal(signal.SIGSTOP)

        with pytest.raises(AuthenticationFailed, match="the Secret Service does not answer"):
            secrets.source(JID)()
        assert secrets.store(JID, "other") == "file"


def test_keyring_that_can_not_be_unlocked_leaves_the_file(keyring: Keyring, secrets: Secrets, file: Path) -> None:
    keyring("")

    assert secrets.store(JID, SECRET) == "file"

    assert json.loads(file.read_text()) == {JID: SECRET}
    assert secrets.lookup(JID) == SECRET

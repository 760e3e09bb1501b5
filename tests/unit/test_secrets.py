"""Where an account's password comes from when there is no session bus."""

from __future__ import annotations

import logging
import os
import shlex
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pubsub_cached import config
from pubsub_cached.errors import AuthenticationFailed, DatabaseError
from pubsub_cached.secrets import Secrets

JID = "alice@example.org"
SECRET = "c0rrect hörse"


@pytest.fixture(autouse=True)
def no_session_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "secrets.json"


@pytest.fixture
def secrets(file: Path) -> Iterator[Secrets]:
    secrets = Secrets(file)
    yield secrets
    secrets.close()


def from_file(path: Path) -> config.Account:
    return config.Account(jid=JID, password_file=str(path))


def from_command(*command: str) -> config.Account:
    return config.Account(jid=JID, password_command=command)


def shell(script: str) -> config.Account:
    return from_command("sh", "-c", script)


class TestPasswordFile:
    @pytest.mark.parametrize("content", ["{}", "{}\n", "{}\r\n", "{}\nsecond line\n"])
    def test_gives_its_first_line(self, secrets: Secrets, tmp_path: Path, content: str) -> None:
        path = tmp_path / "password"
        path.write_bytes(content.format(SECRET).encode())

        assert secrets.source(from_file(path))() == SECRET

    def test_keeps_blanks_of_the_password(self, secrets: Secrets, tmp_path: Path) -> None:
        path = tmp_path / "password"
        path.write_text("  a b \n")

        assert secrets.source(from_file(path))() == "  a b "

    @pytest.mark.parametrize(
        ("content", "reason"), [(b"", "empty password"), (b"\nx", "empty password"), (b"\xff", "not UTF-8")]
    )
    def test_without_a_usable_line_fails(self, secrets: Secrets, tmp_path: Path, content: bytes, reason: str) -> None:
        path = tmp_path / "password"
        path.write_bytes(content)

        with pytest.raises(AuthenticationFailed, match=f"{JID}.*{reason}"):
            secrets.source(from_file(path))()

    def test_that_is_missing_fails_with_its_name(self, secrets: Secrets, tmp_path: Path) -> None:
        with pytest.raises(AuthenticationFailed, match=f"{tmp_path}/none.*No such file"):
            secrets.source(from_file(tmp_path / "none"))()

    def test_is_read_anew_each_time(self, secrets: Secrets, tmp_path: Path) -> None:
        path = tmp_path / "password"
        path.write_text("old")
        source = secrets.source(from_file(path))
        assert source() == "old"

        path.write_text("new")

        assert source() == "new"

    @pytest.mark.parametrize(("mode", "warnings"), [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1)])
    def test_that_others_can_read_is_warned_of(
        self, secrets: Secrets, tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warnings: int
    ) -> None:
        path = tmp_path / "password"
        path.write_text(SECRET)
        path.chmod(mode)

        assert secrets.source(from_file(path))() == SECRET

        said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len(said) == warnings
        assert all(f"chmod 600 {path}" in sentence and SECRET not in sentence for sentence in said)


class TestPasswordCommand:
    def test_gives_the_first_line_of_its_output(self, secrets: Secrets) -> None:
        assert secrets.source(shell(f"echo {shlex.quote(SECRET)}; echo more"))() == SECRET

    def test_is_run_without_a_shell(self, secrets: Secrets) -> None:
        program = "import sys; print(sys.argv[1])"

        assert secrets.source(from_command(sys.executable, "-c", program, "$HOME; `x`"))() == "$HOME; `x`"

    def test_reads_nothing_from_the_daemon(self, secrets: Secrets) -> None:
        assert secrets.source(shell("cat; echo end"))() == "end"

    def test_that_can_not_be_started_fails_with_its_name(self, secrets: Secrets) -> None:
        with pytest.raises(AuthenticationFailed, match=r"no-such-program.*No such file"):
            secrets.source(from_command("/no-such-program"))()

    def test_that_fails_is_an_error_without_what_it_wrote(
        self, secrets: Secrets, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with pytest.raises(AuthenticationFailed, match="status 3") as caught:
            secrets.source(shell("echo hunter2; echo hunter2 >&2; exit 3"))()

        assert "hunter2" not in caught.value.message + caplog.text + "".join(capfd.readouterr())

    def test_without_output_fails(self, secrets: Secrets) -> None:
        with pytest.raises(AuthenticationFailed, match="empty password"):
            secrets.source(from_command("true"))()

    @pytest.mark.parametrize("end", ["; wait", ""], ids=["waits", "ends itself"])
    def test_that_does_not_end_is_killed_with_what_it_started(self, file: Path, tmp_path: Path, end: str) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        source = Secrets(file, command_timeout=0.5).source(shell(f"sleep 1000 3>{pipe} & echo hunter2{end}"))

        with pytest.raises(AuthenticationFailed, match=r"did not end within 0\.5 s"):
            source()

        os.set_blocking(reader, True)
        assert os.read(reader, 1) == b""  # the end of the file: nobody holds the other end any more
        os.close(reader)

    @pytest.mark.parametrize("end", ["", "&"], ids=["itself", "what it started"])
    def test_is_ended_by_close(self, secrets: Secrets, tmp_path: Path, end: str) -> None:
        started = tmp_path / "started"
        os.mkfifo(started)
        with ThreadPoolExecutor() as executor:
            answer = executor.submit(secrets.source(shell(f"(echo > {started}; sleep 1000) {end}")))
            started.read_text()

            secrets.close()

            assert isinstance(answer.exception(timeout=30), AuthenticationFailed)


class TestStoredSecret:
    def test_is_kept_in_a_file_of_mode_0600_where_no_secret_service_runs(self, secrets: Secrets, file: Path) -> None:
        assert secrets.store(JID, SECRET) == "file"

        assert secrets.lookup(JID) == SECRET
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    def test_is_the_source_of_accounts_without_file_and_command(self, secrets: Secrets) -> None:
        secrets.store(JID, SECRET)

        assert secrets.source(JID)() == SECRET
        assert secrets.source(config.Account(jid=JID))() == SECRET

    def test_outlives_the_process(self, secrets: Secrets, file: Path) -> None:
        secrets.store(JID, SECRET)

        assert Secrets(file).lookup(JID) == SECRET

    def test_is_replaced_and_removed_without_touching_others(self, secrets: Secrets) -> None:
        secrets.store(JID, "old")
        secrets.store("bob@example.org", "bob's")
        secrets.store(JID, SECRET)
        assert secrets.lookup(JID) == SECRET

        assert secrets.remove(JID)
        assert not secrets.remove(JID)

        assert secrets.lookup(JID) is None
        assert secrets.lookup("bob@example.org") == "bob's"

    def test_that_is_missing_says_how_to_set_it(self, secrets: Secrets, file: Path) -> None:
        assert secrets.lookup(JID) is None
        with pytest.raises(AuthenticationFailed, match=f"pubsub-cachectl account password {JID}"):
            secrets.source(JID)()
        assert not file.exists()

    def test_leaves_nothing_but_the_file(self, secrets: Secrets, file: Path) -> None:
        secrets.store(JID, "one")
        secrets.store(JID, "two")

        assert list(file.parent.iterdir()) == [file]

    @pytest.mark.parametrize("damage", [b"", b'\xff"}'])
    def test_in_a_damaged_file_is_neither_lost_nor_overwritten(
        self, secrets: Secrets, file: Path, damage: bytes
    ) -> None:
        file.parent.mkdir()
        file.write_bytes(b'{"bob@example.org": "hunter2' + damage)
        file.chmod(0o600)

        with pytest.raises(DatabaseError, match=f"{file} are damaged"):
            secrets.store(JID, SECRET)
        with pytest.raises(AuthenticationFailed, match=f"{file} are damaged") as caught:
            secrets.source(JID)()

        assert "hunter2" not in caught.value.message
        assert b"hunter2" in file.read_bytes()

    def test_that_can_not_be_written_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "data").write_text("not a directory")

        with pytest.raises(DatabaseError, match=r"Not a directory|File exists"):
            Secrets(tmp_path / "data" / "secrets.json").store(JID, SECRET)

    def test_is_never_logged(self, secrets: Secrets, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)

        secrets.store(JID, SECRET)
        secrets.lookup(JID)
        secrets.remove(JID)

        assert caplog.records
        assert SECRET not in caplog.text

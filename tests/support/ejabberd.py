"""A real ejabberd: PEP, a pubsub service where alice may create nodes, stream management."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .server import PASSWORD, START_TIMEOUT, Server

CONFIGURATION = """
hosts: [localhost]
loglevel: warning
certfiles: ["{pem}"]
new_sql_schema: true
auth_method: internal
auth_password_format: scram
listen:
  - {{port: {port}, ip: "127.0.0.1", module: ejabberd_c2s, starttls_required: true, max_stanza_size: 262144}}
  - {{port: {direct_tls_port}, ip: "127.0.0.1", module: ejabberd_c2s, tls: true, max_stanza_size: 262144}}
acl:
  alice: {{user: alice@localhost}}
access_rules:
  pubsub_createnode: {{allow: alice}}
api_permissions: {{}}
modules:
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_disco: {{}}
  mod_mam: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_roster: {{versioning: true}}
  mod_stream_mgmt: {{resend_on_timeout: false, resume_timeout: 300}}
  mod_pubsub:
    host: pubsub.localhost
    access_createnode: pubsub_createnode
    ignore_pep_from_offline: false
    last_item_cache: false
    max_items_node: 10000
    plugins: [flat, pep]
"""

# What the listening thread says when the pipe ends.
ENDED = "\0"

# One line of input is one request; the end of the input ends the server.
CONTROL = """
Say = fun(Word) -> io:format("~s~n", [Word]) end,
{ok, _} = application:ensure_all_started(ejabberd),
Loop = fun Loop() ->
    case io:get_line("") of
        Line when is_list(Line) ->
            Done = case [list_to_binary(Part) || Part <- string:tokens(string:trim(Line), "\\t")] of
                [<<"expire">>] -> mod_pubsub:delete_expired_items();
                [Name, Password] -> ejabberd_auth:set_password(Name, <<"localhost">>, Password)
            end,
            Say(io_lib:format("~p", [Done])),
            Loop();
        _ ->
            application:stop(ejabberd), application:stop(mnesia), init:stop()
    end
end,
spawn(fun() -> Say("ready"), Loop() end).
"""


class Ejabberd(Server):
    """Debian's ejabberd in a bare Erlang machine: no epmd, no cookie, no node name."""

    name = "ejabberd"

    def __init__(self, directory: Path | str) -> None:
        super().__init__(directory)
        self._said: queue.Queue[str] = queue.Queue()
        pem = self.directory / "server.pem"
        pem.touch(mode=0o600)
        pem.write_bytes(self.certificate.certificate.read_bytes() + self.certificate.key.read_bytes())
        self.configuration = self.directory / "ejabberd.yml"
        self.configuration.write_text(
            CONFIGURATION.format(
                port=self.port, direct_tls_port=self.direct_tls_port, pem=json.dumps(str(pem.resolve()))[1:-1]
            ),
            encoding="utf-8",
        )

    def add_user(self, name: str, password: str = PASSWORD) -> None:
        if self.running:
            self._register(name, password)
        self.passwords[name] = password

    def remove_expired(self) -> None:
        """Remove what is older than ``pubsub#item_expire``, as its administrator does (delete_expired_pubsub_items)."""
        self._ask("expire")

    def stop(self) -> None:
        """End the server as a service manager does; streams are closed first."""
        process = self._process
        if process is not None and process.poll() is None and process.stdin is not None:
            process.stdin.close()
            process.wait(30)
        super().stop()

    def _launch(self, first: bool) -> None:
        del first  # registering a user twice does no harm
        process = self._run(
            # Without a terminal and with input: the control lines above.
            ["erl", "-noshell", "+Bd", "-mnesia", "dir", json.dumps(str(self.directory / "mnesia")), "-eval", CONTROL],
            talks=True,
            ERL_LIBS="/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu:/usr/lib",
            EJABBERD_CONFIG_PATH=str(self.configuration),
            EJABBERD_LOG_PATH=str(self.log_file),
            ERL_CRASH_DUMP=str(self.directory / "crash.dump"),
            HOME=str(self.directory),
        )
        self._said = queue.Queue()
        threading.Thread(target=self._listen, args=(process, self._said), daemon=True).start()
        self._say_until("ready")
        for name, password in self.passwords.items():
            self._register(name, password)

    def _register(self, name: str, password: str) -> None:
        self._ask(f"{name}\t{password}")

    def _ask(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        self._say_until("ok")

    def _say_until(self, word: str) -> None:
        """Read what the server says until it says ``word``."""
        said = ""
        while said != word:
            try:
                said = self._said.get(timeout=START_TIMEOUT)
            except queue.Empty:
                raise TimeoutError(f"The server said nothing; see {self.log_file}:\n{self.log_tail()}") from None
            if said == ENDED:
                raise RuntimeError(f"The server ended; see {self.log_file}:\n{self.log_tail()}")

    @staticmethod
    def _listen(process: subprocess.Popen[str], said: queue.Queue[str]) -> None:
        """Read all that the server writes, lest the pipe fills up; runs on a thread of its own."""
        assert process.stdout is not None
        for line in process.stdout:
            said.put(line.strip())
        said.put(ENDED)


def available() -> bool:
    """Whether the package is installed."""
    return shutil.which("ejabberdctl") is not None and shutil.which("erl") is not None


@pytest.fixture(scope="session")
def ejabberd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ejabberd]:
    """An ejabberd for the whole run; a test that stops it takes ``own_ejabberd``."""
    with Ejabberd(tmp_path_factory.mktemp("ejabberd")) as server:
        yield server


@pytest.fixture
def own_ejabberd(tmp_path: Path) -> Iterator[Ejabberd]:
    """An ejabberd for one test, which may stop, kill and start it."""
    with Ejabberd(tmp_path / "ejabberd") as server:
        yield server

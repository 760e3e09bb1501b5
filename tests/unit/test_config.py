"""The configuration file: what is accepted, and what a sentence says about what is not."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from pubsub_cached import config, paths
from pubsub_cached.errors import BadConfiguration


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file beside which a CA file lies."""
    (tmp_path / "ca.pem").write_text("certificate")
    return tmp_path / "config.toml"


def load(file: Path, text: str) -> config.Config:
    file.write_text(dedent(text))
    return config.load(file)


def test_everything_that_is_documented_is_accepted(file: Path) -> None:
    loaded = load(
        file,
        """
        log-level = "debug"
        [database]
        url = "sqlite:////tmp/cache.sqlite3"
        [cache]
        items-per-node = 1
        payload-limit = 2
        total-size = 3
        access-proof = 4
        audit-interval = 5
        [sandbox]
        allow = ["org.example.Reader"]
        [[account]]
        jid = "alice@example.org"
        password-file = "/secret"
        host = "127.0.0.1"
        port = 5222
        tls = "none"
        ca-file = "ca.pem"
        enabled = false
        [[account]]
        jid = "bob@example.org"
        password-command = ["pass", "show", "xmpp"]
        tls = "direct"
        """,
    )

    assert loaded == config.Config(
        log_level="debug",
        database=config.Database(url="sqlite:////tmp/cache.sqlite3"),
        cache=config.Cache(items_per_node=1, payload_limit=2, total_size=3, access_proof=4, audit_interval=5),
        sandbox=config.Sandbox(allow=("org.example.Reader",)),
        account=(
            config.Account(
                jid="alice@example.org",
                password_file="/secret",
                host="127.0.0.1",
                port=5222,
                tls="none",
                ca_file=str(file.parent / "ca.pem"),
                enabled=False,
            ),
            config.Account(jid="bob@example.org", password_command=("pass", "show", "xmpp"), tls="direct"),
        ),
    )


def test_empty_file_gives_the_documented_defaults(file: Path) -> None:
    loaded = load(file, "")

    assert loaded.log_level == "info"
    assert loaded.database.url == paths.database_url()
    assert loaded.cache == config.Cache(500, 262144, 1073741824, 21600, 604800)
    assert loaded.sandbox.allow == ()
    assert loaded.account == ()


def test_account_needs_nothing_but_a_jid(file: Path) -> None:
    (account,) = load(file, '[[account]]\njid = "alice@example.org"').account

    assert account == config.Account(jid="alice@example.org", host="", port=0, tls="starttls", enabled=True)


def test_missing_default_file_means_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    assert config.load() == config.Config()


def test_default_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    paths.config_file().parent.mkdir()
    paths.config_file().write_text('log-level = "error"')

    assert config.load().log_level == "error"


def test_jids_are_normalised(file: Path) -> None:
    (account,) = load(file, '[[account]]\njid = "Alice@EXAMPLE.org"').account

    assert account.jid == "alice@example.org"


def test_port_without_host_is_a_port_of_the_domain(file: Path) -> None:
    (account,) = load(file, '[[account]]\njid = "alice@example.org"\nport = 5299').account

    assert (account.host, account.port) == ("example.org", 5299)


def test_file_names_are_relative_to_the_file_and_tilde_is_home(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    accounts = load(
        file,
        """
        [[account]]
        jid = "alice@example.org"
        password-file = "secrets/alice"
        [[account]]
        jid = "bob@example.org"
        password-file = "~/bob"
        """,
    ).account

    assert [account.password_file for account in accounts] == [f"{tmp_path}/secrets/alice", f"{tmp_path}/home/bob"]


ACCOUNT = '[[account]]\njid = "alice@example.org"\n'


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        # unknown keys
        ("colour = 1", "colour", "unknown key; there are log-level, database, cache, sandbox, account."),
        ("log_level = 'info'", "log_level", "unknown key"),
        ("[network]", "network", "unknown key"),
        ("[database]\npath = 'x'", "database.path", "unknown key"),
        ("[cache]\nitems = 1", "cache.items", "unknown key; there are items-per-node, payload-limit,"),
        ("[sandbox]\ndeny = []", "sandbox.deny", "unknown key"),
        (
            ACCOUNT + "password = 'x'",
            "account[0].password",
            "unknown key; there are jid, password-file, password-command,",
        ),
        (ACCOUNT + ACCOUNT.replace("alice", "bob") + "resource = 'x'", "account[1].resource", "unknown key"),
        # wrong types
        ("log-level = 3", "log-level", "it is a whole number and has to be a string: the least important level that"),
        ("cache = 3", "cache", "it is a whole number and has to be a table"),
        (
            "database.url = true",
            "database.url",
            "it is a boolean (true or false) and has to be a string: the database, as",
        ),
        (
            "cache.items-per-node = '500'",
            "cache.items-per-node",
            "it is '500' and has to be a whole number: how many of the newest",
        ),
        ("cache.items-per-node = true", "cache.items-per-node", "it is true and has to be a whole number"),
        ("cache.items-per-node = 1.5", "cache.items-per-node", "it is 1.5 and has to be a whole number"),
        (
            "cache.access-proof = '6h'",
            "cache.access-proof",
            "it is '6h' and has to be a whole number: seconds after which",
        ),
        ("cache.total-size = '1G'", "cache.total-size", "it is '1G' and has to be a whole number: bytes of the whole"),
        ("sandbox.allow = 'x'", "sandbox.allow", "it is a string and has to be a list: ids of sandboxed"),
        ("sandbox.allow = ['x', 3]", "sandbox.allow[1]", "it is a whole number and has to be a string"),
        (
            "[account]\njid = 'alice@example.org'",
            "account",
            "it is a table and has to be a list; write [[account]] above each.",
        ),
        (
            ACCOUNT + "enabled = 'yes'",
            "account[0].enabled",
            "it is 'yes' and has to be a boolean (true or false): whether",
        ),
        (ACCOUNT + "port = '5222'", "account[0].port", "it is '5222' and has to be a whole number: the TCP port"),
        (
            ACCOUNT + "password-command = 'pass'",
            "account[0].password-command",
            "it is a string and has to be a list: a program",
        ),
        # wrong values
        ("log-level = 'loud'", "log-level", "'loud' is none of debug, info, warning, error, critical"),
        ("database.url = 'mysql://host/x'", "database.url", "sqlite:// or postgresql://"),
        ("database.url = '/tmp/x'", "database.url", "sqlite:// or postgresql://"),
        ("database.url = 'sqlite:///cache.db'", "database.url", "'cache.db' is no absolute path; write sqlite:////abs"),
        ("database.url = 'sqlite:///~/cache.db?a=b'", "database.url", "'~/cache.db' is no absolute path; write sqlite"),
        ("cache.items-per-node = 0", "cache.items-per-node", "it is 0 and has to be a whole number >= 1: how many"),
        ("cache.payload-limit = -1", "cache.payload-limit", ">= 1"),
        ("cache.total-size = -1", "cache.total-size", ">= 1"),
        ("cache.access-proof = -1", "cache.access-proof", ">= 1"),
        ("cache.audit-interval = -1", "cache.audit-interval", ">= 1"),
        ("sandbox.allow = ['']", "sandbox.allow[0]", "it is empty and has to be a string of length >= 1"),
        ("[[account]]\nenabled = true", "account[0].jid", "missing: the bare JID, such as alice@example.org."),
        ("[[account]]\njid = ''", "account[0].jid", "no JID"),
        ("[[account]]\njid = 'a b@example.org'", "account[0].jid", "'a b@example.org' is no JID"),
        ("[[account]]\njid = 'example.org'", "account[0].jid", "not a bare JID"),
        ("[[account]]\njid = 'alice@example.org/desk'", "account[0].jid", "not a bare JID"),
        (ACCOUNT + "[[account]]\njid = 'ALICE@example.org'", "account[1].jid", "has an account already"),
        (ACCOUNT + "port = 0", "account[0].port", ">= 1"),
        (ACCOUNT + "port = 65536", "account[0].port", "<= 65535"),
        (ACCOUNT + "tls = 'maybe'", "account[0].tls", "'maybe' is none of starttls, direct, none"),
        (ACCOUNT + "tls = 'none'", "account[0].tls", "loopback"),
        (ACCOUNT + "tls = 'none'\nhost = '192.0.2.1'", "account[0].tls", "'192.0.2.1'"),
        (ACCOUNT + "tls = 'none'\nhost = 'localhost.example.org'", "account[0].tls", "loopback"),
        (ACCOUNT + "host = 'example.org:5222'", "account[0].host", "'example.org:5222' is neither"),
        (ACCOUNT + "host = 'a b'", "account[0].host", "'a b' is neither"),
        (ACCOUNT + "password-file = 'x'\npassword-command = ['y']", "account[0].password-command", "one of the two"),
        (ACCOUNT + "password-command = ['']", "account[0].password-command", "empty"),
        (
            ACCOUNT + "password-command = []",
            "account[0].password-command",
            "it is empty and has to be a list of length >= 1: a program and its arguments whose first line of",
        ),
        (
            ACCOUNT + "password-file = ''",
            "account[0].password-file",
            "it is empty and has to be a string of length >= 1: the file whose first line is the password",
        ),
        (ACCOUNT + "ca-file = 'none.pem'", "account[0].ca-file", "none.pem: No such file"),
        (ACCOUNT + "ca-file = '.'", "account[0].ca-file", "Is a directory"),
        (ACCOUNT + 'password-file = "a\\u0000b"', "account[0].password-file", "matching regex"),
        ('database.url = "sqlite:////a\\u0000b"', "database.url", "matching regex"),
        # not TOML at all
        ("cache.total-size = " + "1" * 5000, "", "not TOML"),
        ("sandbox.allow = " + "[" * 100_000, "", "not TOML"),
        ("log-level = ", "", "not TOML"),
        ("log-level = 'info'\nlog-level = 'info'", "", "not TOML"),
    ],
)
def test_mistake_is_named_with_file_key_and_reason(file: Path, text: str, key: str, reason: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        load(file, text)

    sentence = str(caught.value)
    assert sentence.startswith(f"Configuration file {file}: {key}: " if key else f"Configuration file {file}: ")
    assert reason in sentence
    assert sentence.endswith(".")
    assert caught.value.status == 2


def test_missing_file_that_was_asked_for_is_an_error(file: Path) -> None:
    with pytest.raises(BadConfiguration, match=rf"{file}: No such file or directory\."):
        config.load(file)


def test_file_that_can_not_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=rf"{tmp_path}: Is a directory\."):
        config.load(tmp_path)


def test_unreadable_default_file_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    paths.config_file().mkdir(parents=True)

    with pytest.raises(BadConfiguration, match="Is a directory"):
        config.load()


def test_file_in_another_encoding_is_an_error(file: Path) -> None:
    file.write_bytes('log-level = "é"'.encode("latin-1"))

    with pytest.raises(BadConfiguration, match="not UTF-8 at byte 13"):
        config.load(file)


def test_password_in_a_database_url_is_never_repeated(file: Path) -> None:
    with pytest.raises(BadConfiguration) as caught:
        load(file, "database.url = 'postgres://alice:hunter2@db/cache'")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST.", "a.localhost"])
def test_tls_may_be_none_towards_loopback(file: Path, host: str) -> None:
    (account,) = load(file, ACCOUNT + f"tls = 'none'\nhost = '{host}'").account

    assert account.tls == "none"


@pytest.mark.parametrize("host", ["example.org", "10.0.0.1", "0.0.0.0", "::", "localhost.example.org", ""])
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not config.is_loopback(host)


@pytest.mark.parametrize("host", ["localhost", "xmpp.example.org", "münchen.example", "192.0.2.1", "::1", "[::1]"])
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert config.is_host(host)


@pytest.mark.parametrize("host", ["", "a b", "a..b", "example.org:5222", "alice@example.org", "example.org/x", "-a"])
def test_what_nothing_can_be_called_is_no_host(host: str) -> None:
    assert not config.is_host(host)

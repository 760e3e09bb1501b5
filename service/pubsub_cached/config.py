"""The configuration file: its shape, its defaults, and what is wrong with it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from . import paths
from .errors import BadConfiguration, InvalidJid
from .jid import domain, normalise
from .mistakes import explain

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

LogLevel = Literal["debug", "info", "warning", "error", "critical"]
Tls = Literal["starttls", "direct", "none"]

LOG_LEVELS: tuple[LogLevel, ...] = get_args(LogLevel)
_Name = Annotated[str, Meta(pattern=r"^[^\x00]*$")]
_Positive = Annotated[int, Meta(ge=1, le=2**62)]

# SQLAlchemy itself is too slow to import just to look at a URL.
_DATABASE = re.compile(r"(?:sqlite|postgresql)(?:\+[a-z0-9_]+)?://")
_RELATIVE = re.compile(r"sqlite(?:\+[a-z0-9_]+)?:///(?!file:)([^/:?][^?]*)")


class _Table(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, frozen=True):
    """A TOML table: keys are written with ``-``, and unknown ones refused."""


class Database(_Table, frozen=True):
    """``[database]``. url: as SQLAlchemy writes it; it may hold a password, so it is never logged."""

    url: Annotated[
        _Name,
        Meta(
            description="The database, as SQLAlchemy writes it: sqlite:////absolute/path, or "
            "postgresql+psycopg://user@host/database, with %25 for a % in a name and %3F for a ?; the file "
            "cache.sqlite3 in $XDG_DATA_HOME/pubsub-cached when absent."
        ),
    ] = msgspec.field(default_factory=paths.database_url)

    @property
    def features(self) -> tuple[str, ...]:
        """What ``Manager.Features`` says of it."""
        return ("postgresql",) if self.url.startswith("postgresql") else ()


class Cache(_Table, frozen=True):
    """``[cache]``: limits; payload_limit and total_size in bytes, access_proof and audit_interval in seconds."""

    items_per_node: Annotated[
        _Positive, Meta(description="How many of the newest items are kept of a node like a blog.")
    ] = 500
    payload_limit: Annotated[
        _Positive, Meta(description="Bytes of an item's payload; of larger ones only the id is kept.")
    ] = 262_144
    total_size: Annotated[
        _Positive, Meta(description="Bytes of the whole cache; what nobody has read for longest goes first.")
    ] = 1_073_741_824
    access_proof: Annotated[
        _Positive, Meta(description="Seconds after which access to a node that is not open is proved again.")
    ] = 21_600
    audit_interval: Annotated[
        _Positive, Meta(description="Seconds after which a node is compared with its service as a whole.")
    ] = 604_800


class Sandbox(_Table, frozen=True):
    """``[sandbox]``. allow: ids of the sandboxed applications that have full access."""

    allow: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            description="Ids of sandboxed applications that have full access, others may only read: those of Flatpak, "
            "and snap.NAME for a snap."
        ),
    ] = ()


class Account(_Table, frozen=True):
    """One ``[[account]]``, checked and normalised.

    jid: bare. host: "" for SRV. port: 0 for SRV, or the default of ``tls``. ca_file, password_file: absolute or "".
    password_command: program and arguments, or (). With neither of the two the stored secret is used.
    """

    jid: Annotated[str, Meta(description="The bare JID, such as alice@example.org.")]
    password_file: Annotated[
        _Name,
        Meta(description="The file whose first line is the password; it must not be readable by others.", min_length=1),
    ] = ""
    password_command: Annotated[
        tuple[_Name, ...],
        Meta(description="A program and its arguments whose first line of output is the password.", min_length=1),
    ] = ()
    host: Annotated[str, Meta(description="Where to connect; what the domain's DNS says (SRV) when absent.")] = ""
    port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)],
        Meta(description="The TCP port; 5222, or 5223 for tls direct, when absent."),
    ] = 0
    tls: Annotated[Tls, Meta(description="starttls, direct, or none, which is for a loopback host only.")] = "starttls"
    ca_file: Annotated[_Name, Meta(description="Certificates to trust in place of the system's (PEM).")] = ""
    enabled: Annotated[bool, Meta(description="Whether to connect at all.")] = True


class Config(_Table, frozen=True):
    """The whole file."""

    log_level: Annotated[
        LogLevel, Meta(description="The least important level that is logged: debug, info, warning, error or critical.")
    ] = "info"
    database: Database = msgspec.field(default_factory=Database)
    cache: Cache = Cache()
    sandbox: Sandbox = Sandbox()
    account: tuple[Account, ...] = ()


def load(path: Path | None = None) -> Config:
    """The configuration in ``path``, or in the default file, which need not exist.

    Relative file names in it start at the file's own directory, ``~`` is the home directory.
    Raises BadConfiguration, whose sentence names the file, the key and the reason.
    """
    file = paths.config_file() if path is None else path
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if path is None:
            return Config()
        raise _bad(file, "", error.strerror) from None
    except OSError as error:
        raise _bad(file, "", error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise _bad(file, "", f"not UTF-8 at byte {error.start}") from None
    config = _convert(file, _parse(file, text))
    _check_database(file, config.database.url)
    return msgspec.structs.replace(config, account=_accounts(file, config.account))


def is_host(host: str) -> bool:
    """Whether this is the name of a host, as in the domain of a JID (RFC 7622 3.2), or an address."""
    if _address(host) is not None:
        return True
    try:
        normalise(host)
    except InvalidJid:
        return False
    return "@" not in host and "/" not in host


def unreadable(name: str) -> str | None:
    """Why a file can't be read; None when it can."""
    try:
        with open(name, "rb") as stream:
            stream.read(1)
    except OSError as error:
        return error.strerror or str(error)
    return None


def is_loopback(host: str) -> bool:
    """Whether a host name or address never leaves this machine (RFC 6761 6.3, RFC 1122 3.2.1.3)."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and address.is_loopback


def _address(host: str) -> IPv4Address | IPv6Address | None:
    from ipaddress import ip_address

    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_database_url(url: str) -> bool:
    """Whether a URL names a database of a kind that the store knows."""
    return _DATABASE.match(url) is not None


def _bad(file: Path, key: str, reason: str | None) -> BadConfiguration:
    at = f": {key}" if key else ""
    return BadConfiguration(f"Configuration file {file}{at}: {reason or 'unknown reason'}.")


def _parse(file: Path, text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # A number of too many digits, and what is nested too deep, are told in the interpreter's own way.
        raise _bad(file, "", f"not TOML: {error}") from None


def _convert(file: Path, table: dict[str, Any]) -> Config:
    try:
        return msgspec.convert(table, Config)
    except msgspec.ValidationError as error:
        key, reason = explain(error, Config, table)
    if key == "account":
        reason += "; write [[account]] above each"
    raise _bad(file, key, reason)


def _check_database(file: Path, url: str) -> None:
    if not is_database_url(url):
        raise _bad(file, "database.url", "not a URL that begins with sqlite:// or postgresql://")
    # It would be another file for each directory that the daemon may be started in.
    if relative := _RELATIVE.match(url):
        raise _bad(file, "database.url", f"'{relative[1]}' is no absolute path; write sqlite:////absolute/path")


def _accounts(file: Path, accounts: tuple[Account, ...]) -> tuple[Account, ...]:
    """The accounts, each checked and normalised, no JID twice."""
    done: dict[str, Account] = {}
    for number, account in enumerate(accounts):
        key = f"account[{number}]"
        checked = _account(file, key, account)
        if checked.jid in done:
            raise _bad(file, f"{key}.jid", f"'{checked.jid}' has an account already")
        done[checked.jid] = checked
    return tuple(done.values())


def _account(file: Path, key: str, account: Account) -> Account:
    jid = _jid(file, f"{key}.jid", account.jid)
    host = account.host or (domain(jid) if account.port else "")
    if host and not is_host(host):
        raise _bad(
            file, f"{key}.host", f"'{host}' is neither the name of a host nor an address; the port is of its own"
        )
    if account.tls == "none" and not is_loopback(host or domain(jid)):
        raise _bad(file, f"{key}.tls", f"'none' only towards loopback, not towards '{host or jid}'")
    if account.password_file and account.password_command:
        raise _bad(file, f"{key}.password-command", "there is a password-file as well; give one of the two")
    if account.password_command and not account.password_command[0]:
        raise _bad(file, f"{key}.password-command", "the name of the program is empty")
    ca_file = _file(file, account.ca_file)
    if ca_file and (reason := unreadable(ca_file)):
        raise _bad(file, f"{key}.ca-file", f"{ca_file}: {reason}")
    return msgspec.structs.replace(
        account, jid=jid, host=host, ca_file=ca_file, password_file=_file(file, account.password_file)
    )


def _jid(file: Path, key: str, text: str) -> str:
    try:
        jid = normalise(text)
    except InvalidJid as error:
        raise _bad(file, key, error.message.rstrip(".")) from None
    if "@" not in jid or "/" in jid:
        raise _bad(file, key, f"'{text}' is not a bare JID; write it as user@domain")
    return jid


def _file(file: Path, name: str) -> str:
    """A file's absolute name; "" stays ""."""
    return str(file.absolute().parent / os.path.expanduser(name)) if name else ""

"""``account``: add, list, connect and remove accounts."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from . import completing, output
from .arguments import Number, WholeNumber, json_option
from .failure import RESTART, Failure, Gone, Status
from .output import Column
from .running import run

if TYPE_CHECKING:
    from .client import Client

# As the daemon takes it, and what a pipe holds before anybody reads.
LONGEST_PASSWORD = 64 * 1024

COLUMNS = (
    Column("State"),
    Column("Account"),
    Column("Origin", style="dim"),
    Column("Reason", narrow="wrap"),
)

_jid = click.argument("jid", shell_complete=completing.accounts)
_seconds = click.option(
    "--wait",
    "seconds",
    metavar="SECONDS",
    type=Number(min=0),
    default=20,
    show_default=True,
    help="Wait so long for the session; 0 does not wait.",
)


@click.group()
def account() -> None:
    """Look after the accounts.

    Those of the configuration file can be listed, connected and disconnected, and be given a password where the file
    names none; everything else about them is changed in the file.
    """


@account.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List all accounts. JSON: jid, state, enabled, origin, error, error-message, server-features, path."""
    found = run(accounts)
    if as_json:
        output.json_lines(found)
        return
    show(found)
    if not found:
        output.note("There is no account yet: 'pubsub-cachectl account add JID' adds one.")


@account.command()
@_jid
@click.option("--host", help="Where to connect; what DNS says (SRV) when absent.")
@click.option("--port", metavar="PORT", type=WholeNumber(1, 65535), help="The TCP port.")
@click.option("--tls", type=click.Choice(["starttls", "direct", "none"]), help="none is for a loopback host only.")
@click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False),
    help="Certificates to trust in place of the system's (PEM).",
)
@click.option("--resource", help="The resource to ask for.")
@click.option("--disabled", is_flag=True, help="Do not connect.")
@click.option("--no-password", is_flag=True, help="Ask for none; 'account password' gives it later.")
@_seconds
def add(
    jid: str,
    host: str | None,
    port: int | None,
    tls: str | None,
    ca_file: str | None,
    resource: str | None,
    disabled: bool,
    no_password: bool,
    seconds: float,
) -> None:
    """Add an account.

    The password is asked for on the terminal, or read from stdin where that is none.
    """
    secret = b"" if no_password else _password(jid)
    options: dict[str, tuple[str, Any]] = {
        "host": ("s", host),
        "port": ("q", port),
        "tls": ("s", tls),
        "ca-file": ("s", os.path.abspath(ca_file) if ca_file else None),
        "resource": ("s", resource),
        "enabled": ("b", False if disabled else None),
    }

    async def work(client: Client) -> str:
        (path,) = await client.call("Manager", "AddAccount", "sa{sv}", jid, options)
        if not secret:
            return f"{jid} was added; it stays offline until 'pubsub-cachectl account password {jid}'."
        try:
            return await _with_password(client, path, jid, secret, seconds)
        except Failure as failure:
            undo = f"The account was added all the same; to undo that: pubsub-cachectl account remove {jid}"
            raise Failure(Status(failure.exit_code), f"{failure.message}\n{undo}") from None

    output.say(run(work))


@account.command()
@_jid
@click.option("--keep-cache", is_flag=True, help="Keep nodes, items and flags for when the account is added again.")
def remove(jid: str, keep_cache: bool) -> None:
    """Remove an account with its password and its part of the cache.

    That is its nodes and items, and the flags of these. Nothing is removed at the services.
    """

    async def work(client: Client) -> None:
        await client.call(
            "Account", "Remove", "a{sv}", {"keep-cache": ("b", keep_cache)}, path=await _path(client, jid)
        )

    run(work)
    output.say(f"{jid} was removed" + (", its cache is kept." if keep_cache else " with its part of the cache."))


@account.command()
@_jid
@_seconds
def password(jid: str, seconds: float) -> None:
    """Set the password of an account, and connect.

    It is asked for on the terminal, or read from stdin where that is none; it is kept in the desktop's keyring, or
    where none runs in a private file.
    """
    secret = _password(jid)
    if not secret:
        raise click.UsageError("The password is empty.")

    async def work(client: Client) -> str:
        return await _with_password(client, await _path(client, jid), jid, secret, seconds)

    output.say(run(work))


@account.command()
@_jid
@_seconds
def connect(jid: str, seconds: float) -> None:
    """Connect an account; lasts until the daemon restarts."""

    async def work(client: Client) -> str:
        path = await _path(client, jid)
        await client.call("Account", "Connect", path=path)
        return await _settled(client, path, jid, seconds)

    output.say(run(work))


@account.command()
@_jid
def disconnect(jid: str) -> None:
    """End an account's session; what is cached stays readable. Lasts until the daemon restarts."""

    async def work(client: Client) -> None:
        await client.call("Account", "Disconnect", path=await _path(client, jid))

    run(work)
    output.say(f"{jid} is offline until 'pubsub-cachectl account connect {jid}' or the daemon's next start.")


@account.command()
@_jid
def enable(jid: str) -> None:
    """Have an account connect from now on."""
    _set_enabled(jid, True)


@account.command()
@_jid
def disable(jid: str) -> None:
    """Have an account never connect; what is cached stays."""
    _set_enabled(jid, False)


def _set_enabled(jid: str, enabled: bool) -> None:
    async def work(client: Client) -> None:
        await client.set("Account", "Enabled", "b", enabled, await _path(client, jid))

    run(work)
    output.say(f"{jid} is {'enabled' if enabled else 'disabled'}.")


async def accounts(client: Client) -> list[dict[str, Any]]:
    """All accounts with their properties, named as records are."""
    found = []
    for path in (await client.call("Manager", "ListAccounts"))[0]:
        with contextlib.suppress(Gone):
            found.append(await _properties(client, path))
    return found


async def _properties(client: Client, path: str) -> dict[str, Any]:
    properties = await client.get_all("Account", path)
    return {
        "jid": properties["Jid"],
        "state": properties["State"],
        "enabled": properties["Enabled"],
        "origin": properties["Origin"],
        "error": properties["Error"],
        "error-message": properties["ErrorMessage"],
        "server-features": properties["ServerFeatures"],
        "path": path,
    }


async def only_account(client: Client) -> str:
    """The JID of the account that is meant where none is named. Raises click.UsageError."""
    enabled = [each["jid"] for each in await accounts(client) if each["enabled"]]
    if len(enabled) != 1:
        raise click.UsageError(f"{len(enabled)} accounts are enabled; say with --account which is meant.")
    return str(enabled[0])


def is_another_daemon_s(account: dict[str, Any]) -> bool:
    """Whether another daemon on the same database runs it."""
    return account["state"] == "waiting" and str(account["error"]).endswith(".Conflict")


def remedy(account: dict[str, Any]) -> str:
    """What to do about an account that has no session, though it is enabled."""
    jid, is_configured = account["jid"], account["origin"] == "config"
    connect, password = (f"pubsub-cachectl account {command} {jid}" for command in ("connect", "password"))
    if is_another_daemon_s(account):
        return "It is taken over by itself once the other daemon has ended."
    if account["error"].endswith(".AuthenticationFailed"):
        if account["error-message"].startswith(f"No password of {jid} is stored"):
            return password
        if is_configured:
            where = "Correct the password where the configuration says"
            changed = f"or if the configuration itself was changed: {RESTART}"
            return f"{where}, then: {connect}, {changed}; where it says nothing: {password}"
        if account["error-message"].startswith(f"The password of {jid} can't be read"):
            return f"Unlock the keyring, then: {connect}; or give the password anew: {password}"
        return password
    if account["state"] == "offline":
        return connect if is_configured else f"{password}, or if it has one: {connect}"
    if account["state"] == "failed":
        again = f"or once the server is mended: {connect}"
        if is_configured:
            return f"Correct it in the configuration, then: {RESTART}; {again}"
        return f"pubsub-cachectl account remove --keep-cache {jid}, then add it with the right options; {again}"
    return (
        f"It is tried again by itself; look at the network and the account's host and port. To try at once: {connect}"
    )


def show(found: list[dict[str, Any]]) -> None:
    """Print a row an account."""
    rows = [
        [each["state"] if each["enabled"] else "disabled", each["jid"], each["origin"], each["error-message"]]
        for each in found
    ]
    output.table(COLUMNS, rows)


async def _path(client: Client, jid: str) -> str:
    return str((await client.call("Manager", "GetAccount", "s", jid))[0])


def _password(jid: str) -> bytes:
    """From the terminal, or all of stdin but a newline at its end; never from the arguments."""
    if sys.stdin.isatty():
        return str(click.prompt(f"Password of {jid}", hide_input=True, err=True)).encode()
    secret = sys.stdin.buffer.read(LONGEST_PASSWORD + 1)
    if len(secret) > LONGEST_PASSWORD:
        raise click.UsageError(f"A password has at most {LONGEST_PASSWORD} bytes; is stdin the right file?")
    return secret.removesuffix(b"\n")


async def _with_password(client: Client, path: str, jid: str, secret: bytes, seconds: float) -> str:
    reader, writer = os.pipe()
    try:
        # It fits into the pipe, so this does not wait for a reader.
        with open(writer, "wb") as stream:
            stream.write(secret)
        # Longer than others: the keyring may first ask somebody to unlock it.
        await client.call("Account", "SetPassword", "h", reader, path=path, seconds=180.0)
    finally:
        os.close(reader)
    return await _settled(client, path, jid, seconds)


async def _settled(client: Client, path: str, jid: str, seconds: float) -> str:
    """What became of the session that was just begun; where there is none in time that ends the command."""
    import asyncio

    from ..bus import PROPERTIES

    changed = asyncio.Event()
    subscription = await client.hear(
        lambda _: changed.set(), path=path, interface=PROPERTIES, member="PropertiesChanged"
    )
    try:
        found = await _properties(client, path)
        if not found["enabled"]:
            return f"{jid} is disabled; 'pubsub-cachectl account enable {jid}' has it connect."
        async with asyncio.timeout(seconds):
            while found["state"] not in ("online", "failed"):
                await changed.wait()
                changed.clear()
                found = await _properties(client, path)
    except TimeoutError:
        if not seconds:
            return f"{jid} is not online yet; 'pubsub-cachectl status' tells more."
    finally:
        subscription.cancel()
    if found["state"] == "online":
        return f"{jid} is online."
    failed = found["state"] == "failed"
    reason = found["error-message"] or f"it is {found['state']}."
    sentence = f"{jid} {'has failed' if failed else 'is not online yet'}: {reason}"
    raise Failure(Status.REFUSED if failed else Status.TIMEOUT, f"{sentence}\n→ {remedy(found)}")

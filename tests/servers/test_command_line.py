"""``pubsub-cachectl`` against the real daemon and a real server: from the account to the first post and back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.certificates import self_signed
from tests.support.command import Command
from tests.support.daemon import Daemon
from tests.support.server import Server

ENTRY = (
    "<entry xmlns='http://www.w3.org/2005/Atom'><id>tag:{0}</id><title type='text'>Post {0}</title>"
    "<updated>2026-11-01T00:00:00Z</updated></entry>"
)
MICROBLOG = "urn:xmpp:microblog:0"


async def test_an_account_a_post_and_its_end(daemon: Daemon, server: Server, users: tuple[str, str]) -> None:
    await daemon.start()
    ctl = Command(daemon.environment)
    user = users[0]
    jid = server.jid(user)
    connection = ("--host", server.host, "--port", str(server.port), "--ca-file", server.ca_file)

    refused = await ctl("account", "add", jid, *map(str, connection), stdin="not the password")
    assert refused.status == 1
    assert f"pubsub-cachectl account password {jid}" in refused.err
    assert (await ctl.ok("account", "password", jid, stdin=server.passwords[user])).out == f"{jid} is online.\n"

    await ctl.ok("publish", ".", MICROBLOG, "--id", "one", stdin=ENTRY.format("one"))
    await ctl.ok("sync", ".", MICROBLOG)
    watching = await ctl.start("watch", ".", MICROBLOG, "--count", "1", "--timeout", "30")
    await ctl.listening(watching, 2)
    await ctl.ok("publish", ".", MICROBLOG, "--id", "two", stdin=ENTRY.format("two"))
    async with asyncio.timeout(40):
        shown, err = await watching.communicate()
    assert shown.decode().rstrip().endswith(f"{jid} {MICROBLOG}: + two  Post two"), err

    # What else a node keeps that a server made by itself is the server's choice.
    assert (await ctl.ok("get", ".", MICROBLOG, "--limit", "1", "--json")).records[0]["id"] == "two"
    assert [item["id"] for item in (await ctl.ok("search", "two", "--json")).records] == ["two"]
    await ctl.ok("retract", ".", MICROBLOG, "two")
    assert "two" not in [item["id"] for item in (await ctl.ok("get", ".", MICROBLOG, "--json")).records]

    assert (await ctl.ok("check")).out == "Nothing is wrong.\n"
    await ctl.ok("account", "remove", jid)
    assert (await ctl.ok("nodes", "--json")).out == ""


async def test_who_trusts_another_certificate_is_told_how_to_give_the_right_one(
    daemon: Daemon, server: Server, users: tuple[str, str], tmp_path: Path
) -> None:
    await daemon.start()
    ctl = Command(daemon.environment)
    jid, secret = server.jid(users[0]), server.passwords[users[0]]
    add = ("account", "add", jid, "--host", server.host, "--port", str(server.port), "--ca-file")

    refused = await ctl(*add, str(self_signed(tmp_path).certificate), stdin=secret)
    assert refused.status == 1
    assert f"{jid} has failed: The certificate of {server.host} port {server.port} can't be trusted" in refused.err
    (account,) = (
        finding for finding in (await ctl("doctor", "--json")).records if finding["subject"] == f"account {jid}"
    )
    remove = ("account", "remove", "--keep-cache", jid)
    assert account["remedy"].startswith(f"pubsub-cachectl {' '.join(remove)}, then add it with the right options;")
    assert account["remedy"] in refused.err

    await ctl.ok(*remove)
    assert (await ctl.ok(*add, server.ca_file, stdin=secret)).out == f"{jid} is online.\n"

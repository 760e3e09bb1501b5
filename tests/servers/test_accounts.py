"""Accounts added over the bus, against a real server: a password by descriptor, a restart, an end."""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

import pytest

from pubsub_cached.bus import RemoteError, Variant
from tests.support.daemon import DBUS, NAME, Daemon
from tests.support.prosody import Prosody
from tests.support.publisher import Publisher
from tests.support.server import PASSWORD

NODE = "urn:xmpp:microblog:0/accounts"
ENTRY = "<entry xmlns='http://www.w3.org/2005/Atom'><id>tag:1</id><title>One</title></entry>"

pytestmark = pytest.mark.prosody


def options(server: Prosody, **more: Variant) -> dict[str, Variant]:
    return {
        "host": Variant("s", server.host),
        "port": Variant("q", server.port),
        "ca-file": Variant("s", server.ca_file),
        **more,
    }


async def set_password(daemon: Daemon, path: str, password: str) -> None:
    reader, writer = os.pipe()
    os.write(writer, password.encode())
    os.close(writer)
    try:
        await daemon.call("Account", "SetPassword", "h", reader, path=path)
    finally:
        os.close(reader)


async def added(daemon: Daemon, server: Prosody, user: str = "bob") -> str:
    path: str = await daemon.call("Manager", "AddAccount", "sa{sv}", server.jid(user), options(server))
    return path


async def managed(daemon: Daemon) -> dict[str, Any]:
    (objects,) = await daemon.client.call(
        NAME, "/im/pubsubcache1", f"{DBUS}.ObjectManager", "GetManagedObjects", "", []
    )
    found: dict[str, Any] = objects
    return found


async def test_an_added_account_stays_offline_until_it_has_a_password(daemon: Daemon, prosody: Prosody) -> None:
    await daemon.start()
    path = await added(daemon, prosody)
    assert path == "/im/pubsubcache1/account/bob_40localhost"
    assert await daemon.get("Account", "State", path) == "offline"
    assert await daemon.get("Account", "Origin", path) == "bus"
    assert path in await managed(daemon)
    await set_password(daemon, path, PASSWORD + "\n")
    await daemon.state(prosody.jid("bob"), "online")
    assert await daemon.get("Account", "ServerFeatures", path)


async def test_an_added_account_is_there_and_online_after_a_restart(daemon: Daemon, prosody: Prosody) -> None:
    await daemon.start()
    path = await added(daemon, prosody)
    await set_password(daemon, path, PASSWORD)
    await daemon.state(prosody.jid("bob"), "online")
    assert await daemon.end() == 0
    await daemon.start()
    await daemon.state(prosody.jid("bob"), "online")


async def test_the_password_is_nowhere_but_where_secrets_are_kept(daemon: Daemon, prosody: Prosody) -> None:
    await daemon.start("--log-level", "debug")
    path = await added(daemon, prosody)
    await set_password(daemon, path, PASSWORD)
    await daemon.state(prosody.jid("bob"), "online")
    assert PASSWORD not in daemon.log.read_text()
    assert PASSWORD not in str(await managed(daemon))
    assert PASSWORD.encode() not in daemon.database.read_bytes()
    holding = [
        file
        for file in daemon.directory.rglob("*")
        if file.is_file() and PASSWORD.encode() in file.read_bytes() and file.suffix != ".password"
    ]
    assert [file.name for file in holding] == ["secrets.json"]
    assert holding[0].stat().st_mode & 0o777 == 0o600


async def test_no_process_has_a_password_among_its_arguments_or_in_its_environment(
    daemon: Daemon, prosody: Prosody
) -> None:
    await daemon.start()
    await set_password(daemon, await added(daemon, prosody), PASSWORD)
    assert await daemon.end() == 0
    daemon.account(prosody, "alice")
    seen, text = daemon.directory / "seen", daemon.config.read_text()
    processes = "/proc/self/environ /proc/$PPID/environ /proc/$PPID/cmdline"
    look = f"cat {processes} > {seen}; cat {daemon.directory}/alice.password"
    command = f'password-command = ["sh", "-c", "{look}"]'
    daemon.config.write_text("\n".join(command if "password-file" in line else line for line in text.splitlines()))
    await daemon.start()
    for user in ("alice", "bob"):
        await daemon.state(prosody.jid(user), "online")
    found = seen.read_bytes()
    assert b"pubsub_cached" in found
    assert PASSWORD.encode() not in found


async def test_a_wrong_password_can_be_mended(daemon: Daemon, prosody: Prosody) -> None:
    await daemon.start()
    path = await added(daemon, prosody)
    await set_password(daemon, path, "wrong")
    await daemon.state(prosody.jid("bob"), "failed")
    assert (await daemon.get("Account", "Error", path)).endswith("AuthenticationFailed")
    await set_password(daemon, path, PASSWORD)
    await daemon.state(prosody.jid("bob"), "online")
    assert await daemon.get("Account", "Error", path) == ""


async def test_disconnect_and_connect(daemon: Daemon, prosody: Prosody) -> None:
    daemon.account(prosody, "bob")
    await daemon.start()
    await daemon.state(prosody.jid("bob"), "online")
    path = await daemon.call("Manager", "GetAccount", "s", prosody.jid("bob"))
    await daemon.call("Account", "Disconnect", path=path)
    await daemon.state(prosody.jid("bob"), "offline")
    await daemon.call("Account", "Connect", path=path)
    await daemon.state(prosody.jid("bob"), "online")


async def test_an_account_of_the_configuration_is_not_changed_over_the_bus(daemon: Daemon, prosody: Prosody) -> None:
    daemon.account(prosody, "bob")
    await daemon.start()
    path = await daemon.call("Manager", "GetAccount", "s", prosody.jid("bob"))
    with pytest.raises(RemoteError) as caught:
        await daemon.call("Account", "Remove", "a{sv}", {}, path=path)
    assert caught.value.name == "im.pubsubcache1.Error.NotSupported"
    with pytest.raises(RemoteError) as caught:
        await daemon.client.call(
            NAME, path, f"{DBUS}.Properties", "Set", "ssv", [f"{NAME}.Account", "Enabled", Variant("b", False)]
        )
    assert caught.value.name == "im.pubsubcache1.Error.NotSupported"


@pytest.mark.parametrize("keep", [True, False], ids=["cache kept", "cache removed"])
async def test_a_removed_account_keeps_its_cache_only_when_asked(daemon: Daemon, prosody: Prosody, keep: bool) -> None:
    node = f"{NODE}/{uuid4().hex}"
    alice = await Publisher.open(prosody, "alice")
    await alice.create(prosody.pubsub, node, {"access_model": "open", "persist_items": True})
    await alice.publish(prosody.pubsub, node, "1", ENTRY)
    await alice.close()
    await daemon.start()
    path = await added(daemon, prosody)
    await set_password(daemon, path, PASSWORD)
    await daemon.state(prosody.jid("bob"), "online")
    await daemon.items(prosody.pubsub, node)
    await daemon.settled(prosody.pubsub, node, "live")
    await daemon.call("Account", "Remove", "a{sv}", {"keep-cache": Variant("b", keep)}, path=path)
    await daemon.until(lambda heard: heard.member == "AccountRemoved" and heard.body == [path])
    assert path not in await managed(daemon)
    with pytest.raises(RemoteError) as caught:
        await daemon.items(prosody.pubsub, node)
    assert caught.value.name == "im.pubsubcache1.Error.NoSuchAccount"
    await added(daemon, prosody)
    nodes, _ = await daemon.call("Cache", "ListNodes", "a{sv}", {})
    assert bool(nodes) is keep

"""The whole way: a real server, the daemon as a process, a real bus."""

from __future__ import annotations

import signal
import sqlite3
from uuid import uuid4

import pytest

from pubsub_cached.bus import RemoteError, Variant
from tests.support.daemon import Daemon
from tests.support.publisher import Publisher, befriend
from tests.support.server import Server

MICROBLOG = "urn:xmpp:microblog:0"
ENTRY = (
    "<entry xmlns='http://www.w3.org/2005/Atom'><id>tag:{0}</id><title type='text'>Post {0}</title>"
    "<updated>2026-11-01T00:00:00Z</updated></entry>"
)


@pytest.fixture
def node() -> str:
    """A node of its own for each test: the servers live on."""
    return f"{MICROBLOG}/{uuid4().hex}"


async def filled(alice: Publisher, server: Server, node: str, count: int = 3) -> None:
    await alice.create(server.pubsub, node, {"max_items": 1000, "persist_items": True, "access_model": "open"})
    for number in range(count):
        await alice.publish(server.pubsub, node, f"i{number}", ENTRY.format(number))


async def running(daemon: Daemon, server: Server, user: str = "bob") -> Daemon:
    daemon.account(server, user)
    await daemon.start()
    await daemon.state(server.jid(user), "online")
    return daemon


async def following(daemon: Daemon, server: Server, node: str) -> None:
    """The daemon keeps the node for bob."""
    await running(daemon, server)
    await daemon.items(server.pubsub, node)
    await daemon.settled(server.pubsub, node, "live")


async def test_the_call_that_came_before_the_session_is_answered_by_the_service(
    daemon: Daemon, server: Server, alice: Publisher, node: str
) -> None:
    await filled(alice, server, node)
    daemon.account(server, "bob")
    await daemon.start()
    # The account is only just connecting.
    items, _, info = await daemon.items(server.pubsub, node)
    assert ([item["id"] for item in items], info["source"]) == (["i2", "i1", "i0"], "network")


async def test_the_first_read_comes_from_the_service_and_the_second_from_the_cache(
    daemon: Daemon, server: Server, alice: Publisher, node: str
) -> None:
    await filled(alice, server, node)
    await running(daemon, server)
    items, _, info = await daemon.items(server.pubsub, node)
    assert [item["id"] for item in items] == ["i2", "i1", "i0"]
    assert info["source"] == "network"
    assert "3 items" in await daemon.call("Job", "Wait", path=info["job"])
    items, cursor, info = await daemon.items(server.pubsub, node)
    assert [item["id"] for item in items] == ["i2", "i1", "i0"]
    assert (info["source"], info["freshness"], info["completeness"], cursor) == ("cache", "live", "full", "")
    assert items[0]["type"] == "blog"
    assert "Post 2" in items[0]["data"]


async def test_a_publish_becomes_a_signal_and_is_there_when_it_comes(
    daemon: Daemon, server: Server, alice: Publisher, node: str
) -> None:
    await filled(alice, server, node)
    await following(daemon, server, node)
    await alice.publish(server.pubsub, node, "new", ENTRY.format("new"))
    heard = await daemon.until(lambda heard: heard.member == "ItemsChanged" and heard.body[3] == ["new"])
    account, service, name, changed, removed, revision = heard.body
    assert (account, service, name, changed, removed) == (server.jid("bob"), server.pubsub, node, ["new"], [])
    items, _, info = await daemon.items(server.pubsub, node, limit=Variant("u", 1))
    assert items[0]["id"] == "new"
    assert info["revision"] >= revision


async def test_a_retraction_and_a_deletion_are_followed(
    daemon: Daemon, server: Server, alice: Publisher, node: str
) -> None:
    await filled(alice, server, node)
    await following(daemon, server, node)
    await alice.retract(server.pubsub, node, "i1", notify=True)
    await daemon.until(lambda heard: heard.member == "ItemsChanged" and heard.body[4] == ["i1"])
    await alice.configure(server.pubsub, node, {"notify_delete": True})
    await alice.delete(server.pubsub, node)
    await daemon.settled(server.pubsub, node, "gone")
    with pytest.raises(RemoteError) as caught:
        await daemon.items(server.pubsub, node)
    assert caught.value.name == "im.pubsubcache1.Error.NoSuchNode"


async def test_a_larger_node_is_fetched_whole_in_the_services_order(
    daemon: Daemon, server: Server, alice: Publisher, node: str
) -> None:
    await filled(alice, server, node, 130)
    await alice.publish(server.pubsub, node, "i5", ENTRY.format("five again"))
    await following(daemon, server, node)
    wanted = list(await alice.items(server.pubsub, node))
    items, _, info = await daemon.items(server.pubsub, node, limit=Variant("u", 500))
    assert [item["id"] for item in items] == wanted[::-1]
    assert info["total"] == 130


async def test_a_contacts_blog_comes_by_itself(daemon: Daemon, server: Server, alice: Publisher) -> None:
    bob = await Publisher.open(server, "bob")
    await befriend(alice, bob)
    await bob.close()
    await alice.publish("", MICROBLOG, "pep1", ENTRY.format("pep1"), {"access_model": "open", "persist_items": True})
    await running(daemon, server)
    items, *_ = await daemon.items(server.jid("alice"), MICROBLOG)
    assert "pep1" in [item["id"] for item in items]
    await daemon.settled(server.jid("alice"), MICROBLOG, "live")
    await alice.publish("", MICROBLOG, "pep2", ENTRY.format("pep2"))
    await daemon.until(lambda heard: heard.member == "ItemsChanged" and heard.body[3] == ["pep2"])


async def test_what_was_stored_is_served_after_a_kill(
    daemon: Daemon, server: Server, alice: Publisher, node: str
) -> None:
    await filled(alice, server, node)
    await following(daemon, server, node)
    await daemon.end(signal.SIGKILL)
    with sqlite3.connect(daemon.database) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    await daemon.start()
    items, _, info = await daemon.items(server.pubsub, node, policy=Variant("s", "cache"))
    assert [item["id"] for item in items] == ["i2", "i1", "i0"]
    assert info["source"] == "cache"


class TestServerDown:
    async def test_reads_go_on_and_what_was_missed_is_found(
        self, daemon: Daemon, own_prosody: Server, node: str
    ) -> None:
        alice = await Publisher.open(own_prosody, "alice")
        await filled(alice, own_prosody, node)
        await running(daemon, own_prosody)
        await daemon.items(own_prosody.pubsub, node)
        await daemon.settled(own_prosody.pubsub, node, "live")
        await alice.close()
        own_prosody.stop()
        await daemon.state(own_prosody.jid("bob"), "waiting")
        items, _, info = await daemon.items(own_prosody.pubsub, node)
        assert (len(items), info["source"], info["freshness"]) == (3, "cache", "offline")
        own_prosody.start()
        alice = await Publisher.open(own_prosody, "alice")
        await alice.publish(own_prosody.pubsub, node, "late", ENTRY.format("late"))
        await daemon.until(lambda heard: heard.member == "ItemsChanged" and "late" in heard.body[3])
        await alice.close()

    async def test_a_daemon_started_without_its_server_answers_from_the_first_moment(
        self, daemon: Daemon, own_prosody: Server, node: str
    ) -> None:
        alice = await Publisher.open(own_prosody, "alice")
        await filled(alice, own_prosody, node)
        await alice.close()
        await running(daemon, own_prosody)
        await daemon.items(own_prosody.pubsub, node)
        await daemon.settled(own_prosody.pubsub, node, "live")
        assert await daemon.end() == 0
        own_prosody.stop()
        await daemon.start()
        items, _, info = await daemon.items(own_prosody.pubsub, node)
        assert (len(items), info["source"], info["freshness"]) == (3, "cache", "offline")


async def test_a_wrong_password_fails_the_account_and_nothing_else(daemon: Daemon, prosody: Server) -> None:
    daemon.account(prosody, "bob")
    (daemon.directory / "bob.password").write_text("not the password")
    await daemon.start()
    await daemon.state(prosody.jid("bob"), "failed")
    path = await daemon.call("Manager", "GetAccount", "s", prosody.jid("bob"))
    assert await daemon.get("Account", "Error", path) == "im.pubsubcache1.Error.AuthenticationFailed"
    assert await daemon.get("Account", "ErrorMessage", path)
    assert await daemon.get("Manager", "State") == "running"
    assert "not the password" not in daemon.log.read_text()

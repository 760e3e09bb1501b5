"""The whole way over PostgreSQL: a real Prosody, a real database server, the daemon as a process, a real bus."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from pubsub_cached.bus import RemoteError, Variant
from pubsub_cached.store.postgresql import locks
from tests.support.bus import PrivateBus
from tests.support.command import Command
from tests.support.daemon import NAME, ROOT, Daemon
from tests.support.postgresql import PASSWORD, PostgreSQL
from tests.support.publisher import Publisher
from tests.support.server import Server

from .test_end_to_end import filled, running

pytestmark = pytest.mark.prosody


def configured(daemon: Daemon, url: str) -> None:
    daemon.config.write_text(f'[database]\nurl = "{url}"\n')


def export(daemon: Daemon, descriptor: int) -> str:
    """What gdbus prints of an export."""
    method = ("gdbus", "call", "--session", "-d", NAME, "-o", ROOT, "-m", f"{NAME}.Cache.Export")
    return subprocess.run(
        [*method, "", "", "{}", str(descriptor)],
        pass_fds=(descriptor,),
        env=daemon.environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


async def job(daemon: Daemon, interface: str, member: str) -> str:
    """What a job says at its end."""
    path = await daemon.call(interface, member)
    said: str = await daemon.call("Job", "Wait", path=path)
    return said


async def test_reads_searches_views_and_exports_and_a_restart(
    daemon: Daemon, prosody: Server, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    node = f"blog/{uuid4().hex}"
    name = postgresql.create()
    configured(daemon, postgresql.url(name, password=True))
    alice = await Publisher.open(prosody, "alice")
    await filled(alice, prosody, node)
    await running(daemon, prosody)
    assert "postgresql" in await daemon.get("Manager", "Features")

    items, _, info = await daemon.items(prosody.pubsub, node)
    assert (len(items), info["source"]) == (3, "network")
    await daemon.call("Job", "Wait", path=info["job"])
    items, _, info = await daemon.items(prosody.pubsub, node)
    assert [item["id"] for item in items] == ["i2", "i1", "i0"]
    assert (info["source"], info["freshness"], info["completeness"]) == ("cache", "live", "full")

    where = json.dumps({"where": [["title[*].text", "ilike", "POST%"]]})
    found, _, info = await daemon.call("Cache", "Search", "ssa{sv}", "post -1", where, {})
    assert sorted(item["id"] for item in found) == ["i0", "i2"]
    assert "item_text" in await daemon.call("Debug", "Explain", "ssa{sv}", "post", "", {})

    view = await daemon.call("Cache", "CreateView", "ssa{sv}", "post", "", {"order": Variant("s", "id")})
    await daemon.call("View", "Start", path=view)
    ready = await daemon.until(lambda heard: heard.member == "Ready")
    assert ready.body == [3]
    await alice.publish(prosody.pubsub, node, "i3", items[0]["payload"])
    await daemon.until(lambda heard: heard.member == "Added" and heard.body[0][0]["id"].value == "i3")
    listed = await daemon.call("View", "GetRange", "uu", 0, 10, path=view)
    assert [item["id"] for item in listed] == ["i0", "i1", "i2", "i3"]

    exported = tmp_path / "export.jsonl"
    with exported.open("w") as file:
        said = await asyncio.to_thread(export, daemon, file.fileno())
    assert await daemon.call("Job", "Wait", path=said.split("'")[1]) == "4 items were written."
    assert len(exported.read_text().splitlines()) == 4

    assert await job(daemon, "Debug", "Check") == "Nothing is wrong."
    assert "bytes were given back" in await job(daemon, "Debug", "Compact")
    statistics = await daemon.call("Debug", "GetStatistics")
    assert (statistics["items"], statistics["bytes"] > 0, "free" in statistics) == (4, True, False)

    await alice.close()
    await daemon.end(signal.SIGKILL)
    await daemon.start()
    items, _, info = await daemon.items(prosody.pubsub, node, policy=Variant("s", "cache"))
    assert [item["id"] for item in items] == ["i3", "i2", "i1", "i0"]
    assert PASSWORD not in daemon.log.read_text()
    assert PASSWORD.replace(" ", "%20") not in daemon.log.read_text()
    assert await daemon.end() == 0


async def test_a_database_server_that_is_away_is_said_and_awaited(daemon: Daemon, prosody: Server) -> None:
    own = PostgreSQL().start()
    try:
        node = f"blog/{uuid4().hex}"
        alice = await Publisher.open(prosody, "alice")
        await filled(alice, prosody, node)
        await alice.close()
        configured(daemon, own.url(own.create(), password=True))
        await running(daemon, prosody)
        await daemon.items(prosody.pubsub, node)
        await daemon.settled(prosody.pubsub, node, "live")
        own.stop()
        with pytest.raises(RemoteError, match="can't be reached") as caught:
            await daemon.items(prosody.pubsub, node)
        assert caught.value.name == "im.pubsubcache1.Error.DatabaseError"
        doctor = await Command(daemon.environment)("doctor")
        assert "database: The database can't be reached" in doctor.out
        assert doctor.out.count("can't be reached") == 1
        assert "Start its server" in doctor.out + doctor.err
        own.start()
        items, *_ = await daemon.items(prosody.pubsub, node)
        assert [item["id"] for item in items] == ["i2", "i1", "i0"]
        own.stop()
        assert await daemon.end() == 0
        daemon.launch()
        assert daemon.process is not None
        assert daemon.process.wait(60) == 1
        assert "Is the server running?" in daemon.log.read_text()
    finally:
        own.remove()


async def test_a_second_daemon_serves_its_own_account_and_takes_the_shared_one_over_when_the_first_is_killed(
    daemon: Daemon, prosody: Server, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    url = postgresql.url(postgresql.create())
    node = f"blog/{uuid4().hex}"
    bob, alice = prosody.jid("bob"), prosody.jid("alice")
    publisher = await Publisher.open(prosody, "alice")
    await filled(publisher, prosody, node)
    configured(daemon, url)
    await running(daemon, prosody)
    await daemon.items(prosody.pubsub, node)
    await daemon.settled(prosody.pubsub, node, "live")
    with PrivateBus() as bus:
        other = await Daemon(bus, tmp_path / "other home").connect()
        try:
            configured(other, url)
            other.account(prosody, "bob")
            other.account(prosody, "alice")
            await other.start()
            # It serves what is its own, says why not the other, and shows what is stored of that.
            await other.state(alice, "online")
            await other.state(bob, "waiting")
            by_another = f"{bob} is run by another daemon (pubsub-cached on this machine, since "
            assert f"{by_another}2" in other.log.read_text()
            command = Command(other.environment)
            said = json.loads((await command.ok("status", "--json")).out)
            accounts = {each["jid"]: each for each in said["accounts"]}
            assert accounts[bob]["error"] == "im.pubsubcache1.Error.Conflict"
            assert accounts[bob]["error-message"].startswith(by_another)
            doctor = await command("doctor")
            assert f"account {bob}: {by_another}" in doctor.out
            assert f"account {alice}: online." in doctor.out
            items, _, info = await other.items(prosody.pubsub, node, account=alice)
            assert (len(items), info["source"]) == (3, "network")
            await publisher.publish(prosody.pubsub, node, "i3", items[0]["payload"])
            changed = await other.until(lambda heard: heard.member == "NodeChanged" and heard.body[0] == bob)
            assert changed.body[3] == "updated"
            items, _, info = await other.items(prosody.pubsub, node, account=bob)
            assert ([item["id"] for item in items], info["freshness"]) == (["i3", "i2", "i1", "i0"], "offline")
            with pytest.raises(RemoteError, match="is run by another daemon") as caught:
                await other.call("Cache", "SetFlags", "sssasasas", bob, prosody.pubsub, node, ["i0"], ["read"], [])
            assert caught.value.name == "im.pubsubcache1.Error.Conflict"

            await daemon.end(signal.SIGKILL)
            await other.state(bob, "online")
            await other.settled(prosody.pubsub, node, "live", account=bob)
            items, _, info = await other.items(prosody.pubsub, node, account=bob)
            assert ([item["id"] for item in items], info["freshness"]) == (["i3", "i2", "i1", "i0"], "live")
            await daemon.start()
            await daemon.state(bob, "waiting")
            assert await other.end() == 0
            await daemon.state(bob, "online")
        finally:
            await publisher.close()
            await other.close()


async def test_a_daemon_that_froze_in_a_write_wakes_without_its_account_and_has_written_nothing(
    daemon: Daemon, prosody: Server, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    database = postgresql.create()
    url = postgresql.url(database)
    bob, node = prosody.jid("bob"), f"blog/{uuid4().hex}"
    publisher = await Publisher.open(prosody, "alice")
    await filled(publisher, prosody, node)
    configured(daemon, url)
    await running(daemon, prosody)
    await daemon.items(prosody.pubsub, node)
    await daemon.settled(prosody.pubsub, node, "live")
    connected = f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}'"
    its = [pid for (pid,) in postgresql.execute(connected)]
    with PrivateBus() as bus:
        other = await Daemon(bus, tmp_path / "other home").connect()
        try:
            configured(other, url)
            other.account(prosody, "bob")
            await other.start()
            await other.state(bob, "waiting")
            assert daemon.process is not None
            with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as turn:
                mine = locks.of(turn).turn.arguments
                turn.execute(f"SELECT pg_advisory_lock({mine})")
                flagged = asyncio.create_task(
                    daemon.call("Cache", "SetFlags", "sssasasas", bob, prosody.pubsub, node, ["i0"], ["starred"], [])
                )
                asked = (
                    "SELECT pid FROM pg_locks"
                    " WHERE pid = ANY(%s) AND granted = %s AND classid = %s::oid AND objid = %s::oid"
                )
                lock = locks.of(turn).turn
                while not (frozen := turn.execute(asked, [its, False, *lock]).fetchone()):
                    await asyncio.sleep(0.01)
                # It is its turn to write, and it does not.
                daemon.process.send_signal(signal.SIGSTOP)
                turn.execute(f"SELECT pg_advisory_unlock({mine})")
                while turn.execute(asked, [its, True, *lock]).fetchone() != frozen:
                    await asyncio.sleep(0.01)
                # As the server does by itself after a minute.
                turn.execute("SELECT pg_terminate_backend(%s)", frozen)
            try:
                await other.state(bob, "online")
                await other.settled(prosody.pubsub, node, "live")
                await other.call("Cache", "SetFlags", "sssasasas", bob, prosody.pubsub, node, ["i0"], ["read"], [])
            finally:
                daemon.process.send_signal(signal.SIGCONT)
            with pytest.raises(RemoteError) as caught:
                await flagged
            # Something else of the daemon may have had the turn; then this comes to an account that it runs no more.
            assert caught.value.name in ("im.pubsubcache1.Error.DatabaseError", "im.pubsubcache1.Error.Conflict")
            await daemon.state(bob, "waiting")
            said = f"{bob} is run by another daemon since the connection to the database was lost."
            assert said in daemon.log.read_text()
            with pytest.raises(RemoteError, match="is run by another daemon") as caught:
                await daemon.call("Cache", "SetFlags", "sssasasas", bob, prosody.pubsub, node, ["i0"], ["starred"], [])
            assert caught.value.name == "im.pubsubcache1.Error.Conflict"
            for each in (daemon, other):
                items, *_ = await each.items(prosody.pubsub, node)
                assert {item["id"]: item["flags"] for item in items}["i0"] == ["read"]
            await other.state(bob, "online")
        finally:
            await publisher.close()
            await other.close()

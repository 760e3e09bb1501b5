"""Several daemons on one database of PostgreSQL: each has accounts of its own, and of each account one runs it."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import from_mapping
from pubsub_cached.cache.accounts.account import Account
from pubsub_cached.cache.options import AccountOptions, NodesFilter, PurgeFilter, SearchOptions
from pubsub_cached.secrets import Secrets
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Cached, answered
from tests.support.postgresql import USER, PostgreSQL

from .blog import MICROBLOG, PUBSUB, writer_busy

BOB = "bob@example.org"
CAROL = "carol@example.org"
BLOG = Address(ALICE, PUBSUB, MICROBLOG)

Begin = Callable[..., Awaitable[Cached]]


@pytest.fixture
def world() -> World:
    made = World()
    service = made.service(PUBSUB)
    service.create_node(MICROBLOG, owner=ALICE)
    service.publish(MICROBLOG, "i1", ENTRY.format(1))
    for jid in (ALICE, BOB, CAROL):
        made.account(jid)
    return made


@pytest.fixture
async def begin(world: World, postgresql: PostgreSQL, reused: str, tmp_path: Path) -> AsyncIterator[Begin]:
    """Starts a daemon with these accounts; all that were started share one database."""
    postgresql.empty(reused)
    made: list[Cached] = []

    async def start(*accounts: str) -> Cached:
        directory = tmp_path / f"desktop {len(made)}"
        directory.mkdir()
        cache = Cached(world, directory, *accounts, url=postgresql.url(reused))
        made.append(cache)
        return await cache.start()

    yield start
    for cache in made:
        await cache.stop()


def account(cache: Cached, jid: str = ALICE) -> Account:
    return cache.house.accounts.get(jid)


async def until(cache: Cached, is_so: Callable[[Account], bool], jid: str = ALICE) -> None:
    """Return once something is so of an account."""
    arrived = asyncio.Event()
    account(cache, jid).on_change.append(arrived.set)
    async with asyncio.timeout(30):
        while not is_so(account(cache, jid)):
            arrived.clear()
            await arrived.wait()


async def state(cache: Cached, wanted: str, jid: str = ALICE) -> None:
    """Return once an account is in a state."""
    await until(cache, lambda found: found.state == wanted, jid)


async def found(cache: Cached) -> list[tuple[str, str]]:
    items, *_ = await answered(cache.house.searches.search("", "", SearchOptions()))
    return [(item["account"], item["id"]) for item in items]


async def listed(cache: Cached) -> list[str]:
    nodes, _ = await cache.house.node_reads.listing(NodesFilter())
    return [node["account"] for node in nodes]


async def read(cache: Cached, jid: str = ALICE) -> tuple[list[str], str]:
    items, _, info = await cache.read(PUBSUB, MICROBLOG, account=jid)
    return [item["id"] for item in items], info["freshness"]


async def following(begin: Begin) -> Cached:
    """A daemon that keeps the node synchronised."""
    cache = await begin(ALICE)
    await read(cache)
    await cache.idle()
    return cache


async def test_daemons_with_other_accounts_see_nothing_of_each_other(begin: Begin, world: World) -> None:
    first, second = await begin(ALICE), await begin(BOB)
    for cache, jid in ((first, ALICE), (second, BOB)):
        assert account(cache, jid).state == "online"
        await read(cache, jid)
        await cache.idle()
    world.services[PUBSUB].publish(MICROBLOG, "i2", ENTRY.format(2))
    for cache, jid in ((first, ALICE), (second, BOB)):
        await cache.idle()
        assert await read(cache, jid) == (["i2", "i1"], "live")
        assert await found(cache) == [(jid, "i2"), (jid, "i1")]
        assert await listed(cache) == [jid]
    await second.restart()
    await second.house.removal.reset().wait()
    assert await found(second) == []
    assert await read(first) == (["i2", "i1"], "live")
    await first.idle()
    assert not first.failures() + second.failures()


async def test_a_second_daemon_on_an_account_says_that_it_waits_and_serves_its_others(begin: Begin) -> None:
    first, second = await begin(ALICE), await begin(ALICE, BOB)
    waits, other = account(second), account(second, BOB)
    assert (waits.state, waits.error) == ("waiting", "im.pubsubcache1.Error.Conflict")
    assert waits.error_message.startswith("alice@example.org is run by another daemon (pubsub-cached on this machine,")
    assert other.state == account(first).state == "online"
    assert (await read(second, BOB))[0] == ["i1"]
    with pytest.raises(errors.Conflict, match="Once that has ended, the account connects by itself"):
        await waits.connect()


async def test_a_waiting_account_shows_what_is_stored_and_calls_it_offline(begin: Begin, world: World) -> None:
    first, second = await begin(ALICE), await begin(ALICE)
    await read(first)
    await first.idle()
    assert await read(second) == (["i1"], "offline")
    world.services[PUBSUB].publish(MICROBLOG, "i2", ENTRY.format(2))
    await first.idle()
    assert await read(second) == (["i2", "i1"], "offline")
    assert await found(second) == [(ALICE, "i2"), (ALICE, "i1")]
    assert await listed(second) == [ALICE]
    with pytest.raises(errors.Offline, match=r"is waiting: alice@example\.org is run by another daemon"):
        await second.read(PUBSUB, MICROBLOG, policy="network")


async def test_a_waiting_account_shows_nothing_that_the_other_daemon_doubts_until_it_is_proved(
    begin: Begin, world: World
) -> None:
    first, second = await begin(ALICE), await begin(ALICE)
    await read(first)
    await first.idle()
    service = world.services[PUBSUB]
    service.hold()
    service.configure(MICROBLOG, access_model="whitelist", notify=True)
    await service.holding(1)
    await first.store.write(lambda tx: None)
    with pytest.raises(errors.Offline):
        await read(second)
    with pytest.raises(errors.NotCached):
        await second.read(PUBSUB, MICROBLOG, policy="cache")
    third = await begin(ALICE)
    service.release()
    await first.idle()
    assert await read(first) == (["i1"], "live")
    for other in (second, third):
        assert await read(other) == (["i1"], "offline")


async def test_what_the_other_daemon_writes_is_told_of_a_waiting_account(begin: Begin, world: World) -> None:
    first, second = await begin(ALICE), await begin(ALICE, BOB)
    await read(first)
    await first.idle()
    heard: asyncio.Queue[tuple[Address, str]] = asyncio.Queue()
    touched = asyncio.Event()
    second.house.changes.on_node.append(lambda *told: heard.put_nowait(told))
    second.store.on_commit.append(lambda what: touched.set() if what.everything else None)
    world.services[PUBSUB].publish(MICROBLOG, "i2", ENTRY.format(2))
    async with asyncio.timeout(30):
        assert await heard.get() == (BLOG, "updated")
    assert touched.is_set()
    assert await read(second) == (["i2", "i1"], "offline")


async def test_what_another_daemon_keeps_and_only_its_payload_shows_to_be_private_is_private(
    begin: Begin, world: World
) -> None:
    world.services[PUBSUB].create_node("things")
    world.services[PUBSUB].publish("things", "a", "<x xmlns='urn:x'/>")
    first, second = await begin(ALICE), await begin(ALICE)
    rules = {"name": "x", "type": "thing", "namespace": "urn:x", "to-sync": True, "private": True}
    for cache in (first, second):
        cache.house.analysers.register(from_mapping(rules), "plugin")
    told: asyncio.Queue[bool] = asyncio.Queue()
    privacy = second.house.privacy
    second.house.changes.on_node.append(lambda address, _: told.put_nowait(privacy.known(address)))
    await first.keep(PUBSUB, "things")
    async with asyncio.timeout(30):
        assert await told.get()


async def test_of_a_waiting_account_nothing_is_written(begin: Begin) -> None:
    first, second = await begin(ALICE), await begin(ALICE)
    await read(first)
    await first.idle()
    await read(second)
    house, by_another = second.house, "is run by another daemon"
    with pytest.raises(errors.Conflict, match=by_another):
        await house.node_reads.set_flags(BLOG, ["i1"], ["read"], [])
    with pytest.raises(errors.Conflict, match=by_another):
        await house.outbox.publish(BLOG, "i9", ENTRY.format(9), {}, ":1.1", "")
    with pytest.raises(errors.PubSubCachedError, match=by_another):
        await house.removal.purge(PurgeFilter(accounts=(ALICE,))).wait()
    await house.removal.reset().wait()
    second.clock.advance(days=60)
    await house.removal.tidy(second.clock())
    await first.idle()
    assert await read(first) == (["i1"], "live")
    assert (await first.node(PUBSUB, MICROBLOG))["unread"] == 1
    assert not second.failures()


async def test_an_account_is_taken_over_when_the_other_daemon_ends(begin: Begin, world: World) -> None:
    first, second = await begin(ALICE), await begin(ALICE)
    await read(first)
    await first.idle()
    await first.house.node_reads.set_flags(BLOG, ["i1"], ["read"], [])
    world.cut(ALICE)
    await first.idle()
    await first.house.outbox.publish(BLOG, "queued", ENTRY.format(9), {}, ":1.1", "")
    await first.stop()
    await state(second, "online")
    sent = [job for job in second.house.jobs.list() if job.kind == "outbox"]
    await asyncio.gather(*(job.wait() for job in sent))
    await second.idle()
    assert sorted((await read(second))[0]) == ["i1", "queued"]
    assert (await read(second))[1] == "live"
    assert (await second.node(PUBSUB, MICROBLOG))["unread"] == 1
    assert [item.id for item in world.services[PUBSUB].items(MICROBLOG)].count("queued") == 1
    await first.start()
    assert account(first).state == "waiting"


async def test_an_account_is_taken_over_though_the_database_could_not_be_read_while_it_waited(
    begin: Begin, postgresql: PostgreSQL, reused: str
) -> None:
    first, second = await begin(ALICE), await begin(ALICE)
    postgresql.execute("BEGIN; LOCK TABLE node", reused)
    end = "SELECT pg_cancel_backend(pid) FROM pg_locks WHERE NOT granted AND relation = 'node'::regclass"
    async with asyncio.timeout(30):
        # A look at what the other daemon has written.
        while not postgresql.execute(end, reused):
            await asyncio.sleep(0)
    postgresql.execute("ROLLBACK", reused)
    await first.stop()
    await state(second, "online")


async def test_who_can_not_wait_for_the_other_daemon_to_end_looks_now_and_then(
    begin: Begin, postgresql: PostgreSQL, reused: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = await begin(ALICE), await begin(ALICE)
    caplog.set_level(logging.DEBUG, "pubsub_cached.store.postgresql.locks")
    waiting = "locktype = 'advisory' AND NOT granted AND classid = 'account'::regclass"
    postgresql.execute(f"ALTER ROLE {USER} CONNECTION LIMIT 0")
    try:
        async with asyncio.timeout(30):
            while not postgresql.execute(f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {waiting}", reused):
                await asyncio.sleep(0)
            while not caplog.records:
                await asyncio.sleep(0)
        for _ in range(500):
            await second.store.write(lambda tx: None)
        assert len(caplog.records) < 10
    finally:
        postgresql.execute(f"ALTER ROLE {USER} CONNECTION LIMIT -1")
    await first.stop()
    await state(second, "online")


async def test_an_account_that_is_lost_while_it_is_taken_over_is_taken_over_later(
    begin: Begin, postgresql: PostgreSQL, reused: str
) -> None:
    first, second = await begin(ALICE), await begin(ALICE)
    postgresql.execute("BEGIN; LOCK TABLE outbox", reused)
    await first.stop()
    reading = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'outbox'::regclass"
    async with asyncio.timeout(30):
        # What waits to be sent is read last.
        while not postgresql.execute(reading, reused):
            await asyncio.sleep(0)
    taking = "pg_terminate_backend(pid), pg_advisory_lock(classid::int, objid::int)"
    held = "locktype = 'advisory' AND granted AND classid = 'account'::regclass"
    assert len(postgresql.execute(f"SELECT {taking} FROM pg_locks WHERE {held}", reused)) == 1
    await until(second, lambda found: found.error_message.endswith("is run by another daemon on the same database."))
    postgresql.execute("ROLLBACK", reused)
    await until(second, lambda found: found.error_message.startswith(f"{ALICE} is run by another daemon ("))
    postgresql.execute("SELECT pg_advisory_unlock_all()", reused)
    await state(second, "online")


async def test_who_lost_the_connection_gives_the_account_to_who_waits(
    begin: Begin, world: World, postgresql: PostgreSQL
) -> None:
    first, second = await begin(ALICE), await begin(ALICE)
    await read(first)
    await first.idle()
    session = first.store._writer._session
    (writer,) = (session._driver.info.backend_pid,)  # type: ignore[attr-defined]
    postgresql.execute(f"SELECT pg_terminate_backend({writer})")
    await state(second, "online")
    await state(first, "waiting")
    await second.idle()
    world.services[PUBSUB].publish(MICROBLOG, "i2", ENTRY.format(2))
    await second.idle()
    assert await read(second) == (["i2", "i1"], "live")
    assert await read(first) == (["i2", "i1"], "offline")
    assert len(world.accounts[ALICE].sessions) == 2
    assert [each.online for each in world.accounts[ALICE].sessions].count(True) == 1


async def test_what_a_server_lost_when_it_ended_is_asked_of_the_services_again(
    begin: Begin, world: World, postgresql: PostgreSQL, reused: str
) -> None:
    cache = await following(begin)
    before = cache.house.revision
    world.services[PUBSUB].publish(MICROBLOG, "i2", ENTRY.format(2))
    await cache.idle()
    assert await read(cache) == (["i2", "i1"], "live")
    told = cache.house.revision
    again = asyncio.Event()
    account(cache).on_change.append(lambda: account(cache).state == "online" and again.set())
    # As without synchronous_commit, or where a replica takes over.
    forgotten = f"DELETE FROM item WHERE item_id = 'i2'; UPDATE node SET item_count = 1, revision = {before}"
    postgresql.execute(f"{forgotten}; UPDATE counter SET value = {before} WHERE name = 'revision'", reused)
    postgresql.disconnect(reused)
    await asyncio.wait_for(again.wait(), 60)
    await cache.idle()
    assert await read(cache) == (["i2", "i1"], "live")
    assert (await cache.house.node_reads.changes(BLOG, told, 10))[0] == ["i2"]


async def test_who_only_lost_the_connection_keeps_the_session(
    begin: Begin, world: World, postgresql: PostgreSQL, reused: str
) -> None:
    cache = await following(begin)
    changed: list[str] = []
    account(cache).on_change.append(lambda: changed.append(account(cache).state))
    postgresql.disconnect(reused)
    world.services[PUBSUB].publish(MICROBLOG, "i2", ENTRY.format(2))
    await cache.idle()
    assert await read(cache) == (["i2", "i1"], "live")
    assert not changed


async def test_an_account_that_begins_anew_is_run_though_the_first_write_to_what_the_server_kept_fails(
    begin: Begin, postgresql: PostgreSQL, reused: str
) -> None:
    cache = await following(begin)
    again = asyncio.Event()
    account(cache).on_change.append(lambda: account(cache).state == "online" and again.set())
    postgresql.execute("UPDATE counter SET value = value - 1 WHERE name = 'revision'", reused)
    postgresql.disconnect(reused)
    with pytest.raises(errors.DatabaseError, match="out of range"):
        await cache.store.write(lambda tx: tx.reach(revision=2**64))
    await asyncio.wait_for(again.wait(), 60)
    await cache.idle()
    assert await read(cache) == (["i1"], "live")


async def test_an_account_that_is_disabled_as_it_begins_anew_waits_for_nothing(begin: Begin) -> None:
    cache = await begin(BOB)
    await cache.house.accounts.add(ALICE, AccountOptions())
    await account(cache).set_password("secret")
    await state(cache, "online")
    for callback in cache.store.on_set_back:
        callback()
    assert account(cache).state == "waiting"
    await account(cache).set_enabled(False)
    assert account(cache).state == "offline"


async def test_an_account_without_a_password_here_is_left_to_others(begin: Begin, world: World) -> None:
    first, second = await begin(BOB), await begin(BOB)
    await first.house.accounts.add(ALICE, AccountOptions())
    await first.idle()
    await first.stop()
    await state(second, "online", BOB)
    await first.start()
    # It is the database's, so every daemon has it; without a password it does not run it.
    assert account(first).state == "offline"
    await second.restart()
    Secrets(second.directory / "secrets.json").store(ALICE, "secret")
    await account(second).set_password("secret")
    await state(second, "online")
    assert account(first).state == "offline"
    with pytest.raises(errors.Conflict, match="is run by another daemon"):
        await account(first).set_enabled(False)


async def test_an_account_that_another_daemon_adds_and_removes_comes_and_goes(begin: Begin) -> None:
    first, second = await begin(BOB), await begin(CAROL)
    told: asyncio.Queue[str] = asyncio.Queue()
    second.house.accounts.on_added.append(lambda account: told.put_nowait(f"{account.jid} added"))
    second.house.accounts.on_removed.append(lambda account: told.put_nowait(f"{account.jid} removed"))
    await first.house.accounts.add(ALICE, AccountOptions())
    await account(first).set_password("secret")
    await state(first, "online")
    await read(first)
    await first.idle()
    async with asyncio.timeout(30):
        assert await told.get() == f"{ALICE} added"
    await state(second, "waiting")
    assert await read(second) == (["i1"], "offline")
    # One of the other's configuration is none of this daemon's.
    with pytest.raises(errors.NoSuchAccount):
        account(second, BOB)

    await first.house.accounts.remove(account(first), keep_cache=False)
    async with asyncio.timeout(30):
        assert await told.get() == f"{ALICE} removed"
    with pytest.raises(errors.NoSuchAccount):
        account(second)
    await first.house.accounts.add(ALICE, AccountOptions())
    async with asyncio.timeout(30):
        assert await told.get() == f"{ALICE} added"
    await state(second, "offline")
    assert told.empty()


async def test_an_account_that_another_daemon_adds_is_run_where_its_password_is(begin: Begin) -> None:
    first, second = await begin(BOB), await begin(CAROL)
    Secrets(second.directory / "secrets.json").store(ALICE, "secret")
    await first.house.accounts.add(ALICE, AccountOptions())
    added = asyncio.Event()
    second.house.accounts.on_added.append(lambda account: added.set())
    async with asyncio.timeout(30):
        await added.wait()
    await state(second, "online")
    assert account(first).state == "offline"


async def told_of(cache: Cached) -> asyncio.Queue[str]:
    """The accounts that come and go from now on."""
    told: asyncio.Queue[str] = asyncio.Queue()
    cache.house.accounts.on_added.append(lambda account: told.put_nowait(f"{account.jid} added"))
    cache.house.accounts.on_removed.append(lambda account: told.put_nowait(f"{account.jid} removed"))
    return told


async def left(cache: Cached) -> None:
    """Return once an account without a password is run no more."""
    mine = account(cache)
    assert mine.taking is not None
    await asyncio.wait([mine.taking])
    assert mine.looking is not None
    await asyncio.wait([mine.looking])


async def hear(told: asyncio.Queue[str], *sentences: str) -> None:
    async with asyncio.timeout(30):
        assert [await told.get() for _ in sentences] == [*sentences]


async def added_elsewhere(begin: Begin) -> tuple[Cached, Cached, asyncio.Queue[str]]:
    """Two daemons without a password for an account that the first has added, and what the second is told of others."""
    first, second = await begin(BOB), await begin(CAROL)
    told = await told_of(second)
    await first.house.accounts.add(ALICE, AccountOptions())
    await hear(told, f"{ALICE} added")
    await left(second)
    return first, second, told


async def test_a_password_that_comes_too_late_for_an_account_that_another_daemon_removed_is_not_kept(
    begin: Begin,
) -> None:
    first, second, told = await added_elsewhere(begin)
    late, passwords = account(second), second.directory / "secrets.json"
    # Whoever reads it waits for somebody to write, as for a person whom a keyring asks.
    os.mkfifo(passwords)
    setting = asyncio.create_task(late.set_password("secret"))
    await first.house.accounts.remove(account(first), keep_cache=False)
    await hear(told, f"{ALICE} removed")
    passwords.write_text("{}")
    with pytest.raises(errors.NoSuchAccount, match=ALICE):
        await setting
    assert Secrets(passwords).lookup(ALICE) is None
    for change in (late.connect(), late.set_enabled(False)):
        with pytest.raises(errors.NoSuchAccount, match=ALICE):
            await change
    assert late.taking is None or late.taking.done()


async def test_an_account_that_another_daemon_disabled_and_enabled_again_is_taken_over_once_that_ends(
    begin: Begin,
) -> None:
    first, second = await begin(BOB), await begin(CAROL)
    await first.house.accounts.add(ALICE, AccountOptions())
    await account(first).set_password("secret")
    await state(first, "online")
    told = await told_of(second)
    Secrets(second.directory / "secrets.json").store(ALICE, "secret")
    if ALICE not in (each.jid for each in second.house.accounts.list()):
        await hear(told, f"{ALICE} added")
    await state(second, "waiting")
    await account(first).set_enabled(False)
    await until(second, lambda found: not found.enabled)
    taking = account(second).taking
    assert taking is not None
    await asyncio.wait([taking])
    await account(first).set_enabled(True)
    await until(second, lambda found: found.enabled)
    await first.stop()
    await state(second, "online")


async def test_an_account_without_a_password_here_is_disabled_and_enabled_as_another_daemon_says(begin: Begin) -> None:
    first, second, _ = await added_elsewhere(begin)
    await account(first).set_enabled(False)
    await until(second, lambda found: not found.enabled)
    await account(first).set_enabled(True)
    await until(second, lambda found: found.enabled)


@pytest.mark.parametrize("removed", [False, True])
async def test_who_takes_an_account_as_it_is_disabled_is_waited_for(begin: Begin, removed: bool) -> None:
    first, second, _ = await added_elsewhere(begin)
    mine = account(first)
    await mine.set_enabled(False)
    await second.store.hold(mine.row.id)
    accounts = first.house.accounts
    change = accounts.remove(mine, keep_cache=False) if removed else mine.set_enabled(True)
    changing = asyncio.create_task(change)
    await asyncio.sleep(0)
    # After what was written meanwhile, or refused.
    await first.store.write(lambda tx: None)
    await second.store.release(mine.row.id)
    await changing
    assert [each.jid for each in accounts.list() if each.enabled] == ([BOB] if removed else [BOB, ALICE])


async def test_an_account_that_is_removed_and_added_again_between_two_looks_is_another_one(begin: Begin) -> None:
    first, second, told = await added_elsewhere(begin)
    await first.house.accounts.remove(account(first), keep_cache=False)
    await first.house.accounts.add(ALICE, AccountOptions())
    await account(first).set_password("secret")
    await state(first, "online")
    await read(first)
    await first.idle()
    await hear(told, f"{ALICE} removed", f"{ALICE} added")
    await state(second, "waiting")
    assert await read(second) == (["i1"], "offline")


async def test_an_account_that_is_let_go_in_the_moment_in_which_it_is_taken_is_free(begin: Begin) -> None:
    first, second = await begin(BOB), await begin(CAROL)
    await first.house.accounts.add(ALICE, AccountOptions())
    await first.idle()
    mine, taken = account(first), threading.Event()
    await first.house.accounts.let_go(mine)
    await mine.connect()
    assert mine.taking is not None
    await asyncio.sleep(0)
    first.store.maintain(lambda driver: taken.set())
    # The lock is had, and nobody has heard of that yet.
    assert taken.wait(30)
    await first.house.accounts.let_go(mine)
    await asyncio.wait([mine.taking])
    await second.store.hold(mine.row.id)


async def test_an_account_is_let_go_though_nobody_waits_for_that(begin: Begin) -> None:
    first, second = await begin(BOB), await begin(CAROL)
    await first.house.accounts.add(ALICE, AccountOptions())
    await account(first).set_password("secret")
    await state(first, "online")
    with writer_busy(first):
        leaving = asyncio.create_task(first.house.accounts.let_go(account(first)))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
    await first.idle()
    await second.store.hold(account(first).row.id)


async def test_an_account_of_the_configuration_goes_on_after_another_daemon_removed_it(begin: Begin) -> None:
    first = await begin(BOB)
    await first.house.accounts.add(ALICE, AccountOptions())
    await account(first).set_password("secret")
    await state(first, "online")
    second = await begin(ALICE)
    assert account(second).state == "waiting"
    states: list[str] = []
    waiting = account(second)
    waiting.on_change.append(lambda: states.append(waiting.state))
    await first.house.accounts.remove(account(first), keep_cache=False)
    await state(second, "online")
    assert "waiting" not in states
    await read(second)
    await second.idle()
    assert await read(second) == (["i1"], "live")
    assert await listed(second) == [ALICE]


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_account_that_another_daemon_disables_is_run_by_nobody(begin: Begin, restarted: bool) -> None:
    first, second = await begin(BOB), await begin(CAROL)
    await first.house.accounts.add(ALICE, AccountOptions())
    await account(first).set_password("secret")
    Secrets(second.directory / "secrets.json").store(ALICE, "secret")
    await state(first, "online")
    await second.restart()
    taking = account(second).taking
    assert (account(second).state, taking is None) == ("waiting", False)
    await account(first).set_enabled(False)
    assert taking is not None
    async with asyncio.timeout(30):
        await taking
    assert (account(second).state, account(second).enabled) == ("offline", False)
    if restarted:
        await second.restart()
    await account(first).set_enabled(True)
    # Whichever comes first runs it now.
    await until(first, lambda found: found.state in ("online", "waiting"))

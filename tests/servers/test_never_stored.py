"""What must never be stored is nowhere: not in the database or its journal, not in the log, not in a signal.

The daemon as a process at log level debug, with a real server. Every secret is a word of its own, told to the daemon on
every way there is; then all its files and all signals are searched for it.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from pubsub_cached.bus import Connection, RemoteError, Variant
from tests.support.daemon import NAME, ROOT, Daemon
from tests.support.monitor import Monitor, monitored
from tests.support.prosody import Prosody
from tests.support.publisher import Publisher

pytestmark = pytest.mark.prosody

BOOKMARKS = "urn:xmpp:bookmarks:1"
EXCLUDED = [
    "urn:xmpp:openpgp:0:secret-key",
    "urn:xmpp:omemo:2:devices",
    "urn:xmpp:omemo:2:bundles",
    "eu.siacs.conversations.axolotl.devicelist",
    "eu.siacs.conversations.axolotl.bundles:31415",
    "storage:bookmarks",
    "urn:xmpp:mds:displayed:0",
    "urn:xmpp:contacts",
    "urn:xmpp:contacts-groups",
]
NOTES = "storage:notes"
LIMIT = 2000
SIGNALS = ("type='signal'", "type='method_call',interface='im.pubsubcache1.AnalyserAgent'")


class Secrets:
    """Words that are to be nowhere, and one that is to be somewhere."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.kept = f"kept{uuid4().hex}"

    def new(self) -> str:
        self.words.append(f"secret{uuid4().hex}")
        return self.words[-1]

    def excluded(self, size: int = 0) -> str:
        """A payload for an excluded node."""
        return f"<key xmlns='urn:example:key'>{self.new()}{'x' * size}</key>"

    def bookmark(self, more: str = "") -> str:
        """A bookmark with a password."""
        return f"<conference xmlns='{BOOKMARKS}' name='room'><password>{self.new()}</password>{more}</conference>"

    def assert_nowhere(self, daemon: Daemon, monitor: Monitor) -> None:
        files = [path for path in daemon.directory.rglob("*") if path.is_file()]
        contents = {path.name: path.read_bytes() for path in files} | {"signals and agents": monitor.heard}
        assert {"cache.sqlite3", "daemon.log"} <= set(contents)
        found = {(name, number) for number, word in enumerate(self.words) for name in _holders(contents, word)}
        assert not found
        assert _holders(contents, self.kept) & {"cache.sqlite3", "cache.sqlite3-wal"}


def _holders(contents: dict[str, bytes], word: str) -> set[str]:
    return {name for name, content in contents.items() if word.encode() in content}


@pytest.fixture
def secrets() -> Secrets:
    return Secrets()


@pytest.fixture
def user(prosody: Prosody) -> str:
    name = f"n{uuid4().hex[:8]}"
    prosody.add_user(name)
    return name


@pytest.fixture
async def publisher(prosody: Prosody, user: str) -> AsyncIterator[Publisher]:
    """The daemon's own account, elsewhere."""
    found = await Publisher.open(prosody, user)
    yield found
    await found.close()


@pytest.fixture
async def alice(prosody: Prosody) -> AsyncIterator[Publisher]:
    found = await Publisher.open(prosody, "alice")
    yield found
    await found.close()


@pytest.fixture
async def debugging(daemon: Daemon, prosody: Prosody, user: str) -> Daemon:
    daemon.config.write_text(f'log-level = "debug"\n[cache]\npayload-limit = {LIMIT}\n')
    daemon.account(prosody, user)
    return daemon


@pytest.fixture
async def monitor(daemon: Daemon) -> AsyncIterator[Monitor]:
    async with monitored(daemon.bus, *SIGNALS) as found:
        yield found


async def refused(daemon: Daemon, interface: str, member: str, signature: str, *body: object) -> str:
    with pytest.raises(RemoteError) as caught:
        await daemon.call(interface, member, signature, *body)
    return caught.value.name.rpartition(".")[2]


async def passed_through(daemon: Daemon, service: str, node: str) -> str:
    """A node's payloads, read in every way that a client has."""
    options = {"limit": Variant("u", 50)}
    items, _, info = await daemon.items(service, node, **options)
    assert info["source"] == "network"
    said = json.dumps(items)
    assert json.dumps(await daemon.call("Json", "GetItems", "sssa{sv}", "", service, node, options))
    (descriptor, *_), *_ = [await lines(daemon, service, node)]
    os.close(descriptor)
    await daemon.items(service, node, ids=Variant("as", [item["id"] for item in items]))
    await daemon.items(service, node, policy=Variant("s", "refresh"))
    await daemon.call("Cache", "GetNode", "sssa{sv}", "", service, node, {})
    return said


async def lines(daemon: Daemon, service: str, node: str) -> list[int]:
    """Json.ReadItems; the descriptor."""
    body = ["", service, node, {}]
    reply = await daemon.client.call(NAME, ROOT, f"{NAME}.Json", "ReadItems", "sssa{sv}", body, timeout=30)
    return [value for value in reply if isinstance(value, int)][:1]


async def register(client: Connection, name: str, node: str, **keys: Variant) -> None:
    rules = {
        "type": Variant("s", "nosy"),
        "node": Variant("s", node),
        "exact": Variant("b", True),
        "to-sync": Variant("b", True),
        "priority": Variant("i", 1000),
        **keys,
    }
    await client.call(NAME, ROOT, f"{NAME}.Analysers", "Register", "sa{sv}", [name, rules])


FIELDS = Variant("s", json.dumps({"all": {"path": "{urn:example:key}key", "type": "xml"}}))


async def test_excluded_nodes(
    debugging: Daemon, monitor: Monitor, prosody: Prosody, publisher: Publisher, alice: Publisher, secrets: Secrets
) -> None:
    daemon, service, own = debugging, prosody.pubsub, publisher.jid
    notes = f"{NOTES}:{uuid4().hex}"
    config = {"access_model": "open", "publish_model": "open", "persist_items": True}
    await alice.create(service, notes, config)
    await alice.create(service, kept := f"urn:xmpp:microblog:0/{uuid4().hex}", config)
    for node in EXCLUDED:
        await publisher.publish("", node, "current", secrets.excluded())
    await alice.publish(service, notes, "1", secrets.excluded())
    await daemon.start()
    await daemon.state(own, "online")
    await daemon.items(service, kept)

    # Read and synchronised, with and without an analyser that wants them.
    for number in range(2):
        for where, node in [(own, node) for node in EXCLUDED] + [(service, notes)]:
            said = await passed_through(daemon, where, node)
            assert "secret" in said
            assert await refused(daemon, "Cache", "Sync", "sssa{sv}", "", where, node, {}) == "NotSupported"
            assert (await daemon.settled(where, node, "excluded"))["items"] == 0
            if not number:
                await register(daemon.client, f"nosy-{len(secrets.words)}-{node[-1]}-{uuid4().hex[:4]}", node)
                secrets.new()
        job = await daemon.call("Analysers", "Reanalyse", "a{sv}", {})
        await daemon.call("Job", "Wait", path=job)

    # Told as events: one's own by presence, others' by a subscription.
    await daemon.call("PubSub", "Subscribe", "sssa{sv}", "", service, notes, {})
    for size in (0, LIMIT + 1):
        for node in EXCLUDED:
            await publisher.publish("", node, "current", secrets.excluded(size))
        await alice.publish(service, notes, f"n{size}", secrets.excluded(size))
    entry = f"<entry xmlns='http://www.w3.org/2005/Atom'><id>a</id><title>{secrets.kept}</title></entry>"
    await daemon.settled(service, kept, "live")
    await alice.publish(service, kept, "after", entry)
    await monitor.holds("after")
    log = daemon.log.read_text()
    for node in (notes, *EXCLUDED):
        assert f"'{node}'" in log or f"/{node} is not kept; its event" in log, "no event of it has come"

    # Published by a client of the daemon; what would have to wait in the store is refused.
    for options in ({}, {"queue": Variant("b", True)}):
        body = ("", own, EXCLUDED[1], "current", secrets.excluded(), options)
        if options:
            assert await refused(daemon, "PubSub", "Publish", "sssssa{sv}", *body) == "NotSupported"
        else:
            await daemon.call("PubSub", "Publish", "sssssa{sv}", *body)
    assert await refused(
        daemon, "PubSub", "Publish", "sssssa{sv}", "", own, EXCLUDED[1], "", secrets.excluded() + "<", {}
    )

    found, *_ = await daemon.call("Cache", "Search", "ssa{sv}", "", '{"types":["nosy","excluded"]}', {})
    assert found == []
    await ended_both_ways(daemon, monitor, secrets)


async def ended_both_ways(daemon: Daemon, monitor: Monitor, secrets: Secrets) -> None:
    """Nothing is found after a crash, which leaves the journal, nor after a start and an orderly end."""
    await daemon.end(signal.SIGKILL)
    assert Path(f"{daemon.database}-wal").stat().st_size > 0
    secrets.assert_nowhere(daemon, monitor)
    await daemon.start()
    assert await daemon.end() == 0
    secrets.assert_nowhere(daemon, monitor)


async def test_passwords_of_bookmarks(
    debugging: Daemon, monitor: Monitor, prosody: Prosody, publisher: Publisher, alice: Publisher, secrets: Secrets
) -> None:
    daemon, service, own = debugging, prosody.pubsub, publisher.jid
    space = f"space-{uuid4().hex}"
    config = {"access_model": "open", "publish_model": "open", "persist_items": True, "max_items": 100}
    await alice.create(service, space, config)
    payloads = {
        "plain@rooms": "",
        "large@rooms": f"<nick>{'x' * LIMIT}</nick>",
        "deep@rooms": "<a>" * 110 + "</a>" * 110,
        "inside@rooms": f"<extensions><x xmlns='urn:example:x'><password>{secrets.new()}</password></x></extensions>",
    }

    async def publish_all() -> None:
        for room, more in payloads.items():
            await publisher.publish(
                "", BOOKMARKS, room, secrets.bookmark(more), {"max_items": 100, "persist_items": True}
            )
            await alice.publish(service, space, room, secrets.bookmark(more))

    await publish_all()
    await daemon.start()
    await daemon.state(own, "online")
    await daemon.items(own, BOOKMARKS)
    await daemon.settled(own, BOOKMARKS, "live")
    await register(daemon.client, "space", space, fields=FIELDS)
    await daemon.items(service, space)
    await daemon.settled(service, space, "live")

    # A view's signals carry items.
    view = await daemon.call("Cache", "CreateView", "ssa{sv}", "", '{"types":["bookmark","nosy"]}', {})
    await daemon.client.call(NAME, view, f"{NAME}.View", "Start")
    await publish_all()
    name = f"<nick>{secrets.kept}</nick>"
    await publisher.publish("", BOOKMARKS, "last@rooms", secrets.bookmark(name))
    await monitor.holds(secrets.kept)
    await alice.publish(service, space, "last@rooms", secrets.bookmark())
    await daemon.until(lambda heard: heard.member == "ItemsChanged" and heard.body[2:4] == [space, ["last@rooms"]])

    items, *_ = await daemon.items(own, BOOKMARKS)
    assert {json.loads(item["data"])["has_password"] for item in items if "data" in item} == {True}
    job = await daemon.call("Analysers", "Reanalyse", "a{sv}", {})
    await daemon.call("Job", "Wait", path=job)
    job = await daemon.call("Cache", "Sync", "sssa{sv}", "", own, BOOKMARKS, {"full": Variant("b", True)})
    await daemon.call("Job", "Wait", path=job)

    await daemon.call("PubSub", "Publish", "sssssa{sv}", "", own, BOOKMARKS, "new@rooms", secrets.bookmark(), {})
    queued = ("", own, BOOKMARKS, "queued@rooms", secrets.bookmark(), {"queue": Variant("b", True)})
    assert await refused(daemon, "PubSub", "Publish", "sssssa{sv}", *queued) == "NotSupported"
    await ended_both_ways(daemon, monitor, secrets)

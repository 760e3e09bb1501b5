"""The daemon over a fake world, on a private bus, in the test's own loop; and a client of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from pubsub_cached import config
from pubsub_cached.daemon import Daemon
from pubsub_cached.xmpp.fake import World
from tests.bus.sample import OBJECT_MANAGER, PROPERTIES, ROOT, Client
from tests.support import sqlite

ALICE = "alice@example.org"
SERVICE = "pubsub.example.org"
MANAGER = "im.pubsubcache1.Manager"
ACCOUNT = "im.pubsubcache1.Account"
CACHE = "im.pubsubcache1.Cache"
JOB = "im.pubsubcache1.Job"
ANALYSERS = "im.pubsubcache1.Analysers"
ERROR = "im.pubsubcache1.Error."
INVALID = "org.freedesktop.DBus.Error.InvalidArgs"
ALICE_PATH = "/im/pubsubcache1/account/alice_40example_2eorg"

Options = dict[str, Variant]


def entry(number: int) -> str:
    """An Atom entry."""
    return (
        f"<entry xmlns='http://www.w3.org/2005/Atom'><id>tag:example.org,2026:{number}</id>"
        f"<title>Number {number}</title><updated>2026-11-01T00:00:00Z</updated></entry>"
    )


def world(items: int = 3) -> World:
    """Alice, and a service with a blog of some items."""
    made = World()
    made.account(ALICE)
    service = made.service(SERVICE)
    service.create_node("blog", node_type="urn:xmpp:microblog:0")
    for number in range(items):
        service.publish("blog", f"post-{number}", entry(number))
    return made


class Frontend(Client):
    """A client that speaks of nodes and jobs."""

    async def cache(self, member: str, signature: str, *body: Any) -> list[Any]:
        """A method of Cache."""
        return await self.call(member, signature, *body, interface=CACHE)

    async def refused(self, member: str, signature: str, *body: Any) -> tuple[str, str]:
        """The error of a method of Cache."""
        return await self.error(member, signature, *body, interface=CACHE)

    async def items(self, node: str = "blog", **options: Variant) -> tuple[list[dict[str, Any]], str, dict[str, Any]]:
        """GetItems with plain values."""
        items, cursor, info = await self.cache("GetItems", "sssa{sv}", "", SERVICE, node, options)
        return [plain(item) for item in items], cursor, plain(info)

    async def ids(self, **options: Variant) -> list[str]:
        """Ids that GetItems gives."""
        return [item["id"] for item in (await self.items(**options))[0]]

    async def node(self, node: str = "blog") -> dict[str, Any]:
        """GetNode with plain values."""
        return plain((await self.cache("GetNode", "sssa{sv}", "", SERVICE, node, {}))[0])

    async def finished(self, job: str) -> str:
        """Wait for a job."""
        message: str = (await self.call("Wait", path=job, interface=JOB))[0]
        return message

    async def synchronised(self) -> None:
        """The blog, kept and live."""
        (job,) = await self.cache("Sync", "sssa{sv}", "", SERVICE, "blog", {})
        await self.finished(job)

    async def until(self, member: str, *, path: str = ROOT) -> list[Any]:
        """The arguments of the next signal of this name."""
        while True:
            message = await self.signal()
            if message.member == member and message.path == path:
                return list(message.body)

    async def property_is(self, path: str, interface: str, prop: str, value: Any) -> None:
        """Return once a property has a value; ``listen`` comes first."""
        found = await self.get(prop, interface, path)
        while found != value:
            async with asyncio.timeout(10):
                message = await self.signals.get()
            if message.interface == PROPERTIES and message.path == path and prop in message.body[1]:
                found = message.body[1][prop].value

    async def objects(self) -> dict[str, Any]:
        """What the ObjectManager lists."""
        found: dict[str, Any] = (await self.call("GetManagedObjects", interface=OBJECT_MANAGER))[0]
        return found


def plain(record: dict[str, Variant]) -> dict[str, Any]:
    """A record without its variants."""
    return {key: variant.value for key, variant in record.items()}


@asynccontextmanager
async def daemon(
    made: World,
    address: str,
    directory: Path,
    sandbox: tuple[str, ...] = (),
    cache: config.Cache = config.Cache(),  # noqa: B008 - it is frozen
) -> AsyncIterator[Daemon]:
    """The daemon with Alice in its configuration, connected. sandbox: applications that have full access."""
    password = directory / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    settings = config.Config(
        cache=cache,
        sandbox=config.Sandbox(allow=sandbox),
        database=config.Database(url=f"sqlite:///{sqlite.place(directory / 'cache.sqlite3')}"),
        account=(config.Account(jid=ALICE, password_file=str(password)),),
    )
    service = Daemon(settings, connector=made.connector, address=address)
    await service.start()
    try:
        yield service
    finally:
        await service.close()


F = TypeVar("F", bound=Frontend)


@asynccontextmanager
async def frontend(address: str, kind: type[F] = Frontend) -> AsyncIterator[F]:  # type: ignore[assignment]
    """A client that hears all signals of the daemon, once Alice is online."""
    bus = await MessageBus(address, negotiate_unix_fd=True).connect()
    owner = await bus.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="GetNameOwner",
            signature="s",
            body=["im.pubsubcache1"],
        )
    )
    assert owner.message_type is MessageType.METHOD_RETURN, owner.body
    client = kind(bus, owner.body[0])
    await client.listen()
    await client.property_is(ALICE_PATH, ACCOUNT, "State", "online")
    yield client
    bus.disconnect()
    await bus.wait_for_disconnect()

"""What real servers do: the tables "Reading" and "Events" of server-facts, row by row, as the session sees it.

The fake behaves by the same tables (``tests.unit.xmpp``), so that what is shown here is what the cache is tested with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple
from uuid import uuid4

import pytest

from pubsub_cached.xmpp.port import DiscoItem, Event, Item, ItemsEvent, Rsm
from pubsub_cached.xmpp.session import Session
from tests.support.publisher import Publisher, befriend
from tests.support.recorder import Recorder
from tests.support.server import Server

from .conftest import OpenPublisher, OpenSession

CONFIG = {"persist_items": True, "access_model": "open", "send_last_published_item": "never", "max_items": 3}
X, Y = "<x xmlns='urn:x'/>", "<y xmlns='urn:y'/>"


class Scene(NamedTuple):
    """A writer, and a reader who is subscribed to her node, which is full of the items a, b and c."""

    writer: Publisher
    service: str
    node: str
    session: Session
    recorder: Recorder

    async def told(self, change: Callable[[Scene], Awaitable[object]]) -> str:
        """What the reader is told of a change, in short: ids, retracted ones after a dash, kinds; duplicates once."""
        await self.asked()
        since = len(self.recorder.events)
        await change(self)
        # What is told comes before the answer to what is asked after it.
        await self.asked()
        said: dict[str, None] = {}
        for event in self.recorder.events[since:]:
            said |= dict.fromkeys(words(event))
        return " ".join(said)

    async def asked(self) -> None:
        await self.session.disco_info(self.service)

    async def publish(self, id_: str, payload: str = X) -> None:
        await self.writer.publish(self.service, self.node, id_, payload)

    async def configure(self, **fields: str | int) -> None:
        await self.writer.configure(self.service, self.node, fields)

    async def retract(self, notify: bool) -> None:
        await self.writer.retract(self.service, self.node, "a", notify=notify)

    async def ids(self, **arguments: object) -> str:
        page = await self.session.get_items(self.service, self.node, **arguments)  # type: ignore[arg-type]
        return names(page.items)


Change = Callable[[Scene], Awaitable[object]]


def words(event: Event) -> list[str]:
    if isinstance(event, ItemsEvent):
        # Ids that came joined into one have no order.
        return [item.id for item in event.items] + ["-" + "".join(sorted(id_)) for id_ in event.retracted]
    return [type(event).__name__.removesuffix("Event").lower()]


def names(items: tuple[Item, ...] | tuple[DiscoItem, ...]) -> str:
    return "".join(item.id if isinstance(item, Item) else item.name for item in items)


MakeScene = Callable[[], Awaitable[Scene]]


@pytest.fixture(params=["component", "account"])
async def make_scene(
    request: pytest.FixtureRequest,
    server: Server,
    users: tuple[str, str],
    open_publisher: OpenPublisher,
    open_session: OpenSession,
) -> MakeScene:
    """Makes a new node each time, at the component or at the writer's account."""
    pep = request.param == "account"
    writer = await open_publisher(server, users[0] if pep else "alice")
    if pep:
        friend = await open_publisher(server, users[1])
        await befriend(writer, friend)
        await friend.close()
    service = writer.jid if pep else server.pubsub
    session, recorder = await open_session(server, users[1])
    recorder.services.add(service)

    async def make() -> Scene:
        scene = Scene(writer, service, f"node {uuid4().hex[:8]}", session, recorder)
        await writer.create(service, scene.node, CONFIG)
        for id_ in "abc":
            await scene.publish(id_)
        await session.subscribe(service, scene.node)
        return scene

    return make


@pytest.fixture
def column(server: Server, request: pytest.FixtureRequest) -> str:
    """The column of the tables: the server, or its accounts' service."""
    pep = request.node.callspec.params["make_scene"] == "account"
    return f"{server.name} account" if pep else server.name


async def publish_to_full(scene: Scene) -> None:
    await scene.publish("d")


async def lower_then_publish(scene: Scene) -> None:
    await scene.configure(max_items=1)
    await scene.publish("d")


async def close_then_publish(scene: Scene) -> None:
    await scene.configure(access_model="whitelist")
    await scene.publish("c", Y)


async def make_again_then_publish(scene: Scene) -> None:
    await scene.writer.create(scene.service, scene.node, CONFIG)
    await scene.publish("d")


EVENTS: dict[str, tuple[Change, ...]] = {
    "publish": (lambda scene: scene.configure(max_items=100), lambda scene: scene.publish("d")),
    "overwrite": (lambda scene: scene.publish("a", Y),),
    "evicted by max_items": (publish_to_full,),
    "one publish evicts several": (lower_then_publish,),
    "retract without notify": (lambda scene: scene.retract(False),),
    "retract with notify": (lambda scene: scene.retract(True),),
    "purge": (lambda scene: scene.writer.purge(scene.service, scene.node),),
    "delete": (lambda scene: scene.writer.delete(scene.service, scene.node),),
    "configuration": (lambda scene: scene.configure(title="Another title"),),
    "access → whitelist": (close_then_publish,),
    "node deleted and made again": (lambda s: s.writer.delete(s.service, s.node), make_again_then_publish),
}
# What the last of these changes brings to a subscriber. The table calls ejabberd silent of an account's node even where
# a retraction is to be told; a subscriber hears of it.
_SILENT = {
    "publish": "d",
    "overwrite": "a",
    "evicted by max_items": "d",
    "one publish evicts several": "d",
} | dict.fromkeys(["retract without notify", "purge", "delete", "configuration", "node deleted and made again"], "")
_PROSODY = _SILENT | {"retract with notify": "-a", "purge": "purge", "delete": "delete", "access → whitelist": ""}
TOLD = {
    "prosody": _PROSODY,
    "prosody account": _PROSODY,
    "ejabberd account": _SILENT | {"retract with notify": "-a", "access → whitelist": "c"},
    "ejabberd": _SILENT
    | {"evicted by max_items": "d -a", "one publish evicts several": "d -abc", "retract without notify": "-a"}
    | {"retract with notify": "-a", "purge": "purge", "access → whitelist": "c"},
}


async def test_a_subscriber_is_told_what_the_table_says(make_scene: MakeScene, column: str) -> None:
    """
    server-facts, Events: publish, overwrite
    server-facts, Events: evicted by max_items
    server-facts, Events: one publish evicts several
    server-facts, Events: retract without notify
    server-facts, Events: retract with notify
    server-facts, Events: purge
    server-facts, Events: delete
    server-facts, Events: configuration
    server-facts, Events: access → whitelist
    server-facts, Events: node deleted and made again
    """
    told: dict[str, str] = {}
    for row, changes in EVENTS.items():
        scene = await make_scene()
        for change in changes:
            told[row] = await scene.told(change)
    assert told == TOLD[column]


async def test_a_reader_gets_what_the_table_says(make_scene: MakeScene, column: str) -> None:
    """
    server-facts, Reading: order
    server-facts, Reading: `max_items=k`
    server-facts, Reading: explicit ids
    server-facts, Reading: RSM
    server-facts, Reading: disco#items ids
    """
    scene = await make_scene()
    await scene.publish("a", Y)
    moves = column.startswith("prosody")
    assert await scene.ids() == ("bca" if moves else "abc")
    assert await scene.ids(max_items=2) == ("ca" if moves else "bc")
    assert await scene.ids(ids=["c", "gone", "b"]) == ("cb" if moves else "bc")
    listed = names(await scene.session.disco_items(scene.service, scene.node))
    assert listed == ("acb" if moves else "abc")
    page = await scene.session.get_items(scene.service, scene.node, rsm=Rsm(2, before=""))
    if moves:
        assert (page.rsm, page.count, len(page.items)) == (False, None, 3)
        return
    assert (page.rsm, page.count, names(page.items)) == (True, 3, "bc")
    for cursor in (page.last, "c"):
        # Past the newest, and unknown: overwritten items never show.
        after = await scene.session.get_items(scene.service, scene.node, rsm=Rsm(9, after=cursor))
        assert (after.items, after.count) == ((), 3)


async def test_a_server_of_its_own_starts_with_its_users_and_keeps_its_data(
    own_server: Server, open_publisher: OpenPublisher, node: str
) -> None:
    """
    server-facts, As test fixtures: packages
    server-facts, As test fixtures: cold start with config, certificate, users
    server-facts, As test fixtures: as root
    """
    writer = await open_publisher(own_server, "alice")
    await writer.create(own_server.pubsub, node, CONFIG)
    await publish_to(writer, own_server.pubsub, node)
    await writer.close()
    own_server.stop()
    own_server.start()
    again = await open_publisher(own_server, "alice")
    assert list(await again.items(own_server.pubsub, node)) == ["a"]


async def publish_to(writer: Publisher, service: str, node: str) -> None:
    # An id that is published again is still there: with Prosody's own storage it would not be.
    for payload in (X, Y):
        await writer.publish(service, node, "a", payload)

"""Clients that open without end, flood, or do not read: others do not notice, and nothing is left of them."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbus_fast import Message, Variant

from pubsub_cached.bus import Connection, RemoteError
from pubsub_cached.bus.addresses import BUS, BUS_PATH
from pubsub_cached.bus.dispatch import AT_ONCE, STRANGERS
from pubsub_cached.cache.views.views import AT_MOST
from pubsub_cached.daemon import NAME, Daemon
from pubsub_cached.errors import BusLost
from pubsub_cached.store.aside import THREADS
from pubsub_cached.xmpp.fake import World
from tests.bus.api_service import CACHE, ERROR, SERVICE, Frontend, daemon, entry, frontend, world
from tests.bus.sample import ROOT, Held, stop_reading
from tests.support.bus import PrivateBus
from tests.support.callbacks import uncollected
from tests.support.footprint import Footprint

VIEW = "im.pubsubcache1.View"
NODE = ("", SERVICE, "blog")


class Setting:
    """The daemon over a world with a blog of twenty posts, and a client that behaves."""

    def __init__(self, made: World, address: str, service: Daemon, client: Frontend) -> None:
        self.world = made
        self.address = address
        self.daemon = service
        self.client = client

    async def left(self, name: str) -> None:
        """Return once the daemon knows that a client has gone."""
        views = self.daemon.house.views
        async with asyncio.timeout(60):
            while name in self.daemon._connection.unsandboxed or any(view.owner == name for view in views.all()):
                await asyncio.sleep(0.01)  # nobody is told of that

    async def read_by_all_threads(self) -> None:
        """Each thread beside the loop has a connection from its first read on, and keeps it."""
        all_at_once = threading.Barrier(THREADS)
        store = self.daemon.house.store
        await asyncio.gather(*(store.read_aside(lambda _: all_at_once.wait()) for _ in range(THREADS)))

    async def footprint(self) -> Footprint:
        """What there is once nothing is under way."""
        await self.client.ids()
        await self.daemon.house.changes.settled()
        await self.daemon._connection.drain()
        return Footprint()

    async def nothing_is_left_beside(self, before: Footprint) -> None:
        """Return once there is no more than before; calls of who has left are still dealt with."""
        for _ in range(200):
            grown = (await self.footprint()).grown(before)
            if not grown:
                return
            await asyncio.sleep(0.05)  # nobody is told of that either
        raise AssertionError(f"There are more than before: {grown}")


@pytest.fixture
async def setting(bus_address: str, tmp_path: Path) -> AsyncIterator[Setting]:
    made = world(20)
    async with daemon(made, bus_address, tmp_path) as service, frontend(bus_address) as client:
        await client.synchronised()
        setting = Setting(made, bus_address, service, client)
        await setting.read_by_all_threads()
        yield setting


async def open_and_drop(setting: Setting, count: int) -> None:
    """Views as fast as they can be made: every second client closes its own, the others leave the bus."""
    for number in range(count // AT_MOST):
        async with frontend(setting.address) as client:
            paths = [(await client.cache("CreateView", "ssa{sv}", "", "", {}))[0] for _ in range(AT_MOST)]
            await asyncio.gather(*(client.call("Start", path=path, interface=VIEW) for path in paths))
            if number % 2:
                await asyncio.gather(*(client.call("Close", path=path, interface=VIEW) for path in paths))
            name = client.name
        await setting.left(name)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [160, pytest.param(10_000, marks=pytest.mark.long)])
async def test_nothing_is_left_of_views_that_were_dropped(setting: Setting, count: int) -> None:
    await open_and_drop(setting, 2 * AT_MOST)
    before = await setting.footprint()
    await open_and_drop(setting, count)

    await setting.nothing_is_left_beside(before)


async def test_a_view_goes_with_its_window_once_it_is_closed(setting: Setting) -> None:
    (path,) = await setting.client.cache("CreateView", "ssa{sv}", "", "", {})
    await setting.client.call("Start", path=path, interface=VIEW)
    await setting.client.until("Ready", path=path)
    (view,) = [weakref.ref(view) for view in setting.daemon.house.views.all()]
    with uncollected():
        await setting.client.call("Close", path=path, interface=VIEW)
        async with asyncio.timeout(10):
            while view() is not None:
                # Its task has a few steps to end in.
                await asyncio.sleep(0.01)


async def test_no_call_waits_for_ever_for_who_has_left_the_bus(setting: Setting) -> None:
    """The daemon learns at any time that a client has gone, between any two of its calls."""
    dispatcher = setting.daemon._tree._dispatcher
    call = Message(NAME, ROOT, CACHE, "GetItems", signature="sssa{sv}", body=[*NODE, {}], sender=":1.999999", serial=1)
    dispatcher.receive(call)
    identifying = dispatcher._clients._asking
    while identifying and len(dispatcher._strangers.get(call.sender, ())) < STRANGERS - 1:
        dispatcher.receive(call)
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        while identifying:
            await asyncio.sleep(0.01)
    assert dispatcher._strangers == {}


async def test_calls_of_who_has_to_be_identified_again_keep_their_places(setting: Setting) -> None:
    """As when the bus did not answer in time whether the client is still there."""
    dispatcher = setting.daemon._tree._dispatcher
    sender, count = ":1.999999", 3 * AT_ONCE
    calls = [Message(NAME, ROOT, CACHE, "GetItems", sender=sender, serial=number + 1) for number in range(count)]
    for call in calls:
        dispatcher.receive(call)
    dispatcher._identified(sender)
    assert list(dispatcher._strangers[sender]) == calls
    async with asyncio.timeout(30):
        while dispatcher._strangers:
            await asyncio.sleep(0.01)


async def test_who_has_a_view_hears_everything_while_others_open_and_drop_theirs(setting: Setting) -> None:
    (path,) = await setting.client.cache("CreateView", "ssa{sv}", "", "", {"json": Variant("b", True)})
    await setting.client.call("Start", path=path, interface=VIEW)
    await setting.client.until("Ready", path=path)
    dropping = asyncio.create_task(open_and_drop(setting, 4 * AT_MOST))
    for number in range(20, 40):
        setting.world.services[SERVICE].publish("blog", f"post-{number}", entry(number))
        change, (document,) = await setting.client.until("Documents", path=path)
        assert (change, f'"id":"post-{number}"' in document) == ("added", True)
    await dropping


class Flood:
    """A client that sends reads without waiting for any of them."""

    def __init__(self, client: Connection) -> None:
        self.client = client
        self.answered = 0
        self.refused: set[str] = set()

    @classmethod
    async def begin(cls, address: str, count: int) -> tuple[Flood, asyncio.Task[None]]:
        """So many calls, all on their way; the task ends with the last answer, or with the connection."""
        flood = cls(await Connection.open(address))
        sending = asyncio.gather(*(flood._read() for _ in range(count)))
        await asyncio.sleep(0)
        return flood, asyncio.ensure_future(flood._over(sending))

    async def _read(self) -> None:
        try:
            await self.client.call(NAME, ROOT, CACHE, "GetItems", "sssa{sv}", [*NODE, {}], timeout=600)
        except RemoteError as error:
            self.refused.add(error.name)
        except BusLost:
            return
        self.answered += 1

    async def _over(self, sending: asyncio.Future[list[None]]) -> None:
        await sending


async def flooded(setting: Setting, count: int) -> None:
    """A flood, beside which five of somebody else's calls are answered."""
    flood, over = await Flood.begin(setting.address, count)
    for _ in range(5):
        assert len(await setting.client.ids()) == 20
    await over
    assert flood.refused <= {f"{ERROR}LimitExceeded"}
    assert flood.answered == count
    await flood.client.close()
    await setting.left(flood.client.unique_name)


async def test_who_floods_keeps_nobody_waiting_for_all_of_it(setting: Setting, private_bus: PrivateBus) -> None:
    """The bus takes no answers meanwhile, so that what was answered is what waits and what the socket holds."""
    service, name = setting.daemon._connection, setting.client.name
    flood, over = await Flood.begin(setting.address, 1)
    await over
    one, before = service.flow.outstanding(flood.client.unique_name), service.flow.outstanding(name)
    held = Held(service, "ListNodes")
    flooding = [asyncio.create_task(flood._read()) for _ in range(100)]
    await asyncio.sleep(0)
    await flood.client.call(BUS, BUS_PATH, BUS, "GetId")  # The bus has handed on what came before.
    listing = asyncio.create_task(setting.client.cache("ListNodes", "a{sv}", {}))
    await held.arrived.wait()
    with private_bus.paused():
        held.read_on()
        while service.flow.outstanding(name) == before:
            await asyncio.sleep(0)
        assert service._writer.queued < 3 * one
        assert flood.answered == 1
    await listing
    await asyncio.gather(*flooding)
    await flood.client.close()


async def test_each_call_of_a_flood_is_answered_and_nothing_is_left_of_it(setting: Setting) -> None:
    await flooded(setting, 100)
    before = await setting.footprint()
    await flooded(setting, 5000)

    await setting.nothing_is_left_beside(before)


async def deaf(setting: Setting, count: int) -> None:
    """A client that asks for far more than it ever reads, and leaves."""
    flood, over = await Flood.begin(setting.address, count)
    hear = stop_reading(flood.client._transport)
    for number in range(5):
        setting.world.services[SERVICE].publish("blog", f"post-{number}", entry(number).replace("Number", "No."))
        assert len(await setting.client.ids()) == 20
        setting.world.services[SERVICE].publish("blog", f"post-{number}", entry(number))
    hear()
    await flood.client.close()
    await over
    await setting.left(flood.client.unique_name)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [500, pytest.param(20_000, marks=pytest.mark.long)])
async def test_nothing_is_left_of_who_did_not_read(setting: Setting, count: int) -> None:
    await deaf(setting, 50)
    before = await setting.footprint()
    await deaf(setting, count)

    await setting.nothing_is_left_beside(before)

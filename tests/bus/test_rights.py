"""Rights are those of whoever calls, also of who is served when somebody else's answer has left."""

from __future__ import annotations

import asyncio

from pubsub_cached.bus import Connection, Tree
from tests.bus.conftest import MakeClient
from tests.bus.sample import ROOT, Sample
from tests.support.bus import PrivateBus


class Shared(Sample):
    """What a sandboxed client may call answers with more than the bus takes at once."""

    sandboxed = frozenset({"Wait"})

    async def Wait(self) -> str:
        return await super().Wait() * 500_000


async def test_who_waits_behind_a_sandboxed_client_s_answer_is_not_sandboxed(
    connection: Connection, tree: Tree, make_client: MakeClient, private_bus: PrivateBus
) -> None:
    shared = Shared()
    tree.export(ROOT, shared)
    tree.open()
    guest, host = await make_client(), await make_client()
    assert await host.call("Echo", "s", "first") == ["first"]
    tree._dispatcher._clients.limited[guest.name] = "org.example.Reader"
    answer = asyncio.create_task(guest.call("Wait"))
    await guest.settle()
    with private_bus.paused():
        shared.release.set()
        while connection._writer.queued == 0:
            await asyncio.sleep(0)
        calls = [asyncio.create_task(host.call("Echo", "s", str(number))) for number in range(50)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*calls) == [[str(number)] for number in range(50)]
    assert (await guest.error("Echo", "s", "no"))[0] == "org.freedesktop.DBus.Error.AccessDenied"
    assert len((await answer)[0]) == len("released") * 500_000

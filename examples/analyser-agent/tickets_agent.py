#!/usr/bin/env python3
"""An agent that the bus starts when there are items to parse. It ends when there were none for a while.

It makes JSON of tickets such as

    <ticket xmlns='urn:example:ticket' priority='2'><summary>The lamp is broken</summary></ticket>
"""

import asyncio
import json
import xml.etree.ElementTree as ET

from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusStr
from dbus_fast.service import ServiceInterface, dbus_method

NAME = "org.example.Tickets"
PATH = "/org/example/Tickets"
TICKET = "{urn:example:ticket}"
IDLE_SECONDS = 30.0


class Agent(ServiceInterface):
    """im.pubsubcache1.AnalyserAgent, without Match, which the key callbacks of tickets.toml does not name."""

    def __init__(self) -> None:
        super().__init__("im.pubsubcache1.AnalyserAgent")
        self.called = asyncio.Event()

    @dbus_method()
    def Parse(self, account: DBusStr, service: DBusStr, node: DBusStr, id: DBusStr, item: DBusStr) -> DBusStr:
        self.called.set()
        # The daemon has refused XML with entities, or nested too deep, before the item comes here.
        ticket = ET.fromstring(item).find(f"{TICKET}ticket")
        if ticket is None:
            return "{}"
        document = {"summary": ticket.findtext(f"{TICKET}summary", "").strip()}
        if (priority := ticket.get("priority", "")).isdecimal():
            document["priority"] = int(priority)
        return json.dumps(document)

    @dbus_method()
    def Release(self, reason: DBusStr) -> None:
        print(f"released: {reason}", flush=True)


async def main() -> None:
    bus = await MessageBus().connect()
    agent = Agent()
    # The object first: calls come as soon as the name is there.
    bus.export(PATH, agent)
    await bus.request_name(NAME)
    while True:
        agent.called.clear()
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await agent.called.wait()
        except TimeoutError:
            break
    await bus.release_name(NAME)
    bus.disconnect()


if __name__ == "__main__":
    asyncio.run(main())

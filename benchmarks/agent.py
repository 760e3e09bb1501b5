"""``python -m benchmarks.agent BEHAVIOUR NODE``: an agent that does its worst to the items of a node.

It works from SIGUSR1 to SIGUSR2, and prints ``working`` and ``idle``. Twice a second it registers again, with a
higher version, so that all items come again, and after it has died from a new connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from tests.support.daemon import NAME, ROOT

PATH = "/agent"
AGENT = f"{NAME}.AnalyserAgent"
# How often all items come again, s.
PERIOD = 0.5
FLOOD = 20
LARGE = '{"x": "' + "y" * 262_000 + '"}'

BEHAVIOURS = ("hanging", "lying", "dying", "flooding", "answering twice")


class Agent:
    """One behaviour."""

    def __init__(self, behaviour: str, node: str) -> None:
        self._behaviour = behaviour
        self._node = node
        self._name = f"bench-{behaviour.replace(' ', '-')}"
        self._version = 0
        self._stopped = asyncio.Event()
        self._working = asyncio.Event()
        self._bus: MessageBus

    async def run(self) -> None:
        """Until the process is ended."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._work, True)
        loop.add_signal_handler(signal.SIGUSR2, self._work, False)
        self._bus = await self._connect()
        while True:
            if not self._working.is_set():
                if not self._bus.connected:
                    self._bus = await self._connect()
                await self._unregister()
                print("idle", flush=True)
                await self._working.wait()
                print("working", flush=True)
            if not self._bus.connected:
                self._bus = await self._connect()
            await self._register()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PERIOD):
                    await self._stopped.wait()

    def _work(self, working: bool) -> None:
        if working:
            self._stopped.clear()
            self._working.set()
        else:
            self._working.clear()
            self._stopped.set()

    async def _connect(self) -> MessageBus:
        bus = await MessageBus().connect()
        # The library takes a full buffer for the end of the connection.
        bus._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
        bus.add_message_handler(self._called)
        return bus

    async def _register(self) -> None:
        self._version += 1
        rules = {
            "type": Variant("s", "bench"),
            "node": Variant("s", self._node),
            "exact": Variant("b", True),
            "to-sync": Variant("b", True),
            "agent": Variant("o", PATH),
            "callbacks": Variant("as", ["parse"]),
            "version": Variant("u", self._version),
            "persist": Variant("b", True),
        }
        body = [self._name, rules]
        call = Message(NAME, ROOT, f"{NAME}.Analysers", "Register", signature="sa{sv}", body=body)
        reply = await self._bus.call(call)
        # The bus may have noticed a death later than this.
        assert reply is not None
        assert reply.message_type is MessageType.METHOD_RETURN or self._behaviour == "dying", reply.body

    async def _unregister(self) -> None:
        """Nothing is left to do after this; it may not be registered."""
        call = Message(NAME, ROOT, f"{NAME}.Analysers", "Unregister", signature="s", body=[self._name])
        await self._bus.call(call)

    def _called(self, message: Message) -> bool | None:
        if message.message_type is not MessageType.METHOD_CALL or message.interface != AGENT:
            return None
        match self._behaviour:
            case "dying":
                self._bus.disconnect()
            case "lying":
                self._answer(message, "no document at all")
            case "answering twice":
                self._answer(message, '{"first": true}')
                self._answer(message, '{"first": false}')
            case "flooding":
                for _ in range(FLOOD):
                    self._bus.send(self._noise(message.sender or ""))
                self._answer(message, LARGE)
        return True

    def _answer(self, call: Message, text: str) -> None:
        if self._bus.connected:
            self._bus.send(Message.new_method_return(call, "s", [text]))

    def _noise(self, destination: str) -> Message:
        noise = Message(
            destination, PATH, "benchmark.Noise", "Noise", MessageType.SIGNAL, signature="s", body=["noise " * 20]
        )
        return noise


if __name__ == "__main__":
    asyncio.run(Agent(sys.argv[1], sys.argv[2]).run())

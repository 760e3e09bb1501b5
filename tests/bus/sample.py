"""A service for the tests of the seam, and a client that knows nothing of it but the wire."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageFlag, MessageType, Variant
from dbus_fast.aio import MessageBus

from pubsub_cached import errors
from pubsub_cached.bus import Connection, Interface, Record, Records, caller

DIRECTORY = Path(__file__).parent / "interfaces"
ROOT = "/im/pubsubcache1"
SAMPLE = "test.Sample"
PROPERTIES = "org.freedesktop.DBus.Properties"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
PEER = "org.freedesktop.DBus.Peer"

# Seconds after which a reply is taken for lost: a flood of somebody else's calls on a busy machine takes some.
LOST = 100

ROW = {"id": "s", "payload": "s", "created": "x", "job": "o"}


class Sample(Interface):
    """Everything that a method, a property or a signal can be."""

    name = SAMPLE
    directory = DIRECTORY

    def __init__(self) -> None:
        self.level = 1
        self.slow = ""
        self.quiet = 5
        self.set_by = ""
        self.calls: list[str] = []
        self.inheritable: list[bool] = []
        self.release = asyncio.Event()
        self.told = asyncio.Event()

    def Echo(self, text: str) -> str:
        self.calls.append(text)
        return text

    def Nothing(self) -> None:
        self.calls.append("nothing")

    def Pair(self) -> tuple[int, str]:
        return 7, "seven"

    def Options(self, options: dict[str, Variant]) -> list[str]:
        return sorted(f"{key}={variant.signature}:{variant.value}" for key, variant in options.items())

    def Texts(self, texts: list[str], number: int) -> list[str]:
        return [text * number for text in texts]

    def Rows(self, count: int, size: int) -> Records:
        row = {"id": "1", "payload": "x" * size, "created": 1}
        return Records([row] * count, ROW)

    def Who(self) -> str:
        return caller()

    async def WhoLater(self) -> str:
        await asyncio.sleep(0)
        return await asyncio.create_task(self._who())

    async def _who(self) -> str:
        return caller()

    async def Wait(self) -> str:
        await self.release.wait()
        return "released"

    def Raise(self, what: str) -> None:
        if what == "tree":
            raise errors.NoSuchNode("There is no node 'blog'.")
        if what == "stanza":
            raise errors.StanzaError("conflict", "no", "precondition-not-met")
        if what == "bad name":
            raise errors.StanzaError("a b\n", "no")
        if what == "long text":
            raise errors.InvalidPayload(f"'{'x' * 100_000}' is too long.")
        if what == "bad text":
            raise errors.InvalidPayload("Nul \0 and surrogate \ud800.")
        if what == "internal":
            raise errors.Internal("no secrets here")
        raise RuntimeError(what)

    async def RaiseLater(self, what: str) -> None:
        await asyncio.sleep(0)
        self.Raise(what)

    def Wrong(self, what: str) -> Any:
        values = {"text": "one", "none": None, "negative": -1, "big": 1 << 32, "tuple": (1, 2)}
        return values[what]

    def WrongPath(self, path: str) -> str:
        return path

    def WrongRecord(self) -> Record:
        return Record({"created": "yesterday"}, ROW)

    def ReadFd(self, fd: int) -> str:
        self.inheritable.append(os.get_inheritable(fd))
        return os.read(fd, 4096).decode()

    async def ReadFdLater(self, fd: int) -> str:
        await asyncio.sleep(0)
        return os.read(fd, 4096).decode()

    async def ReadFdWhenTold(self, fd: int) -> str:
        await self.told.wait()
        return os.read(fd, 4096).decode()

    def RefuseFd(self, fd: int) -> None:
        raise errors.NotSupported("No.")

    def GiveFd(self, text: str) -> tuple[int, int]:
        reader, writer = os.pipe()
        os.write(writer, text.encode())
        os.close(writer)
        if text == "closed":
            os.close(reader)
        return reader, len(text)

    def GiveFdAndText(self, text: str) -> tuple[int, Any]:
        return self.GiveFd(text)[0], text

    def Burst(self, count: int) -> None:
        for number in range(count):
            self.emit("Said", number, "x" * 300)

    @property
    def Caller(self) -> str:
        return caller()

    @property
    def Level(self) -> int:
        return self.level

    def set_Level(self, value: int) -> None:
        if value > 100:
            raise errors.InvalidArgs(f"The level {value} is above 100.")
        self.level = value
        self.set_by = caller()
        self.changed()

    @property
    def Slow(self) -> str:
        return self.slow

    async def set_Slow(self, value: str) -> None:
        await asyncio.sleep(0)
        self.slow = value
        self.set_by = caller()
        self.changed()

    @property
    def Version(self) -> int:
        return 1

    @property
    def Quiet(self) -> int:
        return self.quiet


class Plain(Interface):
    """A second interface with a method of the same name."""

    name = "test.Plain"
    directory = DIRECTORY

    loud = "loud"

    def Echo(self, number: int) -> int:
        return number

    @property
    def Title(self) -> str:
        return "title"

    @property
    def Loud(self) -> str:
        return self.loud


class Broken(Interface):
    """A property that can't be read."""

    name = "test.Broken"
    directory = DIRECTORY

    good = "good"

    @property
    def Good(self) -> str:
        return self.good

    @property
    def Bad(self) -> str:
        raise RuntimeError("unreadable")


class Client:
    """A client with the library's own connection."""

    def __init__(self, bus: MessageBus, service: str) -> None:
        self.bus = bus
        self.service = service
        self.signals: asyncio.Queue[Message] = asyncio.Queue()
        bus.add_message_handler(self._received)

    @property
    def name(self) -> str:
        assert self.bus.unique_name is not None
        return self.bus.unique_name

    def message(
        self,
        member: str,
        signature: str = "",
        *body: Any,
        interface: str | None = SAMPLE,
        path: str = ROOT,
        fds: list[int] | None = None,
        flags: MessageFlag = MessageFlag.NONE,
    ) -> Message:
        return Message(
            destination=self.service,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            unix_fds=fds or [],
            flags=flags,
        )

    async def raw(self, member: str, signature: str = "", *body: Any, **options: Any) -> Message:
        """The reply as it came, errors too."""
        async with asyncio.timeout(LOST):
            return await self.bus.call(self.message(member, signature, *body, **options))

    async def call(self, member: str, signature: str = "", *body: Any, **options: Any) -> list[Any]:
        """The values of a reply that must not be an error."""
        reply = await self.raw(member, signature, *body, **options)
        assert reply.message_type is MessageType.METHOD_RETURN, (reply.error_name, reply.body)
        return list(reply.body)

    async def error(self, member: str, signature: str = "", *body: Any, **options: Any) -> tuple[str, str]:
        """Name and text of the error that must come."""
        reply = await self.raw(member, signature, *body, **options)
        assert reply.message_type is MessageType.ERROR, reply.body
        return str(reply.error_name), reply.body[0]

    async def get(self, prop: str, interface: str = SAMPLE, path: str = ROOT) -> Any:
        return (await self.call("Get", "ss", interface, prop, interface=PROPERTIES, path=path))[0].value

    async def listen(self, rule: str = "type='signal'") -> None:
        reply = await self.bus.call(
            Message(
                destination="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
                member="AddMatch",
                signature="s",
                body=[rule],
            )
        )
        assert reply.message_type is MessageType.METHOD_RETURN, reply.body

    async def signal(self) -> Message:
        """The next signal from the service."""
        async with asyncio.timeout(10):
            return await self.signals.get()

    async def settle(self) -> list[Message]:
        """The signals that came until now; a round trip through the service makes sure that they did."""
        await self.raw("Ping", interface=PEER)
        arrived = []
        while not self.signals.empty():
            arrived.append(self.signals.get_nowait())
        return arrived

    def _received(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL and message.sender == self.service:
            self.signals.put_nowait(message)


class Held:
    """The service reads nothing from when this is made; ``arrived`` is set once ``text`` is in its socket."""

    def __init__(self, service: Connection, text: str) -> None:
        transport = service._transport
        sock = transport._sock
        assert sock is not None
        self.arrived = asyncio.Event()
        self._loop = transport._loop
        self._fd = sock.fileno()
        self._read = self._loop._selector.get_key(self._fd).data[0]._callback  # type: ignore[attr-defined]

        def look() -> None:
            if text.encode() in sock.recv(1 << 20, socket.MSG_PEEK):
                self.arrived.set()

        self._loop.add_reader(self._fd, look)

    def read_on(self) -> None:
        self._loop.add_reader(self._fd, self._read)


def stop_reading(bus: MessageBus) -> Callable[[], None]:
    """The client's process sleeps; the result wakes it."""
    reader = bus._loop._selector.get_key(bus._fd).data[0]._callback  # type: ignore[attr-defined]
    bus._loop.remove_reader(bus._fd)  # type: ignore[arg-type]
    return lambda: bus._loop.add_reader(bus._fd, reader)  # type: ignore[arg-type]


def descriptors() -> int:
    """How many file descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))

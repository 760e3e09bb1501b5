"""The connection to a bus: calls, signals, names, and its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Self

from dbus_fast import DBusFastError, Message, MessageType, NameFlag, RequestNameReply

from ..errors import STANDARD, BusLost, InvalidArgs, LimitExceeded, NameTaken, PubSubCachedError, Timeout
from . import descriptors
from .addresses import BUS, BUS_PATH, session_address, system_address
from .calls import NO_REPLY_EXPECTED, Call, Calls, values
from .errors import DISCONNECTED, RemoteError
from .flow import Answer, Flow
from .marshalling import marshalled
from .matches import Callback, Match, Matches, Subscription
from .sandbox import Peer
from .transport import Transport
from .turns import Turns
from .values import SignatureTree
from .writer import Writer

log = logging.getLogger(__name__)

TOTAL_LIMIT = 64 * 1024 * 1024
"""Bytes that may wait for the bus to take them; with twice as many the bus counts as lost."""

MESSAGE_LIMIT = 16 * 1024 * 1024
"""Bytes of one message; a bus with default limits takes 32 MiB and disconnects who sends more."""

UNSANDBOXED = "unsandboxed"
"""In place of an object's owner or a signal's destination: every client that is known not to be sandboxed."""

_GREETING = 25.0
_FAREWELL = 5.0

Handler = Callable[[Message], None]


class Connection:
    """A connection to a message bus. Made by ``open``."""

    def __init__(self, address: str, kind: str) -> None:
        self.unique_name = ""
        self._kind = kind
        self.flow = Flow(self._ask_stats)
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._calls = Calls(self.transmit)
        self._matches = Matches(self)
        self._names: set[str] = set()
        self._turns: Turns | None = None
        self._closing = False
        # Who is meant by UNSANDBOXED; whoever identifies clients keeps it.
        self.unsandboxed: set[str] = set()
        self._transport = Transport(address, self._unreadable, self._gone)
        self._writer: Writer

    @classmethod
    async def open(cls, address: str | None = None, *, system: bool = False) -> Self:
        """Connects to ``address``, by default the session or ``system`` bus; file descriptors are negotiated.

        Raises BusLost when there is no bus.
        """
        where = address or (system_address() if system else session_address())
        kind = "system" if system else "session"
        try:
            self = cls(where, kind)
            async with asyncio.timeout(_GREETING):
                await self._transport.connect()
        # The last two are the library's of what no bus says.
        except (OSError, EOFError, DBusFastError, TimeoutError, UnicodeDecodeError, IndexError) as error:
            raise BusLost(f"The {kind} bus at {where} can't be reached: {error or type(error).__name__}.") from error
        assert self._transport.writer is not None
        self._writer = self._transport.writer
        self.unique_name = self._transport.unique_name or ""
        self._transport.add_message_handler(self._received)
        return self

    async def own(self, name: str) -> None:
        """Takes the well-known ``name``; raises NameTaken when another process has it."""
        flags = NameFlag.DO_NOT_QUEUE.value
        (reply,) = await self.call_bus("RequestName", "su", [name, flags])
        if reply not in (RequestNameReply.PRIMARY_OWNER.value, RequestNameReply.ALREADY_OWNER.value):
            raise NameTaken(f"Another process owns the bus name {name}; 'busctl --user status {name}' says which.")
        self._names.add(name)

    async def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
        *,
        timeout: float = 25.0,
        fds: bool = True,
    ) -> list[Any]:
        """Calls a method and returns the values of the reply.

        timeout: seconds. An ``h`` in ``body`` is a descriptor number, which is duplicated; one in the reply is the
        caller's to close, and without ``fds`` closed. Raises RemoteError, errors.Timeout, BusLost.
        """
        call = Call(destination, path, interface, member, signature, body)
        return values(await self._calls.ask(call, timeout), fds)

    async def call_bus(
        self, member: str, signature: str = "", body: Sequence[Any] = (), *, timeout: float = 25.0
    ) -> list[Any]:
        """Calls a method of the bus itself; see ``call``."""
        return await self.call(BUS, BUS_PATH, BUS, member, signature, body, timeout=timeout)

    async def peer(self, name: str) -> Peer:
        """What the bus says of the process behind a unique name; its ``pidfd`` is the caller's to close.

        Raises RemoteError, also when there is no process on this machine, errors.Timeout, BusLost.
        """
        reply = await self._calls.ask(Call(BUS, BUS_PATH, BUS, "GetConnectionCredentials", "s", [name]), 25.0)
        fds, reply.unix_fds = reply.unix_fds, []
        try:
            (said,) = values(reply)
            if "ProcessID" not in said:
                raise RemoteError(STANDARD + "UnixProcessIdUnknown", f"The bus does not know the process of {name}.")
            label = bytes(said["LinuxSecurityLabel"].value) if "LinuxSecurityLabel" in said else b""
            pidfd = fds.pop(said["ProcessFD"].value) if "ProcessFD" in said else -1
            return Peer(said["ProcessID"].value, pidfd, label.rstrip(b"\0").decode(errors="replace"))
        finally:
            descriptors.close(fds)

    def call_no_reply(
        self, destination: str, path: str, interface: str, member: str, signature: str, body: Sequence[Any]
    ) -> None:
        """Calls a method of which no reply is wanted."""
        self._calls.send(Call(destination, path, interface, member, signature, body))

    def signal(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str | SignatureTree,
        body: Sequence[Any],
        destination: str | None = None,
    ) -> None:
        """Emits a signal, to everyone, to the unique name ``destination`` alone, or to all who are UNSANDBOXED.

        Never waits: who emits many awaits ``drain`` now and then. Raises when the body does not fit the signature.
        Does nothing once the connection is gone.
        """
        if destination == UNSANDBOXED:
            for name in self.unsandboxed:
                self.signal(path, interface, member, signature, body, name)
            return
        message = Message(
            message_type=MessageType.SIGNAL,
            path=path,
            interface=interface,
            member=member,
            destination=destination,
            signature=signature,
            body=list(body),
        )
        self.transmit(message)

    def transmit(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Sends a message; takes ``fds`` unless it raises."""
        message.serial = self._transport.next_serial()
        data = marshalled(message)
        if len(data) > MESSAGE_LIMIT:
            raise LimitExceeded(f"The message has {len(data)} bytes; at most {MESSAGE_LIMIT} are sent at once.")
        size = self._writer.write(data, fds)
        destination = message.destination
        if destination is not None and destination[0] == ":":
            self.flow.sent(destination, size)
        if self._writer.queued > 2 * TOTAL_LIMIT:
            self._lose(BusLost(f"The bus does not take what is sent: {self._writer.queued} bytes wait."))

    @property
    def congested(self) -> bool:
        """Whether the bus takes what is sent so slowly that nothing more should be begun."""
        return self._writer.queued > TOTAL_LIMIT

    def serve(self, handler: Handler, refuse: Handler) -> None:
        """Has ``handler`` get every method call, in turns, or ``refuse`` where too many of one client wait.

        Both must answer it themselves and must not raise. From now on messages that are too long are not read.
        """
        self._turns = Turns(handler, refuse, lambda: self._writer.queued > 0)
        self._transport.begin = self._turns.begin
        self._transport.shorten()
        self._writer.taken = self._turns.go_on

    def hand_on(self) -> None:
        """Has the handler get the calls that wait for their turn."""
        if self._turns is not None:
            self._turns.flush()

    async def subscribe(self, callback: Callback, match: Match) -> Subscription:
        """Has ``callback`` get every signal that fits ``match``, until the subscription is cancelled."""
        return await self._matches.add(callback, match)

    async def drain(self) -> None:
        """Returns once everything that was sent has been taken by the bus."""
        await self._writer.drain()

    async def lost(self) -> None:
        """Returns when the connection was closed here; raises BusLost when the bus or an owned name is gone."""
        await asyncio.shield(self._lost)

    async def close(self) -> None:
        """Gives up the names, sends what is queued, then disconnects."""
        if self._closing:
            return
        self._closing = True
        try:
            async with asyncio.timeout(_FAREWELL):
                # Calls that the bus routed to us come before its answer: they are still answered.
                for name in sorted(self._names):
                    await self.call_bus("ReleaseName", "s", [name])
                self.hand_on()
                await self.drain()
        except (BusLost, RemoteError, Timeout, TimeoutError) as error:
            log.debug("The bus did not hear the farewell: %s", error or type(error).__name__)
        if not self._transport._disconnected:
            self._transport.disconnect()
            await self._transport.wait_for_disconnect()  # type: ignore[no-untyped-call]
        if not self._lost.done():
            self._lost.set_result(None)

    def _ask_stats(self, name: str, answer: Answer) -> None:
        def answered(reply: Message | None) -> None:
            if reply is None:
                answer(RemoteError(DISCONNECTED, "The bus went away."))
            elif reply.message_type is MessageType.ERROR:
                answer(RemoteError(str(reply.error_name), ""))
            else:
                waiting = reply.body[0].get("OutgoingBytes")
                answer(waiting.value if waiting is not None else 0)

        self._calls.send(Call(BUS, BUS_PATH, f"{BUS}.Debug.Stats", "GetConnectionStats", "s", [name]), answered)

    def _received(self, message: Message) -> bool:
        """The handler that sees every message before the library does; True: it is dealt with."""
        kind = message.message_type
        if kind is MessageType.METHOD_CALL:
            if self._turns is None or "h" not in message.signature:
                # Nobody takes them, and many calls of a client may wait for long.
                descriptors.close_all(message)
            if self._turns is None:
                return False
            self._turns.receive(message)
        elif kind is MessageType.SIGNAL:
            descriptors.close_all(message)
            self._signalled(message)
        else:
            self._calls.replied(message)
        return True

    def _unreadable(self, message: Message, error: Exception) -> None:
        """Tells who calls, or waits for an answer, that it is not read; a signal was for nobody in particular."""
        if not isinstance(error, PubSubCachedError):
            error = InvalidArgs(f"The arguments of {message.member} can't be read: {error}.")
        if message.message_type is MessageType.METHOD_CALL:
            if not message.flags.value & NO_REPLY_EXPECTED:
                self.transmit(Message.new_error(message, error.name, error.message))
        elif message.message_type is not MessageType.SIGNAL:
            message.message_type, message.error_name = MessageType.ERROR, error.name
            message.signature, message.body = "s", [error.message]
            self._calls.replied(message)

    def _signalled(self, message: Message) -> None:
        lost = message.sender == BUS and message.member == "NameLost" and message.body[0] in self._names
        if lost and not self._closing:
            self._lose(BusLost(f"The bus name {message.body[0]} was lost to another process."))
        self._matches.deliver(message)

    def _gone(self, error: BaseException | None) -> None:
        self._calls.end()
        if not self._closing:
            why = f": {error}" if error is not None and str(error) else ""
            self._lose(BusLost(f"The {self._kind} bus went away{why}."))

    def _lose(self, error: BusLost) -> None:
        if not self._lost.done():
            self._lost.set_exception(error)
            self._lost.exception()  # Mark it as looked at: whoever closes first need not await lost().

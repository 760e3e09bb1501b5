"""Outgoing calls: each gets its reply, runs out of time, or hears that the bus went away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dbus_fast import Message, MessageType

from ..errors import BusLost, InvalidArgs, Timeout
from . import descriptors
from .addresses import BUS
from .errors import RemoteError

NO_REPLY_EXPECTED = 1

# Gets the reply, or None when the bus went away.
Waiter = Callable[[Message | None], None]


class Call(NamedTuple):
    """A method call; an ``h`` in ``body`` is a descriptor number, which is duplicated."""

    destination: str
    path: str
    interface: str
    member: str
    signature: str = ""
    body: Sequence[Any] = ()


class Calls:
    """The calls of one connection.

    transmit: sends a message, gives it its serial, and takes the descriptors unless it raises.
    """

    def __init__(self, transmit: Callable[[Message, Sequence[int]], None]) -> None:
        self.pending: dict[int, tuple[str, Waiter]] = {}
        self._transmit = transmit
        self._ended = False

    async def ask(self, call: Call, timeout: float) -> Message:
        """Sends a call and returns its reply, which may be an error. Raises errors.Timeout, BusLost.

        timeout: seconds. The descriptors of the reply are the caller's to close.
        """
        future: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        serial = self.send(call, future.set_result)
        try:
            await asyncio.wait([future], timeout=timeout)
        except BaseException:
            # It may have come just now, and nobody takes it.
            if future.done() and (reply := future.result()) is not None:
                descriptors.close_all(reply)
            raise
        finally:
            self.pending.pop(serial, None)
        if not future.done():
            raise Timeout(
                f"{call.destination} did not answer {call.interface}.{call.member} within {timeout:g} seconds."
            )
        reply = future.result()
        if reply is None:
            raise BusLost(f"The bus went away before {call.destination} answered {call.interface}.{call.member}.")
        return reply

    def send(self, call: Call, waiter: Waiter | None = None) -> int:
        """Sends a call whose reply goes to ``waiter``, or of which no reply is wanted; its serial."""
        values, fds = descriptors.lend(call.signature, call.body)
        message = Message(
            destination=call.destination,
            path=call.path,
            interface=call.interface,
            member=call.member,
            signature=call.signature,
            body=values,
            unix_fds=fds,
            flags=0 if waiter else NO_REPLY_EXPECTED,
        )
        try:
            self._transmit(message, fds)
        except BaseException:
            descriptors.close(fds)
            raise
        if waiter is None:
            return message.serial
        if self._ended:
            waiter(None)
        else:
            self.pending[message.serial] = (call.destination, waiter)
        return message.serial

    def replied(self, message: Message) -> None:
        """Hands a reply to whom it concerns."""
        destination, waiter = self.pending.get(message.reply_serial, ("", None))
        # Anyone may send a reply with a guessed serial; who was asked by unique name must be who answers.
        if (
            waiter is None
            or (destination[0] == ":" and message.sender not in (destination, BUS))
            or (destination == BUS and message.sender != BUS)
        ):
            descriptors.close_all(message)
            return
        del self.pending[message.reply_serial]
        waiter(message)

    def end(self) -> None:
        """The bus went away: nothing is answered any more."""
        self._ended = True
        pending, self.pending = self.pending, {}
        for _, waiter in pending.values():
            waiter(None)


def values(reply: Message, fds: bool = True) -> list[Any]:
    """The values of a reply, with ``fds`` its descriptors among them.

    Raises RemoteError for an error, and for a descriptor that did not come.
    """
    if reply.message_type is MessageType.ERROR:
        descriptors.close_all(reply)
        text = reply.body[0] if reply.body and isinstance(reply.body[0], str) else ""
        raise RemoteError(str(reply.error_name), text)
    if not fds:
        descriptors.close_all(reply)
        return reply.body
    try:
        return descriptors.take(reply)
    except IndexError:
        text = "The answer names a file descriptor that did not come with it."
        raise RemoteError(InvalidArgs.dbus_name, text) from None

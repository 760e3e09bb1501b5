"""Incoming calls: who may call, what answers, and the answer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Sequence
from functools import partial
from itertools import chain
from typing import Any

from dbus_fast import Message, MessageType

from ..errors import Cancelled, Internal, InvalidArgs, LimitExceeded, PubSubCachedError, Timeout
from . import descriptors
from .caller import current, limited
from .calls import NO_REPLY_EXPECTED
from .clients import Clients
from .connection import Connection
from .errors import is_error_name
from .flow import WINDOW
from .interface import PROPERTIES, Handler
from .methods import Methods
from .standard import INTROSPECTABLE, PEER, PREFIX
from .turns import AT_MOST

log = logging.getLogger(__name__)

IN_FLIGHT = 64
"""Calls of one sender that may be unanswered at a time; calls to the standard interfaces may be as many on top."""

STRANGERS = 512
"""Calls of one sender that may wait until it is known who that is."""

AT_ONCE = 16
"""Of these calls so many run before others have their turn."""

_STOPPING = "The service is stopping; call again to have it started anew."

# Types of which no value is awaitable: most answers, so looked up before anything else is.
_PLAIN = frozenset({type(None), tuple, list, dict, str, int, bool, float})


class Dispatcher:
    """Gets every call of a connection and has each answered exactly once.

    Calls before ``open`` are held, at most ``hold`` seconds. Calls of a client with too much to read are parked
    until it has read. Both count as in flight. Those of a client that nothing is known of wait until it is identified.
    """

    def __init__(
        self,
        connection: Connection,
        methods: Methods,
        clients: Clients,
        hold: float,
        early: frozenset[str],
    ) -> None:
        self._connection = connection
        self._flow = connection.flow
        self._find_method = methods.find
        self._clients = clients
        self._trusted = clients.trusted
        self._hold = hold
        self._early = early
        self._is_open = False
        self._stopped = False
        self._ends: PubSubCachedError = Cancelled(_STOPPING)
        self._held: dict[int, tuple[Message, asyncio.TimerHandle]] = {}
        self._parked: dict[str, deque[Message]] = {}
        self._strangers: dict[str, deque[Message]] = {}
        self._in_flight: dict[str, int] = {}
        self._running: set[asyncio.Future[Any]] = set()
        self._flow.read = self._unpark

    def receive(self, call: Message) -> None:
        """Answers a call, now or later."""
        if call.sender in self._in_flight or self._connection.congested or self._stopped:
            refusal = self._refusal(call)
            if refusal is not None:
                self._refuse(call, refusal)
                return
        if not self._is_open and not self._is_early(call):
            self._keep(call)
        elif call.sender in self._strangers:
            self._wait(call)
        elif call.sender in self._parked or self._flow.blocked(str(call.sender)):
            self._park(call)
        else:
            self._examine(call)

    def refuse(self, call: Message) -> None:
        """Answers a call that may not even wait for its turn."""
        self._refuse(call, LimitExceeded(f"{AT_MOST} calls of one client wait for their turn; wait for replies."))

    def open(self) -> None:
        """Lets the held calls in, in the order in which they came."""
        self._is_open = True
        held, self._held = self._held, {}
        for call, timer in held.values():
            timer.cancel()
            self._landed(call)
            self.receive(call)

    async def close(self, grace: float, why: PubSubCachedError | None = None) -> None:
        """Has everything that is in flight answered within about ``grace`` seconds; why: told to those that wait."""
        self._ends = why or self._ends
        self._turn_away()
        end = asyncio.get_running_loop().time() + grace
        while self._running and (left := end - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        self._stopped = True
        # More has come meanwhile.
        self._turn_away()
        for future in list(self._running):
            future.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=max(grace, 1.0))

    def _turn_away(self) -> None:
        """Refuses all calls that do not run yet."""
        held, self._held = self._held, {}
        for call, timer in held.values():
            timer.cancel()
            self._landed(call)
            self._refuse(call, self._ends)
        parked, self._parked = self._parked, {}
        for call in chain(*parked.values()):
            self._landed(call)
            self._refuse(call, self._ends)
        strangers, self._strangers = self._strangers, {}
        for call in chain(*strangers.values()):
            self._refuse(call, self._ends)

    # Before a call runs

    def _refusal(self, call: Message) -> PubSubCachedError | None:
        if self._stopped:
            return self._ends
        if self._connection.congested:
            return LimitExceeded("The bus takes answers too slowly; try again later.")
        standard = call.interface is not None and call.interface.startswith(PREFIX)
        if self._in_flight.get(str(call.sender), 0) >= (2 * IN_FLIGHT if standard else IN_FLIGHT):
            return LimitExceeded(f"At most {IN_FLIGHT} calls of one client are answered at a time; wait for replies.")
        return None

    def _is_early(self, call: Message) -> bool:
        if call.interface == PROPERTIES:
            # What is no string may be nothing that can be looked up.
            return call.member in ("Get", "GetAll") and call.signature[:1] == "s" and call.body[0] in self._early
        return call.interface in (PEER, INTROSPECTABLE)

    def _keep(self, call: Message) -> None:
        key = id(call)
        timer = asyncio.get_running_loop().call_later(self._hold, self._too_late, key)
        self._held[key] = (call, timer)
        self._flying(call)

    def _too_late(self, key: int) -> None:
        call, _ = self._held.pop(key)
        self._landed(call)
        self._refuse(call, Timeout(f"The service was not ready within {self._hold:g} seconds; try again."))

    def _park(self, call: Message) -> None:
        if call.unix_fds:
            # The service has few, and it may take for ever.
            self._refuse(call, LimitExceeded("Read what was answered before you pass file descriptors."))
            return
        self._parked.setdefault(str(call.sender), deque()).append(call)
        self._flying(call)

    def _unpark(self, sender: str) -> None:
        waiting = self._parked.get(sender)
        while waiting:
            call = waiting.popleft()
            self._landed(call)
            self._examine(call)
            if self._flow.blocked(sender):
                break
        if not waiting:
            self._parked.pop(sender, None)

    def _examine(self, call: Message) -> None:
        """Runs a call with the rights of its sender, now or when these are known."""
        if call.sender in self._trusted:
            self._run(call)
        elif call.sender in self._clients.limited:
            self._run(call, sandboxed=True)
        else:
            self._wait(call)
            self._clients.identify(str(call.sender), self._identified)

    def _wait(self, call: Message) -> None:
        waiting = self._strangers.setdefault(str(call.sender), deque())
        if len(waiting) < STRANGERS:
            waiting.append(call)
        else:
            self._refuse(call, LimitExceeded(f"{STRANGERS} calls wait until it is known who calls."))

    def _identified(self, sender: str) -> None:
        """Lets in the calls that have waited, some at a time; those that come meanwhile stay behind them."""
        waiting = self._strangers.pop(sender, deque())
        for _ in range(min(len(waiting), AT_ONCE)):
            self.receive(waiting.popleft())
        if sender in self._strangers:
            # It has to be identified again, and these wait behind those that were looked at.
            self._strangers[sender].extend(waiting)
        elif waiting:
            self._strangers[sender] = waiting
            asyncio.get_running_loop().call_soon(self._identified, sender)

    def _flying(self, call: Message) -> None:
        sender = str(call.sender)
        self._in_flight[sender] = self._in_flight.get(sender, 0) + 1

    def _landed(self, call: Message) -> None:
        sender = str(call.sender)
        left = self._in_flight.get(sender, 0) - 1
        if left > 0:
            self._in_flight[sender] = left
        else:
            self._in_flight.pop(sender, None)

    # A call

    def _run(self, call: Message, sandboxed: bool = False) -> None:
        # Whatever the context is: that of a callback is another call's, where that had it made.
        token, rights = current.set(call.sender), limited.set(sandboxed)
        try:
            handler = self._find_method(call)
            arguments = call.body if not handler.method.fds_in else _with_fds(call, handler)
            result = handler.function(*arguments)
            if type(result) not in _PLAIN and hasattr(result, "__await__"):
                self._await(call, handler, result)
                return
        except Exception as error:
            descriptors.close_all(call)
            self._fail(call, error)
            return
        finally:
            limited.reset(rights)
            current.reset(token)
        if call.unix_fds:
            descriptors.close_all(call)
        self._reply(call, handler, result)

    def _await(self, call: Message, handler: Handler, result: Awaitable[Any]) -> None:
        future = asyncio.ensure_future(result)
        self._running.add(future)
        self._flying(call)
        future.add_done_callback(partial(self._done, call, handler))

    def _done(self, call: Message, handler: Handler, future: asyncio.Future[Any]) -> None:
        self._running.discard(future)
        self._landed(call)
        descriptors.close_all(call)
        if future.cancelled():
            self._fail(call, Cancelled(_STOPPING if self._stopped else f"{call.member} was cancelled."))
            return
        error = future.exception()
        if error is not None:
            self._fail(call, error)
        else:
            self._reply(call, handler, future.result())

    # The answer

    def _reply(self, call: Message, handler: Handler, result: Any) -> None:
        method = handler.method
        fds: Sequence[int] = ()
        try:
            count = len(method.checks)
            body = [result] if count == 1 else _several(result, count)
            if method.fds_out:
                fds = descriptors.give(body, method.fds_out)
            for check, value in zip(method.checks, body, strict=True):
                check(value)
            if call.flags.value & NO_REPLY_EXPECTED:
                descriptors.close(fds)
                return
            reply = Message(
                message_type=MessageType.METHOD_RETURN,
                reply_serial=call.serial,
                destination=call.sender,
                signature=method.out,
                body=body,
                unix_fds=list(fds),
                validate=False,
            )
            self._connection.transmit(reply, fds)
        except Exception as error:
            descriptors.close(fds)
            self._fail(call, error)

    def _refuse(self, call: Message, error: PubSubCachedError) -> None:
        """An error for a call that did not run; nothing at all for who would not read that either."""
        descriptors.close_all(call)
        if self._flow.outstanding(str(call.sender)) <= 2 * WINDOW:
            self._fail(call, error)

    def _fail(self, call: Message, error: BaseException) -> None:
        if isinstance(error, PubSubCachedError) and not isinstance(error, Internal) and is_error_name(error.name):
            name, text = error.name, error.message
        else:
            log.error("%s.%s failed", call.interface, call.member, exc_info=error)
            name, text = Internal.dbus_name, f"{call.member} failed by a fault of the service; its log says more."
        if call.flags.value & NO_REPLY_EXPECTED:
            return
        # A character that the bus refuses would cost the connection.
        text = text.encode(errors="replace").decode().replace("\0", "\ufffd")
        self._connection.transmit(
            Message(
                message_type=MessageType.ERROR,
                reply_serial=call.serial,
                destination=call.sender,
                error_name=name,
                signature="s",
                body=[text],
                validate=False,
            )
        )


def _with_fds(call: Message, handler: Handler) -> list[Any]:
    try:
        return descriptors.arguments(call, handler.method.fds_in)
    except IndexError:
        raise InvalidArgs(f"{call.member} needs a file descriptor that did not come with the call.") from None


def _several(result: Any, count: int) -> list[Any]:
    """The values of a result with none or several of them."""
    if count == 0 and result is None:
        return []
    if count == 0 or not isinstance(result, tuple) or len(result) != count:
        raise TypeError(f"{count} values have to be returned, not {type(result).__name__}")
    return list(result)

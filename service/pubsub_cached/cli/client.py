"""The daemon as a command sees it: calls with plain values, signals, and errors that end the command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from ..bus import PROPERTIES, Connection, Match, Signal, Subscription, Variant
from ..errors import STANDARD, PubSubCachedError
from ..object_path import ROOT
from .failure import RESTART, Failure, Status, explain

NAME = "im.pubsubcache1"

# Beyond the 20 seconds that the daemon itself waits, for a service or for its own start.
CALL_SECONDS = 30.0
# The most that the daemon gives at once.
PAGE = 500

_UNSERVED = frozenset(STANDARD + name for name in ("UnknownMethod", "UnknownInterface", "UnknownProperty"))


class Pages(NamedTuple):
    """Records; more: whether there are others; info: what came beside the first page."""

    records: list[dict[str, Any]]
    more: bool
    info: dict[str, Any]


class Client:
    """A connection to the bus. Every method raises Failure."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def call(
        self,
        interface: str,
        member: str,
        signature: str = "",
        *body: Any,
        path: str = ROOT,
        seconds: float = CALL_SECONDS,
    ) -> list[Any]:
        """Call a method of the daemon; the values of its reply.

        A dictionary in ``body`` holds a pair of D-Bus type and value for each key; None is left out.
        """
        asked = self.ask(NAME, path, f"{NAME}.{interface}", member, signature, *body, seconds=seconds)
        return await self._served(f"{interface}.{member}", asked)

    async def pages(
        self,
        interface: str,
        member: str,
        signature: str,
        *arguments: Any,
        options: Mapping[str, tuple[str, Any]],
        most: int | None = None,
        seconds: float = CALL_SECONDS,
    ) -> Pages:
        """Call a method whose last argument is ``options`` until it has given ``most`` records, or all."""
        records: list[dict[str, Any]] = []
        cursor, info = "", None
        while True:
            limit = PAGE if most is None else min(PAGE, most - len(records))
            given = {**options, "limit": ("u", limit), "cursor": ("s", cursor or None)}
            if cursor:
                # It knows which are left of them.
                given.pop("ids", None)
            page, cursor, *rest = await self.call(interface, member, signature, *arguments, given, seconds=seconds)
            records += page
            info = info if info is not None else (rest or [{}])[0]
            if not cursor or len(records) == most:
                return Pages(records, bool(cursor), info)

    async def ask(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *body: Any,
        seconds: float = CALL_SECONDS,
    ) -> list[Any]:
        """Call a method of any program. Raises what the bus's seam raises."""
        packed = [_packed(value) if isinstance(value, Mapping) else value for value in body]
        reply = await self.connection.call(destination, path, interface, member, signature, packed, timeout=seconds)
        return [plain(value) for value in reply]

    async def get(self, interface: str, name: str, path: str = ROOT) -> Any:
        """A property of the daemon."""
        return (await self._properties("Get", "ss", f"{NAME}.{interface}", name, path=path))[0]

    async def get_all(self, interface: str, path: str = ROOT) -> dict[str, Any]:
        """All properties of an interface of the daemon."""
        found: dict[str, Any] = (await self._properties("GetAll", "s", f"{NAME}.{interface}", path=path))[0]
        return found

    async def set(self, interface: str, name: str, signature: str, value: Any, path: str) -> None:
        """Write a property of the daemon."""
        await self._properties("Set", "ssv", f"{NAME}.{interface}", name, Variant(signature, value), path=path)

    async def running(self) -> bool:
        """Whether the daemon runs; asking does not start it."""
        return bool((await self.bus("NameHasOwner", "s", NAME))[0])

    async def bus(self, member: str, signature: str = "", *body: Any) -> list[Any]:
        """Call a method of the bus itself."""
        try:
            return await self.connection.call_bus(member, signature, body, timeout=CALL_SECONDS)
        except PubSubCachedError as error:
            raise explain(error) from None

    async def hear(self, callback: Callable[[Signal], None], **match: str) -> Subscription:
        """Have ``callback`` get the signals of the daemon that fit (``path``, ``interface``, ``member``)."""
        try:
            return await self.connection.subscribe(callback, Match(**({"sender": NAME} | match)))
        except PubSubCachedError as error:
            raise explain(error) from None

    async def _properties(self, member: str, signature: str, *body: Any, path: str) -> list[Any]:
        return await self._served(".".join(body[:2]), self.ask(NAME, path, PROPERTIES, member, signature, *body))

    async def _served(self, member: str, asked: Awaitable[list[Any]]) -> list[Any]:
        """What the daemon answers, if it has such a member."""
        try:
            return await asked
        except PubSubCachedError as error:
            if error.name in _UNSERVED:
                raise Failure(Status.REFUSED, await self._unserved(member)) from None
            raise explain(error) from None

    async def _unserved(self, member: str) -> str:
        try:
            (version,) = await self.ask(NAME, ROOT, PROPERTIES, "Get", "ss", f"{NAME}.Manager", "DaemonVersion")
        except PubSubCachedError:
            version = "unknown"
        return (
            f"The running daemon (version {version}) does not offer {member.removeprefix(NAME + '.')}; "
            f"after an upgrade run '{RESTART}'."
        )


@asynccontextmanager
async def opened(*, system: bool = False) -> AsyncIterator[Client]:
    """A client on the session bus, or the system's. Raises BusLost."""
    connection = await Connection.open(system=system)
    try:
        yield Client(connection)
    finally:
        await connection.close()


def plain(value: Any) -> Any:
    """A value without variants."""
    if isinstance(value, Variant):
        return plain(value.value)
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value


def _packed(options: Mapping[str, tuple[str, Any]]) -> dict[str, Variant]:
    return {key: Variant(signature, value) for key, (signature, value) in options.items() if value is not None}

"""The object tree of the service on one connection."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import PubSubCachedError
from ..object_path import ROOT, is_object_path
from .clients import Clients
from .connection import Connection
from .dispatch import Dispatcher
from .interface import Interface, Place
from .methods import Methods
from .objects import Object, Objects
from .standard import OBJECT_MANAGER, Standard

HOLD = 20.0
"""Seconds that a call waits for the tree to open."""

EARLY = ("im.pubsubcache1.Manager", "org.freedesktop.LogControl1")
"""Interfaces whose properties can be read before the tree is open."""


class Tree:
    """Objects by path; the ObjectManager is at ``root``.

    hold: seconds that a call waits for ``open``. early: interfaces whose properties can be read before. allow:
    sandboxed applications whose clients may call everything.
    """

    def __init__(
        self,
        connection: Connection,
        root: str = ROOT,
        *,
        hold: float = HOLD,
        early: Sequence[str] = EARLY,
        allow: Sequence[str] = (),
    ) -> None:
        self._connection = connection
        self._root = root
        self._objects = Objects()
        clients = Clients(connection, allow)
        methods = Methods(self._objects, Standard(connection, self._objects, root), clients)
        self._dispatcher = Dispatcher(connection, methods, clients, hold, frozenset(early))
        connection.serve(self._dispatcher.receive, self._dispatcher.refuse)

    def export(self, path: str, *interfaces: Interface, managed: bool = False, owner: str | None = None) -> None:
        """Puts interfaces at a path, or adds them to what is there.

        managed: the object is in the ObjectManager, and ``InterfacesAdded`` says so. owner: a unique name, or
        UNSANDBOXED; for everyone else the object does not exist, and its signals go to the owner alone.
        Raises ValueError for an invalid path or an interface that is there already, TypeError for a class that
        lacks what its XML file has.
        """
        if not is_object_path(path):
            raise ValueError(f"{path!r} is no object path.")
        found = self._objects.by_path.get(path) or Object(path, managed, owner)
        for interface in interfaces:
            found.add(interface)
        self._objects.by_path[path] = found
        for interface in interfaces:
            interface.exported(Place(self._connection, path, found.owner))
        if found.managed:
            added = {interface.name: interface.values() for interface in interfaces}
            self._signal("InterfacesAdded", "oa{sa{sv}}", [path, added], found.owner)

    def remove(self, path: str) -> None:
        """Takes the object at ``path`` away; calls that are running on it still end. Unknown paths are ignored."""
        found = self._objects.by_path.pop(path, None)
        if found is None:
            return
        for interface in found.interfaces.values():
            interface.withdrawn()
        if found.managed:
            self._signal("InterfacesRemoved", "oas", [path, list(found.interfaces)], found.owner)

    def open(self) -> None:
        """Lets the calls in, those first that have waited."""
        self._dispatcher.open()

    async def close(self, grace: float = 2.0, why: PubSubCachedError | None = None) -> None:
        """Has the running calls answered: those that take longer than ``grace`` seconds by ``Error.Cancelled``.

        Calls that arrive later are answered so at once, or by ``why``, as are those that wait for ``open``.
        """
        self._connection.hand_on()
        await self._dispatcher.close(grace, why)

    def _signal(self, member: str, signature: str, body: list[object], owner: str | None) -> None:
        self._connection.signal(self._root, OBJECT_MANAGER, member, signature, body, owner)

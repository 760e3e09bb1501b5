"""The objects of a tree: which paths there are, and who may see them."""

from __future__ import annotations

from collections.abc import Iterator

from .caller import sandboxed
from .connection import UNSANDBOXED
from .errors import UnknownInterface, UnknownObject
from .interface import Handler, Interface


class Object:
    """What is at one path."""

    __slots__ = ("interfaces", "managed", "owner", "path")

    def __init__(self, path: str, managed: bool, owner: str | None) -> None:
        self.path = path
        self.managed = managed
        self.owner = owner
        self.interfaces: dict[str, Interface] = {}

    def add(self, interface: Interface) -> None:
        """Adds an interface; ValueError when the object has it already."""
        if interface.name in self.interfaces:
            raise ValueError(f"{self.path} has the interface {interface.name} already.")
        interface.check()
        self.interfaces[interface.name] = interface

    def handlers(self, member: str | None) -> list[Handler]:
        """What answers a method of this name, of each interface that has one."""
        found = (interface.handler(member) for interface in self.interfaces.values())
        return [handler for handler in found if handler is not None]

    def seen_by(self, sender: str | None) -> bool:
        """Whether the client, who is calling, may know of it."""
        return self.owner in (None, sender) or (self.owner == UNSANDBOXED and not sandboxed())

    def interface(self, name: str) -> Interface:
        """The interface of this name; raises UnknownInterface."""
        found = self.interfaces.get(name)
        if found is None:
            raise UnknownInterface(f"The object {self.path} has no interface {name}.")
        return found


class Objects:
    """All objects of a tree by path."""

    def __init__(self) -> None:
        self.by_path: dict[str | None, Object] = {}

    def __iter__(self) -> Iterator[Object]:
        return iter(self.by_path.values())

    def find(self, path: str | None, sender: str | None) -> Object | None:
        """The object at ``path`` as ``sender`` sees it; None for a mere ancestor.

        Raises UnknownObject when the path is neither an object's nor an ancestor's.
        """
        found = self.by_path.get(path)
        if found is not None and found.seen_by(sender):
            return found
        if path is None or not self.children(path, sender):
            raise UnknownObject(f"There is no object {path}.")
        return None

    def children(self, path: str, sender: str | None) -> list[str]:
        """Names of the nodes right below ``path`` that ``sender`` may see, sorted."""
        prefix = path if path == "/" else path + "/"
        return sorted(
            {
                other.path[len(prefix) :].partition("/")[0]
                for other in self
                if len(other.path) > len(prefix) and other.path.startswith(prefix) and other.seen_by(sender)
            }
        )

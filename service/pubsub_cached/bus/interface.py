"""The base of the classes in ``api``: one class an interface of the contract."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from .. import paths
from .description import Description, Method, Property, read
from .values import Variant

if TYPE_CHECKING:
    from .connection import Connection

log = logging.getLogger(__name__)

PROPERTIES = "org.freedesktop.DBus.Properties"


@dataclass(frozen=True, slots=True)
class Handler:
    """What answers a method call: a function of the arguments, and what the XML says of it.

    sandboxed: whether a sandboxed client may call it.
    """

    function: Callable[..., Any]
    method: Method
    sandboxed: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where an interface is exported; with an owner its signals go to the owner alone."""

    connection: Connection
    path: str
    owner: str | None


class Interface:
    """One D-Bus interface, driven by its XML file.

    A method M is a Python method M (``def``, ``async def``, or a ``def`` that returns an awaitable) with positional
    arguments; it returns None, the value, or a tuple of the values. A property P is a property P; its value is not
    altered once it was given, and may be awaitable where neither the object is managed nor the change signalled. When
    it can be written, there is a method ``set_P(value)``, sync or async. An ``h`` argument is a descriptor that is
    closed when the method is done, an ``h`` result one that is sent and then closed.
    """

    name: ClassVar[str]
    directory: ClassVar[Path | None] = None
    """Where the XML file is; None: ``paths.interfaces()``."""
    sandboxed: ClassVar[frozenset[str]] = frozenset()
    """The methods that a sandboxed client may call."""

    _place: Place | None = None
    # What whoever watches it knows of the properties whose change is signalled.
    _last_told: Mapping[str, Variant] = MappingProxyType({})

    @classmethod
    def describe(cls) -> Description:
        """The interface as its XML file says."""
        return read(cls.directory or paths.interfaces(), cls.name)

    def check(self) -> None:
        """Raises TypeError when the class lacks a method or property that the XML file has."""
        description = self.describe()
        for prop in description.properties.values():
            self._require(prop.name, not hasattr(type(self), prop.name))
            self._require(f"set_{prop.name}", prop.writable and not hasattr(self, f"set_{prop.name}"))
        for method in description.methods.values():
            self._require(method.name, not callable(getattr(self, method.name, None)))

    def handler(self, member: str | None) -> Handler | None:
        """What answers a method; made for each call, for there may be thousands of objects that nobody calls."""
        method = self.describe().methods.get(str(member))
        if method is None:
            return None
        return Handler(getattr(self, method.name), method, method.name in self.sandboxed)

    def emit(self, signal: str, *args: object, destination: str | None = None) -> None:
        """Emits a signal of this interface, if it is exported.

        destination: a unique name, which alone receives it; by default everyone, or the object's owner.
        Raises TypeError or ValueError when the arguments are not those of the XML file.
        """
        described = self.describe().signals.get(signal)
        if described is None:
            raise TypeError(f"{self.name} has no signal {signal}.")
        if len(args) != len(described.checks):
            raise TypeError(f"{self.name}.{signal} has {len(described.checks)} arguments, not {len(args)}.")
        for check, value in zip(described.checks, args, strict=True):
            check(value)
        if (place := self._place) is not None:
            to = destination or place.owner
            place.connection.signal(place.path, self.name, signal, described.tree, args, to)

    async def attentive(self) -> None:
        """Returns once the owner of the object, where there is one, has read enough to be sent more."""
        if (place := self._place) is not None and place.owner is not None:
            await place.connection.flow.unblocked(place.owner)

    def changed(self) -> bool:
        """Emits ``PropertiesChanged`` of what is different from what was told last, or when it was exported.

        Returns whether anything is.
        """
        if (place := self._place) is None:
            return False
        told, self._last_told = self._last_told, self._signalled_values()
        different = {name: value for name, value in self._last_told.items() if value != told.get(name)}
        if different:
            body = [self.name, different, []]
            place.connection.signal(place.path, PROPERTIES, "PropertiesChanged", "sa{sv}as", body, place.owner)
        return bool(different)

    def answer(self, prop: Property) -> Variant | Awaitable[Variant]:
        """The value of a property, which may take its time.

        Raises TypeError or ValueError when it is not of the type in the XML file.
        """
        value = getattr(self, prop.name)
        if isinstance(value, Awaitable):
            return self._later(prop, value)
        prop.check(value)
        return Variant(prop.tree, value, False)

    async def _later(self, prop: Property, value: Awaitable[object]) -> Variant:
        found = await value
        prop.check(found)
        return Variant(prop.tree, found, False)

    def answers(self) -> dict[str, Variant | Awaitable[Variant]]:
        """The values of all properties, of which some may take their time."""
        return {prop.name: self.answer(prop) for prop in self.describe().properties.values()}

    def values(self) -> dict[str, Variant]:
        """All properties of an object that is managed; what can't be read is left out, and logged."""
        return self._read(self.describe().properties.values())

    def _signalled_values(self) -> dict[str, Variant]:
        return self._read(prop for prop in self.describe().properties.values() if prop.signalled)

    def _read(self, properties: Iterable[Property]) -> dict[str, Variant]:
        values: dict[str, Variant] = {}
        for prop in properties:
            try:
                value = getattr(self, prop.name)
                prop.check(value)
                values[prop.name] = Variant(prop.tree, value, False)
            except Exception:
                log.exception("The property %s.%s can't be read", self.name, prop.name)
        return values

    def assign(self, prop: Property, value: object) -> Awaitable[None] | None:
        """Writes a property."""
        setter: Callable[[object], Awaitable[None] | None] = getattr(self, f"set_{prop.name}")
        return setter(value)

    def exported(self, place: Place) -> None:
        """Notes the place, of which there is one at a time; called by the tree."""
        self._last_told = self._signalled_values()
        self._place = place

    def withdrawn(self) -> None:
        """Forgets the place; called by the tree."""
        self._place = None

    def _require(self, member: str, missing: bool) -> None:
        if missing:
            raise TypeError(f"{type(self).__name__} lacks {member}, which {self.name}.xml has.")

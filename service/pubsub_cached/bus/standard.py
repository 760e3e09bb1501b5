"""The interfaces that every object has: Peer, Introspectable, Properties, and ObjectManager at the root."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArgs
from .addresses import BUS, BUS_PATH
from .caller import caller
from .description import Description, Property, parse
from .errors import PropertyReadOnly, UnknownMethod, UnknownProperty
from .interface import PROPERTIES, Handler, Interface
from .objects import Object, Objects
from .values import Variant

if TYPE_CHECKING:
    from .connection import Connection

PREFIX = "org.freedesktop.DBus."
PEER = PREFIX + "Peer"
INTROSPECTABLE = PREFIX + "Introspectable"
OBJECT_MANAGER = PREFIX + "ObjectManager"

_HEAD = """<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
"""

_XML = """<node>
  <interface name="org.freedesktop.DBus.Peer">
    <method name="Ping"/>
    <method name="GetMachineId">
      <arg name="machine_uuid" type="s" direction="out"/>
    </method>
  </interface>
  <interface name="org.freedesktop.DBus.Introspectable">
    <method name="Introspect">
      <arg name="xml_data" type="s" direction="out"/>
    </method>
  </interface>
  <interface name="org.freedesktop.DBus.Properties">
    <method name="Get">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="property_name" type="s" direction="in"/>
      <arg name="value" type="v" direction="out"/>
    </method>
    <method name="Set">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="property_name" type="s" direction="in"/>
      <arg name="value" type="v" direction="in"/>
    </method>
    <method name="GetAll">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="properties" type="a{sv}" direction="out"/>
      <annotation name="org.qtproject.QtDBus.QtTypeName.Out0" value="QVariantMap"/>
    </method>
    <signal name="PropertiesChanged">
      <arg name="interface_name" type="s"/>
      <arg name="changed_properties" type="a{sv}"/>
      <annotation name="org.qtproject.QtDBus.QtTypeName.Out1" value="QVariantMap"/>
      <arg name="invalidated_properties" type="as"/>
    </signal>
  </interface>
  <interface name="org.freedesktop.DBus.ObjectManager">
    <method name="GetManagedObjects">
      <arg name="objects" type="a{oa{sa{sv}}}" direction="out"/>
    </method>
    <signal name="InterfacesAdded">
      <arg name="object_path" type="o"/>
      <arg name="interfaces_and_properties" type="a{sa{sv}}"/>
    </signal>
    <signal name="InterfacesRemoved">
      <arg name="object_path" type="o"/>
      <arg name="interfaces" type="as"/>
    </signal>
  </interface>
</node>"""

_described: dict[str, Description] = {}


def described() -> dict[str, Description]:
    """The standard interfaces by name."""
    if not _described:
        for element in ET.fromstring(_XML):
            description = parse(element)
            _described[description.name] = description
    return _described


class Standard:
    """Answers the standard interfaces for the objects of a tree."""

    def __init__(self, connection: Connection, objects: Objects, root: str) -> None:
        self._connection = connection
        self._objects = objects
        self._root = root
        self._functions: dict[str, dict[str, Callable[..., Any]]] = {
            PEER: {"Ping": self._ping, "GetMachineId": self._machine_id},
            INTROSPECTABLE: {"Introspect": self._introspect},
            PROPERTIES: {"Get": self._get, "Set": self._set, "GetAll": self._get_all},
            OBJECT_MANAGER: {"GetManagedObjects": self._managed},
        }

    def names(self, path: str | None) -> list[str]:
        """The standard interfaces that an object at ``path`` has."""
        return [name for name in self._functions if name != OBJECT_MANAGER or path == self._root]

    def handler(self, path: str | None, interface: str, member: str | None) -> Handler | None:
        """What answers a call to a standard interface; None when it is none (or not at this path).

        Raises UnknownMethod.
        """
        if interface not in self._functions or (interface == OBJECT_MANAGER and path != self._root):
            return None
        function = self._functions[interface].get(str(member))
        if function is None:
            raise UnknownMethod(f"The interface {interface} has no method {member}.")
        method = described()[interface].methods[str(member)]
        return Handler(partial(function, path), method, sandboxed=member != "Set")

    def _ping(self, path: str) -> None:
        """Any path will do (D-Bus specification, "org.freedesktop.DBus.Peer")."""

    async def _machine_id(self, path: str) -> str:
        (answer,) = await self._connection.call(BUS, BUS_PATH, PEER, "GetMachineId")
        return str(answer)

    def _introspect(self, path: str) -> str:
        found = self._objects.find(path, caller())
        parts = [_HEAD, "<node>\n"]
        if found is not None:
            standard = [described()[name].xml for name in self.names(path)]
            own = [interface.describe().xml for interface in found.interfaces.values()]
            parts += [f"  {xml}\n" for xml in (*standard, *own)]
        parts += [f'  <node name="{child}"/>\n' for child in self._objects.children(path, caller())]
        return "".join([*parts, "</node>\n"])

    def _get(self, path: str, name: str, member: str) -> Variant | Awaitable[Variant]:
        interface, prop = self._property(path, name, member)
        return interface.answer(prop)

    def _set(self, path: str, name: str, member: str, value: Variant) -> Awaitable[None] | None:
        interface, prop = self._property(path, name, member)
        if not prop.writable:
            raise PropertyReadOnly(f"The property {interface.name}.{member} can't be set.")
        if value.signature != prop.tree.signature:
            raise InvalidArgs(
                f"The property {interface.name}.{member} has the type '{prop.tree.signature}', not '{value.signature}'."
            )
        return interface.assign(prop, value.value)

    def _get_all(self, path: str, name: str) -> dict[str, Variant] | Awaitable[dict[str, Variant]]:
        found = self._objects.find(path, caller())
        if name in self.names(path):
            return {}
        if name == "":
            own = _required(found, path).interfaces.values()
            return _completed({prop: value for interface in own for prop, value in interface.answers().items()})
        return _completed(_required(found, path).interface(name).answers())

    def _property(self, path: str, name: str, member: str) -> tuple[Interface, Property]:
        """A property by name; without an interface name the first object's property that is called so."""
        found = self._objects.find(path, caller())
        if name in self.names(path) or (found is None and name == ""):
            raise UnknownProperty(f"The object {path} has no property {member}.")
        candidates = [_required(found, path).interface(name)] if name else _required(found, path).interfaces.values()
        for interface in candidates:
            prop = interface.describe().properties.get(member)
            if prop is not None:
                return interface, prop
        where = f"interface {name}" if name else f"object {path}"
        raise UnknownProperty(f"The {where} has no property {member}.")

    def _managed(self, path: str) -> dict[str, dict[str, dict[str, Variant]]]:
        sender = caller()
        return {
            found.path: {name: interface.values() for name, interface in found.interfaces.items()}
            for found in self._objects
            if found.managed and found.seen_by(sender)
        }


def _required(found: Object | None, path: str) -> Object:
    """The object, or one without interfaces for a mere ancestor."""
    return found if found is not None else Object(path, False, None)


def _completed(
    found: dict[str, Variant | Awaitable[Variant]],
) -> dict[str, Variant] | Awaitable[dict[str, Variant]]:
    """All values, now if they are there."""
    now = {name: value for name, value in found.items() if isinstance(value, Variant)}
    return now if len(now) == len(found) else _awaited(found)


async def _awaited(found: dict[str, Variant | Awaitable[Variant]]) -> dict[str, Variant]:
    return {name: value if isinstance(value, Variant) else await value for name, value in found.items()}

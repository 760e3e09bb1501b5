"""Which method answers a call: by path, interface and member, and whether the caller may have it called."""

from __future__ import annotations

import logging

from dbus_fast import Message

from ..errors import AccessDenied, InvalidArgs
from .caller import sandboxed
from .clients import Clients
from .errors import UnknownInterface, UnknownMethod
from .interface import Handler
from .objects import Object, Objects
from .standard import PREFIX, Standard
from .values import fitted

log = logging.getLogger(__name__)


class Methods:
    """The methods of all objects, the standard interfaces' among them."""

    def __init__(self, objects: Objects, standard: Standard, clients: Clients) -> None:
        self._objects = objects
        self._standard = standard
        self._clients = clients

    def find(self, call: Message) -> Handler:
        """What answers the call, whose body then fits.

        Raises UnknownObject, UnknownInterface, UnknownMethod, InvalidArgs, AccessDenied.
        """
        found = self._objects.by_path.get(call.path)
        interface = None
        if found is not None and (found.owner is None or found.seen_by(call.sender)):
            interface = found.interfaces.get(str(call.interface))
        handler = (interface and interface.handler(call.member)) or self._search(call)
        if call.signature != handler.method.signature:
            body = fitted(handler.method.name, call.body, call.signature, handler.method.signature)
            if body is None:
                raise InvalidArgs(
                    f"{call.member} takes arguments of the signature '{handler.method.signature}', "
                    f"not '{call.signature}'."
                )
            call.body = body
        if not handler.sandboxed and sandboxed():
            raise self._denied(call)
        return handler

    def _denied(self, call: Message) -> AccessDenied:
        application = self._clients.limited.get(str(call.sender))
        if application:
            return AccessDenied(
                f"{call.member} is not for the sandboxed application {application}, which may only read; "
                "its id in the key 'allow' of [sandbox] in config.toml would let it."
            )
        log.info("%s of %s was refused: who calls could not be found out", call.member, call.sender)
        return AccessDenied(f"{call.member} is not for clients that can't be identified; they may only read.")

    def _search(self, call: Message) -> Handler:
        """What the quick look did not find: a standard interface, a call without interface, or nothing at all."""
        if call.interface is not None and call.interface.startswith(PREFIX):
            handler = self._standard.handler(call.path, call.interface, call.member)
            if handler is not None:
                return handler
        found = self._objects.find(call.path, call.sender)
        if call.interface is None:
            return self._search_all(call, found)
        if found is None or call.interface not in found.interfaces:
            raise UnknownInterface(f"The object {call.path} has no interface {call.interface}.")
        raise UnknownMethod(f"The interface {call.interface} has no method {call.member}.")

    def _search_all(self, call: Message, found: Object | None) -> Handler:
        """The first method of this name, best one that takes these arguments."""
        handlers = [] if found is None else found.handlers(call.member)
        for name in self._standard.names(call.path):
            try:
                handler = self._standard.handler(call.path, name, call.member)
            except UnknownMethod:
                continue
            if handler is not None:
                handlers.append(handler)
        if not handlers:
            raise UnknownMethod(f"The object {call.path} has no method {call.member}.")
        return next((one for one in handlers if one.method.signature == call.signature), handlers[0])

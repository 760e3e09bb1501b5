"""Every error that a caller of the bus can meet, as one tree.

The class says the D-Bus name, the message is a full sentence with the offending value and,
where there is one, the remedy: ``busctl`` shows nothing but the message.
"""

from __future__ import annotations

from typing import ClassVar, Self

PREFIX = "im.pubsubcache1.Error."
STANDARD = "org.freedesktop.DBus.Error."

CHARACTERS_AT_MOST = 1000
"""Of a message: values of callers and services are as long as these like."""


class PubSubCachedError(Exception):
    """Base of all errors of the service; ``name`` is the D-Bus error name."""

    dbus_name: ClassVar[str] = PREFIX + "Internal"

    def __init__(self, message: str) -> None:
        self.message = shortened(message)
        super().__init__(self.message)

    @property
    def name(self) -> str:
        """The D-Bus error name that a caller sees."""
        return self.dbus_name

    def again(self) -> Self:
        """The same error, to be raised another time.

        An exception keeps every frame that it went through, with all that is in them, and adds those of each raise.
        """
        other = type(self).__new__(type(self), *self.args)
        other.__dict__.update(self.__dict__)
        return other


class Named(PubSubCachedError):
    """An error of another, told again under the name that it has there."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self._name = name

    @property
    def name(self) -> str:
        return self._name


class Internal(PubSubCachedError):
    """Something that should not happen; the traceback is in the log."""


# What the caller sent


class InvalidArgs(PubSubCachedError):
    """An argument or option has the wrong name, type or value."""

    dbus_name = STANDARD + "InvalidArgs"


class AccessDenied(PubSubCachedError):
    """The caller may not do this (a sandboxed application)."""

    dbus_name = STANDARD + "AccessDenied"


class InvalidJid(PubSubCachedError):
    """A string is no JID (RFC 7622)."""

    dbus_name = PREFIX + "InvalidJid"


class InvalidQuery(PubSubCachedError):
    """A search query can't be used; the message names the clause."""

    dbus_name = PREFIX + "InvalidQuery"


class InvalidCursor(PubSubCachedError):
    """A cursor was not made by this call, or what it points into is gone."""

    dbus_name = PREFIX + "InvalidCursor"


class InvalidAnalyser(PubSubCachedError):
    """An analyser's definition can't be used; the message names the key."""

    dbus_name = PREFIX + "InvalidAnalyser"


class InvalidPayload(PubSubCachedError):
    """A payload is no well-formed XML element."""

    dbus_name = PREFIX + "InvalidPayload"


class Conflict(PubSubCachedError):
    """A name or token is in use by somebody else."""

    dbus_name = PREFIX + "Conflict"


class NotOwner(PubSubCachedError):
    """The object belongs to another client."""

    dbus_name = PREFIX + "NotOwner"


class NotRegistered(PubSubCachedError):
    """No analyser has this name."""

    dbus_name = PREFIX + "NotRegistered"


class NotSupported(PubSubCachedError):
    """The thing exists, but can't be done to this object."""

    dbus_name = PREFIX + "NotSupported"


class LimitExceeded(PubSubCachedError):
    """A client has as much in flight as one client may have."""

    dbus_name = PREFIX + "LimitExceeded"


# Accounts


class NoSuchAccount(PubSubCachedError):
    """No account has this JID, or there is none at all."""

    dbus_name = PREFIX + "NoSuchAccount"


class AmbiguousAccount(PubSubCachedError):
    """An empty account was given and several are enabled."""

    dbus_name = PREFIX + "AmbiguousAccount"


class AccountExists(PubSubCachedError):
    """An account of this JID exists already."""

    dbus_name = PREFIX + "AccountExists"


class AuthenticationFailed(PubSubCachedError):
    """The server refused the password, or there is none."""

    dbus_name = PREFIX + "AuthenticationFailed"


# What a read or a request met


class NoSuchNode(PubSubCachedError):
    """The node does not exist, or is gone."""

    dbus_name = PREFIX + "NoSuchNode"


class NotCached(PubSubCachedError):
    """Policy ``cache`` and no copy that may be served."""

    dbus_name = PREFIX + "NotCached"


class NoSuchItem(PubSubCachedError):
    """An item id given as a place to page from is unknown."""

    dbus_name = PREFIX + "NoSuchItem"


class Denied(PubSubCachedError):
    """The account may not read this node."""

    dbus_name = PREFIX + "Denied"


class Offline(PubSubCachedError):
    """There is no session and the cache can't answer."""

    dbus_name = PREFIX + "Offline"


class Timeout(PubSubCachedError):
    """No answer within the caller's ``timeout``."""

    dbus_name = PREFIX + "Timeout"


class NoAnswer(Timeout):
    """No answer of a service, which may be away; what else takes too long says nothing of it."""


class Cancelled(PubSubCachedError):
    """A job was cancelled."""

    dbus_name = PREFIX + "Cancelled"


class StanzaError(PubSubCachedError):
    """A service answered with an error (RFC 6120 8.3, XEP-0060's own conditions).

    condition, pubsub_condition: element names such as ``item-not-found``, ``closed-node``.
    text: the service's own words, or "".
    """

    def __init__(self, condition: str, text: str = "", pubsub_condition: str = "", *, subject: str = "") -> None:
        self.condition = condition
        self.text = text
        self.pubsub_condition = pubsub_condition
        said = f": {text}" if text else ""
        where = f" for {subject}" if subject else ""
        also = f" ({pubsub_condition})" if pubsub_condition else ""
        stop = "" if text.endswith((".", "!", "?")) else "."
        super().__init__(f"The service answered {condition}{also}{where}{said}{stop}")

    @property
    def name(self) -> str:
        """``Error.PubSub.…`` when the service gave a pubsub condition, else ``Error.Xmpp.…``."""
        if self.pubsub_condition:
            return PREFIX + "PubSub." + camel(self.pubsub_condition)
        return self.xmpp_name

    @property
    def xmpp_name(self) -> str:
        """The name by the defined condition alone, as reads report it."""
        return PREFIX + "Xmpp." + camel(self.condition)


# Storage


class StorageFull(PubSubCachedError):
    """The disk or the quota is full."""

    dbus_name = PREFIX + "StorageFull"


class DatabaseError(PubSubCachedError):
    """The database refused a statement; the log says more."""

    dbus_name = PREFIX + "DatabaseError"


STORAGE = (StorageFull, DatabaseError)
"""What passes once there is room again, or the database is back."""


# Ends of the process


class Fatal(Exception):
    """The daemon can't go on; ``status`` is its exit status."""

    status: ClassVar[int] = 1


class BadConfiguration(Fatal):
    """A file, key or value of the configuration can't be used."""

    status = 2


class NewerDatabase(Fatal):
    """The database was written by a newer version."""

    status = 2


class NameTaken(Fatal):
    """Another process owns the bus name."""

    status = 3


class BusLost(Fatal):
    """There is no session bus, or it went away."""

    status = 4


def shortened(sentence: str) -> str:
    """A sentence with a long value in it: what is wrong with the value comes after it, so the middle is left out."""
    if len(sentence) <= CHARACTERS_AT_MOST:
        return sentence
    half = CHARACTERS_AT_MOST // 2 - 1
    return f"{sentence[:half]}…{sentence[-half:]}"


def camel(condition: str) -> str:
    """``item-not-found`` → ``ItemNotFound``."""
    return "".join(word.capitalize() for word in condition.split("-"))

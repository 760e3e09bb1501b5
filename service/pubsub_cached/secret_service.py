"""Passwords in the desktop's keyring, over the Secret Service API of freedesktop.org.

Every call blocks, may show the keyring's own prompt, and is made on a connection of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from .bus.addresses import session_address
from .errors import BusLost

if TYPE_CHECKING:
    from jeepney.io.blocking import DBusConnection
    from secretstorage import Collection, Item

SERVICE = "im.pubsubcache1"

# A prompt may wait for somebody who has just logged in and looks elsewhere.
PROMPT_TIMEOUT = 120.0
# It may have to be started first; a caller of the bus waits 25 s.
ANSWER_TIMEOUT = 15.0


class Unusable(Exception):
    """No Secret Service runs, or it refused; the message says why, without a final stop."""


class Absent(Unusable):
    """No Secret Service runs, so that it has no secret either."""


class Locked(Unusable):
    """The secret is there, but nobody unlocked the keyring."""


def store(jid: str, secret: str) -> None:
    """Store or replace the secret in the default collection, unlocked first. Raises Unusable."""
    import secretstorage

    with _connection() as connection:
        collection = secretstorage.get_default_collection(connection)
        _unlock(collection)
        label = f"XMPP password of {jid} for pubsub-cached"
        collection.create_item(label, _attributes(jid), secret.encode(), replace=True)


def lookup(jid: str) -> str | None:
    """The secret stored in any collection, or None. Raises Absent, Locked, and Unusable when it refused."""
    import secretstorage

    with _connection() as connection:
        for item in secretstorage.search_items(connection, _attributes(jid)):
            _unlock(item)
            try:
                return item.get_secret().decode()
            except UnicodeDecodeError:
                raise Unusable("what is stored there is not UTF-8") from None
    return None


def remove(jid: str) -> bool:
    """Remove every copy of the secret; whether there was one. Raises Unusable, Locked."""
    import secretstorage

    with _connection() as connection:
        items = list(secretstorage.search_items(connection, _attributes(jid)))
        for item in items:
            _unlock(item)
            item.delete()
    return bool(items)


def _attributes(jid: str) -> dict[str, str]:
    return {"service": SERVICE, "jid": jid}


def _unlock(thing: Collection | Item) -> None:
    if not thing.is_locked():
        return
    try:
        dismissed = thing.unlock(timeout=PROMPT_TIMEOUT)
    except TimeoutError:
        raise Locked("the keyring is locked and nobody answered its prompt") from None
    if dismissed:
        raise Locked("the keyring is locked and its prompt was dismissed")


def _ping(connection: DBusConnection) -> None:
    """The library waits without end for a service that hangs."""
    from jeepney import DBusAddress, new_method_call
    from secretstorage.util import BUS_NAME

    peer = DBusAddress("/", BUS_NAME, "org.freedesktop.DBus.Peer")
    try:
        connection.send_and_get_reply(new_method_call(peer, "Ping"), timeout=ANSWER_TIMEOUT)
    except TimeoutError:
        raise Locked("the Secret Service does not answer") from None


def _opened() -> DBusConnection:
    """As ``dbus_init``, which looks for the bus in its variable alone, and waits a second for its greeting."""
    from jeepney.io.blocking import open_dbus_connection
    from secretstorage.util import add_match_rules

    try:
        connection: DBusConnection = open_dbus_connection(session_address(), auth_timeout=ANSWER_TIMEOUT)
    except (BusLost, RuntimeError, ValueError) as error:
        raise Absent(f"the session bus can't be reached: {error}".rstrip(".")) from None
    add_match_rules(connection)
    return connection


@contextmanager
def _connection() -> Iterator[DBusConnection]:
    """A connection to the session bus on which a Secret Service runs or can be activated."""
    import secretstorage
    from jeepney import DBusErrorResponse
    from secretstorage.exceptions import SecretServiceNotAvailableException, SecretStorageException

    try:
        with closing(_opened()) as connection:
            if not secretstorage.check_service_availability(connection):
                raise Absent("no Secret Service runs on the session bus")
            _ping(connection)
            yield connection
    except SecretServiceNotAvailableException as error:
        raise Absent(f"the Secret Service is not available: {error}") from None
    except SecretStorageException as error:
        raise Unusable(f"the Secret Service refused: {error}") from None
    except DBusErrorResponse as error:
        raise Unusable(f"the Secret Service answered {error.name}") from None
    except (OSError, EOFError) as error:
        raise Absent(f"the session bus can't be reached: {error}") from None

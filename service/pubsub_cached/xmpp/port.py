"""The port: all that the cache knows of XMPP, and all that it asks of it.

Nothing here imports slixmpp. Two things stand behind it: ``session`` (slixmpp) and ``fake``.
JIDs are normalised strings, payloads are serialised XML, times are milliseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Literal, Protocol

import msgspec

# What every session announces: one below 0 loses all events that are sent to the bare JID.
PRESENCE_PRIORITY = 0

# The feature and the namespace of archives (XEP-0313).
MAM = "urn:xmpp:mam:2"

SessionState = Literal["offline", "connecting", "online", "waiting", "failed"]

# What a boolean that is true is written as, in a form as well (XEP-0004 3.3).
TRUE = frozenset({"1", "true"})

# What is filled into a data form (XEP-0004): values by the name of the field, ``pubsub#title``.
Fields = Mapping[str, Sequence[str]]


class Endpoint(msgspec.Struct, frozen=True):
    """Where and how an account connects; no secret is in it."""

    jid: str
    host: str = ""
    port: int = 0
    tls: Literal["starttls", "direct", "none"] = "starttls"
    ca_file: str = ""
    resource: str = ""


class Item(msgspec.Struct, frozen=True):
    """One item as the service sent it.

    id: "" where the service gave none. payload: the first child element, serialised with every
    namespace declared; "" where the item has none. namespace: of that child.
    publisher: the service's word (XEP-0060 7.1.2.1), never the payload's.
    """

    id: str
    payload: str = ""
    namespace: str = ""
    publisher: str = ""


class Rsm(msgspec.Struct, frozen=True):
    """A page to ask for (XEP-0059); ``before`` "" asks for the last page."""

    max: int
    after: str | None = None
    before: str | None = None


class ItemsPage(msgspec.Struct, frozen=True):
    """A reply to an items request, in the service's order.

    rsm: whether a ``<set/>`` came; the other three are what it held.
    """

    items: tuple[Item, ...]
    rsm: bool = False
    count: int | None = None
    first: str | None = None
    last: str | None = None


class ArchivePage(msgspec.Struct, frozen=True):
    """A page of a node's archive (XEP-0313), in the archive's order.

    ids: the archive's own, one for each of ``items``. complete: whether nothing comes after it. count: of all that the
    archive holds, where it says so.
    """

    ids: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()
    complete: bool = False
    count: int | None = None


class DiscoItem(msgspec.Struct, frozen=True):
    """A line of disco#items (XEP-0030 4): nodes of a service, or items of a node by ``name``."""

    jid: str
    node: str = ""
    name: str = ""


class DiscoPage(msgspec.Struct, frozen=True):
    """A page of disco#items; rsm: whether a ``<set/>`` came, ``last`` is what it held."""

    items: tuple[DiscoItem, ...]
    rsm: bool = False
    last: str | None = None


class DiscoInfo(msgspec.Struct, frozen=True):
    """A reply to disco#info with the metadata form (XEP-0060 5.3, 5.4); values as sent."""

    identities: tuple[tuple[str, str], ...] = ()
    features: frozenset[str] = frozenset()
    metadata: dict[str, list[str]] = {}


SubscriptionState = Literal["none", "pending", "unconfigured", "subscribed"]


class Subscription(msgspec.Struct, frozen=True):
    """A subscription of the account (XEP-0060 5.6)."""

    node: str
    jid: str
    state: SubscriptionState
    subid: str = ""


class Affiliation(msgspec.Struct, frozen=True):
    """What the account is to a node: owner, publisher, publish-only, member, outcast or none (XEP-0060 4.1)."""

    node: str
    affiliation: str


class FormField(msgspec.Struct, frozen=True):
    """A field of a form that a service sent (XEP-0004 3.3); type "" where it gave none."""

    name: str
    values: tuple[str, ...]
    type: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something a service pushed, already let in (from the service itself, solicited, not a bounce)."""

    service: str
    node: str
    delayed: bool = False


class ItemsEvent(Event, frozen=True, kw_only=True):
    """Items published and retracted (XEP-0060 7.1.2, 7.2.2), each kind in document order; the retractions come last."""

    items: tuple[Item, ...] = ()
    retracted: tuple[str, ...] = ()


class PurgeEvent(Event, frozen=True, kw_only=True):
    """All items were removed (XEP-0060 8.5.3)."""


class DeleteEvent(Event, frozen=True, kw_only=True):
    """The node was deleted (XEP-0060 8.4.2); ``redirect`` is a URI or ""."""

    redirect: str = ""


class ConfigurationEvent(Event, frozen=True, kw_only=True):
    """The node's configuration changed (XEP-0060 8.2.5)."""


class SubscriptionEvent(Event, frozen=True, kw_only=True):
    """The service changed the account's subscription (XEP-0060 8.8.2.1)."""

    state: SubscriptionState


class BounceEvent(Event, frozen=True, kw_only=True):
    """An error message from the service, or the account blocks it, or does so no more (XEP-0191).

    Continuity is broken; ``node`` may be "".
    """


class RosterEvent(Event, frozen=True, kw_only=True):
    """The account's roster entry of the contact ``service`` changed: presence or groups (RFC 6121 2.1.6).

    ``node`` is "": who may read which of the contact's nodes is open again (XEP-0060 4.5).
    """


class Listener(Protocol):
    """What a session tells; every call comes on the loop's thread, in the stream's order."""

    def session_changed(self, state: SessionState, error: str, message: str) -> None:
        """The session's state; ``error`` is a D-Bus error name or "" and ``message`` a sentence."""

    def session_started(self, resumed: bool) -> None:
        """The stream is up; ``resumed`` when nothing can have been missed (XEP-0198 5)."""

    def session_ended(self) -> None:
        """The stream is down; requests under way have failed with Offline."""

    def event(self, event: Event) -> None:
        """A notification that was let in."""

    def solicited(self, service: str) -> bool:
        """Whether events of this service (bare JID, no contact and not the account) were asked for."""


class Session(Protocol):
    """One account's session.

    Every request raises StanzaError (the service refused), NoAnswer (a Timeout) or Offline (no
    stream, or it went away meanwhile); none is ever sent later.
    """

    @property
    def online(self) -> bool:
        """Whether requests can be made now."""

    @property
    def contacts(self) -> Set[str]:
        """Bare JIDs of the roster whose presence the account receives (``to`` or ``both``)."""

    def groups(self, contact: str) -> frozenset[str]:
        """The groups of the account's roster in which such a contact stands; none for anybody else."""

    @property
    def server_features(self) -> tuple[str, ...]:
        """Features of the account's server and PEP service, sorted, as of the last session (XEP-0030)."""

    def connect(self) -> None:
        """Connect, and again with backoff after each loss, until ``close``."""

    async def close(self) -> None:
        """End the stream and do not connect again until ``connect``."""

    def network_changed(self, up: bool) -> None:
        """Something happened to the network, or the machine woke up: see at once whether the stream still works.

        up: the network may work now, so that a session that is waiting connects at once.
        """

    def set_interests(self, nodes: frozenset[str]) -> None:
        """PEP nodes announced with ``+notify`` (XEP-0163 4.3.1); effective at once when online."""

    async def get_items(
        self,
        service: str,
        node: str,
        *,
        max_items: int | None = None,
        ids: Sequence[str] = (),
        rsm: Rsm | None = None,
        timeout: float = 60.0,
    ) -> ItemsPage:
        """Items of a node (XEP-0060 6.5)."""

    async def get_archive(self, service: str, node: str, rsm: Rsm, *, timeout: float = 30.0) -> ArchivePage:
        """What a node's archive holds (XEP-0313); an account's answers for the account itself, whatever the node."""

    async def disco_info(self, service: str, node: str = "", *, timeout: float = 30.0) -> DiscoInfo:
        """disco#info of a service or node (XEP-0060 5.4)."""

    async def disco_items(self, service: str, node: str = "", *, timeout: float = 30.0) -> tuple[DiscoItem, ...]:
        """disco#items of a service or node (XEP-0060 5.5)."""

    async def disco_page(self, service: str, node: str, rsm: Rsm, *, timeout: float = 30.0) -> DiscoPage:
        """A page of disco#items, or all of it from a service that does not page (XEP-0059)."""

    async def subscribe(
        self, service: str, node: str, *, options: Fields | None = None, timeout: float = 30.0
    ) -> Subscription:
        """Subscribe the bare JID (XEP-0060 6.1), with subscription options (6.3.7)."""

    async def unsubscribe(self, service: str, node: str, subid: str = "", *, timeout: float = 30.0) -> None:
        """Unsubscribe the bare JID (XEP-0060 6.2)."""

    async def subscriptions(self, service: str, node: str = "", *, timeout: float = 30.0) -> tuple[Subscription, ...]:
        """The account's subscriptions at a service, or to one node (XEP-0060 5.6)."""

    async def affiliations(self, service: str, *, timeout: float = 30.0) -> tuple[Affiliation, ...]:
        """The account's affiliations at a service (XEP-0060 5.7)."""

    async def publish(
        self,
        service: str,
        node: str,
        item_id: str,
        payload: str,
        *,
        options: Fields | None = None,
        timeout: float = 30.0,
    ) -> str:
        """Publish one item, with publish-options (XEP-0060 7.1).

        payload: as ``payload.serialise`` writes an element with a namespace. item_id: "" lets the service choose.
        The id; "" where the service chose one and did not tell.
        """

    async def retract(
        self, service: str, node: str, item_id: str, *, notify: bool = True, timeout: float = 30.0
    ) -> None:
        """Retract one item; ``notify`` asks the service to tell the subscribers (XEP-0060 7.2)."""

    async def create_node(self, service: str, node: str, *, config: Fields | None = None, timeout: float = 30.0) -> str:
        """Create a node, "" for one that the service names; its name (XEP-0060 8.1)."""

    async def node_configuration(self, service: str, node: str, *, timeout: float = 30.0) -> tuple[FormField, ...]:
        """A node's configuration, for its owner (XEP-0060 8.2)."""

    async def configure_node(self, service: str, node: str, config: Fields, *, timeout: float = 30.0) -> None:
        """Change fields of a node's configuration (XEP-0060 8.2.4)."""

    async def delete_node(self, service: str, node: str, *, timeout: float = 30.0) -> None:
        """Delete a node (XEP-0060 8.4)."""

    async def purge_node(self, service: str, node: str, *, timeout: float = 30.0) -> None:
        """Remove all items of a node (XEP-0060 8.5)."""


# Gives the password when the session needs it; raises AuthenticationFailed with a sentence.
PasswordSource = Callable[[], str]


class Connector(Protocol):
    """Makes the session of an account: ``session.connect`` over slixmpp, or a fake world's."""

    def __call__(self, endpoint: Endpoint, password: PasswordSource, listener: Listener) -> Session:
        """A session that is still offline."""

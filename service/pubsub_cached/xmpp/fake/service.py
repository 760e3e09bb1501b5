"""A PubSub service of the fake: the truth about its nodes, and who is told of a change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from ...errors import StanzaError
from ...jid import bare
from ..port import (
    ConfigurationEvent,
    DeleteEvent,
    Event,
    Item,
    ItemsEvent,
    PurgeEvent,
    Subscription,
    SubscriptionEvent,
    SubscriptionState,
)
from . import access
from .door import Call, Door, Unanswered
from .node import Node
from .profile import Change, Profile, SendLast

if TYPE_CHECKING:
    from .world import World


class Service(Door):
    """A service at a domain, or with ``owner`` the PEP service of an account (XEP-0163).

    reply_limit: a reply of get_items above so many bytes is never answered, as with a component whose
        server drops it for a stanza too large; with ``reply_limit_kills`` it is down from then on.
    """

    def __init__(
        self,
        world: World,
        jid: str,
        profile: Profile,
        *,
        owner: str = "",
        reply_limit: int | None = None,
        reply_limit_kills: bool = False,
    ) -> None:
        super().__init__(world)
        self.jid = jid
        self.profile = profile
        self.owner = owner
        self.reply_limit = reply_limit
        self.reply_limit_kills = reply_limit_kills
        self._nodes: dict[str, Node] = {}
        self.lists_subscriptions = True
        self.ghosts: set[tuple[str, str]] = set()
        self._sequence = 0

    # What a test asks

    @property
    def nodes(self) -> dict[str, Node]:
        """Its nodes by name, without what is too old by now."""
        if self.profile.expires == "removed":
            for node in self._nodes.values():
                node.expire(self.world.clock())
        return self._nodes

    def node(self, name: str) -> Node:
        """A node by name; raises LookupError."""
        try:
            return self.nodes[name]
        except KeyError:
            raise LookupError(f"{self.jid} has no node '{name}'") from None

    def items(self, node: str) -> list[Item]:
        """The truth: every item in the service's order; none where there is no node."""
        return self.nodes[node].items() if node in self.nodes else []

    def visible(self, node: str, jid: str) -> list[Item]:
        """What this account may see of a node, in the service's order."""
        found = self.nodes.get(node)
        if found is None or access.refusal(self.world, found, bare(jid)):
            return []
        return found.items()

    # What a test does to nodes

    def create_node(
        self,
        name: str,
        *,
        owner: str = "",
        access_model: str = "",
        max_items: int | None = None,
        item_expire: str = "max",
        node_type: str = "",
        title: str = "",
        description: str = "",
        send_last: SendLast | None = None,
        roster_groups: Iterable[str] = (),
        deliver_notifications: bool = True,
        deliver_payloads: bool = True,
        notify_delete: bool = False,
        notify_config: bool = False,
    ) -> Node:
        """Make a node; what is left out is the service's default. Raises ValueError where there is one."""
        if name in self.nodes:
            raise ValueError(f"{self.jid} has a node '{name}' already")
        self.nodes[name] = node = Node(
            name=name,
            profile=self.profile,
            owner=bare(owner) if owner else self.owner,
            title=title,
            description=description,
            node_type=node_type,
            access_model=access_model or ("presence" if self.owner else "open"),
            roster_groups=frozenset(roster_groups),
            max_items=self.profile.max_items if max_items is None else max_items,
            item_expire=item_expire,
            send_last=self.profile.send_last if send_last is None else send_last,
            deliver_notifications=deliver_notifications,
            deliver_payloads=deliver_payloads,
            notify_delete=notify_delete,
            notify_config=notify_config,
        )
        return node

    def configure(
        self,
        name: str,
        *,
        access_model: str | None = None,
        max_items: int | None = None,
        item_expire: str | None = None,
        title: str | None = None,
        description: str | None = None,
        node_type: str | None = None,
        roster_groups: Iterable[str] | None = None,
        send_last: SendLast | None = None,
        notify: bool | None = None,
    ) -> None:
        """Change a node's configuration; ``notify`` None is what the service would do.

        Subscribers who may not read any more are dropped, kept or muted by profile, never told.
        """
        node = self.node(name)
        changes = {
            "access_model": access_model,
            "max_items": max_items,
            "item_expire": item_expire,
            "title": title,
            "description": description,
            "node_type": node_type,
            "roster_groups": None if roster_groups is None else frozenset(roster_groups),
            "send_last": send_last,
        }
        for key, value in changes.items():
            if value is not None:
                setattr(node, key, value)
        if self.profile.tightened == "dropped":
            for jid in [jid for jid in node.subscriptions if access.refusal(self.world, node, jid)]:
                del node.subscriptions[jid]
        if self.profile.trims_at_configure:
            node.trim()
        if self._tells("configure", node.notify_config) if notify is None else notify:
            self._tell(node, ConfigurationEvent(service=self.jid, node=name))

    def delete(self, name: str, *, redirect: str = "", notify: bool | None = None) -> None:
        """Delete a node with its items and subscriptions; ``notify`` None is what the service would do."""
        node = self.node(name)
        del self.nodes[name]
        if self.profile.ghosts:
            self.ghosts |= {(name, jid) for jid in node.subscriptions}
        if self.profile.subscriptions_hang and node.subscriptions:
            self.lists_subscriptions = False
        if self._tells("delete", node.notify_delete) if notify is None else notify:
            self._tell(node, DeleteEvent(service=self.jid, node=name, redirect=redirect))

    # What a test does to items

    def publish(
        self, name: str, item_id: str = "", payload: str = "", *, publisher: str = "", notify: bool = True
    ) -> str:
        """Publish an item, or over one of the same id; "" lets the service choose. Returns the id.

        A node of an account is made where there is none (XEP-0163 3). ``notify`` False: nobody hears of it.
        """
        if name not in self.nodes and self.owner:
            self.create_node(name)
        node = self.node(name)
        self._sequence += 1
        author = f"{publisher}/fake" if publisher and self.profile.full_publisher else publisher
        item = Item(item_id or f"generated-{self._sequence}", payload, _namespace(payload), author)
        evicted = node.put(item, self._sequence, self.world.clock())
        if notify:
            self._tell(node, self.published(node, item))
            if evicted and "evict" in self.profile.told:
                gone = ("".join(evicted),) if self.profile.joins_retracted else tuple(evicted)
                self._tell(node, ItemsEvent(service=self.jid, node=name, retracted=gone))
        return item.id

    def retract(self, name: str, *item_ids: str, notify: bool = True) -> None:
        """Retract items; ``notify`` is the request's attribute, which services heed as their profile says."""
        node = self.node(name)
        gone = tuple(item_id for item_id in item_ids if node.entries.pop(item_id, None))
        if gone and self._tells("retract-notify" if notify else "retract"):
            self._tell(node, ItemsEvent(service=self.jid, node=name, retracted=gone))

    def expire_items(self, name: str, *item_ids: str) -> None:
        """Items vanish without a word, as when the administrator has those older than pubsub#item_expire removed."""
        node = self.node(name)
        for item_id in item_ids:
            node.entries.pop(item_id, None)

    def purge(self, name: str, *, notify: bool | None = None) -> None:
        """Remove all items; ``notify`` None is what the service would do."""
        node = self.node(name)
        node.entries.clear()
        if self._tells("purge") if notify is None else notify:
            self._tell(node, PurgeEvent(service=self.jid, node=name))

    # What a test does to subscribers

    def set_affiliation(self, name: str, jid: str, affiliation: str) -> None:
        """Set an affiliation (XEP-0060 4.1); said to nobody, and subscriptions stay."""
        self.node(name).affiliations[bare(jid)] = affiliation

    def add_subscription(self, name: str, jid: str) -> Subscription:
        """Subscribe a bare JID as if by another client of it."""
        return self._subscribe(self.node(name), bare(jid), "subscribed")

    def drop_subscription(self, name: str, jid: str, *, notify: bool = False) -> None:
        """End a subscription; silently unless ``notify`` (XEP-0060 8.8.2)."""
        self._change_subscription(name, bare(jid), "none", notify)

    def approve(self, name: str, jid: str, *, notify: bool = True) -> None:
        """Let a pending subscriber in (XEP-0060 8.6)."""
        self._change_subscription(name, bare(jid), "subscribed", notify)

    # What sessions ask; the requests themselves are in ``answers``

    def answer(self, call: Call) -> object:
        """The reply to a request; raises StanzaError, or Unanswered where none ever comes."""
        if call.request.kind in self.profile.unsupported:
            raise StanzaError("internal-server-error")
        return call.answer(self)

    def published(self, node: Node, item: Item) -> ItemsEvent:
        """The event of an item, without payload where the node is configured so."""
        sent = item if node.deliver_payloads else Item(item.id, publisher=item.publisher)
        return ItemsEvent(service=self.jid, node=node.name, items=(sent,))

    def existing(self, name: str, jid: str) -> Node:
        """The node that an account asks for; raises StanzaError where there is none."""
        node = self.nodes.get(name)
        if node is None:
            raise access.denial_of_absent(self.world, self.profile.hides_absent, self.owner, jid)
        return node

    def admit(self, name: str, jid: str) -> Node:
        """The node, for an account that may read it; raises StanzaError."""
        node = self.existing(name, jid)
        if error := access.refusal(self.world, node, jid):
            raise error
        return node

    def check_size(self, items: Iterable[Item]) -> None:
        """Raises Unanswered where a reply with these items is larger than the service survives."""
        if self.reply_limit is None:
            return
        size = sum(len(item.payload.encode()) + len(item.id) + len(item.publisher) + 40 for item in items)
        if size <= self.reply_limit:
            return
        if self.reply_limit_kills:
            self.down(None)
        raise Unanswered

    def take_subscription(self, node: Node, jid: str) -> Subscription:
        """Subscribe on request: pending where the owner decides; brings the last item where configured."""
        state: SubscriptionState = "subscribed"
        if node.access_model == "authorize" and node.affiliation(jid) == "none":
            state = "subscribed" if node.subscribed(jid) else "pending"
        subscription = self._subscribe(node, jid, state)
        item = node.last()
        if state == "subscribed" and node.send_last != "never" and item:
            # Queued, so that it follows the reply (XEP-0060 6.1.7).
            self.world.enqueue(self.world.send, jid, self.published(node, item))
        return subscription

    def _subscribe(self, node: Node, jid: str, state: SubscriptionState) -> Subscription:
        self._sequence += 1
        old = node.subscriptions.get(jid)
        subid = old.subid if old else f"subid-{self.jid}-{self._sequence}" if self.profile.subids else ""
        node.subscriptions[jid] = subscription = Subscription(node.name, jid, state, subid)
        return subscription

    def _change_subscription(self, name: str, jid: str, state: SubscriptionState, notify: bool) -> None:
        node = self.node(name)
        if state == "none":
            node.subscriptions.pop(jid, None)
        else:
            self._subscribe(node, jid, state)
        if notify:
            self.world.send(jid, SubscriptionEvent(service=self.jid, node=name, state=state))

    def _tells(self, change: Change, requested: bool = False) -> bool:
        return change in self.profile.told or (requested and change in self.profile.told_on_request)

    def _tell(self, node: Node, event: Event) -> None:
        """Send an event to the node's subscribers and to those who announced an interest in it."""
        if not self.available or not node.deliver_notifications:
            return
        for account in list(self.world.accounts.values()):
            may_read = access.refusal(self.world, node, account.jid) is None
            muted = self.profile.tightened == "mute" and not may_read
            if node.subscribed(account.jid) and not muted:
                self.world.send(account.jid, event)
            elif self.owner and may_read and self.world.sees(account.jid, self.owner):
                self.world.send(account.jid, event, interest=node.name)


def _namespace(payload: str) -> str:
    """The namespace of a payload's element; raises ValueError where it is not well-formed."""
    if not payload:
        return ""
    try:
        tag = ElementTree.fromstring(payload).tag
    except ElementTree.ParseError as error:
        raise ValueError(f"the payload is not well-formed: {error}") from None
    return tag[1:].partition("}")[0] if tag.startswith("{") else ""

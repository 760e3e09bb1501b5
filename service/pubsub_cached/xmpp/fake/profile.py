"""Profiles: how one kind of service departs from XEP-0060, as observed on real ones."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..port import MAM

PUBSUB = "http://jabber.org/protocol/pubsub"
RSM = "http://jabber.org/protocol/rsm"

# Changes other than a publish that a service may tell its subscribers of.
Change = Literal["evict", "retract", "retract-notify", "purge", "delete", "configure"]
# What an archive holds (XEP-0313): a node's items as they are; every publish there was; what a person was sent.
Archive = Literal["none", "items", "publishes", "personal"]
# What is made of pubsub#item_expire: there is no such field; items stay until the administrator has them removed; they
# are removed in time.
Expires = Literal["ignored", "kept", "removed"]
SendLast = Literal["never", "on_sub", "on_sub_and_presence"]


def features(*names: str) -> frozenset[str]:
    """Feature URIs of XEP-0060 10 from their last part."""
    return frozenset({PUBSUB, *(f"{PUBSUB}#{name}" for name in names)})


_COMMON = features("create-nodes", "publish", "subscribe", "retrieve-items", "retract-items", "meta-data", "item-ids")


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a service does where the standard leaves room, or is not followed.

    Reading
        rsm, rsm_advertised: whether pages are honoured (XEP-0059), and whether disco#info says so.
        cursor: what a page's ``first`` and ``last`` are, a creation time or an item id.
        moves: an overwritten item becomes the newest; else it keeps its place.
        disco_order: order of item ids in disco#items.
        ids_order: order of a reply to explicit ids.
        missing_fails: one missing id among those asked for fails the whole request.
        absent_answers: disco#info of a node that does not exist is answered as if it did.
        reply_items: most items in a reply without a page; the oldest are left out. None: all.
        archive: what a query of a node's archive is answered with; a personal one never holds anything of a node.
        unsupported: kinds of request answered with internal-server-error.

    Events
        told: changes told to subscribers; a publish always is.
        told_on_request: changes told only when the node's configuration asks for it.
        joins_retracted: several items evicted by one publish come as one id, concatenated.
        normal: events are messages of type normal, stored while the account is offline.
        twice: every event comes twice.
        full_publisher: ``publisher`` is a full JID.
        send_last: default of ``pubsub#send_last_published_item``.
        presence_pushes_subscribed: presence brings the last item of subscribed nodes, too.
        presence_needs_contact: presence brings a contact's last items only while the contact is online.

    Access
        tightened: what happens to subscribers who may not read any more: their subscription is
            dropped, or they keep access, or it stays and is mute. Never is anything said.
        forbids_plainly: no access is ``forbidden``, whatever the access model.
        hides_absent: an absent node of an account's service is ``forbidden`` to strangers.
        unknown_user, remote_error: conditions for an account that does not exist on this server,
            and for a domain that cannot be reached from it.

    Writing
        refused_options: publish-options that fail a publish whatever their value.
        id_in_reply: the reply to a publish has the item's id.

    Other
        max_items: default of ``pubsub#max_items``.
        expires: what becomes of items that are older than ``pubsub#item_expire``.
        shows_expire: disco#info tells everybody after how long that is, else only owners know.
        trims_at_configure: a lower ``max_items`` evicts at once; else at the next publish.
        subids: subscriptions have ids.
        lists_accounts: ``<subscriptions/>`` lists those to nodes of all accounts at the subscriber's domain as well.
        ghosts: a subscription to a node that was deleted and made again is listed, and nothing is sent.
        subscriptions_hang: ``<subscriptions/>`` is never answered once a node with subscribers was deleted.
        resume_limit: most stanzas kept for a stream to be resumed (XEP-0198). None: no limit.
        pep: the profile of account's services on such a server, where it differs.
    """

    name: str
    features: frozenset[str] = _COMMON

    rsm: bool = False
    rsm_advertised: bool = False
    cursor: Literal["creation", "id"] = "id"
    moves: bool = True
    disco_order: Literal["newest-first", "oldest-first", "sorted"] = "oldest-first"
    ids_order: Literal["asked", "stored"] = "asked"
    missing_fails: bool = False
    absent_answers: bool = False
    reply_items: int | None = None
    archive: Archive = "none"
    unsupported: frozenset[str] = frozenset()

    told: frozenset[Change] = frozenset()
    told_on_request: frozenset[Change] = frozenset()
    joins_retracted: bool = False
    normal: bool = False
    twice: bool = False
    full_publisher: bool = False
    send_last: SendLast = "never"
    presence_pushes_subscribed: bool = False
    presence_needs_contact: bool = False

    tightened: Literal["dropped", "kept", "mute"] = "dropped"
    forbids_plainly: bool = False
    hides_absent: bool = False
    unknown_user: str = "item-not-found"
    remote_error: str = "remote-server-not-found"

    refused_options: frozenset[str] = frozenset()
    id_in_reply: bool = True

    max_items: int = 256
    expires: Expires = "ignored"
    shows_expire: bool = False
    trims_at_configure: bool = False
    subids: bool = False
    lists_accounts: bool = False
    ghosts: bool = False
    subscriptions_hang: bool = False
    resume_limit: int | None = None
    pep: Profile | None = None

    @property
    def advertised(self) -> frozenset[str]:
        """The features of the service's disco#info."""
        rsm = {RSM, f"{PUBSUB}#rsm"} if self.rsm_advertised else set()
        return self.features | rsm | ({MAM} if self.archive != "none" else set())


_PEP = {"send_last": "on_sub_and_presence", "max_items": 1, "archive": "personal"}


def _with_pep(profile: Profile, **differences: object) -> Profile:
    """The profile with that of the account's services on the same server (XEP-0163)."""
    pep = msgspec.structs.replace(profile, **(_PEP | differences))
    return msgspec.structs.replace(profile, pep=pep)


PROSODY = _with_pep(
    Profile(
        name="prosody",
        disco_order="newest-first",
        told=frozenset({"retract-notify", "purge", "delete"}),
        forbids_plainly=True,
        unknown_user="forbidden",
        remote_error="not-allowed",
        trims_at_configure=True,
        ghosts=True,
        subscriptions_hang=True,
        resume_limit=500,
    ),
    twice=True,
    hides_absent=True,
)
"""Prosody 0.12."""

EJABBERD = _with_pep(
    Profile(
        name="ejabberd",
        rsm=True,
        cursor="creation",
        moves=False,
        ids_order="stored",
        told=frozenset({"evict", "retract", "retract-notify", "purge"}),
        told_on_request=frozenset({"delete", "configure"}),
        joins_retracted=True,
        send_last="on_sub_and_presence",
        presence_pushes_subscribed=True,
        presence_needs_contact=True,
        tightened="kept",
        refused_options=frozenset({"pubsub#max_items"}),
        max_items=1000,
        expires="kept",
        subids=True,
        lists_accounts=True,
    ),
    disco_order="sorted",
    absent_answers=True,
    told=frozenset(),
    told_on_request=frozenset({"configure"}),
)
"""ejabberd 23.01."""

LIBERVIA = _with_pep(
    Profile(
        name="libervia",
        rsm=True,
        rsm_advertised=True,
        missing_fails=True,
        absent_answers=True,
        archive="items",
        told=frozenset({"retract-notify", "purge", "delete"}),
        normal=True,
        full_publisher=True,
        tightened="mute",
    )
)
"""libervia-pubsub 0.4."""

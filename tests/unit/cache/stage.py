"""The stage of the state machine: a world with one node and two accounts, what is true there, and what was told."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.xmpp import events
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Profile, Request, Service, World
from pubsub_cached.xmpp.fake.access import refusal
from pubsub_cached.xmpp.fake.door import Call
from tests.support.cached import ALICE, ENTRY

from .blog import PUBSUB

CAROL = "carol@example.org"
BOB = "bob@example.org"
NODE = "urn:xmpp:microblog:0"
# Bytes of a payload that are kept. Items of the weight that makes a few of them too many for one look stay below.
PAYLOAD_LIMIT = 10_000
WEIGHT = 8_000
# Stanzas that a server keeps for a stream to be resumed: few, so that histories run past it.
QUEUE = 4

PROFILES = {profile.name: profile for profile in (PROSODY, EJABBERD, LIBERVIA)}
PAYLOADS = {
    "entry": ENTRY,
    "large": "<entry xmlns='http://www.w3.org/2005/Atom'><id>tag:{0}</id><summary>"
    + "x" * PAYLOAD_LIMIT
    + "</summary></entry>",
    "deep": "<entry xmlns='http://www.w3.org/2005/Atom' id='{0}'>" + "<x>" * 300 + "</x>" * 300 + "</entry>",
    "foreign": "<thing xmlns='urn:example:{0}'><![CDATA[</item></items>]]></thing>",
    "wrong": "<entry xmlns='http://www.w3.org/2005/Atom'><id/><updated>{0}, yesterday</updated><author/></entry>",
}
EVENT = "xmlns='http://jabber.org/protocol/pubsub#event'"
ITEMS = f"<event {EVENT}><items node='{NODE}'><item id='forged'><x xmlns='urn:x'/></item></items></event>"
FORWARDED = (
    "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='{service}'>" + ITEMS + "</message>"
    "</forwarded>"
)
# Messages that speak of the node and must not be believed, whoever follows it.
FORGED = {
    "a service that nobody asked": "<message from='pubsub.evil.example' type='headline'>" + ITEMS + "</message>",
    "a longer name": "<message from='x.{service}' type='headline'>" + ITEMS + "</message>",
    "a resource of the service": "<message from='{service}/x' type='headline'>" + ITEMS + "</message>",
    "a user of the service's domain": "<message from='mallory@{service}' type='headline'>" + ITEMS + "</message>",
    "a room": "<message from='{service}' type='groupchat'>" + ITEMS + "</message>",
    "no JID": "<message from='@' type='headline'>" + ITEMS + "</message>",
    "a carbon": "<message from='{account}'><received xmlns='urn:xmpp:carbons:2'>" + FORWARDED + "</received></message>",
    "a forward": "<message from='{service}'>" + FORWARDED + "</message>",
}
# Messages of the service itself that are odd, and change nothing.
ODD = {
    "no node": f"<message from='{{service}}'><event {EVENT}><items><item id='a'/></items></event></message>",
    "nothing": f"<message from='{{service}}'><event {EVENT}><items node='{NODE}'/></event></message>",
    "no payload": f"<message from='{{service}}'><event {EVENT}><items node='{NODE}'><item id='a'/></items></event>"
    "</message>",
    "no id": f"<message from='{{service}}'><event {EVENT}><items node='{NODE}'><item><x xmlns='urn:x'/></item></items>"
    "</event></message>",
    "ids in one": f"<message from='{{service}}'><event {EVENT}><items node='{NODE}'><retract id='abcnever'/></items>"
    "</event></message>",
    "an old event": "<message from='{service}'>"
    + ITEMS
    + "<delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/>"
    "</message>",
    "an old deletion": f"<message from='{{service}}'><event {EVENT}><delete node='{NODE}'/></event>"
    "<delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/></message>",
    "a bounce": "<message from='{service}' type='error'>" + ITEMS + "<error type='wait'><remote-server-timeout "
    "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    "a configuration": f"<message from='{{service}}'><event {EVENT}><configuration node='{NODE}'/></event></message>",
    "another's subscription": f"<message from='{{service}}'><event {EVENT}><subscription node='{NODE}' "
    "jid='mallory@example.org' subscription='none'/></event></message>",
    "an unknown element": f"<message from='{{service}}'><event {EVENT}><purged node='{NODE}'/></event></message>",
}

_ABSENT = frozenset({"item-not-found", "gone"})
_DENIED = frozenset({"forbidden", "not-authorized", "not-allowed"})


class Watched(World):
    """A world that knows of each account whether the last answered read of the node was a refusal."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.refused: set[str] = set()

    def route(self, call: Call) -> None:
        if call.request.kind == "get_items" and not call.request.args["ids"]:
            call.future.add_done_callback(partial(self._answered, call.request))
        super().route(call)

    def _answered(self, request: Request, answer: Any) -> None:
        if request.node != NODE or answer.cancelled():
            return
        error = answer.exception()
        if error is None:
            self.refused.discard(request.jid)
        elif isinstance(error, errors.StanzaError) and error.condition in _ABSENT | _DENIED:
            self.refused.add(request.jid)


class Stage:
    """The node, at a component or at a contact, and those who read it.

    heavy: items weigh so much that a node of a few is looked at by its newest. expire: seconds after which the service
    removes items, and says so to everybody; "" for one that never does. ever: what each item's payload ever was.
    gone: what was ever removed. silent: what was removed without a word.
    deaf: accounts of which nobody told that their events may have ended.
    """

    def __init__(self, profile: Profile, place: str, most: int, burst: bool, heavy: bool, expire: str) -> None:
        self.heavy = heavy
        self.expire = expire
        self.world = Watched(burst=burst)
        if expire:
            pep = msgspec.structs.replace(profile.pep or profile, expires="removed", shows_expire=True)
            profile = msgspec.structs.replace(profile, expires="removed", shows_expire=True, pep=pep)
        self.profile = profile
        server = msgspec.structs.replace(profile, resume_limit=QUEUE)
        for jid in (ALICE, CAROL):
            self.world.account(jid, pep=server)
        if place == "contact":
            account = self.world.account(BOB, pep=profile)
            account.available = True
            self.service: Service = account.pep
            for jid in (ALICE, CAROL):
                self.world.befriend(jid, BOB, groups=["friends"])
        else:
            self.service = self.world.service(PUBSUB, profile=profile)
        self.most = most
        self.serial = 0
        self.ever: dict[str, set[str]] = {}
        self.gone: set[str] = set()
        self.silent: set[str] = set()
        self.deaf: set[str] = set()
        self.create()

    @property
    def exists(self) -> bool:
        return NODE in self.service.nodes

    def readable(self, jid: str) -> bool:
        """Whether the account may read the node now."""
        return self.exists and refusal(self.world, self.service.node(NODE), jid) is None

    @property
    def working(self) -> bool:
        """Whether the service answers as it should."""
        return self.service.available and not self.service.planned

    def address(self, jid: str) -> Address:
        return Address(jid, self.service.jid, NODE)

    def truth(self) -> dict[str, str]:
        """What the service holds, in its order."""
        return {item.id: item.payload for item in self.service.items(NODE)}

    def create(self) -> None:
        model = "presence" if self.service.owner else "open"
        self.service.create_node(
            NODE, access_model=model, max_items=self.most, item_expire=self.expire or "max", roster_groups=["friends"]
        )

    def publish(self, id_: str, kind: str) -> set[str]:
        """Publish; the ids that are different afterwards."""
        self.serial += 1
        payload = PAYLOADS[kind].format(f"{id_}{self.serial}")
        if self.heavy and kind == "entry":
            payload = payload.replace("</entry>", f"<summary>{'x' * WEIGHT}</summary></entry>")
        self.ever.setdefault(id_, set()).add(payload)
        before = self.truth().keys()
        self.service.publish(NODE, id_, payload)
        evicted = before - self.truth().keys()
        self.gone |= evicted
        if "evict" not in self.service.profile.told:
            self.silent |= evicted
        self.silent.discard(id_)
        return {id_, *evicted}

    def remove(self, id_: str, how: str) -> None:
        self.gone.add(id_)
        told = {"notified": "retract-notify", "silent": "retract", "expired": ""}[how]
        if how == "expired":
            self.service.expire_items(NODE, id_)
        else:
            self.service.retract(NODE, id_, notify=how == "notified")
        if told not in self.service.profile.told:
            self.silent.add(id_)

    def age(self, pass_: Callable[[], None]) -> set[str]:
        """Let time pass; the ids of the items that are gone with it, without a word."""
        before = self.truth().keys()
        pass_()
        expired = before - self.truth().keys()
        self.gone |= expired
        self.silent |= expired
        return expired

    def purge(self) -> None:
        self.gone |= self.truth().keys()
        if "purge" not in self.service.profile.told:
            self.silent |= self.truth().keys()
        self.service.purge(NODE)

    def delete(self) -> None:
        self.gone |= self.truth().keys()
        self.service.delete(NODE)
        self.deaf |= {ALICE, CAROL}

    def configure(self, notify: bool, **settings: Any) -> None:
        before = self.truth().keys()
        self.service.configure(NODE, notify=notify, **settings)
        self.gone |= before - self.truth().keys()
        self.silent |= before - self.truth().keys()
        self.deafen()

    def deafen(self) -> None:
        """Note whose events end without a word: whoever may not read any more."""
        self.deaf |= {jid for jid in (ALICE, CAROL) if not self.readable(jid)}

    def message(self, jid: str, text: str) -> int:
        """An account gets a message, through the gate of the real session; how many events were let in."""
        stanza = text.format(service=self.service.jid, account=jid).replace(" ", " xmlns='jabber:client' ", 1)
        solicited = {each for each in (PUBSUB,) if each == self.service.jid}
        gate = events.Gate(jid, lambda: self.world.contacts(jid), lambda service: service in solicited)
        found = events.read(ET.fromstring(stanza), gate)
        for event in found:
            self.world.inject(jid, event)
        return len(found)

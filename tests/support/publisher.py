"""A second client that publishes: what happens to a node while the daemon looks on."""

from __future__ import annotations

import asyncio
import logging
import ssl
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any, Self
from uuid import uuid4
from xml.sax.saxutils import escape, quoteattr

from slixmpp import ClientXMPP
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from .server import Server

CLIENT = "{jabber:client}"
PUBSUB = "http://jabber.org/protocol/pubsub"
OWNER = PUBSUB + "#owner"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
ROSTER = "jabber:iq:roster"
TIMEOUT = 30.0

# The library reports what a test provokes on purpose.
logging.getLogger("slixmpp").setLevel(logging.CRITICAL)

Config = Mapping[str, str | bool | int | list[str]]


class Refused(Exception):
    """The service answered with an error; ``condition`` is the defined condition."""

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition = condition


class Publisher:
    """One user's session at a server; payloads go out as they are written.

    ``service`` "" is the user's own PEP service.
    """

    def __init__(self, server: Server, user: str, *, managed: bool = False) -> None:
        """managed: with stream management (XEP-0198), as a client has it that must not lose what it is sent."""
        self.jid = server.jid(user)
        self._server = server
        loop = asyncio.get_running_loop()
        self._client = ClientXMPP(
            self.jid,
            server.passwords[user],
            ssl_context=ssl.create_default_context(cafile=server.ca_file),
            loop=loop,
        )
        self._client.enable_direct_tls = False
        if managed:
            self._client.register_plugin("xep_0198")
        self._pending: dict[str, asyncio.Future[ET.Element]] = {}
        self._friends: dict[str, str] = {}
        self._friends_changed = asyncio.Event()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._lost: asyncio.Future[None] = loop.create_future()
        self._client.add_event_handler("session_start", self._started)
        self._client.add_event_handler("roster_update", self._roster_changed)
        self._client.add_event_handler("failed_all_auth", lambda _: self._failed("The server refused the password"))
        self._client.add_event_handler("connection_failed", lambda reason: self._failed(str(reason)))
        self._client.add_event_handler("disconnected", self._disconnected)
        self._client.register_handler(Callback("replies", MatchXPath(CLIENT + "iq"), self._replied))

    @classmethod
    async def open(cls, server: Server, user: str, *, managed: bool = False) -> Self:
        """Connect a user and send initial presence."""
        publisher = cls(server, user, managed=managed)
        publisher._client.connect(server.host, server.port)
        await asyncio.wait_for(publisher._ready, TIMEOUT)
        await publisher.iq("get", f"<query xmlns='{ROSTER}'/>")
        publisher._client.send_presence()
        return publisher

    async def close(self) -> None:
        """End the stream."""
        if self._client.is_connected():
            self._client.disconnect(wait=2)
            await asyncio.wait_for(self._lost, TIMEOUT)
        self._client.cancel_connection_attempt()
        # The library leaves its sending loop behind.
        if self._client._run_out_filters is not None:
            self._client._run_out_filters.cancel()

    async def create(self, service: str, node: str, config: Config | None = None) -> None:
        """Create a node; keys of ``config`` without ``pubsub#``."""
        await self.iq(
            "set",
            f"<pubsub xmlns='{PUBSUB}'><create node={quoteattr(node)}/>"
            f"<configure>{_form(config or {}, 'node_config')}</configure></pubsub>",
            service,
        )

    async def configure(self, service: str, node: str, config: Config) -> None:
        """Change a node's configuration."""
        form = _form(config, "node_config")
        await self.iq(
            "set", f"<pubsub xmlns='{OWNER}'><configure node={quoteattr(node)}>{form}</configure></pubsub>", service
        )

    async def publish(self, service: str, node: str, id: str, xml: str, options: Config | None = None) -> str:
        """Publish one item; the id it got. ``options``: publish-options without ``pubsub#``."""
        attribute = f" id={quoteattr(id)}" if id else ""
        more = f"<publish-options>{_form(options, 'publish-options')}</publish-options>" if options else ""
        reply = await self.iq(
            "set",
            f"<pubsub xmlns='{PUBSUB}'><publish node={quoteattr(node)}><item{attribute}>{xml}</item></publish>"
            f"{more}</pubsub>",
            service,
        )
        item = reply.find(f".//{{{PUBSUB}}}item")
        return item.get("id", id) if item is not None else id

    async def retract(self, service: str, node: str, *ids: str, notify: bool = True) -> None:
        """Retract items."""
        items = "".join(f"<item id={quoteattr(id)}/>" for id in ids)
        flag = "true" if notify else "false"
        await self.iq(
            "set",
            f"<pubsub xmlns='{PUBSUB}'><retract node={quoteattr(node)} notify='{flag}'>{items}</retract></pubsub>",
            service,
        )

    async def purge(self, service: str, node: str) -> None:
        """Remove all items."""
        await self.iq("set", f"<pubsub xmlns='{OWNER}'><purge node={quoteattr(node)}/></pubsub>", service)

    async def delete(self, service: str, node: str) -> None:
        """Delete a node."""
        await self.iq("set", f"<pubsub xmlns='{OWNER}'><delete node={quoteattr(node)}/></pubsub>", service)

    async def affiliate(self, service: str, node: str, jid: str, affiliation: str) -> None:
        """Set somebody's affiliation with a node (XEP-0060 8.9.2)."""
        change = f"<affiliation jid={quoteattr(jid)} affiliation='{affiliation}'/>"
        affiliations = f"<affiliations node={quoteattr(node)}>{change}</affiliations>"
        await self.iq("set", f"<pubsub xmlns='{OWNER}'>{affiliations}</pubsub>", service)

    async def items(self, service: str, node: str) -> dict[str, str]:
        """What the service holds: payloads by id, in its order."""
        reply = await self.iq("get", f"<pubsub xmlns='{PUBSUB}'><items node={quoteattr(node)}/></pubsub>", service)
        return {
            item.get("id", ""): "".join(ET.tostring(child, encoding="unicode") for child in item)
            for item in reply.iter(f"{{{PUBSUB}}}item")
        }

    async def iq(self, kind: str, child: str, to: str = "") -> ET.Element:
        """Send an IQ as written and await its result.

        Raises Refused.
        """
        id_ = uuid4().hex
        reply: asyncio.Future[ET.Element] = asyncio.get_running_loop().create_future()
        self._pending[id_] = reply
        self.send(f"<iq type='{kind}' id='{id_}' to={quoteattr(to or self.jid)}>{child}</iq>")
        try:
            return await asyncio.wait_for(reply, TIMEOUT)
        finally:
            del self._pending[id_]

    def send(self, xml: str) -> None:
        """Send a stanza as written."""
        self._client.send_raw(xml)

    def abort(self) -> None:
        """Cut the connection without closing the stream."""
        self._client.abort()

    async def is_friend(self, jid: str) -> None:
        """Return once both see each other's presence."""
        async with asyncio.timeout(TIMEOUT):
            while self._friends.get(jid) != "both":
                self._friends_changed.clear()
                await self._friends_changed.wait()

    def _started(self, _: object) -> None:
        if not self._ready.done():
            self._ready.set_result(None)

    def _failed(self, reason: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(ConnectionError(reason))

    def _disconnected(self, _: object) -> None:
        self._failed("The stream ended")
        if not self._lost.done():
            self._lost.set_result(None)
        for reply in self._pending.values():
            if not reply.done():
                reply.set_exception(ConnectionError("The stream ended"))

    def _roster_changed(self, stanza: Any) -> None:
        for item in stanza.xml.iter(f"{{{ROSTER}}}item"):
            self._friends[item.get("jid", "")] = item.get("subscription", "none")
        self._friends_changed.set()

    def _replied(self, stanza: Any) -> None:
        reply = self._pending.get(stanza.xml.get("id", ""))
        if reply is None or reply.done():
            return
        if stanza.xml.get("type") == "result":
            reply.set_result(stanza.xml)
        else:
            reply.set_exception(_refusal(stanza.xml))


async def befriend(a: Publisher, b: Publisher) -> None:
    """Make two users see each other's presence (XEP-0163 needs it for ``+notify``)."""
    # The library answers requests and asks back by itself.
    a.send(f"<presence type='subscribe' to={quoteattr(b.jid)}/>")
    await asyncio.gather(a.is_friend(b.jid), b.is_friend(a.jid))


def _refusal(iq: ET.Element) -> Refused:
    error = iq.find(CLIENT + "error")
    children = [] if error is None else [child for child in error if child.tag.startswith(STANZAS)]
    names = [child.tag.removeprefix(STANZAS) for child in children if child.tag != STANZAS + "text"]
    texts = [child.text or "" for child in children if child.tag == STANZAS + "text"]
    return Refused(names[0] if names else "undefined-condition", texts[0] if texts else "")


def _form(config: Config, kind: str) -> str:
    fields = "".join(
        f"<field var={quoteattr('pubsub#' + key)}>{_values(value)}</field>" for key, value in config.items()
    )
    return (
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>"
        f"<value>{PUBSUB}#{kind}</value></field>{fields}</x>"
    )


def _values(value: str | bool | int | list[str]) -> str:
    values = value if isinstance(value, list) else [value]
    return "".join(
        f"<value>{escape(str(int(each)) if isinstance(each, bool) else str(each))}</value>" for each in values
    )

"""What Bob has published: the files in ``content``, on nodes that a real service holds."""

from __future__ import annotations

import base64
import hashlib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

from tests.support.publisher import Config, Publisher, befriend
from tests.support.server import Server

CONTENT = Path(__file__).parent / "content"

BLOG = "blog"
MICROBLOG = "urn:xmpp:microblog:0"
COMMENTS = "urn:xmpp:microblog:0:comments/night-train-to-ljubljana"
EVENTS = "urn:xmpp:calendar-events:0/society"
AVATAR = "urn:xmpp:avatar:metadata"
AVATAR_DATA = "urn:xmpp:avatar:data"

ATOM = "http://www.w3.org/2005/Atom"
_DATES = (f"{{{ATOM}}}published", "{urn:xmpp:calendar-events:0}start")
_OWNER = "http://jabber.org/protocol/pubsub#owner"


class Node(NamedTuple):
    """A node that was filled, and what with."""

    service: str
    node: str
    what: str


async def fill(server: Server) -> list[Node]:
    """Make Alice and Bob friends and publish everything, oldest first; the nodes."""
    alice = await Publisher.open(server, "alice")
    bob = await Publisher.open(server, "bob")
    try:
        await befriend(alice, bob)
        return [*await _blog(server, alice, bob), *await _own_nodes(bob)]
    finally:
        await alice.close()
        await bob.close()


async def _blog(server: Server, alice: Publisher, bob: Publisher) -> list[Node]:
    """Nodes of the pubsub service, which Alice administers and Bob may write to."""
    made = [
        (BLOG, "blog", "Bob’s notebook", ATOM),
        (COMMENTS, "comments", "Comments: The night train to Ljubljana", ATOM),
        (EVENTS, "events", "Walks and repair cafés", "urn:xmpp:calendar-events:0"),
    ]
    nodes = []
    for node, directory, title, kind in made:
        await alice.create(server.pubsub, node, {"title": title, "type": kind, "access_model": "open"})
        await alice.iq("set", _writer(node, bob.jid), server.pubsub)
        count = await _publish(bob, server.pubsub, node, directory)
        nodes.append(Node(server.pubsub, node, f"{title}, {count} items"))
    return nodes


async def _own_nodes(bob: Publisher) -> list[Node]:
    """Bob's personal nodes (XEP-0163), which his friends may read."""
    # A node that is made by its first publish holds one item, unless the publisher says more (XEP-0060 7.1.5).
    several: Config = {"persist_items": True, "max_items": "100", "access_model": "presence"}
    count = await _publish(bob, "", MICROBLOG, "microblog", several)
    image = (CONTENT / "avatar.png").read_bytes()
    sha1 = hashlib.sha1(image, usedforsecurity=False).hexdigest()
    data = base64.b64encode(image).decode()
    await bob.publish("", AVATAR_DATA, sha1, f"<data xmlns='{AVATAR_DATA}'>{data}</data>")
    info = f"<info id='{sha1}' bytes='{len(image)}' type='image/png' width='64' height='64'/>"
    await bob.publish("", AVATAR, sha1, f"<metadata xmlns='{AVATAR}'>{info}</metadata>")
    return [
        Node(bob.jid, MICROBLOG, f"short notes, {count} items"),
        Node(bob.jid, AVATAR, f"his picture, {len(image)} bytes of PNG"),
    ]


async def _publish(bob: Publisher, service: str, node: str, directory: str, options: Config | None = None) -> int:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (CONTENT / directory).glob("*.xml")}
    for id_ in sorted(texts, key=lambda id_: _date(texts[id_])):
        await bob.publish(service, node, id_, texts[id_], options)
    return len(texts)


def _date(xml: str) -> str:
    root = ET.fromstring(xml)
    return next(text for name in _DATES if (text := root.findtext(name)))


def _writer(node: str, jid: str) -> str:
    """Lets a user publish to a node (XEP-0060 8.9.2)."""
    return (
        f"<pubsub xmlns='{_OWNER}'><affiliations node={quoteattr(node)}>"
        f"<affiliation jid={quoteattr(jid)} affiliation='publisher'/></affiliations></pubsub>"
    )

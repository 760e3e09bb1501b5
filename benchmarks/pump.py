"""``python -m benchmarks.pump PORT``: a component of the server (XEP-0114) that has as many items and events as wanted.

Real services publish some 60 items a second. Every node is there: ``many-N`` and the like hold N generated items, all
others are empty. Each line that is read, ``NODE COUNT RATE``, has so many items published to a node, so many a second;
``sent`` and the seconds that it took are printed then. After ``asked`` it prints that and how many requests came in
each second, from the first since it was asked last to the last.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict

from . import content

DOMAIN = "pump.localhost"
SECRET = "no secret"
SUBSCRIBER = content.ACCOUNT
COMPONENT = "{jabber:component:accept}"
PUBSUB = "http://jabber.org/protocol/pubsub"
ITEMS = "http://jabber.org/protocol/disco#items"
INFO = "http://jabber.org/protocol/disco#info"
SIZE = 600
_COUNT = re.compile(r".*-(\d+)")


def item(id_: str) -> str:
    """An item as it is in a reply."""
    return f"<item id='{id_}' publisher='bob@localhost'>{content.entry(id_, SIZE)}</item>"


def subscription(node: str, jid: str) -> str:
    """A subscription as it is in a reply."""
    return f"<subscription node='{node}' jid='{jid}' subscription='subscribed'/>"


def ids(node: str) -> list[str]:
    """What a node holds, oldest first."""
    counted = _COUNT.fullmatch(node)
    return [f"{node}-{number}" for number in range(int(counted[1]) if counted else 0)]


def answer(query: ET.Element, subscribed: dict[str, str]) -> str:
    """What is replied to a request's element, "" for nothing that a service needs to know.

    subscribed: the nodes that whoever asks has subscribed to, each with the JID.
    """
    namespace, _, name = query.tag[1:].partition("}")
    node = query.get("node", "")
    if namespace == INFO:
        return (
            f"<query xmlns='{INFO}' node='{node}'><identity category='pubsub' type='leaf'/><feature var='{PUBSUB}'/>"
            "<x xmlns='jabber:x:data' type='result'>"
            f"<field var='FORM_TYPE' type='hidden'><value>{PUBSUB}#meta-data</value></field>"
            f"<field var='pubsub#type'><value>{content.ATOM}</value></field>"
            "<field var='pubsub#access_model'><value>open</value></field></x></query>"
        )
    if namespace == ITEMS:
        listed = "".join(f"<item jid='{DOMAIN}' name='{id_}'/>" for id_ in ids(node))
        return f"<query xmlns='{ITEMS}' node='{node}'>{listed}</query>"
    if name != "pubsub" or not len(query):
        return ""
    child = query[0]
    node = child.get("node", "")
    match child.tag.partition("}")[2]:
        case "subscribe":
            subscribed[node] = child.get("jid", "")
            return f"<pubsub xmlns='{PUBSUB}'>{subscription(node, subscribed[node])}</pubsub>"
        case "subscriptions":
            listed = "".join(subscription(*each) for each in subscribed.items() if node in ("", each[0]))
            return f"<pubsub xmlns='{PUBSUB}'><subscriptions>{listed}</subscriptions></pubsub>"
        case "items":
            held = ids(node)
            wanted = [each.get("id", "") for each in child]
            if wanted:
                held = [id_ for id_ in held if id_ in frozenset(wanted)]
            elif most := child.get("max_items"):
                held = held[-int(most) :]
            return f"<pubsub xmlns='{PUBSUB}'><items node='{node}'>{''.join(map(item, held))}</items></pubsub>"
    return ""


class Pump:
    """The component's stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser: ET.XMLPullParser[ET.Element] = ET.XMLPullParser(("start", "end"))
        self._subscribed: defaultdict[str, dict[str, str]] = defaultdict(dict)
        # How many requests came in each second of the clock.
        self._asked: Counter[int] = Counter()

    async def open(self) -> None:
        """Greet the server (XEP-0114 3)."""
        self._writer.write(
            f"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' "
            f"to='{DOMAIN}'>".encode()
        )
        while not (opened := [element for event, element in await self._read() if event == "start"]):
            pass
        digest = hashlib.sha1((opened[0].get("id", "") + SECRET).encode()).hexdigest()
        self._writer.write(f"<handshake>{digest}</handshake>".encode())

    async def serve(self) -> None:
        """Answer requests for as long as there is a stream."""
        depth = 1
        while found := await self._read():
            for event, element in found:
                depth += 1 if event == "start" else -1
                if event == "end" and depth == 1:
                    self._stanza(element)

    async def publish(self, node: str, count: int, rate: int) -> float:
        """Events, each on its own, in slices of 10 ms; the seconds it took."""
        begin = time.perf_counter()
        sent = 0
        while sent < count:
            due = min(count, int((time.perf_counter() - begin) * rate) + 1)
            for number in range(sent, due):
                self._writer.write(
                    f"<message from='{DOMAIN}' to='{SUBSCRIBER}'><event xmlns='{PUBSUB}#event'><items node='{node}'>"
                    f"{item(f'{node}-{number}')}</items></event></message>".encode()
                )
            sent = due
            await self._writer.drain()
            await asyncio.sleep(0.01)
        return time.perf_counter() - begin

    def asked(self) -> list[int]:
        """How many requests came in each second, of those since this was asked last."""
        asked, self._asked = self._asked, Counter()
        return [asked[second] for second in range(min(asked), max(asked) + 1)] if asked else []

    async def _read(self) -> list[tuple[str, ET.Element]]:
        data = await self._reader.read(1 << 16)
        if not data:
            return []
        self._parser.feed(data)
        found = list(self._parser.read_events())
        return found or await self._read()  # type: ignore[return-value]

    def _stanza(self, stanza: ET.Element) -> None:
        if stanza.tag == COMPONENT + "handshake":
            print("ready", flush=True)
            return
        if stanza.tag != COMPONENT + "iq" or stanza.get("type") not in ("get", "set") or not len(stanza):
            return
        self._asked[int(time.monotonic())] += 1
        found = answer(stanza[0], self._subscribed[stanza.get("from", "").partition("/")[0]])
        kind = "result" if found else "error"
        body = found or (
            "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        )
        self._writer.write(
            f"<iq type='{kind}' id='{stanza.get('id')}' from='{DOMAIN}' to='{stanza.get('from')}'>{body}</iq>".encode()
        )


async def run(port: int) -> None:
    """Serve until there is nothing more to read."""
    pump = Pump(*await asyncio.open_connection("127.0.0.1", port))
    await pump.open()
    serving = asyncio.create_task(pump.serve())
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode():
        if line == "asked\n":
            print("asked", *pump.asked(), flush=True)
            continue
        node, count, rate = line.split()
        print("sent", await pump.publish(node, int(count), int(rate)), flush=True)
    serving.cancel()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1])))

"""The byte side of a stream: what a hostile or broken peer may not do with the library's parser.

XMPP restricts XML (RFC 6120 11), expat does not: a DTD would be read and its entities expanded, anything would be
handled before TLS, and a stanza could be of any size.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import xml.etree.ElementTree as ET
from collections import deque
from collections.abc import Iterator
from typing import Any, cast

from slixmpp import ClientXMPP

STREAM = "{http://etherx.jabber.org/streams}"
TLS = "{urn:ietf:params:xml:ns:xmpp-tls}"

# What a server may say before TLS protects the stream; anything else is somebody in between.
BEFORE_TLS = frozenset({STREAM + "features", STREAM + "error", TLS + "proceed", TLS + "failure"})
# The account's own server may send large replies; a stanza beyond this is no stanza.
MAX_STANZA = 64 * 1024 * 1024
MAX_PROLOGUE = 1024
# So much is read at once, bytes, and for so long before others have their turn, seconds.
PIECE = 8192
SLICE = 0.003
# Seconds until the next address of a host is tried beside one that has not answered (RFC 8305 5), and until the next
# host of those that DNS names: a packet that nobody takes is sent again for minutes.
STAGGER = 0.25
ANSWERING = 15.0
# What may come before the stream's first element: a declaration of XML in UTF-8, never a DTD.
_PROLOGUE = re.compile(
    rb"""(?:\xef\xbb\xbf)?\s*
    (?:<\?xml\s+version\s*=\s*["']1\.\d["'](?:\s+encoding\s*=\s*["'](?i:utf-8)["'])?
    (?:\s+standalone\s*=\s*["'](?:yes|no)["'])?\s*\?>\s*)?
    <[A-Za-z_]""",
    re.VERBOSE,
)
# Once one of these came, nothing can make it such a beginning any more.
_NOT_PROLOGUE = re.compile(rb"<[^?]|\x00")


class Stream(ClientXMPP):
    """The library's client with a parser of its own."""

    # Plain text was chosen; towards loopback only.
    plain = False
    # When the last byte came, on the loop's clock.
    heard_at = 0.0
    _prologue: bytearray | None = None
    _stanza_size = 0
    _closing = False
    _paused = False
    _turn: asyncio.Handle | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._unread: deque[bytes] = deque()
        super().__init__(*arguments, **options)

    @property
    def place(self) -> str:
        """Where the connection goes, for sentences."""
        raise NotImplementedError

    @property
    def over(self) -> bool:
        """Whether the connection has ended."""
        raise NotImplementedError

    def refuse(self, message: str, *, final: bool = False) -> None:
        """End the connection for a reason."""
        raise NotImplementedError

    @property
    def secured(self) -> bool:
        """Whether TLS protects the stream, or need not."""
        return self.plain or isinstance(self.socket, ssl.SSLObject)

    @property
    def unwritten(self) -> bool:
        """Whether stanzas were given that the stream has not taken."""
        return not self.waiting_queue.empty()

    def close_stream(self) -> None:
        """Write the end of our side of the stream, once (RFC 6120 4.4)."""
        if not self._closing and self.transport is not None:
            self._closing = True
            self.send_raw(self.stream_footer)

    async def get_dns_records(self, domain: str, port: int | None = None) -> list[tuple[str, str, str, int]]:
        """The library's own, but the addresses of a host are tried as one: those that it gives one by one."""
        records = await super().get_dns_records(domain, port)
        return [*dict.fromkeys((service, host, host, there) for service, host, _, there in records)]

    async def _attempt_connection(self, host: str, port: int, tls: bool, server_hostname: str | None) -> bool:
        """The library's own, but an address that does not answer keeps no other from its turn."""
        self.event_when_connected = "connected"
        context = self.get_ssl_context() if tls else None
        try:
            async with asyncio.timeout(ANSWERING):
                await self.loop.create_connection(
                    lambda: self,
                    host.strip("[]"),
                    port,
                    ssl=context,
                    server_hostname=server_hostname,
                    happy_eyeballs_delay=STAGGER,
                )
        except OSError as problem:
            self.event("connection_failed", problem)
            return False
        return True

    def init_parser(self) -> None:
        super().init_parser()
        self._prologue = bytearray()
        self._stanza_size = 0
        # What is left of an earlier stream is none of this one.
        self._unread.clear()

    def data_received(self, data: bytes) -> None:  # type: ignore[override]
        """The library's own, but for what a hostile or broken peer could do with it."""
        self.heard_at = self.loop.time()
        if self._prologue is not None:
            self._prologue += data
            if not _PROLOGUE.match(self._prologue):
                if _NOT_PROLOGUE.search(self._prologue) or len(self._prologue) > MAX_PROLOGUE:
                    self.refuse(f"{self.place} does not begin a stream as XMPP does (RFC 6120 11).")
                return
            data, self._prologue = bytes(self._prologue), None
        self._unread.extend(data[start : start + PIECE] for start in range(0, len(data), PIECE))
        if self._turn is None:
            self._take_turn()

    def connection_lost(self, exception: BaseException | None) -> None:
        """What came before the end counts."""
        while self._unread:
            self._feed(self._unread.popleft())
        super().connection_lost(exception)

    def _take_turn(self) -> None:
        """Read what came, and after a while let others have their turn: a burst of events keeps no reader waiting."""
        self._turn = None
        until = self.loop.time() + SLICE
        while self._unread:
            self._feed(self._unread.popleft())
            if self._unread and self.loop.time() > until:
                self._pause(True)
                self._turn = self.loop.call_soon(self._take_turn)
                return
        self._pause(False)

    def _pause(self, paused: bool) -> None:
        """Have the peer wait, so that no more than what is read here is held."""
        if paused is self._paused or self.transport is None:
            return
        self._paused = paused
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _feed(self, data: bytes) -> None:
        parser = self.parser
        if parser is None or self.over:
            return
        self._stanza_size += len(data)
        parser.feed(data)
        try:
            self._read(parser)
        except ET.ParseError as problem:
            self.refuse(f"{self.place} sent what is not XML: {problem}.")
        if self._stanza_size > MAX_STANZA:
            self.refuse(f"{self.place} sent a stanza of more than {MAX_STANZA} bytes.")

    def _read(self, parser: ET.XMLPullParser[Any]) -> None:
        """Count how deep each element is; nothing else is done for one inside a stanza, as there are many."""
        depth = self.xml_depth
        for event, xml in cast("Iterator[tuple[str, ET.Element]]", parser.read_events()):
            if event == "start":
                if depth == 0:
                    self.xml_root = xml
                    cast(Any, self).start_stream_handler(xml)
                depth += 1
                continue
            depth -= 1
            if depth > 1:
                continue
            self.xml_depth = depth
            self._complete(xml, depth)
            # A stanza may start the parser anew, and what is left of the data goes with it.
            if self.over or self.parser is not parser:
                return
        self.xml_depth = depth

    def _complete(self, xml: ET.Element, depth: int) -> None:
        """A stanza is complete, or the stream itself."""
        if depth == 0:
            self.close_stream()
            self.refuse(f"{self.place} closed the stream.")
            return
        self._stanza_size = 0
        if self.secured or xml.tag in BEFORE_TLS:
            self._spawn_event(xml)
        else:
            self.refuse(f"{self.place} sent {xml.tag} before TLS.")
        if self.xml_root is not None:
            self.xml_root.clear()

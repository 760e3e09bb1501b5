"""Payloads that clients give: one well-formed XML element each, brought into the form in which services' are kept."""

from __future__ import annotations

import asyncio
import functools
import xml.etree.ElementTree as ET
from typing import Any

from ...address import Address
from ...errors import InvalidPayload
from ...threads import in_thread
from ...xmpp import payload as xml
from ..parsing.parsing import LARGE
from ..sync.turnstile import Turnstile

# A stanza of 256 KiB makes common servers end the stream, and everything else that is under way with it; the rest
# is for what stands around the payload.
BYTES_AT_MOST = 256 * 1024 - 4096
# A text with comments, or in another writing, may become so much shorter; nothing else is worth being read.
_TEXT_AT_MOST = 4 * BYTES_AT_MOST
# So many characters are parsed at once, which takes some 2 ms at most.
_PIECE = 16 * 1024


class _Builder(ET.TreeBuilder):
    """Refuses what XMPP does (RFC 6120 11.1) and a parser would resolve silently."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise InvalidPayload(f"The payload has a document type declaration ('{name}'), which XMPP does not allow.")


class Checks:
    """Looks at payloads, at large ones on a thread: one of tens of thousands of elements takes some 100 ms.

    What is asked of a node after one is asked after it nevertheless.
    """

    def __init__(self) -> None:
        self._turnstile = Turnstile(1)
        # The interpreter runs one thread at a time: the loop would have its turn after as many as there are.
        self._large = asyncio.Lock()

    async def check(self, address: Address, text: str) -> str:
        """As the function, of what is to be published to a node."""
        async with self._turnstile.pass_(address, urgent=False):
            if len(text) < LARGE:
                return check(text)
            async with self._large:
                return await in_thread(functools.partial(check, text), "payload")

    async def checked(self, address: Address) -> None:
        """Wait until everything that was given for a node so far was looked at."""
        async with self._turnstile.pass_(address, urgent=False):
            return


def check(text: str) -> str:
    """The payload's element as text, every namespace declared; comments and declarations are left out.

    Raises InvalidPayload, which says what is wrong and where.
    """
    if not text.strip():
        raise InvalidPayload("The payload is empty; it has to be one XML element.")
    if len(text) > _TEXT_AT_MOST:
        raise _too_large(len(text.encode()))
    target: Any = _Builder()
    try:
        element = _parse(text, ET.XMLParser(target=target))
        written = xml.serialise(element)
    except ET.ParseError as problem:
        raise InvalidPayload(f"The payload is not one well-formed XML element: {_reason(problem)}.") from None
    except xml.Excessive as problem:
        raise InvalidPayload(f"{problem}; flatten the payload.") from None
    if not xml.namespace(element):
        raise InvalidPayload(f"The element '{element.tag}' has no namespace; declare one with xmlns (XEP-0060 7.1).")
    size = len(written.encode())
    if size > BYTES_AT_MOST:
        raise _too_large(size)
    return written


def _parse(text: str, parser: ET.XMLParser[Any]) -> ET.Element:
    # No other thread has its turn while a piece is parsed.
    for start in range(0, len(text), _PIECE):
        parser.feed(text[start : start + _PIECE])
    element: ET.Element = parser.close()
    return element


def _too_large(size: int) -> InvalidPayload:
    return InvalidPayload(f"The payload has {size} bytes, and {BYTES_AT_MOST} is the most that services take.")


def _reason(problem: ET.ParseError) -> str:
    """The parser's words without its own way to write the place, and the place."""
    said = str(problem).rpartition(": line ")[0] or str(problem)
    line, column = problem.position
    return f"{said}, line {line}, column {column + 1}"

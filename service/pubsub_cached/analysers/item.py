"""An item on its way through a parser: what goes in, what the parser holds, what comes out."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from lxml.etree import _Element

from ..address import Address

# Characters that neither the bus nor every database takes, for a regular expression.
NO_TEXT = r"\x00\ud800-\udfff"
_NO_TEXT = re.compile(f"[{NO_TEXT}]")
# A hostile payload can't fill the record with complaints.
MOST_ERRORS = 20
LONGEST_ERROR = 500
LONGEST_VALUE = 60
# Of a type or subtype.
LONGEST_WORD = 128


class ItemContext(msgspec.Struct, frozen=True):
    """An item as it came; publisher is the service's word, "" when unknown.

    type, subtype: of its node, as the match decided; "" is what the definition says.
    """

    address: Address
    id: str
    payload: str
    namespace: str = ""
    publisher: str = ""
    type: str = ""
    subtype: str = ""


class Parsed(msgspec.Struct, frozen=True):
    """What is stored of an item.

    payload: XML, as it came unless something secret was taken out. data: the JSON object as text,
    None when there is none. type, subtype: "" when unknown. errors: what could not be read. deferred: an agent
    or a coroutine is yet to parse it, or a function did not end with it, so that what was made of it before stays.
    """

    payload: str
    data: str | None = None
    type: str = ""
    subtype: str = ""
    errors: tuple[str, ...] = ()
    deferred: bool = False


class Item:
    """An item in the hands of a parser, which may set ``type`` and ``subtype`` and adds to ``errors``.

    element: the payload. context: the item as it came. scrubbed: a secret was taken out of the element, and so of
    ``payload``.
    """

    __slots__ = ("context", "element", "errors", "payload", "scrubbed", "subtype", "type")

    def __init__(self, context: ItemContext, element: _Element, type: str, subtype: str) -> None:
        self.context = context
        self.element = element
        self.type = type
        self.subtype = subtype
        self.payload = context.payload
        self.scrubbed = False
        self.errors: list[str] = []

    def unreadable(self, what: str, value: str, kind: str) -> None:
        """Note a value that is no date, number or whatever it should be."""
        shown = value if len(value) <= LONGEST_VALUE else value[:LONGEST_VALUE] + "…"
        self.error(f"{what}: '{shown}' is no {kind}.")

    def strange(self, wanted: str) -> None:
        """Note that the element is none that the parser knows. wanted: what it reads, in a sentence."""
        name = self.element.tag.rpartition("}")[2]
        self.error(f"<{name}> of '{self.context.namespace}' is {wanted}.")

    def error(self, sentence: str) -> None:
        """Note what could not be read."""
        if len(self.errors) < MOST_ERRORS:
            self.errors.append(sentence)

    def parsed(self, data: str | None = None, *, deferred: bool = False) -> Parsed:
        """What is stored of it; a plugin may have set its words to anything."""
        type, subtype = _stored(self.type, LONGEST_WORD), _stored(self.subtype, LONGEST_WORD)
        errors = tuple(_stored(error, LONGEST_ERROR) for error in self.errors[:MOST_ERRORS]) if self.errors else ()
        return Parsed(self.payload, data, type, subtype, errors, deferred)


def _stored(word: object, most: int) -> str:
    text = word if isinstance(word, str) else "" if word is None else str(word)
    return readable(text[:most] if len(text) > most else text)


def readable(text: str) -> str:
    """A text as every database and the bus take it."""
    return text if text.isascii() and text.isprintable() else _NO_TEXT.sub("\ufffd", text)


# What a parser returns: the JSON object to store, or None when the item holds nothing that can be read.
Data = msgspec.Struct | Mapping[str, object] | None
Parser = Callable[[Item], Data]
# Run once the item is stored, and bounded as agents are: see ``cache.parsing.agents``.
CoroutineParser = Callable[[Item], Awaitable[Data]]

"""An item through its parser: what comes of it, whatever the parser does."""

from __future__ import annotations

import asyncio
import inspect
import logging
import traceback
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from .. import documents
from .definition import Definition
from .item import Item, Parsed

log = logging.getLogger(__name__)


class Unusable(Exception):
    """What a parser gave can't be stored; the reason is in words of ours, which quote no payload."""


class InHand(NamedTuple):
    """An item in the hands of its parser. deferred: that is not called before the item is stored."""

    definition: Definition | None
    item: Item
    deferred: bool


# In the hands of its parser, or what is stored of an item that nothing reads.
Begun = Parsed | InHand


def finish(begun: Begun) -> Parsed:
    """What is begun through its parser; never raises. What an agent or a coroutine parses is left to it."""
    if isinstance(begun, Parsed):
        return begun
    definition, item, deferred = begun
    if definition is None or definition.parser is None or deferred:
        return item.parsed(deferred=deferred)
    try:
        return item.parsed(_encoded(definition.parser(item)))
    except KeyboardInterrupt:
        raise
    # A library in Rust that panics, or a plugin that calls sys.exit, raises no Exception.
    except BaseException as error:
        return _failed(definition, item, error)


async def finish_deferred(begun: Begun, most: int) -> Parsed:
    """What is begun through a parser that is a coroutine; raises nothing but CancelledError.

    most: bytes that the document may have.
    """
    if isinstance(begun, Parsed):
        return begun
    definition, item, _ = begun
    if definition is None or definition.parser is None:
        return item.parsed()
    try:
        result = definition.parser(item)
        data = _encoded(await result if inspect.isawaitable(result) else result)
        if data is not None and len(data.encode()) > most:
            raise Unusable(f"a parser returns at most {most} bytes")
        return item.parsed(data)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise
    except BaseException as error:
        return _failed(definition, item, error)


def _failed(definition: Definition, item: Item, error: BaseException) -> Parsed:
    """An item whose parser failed, which concerns nothing but this item."""
    # The message may quote the payload, so the log gets neither it nor a traceback with it.
    stack = traceback.extract_tb(error.__traceback__)
    reason, at = type(error).__name__, f" in line {stack[-1].lineno} of {stack[-1].filename}"
    if isinstance(error, Unusable):
        reason, at = str(error).rstrip("."), ""
    id_, address = item.context.id, item.context.address
    log.warning(
        "the parser of analyser '%s' failed with the item '%s' of %s: %s%s", definition.name, id_, address, reason, at
    )
    log.debug("the calls that led there: %s", "".join(stack.format()))
    item.error(f"The parser of '{definition.name}' failed: {reason}.")
    return item.parsed()


def _encoded(result: object) -> str | None:
    if result is None:
        return None
    if inspect.iscoroutine(result):
        result.close()
        raise Unusable("a parser that gives a coroutine is declared with 'async def'")
    if not isinstance(result, (msgspec.Struct, Mapping)):
        raise Unusable(f"a parser returns a mapping or a struct, not {type(result).__name__}")
    try:
        return documents.stored(result)
    except (TypeError, OverflowError) as error:
        raise Unusable(str(error)) from None

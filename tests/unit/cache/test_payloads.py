"""Payloads that clients give: one well-formed element each."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.writing import payloads
from tests.support.callbacks import taking, watched

NODE = Address("alice@example.org", "pubsub.example.org", "blog")
# As many elements as there may be.
LARGE = f"<x xmlns='urn:x'>{'<y/>' * ((payloads.BYTES_AT_MOST - 100) // 4)}</x>"
SMALL = "<x xmlns='urn:x'/>"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("words", "line 1, column 1"),
        ("<a xmlns='urn:a'>", "line 1"),
        ("<a xmlns='urn:a'/><b/>", "junk after document element, line 1, column 19"),
        ("<a xmlns='urn:a'>\n  <b></a>", "mismatched tag, line 2, column 8"),
        ("<a xmlns='urn:a'>\x01</a>", "line 1, column 18"),
        ("<a:b/>", "unbound prefix"),
        ("<a/>", "no namespace"),
        ("<!DOCTYPE a [<!ENTITY e 'x'>]><a xmlns='urn:a'>&e;</a>", "document type"),
        ("<a xmlns='urn:a'>&e;</a>", "undefined entity"),
        ("<a xmlns='urn:a'>" * 200 + "</a>" * 200, "deeper than 128"),
        (f"<a xmlns='urn:a' xmlns:q='urn:{'q' * 2_000}'>{'<q:b/>' * 1_000}</a>", "namespaces"),
        (f"<a xmlns='urn:a'>{'x' * payloads.BYTES_AT_MOST}</a>", "bytes"),
        # Not even read to its end.
        ("<a>" * 500_000, "has 1500000 bytes, and 258048 is the most"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_what_is_not_one_element_is_refused_and_says_why(text: str, said: str) -> None:
    with pytest.raises(errors.InvalidPayload, match=said):
        payloads.check(text)


def test_attributes_of_namespaces_stay_and_declarations_go() -> None:
    given = "<?xml version='1.0'?>\n<!-- x --><q:a xmlns:q='urn:q' q:b='1' c='2'><?pi x?><d/></q:a>"
    assert payloads.check(given) == '<a xmlns="urn:q" c="2" xmlns:ns1="urn:q" ns1:b="1"><d xmlns=""/></a>'


@pytest.mark.parametrize("text", [LARGE, LARGE * 4], ids=["accepted", "refused"])
async def test_others_are_answered_while_a_large_one_is_looked_at(text: str) -> None:
    checks = payloads.Checks()
    alone = taking(partial(payloads.check, LARGE))
    with watched() as found:
        await asyncio.gather(asyncio.create_task(checks.check(NODE, text)), return_exceptions=True)
    assert found.total < alone / 4, str(found)


async def test_large_ones_of_many_nodes_are_looked_at_one_after_the_other() -> None:
    """The interpreter runs one thread at a time, and who answers the others had to wait for all of them."""
    checks = payloads.Checks()
    waiting = {asyncio.create_task(checks.check(NODE._replace(node=str(number)), LARGE)) for number in range(4)}
    at_once: set[int] = set()
    while waiting:
        _, waiting = await asyncio.wait(waiting, timeout=0.001)
        at_once.add(sum(thread.name == "payload" for thread in threading.enumerate()))
    assert max(at_once) == 1


async def test_what_is_asked_of_a_node_after_a_large_one_stays_after_it() -> None:
    checks, order = payloads.Checks(), list[str]()

    async def check(what: str, node: str, text: str) -> None:
        await checks.check(NODE._replace(node=node), text)
        order.append(what)

    async def remove() -> None:
        await checks.checked(NODE)
        order.append("removed")

    blog = NODE.node
    await asyncio.gather(check("large", blog, LARGE), check("small", blog, SMALL), remove(), check("else", "", SMALL))
    assert order == ["else", "large", "small", "removed"]

"""Payloads that clients give: one well-formed element each."""

from __future__ import annotations

import pytest

from pubsub_cached import errors
from pubsub_cached.cache.writing import payloads


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

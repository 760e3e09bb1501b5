"""Capabilities: what the hash in the presence stands for."""

from __future__ import annotations

import base64
import hashlib

from pubsub_cached.xmpp.caps import CAPS, INFO, NODE, REMEMBERED, Capabilities


def announced(capabilities: Capabilities) -> str:
    (caps,) = [each for each in capabilities.presence() if each.tag == CAPS + "c"]
    return caps.get("ver", "")


def test_the_hash_is_that_of_the_answer() -> None:
    capabilities = Capabilities()
    capabilities.announce(frozenset({"urn:b", "urn:a"}))
    answer = capabilities.answer(f"{NODE}#{announced(capabilities)}")
    assert answer is not None
    (identity,) = answer.iter(INFO + "identity")
    features = sorted(each.get("var", "").encode() for each in answer.iter(INFO + "feature"))
    # XEP-0115 5.1, steps 1 to 9
    text = f"{identity.get('category')}/{identity.get('type')}//{identity.get('name')}<".encode()
    text += b"".join(feature + b"<" for feature in features)
    assert announced(capabilities) == base64.b64encode(hashlib.sha1(text).digest()).decode()
    assert {b"urn:a+notify", b"urn:b+notify"} <= set(features)


def test_dropped_interests_are_announced_no_more() -> None:
    capabilities = Capabilities()
    capabilities.announce(frozenset({"urn:a"}))
    before = announced(capabilities)
    capabilities.announce(frozenset())
    assert announced(capabilities) != before
    answer = capabilities.answer("")
    assert answer is not None
    assert not any(each.get("var", "").endswith("+notify") for each in answer.iter(INFO + "feature"))


def test_an_earlier_hash_is_still_answered() -> None:
    capabilities = Capabilities()
    capabilities.announce(frozenset({"urn:a"}))
    before = announced(capabilities)
    capabilities.announce(frozenset({"urn:b"}))
    answer = capabilities.answer(f"{NODE}#{before}")
    assert answer is not None
    assert [each.get("var") for each in answer.iter(INFO + "feature")][-1] == "urn:a+notify"


def test_unknown_nodes_are_not_answered() -> None:
    capabilities = Capabilities()
    assert capabilities.answer("urn:other") is None
    assert capabilities.answer(f"{NODE}#unknown") is None


def test_old_hashes_are_forgotten() -> None:
    capabilities = Capabilities()
    capabilities.announce(frozenset({"urn:first"}))
    first = announced(capabilities)
    for number in range(REMEMBERED):
        capabilities.announce(frozenset({f"urn:{number}"}))
    assert capabilities.answer(f"{NODE}#{first}") is None


def test_the_priority_is_zero() -> None:
    # A negative one loses every event sent to the bare JID.
    (priority,) = [each.text for each in Capabilities().presence() if each.tag.endswith("priority")]
    assert priority == "0"

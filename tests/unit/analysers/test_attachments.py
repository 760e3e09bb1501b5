"""Attachments, their summaries, and encrypted items (XEP-0470, 0471, 0475, 0476, 0473, 0477)."""

from __future__ import annotations

import pytest

from pubsub_cached.address import Address

from .reading import match, read

JULIET = "juliet@capulet.lit"
ROMEO = "romeo@montague.lit"
BLOG = "urn:xmpp:microblog:0"
NAMESPACE = "urn:xmpp:pubsub-attachments:1"
SUMMARY = "urn:xmpp:pubsub-attachments:summary:1"
BALCONY = "balcony-restoration-afd1"
TARGET = f"xmpp:{JULIET}?;node=urn%3Axmpp%3Amicroblog%3A0;item={BALCONY}"
NODE = f"{NAMESPACE}/{TARGET}"
TIME = "2022-07-11T12:07:24Z"


def attached(children, *, declared=f"xmlns='{NAMESPACE}'", id=ROMEO, publisher=ROMEO, node=NODE):
    return read(node, f"<attachments {declared}>{children}</attachments>", id=id, publisher=publisher)


# The examples leave the namespace out, so the payload has that of the stanza it came in.
@pytest.mark.parametrize(
    "declared",
    [
        f"xmlns='{NAMESPACE}'",
        "",
        "xmlns='http://jabber.org/protocol/pubsub'",
        "xmlns='http://jabber.org/protocol/pubsub#event'",
    ],
)
def test_0470_1_and_2_somebody_noticed_and_reacted(declared):
    noticed = attached(f"<noticed timestamp='{TIME}'/>", declared=declared)
    assert noticed.kind == ("attachments", "item")
    assert noticed.matched.definition.demand
    assert noticed.data == {
        "target": TARGET,
        "target_parts": {"service": JULIET, "node": BLOG, "item": BALCONY},
        "noticed": {"timestamp": TIME},
        "publisher_ok": True,
    }
    reacted = attached(
        f"<noticed timestamp='{TIME}'/><reactions timestamp='2022-07-11T12:07:48Z'>"
        "<reaction>👷</reaction><reaction>🔨</reaction></reactions>",
        declared=declared,
    )
    assert reacted.data["reactions"] == {"timestamp": "2022-07-11T12:07:48Z", "values": ["👷", "🔨"]}
    assert reacted.data["noticed"] == {"timestamp": TIME}


def test_the_target_is_written_like_the_records_uri():
    odd = f"{NAMESPACE}/xmpp:Juliet@Capulet.lit?;item={BALCONY};node=urn:xmpp:microblog:0"
    target = attached("<noticed/>", node=odd).data["target"]
    assert target == Address("a@b", JULIET, BLOG).uri(BALCONY) == TARGET


def test_a_node_that_names_no_item():
    lost = attached("<noticed/>", node=f"{NAMESPACE}/nowhere")
    assert lost.data["noticed"] == {}
    assert "target" not in lost.data
    assert lost.parsed.errors == ("node: 'nowhere' is no URI of an item.",)


@pytest.mark.parametrize(
    ("id", "publisher", "ok"),
    [(ROMEO, f"{ROMEO}/pda", True), (ROMEO, JULIET, False), ("no jid@@", ROMEO, False), (ROMEO, "", None)],
)
def test_the_publisher_is_the_services_word(id, publisher, ok):
    assert attached("<noticed/>", id=id, publisher=publisher).data.get("publisher_ok") is ok


def test_a_reaction_counts_once_and_empty_ones_do_not():
    data = attached("<reactions><reaction>👷</reaction><reaction> 👷 </reaction><reaction/></reactions>").data
    assert data["reactions"] == {"values": ["👷"]}
    assert attached("<reactions/>").data["reactions"] == {"values": []}


def test_an_answer_to_an_invitation():
    answer = (
        "<rsvp xmlns='urn:xmpp:calendar-events:0'><x xmlns='jabber:x:data' type='submit'>"
        "<field var='FORM_TYPE'><value>urn:xmpp:calendar-events:rsvp:0</value></field>"
        "<field var='attending'><value>yes</value></field><field var='participants_number'><value>{}</value></field>"
        "<field var='{{https://example.org/}}restrictions'><value>no</value></field></x></rsvp>"
    )
    assert attached(answer.format("2")).data["rsvp"] == {
        "attending": "yes",
        "participants_number": 2,
        "fields": {"{https://example.org/}restrictions": ["no"]},
    }
    some = attached(answer.format("some"))
    assert "participants_number" not in some.data["rsvp"]
    assert some.parsed.errors == ("field 'participants_number': 'some' is no whole number.",)
    silent = attached("<rsvp xmlns='urn:xmpp:calendar-events:0'/>")
    assert "rsvp" not in silent.data
    assert len(silent.parsed.errors) == 1


def test_0476_1_a_signature():
    signature = (
        "<signature xmlns='urn:xmpp:pubsub-signing:0'><time stamp='2022-10-16T18:39:03Z'/>"
        f"<signer>{JULIET}</signer><sign xmlns='urn:xmpp:pubsub-signing:openpgp:0'>iQGzBAAB</sign></signature>"
    )
    node = f"{NAMESPACE}/xmpp:{JULIET}?;node=urn%3Axmpp%3Amicroblog%3A0;item=random-thoughts-12bd"
    signed = attached(signature, node=node, id=JULIET, publisher=JULIET)
    assert signed.data["signatures"] == [{"signers": [JULIET], "time": "2022-10-16T18:39:03Z"}]


def test_attachments_that_nobody_knows_are_named():
    data = attached("<wave xmlns='urn:other'/><wave xmlns='urn:other'/><bow/>").data
    assert data["unknown"] == ["{urn:other}wave", f"{{{NAMESPACE}}}bow"]


def summarised(children, node=f"{SUMMARY}/{BLOG}", id=BALCONY):
    return read(node, f"<summary xmlns='{SUMMARY}'>{children}</summary>", id=id)


def test_0470_4_a_summary():
    summary = summarised(
        "<noticed count='5'/><reactions><reaction count='2'>👷</reaction><reaction>🔨</reaction></reactions>"
    )
    assert summary.kind == ("attachments", "summary")
    assert summary.data == {
        "target": TARGET,
        "target_parts": {"service": JULIET, "node": BLOG, "item": BALCONY},
        "noticed": {"count": 5},
        "reactions": [{"value": "👷", "count": 2}, {"value": "🔨", "count": 1}],
    }


def test_0470_5_noticed_alone():
    assert summarised("<noticed count='25'/>").data["noticed"] == {"count": 25}


def test_0470_6_reactions_alone():
    data = summarised("<reactions><reaction count='22'>💃</reaction><reaction>🎉</reaction></reactions>").data
    assert data["reactions"] == [{"value": "💃", "count": 22}, {"value": "🎉", "count": 1}]
    assert "noticed" not in data


def test_a_summary_of_attendees_and_signers():
    data = summarised(
        "<attendees xmlns='urn:xmpp:calendar-events:0' confirmed='5' max='7'/>"
        f"<signature xmlns='urn:xmpp:pubsub-signing:0'><signer>{JULIET}</signer><signer>{ROMEO}</signer></signature>"
    ).data
    assert data["attendees"] == {"confirmed": 5, "max": 7}
    assert data["signers"] == [JULIET, ROMEO]


def test_bad_counts_are_named():
    summary = summarised("<noticed count='many'/><reactions><reaction count='-1'>👷</reaction></reactions>")
    assert summary.data["noticed"] == {}
    assert "reactions" not in summary.data
    assert [error.split(":")[0] for error in summary.parsed.errors] == ["<noticed count>", "<reaction count>"]


OPENPGP = "<encrypted xmlns='urn:xmpp:openpgp:pubsub:0' key='1234-abcd-5678-efgh'>c2VjcmV0</encrypted>"
TARGETED = (
    f"<encrypted xmlns='urn:xmpp:pte:0' by='{JULIET}' type='urn:xmpp:omemo:2'>"
    "<encrypted xmlns='urn:xmpp:omemo:2'><payload>c2VjcmV0</payload></encrypted></encrypted>"
)


def test_0473_1_an_item_locked_with_a_shared_secret():
    item = read("123abc", OPENPGP, service="pubsub.capulet.lit")
    assert item.kind == ("encrypted", "openpgp-pubsub")
    assert item.data == {"scheme": "openpgp-pubsub", "key": "1234-abcd-5678-efgh"}
    assert not item.matched.to_sync


def test_who_locked_an_item_may_be_unsaid():
    item = read("123abc", "<encrypted xmlns='urn:xmpp:pte:0' type='urn:xmpp:omemo:2'/>", service="pubsub.capulet.lit")
    assert item.data == {"scheme": "pte", "algorithm": "urn:xmpp:omemo:2"}
    assert item.parsed.errors == ()


def test_0477_1_an_item_locked_for_some_on_a_blog():
    item = read(BLOG, TARGETED)
    assert item.matched.definition.name == "blog"
    assert item.matched.to_sync
    assert item.kind == ("encrypted", "pte")
    assert item.data == {"scheme": "pte", "by": JULIET, "algorithm": "urn:xmpp:omemo:2"}
    # The node is what it was for its other items.
    assert match(BLOG, namespace="urn:xmpp:pte:0").subtype == "microblog"

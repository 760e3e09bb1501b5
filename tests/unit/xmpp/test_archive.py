"""Archives of nodes: what answers a query, and what only looks as if it did."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import pytest

from pubsub_cached.errors import StanzaError
from pubsub_cached.xmpp import archive
from pubsub_cached.xmpp.port import ArchivePage, Item, Rsm

SERVICE = "pubsub.example.org"
EVENT = "http://jabber.org/protocol/pubsub#event"
ITEM = "<item id='{0}' publisher='bob@example.org/x'><x xmlns='urn:x'>{0}</x></item>"
FIN = (
    "<iq xmlns='jabber:client' type='result'><fin xmlns='urn:xmpp:mam:2'{}><set xmlns='http://jabber.org/protocol/rsm'>"
    "<first index='3'>a</first><last>b</last>{}</set></fin></iq>"
)
COMPLETE = FIN.format(" complete='true'", "<count>5</count>")


def result(
    query: str, id_: str, items: str | None = None, *, node: str = "blog", sender: str = SERVICE, kind: str = "normal"
) -> ET.Element:
    """A message as Libervia sends it: its result names the item, and the archived message has no sender."""
    return ET.fromstring(
        f"<message xmlns='jabber:client' from='{sender}' type='{kind}'>"
        f"<result xmlns='urn:xmpp:mam:2' queryid='{query}' id='{id_}'><forwarded xmlns='urn:xmpp:forward:0'>"
        "<delay xmlns='urn:xmpp:delay' stamp='2026-11-01T00:00:00Z'/>"
        f"<message xmlns='jabber:client'><event xmlns='{EVENT}'><items node='{node}'>"
        f"{ITEM.format(id_) if items is None else items}</items></event></message></forwarded></result></message>"
    )


def answered(messages: Sequence[ET.Element], fin: str = COMPLETE, most: int = 2) -> ArchivePage:
    """What a query named q is answered with."""
    queries = archive.Queries()
    with queries.query(SERVICE, "blog", Rsm(max=most, after="x"), "blog") as query:
        # A copy: a test may run more than once.
        for message in map(copy.deepcopy, messages):
            for each in message.iterfind(f"{{{archive.MAM}}}result"):
                if each.get("queryid") == "q":
                    each.set("queryid", query.id)
            queries.message(message)
        return query.end(ET.fromstring(fin))


def test_a_page_is_what_came_in_order() -> None:
    assert answered([result("q", "a"), result("q", "b")]) == ArchivePage(
        ids=("a", "b"),
        items=tuple(Item(id_, f'<x xmlns="urn:x">{id_}</x>', "urn:x", "bob@example.org/x") for id_ in "ab"),
        complete=True,
        count=5,
    )


def test_the_service_may_be_written_otherwise_and_the_item_as_it_was_published() -> None:
    """The item of a request is in another namespace than that of an event."""
    item = "<item xmlns='http://jabber.org/protocol/pubsub' id='a'/>"
    assert answered([result("q", "a", item, sender="PubSub.Example.ORG")]).items == (Item("a"),)


def test_a_page_says_whether_something_follows_and_how_much_there_is() -> None:
    assert answered([], FIN.format("", "")) == ArchivePage()
    assert answered([], FIN.format(" complete='false'", "<count>many</count>")) == ArchivePage()
    assert answered([], FIN.format(" complete='false'", f"<count>{'9' * 5000}</count>")) == ArchivePage()
    assert answered([], FIN.format(" complete='1'", "<count>0</count>")) == ArchivePage(complete=True, count=0)
    assert answered([], "<iq xmlns='jabber:client' type='result'><fin xmlns='urn:xmpp:mam:2'/></iq>") == ArchivePage()


@pytest.mark.parametrize(
    "message",
    [
        result("other", "forged"),
        result("", "forged"),
        result("q", "forged", sender="pubsub.evil.example"),
        result("q", "forged", sender=f"{SERVICE}/x"),
        result("q", "forged", sender="@"),
        result("q", "forged", kind="error"),
    ],
    ids=["another query", "no query", "another sender", "a resource", "no JID", "a bounce"],
)
def test_what_nobody_asked_for_is_left_out(message: ET.Element) -> None:
    assert answered([result("q", "a"), message, result("q", "b")]).ids == ("a", "b")


@pytest.mark.parametrize(
    "message",
    [
        result("q", "b", node="other"),
        result("q", "b", ""),
        result("q", "b", "<retract id='b'/>"),
        result("q", "b", "<item><x xmlns='urn:x'/></item>"),
        result("q", "b", ITEM.format("b") + ITEM.format("c")),
        ET.fromstring(
            "<message xmlns='jabber:client' from='pubsub.example.org'><result xmlns='urn:xmpp:mam:2' queryid='q'>"
            "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>hello</body></message>"
            "</forwarded></result></message>"
        ),
        ET.fromstring(
            "<message xmlns='jabber:client' from='pubsub.example.org'><result xmlns='urn:xmpp:mam:2' queryid='q'/>"
            "</message>"
        ),
    ],
    ids=["another node", "nothing", "a retraction", "no id", "two items", "chat", "no message"],
)
def test_a_result_that_is_no_item_of_the_node_spoils_the_page(message: ET.Element) -> None:
    with pytest.raises(StanzaError, match="no item of the node"):
        answered([result("q", "a"), message])


def test_more_than_was_asked_for_spoils_the_page() -> None:
    with pytest.raises(StanzaError, match="more than the 2 results"):
        answered([result("q", id_) for id_ in "abc"])


def test_a_reply_without_an_end_is_none() -> None:
    with pytest.raises(StanzaError, match="no end"):
        answered([], "<iq xmlns='jabber:client' type='result'/>")


def test_a_query_that_is_over_takes_nothing() -> None:
    queries = archive.Queries()
    with queries.query(SERVICE, "blog", Rsm(max=2), "blog") as query:
        pass
    queries.message(result(query.id, "late"))
    assert query.end(ET.fromstring(COMPLETE)).ids == ()


def test_a_query_names_the_node_and_where_to_go_on() -> None:
    asked = archive.request("q", "blog", Rsm(max=20, after="a"))
    assert ET.tostring(asked) == ET.tostring(
        ET.fromstring(
            "<query xmlns='urn:xmpp:mam:2' queryid='q' node='blog'><set xmlns='http://jabber.org/protocol/rsm'>"
            "<max>20</max><after>a</after></set></query>"
        )
    )

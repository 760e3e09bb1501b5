"""Replies of services: what they say, and whether they answer what was asked."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from pubsub_cached.errors import StanzaError
from pubsub_cached.xmpp import stanzas
from pubsub_cached.xmpp.port import DiscoInfo, DiscoItem, Item, ItemsPage, Rsm, Subscription

PUBSUB = "http://jabber.org/protocol/pubsub"


def iq(content: str, kind: str = "result") -> ET.Element:
    return ET.fromstring(f"<iq xmlns='jabber:client' type='{kind}' id='1'>{content}</iq>")


def pubsub(content: str) -> ET.Element:
    return iq(f"<pubsub xmlns='{PUBSUB}'>{content}</pubsub>")


class TestItems:
    async def test_keep_the_services_order(self) -> None:
        reply = pubsub("<items node='n'><item id='b'><x xmlns='urn:x'/></item><item id='a' publisher='p@x'/></items>")
        assert await stanzas.read_items(reply, "it", "n", ()) == ItemsPage(
            (Item("b", '<x xmlns="urn:x"/>', "urn:x"), Item("a", publisher="p@x"))
        )

    async def test_a_page_says_where_it_is(self) -> None:
        page = "<first index='3'>f</first><last>l</last><count>9</count>"
        reply = pubsub(f"<items node='n'/><set xmlns='http://jabber.org/protocol/rsm'>{page}</set>")
        assert await stanzas.read_items(reply, "it", "n", ()) == ItemsPage((), True, 9, "f", "l")

    @pytest.mark.parametrize(
        "count",
        ["-1", "many", "", "9" * 20, "9" * 5000],
        ids=["negative", "a word", "nothing", "too large", "too long"],
    )
    async def test_a_page_may_say_nothing_or_nonsense(self, count: str) -> None:
        page = f"<set xmlns='http://jabber.org/protocol/rsm'><count>{count}</count></set>"
        reply = pubsub(f"<items node='n'/>{page}")
        assert await stanzas.read_items(reply, "it", "n", ()) == ItemsPage((), True, None, None, None)

    async def test_items_that_were_not_asked_for_are_left_out(self) -> None:
        reply = pubsub("<items node='n'><item id='a'/><item id='b'/></items>")
        page = await stanzas.read_items(reply, "it", "n", ("b", "c"))
        assert [item.id for item in page.items] == ["b"]

    @pytest.mark.parametrize(
        "reply",
        [pubsub("<items node='other'/>"), iq(""), pubsub(""), pubsub("<set xmlns='http://jabber.org/protocol/rsm'/>")],
        ids=["another node", "nothing", "no items", "a page without items"],
    )
    async def test_a_reply_about_something_else_is_an_error(self, reply: ET.Element) -> None:
        with pytest.raises(StanzaError, match="undefined-condition"):
            await stanzas.read_items(reply, "it", "n", ())

    def test_a_request_says_what_is_wanted(self) -> None:
        request = stanzas.items_request("n", 5, ("a", "b"), Rsm(10, before=""))
        assert request.find(f"{{{PUBSUB}}}items[@node='n'][@max_items='5']") is not None
        assert [each.get("id") for each in request.iter(f"{{{PUBSUB}}}item")] == ["a", "b"]
        page = request.find(stanzas.RSM + "set")
        assert page is not None
        assert page.findtext(stanzas.RSM + "max") == "10"
        assert page.findtext(stanzas.RSM + "before") == ""
        assert page.find(stanzas.RSM + "after") is None

    def test_a_request_for_everything_says_no_more_than_the_node(self) -> None:
        (items,) = stanzas.items_request("n", None, (), None)
        assert (items.attrib, len(items)) == ({"node": "n"}, 0)


class TestDisco:
    INFO = "http://jabber.org/protocol/disco#info"

    def test_info_holds_the_metadata_and_no_other_form(self) -> None:
        form = (
            "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>{}</value></field>"
            "<field var='{}'><value>a</value><value/></field></x>"
        )
        reply = iq(
            f"<query xmlns='{self.INFO}' node='n'><identity category='pubsub' type='leaf'/><feature var='f'/><feature/>"
            + form.format(PUBSUB + "#meta-data", "pubsub#owner")
            + form.format("urn:other", "other")
            + "</query>"
        )
        assert stanzas.read_disco_info(reply, "it", "n") == DiscoInfo(
            (("pubsub", "leaf"),), frozenset({"f"}), {"pubsub#owner": ["a", ""]}
        )

    def test_info_about_another_node_is_an_error(self) -> None:
        with pytest.raises(StanzaError):
            stanzas.read_disco_info(iq(f"<query xmlns='{self.INFO}' node='other'/>"), "it", "n")

    def test_items_say_where_to_go_on(self) -> None:
        items = "<query xmlns='http://jabber.org/protocol/disco#items'><item jid='X.y' node='n' name='t'/>{}</query>"
        page = "<set xmlns='http://jabber.org/protocol/rsm'><last>l</last></set>"
        assert stanzas.read_disco_items(iq(items.format("")), "it", "") == ((DiscoItem("x.y", "n", "t"),), None)
        assert stanzas.read_disco_items(iq(items.format(page)), "it", "")[1] == "l"

    def test_items_of_another_node_are_an_error(self) -> None:
        reply = iq("<query xmlns='http://jabber.org/protocol/disco#items' node='other'/>")
        with pytest.raises(StanzaError, match="about node 'other'"):
            stanzas.read_disco_items(reply, "it", "n")


class TestSubscriptions:
    def test_those_of_others_are_left_out(self) -> None:
        reply = pubsub(
            "<subscriptions><subscription node='n' jid='a@x/r' subscription='subscribed' subid='s'/>"
            "<subscription node='n' jid='b@x' subscription='subscribed'/>"
            "<subscription node='m' jid='a@x' subscription='pending'/>"
            "<subscription node='m' jid='a@x' subscription='strange'/></subscriptions>"
        )
        assert stanzas.read_subscriptions(reply, "", "a@x") == (
            Subscription("n", "a@x/r", "subscribed", "s"),
            Subscription("m", "a@x", "pending"),
        )
        assert stanzas.read_subscriptions(reply, "m", "a@x") == (Subscription("m", "a@x", "pending"),)

    def test_a_request_for_one_node_may_be_answered_without_its_name(self) -> None:
        reply = pubsub("<subscriptions node='n'><subscription jid='a@x' subscription='subscribed'/></subscriptions>")
        assert stanzas.read_subscriptions(reply, "n", "a@x") == (Subscription("n", "a@x", "subscribed"),)

    def test_subscribing_may_be_answered_with_nothing(self) -> None:
        assert stanzas.read_subscription(iq(""), "it", "n", "a@x") == Subscription("n", "a@x", "subscribed")

    def test_subscribing_may_wait_for_approval(self) -> None:
        reply = pubsub("<subscription node='n' jid='a@x' subscription='pending'/>")
        assert stanzas.read_subscription(reply, "it", "n", "a@x").state == "pending"

    def test_one_that_does_not_say_whose_it_is_is_what_it_says(self) -> None:
        element = "<subscription node='n' subscription='pending'/>"
        found = Subscription("n", "a@x", "pending")
        assert stanzas.read_subscription(pubsub(element), "it", "n", "a@x") == found
        assert stanzas.read_subscriptions(pubsub(f"<subscriptions>{element}</subscriptions>"), "", "a@x") == (found,)

    @pytest.mark.parametrize("jid", ["", "@", "a@x/r"])
    def test_the_answer_to_a_request_is_about_who_asked_whatever_it_names(self, jid: str) -> None:
        reply = pubsub(f"<subscription node='n' jid='{jid}' subscription='pending' subid='s'/>")
        assert stanzas.read_subscription(reply, "it", "n", "a@x") == Subscription("n", "a@x", "pending", "s")

    def test_subscribing_to_another_node_is_an_error(self) -> None:
        reply = pubsub("<subscription node='other' jid='a@x' subscription='subscribed'/>")
        with pytest.raises(StanzaError, match="about node 'other'"):
            stanzas.read_subscription(reply, "it", "n", "a@x")

    def test_a_request_names_node_and_account(self) -> None:
        (request,) = stanzas.subscribe_request("n", "a@x")
        assert (request.tag, request.attrib) == (f"{{{PUBSUB}}}subscribe", {"node": "n", "jid": "a@x"})


class TestErrors:
    def test_name_condition_text_and_subject(self) -> None:
        error = (
            "<error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
            "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>No.</text>"
            f"<closed-node xmlns='{PUBSUB}#errors'/></error>"
        )
        read = stanzas.read_error(iq(error, "error"), "'n' at x")
        assert (read.condition, read.text, read.pubsub_condition) == ("not-allowed", "No.", "closed-node")
        assert read.name == "im.pubsubcache1.Error.PubSub.ClosedNode"
        assert "'n' at x" in read.message

    def test_what_is_gone_says_where_it_went(self) -> None:
        error = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:x?;node=new</gone></error>"
        read = stanzas.read_error(iq(error, "error"), "'n' at x")
        assert (read.condition, read.text) == ("gone", "xmpp:x?;node=new")

    def test_an_error_may_say_nothing(self) -> None:
        assert stanzas.read_error(iq("", "error"), "it").condition == "undefined-condition"

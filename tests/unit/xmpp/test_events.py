"""What is let in, and what it says: messages as they come, as text."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from pubsub_cached.xmpp import events
from pubsub_cached.xmpp.port import (
    BounceEvent,
    ConfigurationEvent,
    DeleteEvent,
    Event,
    Item,
    ItemsEvent,
    PurgeEvent,
    SubscriptionEvent,
)

ACCOUNT = "alice@example.org"
CONTACT = "bob@example.org"
SERVICE = "pubsub.example.org"
NS = "http://jabber.org/protocol/pubsub#event"

ITEMS = f"<event xmlns='{NS}'><items node='blog'><item id='1'><x xmlns='urn:x'/></item></items></event>"
DELAY = "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"
URI = "xmpp:other.example.org?;node=blog"
ONE = Item("1", '<x xmlns="urn:x"/>', "urn:x")


def read(xml: str) -> tuple[Event, ...]:
    gate = events.Gate(ACCOUNT, lambda: frozenset({CONTACT}), lambda service: service == SERVICE)
    return events.read(ET.fromstring(xml), gate)


def message(content: str, sender: str = SERVICE, attributes: str = "") -> str:
    written = f"from='{sender}'" if sender else ""
    return f"<message xmlns='jabber:client' to='{ACCOUNT}' {written} {attributes}>{content}</message>"


def event(content: str) -> str:
    return message(f"<event xmlns='{NS}'>{content}</event>")


class TestLettingIn:
    @pytest.mark.parametrize("sender", [SERVICE, ACCOUNT, CONTACT])
    @pytest.mark.parametrize("attributes", ["", "type='headline'", "type='normal'", "type='chat'"])
    def test_a_solicited_service_is_heard(self, sender: str, attributes: str) -> None:
        assert read(message(ITEMS, sender, attributes)) == (ItemsEvent(service=sender, node="blog", items=(ONE,)),)

    def test_a_message_without_sender_is_the_accounts_own(self) -> None:
        assert [each.service for each in read(message(ITEMS, ""))] == [ACCOUNT]

    def test_the_sender_is_normalised(self) -> None:
        assert [each.service for each in read(message(ITEMS, "PubSub.Example.org"))] == [SERVICE]

    @pytest.mark.parametrize(
        "sender",
        [
            "mallory@example.org",
            "pubsub.example.com",
            "x.pubsub.example.org",
            f"mallory@{SERVICE}",
            # A resource of a contact or of the account is not its service.
            f"{CONTACT}/phone",
            f"{ACCOUNT}/phone",
            f"{SERVICE}/x",
            "@",
        ],
    )
    def test_others_are_not_heard(self, sender: str) -> None:
        assert read(message(ITEMS, sender)) == ()
        assert read(message(ITEMS, sender, "type='error'")) == ()

    def test_carbons_are_not_looked_into(self) -> None:
        inner = message(ITEMS, SERVICE)
        for direction in ("received", "sent"):
            carbon = (
                f"<{direction} xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded>"
                f"</{direction}>"
            )
            assert read(message(carbon, ACCOUNT)) == ()

    def test_forwarded_messages_are_not_looked_into(self) -> None:
        forwarded = f"<forwarded xmlns='urn:xmpp:forward:0'>{message(ITEMS, SERVICE)}</forwarded>"
        assert read(message(forwarded, SERVICE)) == ()
        result = f"<result xmlns='urn:xmpp:mam:2' id='1'>{forwarded}</result>"
        assert read(message(result, ACCOUNT)) == ()

    def test_rooms_are_not_heard(self) -> None:
        assert read(message(ITEMS, SERVICE, "type='groupchat'")) == ()
        assert read(message(ITEMS, f"{SERVICE}/nick", "type='groupchat'")) == ()

    def test_an_event_in_another_namespace_is_none(self) -> None:
        assert read(message(ITEMS.replace(NS, "urn:other"))) == ()

    def test_chat_is_no_event(self) -> None:
        assert read(message("<body>hello</body>", CONTACT, "type='chat'")) == ()


class TestItems:
    def test_several_items_come_in_order(self) -> None:
        xml = event(
            "<items node='blog'><item id='1'><x xmlns='urn:x'/></item><item id='2'><y xmlns='urn:y'/></item>"
            "<retract id='3'/><retract id='4'/></items>"
        )
        (told,) = read(xml.replace("<message", "<message xml:lang='de'"))
        assert told == ItemsEvent(
            service=SERVICE,
            node="blog",
            items=(ONE, Item("2", '<y xmlns="urn:y"/>', "urn:y")),
            retracted=("3", "4"),
        )

    def test_several_parts_come_in_order(self) -> None:
        told = read(event("<purge node='a'/><items node='b'><item id='1'><x xmlns='urn:x'/></item></items>"))
        assert told == (PurgeEvent(service=SERVICE, node="a"), ItemsEvent(service=SERVICE, node="b", items=(ONE,)))

    def test_an_item_without_payload_has_none(self) -> None:
        assert read(event("<items node='blog'><item id='1'/></items>")) == (
            ItemsEvent(service=SERVICE, node="blog", items=(Item("1"),)),
        )

    def test_an_item_without_id_has_none(self) -> None:
        assert read(event("<items node='n'><item><x xmlns='urn:x'/></item></items>")) == (
            ItemsEvent(service=SERVICE, node="n", items=(Item("", '<x xmlns="urn:x"/>', "urn:x"),)),
        )

    def test_ids_that_a_service_joined_stay_joined(self) -> None:
        (told,) = read(event("<items node='blog'><retract id='i1i2i3'/></items>"))
        assert isinstance(told, ItemsEvent)
        assert told.retracted == ("i1i2i3",)

    @pytest.mark.parametrize(
        ("children", "gone"),
        [
            pytest.param("<retract id='i'/><retract id='j'/><item id='i'/>", ("j",), id="published again"),
            pytest.param("<item id='i'/><retract id='i'/>", ("i",), id="retracted"),
            pytest.param("<retract id='i'/><item id='i'/><retract id='i'/>", ("i",), id="retracted again"),
        ],
    )
    def test_what_comes_last_of_an_id_is_what_became_of_it(self, children: str, gone: tuple[str, ...]) -> None:
        (told,) = read(event(f"<items node='blog'>{children}</items>"))
        assert isinstance(told, ItemsEvent)
        assert ([item.id for item in told.items], told.retracted) == (["i"], gone)

    def test_a_retraction_without_id_says_nothing(self) -> None:
        assert read(event("<items node='blog'><retract/></items>")) == (ItemsEvent(service=SERVICE, node="blog"),)

    def test_items_without_node_say_nothing(self) -> None:
        assert read(event("<items><item id='1'/></items>")) == ()

    def test_items_without_children_say_that_something_was_there(self) -> None:
        assert read(event("<items node='blog'/>")) == (ItemsEvent(service=SERVICE, node="blog"),)

    def test_the_publisher_is_the_services_word(self) -> None:
        inside = "<x xmlns='urn:x' publisher='mallory@example.org'/>"
        (told,) = read(event(f"<items node='blog'><item id='1' publisher='Bob@Example.org/x'>{inside}</item></items>"))
        assert isinstance(told, ItemsEvent)
        assert told.items[0].publisher == "bob@example.org/x"
        (told,) = read(event(f"<items node='blog'><item id='1'>{inside}</item></items>"))
        assert isinstance(told, ItemsEvent)
        assert told.items[0].publisher == ""

    def test_namespaced_attributes_and_languages_survive(self) -> None:
        inside = "<x xmlns='urn:x' xmlns:q='urn:q' q:a='1' xml:lang='fr'>é</x>"
        (told,) = read(event(f"<items node='blog'><item id='1'>{inside}</item></items>"))
        assert isinstance(told, ItemsEvent)
        assert ET.canonicalize(told.items[0].payload) == ET.canonicalize(
            "<x xmlns='urn:x' xmlns:ns1='urn:q' ns1:a='1' xml:lang='fr'>é</x>"
        )

    def test_a_payload_nested_beyond_reason_is_left_out(self) -> None:
        deep = "<x xmlns='urn:x'>" * 5000 + "</x>" * 5000
        told = read(event(f"<items node='blog'><item id='1'>{deep}</item><item id='2'/></items>"))
        assert told == (ItemsEvent(service=SERVICE, node="blog", items=(Item("1"), Item("2"))),)

    def test_a_delayed_event_says_so(self) -> None:
        assert [each.delayed for each in read(message(ITEMS + DELAY))] == [True]
        assert [each.delayed for each in read(message(ITEMS))] == [False]


class TestNodes:
    def test_purge(self) -> None:
        assert read(event("<purge node='blog'/>")) == (PurgeEvent(service=SERVICE, node="blog"),)

    def test_delete(self) -> None:
        assert read(event("<delete node='blog'/>")) == (DeleteEvent(service=SERVICE, node="blog"),)

    @pytest.mark.parametrize(
        ("redirect", "told"),
        [(f"<redirect uri='{URI}'/>", URI), (f"<redirect>\n{URI}\n</redirect>", URI), ("<redirect/>", "")],
        ids=["an attribute", "a text", "nowhere"],
    )
    def test_delete_with_redirect(self, redirect: str, told: str) -> None:
        """As XEP-0060 8.4.2 writes it, and as it did earlier."""
        assert read(event(f"<delete node='blog'>{redirect}</delete>")) == (
            DeleteEvent(service=SERVICE, node="blog", redirect=told),
        )

    @pytest.mark.parametrize(
        "content",
        [
            "<purge node='n'/>",
            "<delete node='n'/>",
            "<configuration node='n'/>",
            f"<subscription node='n' jid='{ACCOUNT}' subscription='none'/>",
        ],
    )
    def test_what_is_delayed_says_so(self, content: str) -> None:
        (told,) = read(message(f"<event xmlns='{NS}'>{content}</event>{DELAY}"))
        assert told.delayed

    def test_configuration(self) -> None:
        form = "<x xmlns='jabber:x:data' type='result'/>"
        assert read(event(f"<configuration node='blog'>{form}</configuration>")) == (
            ConfigurationEvent(service=SERVICE, node="blog"),
        )

    def test_collections_are_passed_over(self) -> None:
        assert read(event("<collection node='all'><associate node='blog'/></collection>")) == ()


class TestSubscriptions:
    @pytest.mark.parametrize("state", ["none", "pending", "unconfigured", "subscribed"])
    def test_of_the_account(self, state: str) -> None:
        content = f"<subscription node='blog' jid='{ACCOUNT}/x' subscription='{state}'/>"
        assert read(event(content)) == (SubscriptionEvent(service=SERVICE, node="blog", state=state),)

    def test_an_approval_comes_in_the_other_namespace(self) -> None:
        content = (
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'>"
            f"<subscription node='blog' jid='{ACCOUNT}' subscription='subscribed'/></pubsub>"
        )
        assert read(message(content)) == (SubscriptionEvent(service=SERVICE, node="blog", state="subscribed"),)

    @pytest.mark.parametrize(
        "attributes",
        [f"jid='{CONTACT}' subscription='none'", "subscription='none'", f"jid='{ACCOUNT}' subscription='gone'"],
    )
    def test_of_others_or_unknown_states_are_passed_over(self, attributes: str) -> None:
        content = f"<subscription node='blog' {attributes}/>"
        assert read(event(content)) == ()
        assert read(message(f"<pubsub xmlns='http://jabber.org/protocol/pubsub'>{content}</pubsub>")) == ()


class TestBounces:
    ERROR = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"

    def test_a_bounce_is_no_event_of_the_node(self) -> None:
        unnamed = f"<event xmlns='{NS}'><items/></event>"
        for content in (ITEMS, unnamed + ITEMS):
            assert read(message(content + self.ERROR, SERVICE, "type='error'")) == (
                BounceEvent(service=SERVICE, node="blog"),
            )

    def test_a_bounce_need_not_name_a_node(self) -> None:
        assert read(message(self.ERROR, SERVICE, "type='error'")) == (BounceEvent(service=SERVICE, node=""),)

"""Data forms: built and read in one place; and requests that write."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from pubsub_cached.errors import InvalidArgs, StanzaError
from pubsub_cached.xmpp import forms, payload, writing
from pubsub_cached.xmpp.port import Affiliation, FormField

PUBSUB = "http://jabber.org/protocol/pubsub"


def test_a_form_is_read_as_it_was_filled_in() -> None:
    form = forms.submit(forms.NODE_CONFIG, {"pubsub#title": ["<T>"], "pubsub#groups": ["a", "b"], "pubsub#none": []})
    assert form.get("type") == "submit"
    assert forms.values(form) == {
        "FORM_TYPE": [PUBSUB + "#node_config"],
        "pubsub#title": ["<T>"],
        "pubsub#groups": ["a", "b"],
        "pubsub#none": [],
    }


def test_fields_have_their_types_and_texts_to_show_are_left_out() -> None:
    form = ET.fromstring(
        "<x xmlns='jabber:x:data' type='form'><title>Configure</title>"
        "<field var='FORM_TYPE' type='hidden'><value>x</value></field>"
        "<field type='fixed'><value>Read this</value></field>"
        "<field var='f' type='fixed'><value>And this</value></field>"
        "<field type='text-single'><value>of no name</value></field>"
        "<field var='pubsub#b' type='boolean'><value>1</value></field>"
        "<field var='pubsub#l' type='list-multi'><option><value>o</value></option><value>a</value><value/></field>"
        "<field var='pubsub#n'/></x>"
    )
    assert forms.fields(form) == (
        FormField("pubsub#b", ("1",), "boolean"),
        FormField("pubsub#l", ("a", ""), "list-multi"),
        FormField("pubsub#n", ()),
    )
    assert [*forms.values(form)] == ["FORM_TYPE", "f", "pubsub#b", "pubsub#l", "pubsub#n"]


def test_a_publish_carries_the_payload_and_its_options() -> None:
    written = '<x xmlns="urn:x" xmlns:ns1="urn:y" ns1:z="1"/>'
    request = writing.publish_request("n", "i", written, {"pubsub#o": ["1"]})
    assert payload.stanza(request) == (
        f'<pubsub xmlns="{PUBSUB}"><publish node="n"><item id="i">'
        f"{written}</item></publish><publish-options>"
        '<x xmlns="jabber:x:data" type="submit"><field type="hidden" var="FORM_TYPE">'
        f'<value>{PUBSUB}#publish-options</value></field><field var="pubsub#o"><value>1</value></field></x>'
        "</publish-options></pubsub>"
    )


def test_without_an_id_the_service_s_is_taken() -> None:
    request = writing.publish_request("n", "", '<x xmlns="urn:x"/>', {})
    assert request[0][0].attrib == {}
    reply = f"<iq><pubsub xmlns='{PUBSUB}'><publish node='n'><item id='made'/></publish></pubsub></iq>"
    assert writing.read_published(ET.fromstring(reply), "") == "made"
    assert writing.read_published(ET.fromstring("<iq/>"), "") == ""
    assert writing.read_published(ET.fromstring("<iq/>"), "mine") == "mine"


def test_a_node_without_a_name_is_named_by_the_service() -> None:
    assert writing.create_request("", {})[0].attrib == {}
    reply = f"<iq><pubsub xmlns='{PUBSUB}'><create node='made'/></pubsub></iq>"
    assert writing.read_created(ET.fromstring(reply), "") == "made"
    assert writing.read_created(ET.fromstring("<iq/>"), "mine") == "mine"


def test_a_configuration_without_a_form_is_an_error() -> None:
    with pytest.raises(StanzaError, match="no form"):
        writing.read_configuration(ET.fromstring("<iq/>"), "'n' at s")


def test_affiliations_are_read() -> None:
    reply = (
        f"<iq><pubsub xmlns='{PUBSUB}'><affiliations><affiliation node='n' affiliation='owner'/><affiliation/>"
        "</affiliations></pubsub></iq>"
    )
    assert writing.read_affiliations(ET.fromstring(reply)) == (Affiliation("n", "owner"),)


@pytest.mark.parametrize("character", ["\x00", "\x01", "\x0b", "\x1f", "\ufffe", "\uffff", "\ud800"])
def test_characters_that_would_break_the_stream_are_found(character: str) -> None:
    for element in (ET.Element("x", a=f"1{character}"), ET.Element("x")):
        ET.SubElement(element, "y").tail = "" if element.attrib else character
        with pytest.raises(InvalidArgs, match=f"U\\+{ord(character):04X}"):
            payload.check(element)


def test_characters_of_xml_are_let_through() -> None:
    payload.check(ET.Element("x", a="\t\n\r ~\x7f\x85é\ud7ff\ue000\ufffd😀"))


def test_attributes_stand_in_the_order_of_their_names() -> None:
    one, other = (ET.fromstring(text) for text in ("<x a='1' b='2' c='3'/>", "<x c='3' a='1' b='2'/>"))
    assert payload.serialise(one) == payload.serialise(other) == '<x a="1" b="2" c="3"/>'

"""Parsers without code."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import from_mapping
from pubsub_cached.analysers.registry import ItemContext, Registry
from pubsub_cached.errors import InvalidAnalyser

NS = "urn:example:ticket"
TICKET = f"""<ticket xmlns='{NS}' priority='3' xmlns:o='urn:o' o:flag='true'>
  <title xml:lang='en'>Hello</title><title xml:lang='de'>Hallo</title>
  <due>2026-03-01T12:00:00+01:00</due><cost>1.5</cost><done>1</done>
  <tags><tag>gtk</tag><tag> qt </tag></tags>
  <people><person id='1'><name>A</name></person><person id='2'/></people>
  <o:note>other</o:note><broken>soon</broken>
</ticket>"""


def parse(fields, payload=TICKET):
    registry = Registry()
    registry.register(from_mapping({"name": "ticket", "type": "ticket", "namespace": NS, "fields": fields}))
    parsed = registry.parse("ticket", ItemContext(Address("a@b", "p.example", "n"), "1", payload, NS))
    return msgspec.json.decode(parsed.data), parsed.errors


def field(path, type="text", **more):
    return {"path": path.replace("{}", f"{{{NS}}}"), "type": type, **more}


def test_every_type():
    data, errors = parse(
        {
            "title": field("{}ticket/{}title"),
            "titles": field("{}ticket/{}title", "lang"),
            "due": field("{}ticket/{}due", "date"),
            "cost": field("{}ticket/{}cost", "float"),
            "done": field("{}ticket/{}done", "bool"),
            "priority": field("{}ticket/@priority", "int"),
            "flag": field("{}ticket/@{urn:o}flag", "bool"),
            "tags": field("{}ticket/{}tags/{}tag", list=True),
            "ids": field("{}ticket//{}person/@id", "int", list=True),
            "second": field("{}ticket/{}people/{}person[2]/@id"),
            "note": field("{}ticket/{urn:o}note"),
            "xml": field("{}ticket/{}tags/{}tag", "xml"),
        }
    )
    assert errors == ()
    assert data == {
        "title": "Hello",
        "titles": [{"lang": "en", "value": "Hello"}, {"lang": "de", "value": "Hallo"}],
        "due": "2026-03-01T11:00:00Z",
        "cost": 1.5,
        "done": True,
        "priority": 3,
        "flag": True,
        "tags": ["gtk", "qt"],
        "ids": [1, 2],
        "second": "2",
        "note": "other",
        "xml": f'<tag xmlns="{NS}" xmlns:o="urn:o">gtk</tag>',
    }


def test_what_is_absent_is_left_out():
    data, errors = parse(
        {"a": field("{}ticket/{}nothing"), "b": field("{}other", list=True), "c": field("{}ticket/@nothing")}
    )
    assert (data, errors) == ({}, ())


def test_what_can_not_be_read_is_named_by_its_field_and_left_out():
    data, errors = parse(
        {"when": field("{}ticket/{}broken", "date"), "many": field("{}ticket/{}broken", "int", list=True)}
    )
    assert data == {}
    assert errors == ("when: 'soon' is no date and time with a time zone.", "many: 'soon' is no whole number.")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "characters"),
        ("a" * 1001, "characters"),
        ("/{}ticket", "leave out the '/'"),
        ("{}ticket/", "no ElementTree path"),
        ("{}ticket/{unclosed", "no ElementTree path"),
        ("{}ticket/<b>", "no ElementTree path"),
        ("{}ticket/a b", "no ElementTree path"),
        ("{}ticket[", "no ElementTree path"),
        ("{}ticket/b[0]", "no ElementTree path"),
        ("{}ticket/@a/b", "no ElementTree path"),
        ("@a", "no ElementTree path"),
        ("x:ticket", "namespaces are written"),
        (".//a//b", "more than one '//'"),
        ("a/../b/..", "more than one '..'"),
        ("a//..", "no ElementTree path"),
        ("{a\0b}c", "no ElementTree path"),
    ],
)
def test_a_bad_path_is_named(path, said):
    with pytest.raises(InvalidAnalyser) as refused:
        parse({"broken": field(path)})
    assert "'fields' of 'ticket'" in refused.value.message
    assert "'broken'" in refused.value.message
    assert said in refused.value.message


@pytest.mark.parametrize(
    "path",
    [
        "*",
        ".//{*}title",
        "{}ticket/{}title[@{http://www.w3.org/XML/1998/namespace}lang='de']",
        "{}ticket/*[last()-1]",
        "{}ticket/{}title[.='Hallo']",
        "{}ticket/{}people/{}person[{}name='A']/..",
        "{}ticket/{http://example.org//a//b//c}x",
    ],
)
def test_a_good_path_is_used(path):
    _, errors = parse({"a": field(path, list=True)})
    assert errors == ()


STEPS = [
    "{u}a",
    "a",
    "*",
    "{*}a",
    ".",
    "..",
    "/",
    "//",
    "[1]",
    "[a]",
    "[@b]",
    "[@b='x']",
    "[last()-1]",
    "[.='t']",
    "/@b",
]


@given(st.lists(st.sampled_from([*STEPS, "@", " ", "{", "}", "[", "]", "'", "="]), min_size=1, max_size=6))
def test_a_path_that_was_accepted_never_fails(steps):
    try:
        _, errors = parse(
            {"a": field("".join(steps).replace("{}", ""), list=True)}, "<a xmlns='u' b='x'>t<a><a/></a></a>"
        )
    except InvalidAnalyser:
        return
    assert errors == ()


@pytest.mark.parametrize("type", ["xml", "lang"])
def test_an_attribute_is_no_element(type):
    with pytest.raises(InvalidAnalyser, match="take text"):
        parse({"a": field("{}ticket/@priority", type)})


def test_what_a_path_finds():
    payload = "<a xmlns='u' xmlns:v='v'><b k='1'>x</b><v:b>y</v:b><b xmlns=''>z</b><b>it's</b></a>"

    def find(path):
        return parse({"f": {"path": path, "list": True}}, payload)[0].get("f")

    assert find("{u}a/{u}b") == ["x", "it's"]
    assert find("{u}a/b") == ["z"]
    assert find("{u}a/{}b") == ["z"]
    assert find("{u}a/{*}b") == ["x", "y", "z", "it's"]
    assert find("{u}a/{u}*") == ["x", "it's"]
    assert find("{u}a/{v}b/../{u}b[@k]") == ["x"]
    assert find("{u}a/{u}b[2]") == ["it's"]
    assert find("{u}a/*[last()-1]") == ["z"]
    assert find("""{u}a/*[.="it's"]""") == ["it's"]
    assert find("{u}a[{v}b='y']/{u}b[@k='1']/@k") == ["1"]
    assert find(".//b") == ["z"]
    assert find("{u}a/*[.='{v}b']") is None


@pytest.mark.parametrize("type", ["xml", "lang"])
def test_the_size_of_data_is_bounded(type):
    payload = "<a>" * 50 + "y" * 100_000 + "</a>" * 50
    data, errors = parse({"f": {"path": ".//a", "type": type, "list": True}}, payload)
    assert 100_000 <= len(json.dumps(data["f"])) <= 1 << 18
    assert len(errors) == 1


def test_counting_siblings_does_not_take_the_square_of_their_number():
    """ElementTree's own matcher needs a minute and a half for this one."""
    payload = "<a>" + "<b/>" * 60_000 + "</a>"
    assert parse({"f": {"path": ".//b[last()-1]/../b[last()]"}}, payload) == ({"f": ""}, ())


def test_there_is_a_limit():
    with pytest.raises(InvalidAnalyser, match="64 is the most"):
        parse({f"f{i}": field("{}ticket") for i in range(65)})

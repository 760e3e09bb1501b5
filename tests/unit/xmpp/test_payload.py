"""Payloads as text: nothing of them is lost on the way."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.xmpp import payload


def canonical(xml: str) -> str:
    return ET.canonicalize(xml, rewrite_prefixes=True)


@pytest.mark.parametrize(
    "xml",
    [
        "<x xmlns='urn:x'/>",
        "<x/>",
        "<x xmlns='urn:x'>text &lt;&amp;&gt; ]]&gt; <y/> tail <z>in</z> end</x>",
        "<x xmlns='urn:x'><y xmlns=''><z xmlns='urn:x'/></y></x>",
        "<x xmlns='urn:x' xmlns:q='urn:q' q:a='1' a='2'/>",
        "<x xmlns='urn:x' xmlns:q='urn:q' xmlns:r='urn:r' q:a='1' r:a='2'><y q:b='3'/></x>",
        "<x xmlns='urn:x' xml:lang='de' xml:space='preserve'> </x>",
        "<q:x xmlns:q='urn:q'><q:y/><z xmlns='urn:z'/></q:x>",
        "<x a='&quot;&apos;&lt;&amp;&#10;&#9;&#13;'>&#13;</x>",
        "<x xmlns='urn:x?a=1&amp;b=&quot;2&quot;'/>",
        "<entry xmlns='http://www.w3.org/2005/Atom'><content type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'>"
        "<p>a <b>b</b> c</p></div></content></entry>",
    ],
)
def test_text_means_what_the_element_meant(xml: str) -> None:
    assert canonical(payload.serialise(ET.fromstring(xml))) == canonical(xml)


def test_elements_use_default_namespaces() -> None:
    element = ET.fromstring("<a:x xmlns:a='urn:x'><a:y/></a:x>")
    assert payload.serialise(element) == '<x xmlns="urn:x"><y/></x>'


def test_what_follows_the_element_is_left_out() -> None:
    parent = ET.fromstring("<p><x>in</x>after</p>")
    assert payload.serialise(parent[0]) == "<x>in</x>"


def test_the_namespace_is_that_of_the_element() -> None:
    assert payload.namespace(ET.fromstring("<x xmlns='urn:x'/>")) == "urn:x"
    assert payload.namespace(ET.fromstring("<x/>")) == ""


def nested(depth: int) -> ET.Element:
    element = root = ET.Element("x")
    for _ in range(depth - 1):
        element = ET.SubElement(element, "x")
    return root


def test_depth_is_bounded() -> None:
    assert payload.serialise(nested(payload.MAX_DEPTH)).count("<x") == payload.MAX_DEPTH
    with pytest.raises(payload.Excessive):
        payload.serialise(nested(payload.MAX_DEPTH + 1))
    with pytest.raises(payload.Excessive):
        payload.serialise(nested(50_000))


@pytest.mark.parametrize("child", ["<q:b/>", "<b q:c=''/>"])
def test_a_long_namespace_for_which_a_prefix_stands_is_not_repeated_without_end(child: str) -> None:
    def written(count: int) -> str:
        uri = "urn:" + "x" * 10_000
        return payload.serialise(ET.fromstring(f"<a xmlns='urn:a' xmlns:q='{uri}'>{child * count}</a>"))

    assert written(100).count(f"x{'x' * 9_999}") == 100
    with pytest.raises(payload.Excessive, match="namespaces"):
        written(200)


names = st.sampled_from(["a", "{urn:x}a", "{urn:y}b", "{http://www.w3.org/XML/1998/namespace}lang"])
texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")) | st.sampled_from("\t\n\r<>&\"'"), max_size=8)


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> ET.Element:
    element = ET.Element(draw(st.sampled_from(["a", "{urn:x}a", "{urn:y}b"])), draw(st.dictionaries(names, texts)))
    element.text = draw(texts)
    for _ in range(draw(st.integers(0, 2)) if depth else 0):
        child = draw(elements(depth - 1))
        child.tail = draw(texts)
        element.append(child)
    return element


def same(a: ET.Element, b: ET.Element) -> bool:
    return (
        a.tag == b.tag
        and a.attrib == b.attrib
        and (a.text or "") == (b.text or "")
        and len(a) == len(b)
        and all((x.tail or "") == (y.tail or "") and same(x, y) for x, y in zip(a, b, strict=True))
    )


@given(elements())
def test_any_element_survives(element: ET.Element) -> None:
    written = payload.serialise(element)
    assert same(ET.fromstring(written), element)
    assert payload.namespace_of(written) == payload.namespace(element)

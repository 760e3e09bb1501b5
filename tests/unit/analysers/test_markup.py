"""Markup from strangers: harmless, well-formed, with plain text beside it, at a cost that does not grow out of hand."""

from __future__ import annotations

import asyncio
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from pubsub_cached.address import Address
from pubsub_cached.analysers import markup, xml
from pubsub_cached.analysers.item import Item, ItemContext

XHTML = "http://www.w3.org/1999/xhtml"


def construct(source):
    element = xml.parse(source)
    item = Item(ItemContext(Address("a@b", "a@b", "n"), "1", source), element, "", "")
    return markup.construct(item, element), item.errors


def from_html(source):
    return construct(f"<c type='html'>{escape(source)}</c>")[0]


def from_xhtml(inner):
    return construct(f"<c type='xhtml'><div xmlns='{XHTML}'>{inner}</div></c>")[0]


@pytest.mark.parametrize(
    "source",
    [
        "<script>alert(1)</script>ok",
        "<img src='https://example.org/pixel.png' onerror='alert(1)'/>ok",
        "<a href='javascript:alert(1)'>ok</a>",
        "<a href='JaVaScRiPt:alert(1)'>ok</a>",
        "<a href=' javascript:alert(1)'>ok</a>",
        "<a href='data:text/html,x'>ok</a>",
        "<p onclick='alert(1)' style='position:fixed'>ok</p>",
        "<iframe src='https://example.org/'></iframe>ok",
        "<svg><script>alert(1)</script></svg>ok",
        "<style>p { display: none }</style>ok",
        "<form action='https://example.org/'><input name='x'/></form>ok",
    ],
)
@pytest.mark.parametrize("read", [from_html, from_xhtml])
def test_what_could_harm_is_dropped_and_the_text_stays(source, read):
    result = read(source)
    assert result.text == "ok"
    for word in ("alert", "javascript", "data:", "img", "src", "style", "onclick", "example.org", "form"):
        assert word not in result.xhtml


def test_a_scheme_broken_by_a_line_is_none():
    assert from_xhtml("<a href='java&#10;script:alert(1)'>ok</a>").xhtml == "<a>ok</a>"
    # Escaped as libxml2 does it, this is the name of a page.
    assert "script:" not in from_html("<a href='java&#10;script:alert(1)'>ok</a>").xhtml.replace("%0Ascript:", "")


def test_links_of_chat_and_web_are_kept():
    for href in ("xmpp:room@muc.example.org?join", "https://example.org/", "mailto:a@example.org"):
        assert from_xhtml(f"<a href='{href}'>x</a>").xhtml == f'<a href="{href}">x</a>'


def test_blocks_are_lines_and_spaces_are_one():
    result = from_xhtml("<p>one\n   two</p>\n<p>three<br/>four</p><ul><li>five</li><li>six</li></ul>")
    assert result.text == "one two\nthree\nfour\nfive\nsix"


def test_preformatted_text_keeps_its_lines():
    assert from_xhtml("<p>a</p><pre>x\n  y</pre>b").text == "a\nx\n  y\nb"
    assert from_html("<pre>x<br>y</pre>").text == "x\ny"
    assert from_html("<pre>x\n\n</pre>y").text == "x\ny"


def test_breaks_and_blocks_with_attributes_are_lines_as_well():
    result = from_xhtml("a<br title='x &gt; y'/>b<p\n title='p'>c</p>\n<pre dir='ltr'>x\n  <b>y</b></pre> <i>d</i> e")
    assert result.text == "a\nb\nc\nx\n  y\nd e"
    assert '<br title="x &gt; y"/>' in result.xhtml


@pytest.mark.parametrize("name", ["center", "fieldset", "hgroup", "legend", "menu"])
def test_blocks_that_are_seldom_used_are_lines_as_well(name):
    assert from_html(f"a<{name}>b</{name}>c").text == "a\nb\nc"


def test_cells_of_a_row_are_apart():
    assert from_html("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>").text == "a b\nc"


def test_entities_are_characters_in_the_text():
    result = from_html("a &amp;nbsp; &lt;b&gt; &quot;c&quot; &#233;&nbsp;d")
    assert result.text == 'a &nbsp; <b> "c" é\xa0d'


@pytest.mark.parametrize(
    "source",
    ["<p>a<br>b<hr>", "x &nbsp; y", "<a title='&lt;b&gt; &quot;q&quot;' href='?a=1&b=2'>c</a>", "a &#1; b <b>c"],
)
def test_sanitised_markup_is_well_formed(source):
    etree.fromstring(f"<div>{from_html(source).xhtml}</div>")


@pytest.mark.parametrize("base", ["javascript://x/?&#10;alert(1)//", "data:text/html,x", "xmpp:a@b.example?;node=n"])
def test_links_are_made_absolute_with_a_base_of_the_web_alone(base):
    """Any other would bring a scheme that no link may have."""
    links = '<a href="y">a</a><a href="#z">b</a>'
    result, _ = construct(f"<c type='html' xml:base='{base}'>{escape(links)}</c>")
    assert result.xhtml == links


@pytest.mark.skipif(etree.LIBXML_VERSION < (2, 14), reason="an older libxml2 leaves out what XML can't hold")
def test_what_xml_can_not_hold_is_white_space_and_joins_nothing():
    """Without it what was no scheme when the markup was sanitised would be one."""
    result = from_html("<b title='java&#1;script:'>java&#1;script:</b><a href='java&#1;script:x'>a</a>")
    assert result.text == "java script:a"
    assert "javascript:" not in result.xhtml
    assert from_html("<p>a&#12;b &#11; c</p>&#12;").xhtml == "<p>a b   c</p>"
    assert from_html("&#12;") is None


def test_elements_with_a_prefix_are_the_same_elements():
    result, _ = construct(f"<c type='xhtml' xmlns:h='{XHTML}'><h:div><h:p>a <h:b>b</h:b><h:br/>c</h:p></h:div></c>")
    assert result.xhtml == "<p>a <b>b</b><br/>c</p>"
    assert result.text == "a b\nc"


def test_what_html_calls_its_elements_need_be_no_name():
    assert from_html("<o:p>a</o:p><b<c>d").text == "ad"
    assert from_html("<o:p>a</o:p><b}<c>d").text == "ad"


@pytest.mark.parametrize("aside", ["<!-- c -->", "<?p c?>"])
def test_comments_among_elements_with_a_prefix_are_left_out(aside):
    assert from_html(f"<o:p>a{aside}b</o:p>").text == "ab"


def test_empty_elements_do_not_swallow_what_follows():
    assert from_xhtml("<p/>a<b/>c<br/>d").xhtml == "<p></p>a<b></b>c<br/>d"


def test_markup_without_the_div_around_it():
    result, _ = construct(f"<c type='xhtml'>a <b xmlns='{XHTML}'>b</b> c</c>")
    assert (result.text, result.xhtml) == ("a b c", "a <b>b</b> c")


def test_what_follows_a_single_element_is_kept():
    result, _ = construct(f"<c type='xhtml'><b xmlns='{XHTML}'>a</b> b</c>")
    assert (result.text, result.xhtml) == ("a b", "<b>a</b> b")


def test_html_that_is_not_escaped_is_read_as_the_elements_it_has():
    result, _ = construct(f"<c type='html' xmlns:h='{XHTML}'><h:p>a</h:p><h:p>b &lt;i&gt;</h:p></c>")
    assert (result.type, result.text, result.xhtml) == ("xhtml", "a\nb <i>", "<p>a</p><p>b &lt;i&gt;</p>")


@pytest.mark.parametrize(
    ("type_", "as_"), [("text/html; charset=utf-8", "html"), ("text/plain;charset=utf-8", "text"), ("", "text")]
)
def test_a_type_may_have_parameters_or_be_empty(type_, as_):
    result, errors = construct(f"<c type='{type_}'>a</c>")
    assert (result.type, result.text, errors) == (as_, "a", [])


def test_a_div_among_others_is_no_wrapper():
    assert from_html("<div>a</div><div>b</div>").xhtml == "<div>a</div><div>b</div>"
    assert from_html("<div>a</div><div>b</div>").text == "a\nb"
    assert from_html("<div><div>a</div></div><div title='c'>b</div>").xhtml == (
        '<div><div>a</div></div><div title="c">b</div>'
    )


def test_divs_that_end_what_they_did_not_begin_are_no_wrapper():
    assert from_html("a</div><div>b").xhtml == "<div>a</div><div>b</div>"


def test_of_divs_within_each_other_the_outermost_is_the_wrapper():
    assert from_xhtml("<div>a</div><div dir='ltr'>b</div>").xhtml == '<div>a</div><div dir="ltr">b</div>'


def test_the_payload_itself_is_left_alone():
    source = f"<c type='xhtml' xmlns:h='{XHTML}'><h:div><h:p>a</h:p></h:div></c>"
    element = xml.parse(source)
    before = xml.serialise(element)
    markup.construct(Item(ItemContext(Address("a@b", "a@b", "n"), "1", source), element, "", ""), element)
    assert xml.serialise(element) == before


def test_nothing_is_nothing():
    assert construct("<c/>")[0] is None
    assert construct("<c type='html'> </c>")[0] is None
    assert construct("<c type='html'>&lt;!-- x --&gt;</c>")[0] is None
    assert construct(f"<c type='xhtml'><div xmlns='{XHTML}'/></c>")[0] is None


FORMATTING = "".join(f"<b title='{i}'>" for i in range(60))


@pytest.mark.parametrize(
    "source",
    [
        "<div>" * 20_000,
        "<b>" * 40_000,
        "<ul><li>" * 20_000,
        "<table><tr><td>" * 10_000,
        "<b></p>" * 20_000,
        "".join(f"<b title='{i}'>" for i in range(2_000)) + "<p>x" * 2_000,
        FORMATTING + "<p>x</p>" * 10_000,
    ],
)
def test_misnested_markup_grows_at_most_a_little(source):
    """An HTML parser's repairs of these take time and space that grow with the square of the input."""
    result, errors = construct(f"<c type='html'>{escape(source)}</c>")
    assert result is None or len(result.xhtml) <= 4 * len(source)
    assert result is None or result.xhtml or errors


def test_what_only_looks_like_the_beginning_of_tags_is_gone_through_once():
    beginnings = "< " * 450_000
    result, _ = construct(f"<c type='html'><![CDATA[{'<div>' * 150}a{beginnings}]]></c>")
    assert result.text == "a" + beginnings.strip()


async def test_no_thread_waits_for_what_another_parses():
    """The library holds a parser for as long as it reads."""
    mine = {xml.parsers.xml, xml.parsers.html}
    assert {xml.parsers.xml, xml.parsers.html} == mine
    assert mine.isdisjoint(await asyncio.to_thread(lambda: {xml.parsers.xml, xml.parsers.html}))


ATTRIBUTES = [f"attribute-of-some-length-{number}" for number in range(markup.MOST_ATTRIBUTES + 1)]


@pytest.mark.parametrize(
    "tag",
    [
        f"<p {' '.join(ATTRIBUTES)}>",
        "<p " + " ".join(f'{name}="a > b"' for name in ATTRIBUTES) + ">",
        f"<p title=it's {' '.join(ATTRIBUTES)} or='>",
        f"<p/{'/'.join(ATTRIBUTES)}>",
    ],
    ids=["bare", "quoted", "a quote in a value", "slashes"],
)
def test_an_element_of_html_with_too_many_attributes_leaves_its_text(tag):
    """Parsers take time that grows with the square of an element's attributes."""
    result, errors = construct(f"<c type='html'>{escape(f'<b>x</b>{tag}')}</c>")
    assert (result.xhtml, result.text[:1]) == ("", "x")
    assert errors == [
        f"<c>: the markup has an element with more than {markup.MOST_ATTRIBUTES} attributes, only its text is kept."
    ]


def test_an_element_of_xhtml_with_too_many_attributes_leaves_its_text():
    attributes = " ".join(f"{name}=''" for name in ATTRIBUTES)
    result, errors = construct(f"<c type='xhtml'><div xmlns='{XHTML}'><p {attributes}>x</p></div></c>")
    assert (result.xhtml, result.text) == ("", "x")
    assert errors == [
        f"<c>: the markup has an element with more than {markup.MOST_ATTRIBUTES} attributes, only its text is kept."
    ]


@pytest.mark.parametrize(
    "source",
    [
        "<p " + " ".join(f"{name}=''" for name in ATTRIBUTES[1:]) + ">x</p>",
        f"<p title='{'words like a=b ' * 1_000}'>x</p>",
        "<p title='a' lang='en'>x</p>" * 1_000,
    ],
    ids=["as many as may be", "a long value", "many elements"],
)
@pytest.mark.parametrize("type_", ["html", "xhtml"])
def test_few_attributes_are_no_reason_to_leave_markup(type_, source):
    inside = escape(source) if type_ == "html" else f"<div xmlns='{XHTML}'>{source}</div>"
    result, errors = construct(f"<c type='{type_}'>{inside}</c>")
    assert result.xhtml.startswith("<p")
    assert errors == []


@pytest.mark.parametrize("depth", [60, 12])
def test_nested_formatting_around_paragraphs_is_not_multiplied(depth):
    formatting = "".join(f"<b title='{i}'>" for i in range(depth))
    inner = "<p>" + formatting + "<p>x</p>" * 10_000 + "</b>" * depth + "</p>"
    result, errors = construct(f"<c type='xhtml'><div xmlns='{XHTML}'>{inner}</div></c>")
    assert (len(result.text), result.xhtml) == (10_000, "")
    assert errors == ["<c>: the markup is nested too deeply, only its text is kept."]


TREES = st.recursive(
    st.just(()),
    lambda inner: st.lists(st.tuples(st.sampled_from(["a", "b", "strong", "p", "span"]), inner), max_size=3),
    max_leaves=20,
)


@given(TREES, st.integers(0, 14))
def test_formatting_is_too_deep_where_an_element_has_so_many_around_it(tree, around):
    def build(parent, children):
        for name, inner in children:
            build(etree.SubElement(parent, f"{{{XHTML}}}{name}"), inner)

    def deepest(element, above):
        above += etree.QName(element).localname in ("a", "b", "strong", "i")
        return max([above, *(deepest(child, above) for child in element)])

    root = inner = etree.Element(f"{{{XHTML}}}div")
    for _ in range(around):
        inner = etree.SubElement(inner, f"{{{XHTML}}}i")
    build(inner, tree)
    etree.SubElement(root, "b")
    assert markup._formatting_nests(root) == (deepest(root, 0) > markup.MOST_FORMATTING)


def test_a_break_is_closed_whatever_stands_in_it():
    made = from_xhtml("a<br/>b<br title='x'/>c<hr/>d<hr lang='de' title='&lt;br&gt;'/>")
    assert etree.fromstring(f"<div>{made.xhtml}</div>") is not None
    assert made.xhtml.count("/>") == 4

"""Nothing that a stranger publishes lets an exception leave a parser, or makes very much of little."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pubsub_cached.address import Address
from pubsub_cached.analysers import xml
from pubsub_cached.analysers.registry import ItemContext, Parsed
from tests.support.callbacks import taking

from .reading import REGISTRY, namespace_of, read

ANALYSERS = [record["name"] for record in REGISTRY.records()]
NAMESPACES = sorted(
    {definition.namespace or definition.node for name in ANALYSERS if (definition := REGISTRY.get(name))}
    | {"http://www.w3.org/2005/Atom", "http://www.w3.org/1999/xhtml", "http://purl.org/syndication/thread/1.0"}
    | {"http://jabber.org/protocol/geoloc", "jabber:x:data", "urn:xmpp:sfs:0", "urn:other", ""}
)
NAMES = [
    "entry",
    "feed",
    "title",
    "summary",
    "content",
    "author",
    "name",
    "uri",
    "email",
    "link",
    "category",
    "published",
    "updated",
    "id",
    "generator",
    "geoloc",
    "lat",
    "lon",
    "timestamp",
    "in-reply-to",
    "div",
    "p",
    "a",
    "br",
    "pre",
    "table",
    "event",
    "start",
    "end",
    "location",
    "online",
    "rsvp",
    "x",
    "field",
    "value",
    "option",
    "attachments",
    "noticed",
    "reactions",
    "reaction",
    "signature",
    "signer",
    "time",
    "summary",
    "conference",
    "nick",
    "password",
    "extensions",
    "metadata",
    "info",
    "pointer",
    "data",
    "vcard",
    "fn",
    "text",
    "mood",
    "activity",
    "tune",
    "length",
    "rating",
    "subscription",
    "file-sharing",
    "file",
    "sources",
    "url-data",
    "hash",
    "size",
    "thumbnail",
    "encrypted",
    "item",
    "required",
    "invitee",
]
ATTRIBUTES = [
    "type",
    "href",
    "rel",
    "ref",
    "term",
    "xml:lang",
    "xml:base",
    "jid",
    "node",
    "id",
    "uri",
    "timestamp",
    "count",
    "length",
    "title",
    "autojoin",
    "name",
    "bytes",
    "width",
    "height",
    "var",
    "label",
    "server",
    "stamp",
    "target",
    "algo",
    "by",
    "key",
]

text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=40)
attribute_value = st.one_of(
    text,
    st.sampled_from(
        [
            *(
                "html",
                "xhtml",
                "text",
                "submit",
                "form",
                "xmpp:a@b?;node=n;item=i",
                "xmpp:@@",
                "http://[",
                "-1",
                "1e999",
            ),
            "2026-01-01T00:00:00Z",
            "9999-12-31T23:59:59-23:59",
            "0001-01-01T00:00:00+23:59",
            "٣",
            "99999999999999999999",
        ]
    ),
)


def escaped(value):
    kept = "".join(c for c in value if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff"))
    return kept.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


@st.composite
def elements(draw, depth=0):
    name = draw(st.sampled_from(NAMES))
    attributes = draw(st.dictionaries(st.sampled_from(ATTRIBUTES), attribute_value, max_size=4))
    written = "".join(f' {key}="{escaped(value)}"' for key, value in attributes.items())
    space = draw(st.one_of(st.none(), st.sampled_from(NAMESPACES))) if depth else draw(st.sampled_from(NAMESPACES))
    declared = "" if space is None else f' xmlns="{space}"'
    children = (
        draw(st.lists(st.one_of(attribute_value.map(escaped), elements(depth + 1)), max_size=4)) if depth < 4 else []
    )
    return f"<{name}{declared}{written}>{''.join(children)}</{name}>"


def parsed_by_all(payload, publisher=""):
    namespace = namespace_of(payload)
    for name in ANALYSERS:
        for service in ("me@example.org", "pubsub.example.org"):
            address = Address("me@example.org", service, REGISTRY.get(name).node or "node")
            yield REGISTRY.parse(name, ItemContext(address, "id", payload, namespace, publisher))


def check(parsed: Parsed):
    assert not any("failed" in error for error in parsed.errors), parsed.errors
    if parsed.data is not None:
        assert isinstance(msgspec.json.decode(parsed.data), dict)
    for error in parsed.errors:
        error.encode()


@settings(max_examples=150, deadline=None)
@given(elements(), text)
def test_well_formed_nonsense(payload, publisher):
    for parsed in parsed_by_all(payload, publisher):
        check(parsed)


@settings(max_examples=150, deadline=None)
@given(st.one_of(text, st.text(max_size=60), st.binary(max_size=60).map(lambda raw: raw.decode("latin-1"))))
def test_what_is_no_xml_at_all(payload):
    for parsed in parsed_by_all(payload):
        assert parsed.data is None
        assert parsed.payload in (payload, "")


@settings(max_examples=100, deadline=None)
@given(
    elements(),
    st.integers(0, 400),
    st.sampled_from(["<", ">", "&", "&e;", "\x00", '"', "]]>", "<!DOCTYPE x>", "\ud800"]),
)
def test_damaged_xml(payload, place, damage):
    for parsed in parsed_by_all(payload[:place] + damage + payload[place:]):
        if parsed.data is not None:
            assert isinstance(msgspec.json.decode(parsed.data), dict)


@pytest.mark.parametrize(
    "bomb",
    [
        "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]><x>&b;</x>",
        "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/hostname'>]><x>&e;</x>",
        "<!DOCTYPE x SYSTEM 'http://127.0.0.1:9/x.dtd'><x/>",
        "<!DOCTYPE x [<!ENTITY % p SYSTEM 'file:///etc/hostname'> %p;]><x/>",
    ],
)
def test_entities_and_document_types_are_never_followed(bomb):
    # A name that "any analyser" has a parser for: the blog's.
    parsed = REGISTRY.parse("blog", ItemContext(Address("a@b", "a@b", "urn:xmpp:microblog:0"), "1", bomb, "x"))
    assert parsed.data is None
    assert parsed.payload == bomb
    assert len(parsed.errors) == 1


def test_an_external_document_type_is_not_opened(tmp_path):
    """With ``collect_ids=False`` libxml2 loads it although it was told not to."""
    (tmp_path / "x.dtd").write_text("<!ENTITY e 'loaded from the disk'>")
    payload = f"<!DOCTYPE entry SYSTEM 'file://{tmp_path}/x.dtd'><entry xmlns='http://www.w3.org/2005/Atom'>&e;</entry>"
    with pytest.raises(xml.Malformed, match="document type"):
        xml.parse(payload)
    (tmp_path / "x.dtd").write_text("this is no document type")
    with pytest.raises(xml.Malformed, match="document type"):
        xml.parse(payload)


def test_a_huge_text_is_read_and_a_huge_payload_refused():
    atom = "<entry xmlns='http://www.w3.org/2005/Atom'><title>{}</title></entry>"
    address = Address("a@b", "a@b", "urn:xmpp:microblog:0")
    fits = REGISTRY.parse(
        "blog", ItemContext(address, "1", atom.format("y" * 1_000_000), "http://www.w3.org/2005/Atom")
    )
    assert len(msgspec.json.decode(fits.data)["title"][0]["text"]) == 1_000_000
    large = REGISTRY.parse(
        "blog", ItemContext(address, "1", atom.format("y" * 1_100_000), "http://www.w3.org/2005/Atom")
    )
    assert large.data is None
    assert "longer than" in large.errors[0]


@pytest.mark.parametrize("attribute", ["xml:lang", "xml:base"])
def test_what_elements_inherit_makes_no_long_document_of_a_short_payload(attribute):
    children = "<title>t</title><link href='a'/>" * 500
    inherited = f"{attribute}='http://e.example/{'x' * 20_000}/'"
    post = f"<entry xmlns='http://www.w3.org/2005/Atom' {inherited}>{children}</entry>"
    made = read("urn:xmpp:microblog:0", post)
    assert len(made.data["title"]) == len(made.data["links"]) == 500
    assert len(made.parsed.data) < 4 * len(post)


def test_many_unknown_attachments_take_as_long_as_as_many_extensions_of_a_bookmark():
    names = [f"<x{number}/>" for number in range(20_000)]
    attachments = f"<attachments xmlns='urn:xmpp:pubsub-attachments:1'>{''.join(names)}</attachments>"
    extensions = f"<conference xmlns='urn:xmpp:bookmarks:1'><extensions>{''.join(names)}</extensions></conference>"
    node = "urn:xmpp:pubsub-attachments:1/xmpp:a@b.example?;node=n;item=i"
    assert len(read(node, attachments).data["unknown"]) == len(names)
    bookmark = taking(lambda: read("urn:xmpp:bookmarks:1", extensions, id="room@muc.example"))
    assert taking(lambda: read(node, attachments)) < 10 * bookmark

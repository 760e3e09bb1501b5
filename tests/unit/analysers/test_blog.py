"""Atom beyond the examples: what the design decides where the XEPs leave it open."""

from __future__ import annotations

import pytest

from .reading import match, read

ATOM = "http://www.w3.org/2005/Atom"
THREAD = "http://purl.org/syndication/thread/1.0"
NODE = "urn:xmpp:microblog:0"
REQUIRED = "<id>tag:x</id><title>t</title><updated>2026-01-02T03:04:05Z</updated>"


def post(children: str, attributes: str = "", required: str = REQUIRED, **where):
    return read(NODE, f"<entry xmlns='{ATOM}' xmlns:thr='{THREAD}' {attributes}>{required}{children}</entry>", **where)


def test_a_blog_has_the_nodes_and_types_of_its_profiles():
    def subtype(node, **known):
        found = match(node, **known)
        return found.type, found.subtype

    assert subtype("urn:xmpp:microblog:0") == ("blog", "microblog")
    assert subtype("urn:xmpp:microblog:0:comments/1") == ("blog", "comments")
    assert subtype("urn:xmpp:pubsub-social-feed:stories:0") == ("blog", "stories")
    assert subtype("x", node_type="urn:xmpp:pubsub-social-feed:1") == ("blog", "feed")
    assert subtype("x", node_type="urn:xmpp:pubsub-social-feed:gallery:1") == ("blog", "gallery")
    assert subtype("x", node_type="urn:xmpp:pubsub-social-feed:flat-forums:0") == ("blog", "forum")
    assert subtype("x", node_type="urn:xmpp:pubsub-social-feed:threaded-forums:0") == ("blog", "forum")
    assert subtype("x", namespace=ATOM) == ("blog", "feed")
    assert subtype("x") == ("", "")


def test_comments_are_kept_only_once_somebody_reads_them():
    assert match(f"{NODE}:comments/1").definition.demand
    assert not match(NODE).definition.demand


def test_a_type_that_nobody_claims_blocks_nothing():
    assert match("x", namespace=ATOM, node_type="urn:example:mine").subtype == "feed"


def test_all_text_constructs_keep_their_language_type_and_order():
    data = post(
        "<title xml:lang='fr' type='text'>Salut</title><summary type='html'>a &lt;b&gt;bold&lt;/b&gt; word</summary>"
        "<content>plain</content>"
        "<content type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'>rich <em>text</em></div></content>",
        attributes="xml:lang='en'",
    ).data
    assert data["language"] == "en"
    assert data["title"] == [
        {"lang": "en", "type": "text", "text": "t"},
        {"lang": "fr", "type": "text", "text": "Salut"},
    ]
    assert data["summary"] == [
        {"lang": "en", "type": "html", "text": "a bold word", "xhtml": "a <b>bold</b> word"},
    ]
    assert data["content"] == [
        {"lang": "en", "type": "text", "text": "plain"},
        {"lang": "en", "type": "xhtml", "text": "rich text", "xhtml": "rich <em>text</em>"},
    ]


def test_an_empty_language_says_that_none_is_known():
    data = post("<content xml:lang=''>x</content>", attributes="xml:lang='en'").data
    assert data["content"] == [{"type": "text", "text": "x"}]


def test_content_that_is_no_text_is_named_and_left_out():
    read_post = post("<content type='image/png'>iVBORw0KGgo=</content>")
    assert "content" not in read_post.data
    assert read_post.parsed.errors == ("<content>: 'image/png' is no type of text.",)


def test_dates_are_utc_and_to_the_second():
    required = "<id>i</id><title>t</title>"
    data = post(
        "<published>2026-01-01T00:30:00.25+02:00</published><updated>2025-12-31T23:59:60Z</updated>", required=required
    ).data
    assert data["published"] == "2025-12-31T22:30:00Z"
    assert data["updated"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("date", ["2026-01-01t00:30:60z", "2026-01-01 02:31:00 +0200", "2025-12-31T23:31:00.5-01:00"])
def test_a_date_is_read_however_it_is_written(date):
    assert post(f"<published>{date}</published>").data["published"] == "2026-01-01T00:31:00Z"


@pytest.mark.parametrize(
    "date",
    [
        "yesterday",
        "2026-02-30T00:00:00Z",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:60Z",
        "2026-01-01T00:00:00+24:00",
    ],
)
def test_an_unreadable_date_is_named_once_and_left_out(date):
    read_post = post(f"<updated>{date}</updated>", required="<id>i</id><title>t</title>")
    assert "updated" not in read_post.data
    assert read_post.parsed.errors == (f"<updated>: '{date}' is no date and time with a time zone.",)


def test_what_atom_requires_is_named_when_it_is_missing():
    assert post("", required="").parsed.errors == ("<id> is missing.", "<title> is missing.", "<updated> is missing.")


def test_a_relation_is_alternate_when_nothing_is_said_and_may_be_a_uri():
    data = post(
        "<link href='http://a.example/'/>"
        "<link rel='http://www.iana.org/assignments/relation/enclosure' href='http://b.example/' length='12'/>"
    ).data
    assert data["links"] == [{"rel": "alternate", "href": "http://a.example/"}]
    assert data["enclosures"] == [{"href": "http://b.example/", "length": 12}]


def test_references_are_resolved_against_the_nearest_base():
    data = post(
        "<link href='a'/><link xml:base='sub/' href='b'/><link href='xmpp:x@y.example?;node=n'/>"
        "<content type='xhtml' xml:base='deep/'>"
        "<div xmlns='http://www.w3.org/1999/xhtml'><a href='c'>c</a></div></content>",
        attributes="xml:base='https://example.org/blog/'",
    ).data
    assert [link["href"] for link in data["links"]] == [
        "https://example.org/blog/a",
        "https://example.org/blog/sub/b",
        "xmpp:x@y.example?;node=n",
    ]
    assert data["content"][0]["xhtml"] == '<a href="https://example.org/blog/deep/c">c</a>'


def test_what_names_no_address_does_not_get_that_of_the_base():
    read_post = post(
        "<author><name>A</name><uri/></author><thr:in-reply-to ref='tag:y'/><generator>G</generator>"
        "<link rel='alternate'/>",
        attributes="xml:base='https://example.org/blog/'",
    )
    assert read_post.data["authors"] == [{"name": "A"}]
    assert read_post.data["in_reply_to"] == [{"ref": "tag:y"}]
    assert read_post.data["generator"] == {"name": "G"}
    assert "generator" not in post("<generator uri='https://example.org/'/>").data
    assert "links" not in read_post.data
    assert read_post.parsed.errors == ("<link>: the attribute 'href' is missing.",)


def test_a_base_that_is_no_address_changes_nothing():
    data = post(
        "<link href='a'/><content type='html'>&lt;a href='b'&gt;b&lt;/a&gt;</content>", "xml:base='http://[broken'"
    ).data
    assert data["links"][0]["href"] == "a"
    assert data["content"][0]["xhtml"] == '<a href="b">b</a>'


def test_comments_at_a_web_page_are_an_ordinary_link_and_counts_are_numbers():
    data = post(
        "<link rel='replies' href='https://example.org/comments'/>"
        "<link rel='replies' thr:count='7' href='xmpp:p.example?pubsub;action=retrieve;node=c%2F1'/>"
    ).data
    assert data["links"] == [{"rel": "replies", "href": "https://example.org/comments"}]
    assert data["comments"] == [{"service": "p.example", "node": "c/1", "count": 7}]


@pytest.mark.parametrize(
    "href",
    [
        "XMPP:p.example?;node=c%2F1",
        "xmpp:p.example?;node=c%2F1#newest",
        "xmpp://me@home.example/p.example?;node=c%2F1",
        "xmpp:P.Example?pubsub;action=retrieve;node=c%2F1;item=x",
        "xmpp:%20p.example?node=c%2F1",
    ],
)
def test_a_node_is_the_same_however_its_uri_is_written(href):
    assert post(f"<link rel='replies' href='{href}'/>").data["comments"] == [{"service": "p.example", "node": "c/1"}]


def test_of_what_a_post_or_feed_has_once_the_first_counts():
    places = "".join(
        f"<geoloc xmlns='http://jabber.org/protocol/geoloc'><text>{text}</text></geoloc>" for text in ("", "a", "b")
    )
    assert post(places).data["geoloc"] == {"text": "a"}
    starts = "".join(f"<link rel='start' href='xmpp:p.example?;node=n;item={item}'/>" for item in ("1", "2"))
    feed = read(
        NODE, f"<feed xmlns='{ATOM}'>{REQUIRED}<subtitle>a</subtitle><subtitle>b</subtitle>{starts}</feed>"
    ).data
    assert feed["start"] == {"service": "p.example", "node": "n", "item": "1"}
    assert feed["subtitle"] == "a"


def test_only_the_first_original_is_repeated_and_others_stay_links():
    data = post(
        "<link rel='via' href='https://example.org/1'/><link rel='via' href='xmpp:a@b.example?;node=n;item=1'/>"
        "<link rel='via' href='xmpp:a@b.example?;node=n;item=2'/>"
    ).data
    assert data["repeat_of"] == {"service": "a@b.example", "node": "n", "item": "1"}
    assert [link["href"] for link in data["links"]] == ["https://example.org/1", "xmpp:a@b.example?;node=n;item=2"]


def test_what_lacks_its_attribute_is_named():
    errors = post("<link rel='alternate'/><category label='x'/><thr:in-reply-to/>").parsed.errors
    assert [error.split(":")[0] for error in errors] == ["<link>", "<category>", "<in-reply-to>"]


def test_bad_numbers_are_named_and_left_out():
    read_post = post("<link rel='enclosure' href='http://a.example/' length='-3'/>")
    assert read_post.data["enclosures"] == [{"href": "http://a.example/"}]
    assert read_post.parsed.errors == ("<link length>: '-3' is no count.",)


def test_categories_keep_label_and_scheme():
    assert post("<category term='gtk' label='GTK' scheme='http://s.example/'/>").data["categories"] == [
        {"term": "gtk", "label": "GTK", "scheme": "http://s.example/"}
    ]


@pytest.mark.parametrize(
    ("publisher", "uri", "verified"),
    [
        ("romeo@montague.lit/orchard", "xmpp:Romeo@Montague.lit", True),
        ("romeo@montague.lit", "xmpp:romeo%40montague.lit", True),
        ("romeo@montague.lit", "xmpp:romeo@montague.lit?message", True),
        ("romeo@montague.lit", "xmpp:juliet@capulet.lit", False),
        ("romeo@montague.lit", "mailto:romeo@montague.lit", False),
        ("romeo@montague.lit", "", False),
        ("", "xmpp:romeo@montague.lit", False),
        ("no jid@@", "xmpp:romeo@montague.lit", False),
    ],
)
def test_the_author_is_verified_by_the_services_word_alone(publisher, uri, verified):
    data = post(f"<author><name>R</name><uri>{uri}</uri></author>", publisher=publisher).data
    assert data["author_verified"] is verified


def test_the_author_of_the_feed_an_entry_is_from_is_that_of_an_entry_without_one():
    source = (
        "<source xml:base='https://example.org/'><title>no</title><author><name>F</name><uri>f</uri></author></source>"
    )
    read_post = post(source)
    assert read_post.data["authors"] == [{"name": "F", "uri": "https://example.org/f"}]
    assert read_post.data["title"] == [{"type": "text", "text": "t"}]
    assert post(f"{source}<author><name>A</name></author>").data["authors"] == [{"name": "A"}]


@pytest.mark.parametrize("aside", ["<!-- c -->", "<?p c?>"])
def test_comments_and_instructions_are_no_part_of_a_post(aside):
    title = f"<title type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'>a{aside}b</div></title>"
    content = f"<content>c{aside}d</content><content type='html'>&lt;p&gt;e{aside.replace('<', '&lt;')}f</content>"
    read_post = post(f"{aside}{title}{content}")
    assert read_post.parsed.errors == ()
    assert read_post.data["title"][1] == {"type": "xhtml", "text": "ab", "xhtml": "ab"}
    assert [each["text"] for each in read_post.data["content"]] == ["cd", "ef"]


def test_children_of_other_namespaces_do_no_harm():
    read_post = post(
        "<x xmlns='urn:other'><title>no</title></x><title xmlns='urn:other'>no</title><thr:total>3</thr:total>"
    )
    assert read_post.parsed.errors == ()
    assert read_post.data["title"] == [{"type": "text", "text": "t"}]


def test_a_payload_that_is_no_atom_is_marked_and_the_node_goes_on():
    odd = read(NODE, "<rss xmlns='urn:other'/>")
    assert odd.data is None
    assert odd.parsed.payload == "<rss xmlns='urn:other'/>"
    assert odd.parsed.errors == ("<rss> of 'urn:other' is no Atom entry.",)

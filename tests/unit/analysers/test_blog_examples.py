"""Atom as the examples of XEP-0277, XEP-0472, XEP-0413 and XEP-0060 have it; only the payloads, by their structure."""

from __future__ import annotations

from .reading import read

ATOM = "http://www.w3.org/2005/Atom"
MICROBLOG = "urn:xmpp:microblog:0"
POST = "1cb57d9c-1c46-11dd-838c-001143d5d5db"
ROMEO = "romeo@montague.lit"
CAFE = "hanging out at the Caf&#233; Napolitano"
POST_URI = f"xmpp:{ROMEO}?;node=urn%3Axmpp%3Amicroblog%3A0;item={POST}"
FAMILY = {"service": "news.montague.lit", "publisher": ROMEO}


def entry(*children: str, id: str = POST, published: str = "2008-05-08T18:30:02Z", updated: str = "") -> str:
    """An entry with the id and dates that nearly all examples have."""
    return (
        f"<entry xmlns='{ATOM}' xmlns:thr='http://purl.org/syndication/thread/1.0'>{''.join(children)}"
        f"<id>tag:montague.lit,2008-05-08:posts-{id}</id>"
        f"<published>{published}</published><updated>{updated or published}</updated></entry>"
    )


PLAIN_TITLE = f"<title type='text'>{CAFE.replace('&', '&amp;')}</title>"
XHTML_TITLE = (
    "<title type='xhtml'>\n<div xmlns='http://www.w3.org/1999/xhtml'>\n"
    "<p>hanging out at the <strong>Café Napolitano</strong></p>\n</div>\n</title>"
)
GENERATOR = "<generator uri='https://capu.chat' version='42'>CapuChat</generator>"
AUTHOR_ROMEO = f"<author><name>Romeo Montague</name><uri>xmpp:{ROMEO}</uri></author>"
GEOLOC = (
    "<geoloc xmlns='http://jabber.org/protocol/geoloc'><lat>48.171761</lat><lon>-3.3667986</lon>"
    "<country>France</country><countrycode>FR</countrycode><region>Brittany</region></geoloc>"
)
BRITTANY = {"lat": 48.171761, "lon": -3.3667986, "country": "France", "countrycode": "FR", "region": "Brittany"}


def test_0277_1_a_post_has_a_plain_title():
    post = read(MICROBLOG, entry(PLAIN_TITLE), service=ROMEO, publisher=ROMEO, id=POST)
    assert post.kind == ("blog", "microblog")
    assert post.parsed.errors == ()
    assert post.data == {
        "atom_id": f"tag:montague.lit,2008-05-08:posts-{POST}",
        "title": [{"type": "text", "text": CAFE}],
        "published": "2008-05-08T18:30:02Z",
        "updated": "2008-05-08T18:30:02Z",
        "author_verified": False,
    }


def test_0277_2_a_rich_title_has_plain_text_beside_it():
    post = read(MICROBLOG, entry(XHTML_TITLE), service=ROMEO)
    assert post.data["title"] == [
        {
            "type": "xhtml",
            "text": "hanging out at the Café Napolitano",
            "xhtml": "<p>hanging out at the <strong>Café Napolitano</strong></p>",
        }
    ]


def test_0277_3_both_alternate_links_of_a_received_post_are_kept():
    links = (
        f"<link rel='alternate' type='text/html' href='http://montague.lit/romeo/posts/{POST}'/>"
        f"<link rel='alternate' href='{POST_URI}'/>"
    )
    post = read(MICROBLOG, entry(PLAIN_TITLE, links), service=ROMEO, publisher=ROMEO)
    assert post.data["links"] == [
        {"rel": "alternate", "href": f"http://montague.lit/romeo/posts/{POST}", "type": "text/html"},
        {"rel": "alternate", "href": POST_URI},
    ]


def test_0277_4_a_reply_says_twice_what_it_answers_and_its_wrapped_link_is_joined():
    reply = "c4145006-1c53-11dd-b2d5-000bcd82471e"
    ref = f"tag:montague.lit,2008-05-08:posts-{POST}"
    payload = entry(
        f"<author><name>Benvolio Montague</name><uri>xmpp:{ROMEO}</uri></author>",
        "<title type='text'>@romeo cappuccino this late in the day?</title>",
        "<link rel='alternate' href='xmpp:benvolio@montague.lit?;\n    node=urn%3Axmpp%3Amicroblog%3A0;\n"
        f"    item={reply}'/>",
        f"<thr:in-reply-to ref='{ref}' type='application/xhtml+xml' href='http://montague.lit/romeo/posts/{POST}'/>",
        f"<thr:in-reply-to ref='{ref}' href='{POST_URI}'/>",
        id=reply,
        published="2008-05-08T18:31:21Z",
    )
    post = read(MICROBLOG, payload, service="benvolio@montague.lit", publisher="benvolio@montague.lit")
    assert post.data["in_reply_to"] == [
        {"ref": ref, "href": f"http://montague.lit/romeo/posts/{POST}", "type": "application/xhtml+xml"},
        {"ref": ref, "href": POST_URI},
    ]
    assert post.data["links"] == [
        {"rel": "alternate", "href": f"xmpp:benvolio@montague.lit?;node=urn%3Axmpp%3Amicroblog%3A0;item={reply}"}
    ]
    # The example names Romeo as the author of what Benvolio publishes.
    assert post.data["authors"] == [{"name": "Benvolio Montague", "uri": f"xmpp:{ROMEO}", "jid": ROMEO}]
    assert post.data["author_verified"] is False


def test_0277_5_a_repeated_post_names_the_original():
    payload = entry(AUTHOR_ROMEO, PLAIN_TITLE, f"<link rel='via' href='{POST_URI}' ref='tag:montague.lit'/>")
    post = read(MICROBLOG, payload, service="benvolio@montague.lit", publisher="benvolio@montague.lit/mobile")
    assert post.data["repeat_of"] == {"service": ROMEO, "node": MICROBLOG, "item": POST}
    assert "links" not in post.data
    assert post.data["author_verified"] is False


def test_0277_7_a_post_says_where_its_comments_are():
    node = f"{MICROBLOG}:comments/dd88c9bc58886fce0049ed050df0c5f2"
    uri = node.replace(":", "%3A").replace("/", "%2F")
    link = f"<link rel='replies' title='comments' href='xmpp:pubsub.montague.lit?;node={uri}'/>"
    post = read(MICROBLOG, entry(PLAIN_TITLE, link), service=ROMEO)
    assert post.data["comments"] == [{"service": "pubsub.montague.lit", "node": node, "title": "comments"}]
    assert "links" not in post.data


def test_0277_8_a_comment_without_id_and_updated_is_read_and_says_so():
    payload = (
        f"<entry xmlns='{ATOM}'><author><name>Juliet Capulet</name><uri>xmpp:juliet@capulet.lit</uri></author>"
        "<title type='text'>She is so pretty!</title><published>2008-05-08T18:39:02Z</published></entry>"
    )
    node = f"{MICROBLOG}:comments/dd88c9bc58886fce0049ed050df0c5f2"
    comment = read(node, payload, service="pubsub.capulet.lit", publisher="juliet@capulet.lit/pc")
    assert comment.kind == ("blog", "comments")
    assert comment.data["author_verified"] is True
    assert comment.data["published"] == "2008-05-08T18:39:02Z"
    assert comment.parsed.errors == ("<id> is missing.", "<updated> is missing.")


def test_0277_9_the_feed_element_describes_the_blog():
    payload = (
        f"<feed xmlns='{ATOM}'><title>Romeo&apos;s Microblog</title><id>tag:montague.lit,2008:home</id>"
        f"<updated>2008-05-08T18:30:02Z</updated>{AUTHOR_ROMEO}</feed>"
    )
    feed = read(MICROBLOG, payload, service=ROMEO, id="0")
    assert feed.kind == ("blog", "metadata")
    assert feed.data == {
        "atom_id": "tag:montague.lit,2008:home",
        "title": [{"type": "text", "text": "Romeo's Microblog"}],
        "updated": "2008-05-08T18:30:02Z",
        "authors": [{"name": "Romeo Montague", "uri": f"xmpp:{ROMEO}", "jid": ROMEO}],
    }


def test_0277_10_a_feed_of_comments_names_the_post_it_belongs_to():
    payload = (
        f"<feed xmlns='{ATOM}'><title>Comments to a post</title><id>tag:pubsub.montague.lit,2008:comments</id>"
        f"<updated>2008-05-08T18:30:02Z</updated><link rel='start' href='{POST_URI}' ref='tag:montague.lit'/></feed>"
    )
    feed = read(MICROBLOG, payload, service="pubsub.montague.lit", id="0")
    assert feed.data["start"] == {"service": ROMEO, "node": MICROBLOG, "item": POST}


def test_0277_11_0472_7_a_geotagged_post_has_numbers_for_its_place():
    payload = entry(AUTHOR_ROMEO, "<title type='text'>Is lost in the forest. Need help!</title>", GEOLOC)
    assert read(MICROBLOG, payload, service=ROMEO).data["geoloc"] == BRITTANY


def test_0472_2_atom_on_any_other_node_is_a_feed():
    post = read("montague-family", entry(PLAIN_TITLE), service="new.montague.lit")
    assert post.kind == ("blog", "feed")
    assert post.data["title"] == [{"type": "text", "text": CAFE}]
    assert post.matched.to_sync


def test_0472_3_a_rich_post_names_its_generator():
    post = read("montague-family", entry(XHTML_TITLE, GENERATOR), **FAMILY)
    assert post.data["generator"] == {"name": "CapuChat", "uri": "https://capu.chat", "version": "42"}


def test_0472_4_a_received_post_has_links_and_generator():
    links = (
        f"<link rel='alternate' type='text/html' href='http://montague.lit/romeo/posts/{POST}'/>"
        f"<link rel='alternate' href='xmpp:news.montague.lit?;node=montague-family;item={POST}'/>"
    )
    post = read("montague-family", entry(PLAIN_TITLE, links, GENERATOR), **FAMILY)
    assert [link["href"] for link in post.data["links"]] == [
        f"http://montague.lit/romeo/posts/{POST}",
        f"xmpp:news.montague.lit?;node=montague-family;item={POST}",
    ]
    assert post.data["generator"]["name"] == "CapuChat"


def test_0472_5_a_reply_on_a_shared_node():
    href = f"xmpp:news.montague.lit?;node=montague-family;item={POST}"
    payload = entry(PLAIN_TITLE, f"<thr:in-reply-to ref='tag:x' href='{href}'/>")
    post = read("montague-family", payload, **FAMILY)
    assert post.data["in_reply_to"] == [{"ref": "tag:x", "href": href}]


def test_0472_6_a_repeated_post_names_a_node_of_a_service():
    href = f"xmpp:rnews.montague.lit?;node=montague-family;item={POST}"
    post = read("montague-family", entry(AUTHOR_ROMEO, PLAIN_TITLE, f"<link rel='via' href='{href}'/>"), **FAMILY)
    assert post.data["repeat_of"] == {"service": "rnews.montague.lit", "node": "montague-family", "item": POST}
    # Here the author is the publisher.
    assert post.data["author_verified"] is True


def test_0472_8_a_picture_in_a_gallery():
    link = (
        "<link rel='enclosure' href='https://capulet.lit/upload/romeo.jpg' type='image/jpeg' title='Romeo Portrait'/>"
    )
    gallery = "urn:xmpp:pubsub-social-feed:gallery:1"
    post = read("portraits", entry(PLAIN_TITLE, link), service="pubsub.capulet.lit", node_type=gallery)
    assert post.kind == ("blog", "gallery")
    assert post.data["enclosures"] == [
        {"href": "https://capulet.lit/upload/romeo.jpg", "type": "image/jpeg", "title": "Romeo Portrait"}
    ]
    assert "links" not in post.data


def test_0413_2_and_5_a_title_alone_is_an_entry_that_lacks_the_rest():
    for title in ("Henry VIII", "Tempest", "Wintter's Tale", "Winter's Tale"):
        play = read("plays", f"<entry xmlns='{ATOM}'><title>{title}</title></entry>", service="pubsub.shakespeare.lit")
        assert play.kind == ("blog", "feed")
        assert play.data == {"title": [{"type": "text", "text": title}], "author_verified": False}
        assert play.parsed.errors == ("<id> is missing.", "<updated> is missing.")


def test_0060_46_75_and_103_the_musings_of_a_prince():
    payload = (
        f"<entry xmlns='{ATOM}'><title>Soliloquy</title><summary>\nTo be, or not to be: that is the question:\n"
        "Whether 'tis nobler in the mind to suffer\n          </summary>"
        "<link rel='alternate' type='text/html' href='http://denmark.lit/2003/12/13/atom03'/>"
        "<id>tag:denmark.lit,2003:entry-32397</id><published>2003-12-13T18:30:02Z</published>"
        "<updated>2003-12-13T18:30:02Z</updated></entry>"
    )
    musing = read("princely_musings", payload, service="pubsub.shakespeare.lit")
    assert musing.kind == ("blog", "feed")
    assert musing.parsed.errors == ()
    assert musing.data["summary"] == [
        {
            "type": "text",
            "text": "To be, or not to be: that is the question:\nWhether 'tis nobler in the mind to suffer",
        }
    ]

"""One item of each kind, as services send it, for the page on data: what is shown is what the parsers make of them."""

from __future__ import annotations

from typing import NamedTuple

ACCOUNT = "alice@example.org"
SERVICE = "pubsub.example.org"
ATOM = "http://www.w3.org/2005/Atom"


class Sample(NamedTuple):
    """An item on a node of a service; "" is the account's own."""

    node: str
    payload: str
    id: str = "item"
    service: str = ""
    publisher: str = ""


_POST = f"""\
<entry xmlns='{ATOM}' xml:lang='en'>
  <id>tag:example.org,2026:sourdough</id>
  <title>Sourdough at 1,800 metres</title>
  <content type='xhtml'>
    <div xmlns='http://www.w3.org/1999/xhtml'><p>Less <b>yeast</b>.</p><p>More time.</p></div>
  </content>
  <published>2026-09-06T10:00:00+02:00</published>
  <updated>2026-09-06T10:00:00+02:00</updated>
  <author><name>Alice</name><uri>xmpp:alice@example.org</uri></author>
  <category term='baking'/>
  <link rel='alternate' href='https://example.org/sourdough'/>
  <link rel='enclosure' href='https://example.org/bread.jpg' type='image/jpeg' length='48211'/>
  <link rel='replies' href='xmpp:pubsub.example.org?;node=urn:xmpp:microblog:0:comments/sourdough'/>
</entry>"""

_FEED = f"""\
<feed xmlns='{ATOM}'>
  <id>tag:example.org,2026:blog</id>
  <title>Alice bakes</title>
  <subtitle>Bread and mountains</subtitle>
  <updated>2026-09-06T08:00:00Z</updated>
  <author><name>Alice</name></author>
</feed>"""

_EVENT = """\
<event xmlns='urn:xmpp:calendar-events:0'>
  <name xml:lang='en'>Repair café</name>
  <start>2026-12-01T14:00:00Z</start>
  <end>2026-12-01T18:00:00Z</end>
  <description xml:lang='en'>Bring what is broken.</description>
  <category term='repair'/>
  <location id='hall'>
    <geoloc xmlns='http://jabber.org/protocol/geoloc'><locality>Bern</locality><lat>46.95</lat><lon>7.45</lon></geoloc>
  </location>
  <rsvp>
    <x xmlns='jabber:x:data' type='form'>
      <field var='attending' type='list-single' label='Do you come?'>
        <required/><option><value>yes</value></option><option><value>no</value></option>
      </field>
    </x>
  </rsvp>
  <comments jid='pubsub.example.org' node='urn:xmpp:microblog:0:comments/repair'/>
</event>"""

_ATTACHMENTS = """\
<attachments xmlns='urn:xmpp:pubsub-attachments:1'>
  <noticed timestamp='2026-09-06T09:00:00Z'/>
  <reactions timestamp='2026-09-06T09:01:00Z'><reaction>🥖</reaction></reactions>
</attachments>"""

_SUMMARY = """\
<summary xmlns='urn:xmpp:pubsub-attachments:summary:1'>
  <noticed count='12'/>
  <reactions><reaction count='3'>🥖</reaction><reaction>👍</reaction></reactions>
</summary>"""

_BOOKMARK = """\
<conference xmlns='urn:xmpp:bookmarks:1' name='Bakers' autojoin='true'>
  <nick>alice</nick>
  <password>never stored</password>
  <extensions><pinned xmlns='urn:xmpp:bookmarks-pinning:0'/></extensions>
</conference>"""

_AVATAR = """\
<metadata xmlns='urn:xmpp:avatar:metadata'>
  <info id='111f4b3c50d7b0df729d299bc6f8e9ef9066971f' bytes='12345' type='image/png' width='64' height='64'/>
</metadata>"""

_VCARD = """\
<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'>
  <fn><text>Alice Baker</text></fn>
  <nickname><text>alice</text></nickname>
  <url><uri>https://example.org</uri></url>
  <impp><uri>xmpp:alice@example.org</uri></impp>
</vcard>"""

_TUNE = """\
<tune xmlns='http://jabber.org/protocol/tune'>
  <artist>Yes</artist><title>Heart of the Sunrise</title><source>Fragile</source>
  <track>3</track><length>686</length><rating>8</rating>
</tune>"""

_FORM = """\
<x xmlns='jabber:x:data' type='form'>
  <title>A room for the night</title>
  <instructions>Tell us when you come.</instructions>
  <field var='FORM_TYPE' type='hidden'><value>urn:example:booking</value></field>
  <field var='when' type='text-single' label='Date'><required/></field>
</x>"""

_FILE = """\
<file-sharing xmlns='urn:xmpp:sfs:0'>
  <file xmlns='urn:xmpp:file:metadata:0'>
    <name>recipe.pdf</name><media-type>application/pdf</media-type><size>84211</size><date>2026-09-06T08:00:00Z</date>
    <hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>2XarmwTlNxDAMkvymloX3S5+VbylNrJt/l5QyPa+YoU=</hash>
  </file>
  <sources><url-data xmlns='http://jabber.org/protocol/url-data' target='https://example.org/recipe.pdf'/></sources>
</file-sharing>"""

SAMPLES: dict[str, Sample] = {
    "blog/microblog": Sample("urn:xmpp:microblog:0", _POST, "sourdough", publisher=ACCOUNT),
    "blog/metadata": Sample("urn:xmpp:microblog:0", _FEED),
    "event/event": Sample("urn:xmpp:calendar-events:0", _EVENT, service=SERVICE),
    "event/invitees": Sample(
        "urn:xmpp:calendar-events:invitees:0/repair",
        "<invitee xmlns='urn:xmpp:calendar-events:0' jid='bob@example.org' name='Bob'/>",
        service=SERVICE,
    ),
    "attachments/item": Sample(
        "urn:xmpp:pubsub-attachments:1/xmpp:alice@example.org?;node=urn%3Axmpp%3Amicroblog%3A0;item=sourdough",
        _ATTACHMENTS,
        "bob@example.org",
        publisher="bob@example.org",
    ),
    "attachments/summary": Sample("urn:xmpp:pubsub-attachments:summary:1/urn:xmpp:microblog:0", _SUMMARY, "sourdough"),
    "bookmark/room": Sample("urn:xmpp:bookmarks:1", _BOOKMARK, "bakers@rooms.example.org"),
    "avatar/metadata": Sample("urn:xmpp:avatar:metadata", _AVATAR, "111f4b3c50d7b0df729d299bc6f8e9ef9066971f"),
    "avatar/data": Sample(
        "urn:xmpp:avatar:data",
        "<data xmlns='urn:xmpp:avatar:data'>iVBORw0KGgo=</data>",
        "4caece539b039b16e16206ea2478f8c5ffb2ca05",
    ),
    "profile/nick": Sample(
        "http://jabber.org/protocol/nick", "<nick xmlns='http://jabber.org/protocol/nick'>Alice</nick>"
    ),
    "profile/vcard": Sample("urn:xmpp:vcard4", _VCARD),
    "status/mood": Sample(
        "http://jabber.org/protocol/mood",
        "<mood xmlns='http://jabber.org/protocol/mood'><happy/><text xml:lang='en'>It rose!</text></mood>",
    ),
    "status/activity": Sample(
        "http://jabber.org/protocol/activity",
        "<activity xmlns='http://jabber.org/protocol/activity'><doing_chores><cooking/></doing_chores></activity>",
    ),
    "status/tune": Sample("http://jabber.org/protocol/tune", _TUNE),
    "status/geoloc": Sample(
        "http://jabber.org/protocol/geoloc",
        "<geoloc xmlns='http://jabber.org/protocol/geoloc'><lat>46.95</lat><lon>7.45</lon>"
        "<timestamp>2026-09-06T08:00:00Z</timestamp></geoloc>",
    ),
    "subscription/list": Sample(
        "urn:xmpp:pubsub:subscription",
        "<subscription xmlns='urn:xmpp:pubsub:subscription:0' server='pubsub.example.org' node='bread'>"
        "<title>Bread</title></subscription>",
    ),
    "subscription/subscribers": Sample(
        "urn:xmpp:pps:subscribers:0/bread",
        "<subscriber xmlns='urn:xmpp:pps:0' jid='bob@example.org'/>",
        service=SERVICE,
    ),
    "form/template": Sample("fdp/template/booking", _FORM, service=SERVICE),
    "file/file": Sample("urn:xmpp:pubsub-file-sharing:0/recipes", _FILE, service=SERVICE),
    "encrypted/openpgp-pubsub": Sample(
        "secrets", "<encrypted xmlns='urn:xmpp:openpgp:pubsub:0' key='key-1'>…</encrypted>", service=SERVICE
    ),
}

"""Events and invitees, shared files and forms (XEP-0471, XEP-0498, XEP-0346)."""

from __future__ import annotations

from .reading import match, read

NODE = "urn:xmpp:calendar-events:0"
SERVICE = "pubsub.capulet.lit"
MINIMAL = "<name>Coffee with the nurse</name><start>2022-09-05T12:00:00Z</start><end>2022-09-05T13:00:00Z</end>"


def event(children, node=NODE):
    return read(node, f"<event xmlns='{NODE}'>{children}</event>", service=SERVICE)


def test_0471_1_a_minimal_event():
    coffee = event(MINIMAL)
    assert coffee.kind == ("event", "event")
    assert coffee.parsed.errors == ()
    assert coffee.data == {
        "name": [{"value": "Coffee with the nurse"}],
        "start": "2022-09-05T12:00:00Z",
        "end": "2022-09-05T13:00:00Z",
    }


def test_0471_9_an_event_elsewhere_is_linked():
    external = f"<external jid='{SERVICE}' node='{NODE}/balls' item='2022_ball'/>"
    ball = event(
        "<name xml:lang='en'>Capulet's Ball</name><start>2022-12-15T20:00:00Z</start>"
        f"<end>2022-12-16T02:00:00Z</end>{external}"
    )
    assert ball.data["name"] == [{"lang": "en", "value": "Capulet's Ball"}]
    assert ball.data["external"] == {"service": SERVICE, "node": f"{NODE}/balls", "item": "2022_ball"}


def test_0471_3_online_places_without_the_mandatory_children():
    places = event(
        "<location><online><name xml:lang='en'>Ball organisation</name>"
        "<software name='Jitsi Meet' wd='Q87849488' url='https://meet.jit.si/' need_install='false'/>"
        "<url-data xmlns='http://jabber.org/protocol/url-data' target='https://jitsi.capulet.lit/ball_2022'/>"
        "<instructions xml:lang='en'>Just click on the link.</instructions></online>"
        "<online><x xmlns='jabber:x:conference' jid='ball_talks@muc.capulet.lit'/>"
        "<instructions>Join this room.</instructions></online></location>",
        node=f"{NODE}/ball_organisation",
    )
    assert places.parsed.errors == ("<name> is missing.", "<start> is missing.", "<end> is missing.")
    assert places.data == {
        "locations": [
            {
                "online": [
                    {
                        "name": "Ball organisation",
                        "url": "https://jitsi.capulet.lit/ball_2022",
                        "software": "Jitsi Meet",
                    },
                    {"muc": "ball_talks@muc.capulet.lit"},
                ]
            }
        ]
    }


def test_0471_4_a_form_to_answer_without_the_mandatory_children():
    picnic = event(
        "<rsvp><x xmlns='jabber:x:data' type='form'>"
        "<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:calendar-events:rsvp:0</value></field>"
        "<field type='list-single' label='Attending' var='attending'><value>maybe</value>"
        "<option label='maybe'><value>maybe</value></option><option label='yes'><value>yes</value></option>"
        "<option label='no'><value>no</value></option><required/></field>"
        "<field label='Number of persons' var='participants_number'><value>1</value></field></x></rsvp>",
        node=f"{NODE}/picnics",
    )
    assert len(picnic.parsed.errors) == 3
    form = picnic.data["rsvp"][0]["form"]
    assert form["form_type"] == "urn:xmpp:calendar-events:rsvp:0"
    assert form["fields"] == [
        {
            "var": "attending",
            "type": "list-single",
            "label": "Attending",
            "required": True,
            "options": [
                {"label": "maybe", "value": "maybe"},
                {"label": "yes", "value": "yes"},
                {"label": "no", "value": "no"},
            ],
            "values": ["maybe"],
        },
        {"var": "participants_number", "label": "Number of persons", "required": False, "values": ["1"]},
    ]


def test_an_event_with_everything():
    ball = event(
        MINIMAL + "<head-picture><file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'>"
        "<media-type>image/jpeg</media-type><name>room.jpg</name><size>120354</size><dimensions>1920x1080</dimensions>"
        "<hash xmlns='urn:xmpp:hashes:2' algo='sha3-256'>2Xar</hash><desc xml:lang='en'>The room.</desc>"
        "<thumbnail xmlns='urn:xmpp:thumbs:1' uri='cid:x' media-type='image/png' width='640' height='360'/></file>"
        "<sources><url-data xmlns='http://jabber.org/protocol/url-data' target='https://d.example/room.jpg'/>"
        "<jinglepub xmlns='urn:xmpp:jinglepub:1' from='d.example' id='123'/></sources></file-sharing></head-picture>"
        "<description type='text' xml:lang='en'> Come! </description>"
        "<description type='xhtml' xml:lang='en'><div xmlns='http://www.w3.org/1999/xhtml'>"
        "<p>Come <strong>all!</strong></p><script>x</script></div></description>"
        "<category term='ball' wd='Q478515' xml:lang='en'/>"
        "<location id='main'><geoloc xmlns='http://jabber.org/protocol/geoloc'><lat>45.4</lat><country>Italy</country>"
        "</geoloc></location>"
        f"<invitees jid='{SERVICE}' node='i'/><comments jid='{SERVICE}' node='c'/>"
        f"<blog jid='{SERVICE}' node='b'/><schedule jid='{SERVICE}' node='s'/>"
        "<attachments><file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'><name>menu.pdf</name>"
        "</file></file-sharing></attachments>"
        "<extra><x xmlns='jabber:x:data' type='result'>"
        "<field var='website'><value>https://ball.example</value></field>"
        "<field var='languages'><value>it</value><value>en</value></field>"
        "<field var='accessibility:wheelchair'><value>full</value></field></x></extra>"
    )
    assert ball.parsed.errors == ()
    assert ball.data["head_picture"] == {
        "name": "room.jpg",
        "media_type": "image/jpeg",
        "size": 120354,
        "desc": [{"lang": "en", "value": "The room."}],
        "dimensions": "1920x1080",
        "hashes": [{"algo": "sha3-256", "value": "2Xar"}],
        "thumbnails": [{"uri": "cid:x", "media_type": "image/png", "width": 640, "height": 360}],
        "sources": [
            {"kind": "url", "href": "https://d.example/room.jpg"},
            {"kind": "jinglepub", "jid": "d.example", "id": "123"},
        ],
    }
    assert ball.data["descriptions"] == [
        {"lang": "en", "type": "text", "text": "Come!"},
        {"lang": "en", "type": "xhtml", "text": "Come all!"},
    ]
    assert ball.data["categories"] == [{"term": "ball", "wd": "Q478515", "lang": "en"}]
    assert ball.data["locations"] == [{"id": "main", "geoloc": {"lat": 45.4, "country": "Italy"}}]
    for key, node in {"invitees": "i", "comments": "c", "blog": "b", "schedule": "s"}.items():
        assert ball.data[key] == {"service": SERVICE, "node": node}
    assert ball.data["attachments"] == [{"name": "menu.pdf"}]
    assert ball.data["extra"] == {
        "website": "https://ball.example",
        "languages": ["it", "en"],
        "accessibility": {"wheelchair": "full"},
    }


def test_bad_parts_of_an_event_are_named_and_left_out():
    odd = event(
        f"{MINIMAL}<start>noon</start><category wd='Q1'/><comments jid='@' node='c'/><external jid='x.example'/>"
    )
    assert [error.split(":")[0] for error in odd.parsed.errors] == ["<start>", "<category>", "<comments>", "<external>"]
    assert "comments" not in odd.data


def test_empty_parts_of_an_event_are_left_out():
    form = "<x xmlns='jabber:x:data' type='result'><field var='accessibility:wheelchair'/></x>"
    odd = event(
        f"{MINIMAL}<location><geoloc xmlns='http://jabber.org/protocol/geoloc'/></location><extra>{form}</extra><rsvp/>"
        f"<external jid='{SERVICE}' node='n'/>"
    )
    assert {*odd.data} == {"name", "start", "end", "locations", "extra"}
    assert (odd.data["locations"], odd.data["extra"]) == ([{}], {})
    assert odd.parsed.errors == ("<external>: the attributes 'jid', 'node' and 'item' name no item.",)


def test_an_invitee_with_and_without_the_namespace():
    node = "urn:xmpp:calendar-events:invitees:0/2022_ball"
    for declared in ("", f"xmlns='{NODE}'"):
        nurse = read(node, f"<invitee {declared} jid='Nurse@capulet.lit' name='Nurse'/>", service=SERVICE)
        assert nurse.kind == ("event", "invitees")
        assert nurse.data == {"jid": "nurse@capulet.lit", "name": "Nurse"}
    nobody = read(node, "<invitee jid='@'/>", service=SERVICE)
    assert nobody.data is None
    assert nobody.parsed.errors == ("<invitee jid>: '@' is no JID.",)


def test_0498_2_a_shared_file():
    payload = (
        "<file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'>"
        "<media-type>image/jpeg</media-type><name>beach-sunset.jpg</name><size>8765432</size>"
        "<hash xmlns='urn:xmpp:hashes:2' algo='sha3-256'>GZTbL1pJmX9jzVgQwR0HfI+DyKuPcWvE2nUxYiMkS78=</hash>"
        "<desc>A stunning sunset on the beach.</desc></file><sources>"
        "<url-data xmlns='http://jabber.org/protocol/url-data' target='https://photos.example.org/gallery/beach-sunset.jpg'/>"
        "<jinglepub xmlns='urn:xmpp:jinglepub:1' from='files.example.org' id='9876543B'/></sources></file-sharing>"
    )
    node = "urn:xmpp:pubsub-file-sharing:0:EASD1546/Images"
    picture = read(node, payload, service="files.example.org", id="beach-sunset.jpg")
    assert picture.kind == ("file", "file")
    assert picture.matched.definition.demand
    assert picture.data == {
        "name": "beach-sunset.jpg",
        "media_type": "image/jpeg",
        "size": 8765432,
        "desc": [{"value": "A stunning sunset on the beach."}],
        "hashes": [{"algo": "sha3-256", "value": "GZTbL1pJmX9jzVgQwR0HfI+DyKuPcWvE2nUxYiMkS78="}],
        "sources": [
            {"kind": "url", "href": "https://photos.example.org/gallery/beach-sunset.jpg"},
            {"kind": "jinglepub", "jid": "files.example.org", "id": "9876543B"},
        ],
    }


def test_a_file_without_a_name_is_called_by_its_item():
    payload = (
        "<file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'><width>4</width><height>3</height>"
        "<date>2026-01-01T01:00:00+01:00</date></file></file-sharing>"
    )
    data = read("urn:xmpp:pubsub-file-sharing:0", payload, id="report.pdf").data
    assert data == {"name": "report.pdf", "dimensions": "4x3", "date": "2026-01-01T00:00:00Z"}


FIELDS = (
    "<field label='Place of fall:' type='list-single' var='Place'>{}</field>"
    "<field label='Ambulance needed?' type='boolean' var='Ambulance'>{}</field>"
)


def test_0346_2_and_5_a_template():
    options = "<option label='Kitchen'><value>Kitchen</value></option><option label='Hall'><value>Hall</value></option>"
    payload = (
        "<x xmlns='jabber:x:data' type='form'><instructions>Please fill in all fields.</instructions>"
        f"<title>Accident report form.</title>{FIELDS.format(options, '')}</x>"
    )
    template = read("fdp/template/stan.isode.net/accidentreport", payload, service="pubsub.stan.isode.net")
    assert template.kind == ("form", "template")
    assert template.matched.definition.kind == "last"
    assert template.data["title"] == "Accident report form."
    assert template.data["instructions"] == ["Please fill in all fields."]
    assert [option["value"] for option in template.data["fields"][0]["options"]] == ["Kitchen", "Hall"]
    assert template.data["fields"][1] == {
        "var": "Ambulance",
        "type": "boolean",
        "label": "Ambulance needed?",
        "required": False,
    }


def test_0346_3_a_submitted_form():
    payload = (
        "<x xmlns='jabber:x:data' type='submit'><title>Accident report form.</title>"
        f"{FIELDS.format('<value>Kitchen</value>', '<value>1</value>')}</x>"
    )
    submitted = read("fdp/submitted/stan.isode.net/accidentreport", payload, service="pubsub.stan.isode.net", id="")
    assert submitted.kind == ("form", "submitted")
    assert submitted.matched.definition.kind == "log"
    assert [field["values"] for field in submitted.data["fields"]] == [["Kitchen"], ["1"]]


def test_a_form_elsewhere_is_no_form():
    assert match("n", namespace="jabber:x:data").definition is None


def test_what_a_file_leaves_empty_is_left_out():
    payload = (
        "<file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'><name/><width>3</width>"
        "<height>4</height><dimensions>1x2</dimensions><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'/></file>"
        "<sources><url-data xmlns='http://jabber.org/protocol/url-data'/></sources></file-sharing>"
    )
    file = read("urn:xmpp:pubsub-file-sharing:0", payload, service=SERVICE, id="a.txt")
    assert file.data == {"name": "a.txt", "dimensions": "1x2"}


def test_what_a_form_leaves_empty_is_left_out():
    form = "<x xmlns='jabber:x:data'><instructions/><field var='FORM_TYPE'/></x>"
    assert read("fdp/template/x", form, service=SERVICE).data == {}

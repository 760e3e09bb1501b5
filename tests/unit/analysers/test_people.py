"""What people publish of themselves: bookmarks, avatars, profiles, statuses and subscriptions."""

from __future__ import annotations

import base64
import hashlib

import pytest

from .reading import ACCOUNT, match, read

BOOKMARKS = "urn:xmpp:bookmarks:1"
ROOM = "theplay@conference.shakespeare.lit"


def bookmark(attributes="", children="", id=ROOM, **where):
    return read(BOOKMARKS, f"<conference xmlns='{BOOKMARKS}' {attributes}>{children}</conference>", id=id, **where)


class TestBookmarks:
    def test_0402_1_a_room_with_nick_and_what_a_client_added(self):
        state = "<extensions><state xmlns='http://myclient.example/bookmark/state' minimized='true'/></extensions>"
        council = bookmark("name='Council of Oberon' autojoin='true'", f"<nick>Puck</nick>{state}", id="council@x.org")
        assert council.parsed.errors == ()
        assert council.data == {
            "jid": "council@x.org",
            "name": "Council of Oberon",
            "autojoin": True,
            "nick": "Puck",
            "has_password": False,
            "pinned": False,
            "extensions": ["{http://myclient.example/bookmark/state}state"],
        }

    @pytest.mark.parametrize("autojoin", ["true", "1"])
    def test_0402_5_and_12_to_14_a_room_as_it_is_listed_and_told(self, autojoin):
        play = bookmark(f"name='The Play&apos;s the Thing' autojoin='{autojoin}'", "<nick>JC</nick>")
        assert play.kind == ("bookmark", "room")
        assert (play.data["jid"], play.data["name"], play.data["autojoin"]) == (ROOM, "The Play's the Thing", True)

    def test_a_bookmark_is_private_and_its_id_a_key(self):
        play = bookmark("name='The Play&apos;s the Thing' autojoin='true'", "<nick>JC</nick>")
        assert play.kind == ("bookmark", "room")
        assert play.data == {
            "jid": ROOM,
            "name": "The Play's the Thing",
            "autojoin": True,
            "nick": "JC",
            "has_password": False,
            "pinned": False,
        }
        assert (play.matched.definition.private, play.matched.definition.kind) == (True, "map")

    def test_0402_2_the_least_a_bookmark_can_be(self):
        assert bookmark().data == {"jid": ROOM, "autojoin": False, "has_password": False, "pinned": False}

    @pytest.mark.parametrize(("written", "meant"), [("1", True), ("true", True), ("0", False), ("false", False)])
    def test_autojoin_as_xml_schema_writes_it(self, written, meant):
        assert bookmark(f"autojoin='{written}'").data["autojoin"] is meant

    def test_an_unreadable_autojoin_is_named(self):
        odd = bookmark("autojoin='yes'")
        assert odd.data["autojoin"] is False
        assert odd.parsed.errors == ("<conference autojoin>: 'yes' is no boolean.",)

    def test_extensions_are_named_and_one_of_them_pins(self):
        data = bookmark(
            children="<extensions><pinned xmlns='urn:xmpp:bookmarks-pinning:0'/><state xmlns='urn:other'/>"
            "<state xmlns='urn:other'/></extensions>"
        ).data
        assert data["pinned"] is True
        assert data["extensions"] == ["{urn:xmpp:bookmarks-pinning:0}pinned", "{urn:other}state"]

    @pytest.mark.parametrize(
        "children",
        [
            "<nick>JC</nick><password>hunter2</password>",
            "<password>hunter2</password><nick>JC</nick>",
            "<extensions><x xmlns='urn:other'><deep><password>hunter2</password> and <b/></deep></x></extensions>",
            "<extensions><password xmlns=''>hunter2</password></extensions>",
            "<password><password>hunter2</password>hunter2</password>",
            "<p:password xmlns:p='urn:prefixed'><b>hunter2</b></p:password>",
        ],
    )
    def test_a_password_is_nowhere(self, children):
        locked = bookmark("name='x'", children)
        assert locked.data["has_password"] is True
        assert "hunter2" not in locked.parsed.payload
        assert "hunter2" not in (locked.parsed.data or "")
        assert 'name="x"' in locked.parsed.payload

    def test_what_stands_beside_a_password_stays(self):
        locked = bookmark(children="<nick>JC</nick> a <password>hunter2</password> b <extensions/>")
        assert locked.parsed.payload == (
            f'<conference xmlns="{BOOKMARKS}"><nick>JC</nick> a  b <extensions/></conference>'
        )
        first = bookmark(children="a <password>hunter2</password> b <nick>JC</nick>")
        assert first.parsed.payload == f'<conference xmlns="{BOOKMARKS}">a  b <nick>JC</nick></conference>'

    def test_a_password_is_nowhere_on_other_nodes_and_in_what_can_not_be_read_either(self):
        payload = f"<conference xmlns='{BOOKMARKS}'><password>hunter2</password></conference>"
        space = read("a-space", payload, service="pubsub.capulet.lit", node_type="urn:xmpp:spaces:0")
        assert "hunter2" not in space.parsed.payload
        deep = f"<conference xmlns='{BOOKMARKS}'><password>hunter2</password>{'<a>' * 120}{'</a>' * 120}</conference>"
        assert read(BOOKMARKS, deep, id=ROOM).parsed.payload == ""

    def test_a_password_is_nowhere_in_whatever_else_is_on_the_node(self):
        for payload in (
            f"<password xmlns='{BOOKMARKS}'>hunter2</password>",
            "<x xmlns='urn:other'><password>hunter2</password></x>",
        ):
            assert "hunter2" not in read(BOOKMARKS, payload, id=ROOM).parsed.payload

    @pytest.mark.parametrize("space", [BOOKMARKS, "urn:xmpp:bookmarks:0", "storage:bookmarks"])
    def test_a_password_is_nowhere_in_a_bookmark_within_something_else(self, space):
        payload = f"<x xmlns='urn:other'><b:c xmlns:b='{space}'><b:password>hunter2</b:password></b:c></x>"
        assert "hunter2" not in read("notes", payload, service="pubsub.capulet.lit").parsed.payload

    def test_who_writes_about_bookmarks_keeps_their_words(self):
        payload = f"<x xmlns='urn:other'><about>{BOOKMARKS}</about><password>an example</password></x>"
        assert read("notes", payload, service="pubsub.capulet.lit").parsed.payload == payload

    def test_without_a_password_the_payload_is_as_it_came(self):
        payload = f"<conference   xmlns='{BOOKMARKS}'></conference>"
        assert read(BOOKMARKS, payload, id=ROOM).parsed.payload == payload

    def test_an_id_that_is_no_jid(self):
        odd = bookmark(id="@")
        assert odd.data is None
        assert odd.parsed.errors == ("id: '@' is no JID.",)

    def test_0503_7_only_the_accounts_own_node_has_bookmarks(self):
        assert match("a-space", service="pubsub.capulet.lit", namespace=BOOKMARKS).definition is None
        assert match(BOOKMARKS, service="romeo@montague.lit").definition is None
        assert match(BOOKMARKS, service=ACCOUNT).type == "bookmark"


PICTURE = b"\x89PNG not much of a picture"
SHA1 = hashlib.sha1(PICTURE).hexdigest()
METADATA = "urn:xmpp:avatar:metadata"
DATA = "urn:xmpp:avatar:data"


class TestAvatars:
    def test_0084_3_and_5_a_description(self):
        id = "111f4b3c50d7b0df729d299bc6f8e9ef9066971f"
        info = f"<info bytes='12345' id='{id}' height='64' type='image/png' width='64'/>"
        avatar = read(METADATA, f"<metadata xmlns='{METADATA}'>{info}</metadata>", id=id)
        assert avatar.kind == ("avatar", "metadata")
        assert avatar.matched.definition.kind == "last"
        assert avatar.data == {
            "disabled": False,
            "info": [{"id": id, "bytes": 12345, "type": "image/png", "width": 64, "height": 64}],
            "pointers": 0,
        }

    def test_0084_4_a_description_of_a_picture_on_the_web(self):
        info = (
            "<info bytes='23456' height='64' id='222f4b3c50d7b0df729d299bc6f8e9ef9066971f' type='image/gif'"
            " url='http://avatars.example.org/happy.gif' width='64'/>"
        )
        avatar = read(METADATA, f"<metadata xmlns='{METADATA}'>{info}</metadata>")
        assert avatar.data["info"][0]["url"] == "http://avatars.example.org/happy.gif"

    def test_0084_several_formats_of_a_picture(self):
        picture = "id='111f4b3c50d7b0df729d299bc6f8e9ef9066971f' bytes='12345' height='64' width='64'"
        infos = "".join(
            f"<info {picture} type='image/{kind}'{url}/>"
            for kind, url in (("png", ""), ("png", " url='http://a.example.org/happy.png'"), ("mng", ""))
        )
        avatar = read(METADATA, f"<metadata xmlns='{METADATA}'>{infos}</metadata>")
        assert [(each["type"], each.get("url")) for each in avatar.data["info"]] == [
            ("image/png", None),
            ("image/png", "http://a.example.org/happy.png"),
            ("image/mng", None),
        ]

    @pytest.mark.parametrize("node", [METADATA, DATA])
    @pytest.mark.parametrize("children", ["", "<stop/>"])
    def test_0084_a_disabled_avatar_also_on_the_wrong_node(self, node, children):
        avatar = read(node, f"<metadata xmlns='{METADATA}'>{children}</metadata>", id="")
        assert avatar.kind == ("avatar", "metadata")
        assert avatar.data == {"disabled": True, "pointers": 0}

    def test_0084_pointers_are_counted(self):
        pointer = "<pointer><x xmlns='http://example.com/virtualworlds'><game>Ancapistan</game></x></pointer>"
        avatar = read(METADATA, f"<metadata xmlns='{METADATA}'>{pointer}</metadata>")
        assert avatar.data == {"disabled": False, "pointers": 1}

    def test_bad_numbers_and_a_missing_id(self):
        avatar = read(METADATA, f"<metadata xmlns='{METADATA}'><info id='a' bytes='x'/><info bytes='1'/></metadata>")
        assert avatar.data["info"] == [{"id": "a", "type": ""}]
        assert [error.split(":")[0] for error in avatar.parsed.errors] == ["<info bytes>", "<info>"]
        assert avatar.data["disabled"] is False

    def test_one_that_can_not_be_read_is_not_none(self):
        avatar = read(METADATA, f"<metadata xmlns='{METADATA}'><info bytes='1'/></metadata>")
        assert avatar.data == {"disabled": False, "pointers": 0}

    def test_a_picture_is_checked_against_its_id(self):
        encoded = base64.encodebytes(PICTURE).decode()
        for id, ok in ((SHA1, True), (SHA1.upper(), True), ("0" * 40, False)):
            avatar = read(DATA, f"<data xmlns='{DATA}'>\n{encoded}\n</data>", id=id)
            assert avatar.kind == ("avatar", "data")
            assert avatar.data == {"sha1": SHA1, "bytes": len(PICTURE), "sha1_ok": ok}
        assert avatar.matched.definition.demand

    def test_0084_1_and_8_a_picture_that_is_cut_off(self):
        avatar = read(DATA, f"<data xmlns='{DATA}'>qANQR1DBwU4DX7jmYZnncm...</data>")
        assert avatar.data is None
        assert avatar.parsed.errors == ("<data> is no Base64.",)


class TestProfiles:
    NICK = "http://jabber.org/protocol/nick"

    def test_0172_5_and_6_a_nickname_needs_no_item_id(self):
        nick = read(self.NICK, f"<nick xmlns='{self.NICK}'>Ishmael</nick>", id="")
        assert nick.kind == ("profile", "nick")
        assert nick.data == {"nick": "Ishmael"}
        assert nick.matched.definition.kind == "last"

    def test_0292_2_a_vcard(self):
        payload = (
            "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>Peter Saint-Andre</text></fn>"
            "<n><surname>Saint-Andre</surname><given>Peter</given></n>"
            "<nickname><text>stpeter</text></nickname><nickname><text>psa</text></nickname>"
            "<photo><uri>http://me.stpeter.im/images/stpeter_oscon.jpg</uri></photo>"
            "<tel><parameters><type><text>work</text><text>voice</text></type></parameters>"
            "<uri>tel:+1-303-308-3282</uri></tel><url><uri>https://stpeter.im/</uri></url>"
            "<note><text>\n More information \n</text></note>"
            "<email><parameters><type><text>home</text></type></parameters><text>stpeter@jabber.org</text></email>"
            "<impp><uri>xmpp:stpeter@jabber.org</uri></impp></vcard>"
        )
        card = read("urn:xmpp:vcard4", payload, id="current")
        assert card.kind == ("profile", "vcard")
        assert card.data == {
            "fn": "Peter Saint-Andre",
            "nickname": ["stpeter", "psa"],
            "email": ["stpeter@jabber.org"],
            "tel": ["tel:+1-303-308-3282"],
            "url": ["https://stpeter.im/"],
            "impp": ["xmpp:stpeter@jabber.org"],
            "note": "More information",
            "photo": "http://me.stpeter.im/images/stpeter_oscon.jpg",
        }

    def test_a_property_may_hold_several_nicknames(self):
        names = "<nickname><text>a</text><text>b</text></nickname><nickname><text>c</text></nickname>"
        card = read("urn:xmpp:vcard4", f"<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'>{names}</vcard>")
        assert card.data == {"nickname": ["a", "b", "c"]}

    def test_0292_3_an_empty_vcard(self):
        assert read("urn:xmpp:vcard4", "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'/>").data == {}

    def test_a_picture_within_a_vcard_is_not_repeated_and_groups_are_read(self):
        payload = (
            "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><photo><uri>data:image/png;base64,AAAA</uri></photo>"
            "<group name='work'><tel><text>+49 30 1</text></tel></group></vcard>"
        )
        assert read("urn:xmpp:vcard4", payload).data == {"tel": ["+49 30 1"]}

    def test_of_several_names_notes_and_photos_the_first_counts(self):
        twice = "".join(
            f"<fn><text>{x}</text></fn><note><text>{x}</text></note><photo><uri>https://{x}.example</uri></photo>"
            for x in "ab"
        )
        card = read("urn:xmpp:vcard4", f"<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'>{twice}</vcard>")
        assert card.data == {"fn": "a", "note": "a", "photo": "https://a.example"}

    def test_0292_8_vcards_of_contacts_are_excluded(self):
        assert match("urn:xmpp:contacts").excluded


def status(name, children="", **options):
    node = f"http://jabber.org/protocol/{name}"
    return read(node, f"<{name} xmlns='{node}'>{children}</{name}>", **options)


class TestStatus:
    def test_0107_2_a_mood(self):
        mood = status("mood", "<annoyed/><text>curse my nurse!</text>")
        assert mood.kind == ("status", "mood")
        assert mood.data == {"active": True, "mood": "annoyed", "text": [{"value": "curse my nurse!"}]}

    def test_0108_2_an_activity(self):
        activity = status("activity", "<relaxing><partying/></relaxing><text xml:lang='en'>My nurse's birthday!</text>")
        assert activity.data == {
            "active": True,
            "general": "relaxing",
            "specific": "partying",
            "text": [{"lang": "en", "value": "My nurse's birthday!"}],
        }

    def test_a_specific_activity_of_another_namespace_is_ignored(self):
        data = status("activity", "<relaxing><fishing xmlns='http://www.ilovefishing.info'/></relaxing>").data
        assert data == {"active": True, "general": "relaxing"}

    def test_0118_2_a_tune(self):
        tune = status(
            "tune",
            "<artist>Yes</artist><length>686</length><rating>8</rating><source>Yessongs</source>"
            "<title>Heart of the Sunrise</title><track>3</track><uri>http://www.yesworld.com/</uri>",
        )
        assert tune.data == {
            "active": True,
            "artist": "Yes",
            "title": "Heart of the Sunrise",
            "source": "Yessongs",
            "track": "3",
            "length": 686,
            "rating": 8,
            "uri": "http://www.yesworld.com/",
        }

    def test_0080_2_a_place_is_read_but_not_gathered(self):
        place = status(
            "geoloc",
            "<accuracy>20</accuracy><country>Italy</country><lat>45.44</lat><locality>Venice</locality><lon>12.33</lon>",
        )
        assert place.data == {
            "active": True,
            "accuracy": 20,
            "country": "Italy",
            "lat": 45.44,
            "locality": "Venice",
            "lon": 12.33,
        }
        assert not place.matched.to_sync

    @pytest.mark.parametrize("name", ["mood", "activity", "tune", "geoloc"])
    def test_0107_4_0108_4_0118_4_0080_4_an_empty_element_takes_it_back(self, name):
        assert status(name).data == {"active": False}

    def test_a_place_of_which_nothing_can_be_read_is_none(self):
        foreign = "<lat xmlns='urn:other'>1</lat>"
        place = status("geoloc", f"<lat>north</lat><text/>{foreign}")
        assert place.data == {"active": False}
        assert place.parsed.errors == ("<lat>: 'north' is no number.",)

    def test_of_several_moods_and_activities_the_first_counts(self):
        assert status("mood", "<happy/><sad/>").data == {"active": True, "mood": "happy"}
        activity = status("activity", "<relaxing><fishing/></relaxing><working><coding/></working>")
        assert activity.data == {"active": True, "general": "relaxing", "specific": "fishing"}

    def test_a_tune_without_any_word_takes_it_back(self):
        assert status("tune", "<artist/><title> </title>").data == {"active": False}
        assert status("tune", "<length>long</length><mood xmlns='urn:other'>a</mood>").data == {"active": False}

    def test_another_payload_is_marked(self):
        odd = read("http://jabber.org/protocol/mood", "<tune xmlns='http://jabber.org/protocol/tune'/>")
        assert odd.data is None
        assert len(odd.parsed.errors) == 1

    def test_bad_numbers_are_named(self):
        place = status("geoloc", "<lat>north</lat><lon>1e400</lon><timestamp>now</timestamp><text>x</text>")
        assert place.data == {"active": True, "text": "x"}
        assert [error.split(":")[0] for error in place.parsed.errors] == ["<lat>", "<lon>", "<timestamp>"]


class TestSubscriptions:
    def test_0330_2_and_4_a_subscription_in_a_list(self):
        payload = (
            "<subscription xmlns='urn:xmpp:pubsub:subscription:0' server='pubsub.shakespeare.lit' node='party'>"
            "<title>Party at the Capulets</title></subscription>"
        )
        party = read("urn:xmpp:pubsub:subscription", payload)
        assert party.kind == ("subscription", "list")
        assert party.data == {"service": "pubsub.shakespeare.lit", "node": "party", "title": "Party at the Capulets"}

    def test_0465_4_a_public_subscription(self):
        payload = "<subscription xmlns='urn:xmpp:pps:0' node='urn:xmpp:microblog:0' jid='benvolio@montague.lit'/>"
        public = read("urn:xmpp:pps:subscriptions:0", payload)
        assert public.kind == ("subscription", "public")
        assert public.data == {"service": "benvolio@montague.lit", "node": "urn:xmpp:microblog:0"}

    def test_a_public_subscriber(self):
        payload = "<subscriber xmlns='urn:xmpp:pps:0' jid='benvolio@montague.lit'/>"
        subscriber = read("urn:xmpp:pps:subscribers:0/urn:xmpp:microblog:0", payload)
        assert subscriber.kind == ("subscription", "subscribers")
        assert subscriber.data == {"jid": "benvolio@montague.lit"}

    @pytest.mark.parametrize("attributes", ["", "node='n'", "server='@' node='n'", "server='p.example'"])
    def test_a_subscription_to_nothing(self, attributes):
        odd = read(
            "urn:xmpp:pubsub:subscription", f"<subscription xmlns='urn:xmpp:pubsub:subscription:0' {attributes}/>"
        )
        assert odd.data is None
        assert len(odd.parsed.errors) == 1

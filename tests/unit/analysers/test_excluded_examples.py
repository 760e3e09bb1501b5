"""What the examples publish on nodes that are excluded passes through, unread."""

from __future__ import annotations

import pytest

from .reading import read

BOOKMARKS = (
    "<storage xmlns='storage:bookmarks'><conference name='The Play&apos;s the Thing' autojoin='true' "
    "jid='theplay@conference.shakespeare.lit'><nick>JC</nick><password>Gl0b3</password></conference></storage>"
)
DEVICES = (
    "<devices xmlns='urn:xmpp:omemo:2'><device id='12345'/><device id='4223' label='Gajim on Ubuntu Linux'/></devices>"
)
BUNDLE = (
    "<bundle xmlns='urn:xmpp:omemo:2'><spk id='0'>c3Br</spk><spks>c3Brcw==</spks><ik>aWs=</ik>"
    "<prekeys><pk id='0'>cGsw</pk><pk id='1'>cGsx</pk></prekeys></bundle>"
)
DISPLAYED = (
    "<displayed xmlns='urn:xmpp:mds:displayed:0'><stanza-id xmlns='urn:xmpp:sid:0' "
    "id='0f710f2b-52ed-4d52-b928-784dad74a52b' by='juliet@capulet.lit'/></displayed>"
)


@pytest.mark.parametrize(
    ("node", "payload"),
    [
        pytest.param("storage:bookmarks", BOOKMARKS, id="0223:2"),
        pytest.param("urn:xmpp:omemo:2:devices", DEVICES, id="0384:1"),
        pytest.param("urn:xmpp:omemo:2:bundles", BUNDLE, id="0384:3"),
        pytest.param("urn:xmpp:mds:displayed:0", DISPLAYED, id="0490:4"),
        pytest.param(
            "urn:xmpp:openpgp:0:secret-key",
            "<secretkey xmlns='urn:xmpp:openpgp:0'>BASE64_OPENPGP_ENCRYPTED_SECRET_KEY</secretkey>",
            id="0373:12",
        ),
    ],
)
def test_an_example_of_what_is_never_stored(node, payload):
    found = read(node, payload)
    assert found.matched.excluded
    assert not found.matched.to_sync
    assert (found.parsed.payload, found.parsed.data, found.parsed.type, found.parsed.errors) == (payload, None, "", ())
